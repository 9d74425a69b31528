// SPDX-License-Identifier: GPL-2.0

//! The module broken on purpose. Each patch of this directory is applied to a copy of the sources, which is built and
//! tested in a guest: a test must fail, or the kernel complain, or the guest hang, and the one that is expected.
//!
//! The environment variables `BOOT` and `BOOT_DEBUG` say how to start a guest with a stock kernel and with one that checks
//! itself, `HEADERS` and `HEADERS_DEBUG` name their build directories; `make test TESTS=mutants` sets them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Which kernel it takes to notice.
#[derive(Clone, Copy)]
enum Kernel {
    Stock,
    /// One that checks itself.
    Debug,
}

/// By what a mutant is noticed.
#[derive(Clone, Copy)]
enum By {
    /// A test fails whose name begins so.
    Test(&'static str),
    /// The kernel complains, in these words.
    Kernel(&'static str),
    /// The test that runs last never ends.
    Hang(&'static str),
}

macro_rules! mutants {
    (
        gate { $($name:ident: $kernel:ident, $tests:literal, $by:ident($what:literal);)* }
        soak { $($soaked:ident: $soaked_kernel:ident, $soaked_tests:literal, $soaked_by:ident($soaked_what:literal);)* }
    ) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), Kernel::$kernel, $tests, By::$by($what));
            }
        )*
        $(
            #[test]
            #[ignore = "only in make soak"]
            fn $soaked() {
                check(stringify!($soaked), Kernel::$soaked_kernel, $soaked_tests, By::$soaked_by($soaked_what));
            }
        )*

        #[test]
        fn each_patch_is_tried() {
            let mut patches: Vec<String> = fs::read_dir(".")
                .unwrap()
                .filter_map(|entry| {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    name.strip_suffix(".patch").map(str::to_owned)
                })
                .collect();
            patches.sort();
            let mut tried = vec![$(stringify!($name),)* $(stringify!($soaked),)*];
            tried.sort();
            assert_eq!(patches, tried);
        }
    };
}

mutants! {
    gate {
        data_dropped_before_the_entry: Debug, "files.unloading_drops_it", Kernel("KASAN");
        cursor_moved_on_a_failed_read: Stock, "classic.bug_9", Test("classic.bug_9");
    }
    soak {
        lock_held_across_the_copy: Stock, "others.stalled_reader", Hang("others.stalled_reader");
        reserved_not_given_back: Stock, "files", Test("files.failed_write_and_close");
        index_off_by_one: Stock, "transcript", Test("transcript.article");
        half_written_fortune: Stock, "torture", Test("torture.");
        evicted_before_refusing: Stock, "files", Test("files.too_much");
        lot_cast_again: Stock, "control.random", Test("control.random_is_fair_to_long_fortunes");
        unfinished_stored_after_a_fault: Stock, "files", Test("files.failed_write_and_close");
        not_charged: Stock, "others.memory", Test("others.memory_is_charged");
        surplus_leaked: Stock, "others.memory", Test("others.memory_is_charged");
    }
}

