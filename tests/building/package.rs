// SPDX-License-Identifier: GPL-2.0

//! The Debian package, with the real package manager: in a clean root, where it has to make the Rust metadata, and in a
//! guest, where what it has built is loaded.

use crate::kernel::{Kernel, checkout, default_kernel, succeed, top, work};
use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    sync::OnceLock,
};

ktap::tests!(package, Machine, Asked: in_a_clean_root, in_a_guest);

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
            let deb = succeed(Command::new("scripts/deb").arg(version));
            let deb = PathBuf::from(deb.trim_end());
            fs::copy(&deb, work.join(deb.file_name().unwrap())).unwrap();
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
        (work, kernel)
    })
}

fn in_a_guest() {
    let (work, kernel) = clean_root();
    let headers = format!("usr/src/linux-headers-{}", kernel.is.release);
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
    for (from, to) in [
        ("rust", ""),
        ("rust-metadata.list", ""),
        ("scripts/target.json", "scripts"),
    ] {
        succeed(
            Command::new("cp")
                .arg("-r")
                .arg(kernel.dir.join(&headers).join(from))
                .arg(root.join(&headers).join(to)),
        );
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
