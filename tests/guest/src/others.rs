// SPDX-License-Identifier: GPL-2.0

//! What one user of /proc/fortune can do to the others: nothing.

use crate::{
    memory::Stall,
    module::{
        FORTUNE, KernelLog, Module, assert_cat, cat, echo, is_debug_kernel, open, set, store,
    },
};
use nix::{
    errno::Errno,
    fcntl::{SpliceFFlags, splice},
    mount::{MsFlags, mount, umount},
    unistd::{Whence, lseek, pipe, write},
};
use std::{
    fs::{self, File},
    io::Read,
    os::fd::AsRawFd,
    path::Path,
    thread,
};

crate::tests!(others:
    stalled_reader [O1],
    stalled_writer [O1],
    memory_is_charged [O2],
    memory_is_bounded [O2],
    nothing_is_logged [O3],
);

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

/// A memory cgroup that this process is in, until it is dropped.
struct Group;

impl Group {
    const ALL: &str = "/run/cgroup";
    const OURS: &str = "/run/cgroup/ours";

    fn enter() -> Self {
        fs::create_dir_all(Self::ALL).unwrap();
        mount(
            Some("cgroup2"),
            Self::ALL,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        fs::write(format!("{}/cgroup.subtree_control", Self::ALL), "+memory").unwrap();
        fs::create_dir(Self::OURS).unwrap();
        fs::write(format!("{}/cgroup.procs", Self::OURS), "0").unwrap();
        Self
    }

    /// How many bytes of kernel memory it is charged for.
    fn charged(&self) -> usize {
        let stat = fs::read_to_string(format!("{}/memory.stat", Self::OURS)).unwrap();
        let kernel = stat.lines().find_map(|line| line.strip_prefix("kernel "));
        kernel.unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::write(format!("{}/cgroup.procs", Self::ALL), "0").unwrap();
        fs::remove_dir(Self::OURS).unwrap();
        umount(Self::ALL).unwrap();
    }
}

fn memory_is_charged() {
    const FILES: usize = 200;
    let _module = Module::load("pot_size=1000000");
    store(&[b'x'; 65536]).unwrap();
    let group = Group::enter();
    let before = group.charged();
    let files: Vec<File> = (0..FILES)
        .map(|_| {
            let mut file = open();
            assert_eq!(file.read(&mut [0; 10]).unwrap(), 10);
            file
        })
        .collect();
    // Each open file holds the fortune that it has drawn.
    let charged = group.charged() - before;
    assert!(charged >= FILES * 65536, "{charged}");
    drop(files);
    // KASAN adds to what is allocated, and keeps for a while what is freed.
    if is_debug_kernel() {
        return;
    }
    let left = group.charged().saturating_sub(before);
    assert!(left < FILES * 65536 / 10, "{left}");

    // The index is charged to who makes it grow.
    let before = group.charged();
    store("%\nx\n".repeat(100_000).as_bytes()).unwrap();
    let charged = group.charged() - before;
    assert!(charged >= 100_000 * 12, "{charged}");
    assert!(charged < 100_000 * 13, "{charged}");
    set("clear", "1").unwrap();
    let left = group.charged().saturating_sub(before);
    assert!(left < 100_000, "{left}");
}

fn memory_is_bounded() {
    const FILES: usize = 40;
    /// Two fortunes, which the kernel's allocator may round up to 128 KiB each, and what else a file has.
    const EACH: usize = (2 * 128 + 4) << 10;
    let _module = Module::load("pot_size=4000000");
    store(&[b'x'; 65536]).unwrap();
    let group = Group::enter();
    let before = group.charged();
    let files: Vec<File> = (0..FILES).map(|_| open()).collect();
    for mut file in &files {
        assert_eq!(file.read(&mut [0; 10]).unwrap(), 10);
        // As much as can be unfinished, and after that as much as a write may bring.
        assert_eq!(write(file, &[b'y'; 65536]), Ok(65536));
        assert_eq!(write(file, &vec![b'z'; 8_000_000]), Err(Errno::ENOSPC));
        assert_eq!(write(file, b"\n%"), Ok(2));
    }
    let charged = group.charged() - before;
    assert!(charged <= FILES * EACH || is_debug_kernel(), "{charged}");
}

fn nothing_is_logged() {
    let _module = Module::load("pot_size=10");
    echo("123456789");
    let log = KernelLog::new();
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
    assert_eq!(log.said(), [""; 0]);
    assert!(Path::new(FORTUNE).exists());
}
