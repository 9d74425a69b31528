// SPDX-License-Identifier: GPL-2.0

//! What safe code may do to the procfs API, by tests/proc_fs/attacks.rs: attacks.md beside that lists it all.

use crate::{
    memory::{Buffer, read_to},
    module::{Done, KernelLog, Module, by_kernel},
};
use ktap::{amount, skip};
use nix::{
    errno::Errno,
    fcntl::{OFlag, SpliceFFlags, open, splice},
    libc,
    sys::{
        mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap},
        stat::Mode,
        uio::{pread, pwrite, readv, writev},
    },
    unistd::{Whence, lseek, pipe, read, write},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, IoSliceMut},
    num::NonZero,
    os::fd::{AsRawFd, RawFd},
    path::Path,
    process::{Command, Stdio},
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

ktap::tests!(attacks, Guest:
    eagain_from_a_show,
    queued_is_an_error,
    errors_of_a_show,
    texts_without_end,
    what_can_not_be_printed,
    show_of_a_page,
    list_of_nothings_can_be_killed,
    seek_in_an_endless_list_can_be_killed,
    ids_that_are_none,
    negative_positions,
    the_last_position,
    counts_of_reads,
    counts_of_reads_that_fault,
    splice_gets_what_was_written,
    read_iter_in_pieces,
    counts_of_writes,
    each_byte_is_read_once,
    seeks_before_the_file,
    ioctl_results_and_addresses,
    file_kept_in_open,
    no_calls_before_open_has_returned,
    open_of_a_stale_file,
    boxes_of_any_flags_and_size,
    pages_where_none_can_be,
    pages_begin_as_zeroes,
    mapping_that_can_not_be_written,
    directories_as_deep_as_you_like,
    handles_dropped_in_any_order,
    files_in_files,
    files_are_moved_while_read,
    file_removed_by_a_release,
    data_of_megabytes,
    links_to_anything,
    unload_with_all_open,
    unload_under_attack,
);

fn load() -> Module {
    Module::load_file("proc_fs_attacks", "")
}

fn path(name: &str) -> String {
    format!("/proc/proc_fs_attacks/{name}")
}

fn ro(name: &str) -> File {
    File::open(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn wo(name: &str) -> File {
    let file = OpenOptions::new().write(true).open(path(name));
    file.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rw(name: &str) -> File {
    let file = OpenOptions::new().read(true).write(true).open(path(name));
    file.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All of a file, or the error of the read that fails.
fn all(name: &str) -> Result<Vec<u8>, Errno> {
    fs::read(path(name)).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()))
}

fn eagain_from_a_show() {
    let module = load();
    for name in ["show_eagain", "list_eagain"] {
        let file = ro(name);
        let mut buffer = [0; 100];
        // Through traverse(), which calls again on EAGAIN.
        assert_eq!(pread(&file, &mut buffer, 50), Err(Errno::EIO), "{name}");
        assert_eq!(lseek(&file, 50, Whence::SeekSet), Err(Errno::EIO), "{name}");
    }
    assert_eq!(all("show_eagain"), Err(Errno::EIO));
    // What comes before the item that fails is read.
    let list = ro("list_eagain");
    let mut buffer = [0; 100];
    assert_eq!(read(&list, &mut buffer), Ok(6));
    assert_eq!(&buffer[..6], b"0\n1\n2\n");
    assert_eq!(read(&list, &mut buffer), Err(Errno::EIO));
    drop(list);
    module.unload();
}

fn queued_is_an_error() {
    let _module = load();
    for name in ["show_queued", "read_queued", "iter_queued"] {
        assert_eq!(read(ro(name), &mut [0; 100]), Err(Errno::EIO), "{name}");
    }
    let (_from, to) = pipe().unwrap();
    let spliced = splice(
        ro("iter_queued"),
        None,
        &to,
        None,
        100,
        SpliceFFlags::empty(),
    );
    assert_eq!(spliced, Err(Errno::EIO));
    for name in ["store_queued", "write_queued"] {
        assert_eq!(write(wo(name), b"x"), Err(Errno::EIO), "{name}");
    }
}

fn errors_of_a_show() {
    let _module = load();
    for name in ["show_and_fail", "show_much_and_fail"] {
        let file = ro(name);
        for offset in [0, 1, 5000] {
            let result = pread(&file, &mut [0; 10_000], offset);
            assert_eq!(result, Err(Errno::ENXIO), "{name} at {offset}");
        }
    }
    assert_eq!(all("show_nothing"), Ok(Vec::new()));
}

fn texts_without_end() {
    let _module = load();
    for name in ["show_for_ever", "show_too_much", "list_an_endless_item"] {
        let file = ro(name);
        for offset in [0, 1] {
            let result = pread(&file, &mut [0; 10], offset);
            assert_eq!(result, Err(Errno::EFBIG), "{name} at {offset}");
        }
    }
}

fn what_can_not_be_printed() {
    let _module = load();
    assert_eq!(all("show_unprintable"), Err(Errno::EINVAL));
    assert_eq!(all("show_after_unprintable"), Ok(b"one three\n".to_vec()));
}

fn show_of_a_page() {
    let _module = load();
    assert!(all("show_a_page") == Ok(vec![b'x'; 4096]));
}

/// A program that is killed while its call goes on ends.
fn assert_killed(program: &str, arguments: &[&str]) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "it has not ended by itself"
    );
    child.kill().unwrap();
    // If it can't be killed, this does not end either.
    assert!(!child.wait().unwrap().success());
}

