// SPDX-License-Identifier: GPL-2.0

//! What `qemu/try` says of modules that do nothing wrong, and of such as do.
//!
//! The environment variables `KERNEL`, and `KERNEL_DEBUG` if there is one that checks itself, name the kernels; `make test
//! TESTS=boot` sets them.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// Tries a module of qemu/tests/modules on a kernel. Its row must be that, the status follows from it, and what is said
/// must have some words.
#[track_caller]
fn tries(kernel: &str, module: &str, row: &str, status: i32, words: &[&str]) {
    let qemu = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(qemu.join("try"))
        .arg(qemu.join("tests/modules").join(module))
        .env("KERNELS", kernel)
        .stdin(Stdio::null())
        .output()
        .expect("qemu/try starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let rows: Vec<&str> = said.lines().nth(1).unwrap_or("").split("  ").collect();
    let cells: Vec<&str> = rows.into_iter().map(str::trim).collect();
    let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[1..].join(" "), row, "{said}{complaint}");
    assert_eq!(output.status.code(), Some(status), "{said}{complaint}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
}

fn stock() -> String {
    env::var("KERNEL").expect("set by make test TESTS=boot")
}

#[test]
fn module_that_is_well() {
    tries(&stock(), "hello", "yes yes yes yes", 0, &[]);
}

#[test]
fn device_that_is_not_there() {
    tries(&stock(), "absent", "yes no device - yes", 0, &[]);
}

#[test]
fn module_that_needs_one_of_the_kernels() {
    tries(&stock(), "needs", "yes yes yes yes", 0, &[]);
}

#[test]
fn what_keeps_modules_from_coming_and_going() {
    let broken = ["does not build:", "error: 'first' undeclared"];
    tries(&stock(), "broken", "no - - -", 1, &broken);
    let invalid = [
        "does not load invalid",
        "Invalid argument",
        "| a parameter is missing",
    ];
    tries(&stock(), "invalid", "yes no - yes", 1, &invalid);
    let stuck = ["does not unload stuck", "Device or resource busy"];
    tries(&stock(), "stuck", "yes yes no yes", 1, &stuck);
}

#[test]
#[ignore = "only in make soak"]
fn what_a_kernel_that_checks_itself_sees() {
    let Ok(debug) = env::var("KERNEL_DEBUG") else {
        println!("no kernel that checks itself is in KERNELS");
        return;
    };
    tries(&debug, "hello", "yes yes yes yes", 0, &[]);
    let leak = ["unreferenced object", "do_one_initcall"];
    tries(&debug, "leak", "yes yes yes no", 1, &leak);
    let freed = ["KASAN: slab-use-after-free in cleanup_module", "[freed]"];
    tries(&debug, "freed", "yes yes yes no", 1, &freed);
}

#[test]
fn bad_arguments() {
    let said = |arguments: &[&str], kernels: &str| {
        let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("try"))
            .args(arguments)
            .env("KERNELS", kernels)
            .output()
            .expect("qemu/try starts");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&[], "all").contains("Usage: qemu/try DIR"));
    assert!(said(&["/tmp"], "all").contains("neither a Kbuild nor a Makefile"));
    assert!(said(&["tests/modules/hello"], "debian-7.2 minix").contains("no kernel 'minix'"));
}
