// SPDX-License-Identifier: GPL-2.0

//! What one user of /proc/fortune can do to the others: nothing.

use crate::module::{FORTUNE, Module, assert_cat, cat, echo, open, store};
use nix::{
    errno::Errno,
    fcntl::{OFlag, SpliceFFlags, splice},
    mount::{MsFlags, mount, umount},
    sys::{
        mman::{MapFlags, ProtFlags, mmap_anonymous, munmap},
        stat::Mode,
    },
    unistd::{Whence, lseek, pipe, read},
};
use std::{
    fs::{self, File},
    io::Read,
    num::NonZero,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    ptr::NonNull,
    thread,
};

crate::tests!(others:
    stalled_reader,
    stalled_writer,
    memory_is_charged,
    nothing_is_logged,
);

/// A page whose first access stalls until [`Stall::let_go`]: the fault is served by user space
/// (Documentation/admin-guide/mm/userfaultfd.rst).
struct Stall {
    faults: OwnedFd,
    page: NonNull<libc::c_void>,
}

impl Stall {
    const PAGE: usize = 4096;
    const API: libc::c_ulong = 0xc018_aa3f;
    const REGISTER: libc::c_ulong = 0xc020_aa00;
    const ZEROPAGE: libc::c_ulong = 0xc020_aa04;

    fn new() -> Self {
        // SAFETY: There are no pointers, and the descriptor that is returned is nobody else's.
        let faults = unsafe {
            let fd = Errno::result(libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC));
            OwnedFd::from_raw_fd(fd.expect("userfaultfd") as i32)
        };
        let size = NonZero::new(Self::PAGE).unwrap();
        let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: New memory at an address of the kernel's choice is nobody's yet.
        let page = unsafe { mmap_anonymous(None, size, both, MapFlags::MAP_PRIVATE) }.unwrap();
        let this = Self { faults, page };
        // struct uffdio_api: version, features asked for, and those there are.
        this.ioctl(Self::API, &mut [0xaa, 0, 0]);
        // struct uffdio_register: the range, the mode (missing pages), and what can be done then.
        this.ioctl(
            Self::REGISTER,
            &mut [this.address(), Self::PAGE as u64, 1, 0],
        );
        this
    }

    fn address(&self) -> u64 {
        self.page.as_ptr() as u64
    }

    fn ioctl(&self, cmd: libc::c_ulong, argument: &mut [u64]) {
        // SAFETY: The arguments of all three are as large as their numbers say.
        let done = unsafe { libc::ioctl(self.faults.as_raw_fd(), cmd, argument.as_mut_ptr()) };
        Errno::result(done).unwrap_or_else(|error| panic!("ioctl {cmd:x}: {error}"));
    }

    /// Waits until somebody has run into the page.
    fn wait(&self) {
        // struct uffd_msg
        let mut message = [0; 32];
        assert_eq!(read(&self.faults, &mut message), Ok(32));
        assert_eq!(message[0], 0x12, "UFFD_EVENT_PAGEFAULT");
    }

    /// Puts zeroes there.
    fn let_go(&self) {
        self.ioctl(
            Self::ZEROPAGE,
            &mut [self.address(), Self::PAGE as u64, 0, 0],
        );
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // SAFETY: The page was mapped in `new`, and nobody uses it any more.
        unsafe { munmap(self.page, Self::PAGE) }.unwrap();
    }
}

/// What others do meanwhile: draw and store, a thousand times each.
fn others_go_on() {
    for number in 0..1000 {
        echo(&format!("other {number}"));
        assert!(!cat().is_empty());
    }
}

fn stalled_reader() {
    let _module = Module::load("pot_size=1000000");
    echo("for the one who stalls");
    let stall = Stall::new();
    let (address, file) = (stall.address(), open());
    let reader = thread::spawn(move || {
        // SAFETY: The page is there until the thread has ended.
        let count = unsafe { libc::read(file.as_raw_fd(), address as *mut libc::c_void, 100) };
        // SAFETY: As above; the read has ended.
        let page = unsafe { std::slice::from_raw_parts(address as *const u8, 23) };
        (count, page.to_vec())
    });
    stall.wait();
    others_go_on();
    stall.let_go();
    let expected = (23, b"for the one who stalls\n".to_vec());
    assert_eq!(reader.join().unwrap(), expected);
}

