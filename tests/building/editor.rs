// SPDX-License-Identifier: GPL-2.0

//! What `make rust-analyzer` writes lets rust-analyzer(1) understand the modules: it finds no errors in them, and does find one
//! that is put there.

use crate::kernel::{Said, run, succeed, top, work};
use ktap::note;
use std::{fs, path::Path, process::Command};

ktap::tests!(editor, Machine, Asked: no_errors, an_error);

/// What it says of the project there; fails if there is an error.
fn diagnostics(project: &Path) -> Said {
    run(Command::new("tests/building/rust-analyzer")
        .arg("diagnostics")
        .arg(project))
}

fn no_errors() {
    succeed(&mut Command::new("scripts/rust-analyzer"));
    let said = diagnostics(&top());
    assert_eq!(said.status, Some(0), "{}{}", said.stdout, said.stderr);
}

fn an_error() {
    let copy = work("editor");
    for file in fs::read_dir("tests/proc_fs").unwrap() {
        let file = file.unwrap();
        if file.path().is_file() {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    let module = copy.join("attacks.rs");
    let wrong = "fn wrong() { let _number: u32 = \"text\"; }\n";
    fs::write(&module, fs::read_to_string(&module).unwrap() + wrong).unwrap();
    succeed(&mut Command::new("scripts/rust-analyzer"));
    let project = fs::read_to_string("rust-project.json").unwrap();
    let there = top().join("tests/proc_fs");
    let project = project.replace(there.to_str().unwrap(), copy.to_str().unwrap());
    fs::write(copy.join("rust-project.json"), project).unwrap();
    let said = diagnostics(&copy);
    let all = said.stdout + &said.stderr;
    assert_ne!(said.status, Some(0), "{all}");
    let error = all
        .lines()
        .find(|line| line.contains("Error") && line.contains("expected u32"));
    note(error.unwrap_or_else(|| panic!("{all}")).to_owned());
}