fn list_of_nothings_can_be_killed() {
    let module = load();
    assert_killed("cat", &[&path("list_of_nothings")]);
    module.unload();
}

fn seek_in_an_endless_list_can_be_killed() {
    let module = load();
    let file = format!("if={}", path("list_for_ever"));
    assert_killed("dd", &[&file, "bs=1", "skip=1000000000000", "count=1"]);
    let mut buffer = [0; 10_000];
    assert_eq!(
        read(ro("list_for_ever"), &mut buffer),
        Ok(4095),
        "seq_file's page"
    );
    module.unload();
}

fn ids_that_are_none() {
    let _module = load();
    assert_eq!(all("list_backwards"), Ok(b"0\n".to_vec()));
    let last = format!("{}\n", i64::MAX - 1);
    assert_eq!(all("list_to_the_last"), Ok(last.into_bytes()));
    assert_eq!(all("list_beyond"), Ok(Vec::new()));
}

fn negative_positions() {
    let _module = load();
    let log = KernelLog::new();
    let (mut one, mut two) = ([0; 1], [0; 1]);
    for name in ["read_to_a_negative_place", "iter_to_a_negative_place"] {
        let file = ro(name);
        for _ in 0..2 {
            assert_eq!(read(&file, &mut one), Err(Errno::EIO), "{name}");
            assert_eq!(pread(&file, &mut one, 7), Err(Errno::EIO), "{name}");
            let mut segments = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!(readv(&file, &mut segments), Err(Errno::EIO), "{name}");
        }
    }
    let (_from, to) = pipe().unwrap();
    let file = ro("iter_to_a_negative_place");
    let spliced = splice(&file, None, &to, None, 100, SpliceFFlags::empty());
    assert_eq!(spliced, Err(Errno::EIO));
    let file = wo("write_to_a_negative_place");
    for _ in 0..2 {
        assert_eq!(write(&file, b"x"), Err(Errno::EIO));
        assert_eq!(pwrite(&file, b"x", 7), Err(Errno::EIO));
        let segments = [IoSlice::new(b"x"), IoSlice::new(b"y")];
        assert_eq!(writev(&file, &segments), Err(Errno::EIO));
    }
    // The callbacks say if they are called there.
    let said = log.said();
    assert!(!said.iter().any(|line| line.contains("attack")), "{said:?}");
}

