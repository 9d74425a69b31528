// SPDX-License-Identifier: GPL-2.0

//! What `qemu/try` says of modules that do nothing wrong, and of such as do.

use crate::kernel::{Said, kernel, run};
use ktap::Need;
use std::process::{Command, Stdio};

ktap::tests!(try, Boot:
    module_that_is_well,
    device_that_is_not_there,
    module_that_needs_one_of_the_kernels,
    what_keeps_modules_from_coming_and_going,
    module_that_crashes,
    what_a_kernel_that_checks_itself_sees needs(Debug Soak),
    bad_arguments,
);

/// The command, with these kernels.
fn qemu_try(argument: Option<&str>, kernels: &str) -> Said {
    run(Command::new("qemu/try")
        .args(argument)
        .env("KERNELS", kernels)
        .stdin(Stdio::null()))
}

/// Tries a module of tests/harness/modules on a kernel. Its row must be that, the status follows from it, and what is said
/// must have some words.
#[track_caller]
fn tries(need: Need, module: &str, row: &str, status: i32, words: &[&str]) {
    let module = format!("tests/harness/modules/{module}");
    let Said {
        status: ended,
        stdout: said,
        stderr: complaint,
    } = qemu_try(Some(&module), &kernel(need).name);
    let cells = said.lines().nth(1).unwrap_or_default().split("  ");
    let cells = cells.map(str::trim).filter(|cell| !cell.is_empty());
    let cells: Vec<&str> = cells.skip(1).collect();
    assert_eq!(cells.join(" "), row, "{said}{complaint}");
    assert_eq!(ended, Some(status), "{said}{complaint}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
}

fn module_that_is_well() {
    tries(Need::Kernel, "hello", "yes yes yes yes", 0, &[]);
}

fn device_that_is_not_there() {
    tries(Need::Kernel, "absent", "yes no device - yes", 0, &[]);
}

fn module_that_needs_one_of_the_kernels() {
    tries(Need::Kernel, "needs", "yes yes yes yes", 0, &[]);
}

fn what_keeps_modules_from_coming_and_going() {
    let broken = ["does not build:", "error: 'first' undeclared"];
    tries(Need::Kernel, "broken", "no - - -", 1, &broken);
    let invalid = [
        "does not load invalid",
        "Invalid argument",
        "| a parameter is missing",
    ];
    tries(Need::Kernel, "invalid", "yes no - yes", 1, &invalid);
    let stuck = ["does not unload stuck", "Device or resource busy"];
    tries(Need::Kernel, "stuck", "yes yes no yes", 1, &stuck);
}

fn module_that_crashes() {
    let words = [
        "does not load crash: it does not end",
        "BUG: kernel NULL pointer dereference",
        "crash_init",
    ];
    tries(Need::Kernel, "crash", "yes no - no", 1, &words);
}

fn what_a_kernel_that_checks_itself_sees() {
    tries(Need::Debug, "hello", "yes yes yes yes", 0, &[]);
    let leak = ["unreferenced object", "do_one_initcall"];
    tries(Need::Debug, "leak", "yes yes yes no", 1, &leak);
    let freed = ["KASAN: slab-use-after-free in cleanup_module", "[freed]"];
    tries(Need::Debug, "freed", "yes yes yes no", 1, &freed);
}

fn bad_arguments() {
    let says = |argument, kernels, words| {
        let Said { status, stderr, .. } = qemu_try(argument, kernels);
        assert_eq!(status, Some(2), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    };
    says(None, "all", "Usage: qemu/try DIR");
    says(Some("/tmp"), "all", "neither a Kbuild nor a Makefile");
    let hello = Some("tests/harness/modules/hello");
    says(hello, "debian-7.2 minix", "no kernel 'minix'");
}
