// SPDX-License-Identifier: GPL-2.0

//! The pot: fortunes in the order stored, and the orders in which they are drawn.
//!
//! Pure logic over memory that it is given. It knows nothing of the kernel, allocates nothing and
//! can't panic; the same file is compiled into fortune.ko and into the tests on the host
//! (`tests/pot`).
//!
//! # Layout
//!
//! The texts stand one after the other in the pot's bytes, each followed by one `\n`, so that a
//! fortune costs its own length plus one byte. The bytes are a ring: where the last one is reached, the
//! text goes on at the first. So there are no gaps, and the oldest fortunes can leave.
//!
//! Fortunes are numbered in the order stored, and a number is never used again. The index holds an
//! [`Entry`] for each, so that storing, finding, drawing and evicting one take the same time whatever the
//! pot holds. It comes in [`Block`]s, which are given one by one when the pot asks for one
//! ([`Refused::NeedsBlock`]), never move, and are handed out again when nothing needs them
//! ([`Pot::surplus`]): the pot is used under a lock, where nothing should be allocated or freed and no
//! long stretch copied.
//!
//! # Shuffling
//!
//! The entries also hold a permutation of the fortunes: the one at place `p` (a number too) is `drawn[p]`.
//! Places before `lap` are what this lap has drawn; a draw exchanges a place chosen from the others with
//! the first of them. A new fortune gets the last place. When the oldest leaves, its place is filled from
//! the edge of its part, so that the others stay where they belong.

use core::ops::DerefMut;

/// The longest fortune, in bytes, without the `\n` that ends it.
pub const MAX_FORTUNE: usize = 64 * 1024;

/// The largest pot, in bytes.
pub const MAX_POT: usize = 64 * 1024 * 1024;

/// How many fortunes one block of the index is for.
pub const BLOCK_LEN: usize = 341;

/// What the index holds for a fortune, and for the place of the same number: 12 bytes. Numbers are kept as
/// their lower halves; the upper ones follow from the oldest's.
pub type Entry = [u32; 3];

/// Where the text of a fortune begins; it ends where the next one begins.
const BEGIN: usize = 0;
/// The number of the fortune at a place.
const DRAWN: usize = 1;
/// The place of a fortune.
const PLACE: usize = 2;

/// A part of the index, to fit a page of 4096 bytes.
pub type Block = [Entry; BLOCK_LEN];

/// How many places for blocks the index of a pot of `size` bytes needs: a power of two.
///
/// The shortest fortune costs two bytes, and the first one need not be the first of its block.
pub const fn index_len(size: usize) -> usize {
    let blocks = (size / 2 / BLOCK_LEN).wrapping_add(2);
    match blocks.checked_next_power_of_two() {
        Some(len) => len,
        None => 0,
    }
}

/// The order of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In the order stored, and from the oldest again.
    Sequential,
    /// Any of them, each as likely as the others.
    Random,
    /// Each one once a lap, in a new order each lap.
    Shuffle,
}

/// What becomes of a write for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused.
    Reject,
    /// The oldest fortunes leave, as many as it takes.
    Evict,
}

/// What a write asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// How many fortunes it stores.
    pub fortunes: usize,
    /// What they cost together, in bytes.
    pub bytes: usize,
    /// What was reserved before for the one that it continues, in bytes: its cost, or 0.
    pub before: usize,
    /// What is to be reserved for the one that it leaves unfinished, in bytes: its cost, or 0.
    pub after: usize,
}

/// Why nothing was stored. The pot is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room for it: not now, or never in a pot of this size.
    NoSpace,
    /// The index has no room for it: give it a block ([`Pot::add_block`]), then store again.
    NeedsBlock,
}

/// What came of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn<'a> {
    /// The pot is empty. Nothing moved.
    Nothing,
    /// It and its `\n`, in two parts as [`Pot::text`] has them.
    Fortune(&'a [u8], &'a [u8]),
    /// The fortune and its `\n` are so many bytes, more than there is room for. Nothing moved.
    TooLong(usize),
}

/// A choice by lot, which stands when the draw is repeated with a longer buffer: drawing lots again would
/// favour short fortunes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lot(Option<u64>);

