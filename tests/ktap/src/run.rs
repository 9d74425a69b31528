// SPDX-License-Identifier: GPL-2.0

//! Runs tests and reports.

use crate::{Declaration, Place, Test, chosen, read::SECONDS};
use std::{
    fs,
    io::Write,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// How much tests are to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    /// What they promise is to be shown, and nothing measured: on kernels beside the one that has all tests.
    Brief,
    /// `make test`
    Gate,
    /// `make soak`
    Soak,
}

static AMOUNT: OnceLock<Amount> = OnceLock::new();

/// What the tests have to show beside their results.
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Shows a line with the result of the test that runs, also if it passes.
pub fn note(line: String) {
    NOTES.lock().unwrap().push(line);
}

/// How far the test that runs has come: its name, when it began, and when that was shown last.
static PROGRESS: Mutex<Option<(String, Instant, Instant)>> = Mutex::new(None);

/// In a soak, shows now and then that `done` of `all` is done.
pub fn progress(done: usize, all: usize) {
    const OFTEN: Duration = Duration::from_secs(10);
    let mut progress = PROGRESS.lock().unwrap();
    let Some((name, begun, shown)) = progress.as_mut() else {
        return;
    };
    if !amount(false, true) || shown.elapsed() < OFTEN {
        return;
    }
    *shown = Instant::now();
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    let left = (all - done) as f64 / rate / 60.;
    println!("# progress: {name}: {done} of {all}, {rate:.0} a second, {left:.0} min left");
}

/// Why a test can't be made here.
struct Skip(String);

/// Ends a test that can't be made here.
pub fn skip(reason: &str) -> ! {
    panic::panic_any(Skip(reason.to_owned()))
}

/// How much of something a test is to do: `gate` in `make test`, `full` in `make soak`.
pub fn amount<T>(gate: T, full: T) -> T {
    if AMOUNT.get() == Some(&Amount::Soak) {
        full
    } else {
        gate
    }
}

/// Whether what tests promise is to be shown, and nothing measured.
pub fn is_brief() -> bool {
    AMOUNT.get() == Some(&Amount::Brief)
}

/// Does what a program of tests is asked for: `list`s them, or runs those that `words` choose, to the amount that the verb
/// `contract`, `test` or `soak` says. `lacks` says why a test can't be made here, if it can't. Returns nothing if the verb is
/// none of these.
pub fn program(
    verb: &str,
    words: &[&str],
    tests: Vec<Test>,
    lacks: impl Fn(&Declaration) -> Option<String>,
) -> Option<ExitCode> {
    let amount = match verb {
        "list" => {
            for test in tests {
                println!("{}", test.declaration);
            }
            return Some(ExitCode::SUCCESS);
        }
        "contract" => Amount::Brief,
        "test" => Amount::Gate,
        "soak" => Amount::Soak,
        _ => return None,
    };
    AMOUNT.get_or_init(|| amount);
    Some(run(&chosen(tests, words, |test| &test.declaration), lacks))
}

/// Runs these tests.
pub fn run(tests: &[Test], lacks: impl Fn(&Declaration) -> Option<String>) -> ExitCode {
    println!("KTAP version 1");
    println!("1..{}", tests.len());

    // Of all threads of a test, the one that fails first says most.
    let said = Arc::new(Mutex::new(String::new()));
    let hook = Arc::clone(&said);
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Skip>() {
            *hook.lock().unwrap() += &format!("{info}\n");
        }
    }));

    let mut failed = false;
    for (number, Test { declaration, run }) in tests.iter().enumerate() {
        let name = &declaration.name;
        if declaration.place == Place::Guest {
            log(6, &format!("test {name}"));
        }
        let now = Instant::now();
        *PROGRESS.lock().unwrap() = Some((name.clone(), now, now));
        let result = panic::catch_unwind(AssertUnwindSafe(|| match lacks(declaration) {
            Some(reason) => skip(&reason),
            None => run(),
        }));
        let said = std::mem::take(&mut *said.lock().unwrap());
        let notes = std::mem::take(&mut *NOTES.lock().unwrap());
        for line in notes.iter().flat_map(|note| note.lines()) {
            println!("# {line}");
        }
        let skipped = result
            .as_ref()
            .err()
            .and_then(|payload| payload.downcast_ref::<Skip>());
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
        let shows = declaration.sentences.iter();
        let shows: String = shows.map(|id| format!(" [{id}]")).collect();
        println!("# {SECONDS}{:.1}", now.elapsed().as_secs_f32());
        println!("{not}ok {} {name}{shows}{reason}", number + 1);
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Writes a line to the kernel log at one of its levels, so that one can tell what the kernel said during which test.
pub fn log(level: u8, line: &str) {
    let kmsg = fs::OpenOptions::new().write(true).open("/dev/kmsg");
    kmsg.and_then(|mut kmsg| kmsg.write_all(format!("<{level}>guest: {line}\n").as_bytes()))
        .expect("/dev/kmsg takes a line");
}
