// SPDX-License-Identifier: GPL-2.0

//! Printing into a `seq_file`.
//!
//! C header: [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h), C source:
//! [`fs/seq_file.c`](srctree/fs/seq_file.c).

use core::{
    fmt,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*, //
};

/// So much, in bytes, and more printed at once fails with EFBIG: seq_file would go on doubling its
/// memory up to 2 GiB, which nobody is charged for.
const MAX_TEXT: usize = 4 << 20;

/// Takes what a file reads as, with [`write!`] and [`writeln!`] or as bytes.
///
/// It is borrowed for as long as something is printed, so that what is printed can't print to it
/// itself: `seq_printf` would count bytes that nobody has written.
///
/// # Invariants
///
/// `raw` is a valid `seq_file` which nobody else uses as long as this is there.
pub struct SeqWriter<'a> {
    raw: NonNull<bindings::seq_file>,
    _callback: PhantomData<&'a mut bindings::seq_file>,
}

impl SeqWriter<'_> {
    /// Appends bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// [`EOVERFLOW`]: there is no room. Pass it on: it is not taken for an error, and the callback
    /// is called again with twice the memory.
    ///
    /// # Examples
    ///
    /// ```
    /// for byte in 0..=u8::MAX {
    ///     m.write(&[byte; 100])?;
    /// }
    /// ```
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        // SAFETY: The `seq_file` is valid and used here alone, by the type invariant; a slice is
        // valid for its length.
        match unsafe { bindings::seq_write(self.raw.as_ptr(), bytes.as_ptr().cast(), bytes.len()) }
        {
            0 => Ok(()),
            _ => Err(EOVERFLOW),
        }
    }

    /// What [`write!`] and [`writeln!`] call.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: there is no room, as for [`SeqWriter::write`], or something can't be printed, by
    /// its own account. With that the read fails.
    ///
    /// # Examples
    ///
    /// ```
    /// writeln!(m, "{opened} {released}")
    /// ```
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result {
        fmt::Write::write_fmt(self, text).map_err(|fmt::Error| EINVAL)
    }

    /// `seq_has_overflowed`, which is inline in C.
    fn has_overflowed(&self) -> bool {
        // SAFETY: Valid by the type invariant.
        let seq_file = unsafe { self.raw.as_ref() };
        seq_file.count == seq_file.size
    }

    /// How much memory there is for the text, in bytes.
    fn size(&self) -> usize {
        // SAFETY: Valid by the type invariant.
        unsafe { self.raw.as_ref() }.size
    }
}

impl fmt::Write for SeqWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// The data of the entry whose `open` has put it into `private`.
///
/// # Safety
///
/// `m` must be what `seq_read_iter` or `seq_lseek` passes to a function of the `seq_operations`,
/// for an open file whose `private` is the data of an entry made with a
/// [`ProcOps<T>`](super::callback::ProcOps), and the reference must not be used after that call.
pub(super) unsafe fn data<'a, T>(m: *const bindings::seq_file) -> &'a T {
    // SAFETY: The `seq_file` is valid by the precondition.
    let data = unsafe { (*m).private };
    // SAFETY: By the invariant of `ProcOps` it is a `T` that can be shared until `proc_remove` has
    // returned. Both are called as callbacks of the entry, which that waits for.
    unsafe { &*data.cast::<T>() }
}

/// Calls `print` for a `show` of C's, and turns its result into what that returns.
///
/// EAGAIN, by which seq_file tells itself that it has more memory now, is EIO: `seq_read_iter` and
/// `seq_lseek` would call again for ever.
///
/// # Safety
///
/// `m` must be what seq_file has passed to a `show`, during that call.
pub(super) unsafe fn show(
    m: *mut bindings::seq_file,
    print: impl FnOnce(&mut SeqWriter<'_>) -> Result,
) -> c_int {
    // INVARIANT: It is valid by the precondition, and whoever calls `show` holds its lock.
    let mut m = SeqWriter {
        // SAFETY: As above, so it is not null.
        raw: unsafe { NonNull::new_unchecked(m) },
        _callback: PhantomData,
    };
    let result = print(&mut m);
    if m.has_overflowed() {
        // Called again with twice the memory, whatever else has come of it.
        return if m.size() < MAX_TEXT {
            0
        } else {
            EFBIG.to_errno()
        };
    }
    match result {
        Ok(()) => 0,
        Err(EAGAIN | EIOCBQUEUED) => EIO.to_errno(),
        Err(error) => error.to_errno(),
    }
}
