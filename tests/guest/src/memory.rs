// SPDX-License-Identifier: GPL-2.0

//! Memory that is not all there, and memory that a 32-bit program could have.

use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap},
};
use std::{
    arch::asm,
    num::NonZero,
    os::fd::{AsFd, AsRawFd},
    ptr::NonNull,
};

/// Two pages of memory, the second of which can't be accessed.
pub(crate) struct HalfMapped(NonNull<libc::c_void>);

impl HalfMapped {
    const PAGE: usize = 4096;

    pub(crate) fn new() -> Self {
        let pages = anonymous(2 * Self::PAGE, MapFlags::empty());
        // SAFETY: The second page was just mapped and nothing refers to it.
        unsafe { mprotect(pages.byte_add(Self::PAGE), Self::PAGE, ProtFlags::PROT_NONE) }.unwrap();
        Self(pages)
    }

    /// An address `before` bytes before the page that can't be accessed.
    pub(crate) fn edge(&self, before: usize) -> *mut libc::c_void {
        assert!(before <= Self::PAGE);
        // SAFETY: It stays within the first page, or at its end.
        unsafe { self.0.byte_add(Self::PAGE - before) }.as_ptr()
    }

    /// The last `len` bytes before the page that can't be accessed.
    pub(crate) fn tail(&self, len: usize) -> Vec<u8> {
        // SAFETY: The first page can be read and nothing writes to it now.
        unsafe { std::slice::from_raw_parts(self.edge(len).cast::<u8>(), len) }.to_vec()
    }
}

impl Drop for HalfMapped {
    fn drop(&mut self) {
        // SAFETY: Both pages were mapped in `new`, and all references are gone.
        unsafe { munmap(self.0, 2 * Self::PAGE) }.unwrap();
    }
}

/// `read` to an address that need not be good.
pub(crate) fn read_to(file: impl AsFd, to: *mut libc::c_void, len: usize) -> Result<usize, Errno> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: The kernel checks the address; what is behind it is only ever bytes.
    let count = unsafe { libc::read(fd, to, len) };
    Errno::result(count).map(|count| count as usize)
}

/// A page of memory below 4 GiB, where a 32-bit program has its own.
pub(crate) struct Low {
    page: NonNull<libc::c_void>,
    len: usize,
}

impl Low {
    pub(crate) fn new(len: usize) -> Self {
        assert!(len <= 4096);
        let page = anonymous(4096, MapFlags::MAP_32BIT);
        Self { page, len }
    }

    pub(crate) fn address(&self) -> u32 {
        u32::try_from(self.page.as_ptr() as usize).expect("MAP_32BIT")
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len);
        // SAFETY: The page is ours and large enough, and no reference to it is around.
        unsafe {
            self.page
                .cast::<u8>()
                .copy_from(NonNull::from(bytes).cast(), bytes.len())
        };
    }

    pub(crate) fn read(&self) -> Vec<u8> {
        // SAFETY: The page is ours and initialised, and nobody writes to it now.
        unsafe { std::slice::from_raw_parts(self.page.cast::<u8>().as_ptr(), self.len) }.to_vec()
    }

    /// `ioctl` as a 32-bit program calls it, by `int 0x80`.
    pub(crate) fn ioctl32(&self, fd: i32, cmd: libc::c_ulong, arg: u32) -> Result<i32, Errno> {
        const NR_IOCTL: u64 = 54;
        let result: i64;
        // SAFETY: The kernel checks the address. This entry into the kernel changes rax, and may change r8
        // to r11. rbx, which LLVM keeps for itself, is put back.
        unsafe {
            asm!(
                "xchg rbx, {fd}",
                "int 0x80",
                "xchg rbx, {fd}",
                fd = inout(reg) fd as u64 => _,
                inout("rax") NR_IOCTL => result,
                in("rcx") cmd,
                in("rdx") u64::from(arg),
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        match result as i32 {
            error @ -4095..0 => Err(Errno::from_raw(-error)),
            result => Ok(result),
        }
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: The page was mapped in `new`, and all references are gone.
        unsafe { munmap(self.page, 4096) }.unwrap();
    }
}

fn anonymous(len: usize, flags: MapFlags) -> NonNull<libc::c_void> {
    let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let len = NonZero::new(len).expect("not of size 0");
    // SAFETY: New memory at an address of the kernel's choice is nobody's yet.
    unsafe { mmap_anonymous(None, len, both, MapFlags::MAP_PRIVATE | flags) }.unwrap()
}
