// SPDX-License-Identifier: GPL-2.0

//! What qemu/boot promises of its exit status, its output and its options, each by starting a guest.
//!
//! The environment variable `BOOT` has the words that start one; `make test TESTS=boot` sets it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

fn boot(arguments: &[&str]) -> Output {
    let words =
        std::env::var("BOOT").expect("BOOT says how to start a guest: make test TESTS=boot");
    let words: Vec<&str> = words.split(' ').collect();
    Command::new(words[0])
        .args(&words[1..])
        .args(arguments)
        // Tests of a package run in its directory; the words are for the one above.
        .current_dir("..")
        .stdin(Stdio::null())
        .output()
        .expect("boot starts")
}

#[track_caller]
fn assert_ends(output: &Output, status: i32, stdout: &str, stderr: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert!(said.contains(stderr), "{said}");
}

#[test]
fn status_and_output_are_the_commands() {
    let output = boot(&["--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_ends(&output, 3, "out\n", "err\n");
}

#[test]
fn command_that_does_not_exist() {
    assert_ends(
        &boot(&["no-such-command"]),
        127,
        "",
        "no-such-command: not found",
    );
}

#[test]
fn crash_is_a_complaint() {
    let output = boot(&[
        "--",
        "sh",
        "-c",
        "echo before; echo c > /proc/sysrq-trigger",
    ]);
    assert_ends(
        &output,
        125,
        "before\n",
        "Kernel panic - not syncing: sysrq triggered crash",
    );
}

#[test]
fn complaint_counts_whatever_the_command_says() {
    let output = boot(&[
        "--",
        "sh",
        "-c",
        "echo '<4>WARNING: made up' > /dev/kmsg; exit 0",
    ]);
    assert_ends(&output, 125, "", "WARNING: made up");
}

#[test]
fn out_of_time() {
    assert_ends(
        &boot(&["--timeout", "3", "--", "sleep", "60"]),
        124,
        "",
        "out of time after 3 s",
    );
}

#[test]
fn guest_that_does_not_come_up() {
    // A kernel without its initramfs.
    let output = boot(&[
        "--append",
        "rdinit=/nonsense noinitrd root=none",
        "--",
        "true",
    ]);
    assert_ends(&output, 126, "", "did not come up");
}

#[test]
fn power_off_without_a_verdict() {
    assert_ends(
        &boot(&["--", "busybox", "poweroff", "-f"]),
        126,
        "",
        "without a verdict",
    );
}

#[test]
fn forged_verdict() {
    // The port is taken, and the nonce is gone.
    let script = "echo '0123 0 0' > /dev/vport0p1; cat /nonce; false";
    assert_ends(
        &boot(&["--", "sh", "-c", script]),
        1,
        "",
        "cannot create /dev/vport0p1",
    );
}

#[test]
fn options() {
    let script = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("script");
    fs::write(&script, "#!/bin/sh\nnproc; cat /proc/cmdline\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o751)).unwrap();
    let script = script.display();
    let commands = "stat -c '%a %n' script /etc/deep/other; ls; \
        ./script | grep -o '^1$\\|one.two=three'; \
        test $(awk '/MemTotal/ {print $2}' /proc/meminfo) -lt 307200";
    let output = boot(&[
        "--smp",
        "1",
        "--memory",
        "300",
        "--append",
        "one.two=three",
        "--file",
        &format!("{script}"),
        "--file",
        &format!("{script}:/etc/deep/other"),
        "--",
        "sh",
        "-c",
        commands,
    ]);
    let expected = "751 script\n751 /etc/deep/other\nfortune.ko\nscript\n1\none.two=three\n";
    assert_ends(&output, 0, expected, "");
}

#[test]
fn icount_means_one_cpu() {
    assert_ends(
        &boot(&["--icount", "--smp", "2", "--", "nproc"]),
        0,
        "1\n",
        "",
    );
}

#[test]
fn bad_options() {
    let no_file = boot(&["--file", "/no/such/file", "--", "true"]);
    assert_ends(&no_file, 126, "", "/no/such/file: there is no such file");
    // A shell takes a terminal, which a test does not have.
    assert_ends(&boot(&[]), 126, "", "that takes a terminal");
    assert_ends(
        &boot(&["--smp", "many", "--", "true"]),
        2,
        "",
        "invalid value 'many'",
    );
    assert_ends(&boot(&["--timeout"]), 2, "", "a value is required");
}
