// SPDX-License-Identifier: GPL-2.0

//! What a kernel can detect, done on purpose by controls.ko: each time qemu/boot must say so.

use crate::kernel::{Said, kernel, run};
use ktap::{Limit, Need, figure, note};

ktap::tests!(detectors, Boot, Debug: each_detector_detects, a_byte_in_the_pot_is_no_complaint);

/// Runs a script in a guest that has controls.ko.
fn boot(script: &str, arguments: &[&str]) -> Said {
    let kernel = kernel(Need::Debug);
    run(kernel
        .boot()
        .args([
            "--file",
            &format!("{}/controls.ko", kernel.build().display()),
        ])
        // KASAN reports only the first, if nothing else is said.
        .args(["--append", "kasan_multi_shot"])
        .args(["--", "sh", "-c", script, "sh"])
        .args(arguments))
}

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
    let said = boot(
        "for fault; do insmod controls.ko fault=$fault && rmmod controls || exit; done",
        &faults.map(|(fault, _)| fault),
    );
    assert_eq!(said.status, Some(125), "{}", said.stderr);
    let mut found = 0;
    for (fault, words) in faults {
        let said = &said.stderr;
        assert!(said.contains(words), "{fault}: no '{words}' in\n{said}");
        note(format!("{fault}: {words}"));
        found += 1;
    }
    figure(
        "S22",
        "{} have found what was there",
        &[Limit::exactly(found, faults.len(), "detectors")],
    );
}

fn a_byte_in_the_pot_is_no_complaint() {
    // What is caught is the fault, not the module.
    let said = boot(
        "insmod fortune.ko && echo hi > /proc/fortune && cat /proc/fortune",
        &[],
    );
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert_eq!(said.stdout, "hi\n");
}
