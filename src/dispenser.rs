// SPDX-License-Identifier: GPL-2.0

//! `/proc/fortune`: a read draws a fortune from the pot, a write stores some.
//!
//! Nothing that others need is locked while bytes are copied to or from user space, where a page fault
//! can take for ever. What is drawn is copied into the open file's own memory under the pot's lock, and
//! to the reader after that; what is written is copied in, and what it takes is counted, first. The open file has
//! locks of its own, for which only those wait who share the open file, until they are killed.
//!
//! A write of more than one fortune, or one for which the index lacks blocks, is stored in parts, between which
//! others can use the pot. Who does that has the lock `Dispenser::turn`, and other writers wait for it; it takes as
//! long as copying does, and depends on nobody: all that can stall or fail comes before.
//!
//! Lock order: `OpenFile::drawn` or `OpenFile::written`, then `Dispenser::turn`, then `Dispenser::pot`.

use super::{
    pot::{
        self,
        cost,
        Batch,
        Block,
        Demand,
        Drawn,
        Lot,
        Pot,
        Refused,
        Slot,
        MAX_FORTUNE, //
    },
    proc_fs::{
        self,
        Bytes,
        Exact,
        FileBox,
        Mutex,
        MutexGuard,
        Seek,
        UserReader,
        UserWriter, //
    },
    random,
    records::{
        self,
        Progress,
        Records, //
    }, //
};
use kernel::{
    alloc::{
        flags::__GFP_NOWARN,
        Flags, //
    },
    fs::{
        file::Offset,
        LocalFile, //
    },
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// A text of up to this many bytes, its newline included, is moved without allocating.
const SHORT: usize = 256;

/// The most that can be unfinished, in bytes: the longest fortune, a newline and a `%`.
const MAX_UNFINISHED: usize = MAX_FORTUNE + 2;

/// Memory that a user makes the kernel allocate is charged to that user, and where there is none it is
/// that user's ENOMEM and no line in the log.
pub fn charged() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_NOWARN
}

/// The pot, in memory from vmalloc, but for the blocks of its index, which are a page each.
pub type VPot = Pot<VVec<u8>, KBox<Block>, VVec<Slot<KBox<Block>>>>;

/// Blocks for the index that are at hand.
#[derive(Default)]
struct Blocks(KVVec<KBox<Block>>);

impl Blocks {
    /// Gets more, up to `count`.
    fn grow(&mut self, count: usize, flags: Flags) -> Result {
        let mut blocks = KVVec::with_capacity(count, flags)?;
        while blocks.len() < count {
            let block = match self.next() {
                Some(block) => block,
                None => KBox::zeroed(flags)?,
            };
            blocks.push_within_capacity(block)?;
        }
        self.0 = blocks;
        Ok(())
    }
}

impl Iterator for Blocks {
    type Item = KBox<Block>;

    fn next(&mut self) -> Option<KBox<Block>> {
        self.0.pop()
    }
}

/// What all the files of this module are about.
#[pin_data]
pub struct Dispenser {
    /// The size of the pot in bytes.
    size: usize,
    /// Held by who stores in parts.
    #[pin]
    turn: Mutex<()>,
    #[pin]
    pot: Mutex<VPot>,
    errors: Errors,
}

/// Who stores: that decides how it waits for other writers, and who pays for the index.
#[derive(Clone, Copy)]
enum By {
    /// A write, which waits until the task is killed.
    Write,
    /// A close, which must not fail, and waits to the end.
    Close,
    /// Another module, which waits as a write does, and is charged to nobody.
    Module,
}

impl By {
    /// With which flags the blocks of the index are allocated.
    fn flags(self) -> Flags {
        match self {
            By::Write | By::Close => charged(),
            By::Module => GFP_KERNEL | __GFP_NOWARN,
        }
    }
}

/// How many calls on `/proc/fortune` have failed, by their errors.
pub struct Errors {
    /// ENOSPC.
    pub nospace: Atomic<u64>,
    /// EFAULT.
    pub faults: Atomic<u64>,
    /// ENOMEM.
    pub nomem: Atomic<u64>,
}

