// SPDX-License-Identifier: GPL-2.0

//! rmmod, with descriptors still open, and what they answer afterwards.

use crate::module::{Module, assert_cat, echo, open};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::uio::{pread, pwrite},
    unistd::{Whence, lseek, read, write},
};
use std::os::fd::{AsFd, AsRawFd};

crate::tests!(unloading:
    open_descriptors_do_not_hold_it,
    dead_descriptors_answer,
    a_new_module_is_another,
    many_open_descriptors,
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

fn many_open_descriptors() {
    let module = Module::load("");
    echo("one");
    let files: Vec<_> = (0..1000).map(|_| open()).collect();
    for file in &files {
        assert_eq!(read(file, &mut [0; 2]), Ok(2));
    }
    module.unload();
    for file in &files {
        assert_eq!(read(file, &mut [0; 2]), Err(Errno::EIO));
    }
}
