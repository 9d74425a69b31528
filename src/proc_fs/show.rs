// SPDX-License-Identifier: GPL-2.0

//! Files that read as a short text, and files that take what is written.

use super::{
    bindings,
    operations::{
        data,
        errno, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    fs::file::Offset,
    prelude::*,
    seq_file::SeqFile,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    }, //
};

/// A file that reads as a text which is printed as a whole: up to a few pages. For longer ones there is
/// [`super::SeqOperations`].
///
/// # Examples
///
/// ```
/// struct Hello;
///
/// impl proc_fs::Show for Hello {
///     fn show(&self, m: &SeqFile) -> Result {
///         seq_print!(m, "Hello\n");
///         Ok(())
///     }
/// }
/// ```
pub trait Show: Sync + 'static {
    /// Prints the text, with [`seq_print!`](kernel::seq_file::seq_print) or [`write_to_seq`].
    ///
    /// Called when a read needs the text, and again, with twice the memory, if it did not fit. It may sleep
    /// and take locks. No lock that is dropped when it returns is held while the text is copied to user
    /// space.
    ///
    /// # Errors
    ///
    /// The read fails with it.
    fn show(&self, m: &SeqFile) -> Result;
}

/// A file that takes what is written to it.
///
/// # Examples
///
/// ```
/// struct Switch(Atomic<bool>);
///
/// impl proc_fs::Store for Switch {
///     fn store(&self, buf: &mut UserSliceReader) -> Result {
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
    /// A write of at least one byte, at whatever position: all of it is done with when this returns.
    ///
    /// `buf.len()` is up to 2 GiB - 4 KiB: refuse what is too much before allocating for it.
    ///
    /// # Errors
    ///
    /// The write fails with it.
    fn store(&self, buf: &mut UserSliceReader) -> Result;
}

/// Appends bytes to what a read will get, whatever they are: [`seq_print!`](kernel::seq_file::seq_print)
/// is for text.
///
/// # Examples
///
/// ```
/// impl proc_fs::Show for Bytes {
///     fn show(&self, m: &SeqFile) -> Result {
///         for byte in 0..=u8::MAX {
///             proc_fs::write_to_seq(m, &[byte; 100]);
///         }
///         Ok(())
///     }
/// }
/// ```
#[inline]
pub fn write_to_seq(m: &SeqFile, bytes: &[u8]) {
    // CAST: `SeqFile` is a transparent wrapper, in an `Opaque`, of C's `seq_file`.
    let m = core::ptr::from_ref(m).cast_mut().cast();
    // SAFETY:
    // - By the contract of `SeqFile::from_raw` the pointer is valid and no other thread uses it.
    // - The slice is valid for its length. `seq_write` remembers by itself if it does not fit.
    unsafe { kernel::bindings::seq_write(m, bytes.as_ptr().cast(), bytes.len()) };
}

/// The `proc_ops` of files that can be read.
pub(super) struct Shows<T: Show>(PhantomData<T>);

/// The `proc_ops` of files that can be written.
pub(super) struct Stores<T: Store>(PhantomData<T>);

/// The `proc_ops` of files that can be both read and written.
pub(super) struct ShowsAndStores<T: Show + Store>(PhantomData<T>);

/// No function at all.
pub(super) const NONE: bindings::proc_ops = bindings::proc_ops {
    proc_flags: 0,
    proc_open: None,
    proc_read: None,
    proc_read_iter: None,
    proc_write: None,
    proc_lseek: None,
    proc_release: None,
    proc_poll: None,
    proc_ioctl: None,
    #[cfg(CONFIG_COMPAT)]
    proc_compat_ioctl: None,
    proc_mmap: None,
    proc_get_unmapped_area: None,
};

impl<T: Show> Shows<T> {
    pub(super) const PROC_OPS: &'static bindings::proc_ops = &Self::OPS;

    const OPS: bindings::proc_ops = bindings::proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: Some(kernel::bindings::seq_read_iter),
        proc_lseek: Some(kernel::bindings::seq_lseek),
        proc_release: Some(kernel::bindings::single_release),
        ..NONE
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_open` of an entry whose data is a `T`.
    unsafe extern "C" fn open(
        inode: *mut kernel::bindings::inode,
        file: *mut kernel::bindings::file,
    ) -> c_int {
        // SAFETY:
        // - `file` is being opened, and has no private data yet.
        // - `show` expects the data of the entry. It is called by `seq_read_iter` and `seq_lseek` only, that is
        //   inside callbacks that `proc_remove` waits for.
        unsafe { kernel::bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn show(m: *mut kernel::bindings::seq_file, _token: *mut c_void) -> c_int {
        // SAFETY: `single_open` has put there the data of the entry, which is a `T`; this is inside a callback
        // of the entry.
        let data = unsafe { &*(*m).private.cast::<T>() };
        // SAFETY: The caller holds the `seq_file`'s lock.
        let m = unsafe { SeqFile::from_raw(m) };
        match data.show(m) {
            Ok(()) => 0,
            Err(error) => errno(error),
        }
    }
}

impl<T: Store> Stores<T> {
    pub(super) const PROC_OPS: &'static bindings::proc_ops = &bindings::proc_ops {
        proc_write: Some(Self::write),
        ..NONE
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_write` of an entry whose data is a `T`.
    unsafe extern "C" fn write(
        file: *mut kernel::bindings::file,
        buf: *const c_char,
        count: usize,
        _pos: *mut Offset,
    ) -> isize {
        if count == 0 {
            return 0;
        }
        // SAFETY: An open file has its inode, this is inside a callback of the entry, and its data is a `T`.
        let data = unsafe { data::<T>((*file).f_inode) };
        let mut buf = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count).reader();
        match data.store(&mut buf) {
            // CAST: `count` is at most MAX_RW_COUNT.
            Ok(()) => count as isize,
            Err(error) => errno(error) as isize,
        }
    }
}

impl<T: Show + Store> ShowsAndStores<T> {
    pub(super) const PROC_OPS: &'static bindings::proc_ops = &bindings::proc_ops {
        proc_write: Some(Stores::<T>::write),
        ..Shows::<T>::OPS
    };
}
