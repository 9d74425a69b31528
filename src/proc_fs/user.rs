// SPDX-License-Identifier: GPL-2.0

//! Where the bytes of a read go, and where those of a write come from.

use super::{
    exact::Exact,
    kernel_crate, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_void, //
    },
    fs::file::Offset,
    prelude::*, //
};

/// The part of `bytes` from position `pos` on: nothing beyond its end.
#[inline]
fn rest(bytes: &[u8], pos: Offset) -> &[u8] {
    // No slice is longer than a position that `usize` has no room for.
    let begin = usize::try_from(pos).unwrap_or(usize::MAX);
    bytes.get(begin..).unwrap_or_default()
}

/// Where a read of user space takes its bytes, and how many have arrived there: that number is what
/// the read returns.
///
/// It can't be kept, nor be advanced without writing.
pub struct UserWriter<'a> {
    to: *mut c_void,
    room: usize,
    written: usize,
    _call: PhantomData<&'a mut [u8]>,
}

impl UserWriter<'_> {
    #[inline]
    pub(super) fn new(to: *mut c_char, room: usize) -> Self {
        Self {
            to: to.cast(),
            room,
            written: 0,
            _call: PhantomData,
        }
    }

    /// How many bytes more there is room for: up to 2 GiB - 4 KiB.
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many bytes have arrived so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.written
    }

    /// Writes as many of `bytes` as there is room for and as arrive, and returns how many.
    ///
    /// # Errors
    ///
    /// [`EFAULT`]: not one byte arrived, and there was one to write.
    ///
    /// # Examples
    ///
    /// ```
    /// buf.write(&[b'x'; 1000])?;
    /// ```
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(bytes) = bytes.get(..bytes.len().min(self.room)) else {
            return Ok(0);
        };
        let arrived = kernel_crate::copy_to_user(self.to, bytes);
        if arrived == 0 && !bytes.is_empty() {
            return Err(EFAULT);
        }
        self.to = self.to.wrapping_byte_add(arrived);
        // No more than there was room for.
        self.room = self.room.minus(arrived);
        self.written = self.written.plus(arrived);
        Ok(arrived)
    }

    /// Reads a file whose whole contents are `bytes` from position `pos` on, and advances that:
    /// what C's `simple_read_from_buffer` does.
    ///
    /// # Errors
    ///
    /// See [`UserWriter::write`].
    ///
    /// # Examples
    ///
    /// ```
    /// let copy = *self.bytes.lock();
    /// buf.simple_read_from_buffer(pos, &copy)
    /// ```
    #[inline]
    pub fn simple_read_from_buffer(&mut self, pos: &mut Offset, bytes: &[u8]) -> Result {
        let arrived = self.write(rest(bytes, *pos))?;
        *pos = pos.saturating_add_unsigned(arrived as u64);
        Ok(())
    }
}

/// What [`UserWriter`] is for `read`, for `read_iter`: the bytes may go into kernel memory too, as
/// for `splice(2)`.
///
/// # Invariants
///
/// `iov` is an iterator to write to (`ITER_DEST`), valid and used here alone for `'a`.
// Not the kernel crate's `IovIterDest`, whose `from_raw` can panic.
pub struct IterWriter<'a> {
    iov: *mut bindings::iov_iter,
    written: usize,
    _call: PhantomData<&'a mut bindings::iov_iter>,
}

impl IterWriter<'_> {
    /// # Safety
    ///
    /// `iov` must be as the type invariant says.
    #[inline]
    pub(super) unsafe fn new(iov: *mut bindings::iov_iter) -> Self {
        // INVARIANT: By the precondition.
        Self {
            iov,
            written: 0,
            _call: PhantomData,
        }
    }

    /// See [`UserWriter::room`].
    #[inline]
    pub fn room(&self) -> usize {
        // SAFETY: Valid by the type invariant.
        let counts = unsafe { &(*self.iov).__bindgen_anon_1.__bindgen_anon_1 };
        // SAFETY: The count is there whatever the kind of the iterator.
        unsafe { counts.as_ref() }.count
    }

    /// See [`UserWriter::written`].
    #[inline]
    pub fn written(&self) -> usize {
        self.written
    }

    /// See [`UserWriter::write`].
    ///
    /// # Errors
    ///
    /// [`EFAULT`]: not one byte arrived, and there was one to write.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let wanted = bytes.len().min(self.room());
        // SAFETY: An iterator to write to, by the type invariant; a slice is valid for its length.
        let arrived =
            unsafe { bindings::_copy_to_iter(bytes.as_ptr().cast(), bytes.len(), self.iov) };
        if arrived == 0 && wanted > 0 {
            return Err(EFAULT);
        }
        self.written = self.written.plus(arrived);
        Ok(arrived)
    }

    /// See [`UserWriter::simple_read_from_buffer`].
    ///
    /// # Errors
    ///
    /// See [`IterWriter::write`].
    #[inline]
    pub fn simple_read_from_buffer(&mut self, pos: &mut Offset, bytes: &[u8]) -> Result {
        let arrived = self.write(rest(bytes, *pos))?;
        *pos = pos.saturating_add_unsigned(arrived as u64);
        Ok(())
    }
}

/// What a write of user space brings. Each byte can be read once.
pub struct UserReader<'a> {
    from: *const c_void,
    left: usize,
    _call: PhantomData<&'a [u8]>,
}

impl UserReader<'_> {
    #[inline]
    pub(super) fn new(from: *const c_char, left: usize) -> Self {
        Self {
            from: from.cast(),
            left,
            _call: PhantomData,
        }
    }

    /// How many bytes are left to be read: up to 2 GiB - 4 KiB. Refuse what is too much before
    /// allocating for it.
    #[inline]
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether nothing is left to be read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Fills `out` with the next bytes.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: fewer are left.
    /// - [`EFAULT`]: they can't be read. `out` may have changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// buf.read(place)?;
    /// ```
    #[inline]
    pub fn read(&mut self, out: &mut [u8]) -> Result {
        let out: *mut [u8] = out;
        // SAFETY: The same bytes, borrowed from `out`, and `read_raw` writes none that are not
        // initialised.
        self.read_raw(unsafe { &mut *(out as *mut [MaybeUninit<u8>]) })
    }

    /// The same for bytes that need not be initialised, and are after success.
    #[inline]
    pub(super) fn read_raw(&mut self, out: &mut [MaybeUninit<u8>]) -> Result {
        let left = self.left.checked_sub(out.len()).ok_or(EINVAL)?;
        kernel_crate::copy_from_user(out, self.from)?;
        self.from = self.from.wrapping_byte_add(out.len());
        self.left = left;
        Ok(())
    }
}
