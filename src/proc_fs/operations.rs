// SPDX-License-Identifier: GPL-2.0

//! What a file does when it is opened, read, written, sought, mapped and closed.

use super::{
    bindings,
    show::NONE, //
};
use core::marker::PhantomData;
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    fs::{
        file::Offset,
        File,
        Kiocb,
        LocalFile, //
    },
    iov::IovIterDest,
    mm::virt::VmaNew,
    prelude::*,
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader,
        UserSliceWriter, //
    }, //
};

/// What `lseek` does on a file whose [`Operations`] have no `lseek` of their own.
///
/// # Examples
///
/// ```
/// const SEEK: Seek = Seek::Default;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// ESPIPE. `pread` and `pwrite` reach the callbacks all the same, with the position they name.
    Unseekable,
    /// `SEEK_SET` and `SEEK_CUR` move the position, to wherever from 0 to `i64::MAX`; anything else is
    /// EINVAL (`no_seek_end_llseek`). For files without a meaningful size.
    NoEnd,
    /// `SEEK_END` too, from the size that [`super::Options`] gave the entry (`default_llseek`).
    Default,
    /// Any seek succeeds and moves nothing (`noop_llseek`).
    Noop,
}

/// What an `lseek` counts from.
///
/// # Examples
///
/// ```
/// match whence {
///     Whence::Set => Ok(offset),
///     Whence::End => offset
///         .checked_add_unsigned(MEMORY as u64)
///         .ok_or(EOVERFLOW),
///     Whence::Data => Ok(0),
///     Whence::Hole => Ok(-1),
///     Whence::Cur => Err(EINVAL),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// `SEEK_SET`: the beginning.
    Set,
    /// `SEEK_CUR`: where the position is.
    Cur,
    /// `SEEK_END`: the end.
    End,
    /// `SEEK_DATA`: the next data at or after the offset.
    Data,
    /// `SEEK_HOLE`: the next hole at or after the offset.
    Hole,
}

impl Whence {
    fn from_raw(whence: c_int) -> Result<Self> {
        // CAST: The constants are 0 to 4.
        match whence as u32 {
            kernel::bindings::SEEK_SET => Ok(Self::Set),
            kernel::bindings::SEEK_CUR => Ok(Self::Cur),
            kernel::bindings::SEEK_END => Ok(Self::End),
            kernel::bindings::SEEK_DATA => Ok(Self::Data),
            kernel::bindings::SEEK_HOLE => Ok(Self::Hole),
            _ => Err(EINVAL),
        }
    }
}