fn the_last_position() {
    let _module = load();
    let file = ro("read_to_the_last_place");
    let (mut one, mut two) = ([0; 1], [0; 1]);
    let mut segments = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(readv(&file, &mut segments), Ok(1));
    assert_eq!(read(&file, &mut [0; 10]), Err(Errno::EINVAL), "the VFS's");
}

fn counts_of_reads() {
    let _module = load();
    assert_eq!(read(ro("read_nothing"), &mut [0; 100]), Ok(0));
    let both: Vec<u8> = [[b'x'; 1000], [b'y'; 1000]].concat();
    for room in [0, 1, 999, 1000, 1001, 1999, 2000, 2001, 4000] {
        let mut buffer = vec![0; 4000];
        let count = read(ro("read_more"), &mut buffer[..room]);
        assert_eq!(count, Ok(room.min(2000)));
        assert_eq!(buffer[..room.min(2000)], both[..room.min(2000)]);
        assert!(buffer[room.min(2000)..].iter().all(|&byte| byte == 0));
    }
    assert_eq!(read(ro("read_in_pieces"), &mut [0; 200]), Ok(100));
    assert_eq!(read(ro("read_in_pieces"), &mut [0; 50]), Ok(50));
}

fn counts_of_reads_that_fault() {
    let _module = load();
    let mut pages = Buffer::new(4096);
    for room in [0, 1, 7, 8, 9, 20] {
        // It takes no notice of any fault.
        let count = read_to(ro("read_after_a_fault"), pages.edge(room), 800);
        assert_eq!(count, Ok(room), "{room}");
        let expected: Vec<u8> = b"12345678".iter().copied().cycle().take(room).collect();
        assert_eq!(pages.tail(room), expected, "{room}");
        // It fails with the fault.
        let count = read_to(ro("read_in_pieces"), pages.edge(room), 100);
        assert_eq!(count, Err(Errno::EFAULT), "{room}");
        let count = read_to(ro("iter_in_pieces"), pages.edge(room), 100);
        assert_eq!(count, Err(Errno::EFAULT), "{room}");
    }
}

/// What splice brings of `size` bytes, and what it returns.
fn spliced(name: &str, size: usize) -> (Result<usize, Errno>, Vec<u8>) {
    let (from, to) = pipe().unwrap();
    let result = splice(ro(name), None, &to, None, size, SpliceFFlags::empty());
    drop(to);
    let mut bytes = Vec::new();
    io::copy(&mut File::from(from), &mut bytes).unwrap();
    (result, bytes)
}

fn splice_gets_what_was_written() {
    let _module = load();
    soil_memory();
    for size in [4, 5, 100, 4096, 50_000] {
        assert_eq!(spliced("iter_little", size), (Ok(4), b"true".to_vec()));
        assert_eq!(spliced("iter_nothing", size), (Ok(0), Vec::new()));
        assert_eq!(
            spliced("iter_and_fail", size),
            (Err(Errno::ENXIO), Vec::new())
        );
    }
    assert_eq!(read(ro("iter_little"), &mut [0; 100]), Ok(4));
    assert_eq!(read(ro("iter_little"), &mut [0; 3]), Ok(3));
    assert_eq!(read(ro("iter_and_fail"), &mut [0; 100]), Err(Errno::ENXIO));
}

fn read_iter_in_pieces() {
    let _module = load();
    let expected: Vec<u8> = b"12345".iter().copied().cycle().take(50_000).collect();
    for size in [1, 4, 5, 4095, 4096, 4097, 50_000] {
        let mut buffer = vec![0; size];
        assert_eq!(read(ro("iter_in_pieces"), &mut buffer), Ok(size));
        assert!(buffer == expected[..size], "{size}");
        let (result, bytes) = spliced("iter_in_pieces", size);
        let count = result.unwrap();
        assert!(count > 0 && bytes == expected[..count], "{size}: {count}");
    }
}

