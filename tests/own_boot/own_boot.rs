// SPDX-License-Identifier: GPL-2.0

//! Tests that need a boot of their own, since the kernel complains, or keeps traces of them.
//!
//! The environment variables `BOOT` and `BUILD` say how to start a guest and where the modules are, and `VERB` whether
//! `guest` is to `test` or to `soak`; `make test TESTS=own_boot` sets them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs a script in a guest that has the test modules.
fn boot(script: &str) -> Output {
    boot_with(&[], script)
}

/// The same, with options for `boot`.
fn boot_with(options: &[&str], script: &str) -> Output {
    let variable = |name| std::env::var(name).expect("set by make test TESTS=own_boot");
    let (words, build) = (variable("BOOT"), variable("BUILD"));
    let words: Vec<&str> = words.split(' ').collect();
    Command::new(words[0])
        .args(&words[1..])
        .args(["--file", &format!("{build}/proc_fs_test.ko")])
        .args(["--file", &format!("{build}/proc_fs_attacks.ko")])
        .args(["--file", &format!("{build}/hello.ko")])
        .args(["--file", &format!("{build}/legacy.ko")])
        .args(options)
        .args(["--", "sh", "-c", script])
        // Tests of a package run in its directory; the words are for two above.
        .current_dir("../..")
        .output()
        .expect("boot starts")
}

#[test]
fn name_that_is_taken() {
    // By the kernel, or by ourselves: it warns, which the harness must see, and the module says ENOMEM, leaving
    // nothing.
    for (name, taken) in [(1, "/proc/cmdline"), (2, "proc_fs_attacks/twice")] {
        let output = boot(&format!(
            "insmod proc_fs_attacks.ko name={name}; ls -d /proc/proc_fs_attacks; \
             insmod proc_fs_attacks.ko && ls -d /proc/proc_fs_attacks",
        ));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "/proc/proc_fs_attacks\n"
        );
        assert!(
            said.contains(&format!("{taken}' already registered")),
            "{said}"
        );
        assert!(
            said.contains("could not insert module proc_fs_attacks.ko: Cannot allocate"),
            "{said}"
        );
    }
}

#[test]
fn what_is_forgotten_only_leaks() {
    // Whatever memory the `File` was in is free, and would read as zeroes.
    let output = boot_with(
        &["--append", "init_on_free=1"],
        "insmod proc_fs_attacks.ko forget=1 && cd /proc/proc_fs_forgotten && ls && \
         for file in maybe_uninit opaque manually_drop mem_forget; do \
             tr -d f < $file | wc -c && wc -c < $file; \
         done && cat cycle && readlink link",
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let read = String::from_utf8_lossy(&output.stdout);
    let read: Vec<&str> = read.split_whitespace().collect();
    let expected = "cycle dir link manually_drop maybe_uninit mem_forget opaque \
                    0 4000 0 4000 0 4000 0 4000 forgotten target";
    assert_eq!(read.join(" "), expected, "{said}");
}

#[test]
fn attacks_where_memory_is_not_cleared() {
    // What the kernel does not clear would be seen.
    let output = boot_with(
        &["--append", "init_on_alloc=0"],
        "guest test attacks proc_fs",
    );
    let (said, shown) = (
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    assert_eq!(output.status.code(), Some(0), "{said}{shown}");
    let planned = shown.lines().find_map(|line| line.strip_prefix("1.."));
    let planned: usize = planned.expect("a plan").parse().unwrap();
    let passed = shown.lines().filter(|line| line.starts_with("ok "));
    assert_eq!(passed.count(), planned, "{shown}");
    assert!(planned > 50, "{planned}");
}

#[test]
fn classic_bugs_are_seen() {
    // All but three, see below, in one boot. Number 3 can't be seen: the VFS passes no length that a C `int`
    // has no room for.
    let output = boot("guest classic 4 5 6 7 8 9 10 11 12 13 15");
    let said = String::from_utf8_lossy(&output.stderr);
    let caught: String = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]
        .iter()
        .map(|number| format!("{number} caught\n"))
        .collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), caught, "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn classic_bugs_1_and_2_bring_the_kernel_down() {
    for number in [1, 2] {
        let output = boot(&format!("guest classic {number}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{number}: {said}");
        assert!(
            said.contains("unable to handle page fault"),
            "{number}: {said}"
        );
    }
}

#[test]
fn old_kernel_memory_is_seen() {
    // The kernel does not clear what it allocates: the old module shows what was there, fortune.ko does not.
    let verb = std::env::var("VERB").expect("set by make test TESTS=own_boot");
    let test = "classic.bug_14_old_kernel_memory";
    let output = boot_with(
        &["--append", "init_on_alloc=0"],
        &format!("guest classic 14; guest {verb} {test}"),
    );
    let (said, shown) = (
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(shown.starts_with("14 caught\n"), "{shown}");
    assert!(shown.contains(&format!("\nok 1 {test}\n")), "{shown}");
    for line in shown
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("figure: "))
    {
        println!("{line}");
    }
}

#[test]
fn unloading_takes_time_in_proportion() {
    // To the files that are open; in instructions, which no other load changes.
    let output = boot_with(&["--icount"], "guest descriptors");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let counts = String::from_utf8_lossy(&output.stdout);
    let counts: Vec<f64> = counts
        .split_whitespace()
        .map(|count| count.parse().unwrap())
        .collect();
    let ratio = counts[1] / counts[0];
    assert!(ratio <= 3., "{counts:?}");
    println!(
        "figure: R8   rmmod with 50,000 open files takes {ratio:.2} times the instructions that it takes with half of them; to be reached: at most 3"
    );
}

#[test]
fn refused_modules() {
    // A module for another kernel than it is.
    let build = std::env::var("BUILD").expect("set by make test TESTS=own_boot");
    let mut module = fs::read(Path::new("../..").join(build).join("fortune.ko")).unwrap();
    let magic = b"vermagic=";
    let at = module.windows(magic.len()).position(|at| at == magic);
    module[at.unwrap() + magic.len()] = b'0';
    let other = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other.ko");
    fs::write(&other, module).unwrap();
    let other = other.to_str().unwrap();

    let refusals: [(&[&str], _, _, _); 3] = [
        (
            &["--append", "module.sig_enforce=1"],
            "fortune.ko",
            "Key was rejected by service",
            "Loading of unsigned module is rejected",
        ),
        (
            &["--append", "lockdown=integrity"],
            "fortune.ko",
            "Operation not permitted",
            "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7",
        ),
        (
            &["--file", other],
            "other.ko",
            "Invalid module format",
            "fortune: version magic '0",
        ),
    ];
    for (options, module, insmod, kernel) in refusals {
        let output = boot_with(options, &format!("insmod {module} || dmesg"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let line = format!("insmod: ERROR: could not insert module {module}: {insmod}\n");
        assert_eq!(said, line);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains(kernel), "{shown}");
    }
}
