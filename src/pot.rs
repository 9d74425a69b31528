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
//! Fortunes are numbered in the order stored, and a number is never used again. The index holds for each where
//! its text begins. That grows with the numbers, from the oldest on, so how many bytes lie before a
//! fortune follows from where it begins, and which fortune has so many before it is found by halving: how
//! many have to leave to make room, and which one is at a position of the list.
//!
//! The index comes in [`Block`]s, which are given when the pot asks for some ([`Refused::NeedsBlocks`]),
//! never move, and are handed out again when nothing needs them ([`Pot::surplus`]).
//!
//! # Sections
//!
//! The pot is used under a lock. Nothing is allocated or freed under it, and no call takes longer than
//! copying 128 KiB does, whatever is in the pot. So what takes long comes in parts, between which others have
//! their turn: [`Pot::begin`] decides whether a write is stored, and makes the oldest fortunes leave for it;
//! [`Pot::extend`] and [`Pot::fill`] bring blocks and texts, which nobody sees; [`Pot::finish`] shows all of it at
//! once. Nothing fails after the first, and nothing else is stored meanwhile ([`Refused::Busy`]).
//!
//! # Shuffling
//!
//! A lap is a number, and a block holds a bit for each of its fortunes: whether the lap that is noted with
//! them has drawn it. If that is an earlier lap, this one has drawn none of them, so a new lap costs nothing.
//! A draw chooses the nth of those that this lap has not drawn, each as likely as the others, and finds it by
//! counting: for each block, and for each group of blocks, there is a count of the drawn ones. Those that leave
//! are subtracted, block by block and group by group.

use super::Exact;
use core::ops::DerefMut;

/// The longest fortune, in bytes, without the `\n` that ends it.
pub const MAX_FORTUNE: usize = 64 * 1024;

/// The largest pot, in bytes.
pub const MAX_POT: usize = 64 * 1024 * 1024;

/// How many fortunes one block of the index is for.
pub const BLOCK_LEN: usize = 990;

/// How many words of bits that takes.
const WORDS: usize = BLOCK_LEN.div_ceil(64);

/// How many blocks are counted together.
const GROUP_LEN: u64 = 256;

/// How many texts, and how many blocks, come to the pot in one section.
pub const BATCH_LEN: usize = 32;

/// A part of the index, to fit a page of 4096 bytes: where the text of each fortune begins; whether a lap has
/// drawn it; and which lap that is.
///
/// A tuple, since the kernel knows of those that they can be zeroed.
pub type Block = ([u32; BLOCK_LEN], [u64; WORDS], u64);

/// A place in the index for a block.
pub struct Slot<B> {
    block: Option<B>,
    /// How many of its fortunes were drawn.
    drawn: Count,
    /// The same for a group: that whose number is the slot's, modulo the length of the index.
    group: Count,
}

impl<B> Default for Slot<B> {
    fn default() -> Self {
        Self {
            block: None,
            drawn: Count::default(),
            group: Count::default(),
        }
    }
}

/// How many fortunes a lap has drawn of some, and in the upper bits that lap: in any other one it is 0.
#[derive(Clone, Copy, Default)]
struct Count(u64);

impl Count {
    /// A group has less than 2^18 fortunes, and 2^46 laps are not reached.
    const BITS: u32 = 18;

    fn get(self, lap: u64) -> u64 {
        if self.0 >> Self::BITS == lap {
            self.0 & ((1 << Self::BITS) - 1)
        } else {
            0
        }
    }

    fn set(&mut self, lap: u64, drawn: u64) {
        self.0 = (lap << Self::BITS) | drawn;
    }
}

/// How many places for blocks the index of a pot of `size` bytes needs: a power of two.
///
/// The shortest fortune costs two bytes, and the first one need not be the first of its block.
pub fn index_len(size: usize) -> usize {
    most_blocks(size / 2)
        .checked_next_power_of_two()
        .unwrap_or(0)
}

/// How many blocks so many fortunes need at most, wherever they begin.
pub fn most_blocks(fortunes: usize) -> usize {
    (fortunes / BLOCK_LEN).plus(2)
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
    /// The index lacks so many blocks: [`Pot::begin`] again when they are at hand.
    NeedsBlocks(usize),
    /// Something else is being stored in parts.
    Busy,
}

