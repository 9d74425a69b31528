// SPDX-License-Identifier: GPL-2.0

//! Memory of the kernel: where it is allocated, it can be lacking, and nobody waits meanwhile for a lock that others need.

use crate::{
    chance, held,
    pot::{Block, BLOCK_LEN},
    prelude::{Result, ENOMEM},
};
use std::{
    ops::{BitOr, Deref, DerefMut},
    pin::Pin,
};

/// How memory is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub(crate) u32);

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Those that have no place in the prelude.
pub mod flags {
    use super::Flags;

    /// Nothing is logged if there is none.
    pub const __GFP_NOWARN: Flags = Flags(4);
}

/// Allocates something.
fn allocate() -> Result {
    held::assert_free("memory is allocated", &["turn", "pot"]);
    if chance::fails() {
        return Err(ENOMEM);
    }
    Ok(())
}

/// A box.
#[derive(Debug)]
pub struct KBox<T>(Box<T>);

impl<T> KBox<T> {
    /// A box of what is there.
    pub fn pin_init(value: T, _flags: Flags) -> Result<Pin<Self>>
    where
        T: Unpin,
    {
        allocate()?;
        Ok(Pin::new(Self(Box::new(value))))
    }
}

impl KBox<Block> {
    /// A block of zeroes.
    pub fn zeroed(_flags: Flags) -> Result<Self> {
        allocate()?;
        let drawn = [0; BLOCK_LEN.div_ceil(64)];
        Ok(Self(Box::new(([0; BLOCK_LEN], drawn, 0))))
    }
}

impl<T> Drop for KBox<T> {
    fn drop(&mut self) {
        held::assert_free("memory is freed", &["pot"]);
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A vector.
#[derive(Debug)]
pub struct KVVec<T>(Vec<T>);

/// One from vmalloc.
pub type VVec<T> = KVVec<T>;

impl<T> Default for KVVec<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> KVVec<T> {
    /// One with room for so many.
    pub fn with_capacity(capacity: usize, _flags: Flags) -> Result<Self> {
        allocate()?;
        Ok(Self(Vec::with_capacity(capacity)))
    }

    /// So many of the same.
    pub fn from_elem(elem: T, len: usize, _flags: Flags) -> Result<Self>
    where
        T: Clone,
    {
        allocate()?;
        Ok(Self(vec![elem; len]))
    }

    /// Adds one, for which there is room.
    pub fn push_within_capacity(&mut self, value: T) -> Result {
        assert!(self.0.len() < self.0.capacity());
        self.0.push(value);
        Ok(())
    }

    /// Takes the last one.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        self
    }

    /// The same, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Drop for KVVec<T> {
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            held::assert_free("memory is freed", &["pot"]);
        }
    }
}

impl<T> Deref for KVVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for KVVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
