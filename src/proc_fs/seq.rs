// SPDX-License-Identifier: GPL-2.0

//! Files that read as a list of any length.

use super::{
    bindings,
    operations::errno,
    show::NONE, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    ffi::{
        c_int,
        c_void, //
    },
    fs::file::Offset,
    prelude::*,
    seq_file::SeqFile, //
};

/// A file that reads as the items of a list, one after the other.
///
/// The list may change while it is read. An item is known by an id, which stays the same as long as the item
/// is there and is not used again soon; a reader gets each item that is there all the time exactly once, in
/// the order of the ids, and none twice. Nothing is locked between two items, nor while what was
/// printed is copied to user space.
///
/// # Examples
///
/// ```
/// /// The even numbers below 1000.
/// struct Even;
///
/// impl proc_fs::SeqOperations for Even {
///     fn next_at(&self, id: u64) -> Option<u64> {
///         let id = id.checked_next_multiple_of(2)?;
///         (id < 1000).then_some(id)
///     }
///
///     fn show(&self, id: u64, m: &SeqFile) -> Result {
///         seq_print!(m, "{id}\n");
///         Ok(())
///     }
/// }
/// ```
pub trait SeqOperations: Sync + 'static {
    /// The id of the first item whose id is `id` or more. Ids go up to `i64::MAX - 1`; what is larger is
    /// taken for the end of the list.
    fn next_at(&self, id: u64) -> Option<u64>;

    /// Prints the item `id`, which [`SeqOperations::next_at`] has returned; nothing if it is gone meanwhile.
    ///
    /// Called again, with twice the memory, if one item did not fit.
    ///
    /// # Errors
    ///
    /// The read ends with what comes before this item; the next one fails with the error.
    fn show(&self, id: u64, m: &SeqFile) -> Result;
}

/// The `proc_ops` of lists.
pub(super) struct Lists<T: SeqOperations>(PhantomData<T>);

impl<T: SeqOperations> Lists<T> {
    pub(super) const PROC_OPS: &'static bindings::proc_ops = &bindings::proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: Some(kernel::bindings::seq_read_iter),
        proc_lseek: Some(kernel::bindings::seq_lseek),
        proc_release: Some(kernel::bindings::seq_release),
        ..NONE
    };

    const SEQ_OPS: &'static kernel::bindings::seq_operations = &kernel::bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_open` of an entry whose data is a `T`.
    unsafe extern "C" fn open(
        inode: *mut kernel::bindings::inode,
        file: *mut kernel::bindings::file,
    ) -> c_int {
        // SAFETY: `file` is being opened and has no private data yet; the operations are `'static`.
        let result = unsafe { kernel::bindings::seq_open(file, Self::SEQ_OPS) };
        if result == 0 {
            // SAFETY: `seq_open` has made a `seq_file` the private data, and nobody else uses it yet. The functions
            // of `SEQ_OPS` are called by `seq_read_iter` and `seq_lseek` only, that is inside callbacks that
            // `proc_remove` waits for.
            unsafe {
                (*(*file).private_data.cast::<kernel::bindings::seq_file>()).private =
                    (*inode).i_private
            };
        }
        result
    }

    /// The first item at or after `*pos`, whose id becomes `*pos`. What is returned stands for it: seq_file
    /// only passes it on.
    ///
    /// # Safety
    ///
    /// `m` must be the `seq_file` of a file opened by [`Self::open`], inside one of its callbacks, and `pos`
    /// valid for reading and writing.
    unsafe fn find(m: *mut kernel::bindings::seq_file, pos: *mut Offset) -> *mut c_void {
        // SAFETY: `open` has put there the data of the entry, which is a `T`.
        let data = unsafe { &*(*m).private.cast::<T>() };
        // SAFETY: Valid by the precondition.
        let from = unsafe { *pos };
        // CAST: seq_file counts from 0, and this file only up.
        let found = data
            .next_at(from as u64)
            .and_then(|id| Offset::try_from(id).ok());
        match found {
            Some(id) if id >= from && id < Offset::MAX => {
                // SAFETY: Valid by the precondition.
                unsafe { *pos = id };
                // Not null, and not an error: SEQ_START_TOKEN.
                ptr::without_provenance_mut(1)
            }
            _ => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn start(
        m: *mut kernel::bindings::seq_file,
        pos: *mut Offset,
    ) -> *mut c_void {
        // SAFETY: `seq_read_iter` and `traverse` pass their own `seq_file` and its `index`.
        unsafe { Self::find(m, pos) }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn next(
        m: *mut kernel::bindings::seq_file,
        _item: *mut c_void,
        pos: *mut Offset,
    ) -> *mut c_void {
        // SAFETY: As in `start`. `find` has left less than the maximum there.
        unsafe { *pos = (*pos).wrapping_add(1) };
        // SAFETY: As in `start`.
        unsafe { Self::find(m, pos) }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn stop(_m: *mut kernel::bindings::seq_file, _item: *mut c_void) {}

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn show(m: *mut kernel::bindings::seq_file, _item: *mut c_void) -> c_int {
        // SAFETY: `open` has put there the data of the entry, which is a `T`; this is inside a callback.
        let data = unsafe { &*(*m).private.cast::<T>() };
        // The position of the item that `start` or `next` has found last.
        // SAFETY: seq_file passes its own `seq_file`, and holds its lock.
        let id = unsafe { (*m).index };
        // SAFETY: As above.
        let m = unsafe { SeqFile::from_raw(m) };
        // CAST: It was an id, which is not negative.
        match data.show(id as u64, m) {
            Ok(()) => 0,
            Err(error) => errno(error),
        }
    }
}
