// SPDX-License-Identifier: GPL-2.0

//! How far the tests are: a line on the terminal, if it is one.

use crate::jobs::at_once;
use ktap::{Declaration, Place};
use std::{
    collections::HashMap,
    fs,
    io::{self, IsTerminal, Write},
    process::Command,
    sync::Mutex,
    time::Instant,
};

/// How many seconds each test took, and where, the last time.
const TIMES: &str = "build/times";

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
    /// How many seconds each of those to come took the last time.
    left: HashMap<String, f32>,
}

/// What a test at a place is called in a list of times.
fn at(place: &str, name: &str) -> String {
    let name = name.split(' ').next().unwrap_or_default();
    format!("{place}: {name}")
}

/// Keeps how many seconds tests took, beside those that are known of others.
pub(crate) fn keep<'a>(times: impl Iterator<Item = (f32, &'a str)>) -> io::Result<()> {
    let mut known = known();
    known.extend(times.map(|(seconds, what)| {
        let (place, name) = what.split_once(": ").unwrap_or_default();
        (at(place, name), seconds)
    }));
    let lines = known
        .iter()
        .map(|(what, seconds)| format!("{seconds} {what}\n"));
    fs::write(TIMES, lines.collect::<String>())
}

fn known() -> HashMap<String, f32> {
    let text = fs::read_to_string(TIMES).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter_map(|(seconds, what)| Some((what.to_owned(), seconds.parse().ok()?)))
        .collect()
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
    /// Says what is to come: these tests, those of guests on these kernels.
    pub(crate) fn expect(&self, tests: &[Declaration], kernels: &[String]) {
        let known = known();
        let mut counts = self.counts.lock().expect("nobody panics with it");
        for test in tests {
            let host = ["host".to_owned()];
            let places = match test.place {
                Place::Guest => kernels,
                _ => &host,
            };
            counts.all += places.len();
            let whats = places.iter().map(|place| at(place, &test.name));
            counts
                .left
                .extend(whats.filter_map(|what| Some((what.clone(), *known.get(&what)?))));
        }
    }

    /// Says that of the tests of guests only these come on a kernel.
    pub(crate) fn leave_out(&self, kernel: &str, tests: &[Declaration], names: &[&str]) {
        let mut counts = self.counts.lock().expect("nobody panics with it");
        let of_guests = tests.iter().filter(|test| test.place == Place::Guest);
        for test in of_guests.filter(|test| !names.contains(&test.name.as_str())) {
            counts.all -= 1;
            counts.left.remove(&at(kernel, &test.name));
        }
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
        counts.left.remove(&at(place, name));
        if !self.live {
            return;
        }
        let seconds = self.begun.elapsed().as_secs();
        let failed = match counts.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let left = counts.left.values().sum::<f32>() / at_once() as f32;
        let left = match counts.left.is_empty() {
            true => String::new(),
            false => format!(", about {left:.0} s left"),
        };
        let line = format!(
            "[{}/{}] {seconds} s{left}{failed}: {place} {name}",
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
