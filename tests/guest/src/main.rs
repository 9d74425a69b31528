// SPDX-License-Identifier: GPL-2.0

//! The tests that talk to the kernel.

mod attacks;
mod coverage;
mod memory;
mod module;
mod transcript;

// By the time stamp counter of x86.
#[cfg(target_arch = "x86_64")]
mod bench;
mod bounds;
mod calls;
mod control;
mod documents;
mod faults;
mod files;
mod fuzz;
mod guided;
mod hung;
mod linear;
mod loading;
mod others;
mod permissions;
mod proc_fs;
mod reads;
mod stress;
mod suites;
mod symbols;
mod tools;
mod torture;
mod unloading;
mod writes;

use ktap::{Declaration, Need};
use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => run("list", &[]),
        [verb @ ("test" | "contract" | "soak"), patterns @ ..] => {
            coverage::begin();
            let end = run(verb, patterns);
            coverage::end();
            end
        }
        #[cfg(target_arch = "x86_64")]
        ["bench", words @ ..] => end(bench::run(words)),
        #[cfg(target_arch = "x86_64")]
        ["descriptors"] => end(bench::descriptors()),
        ["stall", call @ ("read" | "write")] => stress::stall(call),
        ["hung", words @ ..] => end(hung::run(words)),
        ["fuzz", words @ ..] => fuzz::run(words),
        ["suites", words @ ..] => suites::run(words, lacks),
        _ => {
            eprintln!(
                "usage: guest list | test|contract|soak [PATTERN…] | fuzz SEED [CALLS] | fuzz --guided MINUTES |\n             \
                 bench WORD… | descriptors | stall read|write | hung reader|waiter|bpftrace | suites VERB TEST"
            );
            ExitCode::from(2)
        }
    }
}

/// Lists the tests, or runs some of them.
fn run(verb: &str, patterns: &[&str]) -> ExitCode {
    let tests = [
        transcript::tests(),
        documents::article::tests(),
        documents::hung::tests(),
        loading::tests(),
        reads::tests(),
        writes::tests(),
        files::tests(),
        control::tests(),
        calls::tests(),
        permissions::tests(),
        others::tests(),
        unloading::tests(),
        linear::tests(),
        bounds::tests(),
        tools::tests(),
        symbols::tests(),
        proc_fs::tests(),
        attacks::tests(),
        faults::tests(),
        fuzz::tests(),
        torture::tests(),
        stress::tests(),
    ];
    let tests = tests.into_iter().flatten().collect();
    ktap::program(verb, patterns, tests, lacks).expect("it is one of the verbs")
}

/// Why a test can't be made on this kernel.
fn lacks(test: &Declaration) -> Option<String> {
    let lacks = |need: &Need| match need {
        Need::Stock if module::is_debug_kernel() => {
            Some("this kernel checks itself, which takes memory")
        }
        Need::FaultInjection if !Path::new("/proc/self/fail-nth").exists() => {
            Some("this kernel has no fault injection")
        }
        Need::Kprobes if !Path::new("/sys/kernel/tracing/kprobe_events").exists() => {
            Some("this kernel has no kprobe events")
        }
        _ => None,
    };
    test.needs.iter().find_map(lacks).map(str::to_owned)
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