/// Some texts, as many as the pot takes in one section.
#[derive(Default)]
pub struct Batch<'a> {
    texts: [&'a [u8]; BATCH_LEN],
    len: usize,
}

impl<'a> Batch<'a> {
    /// Takes the next ones, without empty ones; there are no more if it is empty after that.
    pub fn take(&mut self, texts: &mut (dyn Iterator<Item = &'a [u8]> + '_)) {
        let mut room = MAX_FORTUNE;
        self.len = 0;
        for place in &mut self.texts {
            *place = loop {
                match texts.next() {
                    Some([]) => {}
                    Some(text) => break text,
                    None => return,
                }
            };
            self.len = self.len.plus(1);
            // The last one can be as long as all of them.
            match room.checked_sub(place.len()) {
                Some(left) => room = left,
                None => break,
            }
        }
    }

    /// The texts.
    pub fn texts(&self) -> &[&'a [u8]] {
        self.texts.get(..self.len).unwrap_or_default()
    }
}

/// What came of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn<'a> {
    /// The pot is empty. Nothing moved.
    Nothing,
    /// It and its `\n`: the part up to the end of the pot's bytes, and what goes on at their beginning.
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
pub fn cost(len: usize) -> usize {
    if len == 0 {
        0
    } else {
        len.plus(1)
    }
}

/// What a write that is being stored has brought so far.
#[derive(Clone, Copy)]
struct Storing {
    /// The number after that of its last fortune.
    reach: u64,
    /// The number of the next one, and where in the pot's bytes it goes.
    end: u64,
    tail: usize,
    /// How many bytes those take that are there.
    bytes: usize,
}

/// What comes of a demand that is not refused.
struct Plan {
    reserved: usize,
    unfinished: usize,
    /// The oldest fortune that stays.
    oldest: u64,
    /// The number after that of the last fortune.
    reach: u64,
    /// The number of the block after the last one that is needed, and how many are missing, those not counted
    /// that leave.
    needed: u64,
    missing: u64,
}

/// The pot: `M` is the memory for the texts, `B` one block of the index, `D` the places for all of
/// them.
///
/// Numbers of fortunes and blocks count from 0 up and never wrap: 2^64 are not reached.
pub struct Pot<M, B, D>
where
    M: DerefMut<Target = [u8]>,
    B: DerefMut<Target = Block>,
    D: DerefMut<Target = [Slot<B>]>,
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
    /// What is being stored in parts, after them.
    storing: Option<Storing>,
    /// Sequential: the number to draw next. Less than `oldest`: that one has left. `end`: the oldest again
    /// or, if one is stored before the next draw, that one.
    next: u64,
    /// Shuffle: the number of this lap, and how many fortunes in the pot it has drawn.
    lap: u64,
    drawn: u64,
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

/// The bits of word number `word` that stand for what is from `from` up to `to` in a block.
fn bits(word: usize, from: usize, to: usize) -> u64 {
    let first = word.times(64);
    // CAST: It is less than 2^32.
    let below = |at: usize| match 1u64.checked_shl(at.saturating_sub(first) as u32) {
        Some(bit) => bit.minus(1),
        None => u64::MAX,
    };
    below(to) & !below(from)
}

