// SPDX-License-Identifier: GPL-2.0

//! Short histories of three threads: is there an order of their calls, one after the other, in which each
//! could have returned what it did?
//!
//! The order must keep what was over before something else began; all others can be taken in any order (J.
//! Wing and C. Gong, "Testing and Verifying Concurrent Objects", 1993). What the search has seen to fail, it
//! does not try again.

use crate::module::{CONTROL, Module, by_kernel, open, set, stats};
use fastrand::Rng;
use ktap::{Limit, amount, figure, note, progress};
use nix::{errno::Errno, sys::uio::pread, unistd::write};
use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

ktap::tests!(linear, Guest:
    wrong_histories_are_rejected,
    histories_are_linearizable [R3 R8 R12 W13 C2 C10],
);

const THREADS: usize = 3;

/// How many calls each of them makes: 39 in all.
const CALLS: usize = 13;

/// The pot: four of the shorter fortunes, or two of the longer ones.
const SIZE: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Stores the fortune of that number.
    Store(u8),
    Draw,
    Clear,
    Stats,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Stored,
    /// ENOSPC
    Refused,
    Drawn(Option<u8>),
    Cleared,
    Stats(Counters),
}

/// What `stats` says that has to do with these calls, since the history began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Counters {
    used: u64,
    fortunes: u64,
    draws: u64,
    stores: u64,
    clears: u64,
}

/// A call that was made, and when: between these two times it has happened.
#[derive(Clone, Debug)]
struct Made {
    call: Call,
    outcome: Outcome,
    invoked: u64,
    returned: u64,
}

/// The text of a fortune: those of even numbers are shorter.
fn text(number: u8) -> Vec<u8> {
    vec![b'A' + number; 1 + usize::from(number % 2) * 2]
}

/// The contract, as far as these calls can see it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct State {
    pot: Vec<u8>,
    /// How many of the oldest this lap has drawn.
    drawn: usize,
    counters: Counters,
}

impl State {
    fn make(&mut self, call: Call) -> Outcome {
        match call {
            Call::Store(number) => {
                let used = self.counters.used + text(number).len() as u64 + 1;
                if used > SIZE {
                    return Outcome::Refused;
                }
                self.pot.push(number);
                self.counters.used = used;
                self.counters.fortunes += 1;
                self.counters.stores += 1;
                Outcome::Stored
            }
            Call::Draw => {
                if self.drawn == self.pot.len() {
                    self.drawn = 0;
                }
                let drawn = self.pot.get(self.drawn).copied();
                if drawn.is_some() {
                    self.drawn += 1;
                    self.counters.draws += 1;
                }
                Outcome::Drawn(drawn)
            }
            Call::Clear => {
                self.pot.clear();
                self.drawn = 0;
                self.counters.used = 0;
                self.counters.fortunes = 0;
                self.counters.clears += 1;
                Outcome::Cleared
            }
            Call::Stats => Outcome::Stats(self.counters),
        }
    }
}

/// Whether there is such an order, of at most 64 calls.
fn is_linearizable(history: &[Made]) -> bool {
    /// Whether there is one of those not in `done`, if those leave `state`.
    fn search(
        history: &[Made],
        done: u64,
        state: &State,
        failed: &mut HashSet<(u64, State)>,
    ) -> bool {
        let left = |&at: &usize| done & (1 << at) == 0;
        // Nothing can come first that began after something else was over.
        let Some(over) = (0..history.len())
            .filter(left)
            .map(|at| history[at].returned)
            .min()
        else {
            return true;
        };
        if failed.contains(&(done, state.clone())) {
            return false;
        }
        for at in (0..history.len()).filter(left) {
            if history[at].invoked < over {
                let mut next = state.clone();
                if next.make(history[at].call) == history[at].outcome
                    && search(history, done | (1 << at), &next, failed)
                {
                    return true;
                }
            }
        }
        failed.insert((done, state.clone()));
        false
    }
    search(history, 0, &State::default(), &mut HashSet::new())
}

/// A history by its calls, their outcomes and their times.
fn history(calls: &[(Call, Outcome, u64, u64)]) -> Vec<Made> {
    let made = |(call, outcome, invoked, returned): &(Call, Outcome, u64, u64)| Made {
        call: *call,
        outcome: outcome.clone(),
        invoked: *invoked,
        returned: *returned,
    };
    calls.iter().map(made).collect()
}

