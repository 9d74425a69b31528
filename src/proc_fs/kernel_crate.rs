// SPDX-License-Identifier: GPL-2.0

//! What belongs into the kernel crate, which lacks it: each function goes from here when it is
//! there.
//!
//! C headers: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/slab.h`](srctree/include/linux/slab.h).

use super::exact::Exact;
use core::{
    alloc::Layout,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator,
        flags::__GFP_NOWARN,
        AllocError,
        Allocator,
        Flags,
        NumaNode, //
    },
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
    from.len().minus(left)
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

/// Whether the current task is about to be killed: `fatal_signal_pending`, whose other half, the
/// flag that some signal is pending, is set whenever this one is.
#[inline]
pub(super) fn fatal_signal_pending() -> bool {
    // Their numbers begin with 1.
    const KILL: c_ulong = 1 << (bindings::SIGKILL - 1);
    let task = current!().as_ptr();
    // SAFETY: The current task is there.
    let pending = unsafe { &raw const (*task).pending.signal.sig[0] };
    // SAFETY: As above. Others may write to the word meanwhile: this is READ_ONCE.
    let pending = unsafe { pending.read_volatile() };
    pending & KILL != 0
}

/// What the kernel crate's [`Kmalloc`](allocator::Kmalloc) is, without a `krealloc` around each
/// `kmalloc` and `kfree`.
pub struct Kmalloc;

/// A box for what an open file owns: a [`KBox`] that costs what `kmalloc` and `kfree` cost, when it
/// is made with the flags for what users make the kernel allocate, `GFP_KERNEL_ACCOUNT |
/// __GFP_NOWARN`.
///
/// # Examples
///
/// ```
/// type Ptr = FileBox<Counted>;
/// ```
pub type FileBox<T> = kernel::alloc::Box<T, Kmalloc>;

// SAFETY: `krealloc` and `kmalloc` hand out the same memory, which stays until it is passed to
// `krealloc` or `kfree`: each of the functions here takes what any of them has returned.
unsafe impl Allocator for Kmalloc {
    const MIN_ALIGN: usize = <allocator::Kmalloc as Allocator>::MIN_ALIGN;

    #[inline]
    fn alloc(layout: Layout, flags: Flags, nid: NumaNode) -> Result<NonNull<[u8]>, AllocError> {
        // Otherwise the function has one more parameter, or belongs into a macro.
        #[cfg(not(any(CONFIG_KMALLOC_PARTITION_CACHES, CONFIG_MEM_ALLOC_PROFILING)))]
        if flags == (GFP_KERNEL_ACCOUNT | __GFP_NOWARN)
            && nid == NumaNode::NO_NODE
            && layout.size() > 0
        {
            const FLAGS: bindings::gfp_t = bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN;
            let size = layout.pad_to_align().size();
            // SAFETY: It takes any size and flags. What it returns is aligned to the largest power
            // of two that divides the size (`kmalloc` in slab.h), and so as `layout` says.
            let ptr = unsafe { bindings::__kmalloc_noprof(size, FLAGS) };
            let ptr = NonNull::new(ptr.cast()).ok_or(AllocError)?;
            return Ok(NonNull::slice_from_raw_parts(ptr, size));
        }
        allocator::Kmalloc::alloc(layout, flags, nid)
    }

    #[inline]
    unsafe fn realloc(
        ptr: Option<NonNull<u8>>,
        layout: Layout,
        old_layout: Layout,
        flags: Flags,
        nid: NumaNode,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: Our preconditions are the same.
        unsafe { allocator::Kmalloc::realloc(ptr, layout, old_layout, flags, nid) }
    }

    #[inline]
    unsafe fn free(ptr: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: By the precondition it was allocated here, and nobody uses it any more.
            unsafe { bindings::kfree(ptr.as_ptr().cast()) }
        }
    }
}
