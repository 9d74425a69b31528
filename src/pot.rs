// SPDX-License-Identifier: GPL-2.0

//! The pot: fortunes in the order stored, and a cursor that goes round them.
//!
//! Pure logic over memory that it is given. It knows nothing of the kernel, allocates nothing and
//! can't panic; the same file is compiled into fortune.ko and into the tests on the host
//! (`tests/pot`).
//!
//! # Layout
//!
//! The texts stand one after the other in the pot's bytes, each followed by one `\n`, so that a
//! fortune costs its own length plus one byte and what a reader gets is one contiguous stretch.
//!
//! Fortunes are numbered in the order stored. The index holds, for each, four bytes: where its text
//! begins; it ends where the next one begins. So finding, drawing and storing take the same time
//! whatever the pot holds. The index comes in [`Block`]s which are given one by one, when the pot
//! asks for one ([`Refused::NeedsBlock`]), and which never move: the pot is used under a lock, where
//! nothing should be allocated and no long stretch copied.

use core::ops::DerefMut;

/// The longest fortune, in bytes, without the `\n` that ends it.
pub const MAX_FORTUNE: usize = 64 * 1024;

/// The largest pot, in bytes.
pub const MAX_POT: usize = 64 * 1024 * 1024;

/// How many fortunes one block of the index is for.
pub const BLOCK_LEN: usize = 1024;

/// A part of the index: where the texts of [`BLOCK_LEN`] fortunes begin. One page of 4096 bytes.
pub type Block = [u32; BLOCK_LEN];

/// How many blocks the index of a pot of `size` bytes can come to need.
///
/// The shortest fortune costs two bytes.
pub const fn max_blocks(size: usize) -> usize {
    (size / 2).div_ceil(BLOCK_LEN)
}

/// Why a fortune was not stored. The pot is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room for it: not now, or never in a pot of this size.
    NoSpace,
    /// The index has no room for one more: give it a block ([`Pot::add_block`]), then store again.
    NeedsBlock,
}

/// What came of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// The pot is empty. Nothing moved.
    Nothing,
    /// The fortune and its `\n` are so many bytes, at the beginning of the buffer.
    Bytes(usize),
    /// The next fortune and its `\n` are so many bytes, more than the buffer takes. Nothing moved.
    TooLong(usize),
}

/// The pot: `M` is the memory for the texts, `B` one block of the index, `D` the places for all of
/// them.
pub struct Pot<M, B, D>
where
    M: DerefMut<Target = [u8]>,
    B: DerefMut<Target = Block>,
    D: DerefMut<Target = [Option<B>]>,
{
    bytes: M,
    index: D,
    /// How many bytes of `bytes` are taken.
    used: usize,
    /// How many fortunes there are.
    fortunes: usize,
    /// The number of the fortune to draw next; `fortunes` where that is the first one again or, if
    /// one is stored before the next draw, that one.
    next: usize,
}

impl<M, B, D> Pot<M, B, D>
where
    M: DerefMut<Target = [u8]>,
    B: DerefMut<Target = Block>,
    D: DerefMut<Target = [Option<B>]>,
{
    /// Makes an empty pot of `bytes`, at most [`MAX_POT`] of them.
    ///
    /// `index` has no blocks yet, but [`max_blocks`] places for them.
    pub fn new(bytes: M, index: D) -> Self {
        Self {
            bytes,
            index,
            used: 0,
            fortunes: 0,
            next: 0,
        }
    }

    /// Adds a block to the index. One that is not needed is given back.
    pub fn add_block(&mut self, block: B) -> Option<B> {
        match self.index.get_mut(self.fortunes / BLOCK_LEN) {
            Some(place @ None) => {
                *place = Some(block);
                None
            }
            _ => Some(block),
        }
    }

    /// Stores a fortune, `text` without the `\n` that ends it. An empty one is skipped.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn store(&mut self, text: &[u8]) -> Result<(), Refused> {
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > MAX_FORTUNE {
            return Err(Refused::NoSpace);
        }
        // All of these are at most MAX_POT + MAX_FORTUNE + 1: nothing wraps.
        let begin = self.used;
        let newline = begin.wrapping_add(text.len());
        let end = newline.wrapping_add(1);
        let Some(room) = self.bytes.get_mut(begin..end) else {
            return Err(Refused::NoSpace);
        };
        let Some(place) = self.index.get_mut(self.fortunes / BLOCK_LEN) else {
            return Err(Refused::NoSpace);
        };
        let Some(block) = place else {
            return Err(Refused::NeedsBlock);
        };

        copy(room, text);
        if let Some(last) = room.last_mut() {
            *last = b'\n';
        }
        // CAST: `begin` is less than MAX_POT.
        block[self.fortunes % BLOCK_LEN] = begin as u32;
        self.used = end;
        self.fortunes = self.fortunes.wrapping_add(1);
        Ok(())
    }

    /// Draws the next fortune into `buffer`.
    ///
    /// After the last one comes the first one again, or what was stored meanwhile.
    pub fn draw(&mut self, buffer: &mut [u8]) -> Drawn {
        let number = if self.next < self.fortunes {
            self.next
        } else {
            0
        };
        let Some(text) = self.text(number) else {
            return Drawn::Nothing;
        };
        let Some(buffer) = buffer.get_mut(..text.len()) else {
            return Drawn::TooLong(text.len());
        };
        copy(buffer, text);
        let len = text.len();
        self.next = number.wrapping_add(1);
        Drawn::Bytes(len)
    }

    /// The bytes of fortune `number`, its `\n` included.
    fn text(&self, number: usize) -> Option<&[u8]> {
        if number >= self.fortunes {
            return None;
        }
        let after = number.wrapping_add(1);
        let end = if after == self.fortunes {
            self.used
        } else {
            self.begin(after)?
        };
        self.bytes.get(self.begin(number)?..end)
    }

    /// Where the text of fortune `number` begins.
    fn begin(&self, number: usize) -> Option<usize> {
        let block = self.index.get(number / BLOCK_LEN)?.as_ref()?;
        // CAST: `usize` is at least as wide as `u32` wherever Linux runs.
        Some(block[number % BLOCK_LEN] as usize)
    }
}

/// Copies as many bytes as both have.
///
/// `copy_from_slice` would do, but for the panic it holds for lengths that differ.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
