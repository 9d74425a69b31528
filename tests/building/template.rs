// SPDX-License-Identifier: GPL-2.0

//! scripts/template is a module that passes its own CI where it stands, what scripts/new-module makes of it does so too, and
//! its tests notice what is wrong.

use crate::kernel::{run, succeed, work};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

ktap::tests!(template, Machine, Asked:
    passes_its_ci_as_it_stands,
    is_copied_unchanged_but_for_its_name,
    passes_its_ci_elsewhere,
    is_renewed,
    notices_what_is_wrong,
    refuses_names,
);

const TEMPLATE: &str = "scripts/template";

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

fn passes_its_ci(dir: &Path) {
    let said = succeed(Command::new("make").arg("run").current_dir(dir));
    assert!(
        said.lines().any(|line| line == "Hello from the kernel"),
        "{said}"
    );
    let dir = fs::canonicalize(dir).unwrap();
    let said = succeed(Command::new(dir.join(".ci/run")).current_dir(&dir));
    assert!(
        said.lines().any(|line| line == "2 passed, 0 failed"),
        "{said}"
    );
}

fn passes_its_ci_as_it_stands() {
    passes_its_ci(Path::new(TEMPLATE));
}

fn passes_its_ci_elsewhere() {
    passes_its_ci(greeter());
}

/// What is a link in the template: it is this project's, and copied as it is.
fn links() -> Vec<String> {
    let mut find = Command::new("find");
    let links = succeed(find.args([
        TEMPLATE, "-name", "build", "-prune", "-o", "-type", "l", "-printf", "%P\n",
    ]));
    links.lines().map(str::to_owned).collect()
}

fn is_copied_unchanged_but_for_its_name() {
    let links = links();
    assert!(links.len() > 20, "{links:?}");
    for link in &links {
        let here = Path::new(TEMPLATE).join(link);
        succeed(
            Command::new("diff")
                .args(["-r"])
                .args([here, greeter().join(link)]),
        );
    }
    // Nothing in it is this project's, but for the name of the cache, which serves both.
    let ours = run(Command::new("grep")
        .args(["-rni", "--exclude-dir=build", "fortune", "."])
        .current_dir(greeter()));
    let ours: Vec<&str> = ours
        .stdout
        .lines()
        .filter(|line| !line.contains("/fortune-ko"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

fn is_renewed() {
    let (harness, own) = (greeter().join("qemu/boot"), greeter().join("Makefile"));
    let (old, mine) = (fs::read_to_string(&harness).unwrap(), "# mine\n");
    fs::write(&harness, "old\n").unwrap();
    let kept = fs::read_to_string(&own).unwrap() + mine;
    fs::write(&own, &kept).unwrap();
    // What such a module did not have when it was made.
    let new = greeter().join("qemu/init/src/main.rs");
    let new_text = fs::read_to_string(&new).unwrap();
    fs::remove_file(&new).unwrap();
    let said = succeed(
        Command::new("scripts/new-module")
            .arg("--update")
            .arg(greeter()),
    );
    assert!(said.contains("qemu/boot"), "{said}");
    assert_eq!(fs::read_to_string(&harness).unwrap(), old);
    assert_eq!(fs::read_to_string(&own).unwrap(), kept);
    assert_eq!(fs::read_to_string(&new).unwrap(), new_text);

    // Nothing is written to what is no such module.
    let other = work("other");
    let said = run(Command::new("scripts/new-module")
        .arg("--update")
        .arg(&other));
    assert_ne!(said.status, Some(0), "{}", said.stdout);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

fn notices_what_is_wrong() {
    let source = greeter().join("src/greeter.rs");
    let text = fs::read_to_string(&source).unwrap();
    let wrong = text.replace("Hello from the kernel", "Hello");
    assert_ne!(wrong, text);
    fs::write(&source, wrong).unwrap();
    let said = run(&mut make("test"));
    assert_ne!(said.status, Some(0), "{}", said.stdout);
    for line in [
        "FAILED  debian-7.2: hello.greets",
        "        again: make test TESTS=hello.greets KERNELS=debian-7.2",
        "1 passed, 1 failed",
    ] {
        let line = line.replace("hello", "greeter");
        let is_there = said.stdout.lines().any(|one| one == line);
        assert!(
            is_there,
            "{line} is missing: {}{}",
            said.stdout, said.stderr
        );
    }
}

fn refuses_names() {
    let other = work("other").join("module");
    for name in ["Big", "9lives", "a-b", "", "fn", "kernel"] {
        let said = run(&mut new_module(name, &other));
        assert_ne!(said.status, Some(0), "{name}");
        assert!(!other.exists(), "{name}");
    }
    let said = run(&mut new_module("greeter", greeter()));
    assert_ne!(said.status, Some(0), "{}", said.stderr);
}
