// SPDX-License-Identifier: GPL-2.0

//! Copies to and from user space, which can fault, and take for ever: nobody makes one who has a lock that others need.

use crate::{
    chance, held,
    prelude::{Result, EFAULT, EINVAL},
};
use std::mem::MaybeUninit;

/// Where the bytes of a read go.
#[derive(Debug)]
pub struct UserWriter<'a> {
    to: &'a mut Vec<u8>,
    room: usize,
}

impl<'a> UserWriter<'a> {
    /// One with room for so many.
    pub fn new(to: &'a mut Vec<u8>, room: usize) -> Self {
        Self { to, room }
    }

    /// How many more there is room for.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Writes as many as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        held::assert_free("bytes are copied", &["turn", "pot"]);
        let bytes = &bytes[..bytes.len().min(self.room)];
        if !bytes.is_empty() && chance::fails() {
            return Err(EFAULT);
        }
        self.to.extend(bytes);
        self.room -= bytes.len();
        Ok(bytes.len())
    }
}

/// What a write brings.
#[derive(Debug)]
pub struct UserReader<'a>(&'a [u8]);

impl<'a> UserReader<'a> {
    /// One of these.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fills `out`.
    pub(super) fn read_raw(&mut self, out: &mut [MaybeUninit<u8>]) -> Result {
        held::assert_free("bytes are copied", &["turn", "pot"]);
        let (bytes, rest) = self.0.split_at_checked(out.len()).ok_or(EINVAL)?;
        if chance::fails() {
            return Err(EFAULT);
        }
        for (place, &byte) in out.iter_mut().zip(bytes) {
            place.write(byte);
        }
        self.0 = rest;
        Ok(())
    }
}
