// SPDX-License-Identifier: GPL-2.0

//! Runs tests and reports in KTAP (Documentation/dev-tools/ktap.rst): the plan first, so that a
//! result that is missing is a failure.

use std::{
    fs,
    io::Write,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A test.
pub(crate) struct Test {
    /// `group.what_it_shows`
    pub(crate) name: &'static str,
    /// The sentences of the README that it shows, such as `R3`.
    pub(crate) sentences: &'static [&'static str],
    /// Panics if it is not so.
    pub(crate) run: fn(),
}

impl Test {
    /// Whether it is chosen: by the beginning of its name, or by a sentence.
    fn is(&self, pattern: &str) -> bool {
        self.name.starts_with(pattern) || self.sentences.contains(&pattern)
    }
}

/// Makes the list of the tests of a module: their names are those of its functions, and those of the sentences
/// stand in brackets.
#[macro_export]
macro_rules! tests {
    ($group:ident: $($name:ident $([$($sentence:ident)*])?),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::ktap::Test] = &[$($crate::ktap::Test {
            name: concat!(stringify!($group), ".", stringify!($name)),
            sentences: &[$($(stringify!($sentence)),*)?],
            run: $name,
        }),*];
    };
}

/// What the tests have to show beside their results.
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Shows a line with the result of the test that runs, also if it passes.
pub(crate) fn note(line: String) {
    NOTES.lock().unwrap().push(line);
}

/// Shows a figure of a test, such as R1: what was measured, and what is to be reached. They come
/// together in a table at the end of all tests.
pub(crate) fn figure(id: &str, measured: String, target: &str) {
    if is_brief() {
        return;
    }
    note(format!(
        "figure: {id:<4} {measured}; to be reached: {target}"
    ));
}

/// How far the test that runs has come: its name, when it began, and when that was shown last.
static PROGRESS: Mutex<Option<(&str, Instant, Instant)>> = Mutex::new(None);

/// In a soak, shows now and then that `done` of `all` is done.
pub(crate) fn progress(done: usize, all: usize) {
    const OFTEN: Duration = Duration::from_secs(10);
    let mut progress = PROGRESS.lock().unwrap();
    let Some((name, begun, shown)) = progress.as_mut() else {
        return;
    };
    if !SOAK.load(Ordering::Relaxed) || shown.elapsed() < OFTEN {
        return;
    }
    *shown = Instant::now();
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let left = (all - done) as f64 / rate / 60.;
    println!("# progress: {name}: {done} of {all}, {rate:.0} a second, {left:.0} min left");
}

/// Why a test can't be made here.
struct Skip(String);

/// Ends a test that this kernel does not allow.
pub(crate) fn skip(reason: &str) -> ! {
    panic::panic_any(Skip(reason.to_owned()))
}

static SOAK: AtomicBool = AtomicBool::new(false);

/// How much of something a test is to do: `gate` in `make test`, `full` in `make soak`.
pub(crate) fn amount<T>(gate: T, full: T) -> T {
    if SOAK.load(Ordering::Relaxed) {
        full
    } else {
        gate
    }
}

static BRIEF: AtomicBool = AtomicBool::new(false);

/// Whether what tests promise is to be shown, and nothing measured: on kernels beside the one that has all tests.
pub(crate) fn is_brief() -> bool {
    BRIEF.load(Ordering::Relaxed)
}

/// Runs tests briefly.
pub(crate) fn brief(tests: &[&Test], patterns: &[&str]) -> ExitCode {
    BRIEF.store(true, Ordering::Relaxed);
    run(tests, patterns)
}

/// Runs tests to their full amounts.
pub(crate) fn soak(tests: &[&Test], patterns: &[&str]) -> ExitCode {
    SOAK.store(true, Ordering::Relaxed);
    run(tests, patterns)
}

/// Runs the tests that one of `patterns` chooses, or all if there are none.
pub(crate) fn run(tests: &[&Test], patterns: &[&str]) -> ExitCode {
    let chosen: Vec<&Test> = tests
        .iter()
        .copied()
        .filter(|test| patterns.is_empty() || patterns.iter().any(|pattern| test.is(pattern)))
        .collect();
    println!("KTAP version 1");
    println!("1..{}", chosen.len());

    // Of all threads of a test, the one that fails first says most.
    let said = Arc::new(Mutex::new(String::new()));
    let hook = Arc::clone(&said);
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Skip>() {
            *hook.lock().unwrap() += &format!("{info}\n");
        }
    }));

    let mut failed = false;
    for (number, test) in chosen.iter().enumerate() {
        log(6, &format!("test {}", test.name));
        let now = Instant::now();
        *PROGRESS.lock().unwrap() = Some((test.name, now, now));
        let result = panic::catch_unwind(AssertUnwindSafe(test.run));
        let said = std::mem::take(&mut *said.lock().unwrap());
        for line in NOTES.lock().unwrap().drain(..) {
            println!("# {line}");
        }
        let skipped = result
            .as_ref()
            .err()
            .and_then(|payload| payload.downcast_ref::<Skip>());
        let sentences: String = test.sentences.iter().map(|id| format!(" [{id}]")).collect();
        let (not, reason) = match (&result, skipped) {
            (Ok(()), _) => ("", String::new()),
            (_, Some(Skip(reason))) => ("", format!(" # SKIP {reason}")),
            (Err(_), None) => {
                failed = true;
                for line in said.lines() {
                    println!("# {line}");
                }
                ("not ", String::new())
            }
        };
        println!("# seconds: {:.1}", now.elapsed().as_secs_f32());
        println!("{not}ok {} {}{sentences}{reason}", number + 1, test.name);
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Writes a line to the kernel log at one of its levels, so that one can tell what the kernel said during which test.
pub(crate) fn log(level: u8, line: &str) {
    let kmsg = fs::OpenOptions::new().write(true).open("/dev/kmsg");
    kmsg.and_then(|mut kmsg| kmsg.write_all(format!("<{level}>guest: {line}\n").as_bytes()))
        .expect("/dev/kmsg takes a line");
}
