// SPDX-License-Identifier: GPL-2.0

//! How far the tests are: a line on the terminal, if it is one.

use crate::jobs::at_once;
use ktap::{Declaration, Place};
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    process::{Command, Stdio},
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
    /// `test` or `soak`.
    verb: &'static str,
    /// On which kernels the tests of the host run.
    kernels: String,
}

#[derive(Default)]
struct Counts {
    all: usize,
    done: usize,
    failed: usize,
    /// How many seconds each of those to come took the last time.
    left: HashMap<String, f32>,
    /// Which failures were shown already.
    shown: HashSet<String>,
}

impl Counts {
    /// How far they are after `seconds`, when `what` has ended: so many columns at most.
    fn line(&self, seconds: u64, what: &str, columns: usize) -> String {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let left = self.left.values().sum::<f32>() / at_once() as f32;
        let left = match self.left.is_empty() {
            true => String::new(),
            false => format!(", about {left:.0} s left"),
        };
        let line = format!(
            "[{}/{}] {what} {seconds} s{left}{failed}",
            self.done, self.all
        );
        line.chars().take(columns).collect()
    }
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

impl Progress {
    /// For `make VERB`; those of the host run on these kernels.
    pub(crate) fn new(verb: &'static str, kernels: &[String]) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        Self {
            counts: Mutex::default(),
            begun: Instant::now(),
            live: io::stderr().is_terminal() && !dumb,
            verb,
            kernels: kernels.join(" "),
        }
    }

    /// The command that runs a test at a place again.
    pub(crate) fn again(&self, place: &str, name: &str) -> String {
        let kernels = match place {
            "host" => self.kernels.as_str(),
            kernel => kernel,
        };
        let quote = if kernels.contains(' ') { "'" } else { "" };
        let name = name.split(' ').next().unwrap_or_default();
        format!(
            "make {} TESTS={name} KERNELS={quote}{kernels}{quote}",
            self.verb
        )
    }

    /// Shows a failure at once, with what the test has said.
    pub(crate) fn failed(&self, place: &str, name: &str, said: &str) {
        self.clear();
        let what = format!("{place}: {name}");
        println!("FAILED  {what}");
        said.lines().for_each(|line| println!("        | {line}"));
        println!("        again: {}", self.again(place, name));
        let mut counts = self.counts.lock().expect("nobody panics with it");
        counts.shown.insert(what);
    }

    /// Whether a failure was shown.
    pub(crate) fn has_shown(&self, what: &str) -> bool {
        let counts = self.counts.lock().expect("nobody panics with it");
        counts.shown.contains(what)
    }

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
        let line = counts.line(
            seconds,
            &format!("{place} {name}"),
            width().saturating_sub(1),
        );
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
    let size = || -> io::Result<String> {
        let terminal = io::stderr().as_fd().try_clone_to_owned()?;
        let stty = Command::new("stty")
            .arg("size")
            .stdin(terminal)
            .stderr(Stdio::null())
            .output()?;
        String::from_utf8(stty.stdout).map_err(io::Error::other)
    };
    let size = size().unwrap_or_default();
    let columns = size
        .split_whitespace()
        .nth(1)
        .and_then(|columns| columns.parse().ok());
    // Some know none, and say 0.
    columns.filter(|columns| *columns > 0).unwrap_or(80)
}

pub(crate) mod tests {
    use super::{Counts, Progress};

    ktap::tests!(progress, Host: fits_the_terminal, says_how_to_run_it_again);

    fn fits_the_terminal() {
        let mut counts = Counts {
            all: 796,
            done: 37,
            ..Counts::default()
        };
        let what = "debug-7.2 stress.under_users";
        assert_eq!(
            counts.line(41, what, 79),
            "[37/796] debug-7.2 stress.under_users 41 s"
        );
        assert_eq!(counts.line(41, what, 20), "[37/796] debug-7.2 s");
        counts.failed = 1;
        assert_eq!(
            counts.line(41, what, 132),
            "[37/796] debug-7.2 stress.under_users 41 s, 1 failed"
        );
    }

    fn says_how_to_run_it_again() {
        let progress = Progress::new("test", &["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            progress.again("b", "reads.whole [R1]"),
            "make test TESTS=reads.whole KERNELS=b"
        );
        assert_eq!(
            progress.again("host", "pot.wraps"),
            "make test TESTS=pot.wraps KERNELS='a b'"
        );
    }
}