impl Dispenser {
    /// Makes an empty pot of `size` bytes.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: no memory.
    pub fn new(size: usize) -> Result<Arc<Self>> {
        let flags = GFP_KERNEL | __GFP_NOWARN;
        let bytes = VVec::from_elem(0, size, flags)?;
        let mut index = VVec::with_capacity(pot::index_len(size), flags)?;
        for _ in 0..pot::index_len(size) {
            index.push_within_capacity(Slot::default())?;
        }
        Arc::pin_init(
            pin_init!(Self {
                size,
                turn <- Mutex::new((), c"turn", static_lock_class!()),
                pot <- Mutex::new(Pot::new(bytes, index), c"pot", static_lock_class!()),
                errors: Errors {
                    nospace: Atomic::new(0),
                    faults: Atomic::new(0),
                    nomem: Atomic::new(0),
                },
            }),
            GFP_KERNEL,
        )
    }

    /// The size of the pot in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many calls have failed.
    pub fn errors(&self) -> &Errors {
        &self.errors
    }

    /// Uses the pot, under its lock: `f` must not touch user space, nor allocate.
    pub fn with_pot<R>(&self, f: impl FnOnce(&mut VPot) -> R) -> R {
        f(&mut self.pot.lock())
    }

    /// Empties the pot.
    pub fn clear(&self) {
        let mut pot = self.pot.lock();
        pot.clear();
        self.trim(pot);
    }

    /// Draws the next fortune for another module, if it is no longer than `room`: `take` gets its bytes, in two parts
    /// and without a newline, under the lock of the pot. Returns its length in either case; 0 if there is none.
    ///
    /// `lot` is what the last one of these has left in it: a lot for which there was too little room stands.
    pub fn draw(&self, lot: &mut Lot, room: usize, take: impl FnOnce(&[u8], &[u8])) -> usize {
        let mut pot = self.pot.lock();
        // In the pot a newline is behind each.
        match pot.draw(lot, random::below, room.saturating_add(1)) {
            Drawn::Nothing => 0,
            Drawn::TooLong(len) => len.minus(1),
            Drawn::Fortune(head, tail) => {
                *lot = Lot::default();
                let (head, tail) = match tail.split_last() {
                    Some((_, tail)) => (head, tail),
                    None => (head.split_last().map_or(head, |(_, head)| head), tail),
                };
                take(head, tail);
                // No longer than a fortune.
                head.len().plus(tail.len())
            }
        }
    }

    /// Stores for another module what a program would that opens `/proc/fortune`, writes `text` at once and closes
    /// it.
    ///
    /// # Errors
    ///
    /// Those of a write.
    pub fn store_text(&self, text: &[u8]) -> Result {
        let result = self.store_records(text);
        result.inspect_err(|&error| self.count(error))
    }

    fn store_records(&self, text: &[u8]) -> Result {
        if text.len() > self.most_written() {
            return Err(ENOSPC);
        }
        let mut demand = Demand::default();
        let mut records = Records::new(text, 0, Progress::default());
        let mut last = ask(&mut demand, &mut records)?;
        let (rest, progress) = records.rest();
        let rest = records::at_close(rest, progress);
        if rest.len() > MAX_FORTUNE {
            return Err(ENOSPC);
        }
        if !rest.is_empty() {
            demand.fortunes = demand.fortunes.plus(1);
            demand.bytes = demand.bytes.plus(cost(rest.len()));
            last = Some(rest);
        }
        if demand.fortunes > 1 {
            let records = Records::new(text, 0, Progress::default());
            let texts = &mut Iterator::chain(records, Some(rest));
            self.store_in_parts(demand, texts, By::Module)
        } else {
            self.store(demand, last, By::Module)
        }
    }

    /// How many bytes a write has at most: more could never be stored, as fortunes of one byte and their `%` lines
    /// take twice what they cost in the pot.
    fn most_written(&self) -> usize {
        self.size.times(2).plus(MAX_FORTUNE)
    }