fn wrong_histories_are_rejected() {
    use Call::{Clear, Draw, Stats, Store};
    use Outcome::{Cleared, Drawn, Refused, Stored};
    let counters = |fortunes, stores, clears| {
        Outcome::Stats(Counters {
            used: 2 * fortunes,
            fortunes,
            stores,
            clears,
            draws: 0,
        })
    };
    for (calls, linearizable) in [
        (&[][..], true),
        // One after the other, the older one comes first.
        (
            &[
                (Store(0), Stored, 1, 2),
                (Store(2), Stored, 3, 4),
                (Draw, Drawn(Some(0)), 5, 6),
            ],
            true,
        ),
        (
            &[
                (Store(0), Stored, 1, 2),
                (Store(2), Stored, 3, 4),
                (Draw, Drawn(Some(2)), 5, 6),
            ],
            false,
        ),
        // Of two stores at once, any.
        (
            &[
                (Store(0), Stored, 1, 4),
                (Store(2), Stored, 2, 3),
                (Draw, Drawn(Some(2)), 5, 6),
            ],
            true,
        ),
        // Nothing is drawn before it is stored, nor missed after that.
        (
            &[(Draw, Drawn(Some(0)), 1, 2), (Store(0), Stored, 3, 4)],
            false,
        ),
        (
            &[(Draw, Drawn(Some(0)), 1, 4), (Store(0), Stored, 2, 3)],
            true,
        ),
        (
            &[(Store(0), Stored, 1, 2), (Draw, Drawn(None), 3, 4)],
            false,
        ),
        // Two draws at once are of different fortunes.
        (
            &[
                (Store(0), Stored, 1, 2),
                (Store(2), Stored, 3, 4),
                (Draw, Drawn(Some(0)), 5, 8),
                (Draw, Drawn(Some(0)), 6, 7),
            ],
            false,
        ),
        // No room, if and only if there is none.
        (&[(Store(0), Refused, 1, 2)], false),
        (
            &[
                (Store(1), Stored, 1, 2),
                (Store(3), Stored, 3, 4),
                (Store(0), Stored, 5, 6),
            ],
            false,
        ),
        (
            &[
                (Store(1), Stored, 1, 2),
                (Store(3), Stored, 3, 4),
                (Store(0), Stored, 5, 8),
                (Clear, Cleared, 6, 7),
            ],
            true,
        ),
        // All counters are of one moment, which is not over yet and has come.
        (
            &[
                (Store(0), Stored, 1, 6),
                (Stats, counters(0, 0, 0), 2, 3),
                (Stats, counters(1, 1, 0), 4, 5),
            ],
            true,
        ),
        (
            &[
                (Store(0), Stored, 1, 6),
                (Stats, counters(1, 1, 0), 2, 3),
                (Stats, counters(0, 0, 0), 4, 5),
            ],
            false,
        ),
        (
            &[
                (Store(0), Stored, 1, 6),
                (Clear, Cleared, 2, 5),
                (Stats, counters(1, 0, 1), 3, 4),
            ],
            false,
        ),
    ] {
        assert_eq!(is_linearizable(&history(calls)), linearizable, "{calls:?}");
    }
}

fn histories_are_linearizable() {
    let histories = by_kernel(amount(500, 10_000), 50);
    let _module = Module::load(&format!("pot_size={SIZE}"));
    let (mut calls, mut overlapping, mut wrong) = (0, 0, 0);
    let (mut made, mut concurrent) = (0, 0);
    // How many calls come at the same time is up to the machine. Those of which few do are looked at, but don't count.
    while concurrent < histories {
        assert!(made < 20 * histories, "they wait for each other");
        progress(concurrent as usize, histories as usize);
        let mut history = record(made);
        assert!(is_linearizable(&history), "history {made}: {history:#?}");
        made += 1;
        let at_once = history
            .iter()
            .filter(|made| {
                let with =
                    |other: &&Made| other.invoked < made.returned && made.invoked < other.returned;
                // It does with itself.
                history.iter().filter(with).count() > 1
            })
            .count();
        calls += history.len();
        overlapping += at_once;
        concurrent += u64::from(at_once * 10 > history.len());
        // The same but for one draw is not, but for a few.
        let draws = history
            .iter_mut()
            .filter_map(|made| match &mut made.outcome {
                Outcome::Drawn(Some(number)) => Some(number),
                _ => None,
            });
        match draws.last() {
            Some(drawn) => *drawn = (*drawn + 1) % 40,
            None => continue,
        }
        wrong += u64::from(!is_linearizable(&history));
    }
    note(format!(
        "{calls} calls in {made} histories, {overlapping} at the same time as others; {wrong} histories are not \
         linearizable with one draw changed"
    ));
    assert!(wrong * 10 > made * 9);
    figure(
        "S3",
        "{}, all linearizable",
        &[Limit::amount(
            concurrent as usize,
            histories as usize,
            "histories",
        )],
    );
}

