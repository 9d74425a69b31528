// SPDX-License-Identifier: GPL-2.0

//! The procfs API, by tests/proc_fs/proc_fs_test.rs, which has an entry of every kind.

use crate::{
    memory::{Buffer, Low, int80, read_to},
    module::{Done, Module, by_kernel},
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, SpliceFFlags, open, splice},
    sys::{
        mman::{MapFlags, ProtFlags, mmap, munmap},
        sendfile::sendfile,
        stat::{Mode, stat},
        uio::{pread, pwrite, readv},
    },
    unistd::{Whence, lseek, pipe, read, write},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{IoSliceMut, Read, Write},
    num::NonZero,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

ktap::tests!(proc_fs, Guest:
    shortest_module,
    entries,
    names,
    directories_outlive_their_handles,
    show,
    show_more_than_a_page,
    show_an_error,
    store,
    show_and_store,
    list,
    list_of_all_sizes,
    read_and_write,
    read_and_write_at_the_ends,
    faults,
    seek,
    stock_seeks,
    ioctl,
    ioctl_of_32_bits,
    map,
    read_iter,
    splice_and_sendfile,
    missing_callbacks,
    released_once_for_each_open,
    removal_releases,
    removal_under_load,
    open_of_what_is_gone,
    unload_with_all_open,
    unload_under_load,
    failed_initialisation,
);

fn load() -> Module {
    Module::load_file("proc_fs_test", "")
}

fn path(name: &str) -> String {
    format!("/proc/proc_fs_test/{name}")
}

