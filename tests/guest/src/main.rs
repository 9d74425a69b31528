// SPDX-License-Identifier: GPL-2.0

//! The tests that talk to the kernel.

mod attacks;
mod coverage;
mod ktap;
mod memory;
mod module;
mod transcript;

// By the time stamp counter of x86.
#[cfg(target_arch = "x86_64")]
mod bench;
mod calls;
mod classic;
mod control;
mod faults;
mod files;
mod fuzz;
mod linear;
mod loading;
mod others;
mod permissions;
mod proc_fs;
mod reads;
mod stress;
mod tools;
mod torture;
mod unloading;
mod writes;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["play"] => transcript::play(),
        [verb @ ("test" | "contract" | "soak"), patterns @ ..] => {
            let contract = [
                transcript::TESTS,
                loading::TESTS,
                reads::TESTS,
                writes::TESTS,
                files::TESTS,
                control::TESTS,
                calls::TESTS,
                permissions::TESTS,
                classic::TESTS,
                others::TESTS,
                unloading::TESTS,
                linear::TESTS,
                tools::TESTS,
                proc_fs::TESTS,
                attacks::TESTS,
            ];
            let more = [faults::TESTS, fuzz::TESTS, torture::TESTS, stress::TESTS];
            let mut tests: Vec<_> = contract.into_iter().flatten().collect();
            if *verb != "contract" {
                tests.extend(more.into_iter().flatten());
            }
            coverage::begin();
            let end = match *verb {
                "soak" => ktap::soak(&tests, patterns),
                "contract" => ktap::brief(&tests, patterns),
                _ => ktap::run(&tests, patterns),
            };
            coverage::end();
            end
        }
        #[cfg(target_arch = "x86_64")]
        ["bench", words @ ..] => end(bench::run(words)),
        ["classic", words @ ..] => classic::catch(words),
        #[cfg(target_arch = "x86_64")]
        ["descriptors"] => end(bench::descriptors()),
        ["stall", call @ ("read" | "write")] => stress::stall(call),
        ["fuzz", words @ ..] => fuzz::run(words),
        _ => {
            eprintln!(
                "usage: guest play | guest test|contract|soak [PATTERN…] | guest classic [fortune] NUMBER… | guest fuzz SEED [CALLS] | guest bench WORD… | guest descriptors | guest stall read|write"
            );
            ExitCode::from(2)
        }
    }
}

fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
