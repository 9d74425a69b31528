// SPDX-License-Identifier: GPL-2.0

//! What `make` and `make doctor` do on a machine that runs a kernel with Rust itself, beyond what each
//! build for a kernel of the project shows: those call the same verbs.
//!
//! Most build directories here are fabricated: the configuration of a real one, with one thing wrong.

use crate::kernel::{kernel, work};
use ktap::Need;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

ktap::tests!(native, Host, Stock:
    doctor_finds_nothing,
    doctor_names_each_cause,
    doctor_notes_what_comes_later,
    doctor_of_several_kernels,
    doctor_of_other_distributions,
    builds_are_reproducible,
);

/// The build directory of the first stock kernel.
pub(crate) fn headers() -> &'static Path {
    &kernel(Need::Stock).is.headers
}

/// A build directory that a test can break, and a directory of programs that come first.
pub(crate) struct Fabricated {
    pub(crate) top: PathBuf,
    pub(crate) kdir: PathBuf,
    /// The programs that the tests see.
    pub(crate) path: String,
}

impl Fabricated {
    /// One that is as it should be.
    pub(crate) fn new(name: &str) -> Self {
        let top = work(name);
        let kdir = top.join("linux-headers");
        for directory in ["rust", "scripts/basic", "include/generated"] {
            fs::create_dir_all(kdir.join(directory)).unwrap();
        }
        fs::create_dir(top.join("bin")).unwrap();
        let real = headers();
        for file in [
            ".config",
            "include/generated/utsrelease.h",
            "include/generated/package.h",
            "scripts/basic/fixdep",
            "scripts/target.json",
        ] {
            fs::copy(real.join(file), kdir.join(file)).unwrap();
        }
        for file in ["rust/libkernel.rmeta", "vmlinux"] {
            fs::write(kdir.join(file), "").unwrap();
        }
        let path = format!("{}:/usr/bin:/usr/sbin", top.join("bin").display());
        Self { top, kdir, path }
    }

    /// Replaces the line of the configuration that begins so.
    pub(crate) fn configure(&self, begins: &str, line: &str) {
        let config = self.kdir.join(".config");
        let text = fs::read_to_string(&config).unwrap();
        let old = text.lines().find(|line| line.starts_with(begins));
        let old = old.unwrap_or_else(|| panic!("{begins} is not in the configuration"));
        fs::write(&config, text.replace(old, line)).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.kdir.join(file)).unwrap();
    }

    /// Puts a program before all others.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let program = self.top.join("bin").join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Leaves all programs but one.
    fn without(&mut self, name: &str) {
        let bin = self.top.join("bin");
        for program in fs::read_dir("/usr/bin").unwrap() {
            let program = program.unwrap();
            if program.file_name() != name {
                symlink(program.path(), bin.join(program.file_name())).unwrap();
            }
        }
        self.path = bin.to_str().unwrap().to_owned();
    }

    /// Runs `make` in this checkout; returns its status and what it said, without what make itself says.
    pub(crate) fn make<S: AsRef<OsStr>>(&self, arguments: &[S]) -> (Option<i32>, String) {
        let output = Command::new("/usr/bin/make")
            .args(["--silent", "--no-print-directory"])
            .arg(format!("KDIR={}", self.kdir.display()))
            .args(arguments)
            .env("PATH", &self.path)
            .output()
            .expect("make");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.starts_with("make: "))
            .collect();
        (output.status.code(), said.join("\n"))
    }

    /// `doctor` says these lines, each at least so much of it, and no other.
    #[track_caller]
    pub(crate) fn assert_doctor(&self, status: i32, says: &[&str]) {
        let (code, said) = self.make(&["doctor"]);
        assert_eq!(said.lines().count(), says.len(), "{said}");
        for (line, says) in said.lines().zip(says) {
            assert!(line.contains(says), "{said}");
        }
        assert_eq!(code, Some(status), "{said}");
    }
}

pub(crate) const FINE: i32 = 0;
/// The status of make where a command failed.
pub(crate) const FAILED: i32 = 2;

fn doctor_finds_nothing() {
    let kdir = Fabricated::new("fine");
    kdir.assert_doctor(FINE, &["Nothing is missing for building for "]);
}

