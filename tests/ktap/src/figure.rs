// SPDX-License-Identifier: GPL-2.0

//! What tests measure, and what is to be reached.

use crate::{
    read::FIGURE,
    run::{is_brief, note},
};
use std::{fmt, time::Duration};

/// What is said of a value that does not reach what it should.
pub const MISSED: &str = "MISSED";

/// A value that was measured, what it is to be, and what it must be.
#[derive(Clone, Debug)]
pub struct Limit {
    /// As it is shown, with its unit.
    measured: String,
    /// As it is shown.
    is_to_be: String,
    /// Whether it is so.
    reached: bool,
    /// Whether a test that finds it so has passed.
    holds: bool,
    /// It is less where less is tried.
    is_amount: bool,
}

/// What can be measured.
pub trait Value: PartialOrd {
    /// As it is shown.
    fn shown(&self) -> String;
}

/// Those that are shown in full.
macro_rules! whole {
    ($($number:ty),*) => {
        $(impl Value for $number {
            fn shown(&self) -> String {
                self.to_string()
            }
        })*
    };
}

whole!(i32, i64, u64, usize);

impl Value for f64 {
    fn shown(&self) -> String {
        let text = format!("{self:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Value for Duration {
    fn shown(&self) -> String {
        format!("{self:.1?}").replace(".0", "")
    }
}

/// With its unit: a time has its own.
fn with_unit(value: &impl Value, unit: &str) -> String {
    let text = format!("{} {unit}", value.shown());
    text.trim_end().to_owned()
}

impl Limit {
    fn new<T: Value>(measured: &T, how: &str, limit: &T, unit: &str, reached: bool) -> Self {
        Self {
            measured: with_unit(measured, unit),
            is_to_be: format!("{how} {}", with_unit(limit, unit)),
            reached,
            holds: reached,
            is_amount: false,
        }
    }

    /// So much was done, and not less: on kernels where nothing is measured it is less.
    pub fn amount(measured: usize, limit: usize, unit: &str) -> Self {
        Self {
            is_amount: true,
            ..Self::least(measured, limit, unit)
        }
    }

    /// It is not less.
    pub fn least<T: Value>(measured: T, limit: T, unit: &str) -> Self {
        Self::new(&measured, "≥", &limit, unit, measured >= limit)
    }

    /// It is not more.
    pub fn most<T: Value>(measured: T, limit: T, unit: &str) -> Self {
        Self::new(&measured, "≤", &limit, unit, measured <= limit)
    }

    /// It is just that.
    pub fn exactly<T: Value>(measured: T, limit: T, unit: &str) -> Self {
        Self::new(&measured, "=", &limit, unit, measured == limit)
    }

    /// It is not further away from something than that.
    pub fn within(measured: f64, middle: f64, distance: f64, unit: &str) -> Self {
        let reached = (measured - middle).abs() <= distance;
        let limit = Self::new(&measured, "=", &middle, unit, reached);
        Self {
            is_to_be: format!("{} ± {}", limit.is_to_be, distance.shown()),
            ..limit
        }
    }

    /// It is to be so, but what others do on this machine can spoil it: a test fails unless that other limit of the value
    /// holds.
    pub fn or_else(self, fails: Self) -> Self {
        assert_eq!(self.measured, fails.measured, "it is the same value");
        if self.is_to_be == fails.is_to_be {
            return self;
        }
        Self {
            is_to_be: format!("{} (must be {})", self.is_to_be, fails.is_to_be),
            holds: fails.holds,
            ..self
        }
    }

    /// It is to be so, and no test fails if it is not.
    pub fn wished(self) -> Self {
        Self {
            is_to_be: format!("{} (wished)", self.is_to_be),
            holds: true,
            ..self
        }
    }

    /// What it is to be.
    pub fn is_to_be(&self) -> &str {
        &self.is_to_be
    }

    /// Whether it is that.
    pub fn is_reached(&self) -> bool {
        self.reached
    }

    /// Whether a test that finds it so has passed.
    pub fn holds(&self) -> bool {
        self.holds
    }
}

/// What a test has measured.
pub struct Figure {
    text: String,
    limits: Vec<Limit>,
}

impl Figure {
    /// One that is called `id`, such as S1. In `words`, `{}` stands for a value, in the order of the limits: what is shown is
    /// what is compared.
    pub fn new(id: &str, words: &str, limits: &[Limit]) -> Self {
        let mut pieces = words.split("{}");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        let pieces: Vec<&str> = pieces.collect();
        assert_eq!(pieces.len(), limits.len(), "{words}");
        for (limit, piece) in limits.iter().zip(pieces) {
            text += &limit.measured;
            text += piece;
        }
        Self {
            text: format!("{id:<4} {text}"),
            limits: limits.to_vec(),
        }
    }

    /// What to fail with, where it is not as it must be.
    pub fn failure(&self) -> Option<String> {
        let mut limits = self.limits.iter();
        let holds = limits.all(|limit| limit.holds || (is_brief() && limit.is_amount));
        // Not with what lines begin that are put in a table.
        (!holds).then(|| self.to_string()[FIGURE.len()..].to_owned())
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = self.limits.iter().map(|limit| match limit.reached {
            true => limit.is_to_be.clone(),
            false => format!("{}: {MISSED}", limit.is_to_be),
        });
        let limits: Vec<String> = limits.collect();
        write!(
            f,
            "{FIGURE}{}; to be reached: {}",
            self.text,
            limits.join(", ")
        )
    }
}

/// Shows a figure of a test, and fails if it is not as it must be. They come together in a table at the end of all tests.
#[track_caller]
pub fn figure(id: &str, words: &str, limits: &[Limit]) {
    let figure = Figure::new(id, words, limits);
    if !is_brief() {
        note(figure.to_string());
    }
    if let Some(why) = figure.failure() {
        panic!("{why}");
    }
}
