// SPDX-License-Identifier: GPL-2.0

//! Memory that is not all there, or not yet, and memory that a 32-bit program could have.

use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap},
    unistd::read,
};
use std::{
    num::NonZero,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    ptr::NonNull,
};

/// A page whose first access stalls until [`Stall::let_go`]: the fault is served by user space
/// (Documentation/admin-guide/mm/userfaultfd.rst).
pub(crate) struct Stall {
    faults: OwnedFd,
    /// Its address. Nothing here refers to what is in it.
    page: usize,
}

impl Stall {
    const PAGE: usize = 4096;
    const API: libc::c_ulong = 0xc018_aa3f;
    const REGISTER: libc::c_ulong = 0xc020_aa00;
    const COPY: libc::c_ulong = 0xc028_aa03;

    pub(crate) fn new() -> Self {
        // SAFETY: There are no pointers, and the descriptor that is returned is nobody else's.
        let faults = unsafe {
            let fd = Errno::result(libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC));
            OwnedFd::from_raw_fd(fd.expect("userfaultfd") as i32)
        };
        let page = anonymous(Self::PAGE).as_ptr() as usize;
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

    pub(crate) fn address(&self) -> u64 {
        self.page as u64
    }

    fn ioctl(&self, cmd: libc::c_ulong, argument: &mut [u64]) {
        // SAFETY: The arguments of all three are as large as their numbers say, and what is copied is there.
        let done = unsafe { libc::ioctl(self.faults.as_raw_fd(), cmd, argument.as_mut_ptr()) };
        Errno::result(done).unwrap_or_else(|error| panic!("ioctl {cmd:x}: {error}"));
    }

    /// Waits until somebody has run into the page.
    pub(crate) fn wait(&self) {
        // struct uffd_msg
        let mut message = [0; 32];
        assert_eq!(read(&self.faults, &mut message), Ok(32));
        assert_eq!(message[0], 0x12, "UFFD_EVENT_PAGEFAULT");
    }

    /// Puts `bytes` there, and zeroes after them.
    pub(crate) fn let_go(&self, bytes: &[u8]) {
        let mut page = [0_u8; Self::PAGE];
        page[..bytes.len()].copy_from_slice(bytes);
        // struct uffdio_copy: to, from, how many bytes, how, and how many were copied.
        self.ioctl(
            Self::COPY,
            &mut [
                self.address(),
                page.as_ptr() as u64,
                Self::PAGE as u64,
                0,
                0,
            ],
        );
    }

    /// Takes away what is there: the next access stalls again.
    pub(crate) fn again(&self) {
        let page = self.page as *mut libc::c_void;
        // SAFETY: The page was mapped in `new`, and nothing refers to what is in it.
        let done = unsafe { libc::madvise(page, Self::PAGE, libc::MADV_DONTNEED) };
        Errno::result(done).unwrap();
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let page = NonNull::new(self.page as *mut libc::c_void).unwrap();
        // SAFETY: The page was mapped in `new`, and nobody uses it any more.
        unsafe { munmap(page, Self::PAGE) }.unwrap();
    }
}

/// Memory between two parts that can't be accessed.
pub(crate) struct Buffer {
    memory: NonNull<u8>,
    len: usize,
}

impl Buffer {
    const PAGE: usize = 4096;
    /// What is in the memory that nothing was written to, and how much of it before the buffer is looked at.
    const CANARY: u8 = 0xa5;
    const BEFORE: usize = 64;

    /// `len` is a whole number of pages.
    pub(crate) fn new(len: usize) -> Self {
        let all = anonymous(len + 2 * Self::PAGE);
        // SAFETY: Both pages were just mapped, one at each end, and nothing refers to them.
        let memory = unsafe {
            for guard in [all, all.byte_add(Self::PAGE + len)] {
                mprotect(guard, Self::PAGE, ProtFlags::PROT_NONE).unwrap();
            }
            all.byte_add(Self::PAGE)
        };
        let memory = memory.cast();
        Self { memory, len }
    }

    /// An address `before` bytes before what can't be accessed.
    pub(crate) fn edge(&self, before: usize) -> *mut libc::c_void {
        assert!(before <= self.len);
        // SAFETY: It stays within the memory, or at its end.
        unsafe { self.memory.add(self.len - before) }
            .as_ptr()
            .cast()
    }