    /// Does as `demand` says, which is of one fortune, `text`, or of none.
    fn store(&self, demand: Demand, text: Option<&[u8]>, by: By) -> Result {
        let mut pot = self.pot.lock();
        match pot.store(demand, text) {
            Ok(()) => {
                self.trim(pot);
                Ok(())
            }
            Err(Refused::NoSpace) => Err(ENOSPC),
            Err(Refused::NeedsBlocks(_) | Refused::Busy) => {
                drop(pot);
                self.store_in_parts(demand, &mut text.into_iter(), by)
            }
        }
    }

    /// Does as `demand` says, with `texts`. Nothing fails, and nobody is killed, once a fortune has left for them.
    #[cold]
    fn store_in_parts(
        &self,
        demand: Demand,
        texts: &mut dyn Iterator<Item = &[u8]>,
        by: By,
    ) -> Result {
        let mut blocks = Blocks::default();
        let turn = loop {
            let turn = match by {
                By::Write | By::Module => self.turn.lock_killable()?,
                By::Close => self.turn.lock(),
            };
            let begun = self.with_pot(|pot| pot.begin(demand, blocks.0.len()));
            match begun {
                Ok(()) => break turn,
                Err(Refused::NeedsBlocks(count)) => {
                    drop(turn);
                    // Others may have taken what was free: the second time, as many as it can ever need.
                    let count = if blocks.0.is_empty() {
                        count
                    } else {
                        pot::most_blocks(demand.fortunes.plus(1))
                    };
                    blocks.grow(count, by.flags())?;
                }
                // None is busy but who has the turn.
                Err(Refused::NoSpace | Refused::Busy) => return Err(ENOSPC),
            }
        };
        while !self.with_pot(|pot| pot.extend(&mut blocks)) {}
        let mut batch = Batch::default();
        loop {
            batch.take(texts);
            if batch.texts().is_empty() {
                break;
            }
            self.with_pot(|pot| pot.fill(batch.texts()));
        }
        let mut pot = self.pot.lock();
        pot.finish();
        drop(turn);
        self.trim(pot);
        Ok(())
    }

    /// Gives the lock back, and frees what the index does not need any more, without it.
    #[inline]
    fn trim(&self, mut pot: MutexGuard<'_, VPot>) {
        let surplus = pot.surplus();
        drop(pot);
        if surplus.is_some() {
            self.free(surplus);
        }
    }

    /// Frees a block, and what else the index does not need any more.
    #[cold]
    fn free(&self, mut surplus: Option<KBox<Block>>) {
        while surplus.is_some() {
            // The one before is freed when the lock has been given back again.
            surplus = self.with_pot(|pot| pot.surplus());
        }
    }

    /// Counts an error of a call on `/proc/fortune`.
    fn count(&self, error: Error) {
        let counter = match error {
            ENOSPC => &self.errors.nospace,
            EFAULT => &self.errors.faults,
            ENOMEM => &self.errors.nomem,
            _ => return,
        };
        counter.add(1, Relaxed);
    }
}

/// Adds to `demand` what the fortunes ask for that are complete in what was written, and returns the last one of
/// them.
#[inline(always)]
fn ask<'a>(demand: &mut Demand, records: &mut Records<'a>) -> Result<Option<&'a [u8]>> {
    let mut last = None;
    for record in records {
        if record.len() > MAX_FORTUNE {
            return Err(ENOSPC);
        }
        if record.is_empty() {
            continue;
        }
        // No more than what was written, and unfinished before.
        demand.fortunes = demand.fortunes.plus(1);
        demand.bytes = demand.bytes.plus(cost(record.len()));
        last = Some(record);
    }
    Ok(last)
}

/// What an open file of `/proc/fortune` owns.
// What a draw uses comes first.
#[pin_data]
#[repr(C)]
pub struct OpenFile {
    #[pin]
    drawn: Mutex<Draw>,
    #[pin]
    written: Mutex<Unfinished>,
}

/// The fortune that was last drawn through an open file.
struct Draw {
    /// The text and its newline; empty if nothing was drawn yet.
    text: Bytes<SHORT>,
    /// Nothing of it has arrived yet: a read at position 0 delivers it, and does not draw the next one.
    undelivered: bool,
}

