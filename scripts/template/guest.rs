// SPDX-License-Identifier: GPL-2.0

//! The program for the guest: `make run`, and the tests.

use std::{env, fs, process::Command, process::ExitCode};

ktap::tests!(NAME, Guest: greets, comes_and_goes);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["play"] => {
            run("insmod", "NAME.ko");
            run("cat", "/proc/NAME");
            ExitCode::SUCCESS
        }
        ["test", patterns @ ..] => {
            ktap::program("test", patterns, tests(), |_| None).unwrap_or(ExitCode::FAILURE)
        }
        _ => {
            eprintln!("usage: guest play | test [PATTERN…]");
            ExitCode::from(2)
        }
    }
}

fn run(program: &str, argument: &str) {
    let status = Command::new(program).arg(argument).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {argument}: {status}");
}

fn greets() {
    run("insmod", "NAME.ko");
    let greeting = fs::read_to_string("/proc/NAME");
    run("rmmod", "NAME");
    assert_eq!(greeting.unwrap(), "Hello from the kernel\n");
}

fn comes_and_goes() {
    for _ in 0..100 {
        run("insmod", "NAME.ko");
        run("rmmod", "NAME");
        assert!(fs::metadata("/proc/NAME").is_err());
    }
}
