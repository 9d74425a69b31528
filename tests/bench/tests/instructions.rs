// SPDX-License-Identifier: GPL-2.0

//! No call takes more instructions, beside its twin in C, than it did: `make bench QUICK=1`.
//!
//! The environment variables `BOOT` and `BUILD` say how to start a guest and where the modules are; `make test
//! TESTS=bench` sets them.

use std::process::Command;

#[test]
fn instructions() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--quick")
        // Tests of a package run in its directory; the words are for two above.
        .current_dir("../..")
        .output()
        .expect("bench starts");
    let table = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    for line in table.lines().filter(|line| line.starts_with('P')) {
        println!("figure: {}", line.trim_end());
    }
    assert!(output.status.success(), "{table}{said}");
}