fn rw(name: &str) -> File {
    let file = OpenOptions::new().read(true).write(true).open(path(name));
    file.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All of a file, by reads of `size` bytes.
fn read_by(name: &str, size: usize) -> Result<Vec<u8>, Errno> {
    let file = File::open(path(name)).unwrap();
    let mut all = Vec::new();
    let mut buffer = vec![0; size];
    loop {
        match read(&file, &mut buffer)? {
            0 => return Ok(all),
            count => all.extend(&buffer[..count]),
        }
    }
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// How many files of memory and removable were opened and released so far.
fn counters() -> (usize, usize) {
    let text = text("counters");
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn shortest_module() {
    let module = Module::load_file("hello", "");
    let said = fs::read_to_string("/proc/hello").unwrap();
    assert_eq!(said, "Hello from the kernel\n");
    module.unload();
    assert!(!Path::new("/proc/hello").exists());
}

fn entries() {
    let _module = load();
    for (name, mode, owner, size) in [
        ("", 0o040555, (0, 0), 0),
        ("hello", 0o100444, (0, 0), 0),
        ("switch", 0o100644, (0, 0), 0),
        ("write_only", 0o100200, (0, 0), 0),
        ("stream", 0o100444, (0, 0), 10_000),
        ("owned", 0o100640, (1000, 100), 12_345),
        ("a", 0o040555, (0, 0), 0),
        ("a/b", 0o040500, (1000, 100), 0),
        // The owner is that of the directory.
        ("a/b/deep", 0o100444, (1000, 100), 0),
        ("../driver/proc_fs_test/hello", 0o100444, (0, 0), 0),
    ] {
        let status = stat(path(name).as_str()).unwrap();
        assert_eq!(status.st_mode, mode, "{name}: {:o}", status.st_mode);
        assert_eq!((status.st_uid, status.st_gid), owner, "{name}");
        assert_eq!(status.st_size, size, "{name}");
    }
    let target = fs::read_link(path("link")).unwrap();
    assert_eq!(target, Path::new("a/b/deep"));
    assert_eq!(text("link"), "Hello\n");
}

fn names() {
    let _module = load();
    let cases = text("names");
    let of = |errno: Errno| -(errno as i32);
    for (case, expected) in [
        ("empty", of(Errno::EINVAL)),
        ("dot", of(Errno::EINVAL)),
        ("dots", of(Errno::EINVAL)),
        ("slash", of(Errno::EINVAL)),
        ("slash_alone", of(Errno::EINVAL)),
        ("too_long", of(Errno::EINVAL)),
        ("longest", 0),
        ("longest_in_driver", 0),
        ("number_at_the_root", of(Errno::EINVAL)),
        ("number_elsewhere", 0),
        ("three_dots", 0),
        ("not_utf8", 0),
        ("slash_in_a_directory", of(Errno::EINVAL)),
        ("slash_in_a_link", of(Errno::EINVAL)),
        ("twice_one_after_the_other", 0),
        ("no_user", of(Errno::EINVAL)),
        ("no_group", of(Errno::EINVAL)),
        ("link_to_nothing", of(Errno::EINVAL)),
        ("link_of_a_byte", 0),
        ("link_of_4095_bytes", 0),
        ("link_of_4096_bytes", of(Errno::EINVAL)),
        ("failed_initialiser", of(Errno::EIO)),
        ("after_it", 0),
        ("data", 0),
    ] {
        let line = format!("{case} {expected}");
        assert!(
            cases.lines().any(|other| other == line),
            "not {line}:\n{cases}"
        );
    }
    // What was made for that is gone.
    assert!(!Path::new("/proc/proc_fs_names").exists());
}

fn directories_outlive_their_handles() {
    // The module has dropped its handles of a and of a/b: the file in them keeps them.
    let module = load();
    assert_eq!(text("a/b/deep"), "Hello\n");
    module.unload();
    for gone in ["/proc/proc_fs_test", "/proc/driver/proc_fs_test"] {
        assert!(!Path::new(gone).exists(), "{gone}");
    }
}

fn show() {
    let _module = load();
    for size in 1..=8 {
        assert_eq!(read_by("hello", size), Ok(b"Hello\n".to_vec()), "by {size}");
    }
    let file = rw("hello");
    let mut buffer = [0; 10];
    for (offset, rest) in [(0, "Hello\n"), (3, "lo\n"), (6, ""), (7, ""), (1 << 40, "")] {
        let count = pread(&file, &mut buffer, offset).unwrap();
        assert_eq!(&buffer[..count], rest.as_bytes(), "at {offset}");
    }
    assert_eq!(write(&file, b"x"), Err(Errno::EIO));
    assert_eq!(lseek(&file, 2, Whence::SeekSet), Ok(2));
    assert_eq!(read(&file, &mut buffer), Ok(4));
    assert_eq!(lseek(&file, 0, Whence::SeekEnd), Err(Errno::EINVAL));
}

fn show_more_than_a_page() {
    let _module = load();
    let expected: Vec<u8> = (0..=255).flat_map(|byte| [byte; 100]).collect();
    for size in [100, 1000, 4095, 4096, 4097, 100_000] {
        assert!(read_by("bytes", size) == Ok(expected.clone()), "by {size}");
    }
}

fn show_an_error() {
    let _module = load();
    for _ in 0..2 {
        assert_eq!(read_by("fails", 100), Err(Errno::ENXIO));
    }
}

fn store() {
    let _module = load();
    let file = rw("write_only");
    for (bytes, expected) in [
        (b"on".as_slice(), Ok(2)),
        (b"off\n", Ok(4)),
        (b"", Ok(0)),
        (b"on ", Err(Errno::EINVAL)),
        (b"on\n\n", Err(Errno::EINVAL)),
        (b"\n", Err(Errno::EINVAL)),
        (b"much too long", Err(Errno::EINVAL)),
        (&[b'x'; 100_000], Err(Errno::EINVAL)),
    ] {
        assert_eq!(write(&file, bytes), expected, "{bytes:.10?}");
    }
    // SAFETY: The kernel checks the address.
    let result = unsafe { libc::write(file.as_raw_fd(), std::ptr::null(), 2) };
    assert_eq!(Errno::result(result), Err(Errno::EFAULT));
    assert_eq!(read(&file, &mut [0]), Err(Errno::EIO));
    // Without a position of its own, and wherever pwrite says.
    assert_eq!(lseek(&file, 0, Whence::SeekSet), Err(Errno::ESPIPE));
    assert_eq!(pwrite(&file, b"on", 1000), Ok(2));
}

fn show_and_store() {
    let _module = load();
    for word in ["on", "off", "on"] {
        fs::write(path("switch"), word).unwrap();
        assert_eq!(text("switch"), format!("{word}\n"));
        assert_eq!(write(rw("switch"), b"neither"), Err(Errno::EINVAL));
        assert_eq!(text("switch"), format!("{word}\n"));
    }
    let mut file = rw("switch");
    file.write_all(b"off\n").unwrap();
    let mut buffer = [0; 10];
    assert_eq!(pread(&file, &mut buffer, 0), Ok(4));
    assert_eq!(&buffer[..4], b"off\n");
}

fn list() {
    let _module = load();
    let ids: Vec<String> = (0..1000).step_by(2).map(|id| id.to_string()).collect();
    let expected = ids.join("\n") + "\n";
    for size in [1, 2, 3, 4, 5, 100, 1944, 1945, 1946, 100_000] {
        assert!(
            read_by("even", size) == Ok(expected.clone().into_bytes()),
            "by {size}"
        );
    }
    let file = File::open(path("even")).unwrap();
    let mut buffer = [0; 5];
    for offset in [0, 1, 2, 9, 10, 11, 1000, 1940, 1944, 1945, 1 << 40] {
        let count = pread(&file, &mut buffer, offset as i64).unwrap();
        let rest = expected.as_bytes().get(offset..).unwrap_or_default();
        assert_eq!(&buffer[..count], &rest[..count], "at {offset}");
        assert_eq!(count == 0, rest.is_empty(), "at {offset}");
    }
    assert_eq!(lseek(&file, 1940, Whence::SeekSet), Ok(1940));
    assert_eq!(read(&file, &mut buffer), Ok(5));
    assert_eq!(read(&file, &mut buffer), Ok(0));
}

fn list_of_all_sizes() {
    let _module = load();
    let expected: Vec<u8> = (10..90)
        .filter(|id| id % 3 != 0)
        .flat_map(|id| {
            let mut item = vec![b'0' + id % 10; usize::from(id) * 100];
            item.push(b'\n');
            item
        })
        .collect();
    for size in [1000, 4096, 10_000, 1_000_000] {
        let file = File::open(path("uneven")).unwrap();
        let mut all = Vec::<u8>::new();
        let mut buffer = vec![0; size];
        let error = loop {
            match read(&file, &mut buffer) {
                Ok(0) => panic!("no error at item 90"),
                Ok(count) => all.extend(&buffer[..count]),
                Err(error) => break error,
            }
        };
        assert_eq!(error, Errno::ENXIO);
        assert!(
            all == expected,
            "by {size}: {} of {}",
            all.len(),
            expected.len()
        );
    }
}

fn read_and_write() {
    let _module = load();
    let file = rw("memory");
    assert_eq!(write(&file, b"first"), Ok(5));
    assert_eq!(write(&file, b" second"), Ok(7));
    assert_eq!(pwrite(&file, b"F", 0), Ok(1));
    assert_eq!(lseek(&file, 0, Whence::SeekSet), Ok(0));
    let mut buffer = [0; 12];
    assert_eq!(read(&file, &mut buffer[..3]), Ok(3));
    assert_eq!(read(&file, &mut buffer[3..]), Ok(9));
    assert_eq!(&buffer, b"First second");
    // Another open file sees it, but has a position of its own.
    assert_eq!(read(rw("memory"), &mut buffer[..5]), Ok(5));
    assert_eq!(&buffer[..5], b"First");
    // Each segment is a call of its own.
    let (mut one, mut two) = ([0; 2], [0; 3]);
    lseek(&file, 0, Whence::SeekSet).unwrap();
    let mut segments = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(readv(&file, &mut segments), Ok(5));
    assert_eq!((&one, &two), (b"Fi", b"rst"));
}

fn read_and_write_at_the_ends() {
    let _module = load();
    let file = rw("memory");
    let mut buffer = [0; 10];
    for (offset, expected) in [
        (4090, 6),
        (4095, 1),
        (4096, 0),
        (5000, 0),
        (i64::MAX - 10, 0),
    ] {
        assert_eq!(
            pread(&file, &mut buffer, offset),
            Ok(expected),
            "at {offset}"
        );
        let written = pwrite(&file, &buffer, offset);
        let expected = if expected == 0 {
            Err(Errno::ENOSPC)
        } else {
            Ok(expected)
        };
        assert_eq!(written, expected, "at {offset}");
    }
    assert_eq!(pread(&file, &mut buffer, -1), Err(Errno::EINVAL));
    assert_eq!(pread(&file, &mut [], 0), Ok(0));
    assert_eq!(pwrite(&file, &[], 0), Ok(0));
}

fn faults() {
    let _module = load();
    let file = rw("memory");
    let pages = Buffer::new(4096);
    assert_eq!(read_to(&file, pages.edge(0), 10), Err(Errno::EFAULT));
    assert_eq!(lseek(&file, 0, Whence::SeekEnd), Ok(4096));
    lseek(&file, 0, Whence::SeekSet).unwrap();
    // Exactly what fits, and the position with it: the next read goes on from there.
    for room in [1, 7, 8, 100] {
        assert_eq!(read_to(&file, pages.edge(room), 1000), Ok(room));
    }
    let mut rest = Vec::new();
    (&file).read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 4096 - 116);
    // SAFETY: The kernel checks the address.
    let result = unsafe { libc::write(file.as_raw_fd(), pages.edge(0), 10) };
    assert_eq!(Errno::result(result), Err(Errno::ENOSPC), "at the end");
    lseek(&file, 0, Whence::SeekSet).unwrap();
    // SAFETY: As above.
    let result = unsafe { libc::write(file.as_raw_fd(), pages.edge(5), 10) };
    assert_eq!(Errno::result(result), Err(Errno::EFAULT));
    let stream = File::open(path("stream")).unwrap();
    assert_eq!(read_to(&stream, pages.edge(0), 10), Err(Errno::EFAULT));
    assert_eq!(read_to(&stream, pages.edge(9), 100), Ok(9));
}

fn seek() {
    let _module = load();
    let file = rw("memory");
    for offset in [0, 1, 4096, i64::MAX] {
        assert_eq!(lseek(&file, offset, Whence::SeekSet), Ok(offset));
    }
    // What the callback returns is checked: it may not be negative.
    for offset in [-1, i64::MIN] {
        assert_eq!(lseek(&file, offset, Whence::SeekSet), Err(Errno::EINVAL));
    }
    assert_eq!(lseek(&file, -4096, Whence::SeekEnd), Ok(0));
    assert_eq!(lseek(&file, -4097, Whence::SeekEnd), Err(Errno::EINVAL));
    assert_eq!(
        lseek(&file, i64::MAX, Whence::SeekEnd),
        Err(Errno::EOVERFLOW)
    );
    lseek(&file, 7, Whence::SeekSet).unwrap();
    assert_eq!(lseek(&file, 3, Whence::SeekCur), Ok(10));
    assert_eq!(lseek(&file, -11, Whence::SeekCur), Err(Errno::EINVAL));
    assert_eq!(
        lseek(&file, i64::MAX, Whence::SeekCur),
        Err(Errno::EOVERFLOW)
    );
    assert_eq!(lseek(&file, 0, Whence::SeekCur), Ok(10));
    assert_eq!(lseek(&file, 5, Whence::SeekData), Ok(0));
    assert_eq!(
        lseek(&file, 5, Whence::SeekHole),
        Err(Errno::EINVAL),
        "it says -1"
    );
    // SAFETY: There is nothing that lseek could harm.
    let result = unsafe { libc::lseek(file.as_raw_fd(), 0, 5) };
    assert_eq!(Errno::result(result), Err(Errno::EINVAL));
}

fn stock_seeks() {
    let _module = load();
    let default = File::open(path("stream")).unwrap();
    assert_eq!(lseek(&default, -1, Whence::SeekEnd), Ok(9_999));
    assert_eq!(lseek(&default, 1, Whence::SeekCur), Ok(10_000));
    assert_eq!(lseek(&default, -1, Whence::SeekSet), Err(Errno::EINVAL));
    let noop = rw("noop");
    assert_eq!(lseek(&noop, 1000, Whence::SeekEnd), Ok(0));
    let unseekable = rw("bare");
    assert_eq!(lseek(&unseekable, 0, Whence::SeekCur), Err(Errno::ESPIPE));
}

const LEN: libc::c_ulong = 0x7000;
const GET: libc::c_ulong = 0x8008_7001;
const SET: libc::c_ulong = 0x4008_7002;
const NEGATIVE: libc::c_ulong = 0x7003;

fn ioctl() {
    let _module = load();
    let file = rw("memory");
    let call = |cmd, arg: *mut u64| {
        // SAFETY: The kernel checks the address; behind it are eight bytes.
        Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), cmd, arg) })
    };
    let (mut set, mut got) = (0x0123_4567_89ab_cdef, 0);
    let null = std::ptr::null_mut();
    assert_eq!(call(LEN, null), Ok(4096));
    assert_eq!(call(SET, &raw mut set), Ok(0));
    assert_eq!(call(GET, &raw mut got), Ok(0));
    assert_eq!(got, set);
    assert_eq!(call(GET, null), Err(Errno::EFAULT));
    assert_eq!(call(SET, null), Err(Errno::EFAULT));
    assert_eq!(call(NEGATIVE, null), Err(Errno::EIO));
    for unknown in [0, 0x7004, 0xffff_ffff] {
        assert_eq!(call(unknown, null), Err(Errno::ENOTTY), "{unknown:x}");
    }
}

