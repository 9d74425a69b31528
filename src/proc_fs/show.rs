// SPDX-License-Identifier: GPL-2.0

//! Files that read as a short text, and files that take what is written.

use super::{
    bindings::proc_ops,
    callback::{
        data,
        errno,
        ProcOps, //
    },
    seq::{
        self,
        SeqWriter, //
    },
    user::UserReader, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    fs::file::Offset,
    prelude::*, //
};

/// A file that reads as a text which is printed as a whole: up to a few pages. For longer ones
/// there is [`List`](super::List).
///
/// # Examples
///
/// ```
/// struct Greeting;
///
/// impl Show for Greeting {
///     fn show(&self, m: &mut SeqWriter<'_>) -> Result {
///         writeln!(m, "Hello from the kernel")
///     }
/// }
/// ```
pub trait Show: Sync + 'static {
    /// Prints the text.
    ///
    /// Called when a read needs the text, and again, with twice the memory, if it did not fit. It
    /// may sleep and take locks. No lock that is dropped when it returns is held while the text is
    /// copied to user space.
    ///
    /// # Errors
    ///
    /// The read fails with it; with EIO for EAGAIN and EIOCBQUEUED, by which the kernel means
    /// something else, and with EFBIG for a text of more than 4 MiB.
    fn show(&self, m: &mut SeqWriter<'_>) -> Result;
}

/// A file that takes what is written to it.
///
/// # Examples
///
/// ```
/// struct Switch(Atomic<bool>);
///
/// impl proc_fs::Store for Switch {
///     fn store(&self, buf: &mut UserReader<'_>) -> Result {
///         let mut word = proc_fs::Bytes::<4>::default();
///         word.read(buf)?;
///         let on = match word.strip_suffix(b"\n").unwrap_or(&word) {
///             b"on" => true,
///             b"off" => false,
///             _ => return Err(EINVAL),
///         };
///         self.0.store(on, Relaxed);
///         Ok(())
///     }
/// }
/// ```
pub trait Store: Sync + 'static {
    /// A write of at least one byte, at whatever position: all of it is done with when this
    /// returns.
    ///
    /// # Errors
    ///
    /// The write fails with it; with EIO for EIOCBQUEUED.
    fn store(&self, buf: &mut UserReader<'_>) -> Result;
}

/// The functions of files that can be read.
pub(super) struct Shows<T>(PhantomData<T>);

/// The functions of files that can be written.
pub(super) struct Stores<T>(PhantomData<T>);

/// The functions of files that can be both read and written.
pub(super) struct ShowsAndStores<T>(PhantomData<T>);

impl<T: Show> Shows<T> {
    pub(super) const PROC_OPS: &'static ProcOps<T> = &{
        // SAFETY: Each function says what it may be called for, and that is a `T`.
        unsafe { ProcOps::new(Self::RAW) }
    };

    const RAW: proc_ops = proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: Some(bindings::seq_read_iter),
        proc_lseek: Some(bindings::seq_lseek),
        proc_release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_open` of an entry whose data is a `T`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: procfs passes the inode of the entry.
        let data = unsafe { (*inode).i_private };
        // SAFETY: `file` is being opened, and has no private data yet. `show` expects the data of
        // the entry; it is called by `seq_read_iter` and `seq_lseek` only, that is inside callbacks
        // that `proc_remove` waits for.
        unsafe { bindings::single_open(file, Some(Self::show), data) }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn show(m: *mut bindings::seq_file, _token: *mut c_void) -> c_int {
        // SAFETY: seq_file passes its own.
        let data = unsafe { (*m).private };
        // SAFETY: `single_open` has put there the data of the entry, which is a `T`; this is inside
        // a callback of the entry.
        let data = unsafe { &*data.cast::<T>() };
        // SAFETY: This is a `show`.
        unsafe { seq::show(m, |m| data.show(m)) }
    }
}

impl<T: Store> Stores<T> {
    pub(super) const PROC_OPS: &'static ProcOps<T> = &{
        // SAFETY: Each function says what it may be called for, and that is a `T`.
        unsafe { ProcOps::new(Self::RAW) }
    };

    const RAW: proc_ops = proc_ops {
        proc_write: Some(Self::write),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_write` of an entry whose data is a `T`.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buf: *const c_char,
        count: usize,
        _pos: *mut Offset,
    ) -> isize {
        if count == 0 {
            return 0;
        }
        // SAFETY: An open file has its inode.
        let inode = unsafe { (*file).f_inode };
        // SAFETY: This is inside a callback of the entry, and its data is a `T`.
        let data = unsafe { data::<T>(inode) };
        match data.store(&mut UserReader::new(buf, count)) {
            // CAST: The VFS asks for MAX_RW_COUNT at most.
            Ok(()) => count as isize,
            Err(error) => errno(error),
        }
    }
}

impl<T: Show + Store> ShowsAndStores<T> {
    pub(super) const PROC_OPS: &'static ProcOps<T> = &{
        // SAFETY: Each function says what it may be called for, and that is a `T`.
        unsafe { ProcOps::new(Self::RAW) }
    };

    const RAW: proc_ops = proc_ops {
        proc_write: Some(Stores::<T>::write),
        ..Shows::<T>::RAW
    };
}