fn counts_of_writes() {
    let _module = load();
    for bytes in [&b""[..], b"x", &[0; 5000]] {
        assert_eq!(write(wo("write_claims"), bytes), Err(Errno::EIO));
    }
    // Nothing of it is read, nor need be.
    for bytes in [&b""[..], b"x", &[0; 5000]] {
        assert_eq!(write(wo("store_unread"), bytes), Ok(bytes.len()));
    }
}

fn each_byte_is_read_once() {
    let _module = load();
    assert_eq!(
        write(wo("write_reads_too_much"), &[0; 99]),
        Err(Errno::EINVAL)
    );
    assert_eq!(write(wo("write_reads_too_much"), &[0; 100]), Ok(100));
    assert_eq!(write(wo("write_reads_twice"), &[0; 7]), Err(Errno::EINVAL));
    assert_eq!(write(wo("write_reads_twice"), &[0; 8]), Ok(8));
    // A read that faults takes nothing: the next one begins where it began.
    let mut pages = Buffer::new(4096);
    pages.tail(4).fill(3);
    // SAFETY: The kernel checks the address.
    let result = unsafe {
        libc::write(
            wo("write_reads_after_a_fault").as_raw_fd(),
            pages.edge(4),
            8,
        )
    };
    assert_eq!(Errno::result(result), Ok(3));
}

fn seeks_before_the_file() {
    let _module = load();
    for name in ["seek_before", "seek_far_before"] {
        assert_eq!(
            lseek(ro(name), 1, Whence::SeekSet),
            Err(Errno::EINVAL),
            "{name}"
        );
    }
    assert_eq!(
        lseek(ro("seek_to_the_last"), 1, Whence::SeekSet),
        Ok(i64::MAX)
    );
}

fn ioctl(fd: RawFd, argument: usize) -> Result<i32, Errno> {
    // SAFETY: The kernel checks the address, and only reads there.
    Errno::result(unsafe { libc::ioctl(fd, 0x7000, argument) })
}

fn ioctl_results_and_addresses() {
    let _module = load();
    assert_eq!(ioctl(ro("ioctl_least").as_raw_fd(), 0), Err(Errno::EIO));
    let file = ro("ioctl_reads");
    let word = 0_u64;
    assert_eq!(ioctl(file.as_raw_fd(), (&raw const word).addr()), Ok(0));
    for address in [
        0,
        // In no half of the address space, in the kernel's, at its text, and where it wraps.
        1 << 60,
        0xffff_8880_0000_0000,
        0xffff_ffff_8100_0000,
        usize::MAX - 3,
    ] {
        let result = ioctl(file.as_raw_fd(), address);
        assert_eq!(result, Err(Errno::EFAULT), "{address:x}");
    }
}

fn file_kept_in_open() {
    if Path::new("/sys/kernel/debug/kmemleak").exists() {
        skip("kmemleak tells of the open files that this forgets");
    }
    let _module = load();
    for _ in 0..100 {
        assert_eq!(
            open(path("open_kept").as_str(), OFlag::O_RDWR, Mode::empty()).map(drop),
            Err(Errno::EBUSY)
        );
    }
    let file = ro("open_kept_and_opened");
    assert_eq!(ioctl(file.as_raw_fd(), 0), Ok(0xfeed));
}

fn no_calls_before_open_has_returned() {
    let _module = load();
    // The next descriptor is the lowest one that is free.
    let next = ro("show_nothing").as_raw_fd();
    let opened = AtomicBool::new(false);
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut before = 0;
            while !opened.load(Ordering::Acquire) {
                match ioctl(next, 0) {
                    Err(Errno::EBADF) => before += 1,
                    result => assert_eq!(result, Ok(0xfeed)),
                }
            }
            before
        });
        let file = ro("open_slowly");
        assert_eq!(file.as_raw_fd(), next);
        assert_eq!(ioctl(next, 0), Ok(0xfeed));
        opened.store(true, Ordering::Release);
        assert!(caller.join().unwrap() > 0);
    });
}

