// SPDX-License-Identifier: GPL-2.0

//! What a file does when it is opened, read, written, sought, mapped and closed.

use super::{
    bindings::proc_ops,
    callback::{
        data,
        errno,
        finish,
        ProcOps, //
    },
    mapping::Mapping,
    user::{
        IterWriter,
        UserReader,
        UserWriter, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
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
        LocalFile, //
    },
    mm::virt::VmaNew,
    prelude::*,
    types::ForeignOwnable, //
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
    /// `SEEK_SET` and `SEEK_CUR` move the position, to wherever from 0 to `i64::MAX`; anything else
    /// is EINVAL (`no_seek_end_llseek`). For files without a meaningful size.
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
///     Whence::End => offset.checked_add_unsigned(MEMORY as u64).ok_or(EOVERFLOW),
///     Whence::Data => Ok(0),
///     Whence::Hole => Ok(-1),
///     Whence::Cur => pos.checked_add(offset).ok_or(EOVERFLOW),
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
        // CAST: The constants are 0 to 4, and what is negative becomes none of them.
        match whence as u32 {
            bindings::SEEK_SET => Ok(Self::Set),
            bindings::SEEK_CUR => Ok(Self::Cur),
            bindings::SEEK_END => Ok(Self::End),
            bindings::SEEK_DATA => Ok(Self::Data),
            bindings::SEEK_HOLE => Ok(Self::Hole),
            _ => Err(EINVAL),
        }
    }
}