/// What is in the pot, and what has happened since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that fortunes take.
    pub used: u64,
    /// Bytes reserved for unfinished fortunes.
    pub reserved: u64,
    /// Fortunes in the pot.
    pub fortunes: u64,
    /// Fortunes drawn.
    pub draws: u64,
    /// Fortunes stored.
    pub stores: u64,
    /// Fortunes that left to make room.
    pub evictions: u64,
    /// How many times it was emptied.
    pub clears: u64,
}

/// What a fortune of `len` bytes takes, in bytes. An empty one is not stored.
pub const fn cost(len: usize) -> usize {
    if len == 0 {
        0
    } else {
        len.wrapping_add(1)
    }
}

/// The pot: `M` is the memory for the texts, `B` one block of the index, `D` the places for all of
/// them.
///
/// Numbers of fortunes and blocks count from 0 up and never wrap: 2^64 are not reached.
pub struct Pot<M, B, D>
where
    M: DerefMut<Target = [u8]>,
    B: DerefMut<Target = Block>,
    D: DerefMut<Target = [Option<B>]>,
{
    bytes: M,
    /// A ring: block number `n` is at `n` modulo its length, which is a power of two.
    index: D,
    order: Order,
    when_full: WhenFull,
    /// How many bytes are taken, and where in `bytes` the next ones go.
    used: usize,
    tail: usize,
    /// How many bytes unfinished fortunes will take, and how many of those there are.
    reserved: usize,
    unfinished: usize,
    /// The fortunes in the pot: from `oldest` up to `end`.
    oldest: u64,
    end: u64,
    /// Sequential: the number to draw next. Less than `oldest`: that one has left. `end`: the oldest again
    /// or, if one is stored before the next draw, that one.
    next: u64,
    /// Shuffle: this lap has drawn what is at the places from `oldest` up to here.
    lap: u64,
    /// The blocks there are: from `first_block` up to `end_block`. They hold all entries of the
    /// fortunes in the pot, and of the unfinished ones.
    first_block: u64,
    end_block: u64,
    draws: u64,
    stores: u64,
    evictions: u64,
    clears: u64,
}

/// The number of the block that the entry of fortune `number` is in.
const fn block_of(number: u64) -> u64 {
    number / BLOCK_LEN as u64
}

/// The number of the block that the entry of fortune `number` is in, and which one it is there.
const fn locate(number: u64) -> (u64, usize) {
    // CAST: Less than BLOCK_LEN.
    (block_of(number), (number % BLOCK_LEN as u64) as usize)
}

/// Where the text of a fortune begins, in the pot's bytes.
const fn begin_of(entry: &Entry) -> usize {
    // CAST: `usize` is at least as wide as `u32` wherever Linux runs.
    entry[BEGIN] as usize
}