fn ioctl_of_32_bits() {
    let _module = load();
    let file = rw("memory");
    // Memory that a 32-bit program could have.
    let low = Low::new(8);
    let ioctl = |file: &File, cmd, arg| {
        const NR_IOCTL: u32 = 54;
        // SAFETY: The kernel checks the address; behind it are eight bytes.
        unsafe { int80(NR_IOCTL, [file.as_raw_fd() as u32, cmd, arg, 0, 0, 0]) }
    };
    let call = |cmd: libc::c_ulong, arg| ioctl(&file, cmd as u32, arg);
    low.write(&0x1122_3344_5566_7788_u64.to_ne_bytes());
    assert_eq!(call(LEN, 0), Ok(4096));
    assert_eq!(call(SET, low.address()), Ok(0));
    low.write(&[0; 8]);
    assert_eq!(call(GET, low.address()), Ok(0));
    assert_eq!(low.read(8), 0x1122_3344_5566_7788_u64.to_ne_bytes());
    assert_eq!(call(GET, 0), Err(Errno::EFAULT));
    assert_eq!(call(0x7004, 0), Err(Errno::ENOTTY));
    let bare = rw("bare");
    assert_eq!(ioctl(&bare, LEN as u32, 0), Err(Errno::ENOTTY));
}

fn map() {
    let module = load();
    let file = rw("memory");
    let size = NonZero::new(4096).unwrap();
    let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: New memory at an address of the kernel's choice.
    let map = || unsafe { mmap(None, size, both, MapFlags::MAP_SHARED, &file, 0) }.unwrap();
    let (one, two) = (map(), map());
    let word = |at: std::ptr::NonNull<libc::c_void>| at.cast::<u32>().as_ptr();
    // SAFETY: Both mappings are four bytes and more, and of the same page of the kernel's.
    unsafe { word(one).write_volatile(0xfeed) };
    // SAFETY: As above.
    assert_eq!(unsafe { word(two).read_volatile() }, 0xfeed);
    // They stay when the entry goes.
    drop(file);
    module.unload();
    // SAFETY: As above.
    unsafe { word(one).write_volatile(0xbeef) };
    // SAFETY: As above.
    assert_eq!(unsafe { word(two).read_volatile() }, 0xbeef);
    // SAFETY: They are unmapped once and not used after.
    unsafe { munmap(one, 4096).and(munmap(two, 4096)) }.unwrap();
}

