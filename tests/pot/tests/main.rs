// SPDX-License-Identifier: GPL-2.0

//! The tests of the pot alone, for cargo-mutants.

mod model;
mod pot;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests: Vec<_> = [pot::tests(), model::tests()]
        .into_iter()
        .flatten()
        .collect();
    ktap::run(&tests, |_| None)
}
