// SPDX-License-Identifier: GPL-2.0

//! The Debian packages, with the real package manager: in a clean root, where the metadata of kernels is made, and modules are
//! built by it; and in guests, where those are loaded.

use crate::kernel::{Kernel, checkout, default_kernel, succeed, top, work};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

ktap::tests!(package, Machine, Asked: in_a_clean_root, samples_in_guests, in_a_guest);

fn in_a_clean_root() {
    clean_root();
}

/// The directory in which the packages were tried, with the root that is left of that.
fn clean_root() -> &'static (PathBuf, Kernel) {
    static DONE: OnceLock<(PathBuf, Kernel)> = OnceLock::new();
    DONE.get_or_init(|| {
        let kernel = default_kernel();
        let work = work("package");
        for version in ["1.0", "1.1"] {
            let debs = succeed(Command::new("scripts/deb").arg(version));
            for deb in debs.lines().map(Path::new) {
                fs::copy(deb, work.join(deb.file_name().unwrap())).unwrap();
            }
        }
        for script in ["files", "prepare", "install", "guest"] {
            fs::copy(
                format!("tests/building/package/{script}"),
                work.join(script),
            )
            .unwrap();
        }
        checkout(&work.join("checkout"));
        let tar = File::create(work.join("root.tar")).unwrap();
        let made = Command::new("tests/building/package/clean-root")
            .arg(&work)
            .args([&kernel.is.release, &kernel.is.architecture])
            .stdout(tar)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let root = work.join("root");
        fs::create_dir(&root).unwrap();
        succeed(
            Command::new("tar")
                .args(["--extract", "--no-same-owner", "--exclude=./dev/*"])
                .arg("--file")
                .arg(work.join("root.tar"))
                .arg("--directory")
                .arg(&root),
        );
        fs::remove_file(work.join("root.tar")).unwrap();
        (work, kernel)
    })
}

/// What DKMS has built for three flavours of a kernel of modules that nobody here wrote.
fn samples_in_guests() {
    let (work, kernel) = clean_root();
    let modules = work.join("root/fortune/modules");
    let mut built = 0;
    for flavour in ["", "-desktop", "-rt"] {
        let name = format!("{}{flavour}", kernel.name);
        let release = succeed(
            Command::new(top().join("qemu/boot"))
                .args(["--kernel", &name, "--file"])
                .arg(&modules)
                .args(["--", "sh", "-euc"])
                .arg(
                    "cd modules/$(uname -r)
                     insmod rust_minimal.ko && insmod rust_misc_device.ko && test -c /dev/rust-misc-device
                     dmesg | grep 'rust_minimal: Rust minimal sample (init)' >&2
                     rmmod rust_misc_device rust_minimal
                     uname -r",
                ),
        );
        let release = release.lines().last().unwrap_or_default().trim();
        assert!(modules.join(release).join("rust_minimal.ko").exists());
        built += 1;
    }
    assert_eq!(built, fs::read_dir(&modules).unwrap().count());
}

fn in_a_guest() {
    let (work, kernel) = clean_root();
    let headers = format!("usr/src/linux-headers-{}", kernel.is.release);
    let root = work.join("root");
    // Making the metadata takes long without KVM.
    let from = kernel.dir.join(&headers);
    let list = fs::read_to_string(from.join("rust-metadata.list")).unwrap();
    let added = list.lines().skip_while(|line| !line.starts_with("# added"));
    let added = added.skip(1).map(|line| line.split_once("  ").unwrap().1);
    for file in added.chain(["rust-metadata.list"]) {
        let to = root.join(&headers).join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from.join(file), to).unwrap();
    }
    succeed(
        Command::new(top().join("qemu/boot"))
            .args(["--kernel", &kernel.name, "--root"])
            .arg(&root)
            .args(["--memory", "6144", "--boot-timeout", "600"])
            .args(["--timeout", "1800", "--"])
            .args(["sh", "-c", "cd /fortune && sh guest"]),
    );
}
