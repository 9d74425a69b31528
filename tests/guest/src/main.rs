// SPDX-License-Identifier: GPL-2.0

//! The one program of the guest: PID 1, and the tests that talk to the kernel.

mod init;
mod ktap;
mod memory;
mod module;
mod transcript;

mod loading;
mod others;
mod proc_fs;
mod reads;
mod unloading;
mod writes;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["play"] => transcript::play(),
        ["test", patterns @ ..] => {
            let mut tests = Vec::new();
            tests.extend(transcript::TESTS);
            tests.extend(loading::TESTS);
            tests.extend(reads::TESTS);
            tests.extend(writes::TESTS);
            tests.extend(others::TESTS);
            tests.extend(unloading::TESTS);
            tests.extend(proc_fs::TESTS);
            ktap::run(&tests, patterns)
        }
        _ => {
            eprintln!("usage: guest play | guest test [PATTERN…]");
            ExitCode::from(2)
        }
    }
}
