// SPDX-License-Identifier: GPL-2.0

//! What scripts/new-module makes passes its own CI at once, and its tests notice what is wrong.

use crate::kernel::{run, succeed, work};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

ktap::tests!(template, Machine, Asked: passes_its_ci, notices_what_is_wrong, refuses_names);

fn new_module(name: &str, dir: &Path) -> Command {
    let mut command = Command::new("scripts/new-module");
    command.arg(name).arg(dir);
    command
}

/// A new module.
fn greeter() -> &'static PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = work("template").join("greeter");
        succeed(&mut new_module("greeter", &dir));
        dir
    })
}

fn make(verb: &str) -> Command {
    let mut make = Command::new("make");
    make.args(["--no-print-directory", verb])
        .current_dir(greeter());
    make
}

fn passes_its_ci() {
    let said = succeed(&mut make("run"));
    assert!(
        said.lines().any(|line| line == "Hello from the kernel"),
        "{said}"
    );
    let said = succeed(Command::new(greeter().join(".ci/run")).current_dir(greeter()));
    assert!(
        said.lines().any(|line| line == "2 passed, 0 failed"),
        "{said}"
    );
    // Nothing in it is this project's.
    let ours = run(Command::new("grep")
        .args(["-rni", "--exclude-dir=build", "fortune", "."])
        .current_dir(greeter()));
    let ours: Vec<&str> = ours
        .stdout
        .lines()
        .filter(|line| !line.contains("fortune-ko"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

fn notices_what_is_wrong() {
    let source = greeter().join("src/greeter.rs");
    let text = fs::read_to_string(&source).unwrap();
    let wrong = text.replace("Hello from the kernel", "Hello");
    assert_ne!(wrong, text);
    fs::write(&source, wrong).unwrap();
    let said = run(&mut make("test"));
    assert_ne!(said.status, Some(0), "{}", said.stdout);
    let counts = said.stdout.lines().any(|line| line == "1 passed, 1 failed");
    assert!(counts, "{}{}", said.stdout, said.stderr);
}

fn refuses_names() {
    let other = work("other").join("module");
    for name in ["Big", "9lives", "a-b", ""] {
        let said = run(&mut new_module(name, &other));
        assert_ne!(said.status, Some(0), "{name}");
        assert!(!other.exists(), "{name}");
    }
    let said = run(&mut new_module("greeter", greeter()));
    assert_ne!(said.status, Some(0), "{}", said.stderr);
}
