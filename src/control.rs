// SPDX-License-Identifier: GPL-2.0

//! `/proc/driver/fortune`: what is in the pot, and how it behaves.

use super::{
    dispenser::{
        charged,
        Dispenser,
        VPot, //
    },
    pot::{
        Order,
        Stats,
        WhenFull, //
    },
    proc_fs::{
        self,
        Bytes,
        Dir,
        Exact,
        File,
        FileBox,
        IterWriter,
        Mode,
        Mutex,
        Seek,
        SeqWriter,
        UserReader, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    fs::{
        file::Offset,
        LocalFile, //
    },
    prelude::*,
    static_lock_class,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// What is in the directory.
pub struct Control {
    _stats: File<Statistics>,
    _pot: File<Contents>,
    _order: File<Setting<Order>>,
    _when_full: File<Setting<WhenFull>>,
    _clear: File<Clear>,
}

impl Control {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// See [`Dir`].
    pub fn new(dispenser: &Arc<Dispenser>) -> Result<Self> {
        const READ_ONLY: Mode = Mode::new::<0o444>();
        const READ_WRITE: Mode = Mode::new::<0o644>();
        const WRITE_ONLY: Mode = Mode::new::<0o200>();

        let dir = Dir::driver().subdir(c"fortune", Mode::new::<0o555>())?;
        let its = || dispenser.clone();
        Ok(Self {
            _stats: dir.show(c"stats", READ_ONLY, Statistics(its()))?,
            _pot: dir.file(c"pot", READ_ONLY, Contents(its()))?,
            _order: dir.show_and_store(c"order", READ_WRITE, Setting::new(its()))?,
            _when_full: dir.show_and_store(c"when_full", READ_WRITE, Setting::new(its()))?,
            _clear: dir.store(c"clear", WRITE_ONLY, Clear(its()))?,
        })
    }
}

/// `stats`: `name value` lines, as in `/proc/vmstat`.
struct Statistics(Arc<Dispenser>);

impl proc_fs::Show for Statistics {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        let Stats {
            used,
            reserved,
            fortunes,
            draws,
            stores,
            evictions,
            clears,
        } = self.0.with_pot(|pot| pot.stats());
        writeln!(m, "pot_size {}", self.0.size())?;
        writeln!(m, "used {used}")?;
        writeln!(m, "reserved {reserved}")?;
        writeln!(m, "fortunes {fortunes}")?;
        writeln!(m, "draws {draws}")?;
        writeln!(m, "stores {stores}")?;
        writeln!(m, "evictions {evictions}")?;
        writeln!(m, "clears {clears}")?;
        let errors = self.0.errors();
        writeln!(m, "nospace {}", errors.nospace.load(Relaxed))?;
        writeln!(m, "faults {}", errors.faults.load(Relaxed))?;
        writeln!(m, "nomem {}", errors.nomem.load(Relaxed))
    }
}

/// `pot`: a `%` line, then every fortune in the order stored, each followed by a `%` line.
struct Contents(Arc<Dispenser>);

/// How many bytes a read takes out of the pot under its lock, but for the rest of the last fortune; having copied
/// so many, it ends.
const STRETCH: usize = 16 << 10;

/// What an open file has of the list.
#[pin_data]
struct Listing {
    #[pin]
    taken: Mutex<Taken>,
}

/// Whole items of the list, taken out of the pot for a reader and delivered bit by bit. The one that a reader
/// has begun goes on, whatever becomes of it in the pot.
struct Taken {
    bytes: KVVec<u8>,
    /// The part of `bytes` that is not delivered yet.
    rest: Range<usize>,
    /// The item to go on with after that, for a reader who goes on at this position.
    item: u64,
    pos: Option<Offset>,
}

impl Taken {
    /// Takes the next items for a reader who has `room`: from a position, or from `item` on.
    fn take(&mut self, dispenser: &Dispenser, from: Option<Offset>, room: usize) -> Result {
        let mut needed = room.clamp(256, STRETCH);
        loop {
            if self.bytes.len() < needed {
                self.bytes = KVVec::from_elem(0, needed, charged())?;
            }
            let (item, bytes) = (&mut self.item, &mut self.bytes);
            let listed = dispenser.with_pot(|pot| {
                let mut skipped = 0;
                if let Some(pos) = from {
                    // CAST: A position is not negative, and an item fits into memory.
                    let (found, before) = pot.find(pos as u64);
                    (*item, skipped) = (found, before as usize);
                }
                let enough = skipped.plus(room.min(STRETCH));
                let len = pot.list(item, enough, bytes)?;
                Ok(skipped.min(len)..len)
            });
            match listed {
                Ok(rest) => {
                    self.rest = rest;
                    return Ok(());
                }
                Err(longer) => needed = longer,
            }
        }
    }

    fn read(
        &mut self,
        dispenser: &Dispenser,
        buf: &mut IterWriter<'_>,
        pos: &mut Offset,
    ) -> Result {
        let mut from = None;
        if *pos == 0 || self.pos != Some(*pos) {
            from = Some(*pos);
            self.rest = 0..0;
            self.pos = None;
        }
        while buf.room() > 0 && buf.written() < STRETCH {
            if self.rest.is_empty() {
                self.take(dispenser, from.take(), buf.room())?;
            }
            let rest = self.bytes.get(self.rest.clone()).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let arrived = buf.write(rest)?;
            self.rest.start = self.rest.start.plus(arrived);
            // CAST: No more than there was to deliver.
            *pos = pos.plus(arrived as Offset);
            self.pos = Some(*pos);
        }
        Ok(())
    }
}

#[vtable]
impl proc_fs::Operations for Contents {
    type Ptr = Pin<FileBox<Listing>>;

    const SEEK: Seek = Seek::NoEnd;

    fn open(&self, _file: &LocalFile) -> Result<Self::Ptr> {
        FileBox::pin_init(
            pin_init!(Listing {
                taken <- Mutex::new(
                    Taken {
                        bytes: KVVec::new(),
                        rest: 0..0,
                        item: 0,
                        pos: None,
                    },
                    c"taken",
                    static_lock_class!(),
                ),
            }),
            charged(),
        )
    }

    fn read_iter(
        &self,
        listing: Pin<&Listing>,
        buf: &mut IterWriter<'_>,
        pos: &mut Offset,
    ) -> Result {
        let result = listing.taken.lock_killable()?.read(&self.0, buf, pos);
        // What has arrived is read, whatever came after it.
        result.or_else(|error| {
            if buf.written() > 0 {
                Ok(())
            } else {
                Err(error)
            }
        })
    }
}

/// `clear`: any write empties the pot.
struct Clear(Arc<Dispenser>);

impl proc_fs::Store for Clear {
    fn store(&self, _buf: &mut UserReader<'_>) -> Result {
        self.0.clear();
        Ok(())
    }
}

/// What can be chosen: one of some words.
trait Choice: Copy + PartialEq + Send + Sync + 'static {
    const CHOICES: &'static [(&'static str, Self)];

    fn get(pot: &VPot) -> Self;
    fn set(self, pot: &mut VPot);
}