fn read_iter() {
    let _module = load();
    for size in [1, 999, 4096, 10_000, 10_001] {
        assert!(
            read_by("stream", size) == Ok(vec![b'x'; 10_000]),
            "by {size}"
        );
    }
    let file = File::open(path("stream")).unwrap();
    let mut buffer = [0; 10];
    for (offset, count) in [
        (0, 10),
        (9_995, 5),
        (10_000, 0),
        (10_001, 0),
        (i64::MAX - 10, 0),
    ] {
        assert_eq!(pread(&file, &mut buffer, offset), Ok(count), "at {offset}");
    }
    let (mut one, mut two) = ([0; 7000], [0; 7000]);
    let mut segments = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(readv(&file, &mut segments), Ok(10_000));
    assert_eq!(two[2999..3001], [b'x', 0]);
}

fn splice_and_sendfile() {
    let _module = load();
    let (from_pipe, to_pipe) = pipe().unwrap();
    let file = File::open(path("stream")).unwrap();
    let none = SpliceFFlags::empty();
    assert_eq!(splice(&file, None, &to_pipe, None, 4000, none), Ok(4000));
    let mut buffer = vec![0; 20_000];
    assert_eq!(read(&from_pipe, &mut buffer), Ok(4000));
    assert_eq!(sendfile(&to_pipe, &file, None, 20_000), Ok(6000));
    assert_eq!(read(&from_pipe, &mut buffer), Ok(6000));
    assert!(buffer[..6000].iter().all(|&byte| byte == b'x'));
    // Lists and shown files too, but not what has a `read`.
    let even = File::open(path("even")).unwrap();
    assert_eq!(sendfile(&to_pipe, &even, None, 100), Ok(100));
    let memory = rw("memory");
    assert_eq!(
        splice(&memory, None, &to_pipe, None, 100, none),
        Err(Errno::EINVAL)
    );
    // Nothing can be spliced into a file in /proc.
    assert_eq!(
        splice(&from_pipe, None, &memory, None, 100, none),
        Err(Errno::EINVAL)
    );
}