/// What a file does. Implement it, with `#[vtable]`, for the data that all callbacks of the entry
/// share, and hand that to [`Dir::file`](super::Dir::file).
///
/// A callback that is not implemented is missing in the `proc_ops` too, and procfs answers in its
/// place: EIO for read, write and mmap, ENOTTY for ioctl. Implement [`Operations::read`] or
/// [`Operations::read_iter`], not both: that does not compile.
///
/// Callbacks may sleep. They run on any number of CPUs at once, and on one open file too: in the
/// context of the system call, but `read_iter` also for the kernel itself (`kernel_read`, a loop
/// device), and `release` for whoever closes the file last or removes the entry. A change of the
/// open file's flags (O_NONBLOCK, by `fcntl(2)`) is not seen by them.
///
/// # Examples
///
/// A file over memory of a fixed size. Nothing is locked while bytes are copied to user space.
///
/// ```
/// #[vtable]
/// impl proc_fs::Operations for Memory {
///     type Ptr = FileBox<Counted>;
///
///     fn open(&self, file: &LocalFile) -> Result<Self::Ptr> {
///         // …
///         let counters = self.counters.clone();
///         Ok(FileBox::new(Counted { counters }, GFP_KERNEL)?)
///     }
///
///     fn read(&self, _counted: &Counted, buf: &mut UserWriter<'_>, pos: &mut Offset) -> Result {
///         let copy = *self.bytes.lock();
///         buf.simple_read_from_buffer(pos, &copy)
///     }
///     // …
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
    /// `file` says how, and by whom. It is not open yet, and can't become a descriptor here.
    ///
    /// # Errors
    ///
    /// Whatever is returned is what `open(2)` fails with, and there is no `release` then. The VFS
    /// opens again, twice at most, after ECHILD, ESTALE and EOPENSTALE, which becomes ESTALE.
    fn open(&self, file: &LocalFile) -> Result<Self::Ptr>;

    /// `read(2)`, `pread(2)`, and each segment of `readv(2)`: write to `buf`, and advance `pos`. To
    /// write nothing is the end of the file.
    ///
    /// There may be room for 0 bytes. `pos` is not negative.
    ///
    /// # Errors
    ///
    /// `pos` does not move then. A negative one, and EIOCBQUEUED, become EIO.
    fn read(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _buf: &mut UserWriter<'_>,
        _pos: &mut Offset,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Like [`Operations::read`], for files that want `splice(2)` to work and, where they can seek,
    /// `sendfile(2)`: those read into kernel memory. All segments of `readv(2)` come in one call.
    ///
    /// # Errors
    ///
    /// As for [`Operations::read`].
    fn read_iter(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _buf: &mut IterWriter<'_>,
        _pos: &mut Offset,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `write(2)`, `pwrite(2)`, and each segment of `writev(2)`: read from `buf`, advance `pos`,
    /// and return how many bytes are done with.
    ///
    /// # Errors
    ///
    /// As for [`Operations::read`]. A number larger than that of the bytes there were becomes EIO.
    fn write(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _buf: &mut UserReader<'_>,
        _pos: &mut Offset,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `lseek(2)` at the position `pos`: return where it is to be. Implementing it makes the file
    /// seekable.
    ///
    /// # Errors
    ///
    /// The position stays where it is. A negative position becomes EINVAL.
    fn lseek(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _pos: Offset,
        _offset: Offset,
        _whence: Whence,
    ) -> Result<Offset> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ioctl(2)`, from 64-bit and 32-bit user space: `arg` is a number or an address, and what it
    /// points to must be laid out the same for both (`compat_ptr_ioctl`). Some commands are the
    /// VFS's own and don't come here (`do_vfs_ioctl`).
    ///
    /// # Errors
    ///
    /// [`ENOTTY`] for what it does not know. A negative number becomes EIO.
    fn ioctl(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _cmd: u32,
        _arg: usize,
    ) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `mmap(2)`: insert pages into the new mapping. The mapping holds the file, and its pages,
    /// until it is unmapped, which can be long after the entry is gone; no callback comes then.
    ///
    /// The task's mappings are locked meanwhile. Neither touch its memory here, nor take a lock
    /// that is held anywhere while that is done, nor remove an entry: these deadlock.
    ///
    /// # Errors
    ///
    /// Whatever is returned is what `mmap(2)` fails with.
    fn mmap(
        &self,
        _ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _mapping: &mut Mapping<'_>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The last descriptor of an open file was closed, or the entry is being removed.
    ///
    /// Called once for each `open` that succeeded, when no other callback runs on this open file.
    /// The task may be one that removes the entry, a worker of the kernel, or one that is exiting
    /// and has neither memory nor descriptors any more: use nothing of `current` here.
    fn release(&self, ptr: Self::Ptr) {
        drop(ptr);
    }
}

/// The functions of files with [`Operations`].
pub(super) struct VTable<T>(PhantomData<T>);

impl<T: Operations> VTable<T> {
    pub(super) const PROC_OPS: &'static ProcOps<T> = &{
        // SAFETY: Each function says what it may be called for, and that is a `T`.
        unsafe { ProcOps::new(Self::RAW) }
    };

    const RAW: proc_ops = proc_ops {
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
                Seek::NoEnd => Some(bindings::no_seek_end_llseek),
                Seek::Default => Some(bindings::default_llseek),
                Seek::Noop => Some(bindings::noop_llseek),
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
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        proc_mmap: if T::HAS_MMAP { Some(Self::mmap) } else { None },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_open` of an entry whose data is a `T`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, raw_file: *mut bindings::file) -> c_int {
        // SAFETY: `proc_reg_open` calls inside `use_pde`, with the inode of the entry.
        let data = unsafe { data::<T>(inode) };
        // SAFETY:
        // - `do_dentry_open` owns a reference to the file during this call.
        // - The file has no descriptor yet, so nobody can be inside `fdget_pos` with it.
        let file = unsafe { LocalFile::from_raw_file(raw_file) };
        match data.open(file) {
            Ok(ptr) => {
                // SAFETY: A file that is being opened is accessed by its opener only: a reference
                // that `open` may have kept can neither leave this thread nor become a descriptor.
                // procfs does not use `private_data`.
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
    /// `file` must be what procfs handed to a callback of [`Self::PROC_OPS`] in which the file is
    /// open, and nothing returned may be used after that callback.
    unsafe fn opened<'a>(
        file: *mut bindings::file,
    ) -> (&'a T, <T::Ptr as ForeignOwnable>::Borrowed<'a>) {
        // SAFETY: An open file has its inode; `f_inode` does not change.
        let inode = unsafe { (*file).f_inode };
        // SAFETY: By the precondition.
        let data = unsafe { data::<T>(inode) };
        // SAFETY: `open` wrote it before the file had a descriptor, and nobody has since.
        let ptr = unsafe { (*file).private_data };
        // SAFETY:
        // - It is the result of `into_foreign`.
        // - `release` runs only when no other callback does, and will not, on this file: a close
        //   comes after all calls that hold the file, and `proc_entry_rundown` waits for them. So
        //   `from_foreign` is called after the last use of the borrow.
        let ptr = unsafe { T::Ptr::borrow(ptr) };
        (data, ptr)
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_read` of an entry whose data is a `T`.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        buf: *mut c_char,
        count: usize,
        pos: *mut Offset,
    ) -> isize {
        // SAFETY: `proc_reg_read` calls inside `use_pde`, with an open file.
        let (data, ptr) = unsafe { Self::opened(file) };
        let mut buf = UserWriter::new(buf, count);
        // SAFETY: Who reads (`vfs_read`, io_uring's `loop_rw_iter`) passes a position of its own.
        // That is null for a stream only, which no file is that nobody has called `stream_open`
        // for.
        let from = unsafe { *pos };
        let mut moved = from;
        match data.read(ptr, &mut buf, &mut moved) {
            // SAFETY: As above.
            Ok(()) => unsafe { finish(pos, from, moved, buf.written()) },
            Err(error) => errno(error),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_read_iter` of an entry whose data is a `T`.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The VFS passes a kiocb of an open file.
        let file = unsafe { (*kiocb).ki_filp };
        // SAFETY: `proc_reg_read_iter` calls inside `use_pde`.
        let (data, ptr) = unsafe { Self::opened(file) };
        // SAFETY: `vfs_read`, `vfs_iter_read`, `copy_splice_read` and io_uring pass an iterator to
        // write to, which is theirs alone.
        let mut buf = unsafe { IterWriter::new(iter) };
        // SAFETY: The kiocb is the caller's, who waits for this call.
        let pos = unsafe { &raw mut (*kiocb).ki_pos };
        // SAFETY: As above.
        let from = unsafe { *pos };
        let mut moved = from;
        match data.read_iter(ptr, &mut buf, &mut moved) {
            // SAFETY: As above.
            Ok(()) => unsafe { finish(pos, from, moved, buf.written()) },
            Err(error) => errno(error),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_write` of an entry whose data is a `T`.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buf: *const c_char,
        count: usize,
        pos: *mut Offset,
    ) -> isize {
        // SAFETY: `proc_reg_write` calls inside `use_pde`, with an open file.
        let (data, ptr) = unsafe { Self::opened(file) };
        let mut buf = UserReader::new(buf, count);
        // SAFETY: `vfs_write` passes a position of its caller's: see `read`.
        let from = unsafe { *pos };
        let mut moved = from;
        match data.write(ptr, &mut buf, &mut moved) {
            // SAFETY: As above.
            Ok(done) if done <= count => unsafe { finish(pos, from, moved, done) },
            Ok(_) => errno(EIO),
            Err(error) => errno(error),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_lseek` of an entry whose data is a `T`.
    unsafe extern "C" fn lseek(file: *mut bindings::file, offset: Offset, whence: c_int) -> Offset {
        // SAFETY: `proc_reg_llseek` calls inside `use_pde`, with an open file.
        let (data, ptr) = unsafe { Self::opened(file) };
        // SAFETY: As above. `ksys_lseek` holds the position's lock, if the file is shared.
        let pos = unsafe { (*file).f_pos };
        match Whence::from_raw(whence).and_then(|whence| data.lseek(ptr, pos, offset, whence)) {
            // `vfs_setpos` refuses what is negative or more than the maximum, and writes the
            // position as C's own do.
            // SAFETY: The file is open, and this is its `lseek`.
            Ok(moved) => unsafe { bindings::vfs_setpos(file, moved, Offset::MAX) },
            Err(error) => error.to_errno().into(),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_ioctl` of an entry whose data is a `T`.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: `proc_reg_unlocked_ioctl` calls inside `use_pde`, with an open file.
        let (data, ptr) = unsafe { Self::opened(file) };
        match data.ioctl(ptr, cmd, arg) {
            Ok(result) if result >= 0 => result,
            Ok(_) => EIO.to_errno() as c_long,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_mmap` of an entry whose data is a `T`.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: `proc_reg_mmap` calls inside `use_pde`, with an open file.
        let (data, ptr) = unsafe { Self::opened(file) };
        // SAFETY: The mapping is being made, and nobody else has it yet.
        let vma = unsafe { VmaNew::from_raw(vma) };
        match data.mmap(ptr, &mut Mapping::new(vma)) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Only for procfs, as `proc_release` of an entry whose data is a `T`.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `proc_remove` calls `release` itself, or waits for the one that a close has
        // begun, so the data is there until this returns.
        let data = unsafe { data::<T>(inode) };
        // SAFETY: The file is there until this returns.
        let ptr = unsafe { (*file).private_data };
        // SAFETY:
        // - `open` put the result of `into_foreign` there, and procfs calls `release` once for each
        //   successful `open`.
        // - It is not borrowed: `__fput` calls after the last reference to the file, which a call
        //   holds, is gone, and `proc_entry_rundown` after the last call that `use_pde` has let in.
        let ptr = unsafe { T::Ptr::from_foreign(ptr) };
        data.release(ptr);
        0
    }
}
