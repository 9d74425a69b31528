// SPDX-License-Identifier: GPL-2.0

//! The tests of the module, which run in a guest.

use std::{env, fs, process::Command, process::ExitCode};

ktap::tests!(hello, Guest: greets, comes_and_goes);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let end = match arguments.as_slice() {
        [verb, patterns @ ..] => ktap::program(verb, patterns, tests(), |_| None),
        [] => None,
    };
    end.unwrap_or_else(|| {
        eprintln!("usage: guest list | guest test [PATTERN…]");
        ExitCode::from(2)
    })
}

const FILE: &str = "/proc/hello";

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status();
    let status = status.unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(status.success(), "{command}: {status}");
}

fn greets() {
    run("insmod hello.ko");
    let greeting = fs::read_to_string(FILE);
    run("rmmod hello");
    assert_eq!(greeting.unwrap(), "Hello from the kernel\n");
}

fn comes_and_goes() {
    for _ in 0..10 {
        run("insmod hello.ko");
        run("rmmod hello");
        assert!(fs::metadata(FILE).is_err());
    }
}
