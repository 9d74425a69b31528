// SPDX-License-Identifier: GPL-2.0

//! Every system call that can be made on an open file of /proc/fortune: what it returns for an empty pot, one
//! fortune and a full pot, from 64-bit programs and from 32-bit ones.

use crate::{
    memory::{Low, int80},
    module::{FORTUNE, Module, echo, set},
};
use ktap::note;
use nix::{errno::Errno, unistd::pipe};
use std::{
    ffi::CString,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

ktap::tests!(calls, Guest: table [F2 F3 F4 R2 R7 R9 W2 W15 W17]);

/// The bytes that the pot takes.
const POT: usize = 8;

/// What a call returns, or the name of its error.
type Outcome = Result<i64, Errno>;

/// A call: its name, what it does, and what that returns for an empty pot, for one fortune of three bytes in
/// it, and for a full one, with two of those.
type Row = (&'static str, fn(&mut Caller) -> Outcome, [&'static str; 3]);

/// The number of a call for 64-bit programs, and for 32-bit ones.
type Number = (libc::c_long, u32);

const READ: Number = (libc::SYS_read, 3);
const READV: Number = (libc::SYS_readv, 145);
const PREAD: Number = (libc::SYS_pread64, 180);
const PREADV2: Number = (libc::SYS_preadv2, 378);
const WRITE: Number = (libc::SYS_write, 4);
const WRITEV: Number = (libc::SYS_writev, 146);
const PWRITE: Number = (libc::SYS_pwrite64, 181);
const PWRITEV2: Number = (libc::SYS_pwritev2, 379);
const LSEEK: Number = (libc::SYS_lseek, 19);
// arm64 has no poll, select, epoll_wait and open: their C functions call these. Those of 32 bits are the ones with times of 64
// bits, which every kernel has.
const PPOLL: Number = (libc::SYS_ppoll, 414);
const PSELECT: Number = (libc::SYS_pselect6, 413);
const EPOLL_CREATE: Number = (libc::SYS_epoll_create1, 329);
const EPOLL_CTL: Number = (libc::SYS_epoll_ctl, 255);
const EPOLL_PWAIT: Number = (libc::SYS_epoll_pwait, 319);
const MMAP: Number = (libc::SYS_mmap, 192);
const IOCTL: Number = (libc::SYS_ioctl, 54);
const SENDFILE: Number = (libc::SYS_sendfile, 239);
const SPLICE: Number = (libc::SYS_splice, 313);
const COPY_FILE_RANGE: Number = (libc::SYS_copy_file_range, 377);
const OPENAT: Number = (libc::SYS_openat, 295);
const DUP: Number = (libc::SYS_dup, 41);
const FTRUNCATE: Number = (libc::SYS_ftruncate, 93);
const FSYNC: Number = (libc::SYS_fsync, 118);
const FLOCK: Number = (libc::SYS_flock, 143);
const FALLOCATE: Number = (libc::SYS_fallocate, 324);
const GETDENTS: Number = (libc::SYS_getdents64, 220);

/// Where in the low memory things are: a buffer for reads, what is written, and structures.
const BUFFER: u32 = 0;
const TEXT: u32 = 4096;
const STRUCTURE: u32 = 8192;
const LOW: usize = 1 << 14;

/// More than is ever read from a buffer: two pots and 64 KiB.
const TOO_MANY: u32 = 2 * POT as u32 + 65536 + 1;

/// Whether calls are made as 32-bit programs make them, where 64-bit ones can.
const KINDS: &[bool] = if cfg!(target_arch = "x86_64") {
    &[false, true]
} else {
    &[false]
};

/// Makes calls on one open file, as programs of one kind do.
struct Caller {
    is_32: bool,
    low: Low,
    fd: RawFd,
    /// What was opened on the way.
    others: Vec<OwnedFd>,
}

impl Caller {
    fn call(&self, number: Number, arguments: &[i64]) -> Outcome {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        // SAFETY: All addresses are of the low memory or bad, and the kernel checks them; what it writes there
        // is nothing but bytes.
        unsafe {
            if self.is_32 {
                int80(number.1, all.map(|argument| argument as u32))
            } else {
                let [a, b, c, d, e, f] = all;
                Errno::result(libc::syscall(number.0, a, b, c, d, e, f))
            }
        }
    }