/// Of what cargo-mutants changes in the pot and the records, its tests on the host notice nearly all.
#[test]
#[ignore = "only in make soak"]
fn of_cargo_mutants() {
    let top = fs::canonicalize("../..").unwrap();
    let copy = top.join("build/mutants/of_cargo_mutants");
    if copy.exists() {
        fs::remove_dir_all(&copy).unwrap();
    }
    // A workspace that has these files and nothing else.
    fs::create_dir_all(copy.join("src")).unwrap();
    for name in ["src/pot.rs", "src/records.rs"] {
        fs::copy(top.join(name), copy.join(name)).unwrap();
    }
    let run = |command: &mut Command| {
        let output = command.current_dir(&copy).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&said).into_owned())
    };
    fs::create_dir(copy.join("tests")).unwrap();
    run(Command::new("cp")
        .arg("-r")
        .args([top.join("tests/pot"), copy.join("tests")]));
    fs::copy(top.join("tests/Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    let workspace = fs::read_to_string(top.join("tests/Cargo.toml")).unwrap();
    let members = workspace
        .lines()
        .find(|line| line.starts_with("members"))
        .unwrap();
    let workspace = workspace.replace(members, "members = [\"tests/pot\"]");
    fs::write(copy.join("Cargo.toml"), workspace).unwrap();

    let tools = top.join("build/tools");
    let (status, said) = run(Command::new("cargo")
        .args(["install", "--quiet", "--locked", "--root"])
        .arg(&tools)
        .arg("cargo-mutants@25.3.1"));
    assert!(status.success(), "{said}");
    let (_, said) = run(Command::new(tools.join("bin/cargo-mutants"))
        .args([
            "mutants",
            "--package",
            "pot",
            "--no-times",
            "--colors=never",
        ])
        .args(["--timeout", "60", "--jobs", "2"])
        // Two at once: each copy of the tree has what it builds to itself.
        .env_remove("CARGO_TARGET_DIR")
        .env("CASES", "3000"));
    let count = |name: &str| {
        let list = fs::read_to_string(copy.join("mutants.out").join(name));
        list.unwrap_or_else(|error| panic!("{name}: {error}: {said}"))
            .lines()
            .count()
    };
    let missed = fs::read_to_string(copy.join("mutants.out/missed.txt")).unwrap();
    let noticed = count("caught.txt") + count("timeout.txt");
    let all = noticed + count("missed.txt");
    print!("{missed}");
    println!("figure: R19  {noticed} of {all} mutants of the pot noticed; to be reached: 95 %");
    assert!(all > 100, "{said}");
    assert!(noticed * 100 >= all * 95, "{said}");
}

/// What an environment variable says of a kernel.
fn variable(name: &str, which: &str) -> String {
    env::var(format!("{name}{which}")).expect("set by make test TESTS=mutants")
}

fn check(name: &str, kernel: Kernel, tests: &str, by: By) {
    // The tests of a package run in its directory.
    let top = fs::canonicalize("../..").unwrap();
    let which = match kernel {
        Kernel::Stock => "",
        Kernel::Debug => "_DEBUG",
    };
    let boot = variable("BOOT", which);
    let boot: Vec<&str> = boot.split(' ').collect();
    let copy = top.join("build/mutants").join(name);
    let module = build(&top, &copy, name, &variable("HEADERS", which));

    // The words name the module of the sources as they are; this one is to be in its place.
    let output = Command::new(boot[0])
        .args(&boot[1..])
        .arg("--file")
        .arg(module)
        .args(["--timeout", "60", "--", "guest", "test", tests])
        .current_dir(&top)
        .output()
        .unwrap();
    fs::remove_dir_all(&copy).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let results = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = results
        .lines()
        .filter_map(|line| line.strip_prefix("not ok ")?.split(' ').nth(1))
        .collect();
    let noticed = match (by, output.status.code()) {
        (By::Test(test), Some(1)) => failed.iter().any(|failed| failed.starts_with(test)),
        (By::Kernel(complaint), Some(125)) => said.contains(complaint),
        (By::Hang(test), Some(124)) => !results.contains(&format!(" {test}")),
        _ => false,
    };
    assert!(
        noticed,
        "{:?}, failed: {failed:?}\n{results}{said}",
        output.status
    );
    match by {
        By::Test(_) => println!("noticed by the test {}", failed.join(", ")),
        By::Kernel(complaint) => println!("noticed by the kernel: {complaint}"),
        By::Hang(test) => println!("noticed by {test}, which does not end"),
    }
}

/// Builds the module from a copy of the sources with the patch of this name.
fn build(top: &Path, copy: &Path, name: &str, headers: &str) -> PathBuf {
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&said)
        );
    };
    if copy.exists() {
        fs::remove_dir_all(copy).unwrap();
    }
    fs::create_dir_all(copy).unwrap();
    run(Command::new("cp")
        .arg("-r")
        .args([top.join("Kbuild"), top.join("src")])
        .arg(copy));
    let patch = fs::canonicalize(format!("{name}.patch")).unwrap();
    run(Command::new("patch")
        .args(["-p1", "-i"])
        .arg(patch)
        .current_dir(copy));

    let mut make = Command::new("make");
    make.args(["-C", headers])
        .arg(format!("M={}", copy.display()));
    // As scripts/build does for a kernel of our own.
    if headers.ends_with("-debug") {
        make.arg("LLVM=1");
    }
    run(make.arg("modules"));
    copy.join("fortune.ko")
}