/// What a file does. Implement it, with `#[vtable]`, for the data that all callbacks of the entry share,
/// and hand that to [`File::new`](super::File::new).
///
/// A callback that is not implemented is missing in the `proc_ops` too, and procfs answers in its place:
/// EIO for read, write and mmap, ENOTTY for ioctl. Implement [`Operations::read`] or
/// [`Operations::read_iter`], not both: that does not compile.
///
/// Callbacks run in the context of the system call and may sleep. They run on any number of CPUs at once,
/// and on one open file too.
///
/// # Examples
///
/// A file over memory of a fixed size. Nothing is locked while bytes are copied to user space.
///
/// ```
/// #[vtable]
/// impl proc_fs::Operations for Memory {
///     type Ptr = KBox<Counted>;
///
///     fn open(&self, file: &File) -> Result<Self::Ptr> {
///         let counters = self.counters.clone();
///         Ok(KBox::new(Counted { counters }, GFP_KERNEL)?)
///     }
///
///     fn read(
///         &self,
///         _counted: &Counted,
///         _file: &LocalFile,
///         buf: &mut UserSliceWriter,
///         pos: &mut Offset,
///     ) -> Result<usize> {
///         let copy = *self.bytes.lock();
///         let rest = copy.get(usize::try_from(*pos)?..).unwrap_or_default();
///         let arrived = proc_fs::write_to_user(buf, rest)?;
///         *pos = pos.saturating_add_unsigned(arrived as u64);
///         Ok(arrived)
///     }
/// }
/// ```
#[vtable]
pub trait Operations: Sized + Sync + 'static {
    /// What an open file owns: `()`, a box, an `Arc`, …
    type Ptr: ForeignOwnable + Send + Sync;

    /// What `lseek` does where [`Operations::lseek`] is not implemented.
    const SEEK: Seek = Seek::Unseekable;

    /// A file is being opened. Its access mode has been checked against the entry's.
    ///
    /// # Errors
    ///
    /// Whatever is returned is what `open(2)` fails with; then there is no `release`.
    fn open(&self, file: &File) -> Result<Self::Ptr>;

    /// `read(2)`, `pread(2)`, and each segment of `readv(2)`: write at most `buf.len()` bytes to `buf`,
    /// advance `pos`, and return how many there were. 0 is the end of the file.
    ///
    /// `buf.len()` is from 0 to 2 GiB - 4 KiB. `pos` is not negative.
    ///
    /// # Errors
    ///
    /// `pos` does not move then. A number larger than `buf.len()` becomes EIO.
    fn read(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &LocalFile,
        _buf: &mut UserSliceWriter,
        _pos: &mut Offset,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Like [`Operations::read`], for files that want `splice(2)` and `sendfile(2)` to work: those read into
    /// kernel memory. Advance `kiocb.ki_pos_mut()`. All segments of `readv(2)` come in one call.
    ///
    /// # Errors
    ///
    /// A number larger than that of the bytes that were written to `iov` becomes EIO: `splice(2)` would take what
    /// has been in its pages before.
    fn read_iter(&self, _kiocb: Kiocb<'_, Self::Ptr>, _iov: &mut IovIterDest<'_>) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `write(2)`, `pwrite(2)`, and each segment of `writev(2)`: read from `buf`, advance `pos`, and
    /// return how many bytes are done with.
    ///
    /// `buf.len()` is from 0 to 2 GiB - 4 KiB: refuse what is too much before allocating for it.
    ///
    /// # Errors
    ///
    /// As for [`Operations::read`].
    fn write(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &LocalFile,
        _buf: &mut UserSliceReader,
        _pos: &mut Offset,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `lseek(2)`: return where the position is to be. Implementing it makes the file seekable.
    ///
    /// # Errors
    ///
    /// The position stays where it is. A negative position becomes EINVAL.
    fn lseek(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &LocalFile,
        _offset: Offset,
        _whence: Whence,
    ) -> Result<Offset> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ioctl(2)`, from 64-bit and 32-bit user space: `arg` is a number or an address, and what it points to
    /// must be laid out the same for both (`compat_ptr_ioctl`).
    ///
    /// # Errors
    ///
    /// [`ENOTTY`] for what it does not know. A negative number becomes EIO.
    fn ioctl(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        _cmd: u32,
        _arg: usize,
    ) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `mmap(2)`: insert pages into the new mapping. The mapping holds the file, and its pages, until it is
    /// unmapped, which can be long after the entry is gone; no callback comes then.
    ///
    /// # Errors
    ///
    /// Whatever is returned is what `mmap(2)` fails with.
    fn mmap(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        _vma: &VmaNew,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The last descriptor of an open file was closed, or the entry is being removed.
    ///
    /// Called once for each `open` that succeeded, when no other callback runs on this open file. May run
    /// on the thread that removes the entry: `current` means nothing here.
    fn release(&self, ptr: Self::Ptr) {
        drop(ptr);
    }
}

/// Copies to user space as many bytes as both have and as arrive, and returns how many.
///
/// [`UserSliceWriter::write_slice`] says only that some byte did not arrive. This is for files that owe
/// their reader the exact number.
///
/// # Errors
///
/// [`EFAULT`]: not one byte arrived, and there was one to copy.
///
/// # Examples
///
/// ```
/// let arrived = proc_fs::write_to_user(buf, rest)?;
/// *pos = pos.saturating_add_unsigned(arrived as u64);
/// Ok(arrived)
/// ```
#[inline]
pub fn write_to_user(buf: &mut UserSliceWriter, bytes: &[u8]) -> Result<usize> {
    let Some(bytes) = bytes.get(..bytes.len().min(buf.len())) else {
        return Ok(0);
    };
    if buf.write_slice(bytes).is_ok() {
        return Ok(bytes.len());
    }
    // `write_slice` has not advanced: byte by byte up to the one that faults.
    let arrived = bytes
        .iter()
        .take_while(|&byte| buf.write(byte).is_ok())
        .count();
    if arrived == 0 {
        return Err(EFAULT);
    }
    Ok(arrived)
}

/// Copies to an iterator as many bytes as both have and as arrive, and returns how many: what
/// [`write_to_user`] is for [`Operations::read`], for [`Operations::read_iter`].
///
/// # Errors
///
/// [`EFAULT`]: not one byte arrived, and there was one to copy.
///
/// # Examples
///
/// ```
/// let pos = kiocb.ki_pos_mut();
/// let rest = Self::BYTES
///     .get(usize::try_from(*pos)?..)
///     .unwrap_or_default();
/// let arrived = proc_fs::write_to_iter(iov, rest)?;
/// *pos = pos.saturating_add_unsigned(arrived as u64);
/// ```
#[inline]
pub fn write_to_iter(iov: &mut IovIterDest<'_>, bytes: &[u8]) -> Result<usize> {
    let wanted = bytes.len().min(iov.len());
    let arrived = iov.copy_to_iter(bytes);
    if arrived == 0 && wanted > 0 {
        return Err(EFAULT);
    }
    Ok(arrived)
}

/// The `proc_ops` of `T`, and the functions in it.
pub(super) struct VTable<T: Operations>(PhantomData<T>);

/// The data of the entry that `inode` belongs to.
///
/// # Safety
///
/// `inode` must be one of an entry whose data is a `T`, inside a callback that `proc_remove` waits for, and
/// the reference must not be used after that callback.
pub(super) unsafe fn data<'a, T>(inode: *const kernel::bindings::inode) -> &'a T {
    // SAFETY:
    // - `inode` is valid by the precondition, and `i_private` is written only by `proc_get_inode`, before
    //   anybody can open it: there it becomes what was given to `proc_create_data`.
    // - That is a pointer to a `T` which can be shared until `proc_remove` has returned, by the contract of
    //   `File::with`.
    unsafe { &*(*inode).i_private.cast::<T>() }
}

/// The errno of a read or a write that has failed.
///
/// EIOCBQUEUED would be one that goes on, of which none here knows: `new_sync_read` has a `BUG_ON` for it, and
/// `io_uring_enter(2)` would wait for its end.
pub(super) fn errno(error: Error) -> c_int {
    if error == EIOCBQUEUED {
        EIO.to_errno()
    } else {
        error.to_errno()
    }
}

impl<T: Operations> VTable<T> {
    pub(super) const PROC_OPS: &'static bindings::proc_ops = &bindings::proc_ops {
        proc_open: Some(Self::open),
        proc_read: if T::HAS_READ { Some(Self::read) } else { None },
        proc_read_iter: if T::HAS_READ_ITER {
            assert!(
                !T::HAS_READ,
                "implement read or read_iter: procfs would not call both"
            );
            Some(Self::read_iter)
        } else {
            None
        },
        proc_write: if T::HAS_WRITE {
            Some(Self::write)
        } else {
            None
        },
        proc_lseek: if T::HAS_LSEEK {
            Some(Self::lseek)
        } else {
            match T::SEEK {
                Seek::Unseekable => None,
                Seek::NoEnd => Some(kernel::bindings::no_seek_end_llseek),
                Seek::Default => Some(kernel::bindings::default_llseek),
                Seek::Noop => Some(kernel::bindings::noop_llseek),
            }
        },
        proc_release: Some(Self::release),
        proc_ioctl: if T::HAS_IOCTL {
            Some(Self::ioctl)
        } else {
            None
        },
        #[cfg(CONFIG_COMPAT)]
        proc_compat_ioctl: if T::HAS_IOCTL {
            kernel::bindings::compat_ptr_ioctl
        } else {
            None
        },
        proc_mmap: if T::HAS_MMAP { Some(Self::mmap) } else { None },
        ..NONE
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_open` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn open(
        inode: *mut kernel::bindings::inode,
        raw_file: *mut kernel::bindings::file,
    ) -> c_int {
        // SAFETY: `proc_reg_open` calls inside `use_pde`, with the inode of the entry.
        let data = unsafe { data::<T>(inode) };
        // SAFETY:
        // - `do_dentry_open` owns a reference to the file during this call.
        // - The file has no descriptor yet, so nobody can be inside `fdget_pos` with it.
        let file = unsafe { File::from_raw_file(raw_file) };

        match data.open(file) {
            Ok(ptr) => {
                // SAFETY: A file that is being opened is accessed by its opener only, and procfs does not use
                // `private_data`.
                unsafe { (*raw_file).private_data = ptr.into_foreign() };
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// The data of the entry and the `Ptr` of the open file.
    ///
    /// # Safety
    ///
    /// `file` must be what procfs handed to a callback of [`Self::PROC_OPS`] in which the file is open, and
    /// nothing returned may be used after that callback.
    unsafe fn opened<'a>(
        file: *mut kernel::bindings::file,
    ) -> (&'a T, <T::Ptr as ForeignOwnable>::Borrowed<'a>) {
        // SAFETY: An open file has its inode; `f_inode` does not change. The rest is the precondition.
        let data = unsafe { data::<T>((*file).f_inode) };
        // SAFETY:
        // - `open` put the result of `into_foreign` there, and nobody has written to it since.
        // - `release` runs only when no other callback does, and will not, on this file: a close comes after
        //   all calls that hold the file, and `proc_entry_rundown` waits for them. So `from_foreign` is
        //   called after the last use of the borrow.
        let ptr = unsafe { T::Ptr::borrow((*file).private_data) };
        (data, ptr)
    }

    /// The file, for a callback that may run inside `fdget_pos`: `pread` and `pwrite` do not.
    ///
    /// # Safety
    ///
    /// As for [`Self::opened`], in a callback for `read`, `write` or `lseek`.
    unsafe fn local<'a>(file: *mut kernel::bindings::file) -> &'a LocalFile {
        // SAFETY:
        // - The system call holds a reference to the file.
        // - `fdget_pos` without the lock means that the file is used by no other thread, unless one takes it with
        //   `pidfd_getfd` meanwhile. What the two would share is `f_pos`, which no reference here gives access to:
        //   callbacks have a copy.
        unsafe { LocalFile::from_raw_file(file) }
    }

    /// The file, for a callback that runs outside `fdget_pos`.
    ///
    /// # Safety
    ///
    /// As for [`Self::opened`], in a callback for `ioctl` or `mmap`.
    unsafe fn shared<'a>(file: *mut kernel::bindings::file) -> &'a File {
        // SAFETY:
        // - The system call holds a reference to the file.
        // - This thread is not inside `fdget_pos`, and another one is only with the lock, since then the file
        //   is shared, but for `pidfd_getfd`: see `local`.
        unsafe { File::from_raw_file(file) }
    }

    /// Calls `transfer` with a copy of the position, and turns its result into what a `read` or `write` of
    /// `proc_ops` returns.
    ///
    /// # Safety
    ///
    /// `pos` must be valid for reading and writing.
    unsafe fn transfer(
        count: usize,
        pos: *mut Offset,
        transfer: impl FnOnce(&mut Offset) -> Result<usize>,
    ) -> isize {
        // SAFETY: Valid by the precondition.
        let mut moved = unsafe { *pos };
        match transfer(&mut moved) {
            Ok(done) if done <= count => {
                // SAFETY: Valid by the precondition.
                unsafe { *pos = moved };
                // CAST: `count` is at most MAX_RW_COUNT, and `done` is not more.
                done as isize
            }
            Ok(_) => EIO.to_errno() as isize,
            Err(error) => errno(error) as isize,
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_read` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn read(
        file: *mut kernel::bindings::file,
        buf: *mut c_char,
        count: usize,
        pos: *mut Offset,
    ) -> isize {
        // SAFETY: `proc_reg_read` calls inside `use_pde`, with an open file.
        let ((data, ptr), file) = unsafe { (Self::opened(file), Self::local(file)) };
        let mut buf = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
        // SAFETY: `vfs_read` passes a position of its caller's. That is null for a stream only, which no file is that
        // nobody has called `stream_open` for.
        unsafe { Self::transfer(count, pos, |pos| data.read(ptr, file, &mut buf, pos)) }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_read_iter` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn read_iter(
        raw_kiocb: *mut kernel::bindings::kiocb,
        raw_iter: *mut kernel::bindings::iov_iter,
    ) -> isize {
        // SAFETY: `proc_reg_read_iter` calls inside `use_pde`, with the kiocb of an open file.
        let data = unsafe { data::<T>((*(*raw_kiocb).ki_filp).f_inode) };
        // SAFETY: The kiocb is valid during this call, and so is the private data of its file, a `T::Ptr`: see
        // `opened`.
        let kiocb = unsafe { Kiocb::from_raw(raw_kiocb) };
        // SAFETY: `vfs_read`, `vfs_iter_read` and `copy_splice_read` pass an iterator to write to, which is
        // theirs alone.
        let iov = unsafe { IovIterDest::from_raw(raw_iter) };
        let count = iov.len();
        match data.read_iter(kiocb, iov) {
            // What is in front of the rest has been written, but for what `IovIterDest::advance` left out.
            // CAST: `count` is at most MAX_RW_COUNT.
            Ok(done) if done <= count.saturating_sub(iov.len()) => done as isize,
            Ok(_) => EIO.to_errno() as isize,
            Err(error) => errno(error) as isize,
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_write` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn write(
        file: *mut kernel::bindings::file,
        buf: *const c_char,
        count: usize,
        pos: *mut Offset,
    ) -> isize {
        // SAFETY: `proc_reg_write` calls inside `use_pde`, with an open file.
        let ((data, ptr), file) = unsafe { (Self::opened(file), Self::local(file)) };
        let mut buf = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count).reader();
        // SAFETY: `vfs_write` passes a position of its caller's: see `read`.
        unsafe { Self::transfer(count, pos, |pos| data.write(ptr, file, &mut buf, pos)) }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_lseek` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn lseek(
        raw_file: *mut kernel::bindings::file,
        offset: Offset,
        whence: c_int,
    ) -> Offset {
        // SAFETY: `proc_reg_llseek` calls inside `use_pde`, with an open file.
        let ((data, ptr), file) = unsafe { (Self::opened(raw_file), Self::local(raw_file)) };
        let moved =
            Whence::from_raw(whence).and_then(|whence| data.lseek(ptr, file, offset, whence));
        match moved {
            // `vfs_setpos` refuses what is negative or more than the maximum, and writes the position as C's
            // own do.
            // SAFETY: The file is open, and this is its `lseek`.
            Ok(moved) => unsafe { kernel::bindings::vfs_setpos(raw_file, moved, Offset::MAX) },
            Err(error) => error.to_errno().into(),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_ioctl` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn ioctl(
        file: *mut kernel::bindings::file,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: `proc_reg_unlocked_ioctl` calls inside `use_pde`, with an open file.
        let ((data, ptr), file) = unsafe { (Self::opened(file), Self::shared(file)) };
        match data.ioctl(ptr, file, cmd, arg) {
            Ok(result) if result >= 0 => result,
            Ok(_) => EIO.to_errno() as c_long,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_mmap` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn mmap(
        file: *mut kernel::bindings::file,
        vma: *mut kernel::bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: `proc_reg_mmap` calls inside `use_pde`, with an open file.
        let ((data, ptr), file) = unsafe { (Self::opened(file), Self::shared(file)) };
        // SAFETY: The mapping is being made, and nobody else has it yet.
        let vma = unsafe { VmaNew::from_raw(vma) };
        match data.mmap(ptr, file, vma) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_release` of an entry made with [`Self::PROC_OPS`].
    unsafe extern "C" fn release(
        inode: *mut kernel::bindings::inode,
        file: *mut kernel::bindings::file,
    ) -> c_int {
        // SAFETY: `proc_remove` calls `release` itself, or waits for the one that a close has begun, so the
        // data is there until this returns.
        let data = unsafe { data::<T>(inode) };
        // SAFETY: `open` put the result of `into_foreign` there, and procfs calls `release` once for each
        // successful `open`.
        let ptr = unsafe { T::Ptr::from_foreign((*file).private_data) };
        data.release(ptr);
        0
    }
}
