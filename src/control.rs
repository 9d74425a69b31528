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
        Mode, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    uaccess::UserSliceReader, //
};

/// The directory, and what is in it.
#[pin_data]
pub struct Control {
    #[pin]
    stats: proc_fs::File<Statistics>,
    #[pin]
    pot: proc_fs::File<Contents>,
    #[pin]
    order: proc_fs::File<Setting<Order>>,
    #[pin]
    when_full: proc_fs::File<Setting<WhenFull>>,
    #[pin]
    clear: proc_fs::File<Clear>,
}

impl Control {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// Those of [`Dir::subdir`].
    pub fn new(dispenser: Arc<Dispenser>) -> impl PinInit<Self, Error> {
        const READ_ONLY: Mode = Mode::new::<0o444>();
        const READ_WRITE: Mode = Mode::new::<0o644>();
        const WRITE_ONLY: Mode = Mode::new::<0o200>();

        pin_init::pin_init_scope(move || {
            let dir = Dir::driver()?.subdir(c"fortune", Mode::new::<0o555>())?;
            let dispenser = move || dispenser.clone();
            Ok(try_pin_init!(Self {
                stats <- proc_fs::File::show(&dir, c"stats", READ_ONLY, Statistics(dispenser())),
                pot <- proc_fs::File::list(&dir, c"pot", READ_ONLY, Contents(dispenser())),
                order <- proc_fs::File::show_and_store(
                    &dir,
                    c"order",
                    READ_WRITE,
                    Setting::new(dispenser()),
                ),
                when_full <- proc_fs::File::show_and_store(
                    &dir,
                    c"when_full",
                    READ_WRITE,
                    Setting::new(dispenser()),
                ),
                clear <- proc_fs::File::store(&dir, c"clear", WRITE_ONLY, Clear(dispenser())),
            }))
        })
    }
}

/// `stats`: `name value` lines, as in `/proc/vmstat`.
struct Statistics(Arc<Dispenser>);

impl proc_fs::Show for Statistics {
    fn show(&self, m: &SeqFile) -> Result {
        let Stats {
            used,
            reserved,
            fortunes,
            draws,
            stores,
            evictions,
            clears,
        } = self.0.with_pot(|pot| pot.stats());
        seq_print!(m, "pot_size {}\n", self.0.size());
        seq_print!(m, "used {used}\n");
        seq_print!(m, "reserved {reserved}\n");
        seq_print!(m, "fortunes {fortunes}\n");
        seq_print!(m, "draws {draws}\n");
        seq_print!(m, "stores {stores}\n");
        seq_print!(m, "evictions {evictions}\n");
        seq_print!(m, "clears {clears}\n");
        let errors = self.0.errors();
        seq_print!(m, "nospace {}\n", errors.nospace.load(Relaxed));
        seq_print!(m, "faults {}\n", errors.faults.load(Relaxed));
        seq_print!(m, "nomem {}\n", errors.nomem.load(Relaxed));
        Ok(())
    }
}

/// `pot`: a `%` line, then every fortune in the order stored, each followed by a `%` line.
///
/// The id of a fortune is its number plus one; 0 is the first line.
struct Contents(Arc<Dispenser>);

impl proc_fs::SeqOperations for Contents {
    fn next_at(&self, id: u64) -> Option<u64> {
        let next = |number| self.0.with_pot(|pot| pot.next_at(number));
        match id.checked_sub(1) {
            Some(number) => next(number)?.checked_add(1),
            None => next(0).and(Some(0)),
        }
    }

    fn show(&self, id: u64, m: &SeqFile) -> Result {
        match id.checked_sub(1) {
            Some(number) => self.0.with_pot(|pot| {
                let (head, tail) = pot.text(number);
                if !head.is_empty() {
                    proc_fs::write_to_seq(m, head);
                    proc_fs::write_to_seq(m, tail);
                    proc_fs::write_to_seq(m, b"%\n");
                }
            }),
            None => proc_fs::write_to_seq(m, b"%\n"),
        }
        Ok(())
    }
}

/// `clear`: any write empties the pot.
struct Clear(Arc<Dispenser>);

impl proc_fs::Store for Clear {
    fn store(&self, _buf: &mut UserSliceReader) -> Result {
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
    fn show(&self, m: &SeqFile) -> Result {
        let current = self.0.with_pot(|pot| C::get(pot));
        let mut between = "";
        for &(word, choice) in C::CHOICES {
            if choice == current {
                seq_print!(m, "{between}[{word}]");
            } else {
                seq_print!(m, "{between}{word}");
            }
            between = " ";
        }
        seq_print!(m, "\n");
        Ok(())
    }
}

impl<C: Choice> proc_fs::Store for Setting<C> {
    fn store(&self, buf: &mut UserSliceReader) -> Result {
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
