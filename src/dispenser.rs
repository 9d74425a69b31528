// SPDX-License-Identifier: GPL-2.0

//! `/proc/fortune`: a read draws a fortune from the pot, a write stores some.
//!
//! Nothing that others need is locked while bytes are copied to or from user space, where a page fault
//! can take for ever. What is drawn is copied into the open file's own memory under the pot's lock, and
//! to the reader after that; what is written is copied in, and what it takes is counted, first. The open file has
//! locks of its own, for which only those wait who share the open file.
//!
//! Lock order: `OpenFile::drawn` or `OpenFile::written`, then `Dispenser::pot`.

use super::{
    pot::{
        self,
        cost,
        Block,
        Demand,
        Drawn,
        Lot,
        Pot,
        Refused,
        MAX_FORTUNE, //
    },
    proc_fs::{
        self,
        Bytes,
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
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        MutexGuard, //
    }, //
};

/// A text of up to this many bytes, its newline included, is moved without allocating.
const SHORT: usize = 256;

/// Memory that a user makes the kernel allocate is charged to that user, and where there is none it is
/// that user's ENOMEM and no line in the log.
fn charged() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_NOWARN
}

/// The pot, in memory from vmalloc, but for the blocks of its index, which are a page each.
pub type VPot = Pot<VVec<u8>, KBox<Block>, VVec<Option<KBox<Block>>>>;

/// What all the files of this module are about.
#[pin_data]
pub struct Dispenser {
    /// The size of the pot in bytes.
    size: usize,
    #[pin]
    pot: Mutex<VPot>,
    errors: Errors,
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
            index.push_within_capacity(None)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                size,
                pot <- new_mutex!(Pot::new(bytes, index)),
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

    /// Stores `texts`, as `demand` says.
    fn store(&self, demand: Demand, texts: &mut dyn Iterator<Item = &[u8]>) -> Result {
        loop {
            let mut pot = self.pot.lock();
            let result = match pot.store(demand, &mut *texts) {
                Ok(()) => Ok(()),
                Err(Refused::NoSpace) => Err(ENOSPC),
                Err(Refused::NeedsBlock) => {
                    drop(pot);
                    let block = KBox::zeroed(charged());
                    pot = self.pot.lock();
                    match block {
                        Ok(block) => {
                            let surplus = pot.add_block(block);
                            // One for which there is no place is freed, without the lock.
                            drop(pot);
                            drop(surplus);
                            continue;
                        }
                        Err(error) => Err(error.into()),
                    }
                }
            };
            self.trim(pot);
            return result;
        }
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

/// What an open file of `/proc/fortune` owns.
#[pin_data]
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
        if offset == 0 && !self.undelivered && !self.draw(dispenser)? {
            return Ok(());
        }
        // CAST: A position is not negative, and no length is wider than 64 bits.
        if offset as u64 >= self.text.len() as u64 {
            return Ok(());
        }
        // CAST: Less than a length.
        let rest = self.text.get(offset as usize..).unwrap_or_default();
        let arrived = buf.write(rest)?;
        if offset == 0 {
            self.undelivered = false;
        }
        // CAST: A text has at most MAX_FORTUNE + 1 bytes.
        *pos = offset.wrapping_add(arrived as Offset);
        Ok(())
    }
}

/// What was written through an open file and is not a complete fortune yet.
struct Unfinished {
    /// At most MAX_FORTUNE bytes, a newline and a `%`.
    text: Bytes<0>,
    progress: Progress,
    /// What the pot keeps free for it, in bytes.
    reserved: usize,
    /// The last write has failed: it is not stored when the file is closed now.
    failed: bool,
}

