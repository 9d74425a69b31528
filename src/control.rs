// SPDX-License-Identifier: GPL-2.0

//! `/proc/driver/fortune`: what is in the pot, and how it behaves.

use super::{
    dispenser::{
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
        File,
        Mode,
        SeqWriter,
        UserReader, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
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
            _pot: dir.list(c"pot", READ_ONLY, Contents(its()))?,
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
///
/// The id of a fortune is its number plus one; 0 is the first line.
struct Contents(Arc<Dispenser>);

impl proc_fs::List for Contents {
    fn next_at(&self, id: u64) -> Option<u64> {
        let next = |number| self.0.with_pot(|pot| pot.next_at(number));
        match id.checked_sub(1) {
            Some(number) => next(number)?.checked_add(1),
            None => next(0).and(Some(0)),
        }
    }

    fn show(&self, id: u64, m: &mut SeqWriter<'_>) -> Result {
        match id.checked_sub(1) {
            Some(number) => self.0.with_pot(|pot| {
                let (head, tail) = pot.text(number);
                if head.is_empty() {
                    return Ok(());
                }
                m.write(head)?;
                m.write(tail)?;
                m.write(b"%\n")
            }),
            None => m.write(b"%\n"),
        }
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