fn doctor_names_each_cause() {
    let mut kdir = Fabricated::new("no_directory");
    fs::remove_dir_all(&kdir.kdir).unwrap();
    kdir.assert_doctor(FAILED, &["does not exist. Name the build directory"]);

    kdir = Fabricated::new("no_config");
    kdir.remove(".config");
    kdir.assert_doctor(FAILED, &["is no build directory of a configured kernel"]);

    kdir = Fabricated::new("no_rust");
    kdir.configure("CONFIG_RUST=", "# CONFIG_RUST is not set");
    kdir.assert_doctor(FAILED, &["is built without Rust (CONFIG_RUST)"]);

    kdir = Fabricated::new("no_metadata");
    kdir.remove("rust/libkernel.rmeta");
    kdir.assert_doctor(
        FAILED,
        &[
            "lacks the Rust metadata (rust/*.rmeta, scripts/target.json), \
         which Debian's header packages don't hold. Make it: make rust-metadata KDIR=",
        ],
    );

    kdir = Fabricated::new("no_target");
    kdir.remove("scripts/target.json");
    kdir.assert_doctor(FAILED, &["lacks the Rust metadata"]);

    kdir = Fabricated::new("no_rust_src");
    kdir.remove("rust/libkernel.rmeta");
    kdir.program(
        "rustc",
        "[ \"$*\" = '--print sysroot' ] && echo /nowhere || exec /usr/bin/rustc \"$@\"",
    );
    kdir.assert_doctor(
        FAILED,
        &[
            "lacks the Rust metadata",
            "There is no source of Rust's own libraries on this machine. apt-get install rust-src.",
        ],
    );

    kdir = Fabricated::new("other_rustc");
    kdir.program("rustc", "echo 'rustc 1.2.3 (of another day)'");
    kdir.assert_doctor(
        FAILED,
        &["rustc is rustc 1.2.3 (of another day), but the kernel was built with rustc 1."],
    );

    for (tool, package) in [("rustc", "rustc"), ("bindgen", "bindgen")] {
        kdir = Fabricated::new(&format!("no_{tool}"));
        kdir.without(tool);
        let says = format!("There is no {tool} on this machine. apt-get install {package}.");
        kdir.assert_doctor(FAILED, &[&says]);
        // One of another name will do.
        symlink(
            Path::new("/usr/bin").join(tool),
            kdir.top.join("bin/another"),
        )
        .unwrap();
        let named = format!("{}=another", tool.to_uppercase());
        let (status, said) = kdir.make(&["doctor", &named]);
        assert_eq!(status, Some(FINE), "{said}");
        // Of what making metadata takes, it says no more.
        kdir.remove("rust/libkernel.rmeta");
        kdir.assert_doctor(FAILED, &["lacks the Rust metadata", &says]);
    }

    kdir = Fabricated::new("no_gcc");
    kdir.remove("rust/libkernel.rmeta");
    kdir.without("gcc");
    kdir.assert_doctor(
        FAILED,
        &["lacks the Rust metadata", "There is no gcc on this machine"],
    );

    kdir = Fabricated::new("no_libclang");
    kdir.program("bindgen", "echo \"Unable to find libclang: …\"; exit 101");
    kdir.assert_doctor(
        FAILED,
        &["bindgen finds no libclang. apt-get install libclang-dev"],
    );

    kdir = Fabricated::new("old_bindgen");
    kdir.program(
        "bindgen",
        "[ \"$1\" = --version ] && echo 'bindgen 0.56.0' && exit\n\
         echo \"error: Invalid value for '--rust-target'\"; exit 1",
    );
    kdir.assert_doctor(
        FAILED,
        &["bindgen, bindgen 0.56.0, is too old: it fails with error: Invalid value for '--rust-target'. Install 0.71"]);

    kdir = Fabricated::new("other_gcc");
    kdir.configure(
        "CONFIG_CC_VERSION_TEXT=",
        "CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-9 (Debian 9.1.0-1) 9.1.0\"",
    );
    kdir.assert_doctor(
        FAILED,
        &[
            "There is no x86_64-linux-gnu-gcc-9 on this machine, with which the kernel was built. \
         apt-get install gcc-9.",
        ],
    );

    kdir = Fabricated::new("no_clang");
    kdir.configure("CONFIG_CC_IS_GCC=", "CONFIG_CC_IS_CLANG=y");
    kdir.without("clang");
    kdir.assert_doctor(
        FAILED,
        &["There is no clang on this machine, with which the kernel was built. apt-get install clang."]);

    kdir = Fabricated::new("foreign_gcc");
    kdir.configure(
        "CONFIG_CC_VERSION_TEXT=",
        "CONFIG_CC_VERSION_TEXT=\"riscv64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0\"",
    );
    kdir.assert_doctor(FAILED, &["apt-get install gcc-14-riscv64-linux-gnu."]);

    kdir = Fabricated::new("unknown_architecture");
    kdir.configure("CONFIG_X86=", "CONFIG_LOONGARCH=y");
    kdir.assert_doctor(
        FAILED,
        &["is for another architecture than those known here, which are x86 and arm64. Use"],
    );
    // `make` says the same, and no more.
    let (status, said) = kdir.make::<&str>(&[]);
    assert_eq!((status, said.lines().count()), (Some(FAILED), 1), "{said}");
    assert!(said.contains("which are x86 and arm64. Use"), "{said}");
    // Whatever the kernel is for, if there is one.
    for words in [&["ARCH=riscv"][..], &["ARCH=s390", "KDIR=/nowhere"]] {
        let (status, said) = Fabricated::new("told_architecture").make(words);
        assert_eq!((status, said.lines().count()), (Some(FAILED), 1), "{said}");
        assert!(said.contains("which are x86 and arm64. Use"), "{said}");
    }

    kdir = Fabricated::new("foreign_programs");
    // The beginning of a program for arm64.
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    elf.resize(64, 0);
    fs::write(kdir.kdir.join("scripts/basic/fixdep"), elf).unwrap();
    kdir.assert_doctor(FAILED, &["are another architecture's than this machine's"]);
}

