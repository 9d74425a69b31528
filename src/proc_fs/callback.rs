// SPDX-License-Identifier: GPL-2.0

//! What all callbacks have in common: the functions that C calls, the data they find, and the
//! errors they return.

use super::bindings;
use core::marker::PhantomData;
use kernel::{
    fs::file::Offset,
    prelude::*, //
};

/// A `proc_ops` whose functions expect a `T`: the proof that an entry is made with the functions
/// for its data and with no others.
///
/// # Invariants
///
/// Each function is sound to be called by procfs for an entry for whose inodes `i_private` is a
/// pointer to a `T` which can be shared until `proc_remove` has returned.
pub(super) struct ProcOps<T>(bindings::proc_ops, PhantomData<fn(T) -> T>);

impl<T> ProcOps<T> {
    /// # Safety
    ///
    /// `proc_ops` must be as the type invariant says.
    pub(super) const unsafe fn new(proc_ops: bindings::proc_ops) -> Self {
        // INVARIANT: By the precondition.
        Self(proc_ops, PhantomData)
    }

    pub(super) const fn as_raw(&'static self) -> *const bindings::proc_ops {
        &self.0
    }
}

/// The data of the entry that `inode` belongs to.
///
/// # Safety
///
/// `inode` must be one of an entry made with a [`ProcOps<T>`], inside a callback that `proc_remove`
/// waits for, and the reference must not be used after that callback.
pub(super) unsafe fn data<'a, T>(inode: *const kernel::bindings::inode) -> &'a T {
    // SAFETY: The inode is valid by the precondition. `i_private` is written by `proc_get_inode`
    // only, before anybody can open the inode.
    let data = unsafe { (*inode).i_private };
    // SAFETY: By the invariant of `ProcOps` it is a `T` that can be shared until `proc_remove` has
    // returned, which is not before this callback has.
    unsafe { &*data.cast::<T>() }
}

/// The errno of a `read` or `write` that has failed.
///
/// EIOCBQUEUED would be one that goes on, of which none here knows: `new_sync_read` has a `BUG_ON`
/// for it, and `io_uring_enter(2)` would wait for its end. It becomes EIO.
#[cold]
pub(super) fn errno(error: Error) -> isize {
    let error = if error == EIOCBQUEUED { EIO } else { error };
    // CAST: No wider.
    error.to_errno() as isize
}

/// Ends a `read` or `write` of `count` bytes in all, which has moved the position `from` to `to`.
///
/// The next segment of a `readv` or `writev` begins there, without another look at it by the VFS
/// (`do_loop_readv_writev`): a negative one is EIO.
///
/// # Safety
///
/// `pos` must be valid for writing.
#[inline(always)]
pub(super) unsafe fn finish(pos: *mut Offset, from: Offset, to: Offset, count: usize) -> isize {
    if to != from {
        if to < 0 {
            return errno(EIO);
        }
        // SAFETY: Valid by the precondition.
        unsafe { *pos = to };
    }
    // CAST: The VFS asks for MAX_RW_COUNT at most, and no more than that was done.
    count as isize
}