fn missing_callbacks() {
    let _module = load();
    assert_procfs_answers(&rw("bare"));
}

fn released_once_for_each_open() {
    let _module = load();
    assert_eq!(counters(), (0, 0));
    let files: Vec<File> = (0..10).map(|_| rw("memory")).collect();
    assert_eq!(counters(), (10, 0));
    // A duplicate is the same open file.
    let duplicates: Vec<File> = files.iter().map(|file| file.try_clone().unwrap()).collect();
    drop(files);
    assert_eq!(counters(), (10, 0));
    drop(duplicates);
    assert_eq!(counters(), (10, 10));
    // An open that the callback refuses has nothing to release; one that the VFS refuses after the
    // callback has.
    let open = |flags| open(path("memory").as_str(), flags, Mode::empty()).map(drop);
    assert_eq!(open(OFlag::O_RDONLY | OFlag::O_NONBLOCK), Err(Errno::EBUSY));
    assert_eq!(counters(), (10, 10));
    assert_eq!(open(OFlag::O_RDONLY | OFlag::O_DIRECT), Err(Errno::EINVAL));
    assert_eq!(counters(), (11, 11));
}

fn remove() -> Result<usize, Errno> {
    write(
        OpenOptions::new().write(true).open(path("remove")).unwrap(),
        b"x",
    )
}