impl<M, B, D> Pot<M, B, D>
where
    M: DerefMut<Target = [u8]>,
    B: DerefMut<Target = Block>,
    D: DerefMut<Target = [Option<B>]>,
{
    /// Makes an empty pot of `bytes`, at most [`MAX_POT`] of them, sequential and rejecting.
    ///
    /// `index` has no blocks yet, but [`index_len`] places for them.
    pub fn new(bytes: M, index: D) -> Self {
        Self {
            bytes,
            index,
            order: Order::Sequential,
            when_full: WhenFull::Reject,
            used: 0,
            tail: 0,
            reserved: 0,
            unfinished: 0,
            oldest: 0,
            end: 0,
            next: 0,
            lap: 0,
            first_block: 0,
            end_block: 0,
            draws: 0,
            stores: 0,
            evictions: 0,
            clears: 0,
        }
    }

    /// The order of drawing.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Changes the order of drawing. Another one than before starts a lap, at the oldest fortune.
    pub fn set_order(&mut self, order: Order) {
        if order != self.order {
            self.order = order;
            self.next = self.oldest;
            self.lap = self.oldest;
        }
    }

    /// What becomes of a write for which there is no room.
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Changes what becomes of a write for which there is no room.
    pub fn set_when_full(&mut self, when_full: WhenFull) {
        self.when_full = when_full;
    }

    /// What is in the pot, and what has happened.
    pub fn stats(&self) -> Stats {
        Stats {
            // CAST: No wider than 64 bits.
            used: self.used as u64,
            reserved: self.reserved as u64,
            fortunes: self.fortunes(),
            draws: self.draws,
            stores: self.stores,
            evictions: self.evictions,
            clears: self.clears,
        }
    }

    /// Removes all fortunes. What is reserved stays so.
    pub fn clear(&mut self) {
        self.used = 0;
        self.oldest = self.end;
        self.lap = self.end;
        self.clears = self.clears.wrapping_add(1);
    }

    /// Adds a block to the index. If it has no place for one more, and so doesn't need it, the block comes
    /// back.
    pub fn add_block(&mut self, block: B) -> Option<B> {
        if self.end_block.wrapping_sub(self.first_block) >= self.index.len() as u64 {
            return Some(block);
        }
        let place = self.slot(self.end_block)?;
        *place = Some(block);
        self.end_block = self.end_block.wrapping_add(1);
        None
    }

    /// Takes a block out of the index that nothing needs now, to be freed. After an operation that may have
    /// left some, call it until there are none.
    ///
    /// One is kept where fortunes leave, for those that come.
    pub fn surplus(&mut self) -> Option<B> {
        let needed = self.needed_blocks(self.end, self.unfinished);
        let kept = u64::from(self.oldest != self.end);
        if self.end_block > needed && self.end_block > self.first_block {
            self.end_block = self.end_block.wrapping_sub(1);
            self.slot(self.end_block)?.take()
        } else if self.free_blocks(self.oldest) > kept {
            let first = self.first_block;
            self.first_block = first.wrapping_add(1);
            self.slot(first)?.take()
        } else {
            None
        }
    }

    /// Does what a write asks for: changes what is reserved, and stores the fortunes `texts`, which must be
    /// as `demand` says, without the `\n` that ends each. All of it or nothing: if it is refused, `texts` is not
    /// used either.
    ///
    /// # Errors
    ///
    /// See [`Refused`]. A demand that stores or reserves no more than it had reserved is not refused.
    pub fn store<'a>(
        &mut self,
        demand: Demand,
        texts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Refused> {
        let reserved = self
            .reserved
            .wrapping_sub(demand.before)
            .wrapping_add(demand.after);
        let unfinished = self
            .unfinished
            .wrapping_sub(usize::from(demand.before > 0))
            .wrapping_add(usize::from(demand.after > 0));

        let Some(room) = self
            .bytes
            .len()
            .checked_sub(reserved)
            .and_then(|room| room.checked_sub(demand.bytes))
        else {
            return Err(Refused::NoSpace);
        };
        let oldest = if self.used <= room {
            self.oldest
        } else if self.when_full == WhenFull::Evict {
            self.leaving(room)
        } else {
            return Err(Refused::NoSpace);
        };
        let end = self.end.wrapping_add(demand.fortunes as u64);
        let needed = self.needed_blocks(end, unfinished);
        if needed > self.end_block.wrapping_add(self.free_blocks(oldest)) {
            return Err(Refused::NeedsBlock);
        }

        while self.oldest < oldest {
            self.evict();
        }
        while self.end_block < needed {
            self.reuse_block();
        }
        self.reserved = reserved;
        self.unfinished = unfinished;
        for text in texts {
            self.push(text);
        }
        Ok(())
    }

    /// Draws a fortune of up to `room` bytes, its `\n` included.
    ///
    /// `below(n)` returns a random number less than `n`. `lot` is a default one at first, and the same one
    /// when the draw is repeated because there was too little room.
    #[inline(always)]
    pub fn draw(
        &mut self,
        lot: &mut Lot,
        below: impl FnOnce(u32) -> u32,
        room: usize,
    ) -> Drawn<'_> {
        if self.oldest == self.end {
            return Drawn::Nothing;
        }
        let number = match self.order {
            Order::Sequential if self.next < self.end => self.next.max(self.oldest),
            Order::Sequential => self.oldest,
            Order::Random | Order::Shuffle => self.draw_lot(lot, below),
        };
        let Some(span) = self.span(number) else {
            return Drawn::Nothing;
        };
        let len = self.span_len(span);
        if len > room {
            return Drawn::TooLong(len);
        }
        if self.order == Order::Sequential {
            self.next = number.wrapping_add(1);
        } else if self.order == Order::Shuffle {
            self.leave_out(number);
        }
        self.draws = self.draws.wrapping_add(1);
        match self.parts(span) {
            Some((head, tail)) => Drawn::Fortune(head, tail),
            None => Drawn::Nothing,
        }
    }

    /// The number of the first fortune in the pot whose number is `number` or more.
    pub fn next_at(&self, number: u64) -> Option<u64> {
        let number = number.max(self.oldest);
        (number < self.end).then_some(number)
    }

    /// The text of fortune `number` and its `\n`, in two parts of which the second can be empty; both are if
    /// it is not in the pot.
    #[inline]
    pub fn text(&self, number: u64) -> (&[u8], &[u8]) {
        if number < self.oldest || number >= self.end {
            return (&[], &[]);
        }
        self.span(number)
            .and_then(|span| self.parts(span))
            .unwrap_or_default()
    }

    /// Where the text of a fortune in the pot and its `\n` begin, and where they end.
    #[inline(always)]
    fn span(&self, number: u64) -> Option<(usize, usize)> {
        // The next one is in the same block, but for the last one there.
        let (block, at) = locate(number);
        let entries = self.block(block)?;
        let next = number.wrapping_add(1);
        let begin = begin_of(entries.get(at)?);
        let end = match entries.get(at.wrapping_add(1)) {
            _ if next == self.end => self.tail,
            Some(entry) => begin_of(entry),
            None => begin_of(self.entry(next)?),
        };
        Some((begin, end))
    }

    /// How many bytes a span has: all of the pot if it ends where it begins.
    #[inline]
    fn span_len(&self, (begin, end): (usize, usize)) -> usize {
        let len = end.wrapping_sub(begin);
        if begin < end {
            len
        } else {
            len.wrapping_add(self.bytes.len())
        }
    }

    /// The bytes of a span: up to the end of the pot, and what goes on at its beginning.
    #[inline]
    fn parts(&self, (begin, end): (usize, usize)) -> Option<(&[u8], &[u8])> {
        if begin < end {
            Some((self.bytes.get(begin..end)?, &[]))
        } else {
            Some((self.bytes.get(begin..)?, self.bytes.get(..end)?))
        }
    }

    /// What a fortune in the pot takes, in bytes.
    fn cost_of(&self, number: u64) -> usize {
        self.span(number).map_or(0, |span| self.span_len(span))
    }

    /// How many fortunes are in the pot.
    fn fortunes(&self) -> u64 {
        self.end.wrapping_sub(self.oldest)
    }

    /// The lot, or a new one if there is none yet or it is not to be had any more.
    // Not inlined, like `leave_out`, so that drawing in sequence has nothing to do with it.
    #[inline(never)]
    fn draw_lot(&self, lot: &mut Lot, below: impl FnOnce(u32) -> u32) -> u64 {
        let shuffle = self.order == Order::Shuffle;
        let from = if shuffle { self.lap() } else { self.oldest };
        if let Some(number) = lot.0 {
            let there = number >= self.oldest && number < self.end;
            if there && (!shuffle || self.number(number, PLACE) >= from) {
                return number;
            }
        }
        // CAST: There are at most MAX_POT / 2.
        let choices = self.end.wrapping_sub(from) as u32;
        let place = from.wrapping_add(below(choices).into());
        let number = if shuffle {
            self.number(place, DRAWN)
        } else {
            place
        };
        lot.0 = Some(number);
        number
    }

    /// The place of the first fortune that this lap has not drawn; where it has drawn all, of the first one of the next
    /// lap.
    fn lap(&self) -> u64 {
        if self.lap == self.end {
            self.oldest
        } else {
            self.lap
        }
    }

    /// Moves a fortune to those that this lap has drawn.
    #[inline(never)]
    fn leave_out(&mut self, number: u64) {
        self.lap = self.lap();
        let place = self.number(number, PLACE);
        self.put(place, self.number(self.lap, DRAWN));
        self.put(self.lap, number);
        self.lap = self.lap.wrapping_add(1);
    }

    /// Which fortune would be the oldest if as many left as it takes until no more than `room` bytes are
    /// used.
    fn leaving(&self, room: usize) -> u64 {
        let mut used = self.used;
        let mut oldest = self.oldest;
        while used > room && oldest < self.end {
            used = used.wrapping_sub(self.cost_of(oldest));
            oldest = oldest.wrapping_add(1);
        }
        oldest
    }

    /// Removes the oldest fortune.
    fn evict(&mut self) {
        let oldest = self.oldest;
        self.used = self.used.wrapping_sub(self.cost_of(oldest));

        // The first place goes too, and what is there needs another one. That is the place of the fortune
        // which leaves; but if that one was not drawn yet, it is the first place of those that were not,
        // which becomes the last of those that were, and what was there gets the place of the one which
        // leaves.
        let mut place = self.number(oldest, PLACE);
        if place >= self.lap {
            if place != self.lap {
                self.put(place, self.number(self.lap, DRAWN));
            }
            place = self.lap;
            self.lap = self.lap.wrapping_add(1);
        }
        if place != oldest {
            self.put(place, self.number(oldest, DRAWN));
        }
        self.oldest = oldest.wrapping_add(1);
        self.evictions = self.evictions.wrapping_add(1);
    }

    /// Stores a fortune for which there is room, and an entry in the index.
    fn push(&mut self, text: &[u8]) {
        let begin = self.tail;
        let size = self.bytes.len();
        let taken = self.used.wrapping_add(cost(text.len()));
        if taken > size || text.is_empty() {
            return;
        }
        // All of these are less than 2 * MAX_POT: nothing wraps.
        let end = begin.wrapping_add(text.len());
        let newline = if end < size {
            copy(self.bytes.get_mut(begin..end).unwrap_or_default(), text);
            end
        } else {
            let (head, tail) = text
                .split_at_checked(size.wrapping_sub(begin))
                .unwrap_or_default();
            copy(self.bytes.get_mut(begin..).unwrap_or_default(), head);
            copy(&mut self.bytes, tail);
            end.wrapping_sub(size)
        };
        if let Some(byte) = self.bytes.get_mut(newline) {
            *byte = b'\n';
        }
        let number = self.end;
        if let Some(entry) = self.entry_mut(number) {
            // CAST: `begin` is less than MAX_POT; of the number, the lower half is kept.
            *entry = [begin as u32, number as u32, number as u32];
        }
        self.end = number.wrapping_add(1);
        self.used = taken;
        self.tail = newline.wrapping_add(1);
        if self.tail == size {
            self.tail = 0;
        }
        self.stores = self.stores.wrapping_add(1);
    }

    /// What the entry `at` holds of the permutation: the number of a fortune in the pot.
    fn number(&self, at: u64, what: usize) -> u64 {
        self.whole(self.entry(at).map_or(0, |entry| entry[what]))
    }

    /// The number of a fortune in the pot whose lower half this is.
    fn whole(&self, lower: u32) -> u64 {
        // CAST: The lower half. The number is less than 2^32 after the oldest.
        let after = lower.wrapping_sub(self.oldest as u32);
        self.oldest.wrapping_add(after.into())
    }

    /// Gives a fortune a place.
    fn put(&mut self, place: u64, number: u64) {
        // CAST: The lower halves are kept.
        if let Some(entry) = self.entry_mut(place) {
            entry[DRAWN] = number as u32;
        }
        if let Some(entry) = self.entry_mut(number) {
            entry[PLACE] = place as u32;
        }
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        let (block, at) = locate(number);
        self.block(block)?.get(at)
    }

    fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let (block, at) = locate(number);
        self.slot(block)?.as_mut()?.get_mut(at)
    }

    /// Block `number`, if it is there.
    fn block(&self, number: u64) -> Option<&Block> {
        let slot = self.slot_number(number);
        self.index.get(slot)?.as_deref()
    }

    /// The place of block `number`.
    fn slot(&mut self, number: u64) -> Option<&mut Option<B>> {
        let slot = self.slot_number(number);
        self.index.get_mut(slot)
    }

    fn slot_number(&self, number: u64) -> usize {
        // CAST: The length is a power of two, and only what is below it is kept.
        number as usize & self.index.len().wrapping_sub(1)
    }

    /// The number of the block after the last one that is needed, with fortunes up to `end` and so many
    /// unfinished.
    fn needed_blocks(&self, end: u64, unfinished: usize) -> u64 {
        // CAST: No wider than 64 bits.
        block_of(
            end.wrapping_add(unfinished as u64)
                .wrapping_add(BLOCK_LEN as u64 - 1),
        )
    }

    /// How many blocks at the front are free if `oldest` is the oldest fortune.
    fn free_blocks(&self, oldest: u64) -> u64 {
        block_of(oldest)
            .min(self.end_block)
            .wrapping_sub(self.first_block)
    }

    /// Makes the block at the front the one at the end.
    fn reuse_block(&mut self) {
        let first = self.first_block;
        self.first_block = first.wrapping_add(1);
        let block = self.slot(first).and_then(Option::take);
        let end = self.end_block;
        self.end_block = end.wrapping_add(1);
        if let Some(place) = self.slot(end) {
            *place = block;
        }
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
