// SPDX-License-Identifier: GPL-2.0

//! Bytes that a callback has taken from user space, or keeps for it.

use super::{
    exact::Exact,
    user::UserReader, //
};
use core::{
    mem::MaybeUninit,
    ops::Deref,
    ptr,
    slice, //
};
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// Some bytes, and room for more: up to `N` in place, or any number in memory that was allocated
/// for them.
///
/// That memory is not cleared first: only what was appended can be read.
///
/// # Invariants
///
/// `len` bytes at the beginning of their place are initialised, and `room` is how many that has.
///
/// # Examples
///
/// ```
/// let mut word = proc_fs::Bytes::<4>::default();
/// word.read(buf)?;
/// ```
pub struct Bytes<const N: usize> {
    short: [MaybeUninit<u8>; N],
    /// The place of the bytes, if it is not `short`.
    long: Option<KVVec<MaybeUninit<u8>>>,
    /// How many bytes there are, and how many there is room for.
    len: usize,
    room: usize,
}

impl<const N: usize> Default for Bytes<N> {
    /// No bytes, and room for `N`.
    fn default() -> Self {
        // INVARIANT: There are none to be initialised, and `short` is their place.
        Self {
            short: [const { MaybeUninit::uninit() }; N],
            long: None,
            len: 0,
            room: N,
        }
    }
}

impl<const N: usize> Bytes<N> {
    /// How many bytes there is room for, those included that there are.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Forgets all bytes, and makes room for `room`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: no memory. Nothing has changed then.
    pub fn renew(&mut self, room: usize, flags: Flags) -> Result {
        let longer = if room > self.room() {
            Some(KVVec::from_elem(MaybeUninit::uninit(), room, flags)?)
        } else {
            None
        };
        self.clear();
        if longer.is_some() {
            // INVARIANT: It has that many.
            self.long = longer;
            self.room = room;
        }
        Ok(())
    }

    /// Forgets all bytes.
    pub fn clear(&mut self) {
        // INVARIANT: There are none to be initialised.
        self.len = 0;
    }

    /// Appends bytes, and says whether there was room for them. If not, nothing has changed.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let len = self.len;
        let Some(place) = self.next(bytes.len()) else {
            return false;
        };
        // SAFETY: `place` is as long as `bytes`, and borrowed from `self` alone, so that they don't
        // overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place.as_mut_ptr().cast(), bytes.len()) };
        // INVARIANT: So many more were just initialised.
        self.len = len.plus(bytes.len());
        true
    }

    /// Forgets all bytes, and appends `head` and `tail`; one for which there is no room is left
    /// out.
    #[inline(always)]
    pub fn set(&mut self, head: &[u8], tail: &[u8]) {
        self.clear();
        self.append(head);
        if !tail.is_empty() {
            self.append_tail(tail);
        }
    }

    // Not inlined, since most often there is none.
    #[cold]
    #[inline(never)]
    fn append_tail(&mut self, tail: &[u8]) {
        self.append(tail);
    }

    /// Appends all that is left to be read.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: there is no room for it.
    /// - [`EFAULT`]: it can't be read.
    ///
    /// Nothing has changed then.
    #[inline]
    pub fn read(&mut self, buf: &mut UserReader<'_>) -> Result {
        let count = buf.len();
        buf.read_raw(self.next(count).ok_or(EINVAL)?)?;
        // INVARIANT: `read_raw` has initialised so many more.
        self.len = self.len.plus(count);
        Ok(())
    }

    /// Where the next `count` bytes go, if there is room for them.
    fn next(&mut self, count: usize) -> Option<&mut [MaybeUninit<u8>]> {
        let place = match &mut self.long {
            Some(long) => long.as_mut_slice(),
            None => self.short.as_mut_slice(),
        };
        place.get_mut(self.len..)?.get_mut(..count)
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let place = match &self.long {
            Some(long) => long.as_slice(),
            None => self.short.as_slice(),
        };
        // SAFETY: By the type invariant so many are there and initialised. They are borrowed with
        // `self`.
        unsafe { slice::from_raw_parts(place.as_ptr().cast(), self.len) }
    }
}