/// What procfs answers by itself, where there is no callback, or no entry any more.
fn assert_procfs_answers(file: &impl std::os::fd::AsFd) {
    let mut buffer = [0; 10];
    assert_eq!(read(file, &mut buffer), Err(Errno::EIO));
    assert_eq!(write(file, b"x"), Err(Errno::EIO));
    let fd = file.as_fd().as_raw_fd();
    let size = NonZero::new(4096).unwrap();
    // SAFETY: New memory, if any.
    let mapped = unsafe {
        mmap(
            None,
            size,
            ProtFlags::PROT_READ,
            MapFlags::MAP_SHARED,
            file,
            0,
        )
    };
    assert_eq!(mapped, Err(Errno::EIO));
    // SAFETY: No argument is used.
    let asked = unsafe { libc::ioctl(fd, LEN, 0) };
    assert_eq!(Errno::result(asked), Err(Errno::ENOTTY));
}

fn removal_releases() {
    let _module = load();
    let files: Vec<File> = (0..10).map(|_| rw("removable")).collect();
    let open_elsewhere = rw("memory");
    assert_eq!(counters(), (11, 0));
    assert_eq!(remove(), Ok(1));
    // By the thread that removed it, and before it went on.
    assert_eq!(counters(), (11, 10));
    for file in &files {
        assert_procfs_answers(file);
        assert_eq!(lseek(file, 0, Whence::SeekSet), Err(Errno::EINVAL));
    }
    drop(files);
    assert_eq!(counters(), (11, 10));
    assert_eq!(remove(), Err(Errno::ENOENT));
    assert!(!Path::new(&path("removable")).exists());
    drop(open_elsewhere);
    assert_eq!(counters(), (11, 11));
}

