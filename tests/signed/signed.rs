// SPDX-License-Identifier: GPL-2.0

//! A kernel that was told to load signed modules only: it refuses one without a signature or with a broken one, and
//! takes one that was signed with its own key, which was made with it and is nowhere but in the cache.
//!
//! The environment variables `BOOT_DEBUG`, `BUILD_DEBUG` and `HEADERS_DEBUG` say how to start a guest, where fortune.ko is,
//! and where the tree of the kernel, with its key and its program for signing; `make test TESTS=signed` sets them.

use std::{env, fs, path::Path, process::Command};

#[test]
fn signed_modules_are_loaded() {
    let variable = |name| env::var(name).expect("set by make test TESTS=signed");
    let (boot, build) = (variable("BOOT_DEBUG"), variable("BUILD_DEBUG"));
    let boot: Vec<&str> = boot.split(' ').collect();
    let tree = variable("HEADERS_DEBUG");
    let tree = Path::new(&tree);

    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let signed = tmp.join("signed.ko");
    let config = fs::read_to_string(tree.join(".config")).unwrap();
    let hash = config
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_MODULE_SIG_HASH="));
    // As the README has it.
    let made = Command::new(tree.join("scripts/sign-file"))
        .arg(hash.unwrap().trim_matches('"'))
        .args([
            tree.join("certs/signing_key.pem"),
            tree.join("certs/signing_key.x509"),
        ])
        .arg(Path::new(&build).join("fortune.ko"))
        .arg(&signed)
        .status();
    assert!(made.unwrap().success());
    let mut bytes = fs::read(&signed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let broken = tmp.join("broken.ko");
    fs::write(&broken, bytes).unwrap();

    let output = Command::new(boot[0])
        .args(&boot[1..])
        .args(["--append", "module.sig_enforce=1"])
        .args(["--file", signed.to_str().unwrap(), "--file", broken.to_str().unwrap()])
        .args(["--", "sh", "-c"])
        .arg(
            "insmod fortune.ko; insmod broken.ko; insmod signed.ko && echo taken > /proc/fortune && cat /proc/fortune && \
             rmmod fortune && cat /proc/sys/kernel/tainted",
        )
        .current_dir("../..")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let refused = |module| {
        format!("insmod: ERROR: could not insert module {module}: Key was rejected by service\n")
    };
    assert_eq!(said, refused("fortune.ko") + &refused("broken.ko"));
    // The taint is that of a module from outside the tree, 4096, and not that of one without a signature, 8192.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "taken\n4096\n");
}