impl Unfinished {
    /// Stores what this write completes, and keeps the rest. On an error all is as it was.
    #[inline(always)]
    fn write(&mut self, dispenser: &Dispenser, buf: &mut UserReader<'_>) -> Result<usize> {
        let len = buf.len();
        // Fortunes of one byte and their `%` lines take twice what they cost in the pot.
        if len > dispenser.size.wrapping_mul(2).wrapping_add(MAX_FORTUNE) {
            return Err(ENOSPC);
        }
        let unfinished = self.text.len();
        let mut text = Bytes::<SHORT>::default();
        text.renew(unfinished.wrapping_add(len), charged())?;
        text.append(&self.text);
        text.read(buf)?;

        let mut demand = Demand {
            before: self.reserved,
            ..Demand::default()
        };
        let mut records = Records::new(&text, unfinished, self.progress);
        let mut last = None;
        for record in &mut records {
            if record.len() > MAX_FORTUNE {
                return Err(ENOSPC);
            }
            if record.is_empty() {
                continue;
            }
            // No more than what was written, and unfinished before.
            demand.fortunes = demand.fortunes.wrapping_add(1);
            demand.bytes = demand.bytes.wrapping_add(cost(record.len()));
            last = Some(record);
        }
        let (rest, progress) = records.rest();
        let mut kept = Bytes::default();
        if !rest.is_empty() {
            let at_close = records::at_close(rest, progress).len();
            if at_close > MAX_FORTUNE {
                return Err(ENOSPC);
            }
            demand.after = cost(at_close);
            kept.renew(rest.len(), charged())?;
            kept.append(rest);
        }

        // Most writes bring one fortune, which need not be looked for again.
        let (mut only, mut all);
        let texts: &mut dyn Iterator<Item = &[u8]> = if demand.fortunes == 1 {
            only = last.into_iter();
            &mut only
        } else {
            all = Records::new(&text, unfinished, self.progress);
            &mut all
        };
        dispenser.store(demand, texts)?;
        // Most writes find nothing there and leave nothing.
        if unfinished > 0 || !kept.is_empty() {
            self.text = kept;
        }
        self.progress = progress;
        self.reserved = demand.after;
        Ok(len)
    }

    /// Stores what is unfinished, unless the last write has failed: then it is dropped.
    fn close(&self, dispenser: &Dispenser) {
        if self.reserved == 0 {
            return;
        }
        let mut demand = Demand {
            before: self.reserved,
            ..Demand::default()
        };
        let text = records::at_close(&self.text, self.progress);
        let text = if self.failed {
            None
        } else {
            demand.fortunes = 1;
            demand.bytes = self.reserved;
            Some(text)
        };
        // What is reserved can be stored, and can be given back.
        let _ = dispenser.store(demand, &mut text.into_iter());
    }
}

/// The callbacks of `/proc/fortune`.
pub struct Fortune(pub Arc<Dispenser>);

#[vtable]
impl proc_fs::Operations for Fortune {
    type Ptr = Pin<KBox<OpenFile>>;

    const SEEK: Seek = Seek::NoEnd;

    #[inline]
    fn open(&self, _file: &LocalFile) -> Result<Self::Ptr> {
        KBox::pin_init(
            pin_init!(OpenFile {
                drawn <- new_mutex!(Draw {
                    text: Bytes::default(),
                    undelivered: false,
                }),
                written <- new_mutex!(Unfinished {
                    text: Bytes::default(),
                    progress: Progress::default(),
                    reserved: 0,
                    failed: false,
                }),
            }),
            charged(),
        )
        .inspect_err(|&error| self.0.count(error))
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
        let result = open_file.drawn.lock().read(&self.0, buf, pos);
        result.inspect_err(|&error| self.0.count(error))
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
        let mut written = open_file.written.lock();
        let result = written.write(&self.0, buf);
        written.failed = result.is_err();
        drop(written);
        result.inspect_err(|&error| self.0.count(error))
    }

    #[inline]
    fn release(&self, open_file: Self::Ptr) {
        // Where the module is being unloaded, /proc/driver/fortune is gone already and nobody sees it.
        open_file.written.lock().close(&self.0);
    }
}