fn open_of_a_stale_file() {
    let _module = load();
    // The VFS opens it three times, and gives up.
    let opened = open(path("open_stale").as_str(), OFlag::O_RDONLY, Mode::empty());
    assert_eq!(opened.map(drop), Err(Errno::ESTALE));
}

fn boxes_of_any_flags_and_size() {
    let _module = load();
    for _ in 0..100 {
        assert_eq!(ioctl(ro("open_with_boxes").as_raw_fd(), 0), Ok(0xfeed));
    }
}

/// Maps the first page of a file.
fn map(name: &str, protection: ProtFlags) -> Result<NonNull<libc::c_void>, Errno> {
    let size = NonZero::new(4096).unwrap();
    // SAFETY: New memory at an address of the kernel's choice.
    unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, rw(name), 0) }
}

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

fn pages_where_none_can_be() {
    let _module = load();
    for name in ["mmap_beyond", "mmap_far_beyond", "mmap_between"] {
        assert_eq!(map(name, READ_WRITE), Err(Errno::EINVAL), "{name}");
    }
    assert_eq!(map("mmap_twice", READ_WRITE), Err(Errno::EBUSY));
    assert_eq!(map("mmap_and_fail", READ_WRITE), Err(Errno::ENXIO));
}

/// Leaves free memory that is not zeroes, if the kernel does not clear it.
fn soil_memory() {
    let size = NonZero::new(64 << 20).unwrap();
    // SAFETY: New memory, which nobody else knows of, is filled and given back.
    unsafe {
        let memory = mmap_anonymous(None, size, READ_WRITE, MapFlags::MAP_PRIVATE).unwrap();
        memory.cast::<u8>().write_bytes(0xa5, size.get());
        munmap(memory, size.get()).unwrap();
    }
}

/// What a mapping of a page holds.
fn page(memory: NonNull<libc::c_void>) -> Vec<u8> {
    // SAFETY: It is a page, mapped, and nobody writes to it meanwhile.
    unsafe { std::slice::from_raw_parts(memory.cast::<u8>().as_ptr(), 4096) }.to_vec()
}

fn unmap(memory: NonNull<libc::c_void>) {
    // SAFETY: It is a page, mapped once and not used after.
    unsafe { munmap(memory, 4096) }.unwrap();
}

fn pages_begin_as_zeroes() {
    let module = load();
    soil_memory();
    let mut maps = Vec::new();
    for _ in 0..200 {
        let memory = map("mmap_dropped", READ_WRITE).unwrap();
        assert!(page(memory) == [0; 4096]);
        // SAFETY: It is a page, mapped for writing.
        unsafe { memory.cast::<u8>().write_bytes(0x5a, 4096) };
        maps.push(memory);
    }
    // The module has none of them any more, and is gone.
    module.unload();
    soil_memory();
    for memory in maps {
        assert!(page(memory) == [0x5a; 4096]);
        unmap(memory);
    }
}

fn mapping_that_can_not_be_written() {
    let _module = load();
    assert_eq!(map("mmap_read_only", READ_WRITE), Err(Errno::EINVAL));
    let memory = map("mmap_read_only", ProtFlags::PROT_READ).unwrap();
    assert!(page(memory) == [0; 4096]);
    // SAFETY: Nobody relies on how it is protected.
    let writable = unsafe { mprotect(memory, 4096, READ_WRITE) };
    assert_eq!(writable, Err(Errno::EACCES));
    unmap(memory);
}

fn directories_as_deep_as_you_like() {
    let _module = load();
    // Dropped in each other they would take at least 8 bytes of the stack each, the return address: more than the 16 KiB that
    // there are, or the 32 with KASAN (THREAD_SIZE in arch/x86/include/asm/page_64_types.h).
    for depth in ["1", "1000", "10000"] {
        assert_eq!(write(wo("dirs"), depth.as_bytes()), Ok(depth.len()));
        assert!(!Path::new("/proc/proc_fs_depth").exists());
    }
}

