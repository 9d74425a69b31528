// SPDX-License-Identifier: GPL-2.0

//! rmmod, with descriptors still open, and what they answer afterwards.

use crate::{
    memory::{Stall, read_to},
    module::{FORTUNE, KernelLog, Module, assert_cat, by_kernel, cat, echo, open, set, store},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::uio::{pread, pwrite},
    unistd::{Whence, lseek, read, write},
};
use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    path::Path,
    thread,
    time::Duration,
};

ktap::tests!(unloading, Guest:
    open_descriptors_do_not_hold_it [U1],
    a_stalled_call_does [U1],
    dead_descriptors_answer [U2],
    a_new_module_is_another [U2],
    nothing_is_left [U3],
);

fn open_descriptors_do_not_hold_it() {
    let module = Module::load("");
    echo("one");
    let unread = open();
    let half_read = open();
    assert_eq!(read(&half_read, &mut [0; 2]), Ok(2));
    assert_eq!(module.try_unload(), Ok(()));
    drop((unread, half_read));
}

fn a_stalled_call_does() {
    let module = Module::load("");
    echo("one");
    let stall = Stall::new();
    let (address, file) = (stall.address(), open());
    let reader = thread::spawn(move || read_to(&file, address as *mut libc::c_void, 10));
    stall.wait();
    let remover = thread::spawn(move || module.unload());
    // No more calls get in, but the one that is there is waited for.
    while Path::new(FORTUNE).exists() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(100));
    assert!(!remover.is_finished());
    stall.let_go(b"");
    assert_eq!(reader.join().unwrap(), Ok(4));
    remover.join().unwrap();
}

fn dead_descriptors_answer() {
    let module = Module::load("");
    echo("one");
    let file = open();
    assert_eq!(read(&file, &mut [0; 2]), Ok(2));
    module.unload();

    let mut buffer = [0; 10];
    for _ in 0..2 {
        assert_eq!(read(&file, &mut buffer), Err(Errno::EIO));
        assert_eq!(pread(&file, &mut buffer, 0), Err(Errno::EIO));
        assert_eq!(write(&file, b"two\n"), Err(Errno::EIO));
        assert_eq!(pwrite(&file, b"two\n", 0), Err(Errno::EIO));
        assert_eq!(lseek(&file, 0, Whence::SeekSet), Err(Errno::EINVAL));
        assert_eq!(lseek(&file, 0, Whence::SeekCur), Err(Errno::EINVAL));
        // SAFETY: TIOCGWINSZ writes a struct winsize, and only if the file is a terminal.
        let done = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            libc::ioctl(file.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size)
        };
        assert_eq!(Errno::result(done), Err(Errno::ENOTTY));
        let mut fds = [PollFd::new(
            file.as_fd(),
            PollFlags::POLLIN | PollFlags::POLLOUT,
        )];
        assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(1));
        let ready = PollFlags::POLLIN | PollFlags::POLLOUT;
        assert_eq!(fds[0].revents(), Some(ready));
    }
    assert_eq!(buffer, [0; 10]);
    // SAFETY: The descriptor is `file`'s, which is not used after this.
    let closed = unsafe { libc::close(std::os::fd::IntoRawFd::into_raw_fd(file)) };
    assert_eq!(closed, 0);
}

fn a_new_module_is_another() {
    let module = Module::load("");
    echo("of the old one");
    let old = open();
    module.unload();
    let _module = Module::load("");
    assert_cat("");
    echo("of the new one");
    assert_eq!(read(&old, &mut [0; 10]), Err(Errno::EIO));
    assert_cat("of the new one\n");
}

/// Kernel memory in use, in KiB, of the kinds that the module takes.
pub(crate) fn kernel_memory() -> i64 {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    // Slabs that are empty go back; and what was freed goes back to its slab where KASAN keeps it meanwhile
    // (kasan_cache_shrink(), mm/kasan/generic.c).
    for cache in fs::read_dir("/sys/kernel/slab").unwrap() {
        fs::write(cache.unwrap().path().join("shrink"), "1").unwrap();
    }
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let lines = info.lines().filter(|line| {
        ["Slab:", "VmallocUsed:", "Percpu:"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    lines
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<i64>()
                .unwrap()
        })
        .sum()
}

fn nothing_is_left() {
    // Fortunes drawn, fortunes unfinished, blocks of the index, files still open: a module's life, with 2 MiB
    // in it.
    let live = || {
        let module = Module::load("pot_size=1000000");
        set("when_full", "evict").unwrap();
        let files: Vec<_> = (0..20).map(|_| open()).collect();
        for file in &files {
            write(file, &[b'x'; 50000]).unwrap();
            write(file, b"\n").unwrap();
            assert_eq!(read(file, &mut [0; 10]), Ok(10));
            write(file, b"unfinished").unwrap();
        }
        store("%\nx\n".repeat(100_000).as_bytes()).unwrap();
        set("order", "shuffle").unwrap();
        cat();
        module.unload();
        drop(files);
    };
    (0..3).for_each(|_| live());
    let before = kernel_memory();
    let log = KernelLog::new();
    (0..by_kernel(20, 2)).for_each(|_| live());
    assert_eq!(log.said(), [""; 0]);
    let grown = kernel_memory() - before;
    assert!(grown < 1024, "{grown} KiB");
}
