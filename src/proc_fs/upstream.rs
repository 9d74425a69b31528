// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks, and should have: each function belongs there, and goes from here
//! when it is there.
//!
//! C headers: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h).

use core::mem::MaybeUninit;
use kernel::{
    bindings,
    ffi::{
        c_ulong,
        c_void, //
    },
    prelude::*, //
};

/// Copies `from` to the address `to` of the current task, and returns how many bytes have arrived.
///
/// [`UserSliceWriter::write_slice`](kernel::uaccess::UserSliceWriter::write_slice) says only
/// whether all have. Any address may be passed: it is checked (`access_ok`), and a fault ends the
/// copy.
#[inline]
pub(super) fn copy_to_user(to: *mut c_void, from: &[u8]) -> usize {
    // SAFETY: A slice is valid for reading its length.
    let left = unsafe { bindings::copy_to_user(to, from.as_ptr().cast(), from.len()) };
    // What is left is no more than what there was.
    from.len().wrapping_sub(left)
}

/// Fills `to` from the address `from` of the current task.
///
/// Unlike [`UserSliceReader::read_raw`](kernel::uaccess::UserSliceReader::read_raw) it is one call
/// of C and nothing else. After success all of `to` is initialised.
///
/// # Errors
///
/// [`EFAULT`]: not all bytes can be read. `to` may have changed.
#[inline]
pub(super) fn copy_from_user(to: &mut [MaybeUninit<u8>], from: *const c_void) -> Result {
    // SAFETY: A mutable slice is valid for writing its length, and bytes of it may be anything.
    let left = unsafe { bindings::copy_from_user(to.as_mut_ptr().cast(), from, to.len()) };
    if left != 0 {
        return Err(EFAULT);
    }
    Ok(())
}

/// Whether the current task is about to be killed (`fatal_signal_pending`).
#[inline]
pub(super) fn fatal_signal_pending() -> bool {
    // Their numbers begin with 1.
    const KILL: c_ulong = 1 << (bindings::SIGKILL - 1);
    let task = current!().as_ptr();
    // SAFETY: The current task is there.
    let pending = unsafe { &raw const (*task).pending.signal.sig[0] };
    // SAFETY: As above. What others write to this word meanwhile, under a lock that C does not take
    // for looking at it either, is a bit more or less.
    let pending = unsafe { pending.read_volatile() };
    pending & KILL != 0
}