impl Draw {
    /// Draws the next fortune, and says whether there was one. If not, or on an error, all is as it was.
    #[inline(always)]
    fn draw(&mut self, dispenser: &Dispenser) -> Result<bool> {
        let mut lot = Lot::default();
        let mut pot = dispenser.pot.lock();
        match pot.draw(&mut lot, random::below, self.text.room()) {
            Drawn::Nothing => return Ok(false),
            // There is room: that was asked for.
            Drawn::Fortune(head, tail) => self.text.set(head, tail),
            Drawn::TooLong(len) => {
                drop(pot);
                return self.draw_long(dispenser, lot, len);
            }
        }
        self.undelivered = true;
        Ok(true)
    }

    /// The same, into memory for `len` bytes.
    #[cold]
    fn draw_long(&mut self, dispenser: &Dispenser, mut lot: Lot, mut len: usize) -> Result<bool> {
        loop {
            let mut text = Bytes::default();
            text.renew(len, charged())?;
            let mut pot = dispenser.pot.lock();
            match pot.draw(&mut lot, random::below, len) {
                Drawn::Nothing => return Ok(false),
                // The lot has left meanwhile, and another one has come.
                Drawn::TooLong(longer) => len = longer,
                Drawn::Fortune(head, tail) => {
                    text.set(head, tail);
                    drop(pot);
                    self.text = text;
                    self.undelivered = true;
                    return Ok(true);
                }
            }
        }
    }

    /// Delivers what was drawn, from `pos` on, and draws first where that is due.
    #[inline(always)]
    fn read(
        &mut self,
        dispenser: &Dispenser,
        buf: &mut UserWriter<'_>,
        pos: &mut Offset,
    ) -> Result {
        let offset = *pos;
        // CAST: A position is not negative, and no length is wider than 64 bits.
        if offset > 0 && offset as u64 >= self.text.len() as u64 {
            return Ok(());
        }
        let rest = if offset > 0 {
            // CAST: Less than a length.
            self.text.get(offset as usize..).unwrap_or_default()
        } else if self.undelivered || self.draw(dispenser)? {
            &self.text
        } else {
            return Ok(());
        };
        let arrived = buf.write(rest)?;
        if offset == 0 {
            self.undelivered = false;
        }
        // CAST: A text has at most MAX_FORTUNE + 1 bytes.
        *pos = offset.plus(arrived as Offset);
        Ok(())
    }
}

/// What was written through an open file and is not a complete fortune yet.
struct Unfinished {
    /// The text, which grows in place, and after it what a write that failed has brought.
    text: Bytes<0>,
    /// How many bytes the text has.
    len: usize,
    progress: Progress,
    /// The last write has failed: it is not stored when the file is closed now.
    failed: bool,
}

impl Unfinished {
    /// Stores what this write completes, and keeps the rest. On an error all is as it was.
    #[inline(always)]
    fn write(&mut self, dispenser: &Dispenser, buf: &mut UserReader<'_>) -> Result<usize> {
        let len = buf.len();
        if len > dispenser.most_written() {
            return Err(ENOSPC);
        }
        let unfinished = self.len;
        let whole = unfinished.plus(len);
        let in_place = unfinished > 0 && whole <= MAX_UNFINISHED;
        let mut new = Bytes::<SHORT>::default();
        if in_place {
            self.grow(whole)?;
            self.text.read(buf)?;
        } else {
            new.renew(whole, charged())?;
            new.append(self.unfinished());
            new.read(buf)?;
        }
        let text: &[u8] = if in_place { &self.text } else { &new };

        let mut demand = Demand::default();
        if unfinished > 0 {
            demand.before = cost(self.at_close().len());
        }
        let mut records = Records::new(text, unfinished, self.progress);
        let last = ask(&mut demand, &mut records)?;
        let (rest, progress) = records.rest();
        if !rest.is_empty() {
            let at_close = records::at_close(rest, progress).len();
            if at_close > MAX_FORTUNE {
                return Err(ENOSPC);
            }
            demand.after = cost(at_close);
        }
        let kept_len = rest.len();
        let mut kept = Bytes::default();
        let stays = in_place && kept_len == whole;
        if kept_len > 0 && !stays {
            kept.renew(kept_len, charged())?;
            kept.append(rest);
        }

        // Most writes bring one fortune, which need not be looked for again.
        if demand.fortunes > 1 {
            let mut records = Records::new(text, unfinished, self.progress);
            dispenser.store_in_parts(demand, &mut records, By::Write)?;
        } else {
            dispenser.store(demand, last, By::Write)?;
        }
        // Most writes find nothing there and leave nothing.
        if !stays && (unfinished > 0 || kept_len > 0) {
            self.text = kept;
        }
        self.len = kept_len;
        self.progress = progress;
        Ok(len)
    }