    /// The last `len` bytes.
    pub(crate) fn tail(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.len);
        // SAFETY: The memory is ours and initialised, and borrowed for as long as the slice is.
        unsafe { std::slice::from_raw_parts_mut(self.memory.add(self.len - len).as_ptr(), len) }
    }

    /// An address of `bytes` of which only the first `readable` can be read.
    pub(crate) fn readable(&mut self, bytes: &[u8], readable: usize) -> *const libc::c_void {
        let tail = self.tail(readable);
        tail.copy_from_slice(&bytes[..readable]);
        tail.as_ptr().cast()
    }

    /// An address to which only the first `writable` bytes can be written.
    pub(crate) fn writable(&mut self, writable: usize) -> *mut libc::c_void {
        self.tail(writable + Self::BEFORE).fill(Self::CANARY);
        self.tail(writable).as_mut_ptr().cast()
    }

    /// The first `count` bytes that were written there, if no others were.
    pub(crate) fn written(&mut self, writable: usize, count: usize) -> Result<Vec<u8>, String> {
        let (before, tail) = self.tail(writable + Self::BEFORE).split_at(Self::BEFORE);
        let (written, after) = tail
            .split_at_checked(count)
            .ok_or_else(|| format!("{count} bytes where {writable} can be written"))?;
        // Each byte is that before it: comparing slices is what is fast in a guest.
        let untouched = |part: &[u8]| {
            part.split_first()
                .is_none_or(|(first, rest)| *first == Self::CANARY && *rest == part[..rest.len()])
        };
        if !untouched(before) || !untouched(after) {
            return Err(format!("more than the {count} bytes were written to"));
        }
        Ok(written.to_vec())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: The memory was mapped in `new` with a page at each end, and all references are gone.
        unsafe {
            let all = self.memory.sub(Self::PAGE).cast();
            munmap(all, self.len + 2 * Self::PAGE).unwrap();
        }
    }
}

/// `read` to an address that need not be good.
pub(crate) fn read_to(file: impl AsFd, to: *mut libc::c_void, len: usize) -> Result<usize, Errno> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: The kernel checks the address; what is behind it is only ever bytes.
    let count = unsafe { libc::read(fd, to, len) };
    Errno::result(count).map(|count| count as usize)
}

/// Memory below 4 GiB, where a 32-bit program has its own.
pub(crate) struct Low {
    memory: NonNull<libc::c_void>,
    len: usize,
}

impl Low {
    pub(crate) fn new(len: usize) -> Self {
        let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
        let size = NonZero::new(len).expect("not of size 0");
        // SAFETY: If anything of this process is there, this fails.
        let memory = unsafe { mmap_anonymous(NonZero::new(1 << 28), size, both, flags) }.unwrap();
        Self { memory, len }
    }

    pub(crate) fn address(&self) -> u32 {
        u32::try_from(self.memory.as_ptr() as usize).expect("where it was asked for")
    }

    /// Writes to its beginning.
    pub(crate) fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len);
        // SAFETY: The memory is ours and large enough, and no reference to it is around.
        unsafe {
            self.memory
                .cast::<u8>()
                .copy_from(NonNull::from(bytes).cast(), bytes.len())
        };
    }

    /// Reads the first `len` bytes.
    pub(crate) fn read(&self, len: usize) -> Vec<u8> {
        assert!(len <= self.len);
        // SAFETY: The memory is ours and initialised, and nobody writes to it now.
        unsafe { std::slice::from_raw_parts(self.memory.cast::<u8>().as_ptr(), len) }.to_vec()
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: The memory was mapped in `new`, and all references are gone.
        unsafe { munmap(self.memory, self.len) }.unwrap();
    }
}

/// A system call as a 32-bit program makes it, by `int 0x80`.
///
/// # Safety
///
/// As for [`libc::syscall`], with the numbers and structures of 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn int80(number: u32, arguments: [u32; 6]) -> Result<i64, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments.map(u64::from);
    let result: u64;
    // SAFETY: By the precondition. This entry into the kernel changes rax, and may change r8 to r11. rbx and
    // rbp, which LLVM keeps for itself, are put back.
    unsafe {
        std::arch::asm!(
            "push rbp",
            "push rbx",
            "mov rbx, r8",
            "mov rbp, r9",
            "int 0x80",
            "pop rbx",
            "pop rbp",
            inout("rax") u64::from(number) => result,
            inout("r8") first => _,
            in("rcx") second,
            in("rdx") third,
            in("rsi") fourth,
            in("rdi") fifth,
            inout("r9") sixth => _,
            out("r10") _, out("r11") _,
        );
    }
    match result as i32 {
        error @ -4095..0 => Err(Errno::from_raw(-error)),
        result => Ok(result.into()),
    }
}

/// The same on other architectures, whose 64-bit programs can't make such calls: ends the test.
///
/// # Safety
///
/// As above.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) unsafe fn int80(_number: u32, _arguments: [u32; 6]) -> Result<i64, Errno> {
    ktap::skip("64-bit programs can't make 32-bit calls on this architecture")
}

fn anonymous(len: usize) -> NonNull<libc::c_void> {
    let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let len = NonZero::new(len).expect("not of size 0");
    // SAFETY: New memory at an address of the kernel's choice is nobody's yet.
    unsafe { mmap_anonymous(None, len, both, MapFlags::MAP_PRIVATE) }.unwrap()
}

/// `write` from an address that need not be good.
pub(crate) fn write_from(
    file: impl AsFd,
    from: *const libc::c_void,
    len: usize,
) -> Result<usize, Errno> {
    // SAFETY: The kernel checks the address.
    let count = unsafe { libc::write(file.as_fd().as_raw_fd(), from, len) };
    Errno::result(count).map(|count| count as usize)
}