/// Makes a history.
fn record(number: u64) -> Vec<Made> {
    set("clear", "1").unwrap();
    let before = counters_of(|name| stats()[name]);
    let (clock, ready) = (AtomicU64::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (clock, ready, before) = (&clock, &ready, &before);
                scope.spawn(move || {
                    let files = Files::open();
                    let mut random = Rng::with_seed(number * THREADS as u64 + thread as u64);
                    let calls: Vec<Call> = (0..CALLS)
                        .map(|at| choose(&mut random, (thread * CALLS + at) as u8))
                        .collect();
                    // All at once.
                    ready.fetch_add(1, Ordering::SeqCst);
                    while ready.load(Ordering::SeqCst) < THREADS {
                        thread::yield_now();
                    }
                    let make = |call| {
                        let invoked = clock.fetch_add(1, Ordering::SeqCst);
                        let outcome = files.make(call, before);
                        let returned = clock.fetch_add(1, Ordering::SeqCst);
                        Made {
                            call,
                            outcome,
                            invoked,
                            returned,
                        }
                    };
                    calls.into_iter().map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn choose(random: &mut Rng, number: u8) -> Call {
    match random.u32(..100) {
        ..42 => Call::Store(number),
        42..82 => Call::Draw,
        82..88 => Call::Clear,
        _ => Call::Stats,
    }
}

fn counters_of(value: impl Fn(&str) -> u64) -> Counters {
    Counters {
        used: value("used"),
        fortunes: value("fortunes"),
        draws: value("draws"),
        stores: value("stores"),
        clears: value("clears"),
    }
}

/// What a thread makes its calls on.
struct Files {
    fortune: File,
    clear: File,
    stats: File,
}

impl Files {
    fn open() -> Self {
        let clear = OpenOptions::new()
            .write(true)
            .open(format!("{CONTROL}/clear"));
        Self {
            fortune: open(),
            clear: clear.unwrap(),
            stats: File::open(format!("{CONTROL}/stats")).unwrap(),
        }
    }

    fn make(&self, call: Call, before: &Counters) -> Outcome {
        let mut buffer = [0; 400];
        match call {
            Call::Store(number) => {
                let mut line = text(number);
                line.push(b'\n');
                match write(&self.fortune, &line) {
                    Ok(count) => {
                        assert_eq!(count, line.len());
                        Outcome::Stored
                    }
                    Err(error) => {
                        assert_eq!(error, Errno::ENOSPC);
                        Outcome::Refused
                    }
                }
            }
            Call::Draw => match pread(&self.fortune, &mut buffer, 0).unwrap() {
                0 => Outcome::Drawn(None),
                count => {
                    let number = buffer[0] - b'A';
                    assert_eq!(buffer[..count], [text(number), b"\n".to_vec()].concat());
                    Outcome::Drawn(Some(number))
                }
            },
            Call::Clear => {
                assert_eq!(write(&self.clear, b"1"), Ok(1));
                Outcome::Cleared
            }
            Call::Stats => {
                let count = pread(&self.stats, &mut buffer, 0).unwrap();
                let text = std::str::from_utf8(&buffer[..count]).unwrap();
                let value = |name: &str| {
                    let line = text
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                    line.unwrap().parse::<u64>().unwrap()
                };
                let now = counters_of(value);
                // What is in the pot was nothing before.
                Outcome::Stats(Counters {
                    draws: now.draws - before.draws,
                    stores: now.stores - before.stores,
                    clears: now.clears - before.clears,
                    ..now
                })
            }
        }
    }
}
