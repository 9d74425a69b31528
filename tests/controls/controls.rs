// SPDX-License-Identifier: GPL-2.0

//! What a kernel can detect, done on purpose by controls.ko: each time qemu/boot must say so.
//!
//! The environment variables `BOOT_DEBUG` and `BUILD_DEBUG` say how to start a guest whose kernel checks itself, and where
//! the modules for it are; `make test TESTS=controls` sets them.

use std::process::{Command, Output};

/// Runs a script in a guest that has controls.ko.
fn boot(script: &str, arguments: &[&str]) -> Output {
    let variable = |name| std::env::var(name).expect("set by make test TESTS=controls");
    let (words, build) = (variable("BOOT_DEBUG"), variable("BUILD_DEBUG"));
    let words: Vec<&str> = words.split(' ').collect();
    Command::new(words[0])
        .args(&words[1..])
        .args(["--file", &format!("{build}/controls.ko")])
        // KASAN reports only the first, if nothing else is said.
        .args(["--append", "kasan_multi_shot"])
        .args(["--", "sh", "-c", script, "sh"])
        .args(arguments)
        // Tests of a package run in its directory; the words are for two above.
        .current_dir("../..")
        .output()
        .expect("boot starts")
}

#[test]
fn each_detector_detects() {
    let faults = [
        // lockdep looks only as long as the kernel is not tainted by the others.
        (
            "lock_inversion",
            "WARNING: possible circular locking dependency detected",
        ),
        (
            "use_after_free",
            "BUG: KASAN: slab-use-after-free in use_after_free",
        ),
        (
            "past_the_pot",
            "BUG: KASAN: vmalloc-out-of-bounds in past_the_pot",
        ),
        (
            "sleep_in_atomic",
            "BUG: sleeping function called from invalid context",
        ),
        ("list", "list_del corruption"),
        ("refcount", "refcount_t: addition on 0; use-after-free"),
        ("warning", "asked for"),
        ("leak", "unreferenced object"),
    ];
    let output = boot(
        "for fault; do insmod controls.ko fault=$fault && rmmod controls || exit; done",
        &faults.map(|(fault, _)| fault),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    for (fault, words) in faults {
        assert!(said.contains(words), "{fault}: no '{words}' in\n{said}");
        println!("{fault}: {words}");
    }
    println!(
        "figure: R21+ {0} of {0} detectors have found what was there; to be reached: all",
        faults.len()
    );
}

#[test]
fn a_byte_in_the_pot_is_no_complaint() {
    // What is caught is the fault, not the module.
    let output = boot(
        "insmod fortune.ko && echo hi > /proc/fortune && cat /proc/fortune",
        &[],
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(output.stdout, b"hi\n");
}