impl Choice for Order {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("sequential", Order::Sequential),
        ("random", Order::Random),
        ("shuffle", Order::Shuffle),
    ];

    fn get(pot: &VPot) -> Self {
        pot.order()
    }

    fn set(self, pot: &mut VPot) {
        pot.set_order(self);
    }
}

impl Choice for WhenFull {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("reject", WhenFull::Reject), ("evict", WhenFull::Evict)];

    fn get(pot: &VPot) -> Self {
        pot.when_full()
    }

    fn set(self, pot: &mut VPot) {
        pot.set_when_full(self);
    }
}

/// `order`, `when_full`: the words, the current one in brackets; a write chooses one.
struct Setting<C>(Arc<Dispenser>, PhantomData<C>);

impl<C> Setting<C> {
    fn new(dispenser: Arc<Dispenser>) -> Self {
        Self(dispenser, PhantomData)
    }
}

impl<C: Choice> proc_fs::Show for Setting<C> {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        let current = self.0.with_pot(|pot| C::get(pot));
        let mut between = "";
        for &(word, choice) in C::CHOICES {
            if choice == current {
                write!(m, "{between}[{word}]")?;
            } else {
                write!(m, "{between}{word}")?;
            }
            between = " ";
        }
        writeln!(m)
    }
}

impl<C: Choice> proc_fs::Store for Setting<C> {
    fn store(&self, buf: &mut UserReader<'_>) -> Result {
        // The longest word and its newline.
        let mut written = Bytes::<{ b"sequential\n".len() }>::default();
        written.read(buf)?;
        let written = written.strip_suffix(b"\n").unwrap_or(&written);
        let mut choices = C::CHOICES.iter();
        let (_, choice) = choices
            .find(|(word, _)| word.as_bytes() == written)
            .ok_or(EINVAL)?;
        self.0.with_pot(|pot| choice.set(pot));
        Ok(())
    }
}
