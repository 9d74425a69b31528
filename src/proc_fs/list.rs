// SPDX-License-Identifier: GPL-2.0

//! Files that read as a list of any length.

use super::{
    bindings::proc_ops,
    callback::ProcOps,
    exact::Exact,
    kernel_crate, //
    seq::{
        self,
        SeqWriter, //
    },
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings::{
        self,
        seq_operations, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    fs::file::Offset,
    prelude::*, //
};

/// A file that reads as the items of a list, one after the other.
///
/// The list may change while it is read. An item is known by an id, which stays the same as long as
/// the item is there and is not used again soon; a reader who goes on where it stopped gets each
/// item that is there all the time exactly once, in the order of the ids, and none twice. One who
/// begins elsewhere (`pread`, `lseek`) gets what is so many bytes down the list as it is now.
/// Nothing is locked between two items, nor while what was printed is copied to user space. A task
/// that is being killed gets no further item, however many there are: the read ends, with EINTR
/// where it has nothing yet.
///
/// # Examples
///
/// ```
/// /// The even numbers below 1000.
/// struct Even;
///
/// impl proc_fs::List for Even {
///     fn next_at(&self, id: u64) -> Option<u64> {
///         let id = id.checked_next_multiple_of(2)?;
///         (id < 1000).then_some(id)
///     }
///
///     fn show(&self, id: u64, m: &mut SeqWriter<'_>) -> Result {
///         writeln!(m, "{id}")
///     }
/// }
/// ```
pub trait List: Sync + 'static {
    /// The id of the first item whose id is `id` or more. Ids go up to `i64::MAX - 1`; what is
    /// larger, or less than `id`, is taken for the end of the list.
    fn next_at(&self, id: u64) -> Option<u64>;

    /// Prints the item `id`, which [`List::next_at`] has returned; nothing if it is gone meanwhile.
    ///
    /// Called again, with twice the memory, if one item did not fit.
    ///
    /// # Errors
    ///
    /// The read ends with what comes before this item; the next one fails with the error, as
    /// [`Show::show`](super::Show::show) does.
    fn show(&self, id: u64, m: &mut SeqWriter<'_>) -> Result;
}

/// The functions of lists.
pub(super) struct Lists<T>(PhantomData<T>);

impl<T: List> Lists<T> {
    pub(super) const PROC_OPS: &'static ProcOps<T> = &{
        // SAFETY: Each function says what it may be called for, and that is a `T`.
        unsafe { ProcOps::new(Self::RAW) }
    };

    const RAW: proc_ops = proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: Some(bindings::seq_read_iter),
        proc_lseek: Some(bindings::seq_lseek),
        proc_release: Some(bindings::seq_release),
        ..pin_init::zeroed()
    };

    const SEQ_OPS: &'static seq_operations = &seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    /// # Safety
    ///
    /// Only for procfs, as `proc_open` of an entry whose data is a `T`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `file` is being opened and has no private data yet; the operations are `'static`.
        let result = unsafe { bindings::seq_open(file, Self::SEQ_OPS) };
        if result == 0 {
            // SAFETY: procfs passes the inode of the entry.
            let data = unsafe { (*inode).i_private };
            // SAFETY: `seq_open` has made a `seq_file` the private data.
            let m: *mut bindings::seq_file = unsafe { (*file).private_data }.cast();
            // SAFETY: Nobody else uses it yet.
            unsafe { (*m).private = data };
        }
        result
    }

    /// The first item at or after `from`, whose id becomes `*pos`. What is returned stands for it:
    /// seq_file only passes it on.
    ///
    /// # Safety
    ///
    /// As for [`seq::data`], for a file opened by [`Self::open`], and `pos` must be valid for
    /// writing.
    unsafe fn find(m: *mut bindings::seq_file, from: Offset, pos: *mut Offset) -> *mut c_void {
        // `traverse` and `seq_read_iter` go from item to item by themselves, for as many as print
        // nothing or come before the position.
        if kernel_crate::fatal_signal_pending() {
            return EINTR.to_ptr();
        }
        // SAFETY: By the precondition; `open` has put the data there, which is a `T`.
        let data = unsafe { seq::data::<T>(m) };
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
    unsafe extern "C" fn start(m: *mut bindings::seq_file, pos: *mut Offset) -> *mut c_void {
        // SAFETY: `seq_read_iter` and `traverse` pass their own `seq_file` and its `index`.
        let from = unsafe { *pos };
        // SAFETY: As above.
        unsafe { Self::find(m, from, pos) }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn next(
        m: *mut bindings::seq_file,
        _item: *mut c_void,
        pos: *mut Offset,
    ) -> *mut c_void {
        // `find` has left less than the maximum there.
        // SAFETY: As in `start`.
        let from = unsafe { *pos }.plus(1);
        // Also at the end of the list: seq_file wants to see that it has moved.
        // SAFETY: As in `start`.
        unsafe { *pos = from };
        // SAFETY: As in `start`.
        unsafe { Self::find(m, from, pos) }
    }

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn stop(_m: *mut bindings::seq_file, _item: *mut c_void) {}

    /// # Safety
    ///
    /// Only for seq_file, for a file opened by [`Self::open`].
    unsafe extern "C" fn show(m: *mut bindings::seq_file, _item: *mut c_void) -> c_int {
        // SAFETY: This is a function of `seq_operations`, and `open` has put the data there, which
        // is a `T`.
        let data = unsafe { seq::data::<T>(m) };
        // The position of the item that `start` or `next` has found last.
        // SAFETY: As above, and whoever calls holds its lock.
        let id = unsafe { (*m).index };
        // CAST: It was an id, which is not negative.
        // SAFETY: This is a `show`.
        unsafe { seq::show(m, |m| data.show(id as u64, m)) }
    }
}