impl<M, B, D> Pot<M, B, D>
where
    M: DerefMut<Target = [u8]>,
    B: DerefMut<Target = Block>,
    D: DerefMut<Target = [Slot<B>]>,
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
            storing: None,
            next: 0,
            // No block has been in it yet.
            lap: 1,
            drawn: 0,
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
            self.start_lap();
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
        self.start_lap();
        self.clears = self.clears.plus(1);
    }

    /// Takes a block out of the index that nothing needs now, to be freed. After an operation that may have
    /// left some, call it until there are none.
    ///
    /// One is kept where fortunes leave, for those that come.
    pub fn surplus(&mut self) -> Option<B> {
        let kept = u64::from(self.oldest != self.end);
        let needed = self.needed();
        if self.end_block > needed && self.end_block > self.first_block {
            self.end_block = self.end_block.minus(1);
            self.slot(self.end_block)?.block.take()
        } else if self.end_block >= needed && self.free_blocks(self.oldest) > kept {
            // What is being stored has its blocks.
            self.take_first_block()
        } else {
            None
        }
    }

    /// Does what a write asks for, in one section: changes what is reserved, and stores `text`, the one fortune of
    /// which `demand` is, if it is of one, without the `\n` that ends it. All of it or nothing.
    ///
    /// # Errors
    ///
    /// See [`Refused`]. A demand that stores or reserves no more than it had reserved is not refused, but for
    /// [`Refused::Busy`].
    #[inline(always)]
    pub fn store(&mut self, demand: Demand, text: Option<&[u8]>) -> Result<(), Refused> {
        let plan = self.plan(demand)?;
        if plan.missing > 0 {
            // CAST: The index has fewer places.
            return Err(Refused::NeedsBlocks(plan.missing as usize));
        }
        self.leave(&plan);
        // One, or one more for what it leaves unfinished.
        while self.end_block < plan.needed {
            let block = self.take_first_block();
            self.put_block(block);
        }
        if let Some(text) = text {
            let mut storing = self.nothing_yet(plan.reach);
            self.push(&mut storing, text);
            self.show(storing);
        }
        Ok(())
    }

    /// Begins to do what a write asks for, where `blocks` are at hand for the index. After that it is
    /// [`Pot::extend`], [`Pot::fill`] and [`Pot::finish`] that do it.
    ///
    /// # Errors
    ///
    /// As for [`Pot::store`]. With [`most_blocks`] of the demand it does not ask for more.
    pub fn begin(&mut self, demand: Demand, blocks: usize) -> Result<(), Refused> {
        let plan = self.plan(demand)?;
        // CAST: No wider, and the index has fewer places.
        if plan.missing > blocks as u64 {
            return Err(Refused::NeedsBlocks(plan.missing as usize));
        }
        self.leave(&plan);
        self.storing = Some(self.nothing_yet(plan.reach));
        Ok(())
    }

    /// Gives the index some of the blocks that it lacks, those first that nothing needs any more, and says
    /// whether it has all.
    pub fn extend(&mut self, blocks: &mut impl Iterator<Item = B>) -> bool {
        let needed = self.needed();
        for _ in 0..BATCH_LEN {
            if self.end_block >= needed {
                return true;
            }
            let block = if self.free_blocks(self.oldest) > 0 {
                self.take_first_block()
            } else {
                blocks.next()
            };
            // There are as many as the demand was told.
            if block.is_none() {
                return true;
            }
            self.put_block(block);
        }
        false
    }

    /// Brings the next texts, of up to 128 KiB together.
    pub fn fill(&mut self, texts: &[&[u8]]) {
        if let Some(mut storing) = self.storing {
            for text in texts {
                self.push(&mut storing, text);
            }
            self.storing = Some(storing);
        }
    }

    /// Shows what was brought.
    pub fn finish(&mut self) {
        if let Some(storing) = self.storing.take() {
            self.show(storing);
        }
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
            Order::Random | Order::Shuffle => match self.draw_lot(lot, below) {
                Some(number) => number,
                None => return Drawn::Nothing,
            },
        };
        let Some(span) = self.span(number) else {
            return Drawn::Nothing;
        };
        let len = self.span_len(span);
        if len > room {
            return Drawn::TooLong(len);
        }
        if self.order == Order::Sequential {
            self.next = number.plus(1);
        } else if self.order == Order::Shuffle {
            self.leave_out(number);
        }
        self.draws = self.draws.plus(1);
        match self.parts(span) {
            Some((head, tail)) => Drawn::Fortune(head, tail),
            None => Drawn::Nothing,
        }
    }

    /// Which item of the list has the byte at position `pos`, and how many bytes of it come before that; the
    /// item after the last one, if the list ends before.
    ///
    /// The list of all fortunes is a line `%`, which is item 0, and then each fortune in the order stored, its
    /// `\n`, and a line `%`: fortune `n` is item `n + 1`. It is empty if there are none.
    pub fn find(&self, pos: u64) -> (u64, u64) {
        if pos < LINE.len() as u64 {
            return (0, pos);
        }
        // What comes before a fortune: two bytes for each line, and the texts.
        let before = |number: u64| {
            let lines = number.minus(self.oldest).plus(1);
            let texts = self.used.minus(self.used_from(number));
            // CAST: No wider than 64 bits.
            lines.times(2).plus(texts as u64)
        };
        if pos >= before(self.end) {
            return (self.end.plus(1), 0);
        }
        let number = last(self.oldest, self.end, |number| before(number) <= pos);
        (number.plus(1), pos.minus(before(number)))
    }

    /// Copies items of the list to `to`, from `item` or else the next one that there is, until `enough` bytes or
    /// more are there, and returns how many are. `item` is then the one to go on with. None is copied in part.
    ///
    /// # Errors
    ///
    /// `to` is too short for the first one, which needs so many bytes.
    pub fn list(&self, item: &mut u64, enough: usize, to: &mut [u8]) -> Result<usize, usize> {
        if self.oldest == self.end {
            return Ok(0);
        }
        let mut len: usize = 0;
        let mut number = match item.checked_sub(1) {
            Some(number) => number.max(self.oldest),
            None => {
                let place = to.get_mut(..LINE.len()).ok_or(LINE.len())?;
                copy(place, LINE);
                len = LINE.len();
                self.oldest
            }
        };
        while number < self.end && len < enough {
            let Some(span) = self.span(number) else {
                break;
            };
            let text = self.span_len(span);
            let after = text.plus(LINE.len());
            let place = to.get_mut(len..).and_then(|to| to.get_mut(..after));
            let Some(place) = place else {
                if len == 0 {
                    return Err(after);
                }
                break;
            };
            let (head, tail) = self.parts(span).unwrap_or_default();
            let place = copy_part(place, head);
            let place = copy_part(place, tail);
            copy_part(place, LINE);
            len = len.plus(after);
            number = number.plus(1);
        }
        *item = number.plus(1);
        Ok(len)
    }

    /// Where the text of a fortune in the pot and its `\n` begin, and where they end.
    #[inline(always)]
    fn span(&self, number: u64) -> Option<(usize, usize)> {
        // The next one is in the same block, but for the last one there.
        let (block, at) = locate(number);
        let (begins, ..) = self.block(block)?;
        let next = number.plus(1);
        // CAST: `usize` is at least as wide as `u32` wherever Linux runs.
        let begin = *begins.get(at)? as usize;
        let end = match begins.get(at.plus(1)) {
            _ if next == self.end => self.tail,
            Some(&begin) => begin as usize,
            None => self.begin_of(next)?,
        };
        Some((begin, end))
    }

    /// Where the text of a fortune begins.
    fn begin_of(&self, number: u64) -> Option<usize> {
        let (block, at) = locate(number);
        let (begins, ..) = self.block(block)?;
        // CAST: As above.
        Some(*begins.get(at)? as usize)
    }

    /// How many bytes the fortunes from `number` on take.
    fn used_from(&self, number: u64) -> usize {
        if number >= self.end {
            return 0;
        }
        let begin = self.begin_of(number);
        begin.map_or(0, |begin| self.span_len((begin, self.tail)))
    }

    /// How many bytes a span has: all of the pot if it ends where it begins.
    #[inline]
    fn span_len(&self, (begin, end): (usize, usize)) -> usize {
        // Below 0, if the end of the pot is between them.
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

    /// How many fortunes are in the pot.
    fn fortunes(&self) -> u64 {
        self.end.minus(self.oldest)
    }

    /// The lot, or a new one if there is none yet or it is not to be had any more.
    // Not inlined, like `leave_out`, so that drawing in sequence has nothing to do with it.
    #[inline(never)]
    fn draw_lot(&self, lot: &mut Lot, below: impl FnOnce(u32) -> u32) -> Option<u64> {
        // Where a lap has drawn all, the next one begins with this draw.
        let drawn = if self.order == Order::Shuffle && self.drawn < self.fortunes() {
            self.drawn
        } else {
            0
        };
        if let Some(number) = lot.0 {
            let there = number >= self.oldest && number < self.end;
            if there && (drawn == 0 || !self.is_drawn(number)) {
                return Some(number);
            }
        }
        // CAST: There are at most MAX_POT / 2.
        let choices = self.fortunes().minus(drawn) as u32;
        let nth = below(choices).into();
        lot.0 = if drawn > 0 {
            self.undrawn(nth)
        } else {
            Some(self.oldest.plus(nth))
        };
        lot.0
    }

    /// Starts a lap, which has drawn nothing.
    fn start_lap(&mut self) {
        self.lap = self.lap.plus(1);
        self.drawn = 0;
    }

    /// Whether this lap has drawn a fortune that is in the pot.
    fn is_drawn(&self, number: u64) -> bool {
        let (block, at) = locate(number);
        let Some((_, drawn, lap)) = self.block(block) else {
            return false;
        };
        let bit = drawn.get(at / 64).map_or(0, |word| (word >> (at % 64)) & 1);
        *lap == self.lap && bit != 0
    }

    /// Notes that this lap has drawn a fortune; it is the first one of the next, if this one has drawn all.
    #[inline(never)]
    fn leave_out(&mut self, number: u64) {
        if self.drawn == self.fortunes() {
            self.start_lap();
        }
        let lap = self.lap;
        let (block, at) = locate(number);
        let Some(slot) = self.slot(block) else {
            return;
        };
        let count = slot.drawn.get(lap);
        slot.drawn.set(lap, count.plus(1));
        if let Some((_, drawn, of)) = slot.block.as_deref_mut() {
            if *of != lap {
                *of = lap;
                *drawn = [0; WORDS];
            }
            if let Some(word) = drawn.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
        if let Some(slot) = self.slot(block / GROUP_LEN) {
            let count = slot.group.get(lap);
            slot.group.set(lap, count.plus(1));
        }
        self.drawn = self.drawn.plus(1);
    }

    /// The one of those that this lap has not drawn which has `nth` of them before it.
    fn undrawn(&self, mut nth: u64) -> Option<u64> {
        // Whether it is one of the `len` fortunes from number `from` on, of which `drawn` in the pot were drawn.
        let mut has = |from: u64, len: u64, drawn: u64| {
            let there = from.plus(len).min(self.end);
            let there = there.saturating_sub(from.max(self.oldest));
            let left = there.saturating_sub(drawn);
            let has = nth < left;
            if !has {
                nth = nth.minus(left);
            }
            has
        };
        // CAST: No wider than 64 bits.
        const LEN: u64 = BLOCK_LEN as u64;
        let first = block_of(self.oldest);
        let last_group = self.end_block / GROUP_LEN;
        let group = (first / GROUP_LEN..=last_group).find(|&group| {
            let from = group.times(GROUP_LEN * LEN);
            has(from, GROUP_LEN * LEN, self.drawn_in_group(group))
        })?;
        let first = first.max(group.times(GROUP_LEN));
        let block = (first..self.end_block)
            .find(|&block| has(block.times(LEN), LEN, self.drawn_in_block(block)))?;
        let first = block.times(LEN);
        // CAST: Both are at most BLOCK_LEN.
        let from = self.oldest.saturating_sub(first) as usize;
        let to = self.end.minus(first).min(LEN) as usize;
        let (_, drawn, lap) = self.block(block)?;
        for (word, drawn) in (0..WORDS).zip(drawn) {
            let drawn = if *lap == self.lap { *drawn } else { 0 };
            let mut left = bits(word, from, to) & !drawn;
            let count = u64::from(left.count_ones());
            if nth >= count {
                nth = nth.minus(count);
                continue;
            }
            for _ in 0..nth {
                // Without the lowest one.
                left &= left.minus(1);
            }
            // CAST: No wider than 64 bits.
            let at = (word as u64).times(64);
            let at = at.plus(left.trailing_zeros().into());
            return Some(first.plus(at));
        }
        None
    }

    /// How many fortunes of a group, and of a block, are in the pot and were drawn.
    fn drawn_in_group(&self, group: u64) -> u64 {
        let slot = self.index.get(self.slot_number(group));
        slot.map_or(0, |slot| slot.group.get(self.lap))
    }

    fn drawn_in_block(&self, block: u64) -> u64 {
        let slot = self.index.get(self.slot_number(block));
        slot.map_or(0, |slot| slot.drawn.get(self.lap))
    }

    /// Forgets of the fortunes before `oldest`, which leave while others stay, that they were drawn.
    #[inline(never)]
    fn forget_drawn(&mut self, oldest: u64) {
        let (block, at) = locate(oldest);
        let group = block / GROUP_LEN;
        let first = block_of(self.oldest);
        // Groups of which all leave, and blocks of the group of which some stay.
        let groups: u64 = (first / GROUP_LEN..group)
            .map(|group| self.drawn_in_group(group))
            .fold(0, Exact::plus);
        let blocks: u64 = (first.max(group.times(GROUP_LEN))..block)
            .map(|block| self.drawn_in_block(block))
            .fold(0, Exact::plus);
        // And of the block of which some stay.
        let from = if first == block {
            locate(self.oldest).1
        } else {
            0
        };
        let mut here: u64 = 0;
        if let Some((_, drawn, lap)) = self.block(block) {
            if *lap == self.lap {
                for (word, drawn) in (0..WORDS).zip(drawn) {
                    let gone = bits(word, from, at) & drawn;
                    here = here.plus(gone.count_ones().into());
                }
            }
        }
        let lap = self.lap;
        let left = self.drawn_in_block(block).minus(here);
        if let Some(slot) = self.slot(block) {
            slot.drawn.set(lap, left);
        }
        let gone = blocks.plus(here);
        let left = self.drawn_in_group(group).minus(gone);
        if let Some(slot) = self.slot(group) {
            slot.group.set(lap, left);
        }
        self.drawn = self.drawn.minus(groups.plus(gone));
    }

    /// What comes of a demand, if it is not refused at once.
    #[inline(always)]
    fn plan(&self, demand: Demand) -> Result<Plan, Refused> {
        if self.storing.is_some() {
            return Err(Refused::Busy);
        }
        let reserved = self.reserved.minus(demand.before).plus(demand.after);
        let unfinished = self
            .unfinished
            .minus(usize::from(demand.before > 0))
            .plus(usize::from(demand.after > 0));

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
        let reach = self.end.plus(demand.fortunes as u64);
        let needed = needed_blocks(reach, unfinished);
        let there = self.end_block.plus(self.free_blocks(oldest));
        Ok(Plan {
            reserved,
            unfinished,
            oldest,
            reach,
            needed,
            missing: needed.saturating_sub(there),
        })
    }

    /// Which fortune would be the oldest if as many left as it takes until no more than `room` bytes are
    /// used, which are fewer than now.
    fn leaving(&self, room: usize) -> u64 {
        let is_too_much = |number| self.used_from(number) > room;
        // Mostly it is one that leaves. The others are looked for further and further away.
        let (mut from, mut step) = (self.oldest, 1);
        let to = loop {
            let to = from.plus(step);
            if to >= self.end {
                break self.end;
            }
            if !is_too_much(to) {
                break to;
            }
            from = to;
            step = step.times(2);
        };
        last(from, to, is_too_much).plus(1)
    }

    /// Lets fortunes leave, and keeps what is reserved.
    #[inline(always)]
    fn leave(&mut self, plan: &Plan) {
        if plan.oldest != self.oldest {
            self.evict(plan.oldest);
        }
        self.reserved = plan.reserved;
        self.unfinished = plan.unfinished;
    }

    /// Removes the fortunes before `oldest`.
    fn evict(&mut self, oldest: u64) {
        if oldest == self.end {
            self.start_lap();
        } else if self.drawn > 0 {
            self.forget_drawn(oldest);
        }
        self.used = self.used_from(oldest);
        let gone = oldest.minus(self.oldest);
        self.evictions = self.evictions.plus(gone);
        self.oldest = oldest;
    }

    /// A write up to fortune `reach`, which has brought nothing yet.
    #[inline(always)]
    fn nothing_yet(&self, reach: u64) -> Storing {
        Storing {
            reach,
            end: self.end,
            tail: self.tail,
            bytes: 0,
        }
    }

    /// Shows what was brought.
    #[inline(always)]
    fn show(&mut self, storing: Storing) {
        let stored = storing.end.minus(self.end);
        self.stores = self.stores.plus(stored);
        self.end = storing.end;
        self.tail = storing.tail;
        self.used = self.used.plus(storing.bytes);
    }

    /// Brings a fortune for which there is room, and a place in the index.
    #[inline(always)]
    fn push(&mut self, storing: &mut Storing, text: &[u8]) {
        let begin = storing.tail;
        let size = self.bytes.len();
        let bytes = storing.bytes.plus(cost(text.len()));
        if self.used.plus(bytes) > size || text.is_empty() {
            return;
        }
        // All of these are less than 2 * MAX_POT: nothing wraps.
        let end = begin.plus(text.len());
        let newline = if end < size {
            copy(self.bytes.get_mut(begin..end).unwrap_or_default(), text);
            end
        } else {
            let room = size.minus(begin);
            let (head, tail) = text.split_at_checked(room).unwrap_or_default();
            copy(self.bytes.get_mut(begin..).unwrap_or_default(), head);
            copy(&mut self.bytes, tail);
            end.minus(size)
        };
        if let Some(byte) = self.bytes.get_mut(newline) {
            *byte = b'\n';
        }
        let (block, at) = locate(storing.end);
        let block = self.slot(block).and_then(|slot| slot.block.as_deref_mut());
        if let Some(place) = block.and_then(|(begins, ..)| begins.get_mut(at)) {
            // CAST: It is less than MAX_POT.
            *place = begin as u32;
        }
        storing.end = storing.end.plus(1);
        storing.bytes = bytes;
        storing.tail = newline.plus(1);
        if storing.tail == size {
            storing.tail = 0;
        }
    }

    /// Block `number`, if it is there.
    fn block(&self, number: u64) -> Option<&Block> {
        let slot = self.slot_number(number);
        self.index.get(slot)?.block.as_deref()
    }

    /// The place of block `number`.
    fn slot(&mut self, number: u64) -> Option<&mut Slot<B>> {
        let slot = self.slot_number(number);
        self.index.get_mut(slot)
    }

    fn slot_number(&self, number: u64) -> usize {
        // CAST: The length is a power of two, and only what is below it is kept.
        number as usize & self.index.len().minus(1)
    }

    /// The number of the block after the last one that is needed.
    fn needed(&self) -> u64 {
        let reach = match &self.storing {
            Some(storing) => storing.reach,
            None => self.end,
        };
        needed_blocks(reach, self.unfinished)
    }

    /// How many blocks at the front are free if `oldest` is the oldest fortune.
    fn free_blocks(&self, oldest: u64) -> u64 {
        block_of(oldest).min(self.end_block).minus(self.first_block)
    }

    /// Takes out the block at the front.
    fn take_first_block(&mut self) -> Option<B> {
        let first = self.first_block;
        self.first_block = first.plus(1);
        self.slot(first)?.block.take()
    }

    /// Puts a block at the end, of which nothing was drawn yet.
    fn put_block(&mut self, block: Option<B>) {
        let end = self.end_block;
        self.end_block = end.plus(1);
        if let Some(slot) = self.slot(end) {
            slot.block = block;
            slot.drawn = Count::default();
            if let Some((.., lap)) = slot.block.as_deref_mut() {
                *lap = 0;
            }
        }
        if end % GROUP_LEN == 0 {
            if let Some(slot) = self.slot(end / GROUP_LEN) {
                slot.group = Count::default();
            }
        }
    }
}

/// The number of the block after the last one that fortunes up to `end` need, and so many unfinished ones.
fn needed_blocks(end: u64, unfinished: usize) -> u64 {
    // CAST: No wider than 64 bits.
    block_of(end.plus(unfinished as u64).plus(BLOCK_LEN as u64 - 1))
}

/// The last number for which `is` holds, which it does for `from` and all up to it, but not for `to`.
fn last(mut from: u64, mut to: u64, is: impl Fn(u64) -> bool) -> u64 {
    loop {
        let middle = from.plus(to.minus(from) / 2);
        if middle == from {
            return from;
        }
        if is(middle) {
            from = middle;
        } else {
            to = middle;
        }
    }
}

/// The line that separates fortunes in the list.
const LINE: &[u8] = b"%\n";

/// Copies `from` to the beginning of `to`, and returns what comes after it.
fn copy_part<'a>(to: &'a mut [u8], from: &[u8]) -> &'a mut [u8] {
    let (place, rest) = to.split_at_mut_checked(from.len()).unwrap_or_default();
    copy(place, from);
    rest
}

/// Copies as many bytes as both have.
///
/// `copy_from_slice` would do, but for the panic it holds for lengths that differ.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