    /// The text.
    fn unfinished(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// The fortune that closing now would store, for which the pot keeps room.
    fn at_close(&self) -> &[u8] {
        records::at_close(self.unfinished(), self.progress)
    }

    /// Makes room for `whole` bytes of text, no more than there can be, and forgets what comes after it. It moves
    /// to twice the room, so that a byte is not copied more than twice in the end.
    fn grow(&mut self, whole: usize) -> Result {
        if self.text.len() == self.len && self.text.room() >= whole {
            return Ok(());
        }
        let mut text = Bytes::default();
        let room = whole.max(self.len.times(2)).min(MAX_UNFINISHED);
        text.renew(room, charged())?;
        text.append(self.unfinished());
        self.text = text;
        Ok(())
    }

    /// Stores what is unfinished, unless the last write has failed: then it is dropped.
    fn close(&self, dispenser: &Dispenser) {
        if self.len == 0 {
            return;
        }
        let text = self.at_close();
        let mut demand = Demand {
            before: cost(text.len()),
            ..Demand::default()
        };
        let text = if self.failed || text.is_empty() {
            None
        } else {
            demand.fortunes = 1;
            demand.bytes = demand.before;
            Some(text)
        };
        // What is reserved can be stored, and can be given back.
        let _ = dispenser.store(demand, text, By::Close);
    }
}

/// The callbacks of `/proc/fortune`.
pub struct Fortune(pub Arc<Dispenser>);

impl Fortune {
    /// Counts an error that a call returns.
    #[cold]
    #[inline(never)]
    fn failed(&self, error: Error) -> Error {
        self.0.count(error);
        error
    }
}

#[vtable]
impl proc_fs::Operations for Fortune {
    type Ptr = Pin<FileBox<OpenFile>>;

    const SEEK: Seek = Seek::NoEnd;

    #[inline]
    fn open(&self, _file: &LocalFile) -> Result<Self::Ptr> {
        FileBox::pin_init(
            pin_init!(OpenFile {
                drawn <- Mutex::new(
                    Draw {
                        text: Bytes::default(),
                        undelivered: false,
                    },
                    c"drawn",
                    static_lock_class!(),
                ),
                written <- Mutex::new(
                    Unfinished {
                        text: Bytes::default(),
                        len: 0,
                        progress: Progress::default(),
                        failed: false,
                    },
                    c"written",
                    static_lock_class!(),
                ),
            }),
            charged(),
        )
        .map_err(|error| self.failed(error))
    }

    #[inline]
    fn read(
        &self,
        open_file: Pin<&OpenFile>,
        buf: &mut UserWriter<'_>,
        pos: &mut Offset,
    ) -> Result {
        if buf.room() == 0 {
            return Ok(());
        }
        let drawn = open_file.drawn.lock_killable();
        let result = drawn.and_then(|mut drawn| drawn.read(&self.0, buf, pos));
        result.map_err(|error| self.failed(error))
    }

    #[inline]
    fn write(
        &self,
        open_file: Pin<&OpenFile>,
        buf: &mut UserReader<'_>,
        _pos: &mut Offset,
    ) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let written = open_file.written.lock_killable();
        let result = written.and_then(|mut written| {
            let result = written.write(&self.0, buf);
            written.failed = result.is_err();
            result
        });
        result.map_err(|error| self.failed(error))
    }

    #[inline]
    fn release(&self, mut open_file: Self::Ptr) {
        // Where the module is being unloaded, /proc/driver/fortune is gone already and nobody sees it.
        let written = open_file.as_mut().project().written.data_mut();
        written.close(&self.0);
    }
}
