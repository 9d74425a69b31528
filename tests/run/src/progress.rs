// SPDX-License-Identifier: GPL-2.0

//! How far the tests are: a line on the terminal, if it is one.

use ktap::{Declaration, Place};
use std::{
    io::{self, IsTerminal, Write},
    process::Command,
    sync::Mutex,
    time::Instant,
};

/// How far they are.
pub(crate) struct Progress {
    counts: Mutex<Counts>,
    begun: Instant,
    /// It is shown.
    live: bool,
}

#[derive(Default)]
struct Counts {
    all: usize,
    done: usize,
    failed: usize,
}

impl Default for Progress {
    fn default() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        Self {
            counts: Mutex::default(),
            begun: Instant::now(),
            live: io::stderr().is_terminal() && !dumb,
        }
    }
}

impl Progress {
    /// Says what is to come: these tests, those of guests on so many kernels.
    pub(crate) fn expect(&self, tests: &[Declaration], kernels: usize) {
        let of = |test: &Declaration| match test.place {
            Place::Guest => kernels,
            _ => 1,
        };
        self.counts.lock().expect("nobody panics with it").all = tests.iter().map(of).sum();
    }

    /// Takes a line of what tests at a place report.
    pub(crate) fn result(&self, place: &str, line: &str) {
        let (failed, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return,
        };
        let name = rest.split(' ').nth(1).unwrap_or_default();
        let mut counts = self.counts.lock().expect("nobody panics with it");
        counts.done += 1;
        counts.failed += usize::from(failed);
        if !self.live {
            return;
        }
        let seconds = self.begun.elapsed().as_secs();
        let failed = match counts.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let line = format!(
            "[{}/{}] {place}: {name}, {seconds} s{failed}",
            counts.done, counts.all
        );
        let line: String = line.chars().take(width().saturating_sub(1)).collect();
        eprint!("\r{line}\x1b[K");
        let _ = io::stderr().flush();
    }

    /// Shows a line of its own.
    pub(crate) fn say(&self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }

    /// Makes room for other lines.
    pub(crate) fn clear(&self) {
        if self.live {
            eprint!("\r\x1b[K");
        }
    }
}

/// That of the terminal, as it is now.
fn width() -> usize {
    let tput = Command::new("tput").arg("cols").output();
    let columns = tput
        .ok()
        .and_then(|tput| String::from_utf8(tput.stdout).ok());
    columns
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(80)
}