fn removal_under_load() {
    for _ in 0..30 {
        let _module = load();
        let begun = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut buffer = [0; 100];
                    loop {
                        let opened = OpenOptions::new()
                            .read(true)
                            .write(true)
                            .open(path("removable"));
                        let Ok(file) = opened else { break };
                        begun.fetch_add(1, Ordering::Relaxed);
                        for result in [
                            write(&file, &buffer[..50]),
                            pread(&file, &mut buffer, 0),
                            lseek(&file, 0, Whence::SeekSet).map(|at| at as usize),
                        ] {
                            assert!(
                                matches!(result, Ok(_) | Err(Errno::EIO | Errno::EINVAL)),
                                "{result:?}"
                            );
                        }
                    }
                });
            }
            while begun.load(Ordering::Relaxed) < 20 {
                thread::yield_now();
            }
            assert_eq!(remove(), Ok(1));
        });
        let (opened, released) = counters();
        assert_eq!(opened, released);
        assert!(opened >= 20);
    }
}

fn open_of_what_is_gone() {
    let _module = load();
    // A descriptor that stands for the entry and has not opened it.
    let place = open(path("removable").as_str(), OFlag::O_PATH, Mode::empty()).unwrap();
    assert_eq!(remove(), Ok(1));
    let again = format!("/proc/self/fd/{}", place.as_raw_fd());
    let opened = open(again.as_str(), OFlag::O_RDONLY, Mode::empty()).map(drop);
    assert_eq!(opened, Err(Errno::ENOENT));
    assert_eq!(counters(), (0, 0));
}

const ALL: &[&str] = &[
    "hello",
    "bytes",
    "fails",
    "switch",
    "write_only",
    "even",
    "uneven",
    "memory",
    "stream",
    "bare",
    "owned",
    "a/b/deep",
    "removable",
];

fn unload_with_all_open() {
    let module = load();
    let files: Vec<File> = ALL.iter().map(|name| rw(name)).collect();
    // Some of them half-way through what they read.
    for file in &files {
        let _ = read(file, &mut [0; 3]);
    }
    let directory = File::open(path("a")).unwrap();
    assert_eq!(module.try_unload(), Ok(()));
    for file in &files {
        assert_procfs_answers(file);
    }
    drop((files, directory));
    // There is nothing in the way of the next one.
    load().unload();
}

fn unload_under_load() {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&stop);
        for first in 0..3 {
            let stop = &stop;
            scope.spawn(move || {
                let mut buffer = [0; 5000];
                for name in ALL.iter().cycle().skip(first) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let opened: Result<OwnedFd, Errno> =
                        open(path(name).as_str(), OFlag::O_RDWR, Mode::empty());
                    match opened {
                        Ok(file) => {
                            let results = [read(&file, &mut buffer), write(&file, b"on")];
                            assert!(
                                results.iter().all(|result| matches!(
                                    result,
                                    Ok(_)
                                        | Err(Errno::EIO
                                            | Errno::EINVAL
                                            | Errno::ENXIO
                                            | Errno::ENOSPC)
                                )),
                                "{name}: {results:?}"
                            );
                        }
                        Err(Errno::ENOENT) => {}
                        Err(error) => panic!("{name}: {error}"),
                    }
                    let _ = fs::read_dir(path("")).map(Iterator::count);
                    let _ = fs::read_link(path("link"));
                }
            });
        }
        for _ in 0..by_kernel(50, 20) {
            load().unload();
        }
    });
}

fn failed_initialisation() {
    for _ in 0..10 {
        let failed = Module::try_load_file("proc_fs_test", "fail=1").map(drop);
        assert_eq!(failed, Err(Errno::EIO));
        for gone in ["/proc/proc_fs_test", "/proc/driver/proc_fs_test"] {
            assert!(!Path::new(gone).exists(), "{gone}");
        }
    }
    load().unload();
}
