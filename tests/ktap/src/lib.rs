// SPDX-License-Identifier: GPL-2.0

//! Tests: how they are declared, chosen, run and reported, wherever they run.
//!
//! A program of tests says which ones it has (`list`), and runs those that it is asked for, one after the other. It reports in
//! KTAP (Documentation/dev-tools/ktap.rst): the plan first, so that a result that is missing is a failure.
//!
//! ```ignore
//! ktap::tests!(greetings, Guest:
//!     greets [R1],
//!     greets_many [R1 R2] needs(Stock),
//! );
//! ```

mod figure;
mod read;
mod run;
mod shown;

pub use figure::{Figure, Limit, MISSED, figure};
pub use read::{Ended, MISSING, Outcome, read, result};
pub use run::{amount, is_brief, log, note, program, progress, run, skip};
pub use shown::lasting;

use std::{fmt, str::FromStr};

/// An enum whose values are written as they are called.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_doc])* $value),*
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $(stringify!($value) => Ok(Self::$value),)*
                    _ => Err(format!("no {}: {word}", stringify!($name))),
                }
            }
        }
    };
}

words! {
    /// Where a test runs.
    Place {
        /// In a guest, with others.
        Guest,
        /// On the host, in the Debian root that has all tools.
        Host,
        /// There too, and starts guests of its own: the kernel complains, or keeps traces.
        Boot,
        /// On the host, outside of that root, since it makes roots itself.
        Machine,
    }
}

words! {
    /// What a test needs.
    Need {
        /// A kernel that this machine can run and that modules are built for in the Debian root of the tests.
        Kernel,
        /// Likewise, and as a distribution has it.
        Stock,
        /// A kernel that checks itself.
        Debug,
        /// The kernel on which instructions were counted before.
        Counted,
        /// Allocations and copies that can be made to fail.
        FaultInjection,
        /// Events of kprobes.
        Kprobes,
        /// Other modules, which use the one that is tested.
        Users,
        /// To be done once, and not on each kernel: it measures, or takes long.
        Once,
        /// To be asked for, by its name or by `make soak`.
        Asked,
        /// `make soak`.
        Soak,
    }
}

/// What a test is: a line that a program can print and another one can read.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// `group.what_it_shows`
    pub name: String,
    /// Where it runs.
    pub place: Place,
    /// What it needs.
    pub needs: Vec<Need>,
    /// The sentences of a contract that it shows, such as `R3`.
    pub sentences: Vec<String>,
}

impl Declaration {
    /// The group that it belongs to.
    pub fn group(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Whether a pattern is the test's group, begins as its name does, or is a sentence that it shows.
    pub fn is(&self, pattern: &str) -> bool {
        self.group() == pattern
            || (pattern.contains('.') && self.name.starts_with(pattern))
            || self.sentences.iter().any(|sentence| sentence == pattern)
    }
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.place, self.name)?;
        self.needs
            .iter()
            .try_for_each(|need| write!(f, " +{need:?}"))?;
        self.sentences.iter().try_for_each(|id| write!(f, " {id}"))
    }
}

impl FromStr for Declaration {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(|| format!("no test: {line}"));
        let (place, name) = (word()?.parse()?, word()?.to_owned());
        let (needs, sentences): (Vec<&str>, Vec<&str>) =
            words.partition(|word| word.starts_with('+'));
        Ok(Self {
            name,
            place,
            needs: needs
                .iter()
                .map(|need| need[1..].parse())
                .collect::<Result<_, _>>()?,
            sentences: sentences.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// Those of some tests that one of `patterns` chooses, or all if there are none. The whole name of a test chooses that one
/// only.
pub fn chosen<T>(tests: Vec<T>, patterns: &[&str], of: impl Fn(&T) -> &Declaration) -> Vec<T> {
    let is_name: Vec<bool> = patterns
        .iter()
        .map(|&pattern| tests.iter().any(|test| of(test).name == pattern))
        .collect();
    let is = |test: &Declaration| {
        patterns.is_empty()
            || patterns.iter().zip(&is_name).any(|(pattern, is_name)| {
                if *is_name {
                    test.name == *pattern
                } else {
                    test.is(pattern)
                }
            })
    };
    tests.into_iter().filter(|test| is(of(test))).collect()
}

/// A test.
pub struct Test {
    /// What it is.
    pub declaration: Declaration,
    /// Panics if it is not so.
    pub run: Box<dyn Fn()>,
}

impl Test {
    /// A test of which all is known beforehand: what [`tests`] makes.
    pub fn new(
        name: &str,
        place: Place,
        needs: [&[Need]; 2],
        sentences: &[&str],
        run: fn(),
    ) -> Self {
        Self {
            declaration: Declaration {
                name: name.to_owned(),
                place,
                needs: needs.concat(),
                sentences: sentences.iter().map(|&id| id.to_owned()).collect(),
            },
            run: Box::new(run),
        }
    }
}

/// Declares the tests of a module: their group, where they run, what all of them need; and for each function the sentences of
/// a contract that it shows, and what it needs itself.
#[macro_export]
macro_rules! tests {
    ($group:ident, $place:ident $(, $need:ident)*:
     $($name:ident $([$($sentence:ident)*])? $(needs($($own:ident)*))?),* $(,)?) => {
        pub(crate) fn tests() -> Vec<$crate::Test> {
            let needs: &[$crate::Need] = &[$($crate::Need::$need),*];
            vec![$($crate::Test::new(
                concat!(stringify!($group), ".", stringify!($name)),
                $crate::Place::$place,
                [needs, &[$($($crate::Need::$own),*)?]],
                &[$($(stringify!($sentence)),*)?],
                $name,
            )),*]
        }
    };
}