fn stalled_writer() {
    let _module = Module::load("pot_size=1000000");
    let stall = Stall::new();
    let (address, file) = (stall.address(), open());
    let writer = thread::spawn(move || {
        // SAFETY: The page is there until the thread has ended.
        unsafe { libc::write(file.as_raw_fd(), address as *const libc::c_void, 10) }
    });
    stall.wait();
    others_go_on();
    stall.let_go();
    assert_eq!(writer.join().unwrap(), 10);
    // It comes after all that was stored meanwhile, and is whole.
    let stored = (0..1000)
        .map(|_| cat())
        .filter(|text| text == b"\0\0\0\0\0\0\0\0\0\0\n");
    assert_eq!(stored.count(), 1);
}

fn memory_is_charged() {
    const FILES: usize = 200;
    let group = Path::new("/run/cgroup/readers");
    fs::create_dir_all("/run/cgroup").unwrap();
    mount(
        Some("cgroup2"),
        "/run/cgroup",
        Some("cgroup2"),
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    fs::write("/run/cgroup/cgroup.subtree_control", "+memory").unwrap();
    fs::create_dir(group).unwrap();
    let current = || -> usize {
        let text = fs::read_to_string(group.join("memory.current")).unwrap();
        text.trim_end().parse().unwrap()
    };

    let module = Module::load("pot_size=1000000");
    store(&[b'x'; 65536]).unwrap();
    fs::write(group.join("cgroup.procs"), "0").unwrap();
    let before = current();
    let files: Vec<File> = (0..FILES)
        .map(|_| {
            let mut file = open();
            assert_eq!(file.read(&mut [0; 10]).unwrap(), 10);
            file
        })
        .collect();
    // Each open file holds the fortune that it has drawn.
    let charged = current() - before;
    assert!(charged >= FILES * 65536, "{charged}");
    drop(files);
    let left = current().saturating_sub(before);
    assert!(left < FILES * 65536 / 10, "{left}");

    fs::write("/run/cgroup/cgroup.procs", "0").unwrap();
    module.unload();
    fs::remove_dir(group).unwrap();
    umount("/run/cgroup").unwrap();
}

fn nothing_is_logged() {
    let _module = Module::load("pot_size=10");
    echo("123456789");
    let log = nix::fcntl::open(
        "/dev/kmsg",
        OFlag::O_RDONLY | OFlag::O_NONBLOCK,
        Mode::empty(),
    );
    let log = log.unwrap();
    lseek(&log, 0, Whence::SeekEnd).unwrap();
    let file = open();
    let (from_pipe, _to_pipe) = pipe().unwrap();
    for _ in 0..10_000 {
        assert_eq!(store(b"too much"), Err(Errno::ENOSPC));
        assert_eq!(lseek(&file, -1, Whence::SeekSet), Err(Errno::EINVAL));
        let none = SpliceFFlags::empty();
        assert_eq!(
            splice(&from_pipe, None, &file, None, 1, none),
            Err(Errno::EINVAL)
        );
        // SAFETY: The kernel checks the addresses, and finds them bad.
        let results = unsafe {
            [
                libc::read(file.as_raw_fd(), std::ptr::null_mut(), 1),
                libc::write(file.as_raw_fd(), std::ptr::null(), 1),
            ]
        };
        assert_eq!(results, [-1, -1]);
    }
    assert_cat("123456789\n");
    let mut line = [0; 1000];
    let said =
        read(&log, &mut line).map(|count| String::from_utf8_lossy(&line[..count]).into_owned());
    assert_eq!(said, Err(Errno::EAGAIN));
    assert!(Path::new(FORTUNE).exists());
}