fn handles_dropped_in_any_order() {
    let _module = load();
    assert_eq!(write(wo("dirs_in_disorder"), b"x"), Ok(1));
    assert!(!Path::new("/proc/proc_fs_disorder").exists());
}

fn files_in_files() {
    let _module = load();
    assert_eq!(write(wo("files_in_files"), b"x"), Ok(1));
    assert!(!Path::new("/proc/proc_fs_files").exists());
}

fn files_are_moved_while_read() {
    let _module = load();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&stop);
        for name in ["moved_0", "moved_1", "moved_2", "moved_3"] {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert!(all(name) == Ok(vec![b'm'; 5000]), "{name}");
                }
            });
        }
        for _ in 0..by_kernel(1000, 200) {
            assert_eq!(write(wo("move"), b"x"), Ok(1));
        }
    });
}

fn file_removed_by_a_release() {
    let _module = load();
    let file = ro("releases");
    let other = ro("other");
    assert_eq!(all("other"), Ok(b"other\n".to_vec()));
    drop(file);
    assert_eq!(read(&other, &mut [0; 10]), Err(Errno::EIO));
    assert_eq!(all("other"), Err(Errno::ENOENT));
    drop(ro("releases"));
}

fn data_of_megabytes() {
    let _module = load();
    assert_eq!(all("big"), Ok(b"Some(0)\n".to_vec()));
}

fn links_to_anything() {
    let _module = load();
    assert_eq!(all("link_to_itself"), Err(Errno::ELOOP));
    assert_eq!(all("link_to_anything"), Err(Errno::ENOENT));
    let target = fs::read_link(path("link_to_anything")).unwrap();
    assert_eq!(target.as_os_str().as_encoded_bytes(), b"\xff/../\n\x01");
}

/// Files whose calls don't end by themselves, take long, leak, or make entries of a name that no two of them can make
/// at once; and one that another one removes.
const BUSY: &[&str] = &[
    "dirs",
    "dirs_in_disorder",
    "files_in_files",
    "list_of_nothings",
    "open_kept",
    "open_kept_and_opened",
    "open_slowly",
    "other",
];

/// The other files that there are, but those that can't be opened so.
fn names(flags: OFlag) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string())
        .filter_map(Result::ok)
        .filter(|name| !BUSY.contains(&name.as_str()))
        .filter(|name| open(path(name).as_str(), flags, Mode::empty()).is_ok())
        .collect();
    names.sort();
    names
}

fn unload_with_all_open() {
    let module = load();
    let names = names(OFlag::O_RDWR);
    assert!(names.len() > 50, "{names:?}");
    let files: Vec<File> = names.iter().map(|name| rw(name)).collect();
    for file in &files {
        let _ = read(file, &mut [0; 3]);
    }
    assert_eq!(module.try_unload(), Ok(()));
    for file in &files {
        // At the last position the VFS refuses by itself.
        let dead = |result| matches!(result, Err(Errno::EIO | Errno::EINVAL));
        assert!(dead(pread(file, &mut [0; 3], 0)));
        assert!(dead(write(file, b"x")));
        assert_eq!(ioctl(file.as_raw_fd(), 0), Err(Errno::ENOTTY));
    }
}

fn unload_under_attack() {
    let module = load();
    let names = names(OFlag::O_RDWR);
    module.unload();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&stop);
        for first in 0..3 {
            let (stop, names) = (&stop, &names);
            scope.spawn(move || {
                let mut buffer = [0; 5000];
                for name in names.iter().cycle().skip(first * 7) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let opened = open(path(name).as_str(), OFlag::O_RDWR, Mode::empty());
                    let Ok(file) = opened else { continue };
                    let _ = read(&file, &mut buffer);
                    let _ = write(&file, b"1");
                    let _ = pread(&file, &mut buffer, 1);
                    let _ = ioctl(file.as_raw_fd(), 0);
                }
            });
        }
        for _ in 0..by_kernel(amount(40, 100), 20) {
            load().unload();
        }
    });
    load().unload();
}