fn doctor_of_several_kernels() {
    let fine = Fabricated::new("several_fine");
    let broken = Fabricated::new("several_broken");
    broken.remove("rust/libkernel.rmeta");
    let both = format!("KDIR={} {}", broken.kdir.display(), fine.kdir.display());
    let (status, said) = fine.make(&["doctor", &both]);
    assert_eq!(status, Some(FAILED), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    let lacks = format!("{}: it lacks the Rust metadata", broken.kdir.display());
    assert!(said.lines().any(|line| line.starts_with(&lacks)), "{said}");
    let finds = format!(
        "Nothing is missing for building for {}.",
        fine.kdir.display()
    );
    assert!(said.lines().any(|line| line == finds), "{said}");
}

/// Where the metadata comes from depends on whose kernel it is.
fn doctor_of_other_distributions() {
    for (id, cure) in [
        (
            "ID=ubuntu\nID_LIKE=debian",
            "apt-get install linux-lib-rust-",
        ),
        ("ID=arch", "pacman -S linux-headers"),
        ("ID=manjaro\nID_LIKE=arch", "pacman -S linux-headers"),
        ("ID=fedora", "dnf reinstall kernel-devel-"),
        ("ID=debian", "make rust-metadata KDIR="),
    ] {
        let kdir = Fabricated::new("distribution");
        kdir.remove("rust/libkernel.rmeta");
        let release = kdir.top.join("os-release");
        fs::write(&release, format!("{id}\n")).unwrap();
        let mut doctor = Command::new("scripts/doctor");
        doctor.arg(&kdir.kdir);
        // SAFETY: these are calls of the kernel, which a child may make before it runs another program.
        unsafe {
            doctor.pre_exec(move || {
                unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
                let none = None::<&Path>;
                let bind = MsFlags::MS_BIND;
                mount(Some(&release), "/usr/lib/os-release", none, bind, none)?;
                Ok(())
            });
        }
        let output = doctor.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.lines().count() == 1 && said.contains(cure), "{said}");
        assert_eq!(output.status.code(), Some(1));
        fs::remove_dir_all(&kdir.top).unwrap();
    }
}

fn doctor_notes_what_comes_later() {
    let assert_note = |kdir: &Fabricated, note: &str| {
        kdir.assert_doctor(FINE, &["Nothing is missing for building for ", note]);
    };

    let kdir = Fabricated::new("no_vmlinux");
    kdir.remove("vmlinux");
    assert_note(&kdir, "has no vmlinux: the module will have no BTF");

    let kdir = Fabricated::new("signatures");
    kdir.configure("# CONFIG_MODULE_SIG_FORCE", "CONFIG_MODULE_SIG_FORCE=y");
    assert_note(&kdir, "Note: this kernel loads signed modules only");

    let kdir = Fabricated::new("later_gcc");
    kdir.configure(
        "CONFIG_CC_VERSION_TEXT=",
        "CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (Debian 14.0.0-1) 14.0.0\"",
    );
    assert_note(
        &kdir,
        "but the kernel was built with x86_64-linux-gnu-gcc-14 (Debian 14.0.0-1) 14.0.0",
    );
}

/// All files of a directory, by their paths.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let output = Command::new("find")
        .args([directory, Path::new("-mindepth"), Path::new("1")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<String> = text.lines().map(str::to_owned).collect();
    files.sort();
    files
}

/// The same module comes of the same sources elsewhere, later, and for somebody else.
fn builds_are_reproducible() {
    let elsewhere = work("another/directory");
    let copied = Command::new("cp")
        .arg("-r")
        .args(["Kbuild", "Makefile", "scripts", "src", "tests"])
        .arg(&elsewhere)
        .status();
    assert!(copied.unwrap().success());
    let output = Command::new("unshare")
        .args(["--user", "--map-user=1000", "--", "make"])
        .arg(format!("KDIR={}", headers().display()))
        .env("USER", "somebody")
        .current_dir(&elsewhere)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let ours = fs::read(kernel(Need::Stock).build().join("fortune.ko")).unwrap();
    let theirs = fs::read(elsewhere.join("fortune.ko")).unwrap();
    let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
    assert!(
        ours == theirs,
        "{} and {} bytes, {differ} of which differ",
        ours.len(),
        theirs.len()
    );

    // `make install` puts it where modprobe finds it.
    let root = elsewhere.join("root");
    let output = Command::new("make")
        .arg("install")
        .arg(format!("KDIR={}", headers().display()))
        .arg(format!("INSTALL_MOD_PATH={}", root.display()))
        .current_dir(&elsewhere)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let installed = files(&root.join("lib/modules"));
    let module = installed
        .iter()
        .find(|file| file.contains("/updates/fortune.ko"));
    assert!(module.is_some(), "{installed:?}");
}
