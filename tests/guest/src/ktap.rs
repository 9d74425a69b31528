// SPDX-License-Identifier: GPL-2.0

//! Runs tests and reports in KTAP (Documentation/dev-tools/ktap.rst): the plan first, so that a
//! result that is missing is a failure.

use std::{
    fs,
    io::Write,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex},
};

/// A test: a name, `group.what_it_shows`, and a function that panics if it is not so.
pub(crate) type Test = (&'static str, fn());

/// Makes the list of the tests of a module: their names are those of its functions.
#[macro_export]
macro_rules! tests {
    ($group:ident: $($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::ktap::Test] =
            &[$((concat!(stringify!($group), ".", stringify!($name)), $name)),*];
    };
}

/// Runs the tests whose names begin with one of `patterns`, or all if there are none.
pub(crate) fn run(tests: &[Test], patterns: &[&str]) -> ExitCode {
    let chosen: Vec<&Test> = tests
        .iter()
        .filter(|(name, _)| patterns.is_empty() || patterns.iter().any(|p| name.starts_with(p)))
        .collect();
    println!("KTAP version 1");
    println!("1..{}", chosen.len());

    // Of all threads of a test, the one that fails first says most.
    let said = Arc::new(Mutex::new(String::new()));
    let hook = Arc::clone(&said);
    panic::set_hook(Box::new(move |info| {
        *hook.lock().unwrap() += &format!("{info}\n")
    }));

    let mut failed = false;
    for (number, (name, test)) in chosen.iter().enumerate() {
        log(&format!("test {name}"));
        let passed = panic::catch_unwind(AssertUnwindSafe(test)).is_ok();
        let said = std::mem::take(&mut *said.lock().unwrap());
        if !passed {
            failed = true;
            for line in said.lines() {
                println!("# {line}");
            }
        }
        let not = if passed { "" } else { "not " };
        println!("{not}ok {} {name}", number + 1);
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Writes a line to the kernel log, so that one can tell what the kernel said during which test.
pub(crate) fn log(line: &str) {
    let kmsg = fs::OpenOptions::new().write(true).open("/dev/kmsg");
    kmsg.and_then(|mut kmsg| kmsg.write_all(format!("<6>guest: {line}").as_bytes()))
        .expect("/dev/kmsg takes a line");
}
