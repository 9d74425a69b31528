// SPDX-License-Identifier: GPL-2.0

//! What fails in an execution: waits that a signal ends, memory that is lacking, and copies that fault.

use shuttle::rand::{thread_rng, Rng};
use std::cell::Cell;

/// Which of all that can fail does.
#[derive(Clone, Copy, Debug)]
pub enum Fails {
    /// The one of that number, if there are so many.
    Nth(usize),
    /// One in so many, by shuttle's random numbers.
    OneIn(u32),
}

thread_local! {
    static FAILS: Cell<Fails> = const { Cell::new(Fails::Nth(usize::MAX)) };
    /// How many could have failed in this execution, and how many random numbers were asked for.
    static COUNT: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

/// Begins an execution.
pub fn begin(fails: Fails) {
    FAILS.set(fails);
    COUNT.set((0, 0));
}

/// How many could have failed so far.
pub fn could_fail() -> usize {
    COUNT.get().0
}

/// Whether what can fail does so now.
pub(crate) fn fails() -> bool {
    let (count, numbers) = COUNT.get();
    COUNT.set((count + 1, numbers));
    match FAILS.get() {
        Fails::Nth(nth) => count == nth,
        Fails::OneIn(n) => thread_rng().gen_ratio(1, n),
    }
}

/// A number less than `n`, which only depends on how many there were before where shuttle has none.
pub(crate) fn below(n: u32) -> u32 {
    let (count, numbers) = COUNT.get();
    COUNT.set((count, numbers + 1));
    match FAILS.get() {
        _ if n == 0 => 0,
        Fails::Nth(_) => numbers % n,
        Fails::OneIn(_) => thread_rng().gen_range(0..n),
    }
}