    /// A call whose first argument is the open file.
    fn on(&self, number: Number, arguments: &[i64]) -> Outcome {
        let arguments: Vec<i64> = [self.fd.into()].iter().chain(arguments).copied().collect();
        self.call(number, &arguments)
    }

    /// The same with an offset of 64 bits at the end, which 32-bit programs pass in two parts.
    fn at(&self, number: Number, arguments: &[i64], offset: i64) -> Outcome {
        let offset = if self.is_32 {
            vec![offset & 0xffff_ffff, offset >> 32]
        } else {
            vec![offset]
        };
        self.on(number, &[arguments, &offset].concat())
    }

    /// `preadv2` and `pwritev2` have it in two parts for all programs, and flags after it.
    fn vector_at(&self, number: Number, segments: i64, offset: i64, flags: i64) -> Outcome {
        let high = if self.is_32 { offset >> 32 } else { 0 };
        self.on(number, &[segments, 2, offset, high, flags])
    }

    fn address(&self, offset: u32) -> i64 {
        (self.low.address() + offset).into()
    }

    fn put(&self, offset: u32, bytes: &[u8]) {
        let mut memory = self.low.read(LOW);
        memory[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        self.low.write(&memory);
    }

    /// The address of a text.
    fn text(&self, text: &[u8]) -> i64 {
        self.put(TEXT, text);
        self.address(TEXT)
    }

    /// The address of two iovecs, of these addresses and lengths.
    fn segments(&self, segments: [(i64, usize); 2]) -> i64 {
        let bytes: Vec<u8> = segments
            .iter()
            .flat_map(|&(address, len)| {
                if self.is_32 {
                    [(address as u32).to_ne_bytes(), (len as u32).to_ne_bytes()].concat()
                } else {
                    [address.to_ne_bytes(), len.to_ne_bytes()].concat()
                }
            })
            .collect();
        self.put(STRUCTURE, &bytes);
        self.address(STRUCTURE)
    }

    fn reading(&self) -> i64 {
        let buffer = self.address(BUFFER);
        self.segments([(buffer, 2), (buffer + 2, 100)])
    }

    fn writing(&self) -> i64 {
        let text = self.text(b"x\ny\n");
        self.segments([(text, 2), (text + 2, 2)])
    }

    /// Keeps a descriptor.
    fn keep(&mut self, fd: i64) -> RawFd {
        let fd = RawFd::try_from(fd).unwrap();
        // SAFETY: A call has just returned it, and nobody else closes it.
        self.others.push(unsafe { OwnedFd::from_raw_fd(fd) });
        fd
    }

    fn pipe(&mut self) -> (i64, i64) {
        let (from, to) = pipe().unwrap();
        nix::unistd::write(&to, b"piped\n").unwrap();
        let fds = (from.as_raw_fd().into(), to.as_raw_fd().into());
        self.others.extend([from, to]);
        fds
    }

    /// A file that is not of procfs.
    fn file(&mut self) -> i64 {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open("/tmp/calls")
            .unwrap();
        std::io::Write::write_all(&mut &file, b"in a file\n").unwrap();
        let fd = OwnedFd::from(file);
        let raw = fd.as_raw_fd();
        self.others.push(fd);
        nix::unistd::lseek(self.others.last().unwrap(), 0, nix::unistd::Whence::SeekSet).unwrap();
        raw.into()
    }

    /// Opens /proc/fortune once more.
    fn open(&mut self, flags: i32) -> Outcome {
        let mut path = FORTUNE.as_bytes().to_vec();
        path.push(0);
        let path = self.text(&path);
        let fd = self.call(OPENAT, &[libc::AT_FDCWD.into(), path, flags.into(), 0])?;
        Ok(self.keep(fd).into())
    }

    /// Writes and reads through a descriptor of these flags: how many bytes come back.
    fn through(&mut self, flags: i32) -> Outcome {
        let fd = self.open(flags)?;
        let text = self.text(b"z\n");
        self.call(WRITE, &[fd, text, 2])?;
        let buffer = self.address(BUFFER);
        self.call(READ, &[fd, buffer, 100])
    }

    /// What poll says of the file, for reading and writing.
    fn poll(&self) -> Outcome {
        let asked = (libc::POLLIN | libc::POLLOUT).to_ne_bytes();
        self.put(
            STRUCTURE,
            &[&self.fd.to_ne_bytes()[..], &asked, &[0; 2]].concat(),
        );
        let pollfd = self.address(STRUCTURE);
        let count = self.call(PPOLL, &[pollfd, 1, 0, 0])?;
        assert_eq!(count, 1);
        let memory = self.low.read(LOW);
        let at = STRUCTURE as usize + 6;
        Ok(i16::from_ne_bytes([memory[at], memory[at + 1]]).into())
    }

    /// How many of reading and writing select finds possible, waiting for ever.
    fn select(&self) -> Outcome {
        let mut set = [0; 128];
        set[self.fd as usize / 8] = 1 << (self.fd % 8);
        self.put(STRUCTURE, &[set, set].concat());
        let set = self.address(STRUCTURE);
        self.call(PSELECT, &[i64::from(self.fd) + 1, set, set + 128, 0, 0, 0])
    }

    /// Asks epoll for the file.
    fn epoll(&mut self) -> Outcome {
        let epoll = self.call(EPOLL_CREATE, &[0])?;
        let epoll = self.keep(epoll);
        let asked = (libc::EPOLLIN | libc::EPOLLOUT) as u32;
        self.put(STRUCTURE, &[&asked.to_ne_bytes()[..], &[0; 8]].concat());
        let arguments = [
            libc::EPOLL_CTL_ADD.into(),
            self.fd.into(),
            self.address(STRUCTURE),
        ];
        self.call(EPOLL_CTL, &[&[epoll.into()], &arguments[..]].concat())
    }

    /// What epoll says of it.
    fn epoll_wait(&mut self) -> Outcome {
        self.epoll()?;
        let epoll = self.others.last().expect("epoll keeps it").as_raw_fd();
        self.put(STRUCTURE, &[0; 12]);
        let events = self.address(STRUCTURE);
        let count = self.call(EPOLL_PWAIT, &[epoll.into(), events, 1, -1, 0])?;
        assert_eq!(count, 1);
        Ok(self.low.read(LOW)[STRUCTURE as usize].into())
    }

    fn map(&self, protection: i32) -> Outcome {
        let flags = libc::MAP_SHARED.into();
        self.call(
            MMAP,
            &[0, 4096, protection.into(), flags, self.fd.into(), 0],
        )
    }
}

/// Reads two bytes through one descriptor and the rest through another one: how many that are.
fn shared(c: &mut Caller, other: fn(&mut Caller) -> Outcome) -> Outcome {
    let buffer = c.address(BUFFER);
    c.on(READ, &[buffer, 2])?;
    other(c)
}

fn rest_through_duplicate(c: &mut Caller) -> Outcome {
    let fd = c.on(DUP, &[])?;
    let fd = c.keep(fd).into();
    c.call(READ, &[fd, c.address(BUFFER), 100])
}

fn rest_in_child(c: &mut Caller) -> Outcome {
    // SAFETY: The child only makes system calls.
    let pid = unsafe { Errno::result(libc::fork())? };
    if pid == 0 {
        let rest = c.on(READ, &[c.address(BUFFER), 100]).unwrap_or(100);
        // SAFETY: As above.
        unsafe { libc::_exit(rest as i32) };
    }
    let mut status = 0;
    // SAFETY: The pointer is good for the call.
    Errno::result(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    Ok(libc::WEXITSTATUS(status).into())
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("read 100", |c| c.on(READ, &[c.address(BUFFER), 100]), ["0", "4", "4"]),
    ("read 2", |c| c.on(READ, &[c.address(BUFFER), 2]), ["0", "2", "2"]),
    ("read 0", |c| c.on(READ, &[c.address(BUFFER), 0]), ["0", "0", "0"]),
    ("read to NULL", |c| c.on(READ, &[0, 100]), ["0", "EFAULT", "EFAULT"]),
    ("read 0 to NULL", |c| c.on(READ, &[0, 0]), ["0", "0", "0"]),
    ("readv 2+100", |c| c.on(READV, &[c.reading(), 2]), ["0", "4", "4"]),
    ("pread at 0", |c| c.at(PREAD, &[c.address(BUFFER), 100], 0), ["0", "4", "4"]),
    ("pread at 2", |c| c.at(PREAD, &[c.address(BUFFER), 100], 2), ["0", "0", "0"]),
    ("pread at 2^40", |c| c.at(PREAD, &[c.address(BUFFER), 100], 1 << 40), ["0", "0", "0"]),
    ("pread at -1", |c| c.at(PREAD, &[c.address(BUFFER), 100], -1), ["EINVAL"; 3]),
    ("preadv2 at 0", |c| c.vector_at(PREADV2, c.reading(), 0, 0), ["0", "4", "4"]),
    ("preadv2 at -1", |c| c.vector_at(PREADV2, c.reading(), -1, 0), ["0", "4", "4"]),
    ("preadv2 RWF_NOWAIT", |c| c.vector_at(PREADV2, c.reading(), 0, 8), ["EOPNOTSUPP"; 3]),
    ("write 2", |c| c.on(WRITE, &[c.text(b"x\n"), 2]), ["2", "2", "ENOSPC"]),
    ("write 1, of 2", |c| c.on(WRITE, &[c.text(b"x\n"), 1]), ["1", "1", "ENOSPC"]),
    ("write a newline", |c| c.on(WRITE, &[c.text(b"\n"), 1]), ["1", "1", "1"]),
    ("write 0", |c| c.on(WRITE, &[c.text(b""), 0]), ["0", "0", "0"]),
    ("write from NULL", |c| c.on(WRITE, &[0, 2]), ["EFAULT"; 3]),
    ("write 0 from NULL", |c| c.on(WRITE, &[0, 0]), ["0", "0", "0"]),
    ("write as long as the pot", |c| c.on(WRITE, &[c.text(b"12345678"), 8]), ["ENOSPC"; 3]),
    ("write far too many", |c| c.on(WRITE, &[0, TOO_MANY.into()]), ["ENOSPC"; 3]),
    ("write 2^31-1", |c| c.on(WRITE, &[c.address(0), 0x7fff_ffff]), ["ENOSPC"; 3]),
    ("writev 2+2", |c| c.on(WRITEV, &[c.writing(), 2]), ["4", "4", "ENOSPC"]),
    ("pwrite at 5", |c| c.at(PWRITE, &[c.text(b"x\n"), 2], 5), ["2", "2", "ENOSPC"]),
    ("pwrite at -1", |c| c.at(PWRITE, &[c.text(b"x\n"), 2], -1), ["EINVAL"; 3]),
    ("pwritev2 at 5", |c| c.vector_at(PWRITEV2, c.writing(), 5, 0), ["4", "4", "ENOSPC"]),
    ("lseek SET 2", |c| c.on(LSEEK, &[2, 0]), ["2"; 3]),
    ("lseek SET -1", |c| c.on(LSEEK, &[-1, 0]), ["EINVAL"; 3]),
    ("lseek CUR 0", |c| c.on(LSEEK, &[0, 1]), ["0"; 3]),
    ("lseek END 0", |c| c.on(LSEEK, &[0, 2]), ["EINVAL"; 3]),
    ("lseek DATA 0", |c| c.on(LSEEK, &[0, 3]), ["EINVAL"; 3]),
    ("poll IN OUT", |c| c.poll(), ["5"; 3]),
    ("select, both", |c| c.select(), ["2"; 3]),
    ("epoll_ctl ADD", Caller::epoll, ["0"; 3]),
    ("epoll_wait IN OUT", Caller::epoll_wait, ["5"; 3]),
    ("mmap read", |c| c.map(libc::PROT_READ), ["EIO"; 3]),
    ("mmap write", |c| c.map(libc::PROT_WRITE), ["EIO"; 3]),
    ("ioctl TCGETS", |c| c.on(IOCTL, &[0x5401, c.address(BUFFER)]), ["ENOTTY"; 3]),
    ("ioctl FIONREAD", |c| c.on(IOCTL, &[0x541b, c.address(BUFFER)]), ["0"; 3]),
    ("sendfile from it", |c| { let to = c.file(); c.call(SENDFILE, &[to, c.fd.into(), 0, 100]) }, ["EINVAL"; 3]),
    ("sendfile to it", |c| { let from = c.file(); c.on(SENDFILE, &[from, 0, 100]) }, ["EINVAL"; 3]),
    ("splice from it", |c| { let (_, to) = c.pipe(); c.on(SPLICE, &[0, to, 0, 100, 0]) }, ["EINVAL"; 3]),
    ("splice to it", |c| { let (from, _) = c.pipe(); c.call(SPLICE, &[from, 0, c.fd.into(), 0, 100, 0]) }, ["EINVAL"; 3]),
    ("copy_file_range from it", |c| { let to = c.file(); c.on(COPY_FILE_RANGE, &[0, to, 0, 100, 0]) }, ["EXDEV"; 3]),
    ("copy_file_range to it", |c| { let from = c.file(); c.call(COPY_FILE_RANGE, &[from, 0, c.fd.into(), 0, 100, 0]) }, ["EXDEV"; 3]),
    ("open O_TRUNC, write, read", |c| c.through(libc::O_RDWR | libc::O_TRUNC), ["2", "4", "ENOSPC"]),
    ("open O_APPEND, write, read", |c| c.through(libc::O_RDWR | libc::O_APPEND), ["2", "4", "ENOSPC"]),
    ("open O_NONBLOCK, write, read", |c| c.through(libc::O_RDWR | libc::O_NONBLOCK), ["2", "4", "ENOSPC"]),
    ("open O_RDONLY, write", |c| c.through(libc::O_RDONLY), ["EBADF"; 3]),
    ("open O_WRONLY, write, read", |c| c.through(libc::O_WRONLY), ["EBADF", "EBADF", "ENOSPC"]),
    ("open O_DIRECTORY", |c| c.open(libc::O_DIRECTORY), ["ENOTDIR"; 3]),
    ("open O_CREAT O_EXCL", |c| c.open(libc::O_CREAT | libc::O_EXCL), ["EEXIST"; 3]),
    ("open O_DIRECT", |c| c.open(libc::O_DIRECT), ["EINVAL"; 3]),
    ("read 2, dup, read there", |c| shared(c, rest_through_duplicate), ["0", "2", "2"]),
    ("read 2, fork, read there", |c| shared(c, rest_in_child), ["0", "2", "2"]),
    ("ftruncate 0", |c| c.on(FTRUNCATE, &[0]), ["0"; 3]),
    ("fsync", |c| c.on(FSYNC, &[]), ["EINVAL"; 3]),
    ("flock", |c| c.on(FLOCK, &[libc::LOCK_EX.into()]), ["0"; 3]),
    ("fallocate", |c| c.at(FALLOCATE, if c.is_32 { &[0, 0, 0] } else { &[0, 0] }, 1), ["EOPNOTSUPP"; 3]),
    ("getdents", |c| c.on(GETDENTS, &[c.address(BUFFER), 100]), ["ENOTDIR"; 3]),
];

fn table() {
    let _module = Module::load(&format!("pot_size={POT}"));
    let mut wrong = Vec::new();
    let mut cells = 0;
    note(format!(
        "{:<30} {:<11} {:<11} {:<11}",
        "call", "empty", "one", "full"
    ));
    for (name, run, expected) in ROWS {
        let mut line = format!("{name:<30}");
        for (fortunes, expected) in expected.iter().enumerate() {
            let got = KINDS.iter().map(|&is_32| {
                set("clear", "1").unwrap();
                (0..fortunes).for_each(|_| echo("one"));
                cells += 1;
                outcome(*run, is_32)
            });
            let got: Vec<String> = got.collect();
            if got.iter().any(|got| got != expected) {
                wrong.push(format!(
                    "{name}, {fortunes} fortunes: {got:?}, not {expected}"
                ));
            }
            line += &format!(" {:<11}", got[0]);
        }
        note(line.trim_end().to_owned());
    }
    note(match KINDS.len() {
        1 => format!("{cells} cells, by 64-bit calls"),
        _ => format!("{cells} cells: each by a 64-bit call and by a 32-bit one, which agree"),
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Makes a call through an open file of its own.
fn outcome(run: fn(&mut Caller) -> Outcome, is_32: bool) -> String {
    let path = CString::new(FORTUNE).unwrap();
    // SAFETY: The path is good.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    let mut caller = Caller {
        is_32,
        low: Low::new(LOW),
        fd: Errno::result(fd).unwrap(),
        others: Vec::new(),
    };
    caller.keep(fd.into());
    match run(&mut caller) {
        Ok(count) => count.to_string(),
        Err(error) => format!("{error:?}"),
    }
}
