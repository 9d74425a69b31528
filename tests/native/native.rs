// SPDX-License-Identifier: GPL-2.0

//! What `make`, `make doctor` and `make rust-metadata` do on a machine that runs a kernel with Rust itself, beyond what each
//! build for a kernel of the project shows: those call the same verbs.
//!
//! Most build directories here are fabricated: the configuration of a real one, with one thing wrong. The environment
//! variables `HEADERS` and `BUILD` name the build directory of the first kernel and where its modules are; `make test
//! TESTS=native` sets them.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// The build directory of the first kernel.
fn headers() -> PathBuf {
    env::var_os("HEADERS")
        .expect("set by make test TESTS=native")
        .into()
}

/// A build directory that a test can break, and a directory of programs that come first.
struct Fabricated {
    top: PathBuf,
    kdir: PathBuf,
    /// The programs that the tests see.
    path: String,
}

impl Fabricated {
    /// One that is as it should be.
    fn new(name: &str) -> Self {
        let top = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&top);
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
    fn configure(&self, begins: &str, line: &str) {
        let config = self.kdir.join(".config");
        let text = fs::read_to_string(&config).unwrap();
        let old = text.lines().find(|line| line.starts_with(begins));
        let old = old.unwrap_or_else(|| panic!("{begins} is not in the configuration"));
        fs::write(&config, text.replace(old, line)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.kdir.join(file)).unwrap();
    }

    /// Puts a program before all others.
    fn program(&self, name: &str, script: &str) {
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
    fn make<S: AsRef<OsStr>>(&self, arguments: &[S]) -> (Option<i32>, String) {
        let output = Command::new("/usr/bin/make")
            .args(["--silent", "--no-print-directory", "-C", "../.."])
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
    fn assert_doctor(&self, status: i32, says: &[&str]) {
        let (code, said) = self.make(&["doctor"]);
        assert_eq!(said.lines().count(), says.len(), "{said}");
        for (line, says) in said.lines().zip(says) {
            assert!(line.contains(says), "{said}");
        }
        assert_eq!(code, Some(status), "{said}");
    }
}

const FINE: i32 = 0;
/// The status of make where a command failed.
const FAILED: i32 = 2;

#[test]
fn doctor_finds_nothing() {
    let kdir = Fabricated::new("fine");
    kdir.assert_doctor(FINE, &["Nothing is missing for building for "]);
}

#[test]
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

    kdir = Fabricated::new("foreign_programs");
    // The beginning of a program for arm64.
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    elf.resize(64, 0);
    fs::write(kdir.kdir.join("scripts/basic/fixdep"), elf).unwrap();
    kdir.assert_doctor(FAILED, &["are another architecture's than this machine's"]);
}

#[test]
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

/// A build directory without metadata.
fn without_metadata(name: &str) -> Fabricated {
    let kdir = Fabricated::new(name);
    fs::remove_dir_all(kdir.kdir.join("rust")).unwrap();
    kdir.remove("scripts/target.json");
    fs::write(
        kdir.kdir.join("Module.symvers"),
        "0x00000000\tone\tvmlinux\tEXPORT_SYMBOL_GPL\t\n0x00000000\ttwo\tvmlinux\tEXPORT_SYMBOL_GPL\t\n",
    )
    .unwrap();
    kdir
}

/// Makes an archive that stands in for the kernel's source: its makefile makes what the kernel's would, in no time. The
/// rules come instead of those that it has otherwise.
fn source(kdir: &Fabricated, instead: &[(&str, &str)]) -> String {
    let release = fs::read_to_string(kdir.kdir.join("include/generated/utsrelease.h")).unwrap();
    let release = release.split('"').nth(1).unwrap();
    let version = format!("@echo {}", release.split('+').next().unwrap());
    let mut rules = BTreeMap::from([
        ("kernelversion", version.as_str()),
        ("olddefconfig", "true"),
        (
            "prepare",
            "mkdir -p rust scripts; echo target > scripts/target.json; \
             $(or $(RUSTC),rustc) --version > rust/libcore.rmeta; \
             for name in kernel bindings; do echo of the kernel > rust/lib$$name.rmeta; done; \
             echo macros > rust/libmacros.so; \
             mkdir rust/kernel; echo of the crate > rust/kernel/lib.rs; \
             echo for editors > scripts/generate_rust_analyzer.py; \
             echo 'EXPORT_SYMBOL_RUST_GPL(one);' > rust/exports_kernel_generated.h",
        ),
    ]);
    rules.extend(instead.iter().copied());
    let rules: String = rules
        .iter()
        .map(|(target, recipe)| format!("{target}:\n\t{recipe}\n"))
        .collect();
    let tree = kdir.top.join("linux-source");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("Makefile"), rules).unwrap();
    let archive = kdir.top.join("linux-source.tar.xz");
    let made = Command::new("tar")
        .args(["--create", "--xz", "--file"])
        .arg(&archive)
        .arg("-C")
        .arg(&kdir.top)
        .arg("linux-source")
        .status();
    assert!(made.unwrap().success());
    format!("SOURCE={}", archive.display())
}

/// All files of a directory, by their paths.
fn files(directory: &Path) -> Vec<String> {
    let output = Command::new("find")
        .args([directory, Path::new("-mindepth"), Path::new("1")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<String> = text.lines().map(str::to_owned).collect();
    files.sort();
    files
}

/// Making metadata fails with this as its last line, and leaves nothing behind.
#[track_caller]
fn assert_refused(kdir: &Fabricated, arguments: &[&str], says: &str) {
    let before = files(&kdir.kdir);
    let (status, said) = kdir.make(&[&["rust-metadata"], arguments].concat());
    assert_eq!(status, Some(FAILED), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains(says), "{said}");
    assert_eq!(files(&kdir.kdir), before);
}

#[test]
fn metadata_is_added_and_removed() {
    let kdir = without_metadata("added");
    let source = source(&kdir, &[]);
    let before = files(&kdir.kdir);
    let (status, said) = kdir.make(&["rust-metadata", &source]);
    assert_eq!(status, Some(FINE), "{said}");
    assert!(said.contains("1 of 1 symbols of the Rust crates"), "{said}");
    kdir.assert_doctor(FINE, &["Nothing is missing for building for "]);

    let (status, said) = kdir.make(&["rust-metadata", &source]);
    assert_eq!(status, Some(FINE));
    assert!(
        said.ends_with("has been completed before; REMOVE=1 takes it away again"),
        "{said}"
    );

    let (status, said) = kdir.make(&["rust-metadata", "REMOVE=1"]);
    assert_eq!(status, Some(FINE), "{said}");
    assert_eq!(files(&kdir.kdir), before);
    assert_refused(&kdir, &["REMOVE=1"], "nothing was added to ");
}

#[test]
fn metadata_is_shared_by_flavours() {
    let kdir = without_metadata("flavours");
    let archive = source(&kdir, &[]);
    // As in Debian, the scripts are those of another flavour too.
    let scripts = kdir.top.join("scripts");
    fs::rename(kdir.kdir.join("scripts"), &scripts).unwrap();
    let other = Fabricated {
        top: kdir.top.clone(),
        kdir: kdir.top.join("linux-headers-other"),
        path: kdir.path.clone(),
    };
    let copied = Command::new("cp")
        .arg("-r")
        .args([&kdir.kdir, &other.kdir])
        .status();
    assert!(copied.unwrap().success());
    for flavour in [&kdir, &other] {
        symlink(&scripts, flavour.kdir.join("scripts")).unwrap();
        let (status, said) = flavour.make(&["rust-metadata", &archive]);
        assert_eq!(status, Some(FINE), "{said}");
    }

    // One that is removed leaves the other's.
    let remove = ["rust-metadata", "REMOVE=1"];
    assert_eq!(kdir.make(&remove).0, Some(FINE));
    other.assert_doctor(FINE, &["Nothing is missing"]);

    // One that disagrees is refused.
    let shared = scripts.join("target.json");
    fs::write(&shared, "of the other flavour").unwrap();
    assert_refused(
        &kdir,
        &[&archive],
        "which all flavours of this kernel share, is another one's: ",
    );
    // Where the package has gone meanwhile, nothing of it is left.
    for entry in fs::read_dir(&other.kdir).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().and_then(OsStr::to_str) {
            Some("rust" | "rust-metadata.list") => {}
            _ if path.is_dir() && !path.is_symlink() => fs::remove_dir_all(path).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
    }
    assert_eq!(other.make(&remove).0, Some(FINE));
    assert!(!shared.exists());
    assert!(!other.kdir.exists());
}

#[test]
fn metadata_is_refused() {
    let assert_refused = |kdir: &Fabricated, says| {
        assert_refused(kdir, &[&source(kdir, &[])], says);
    };

    let kdir = without_metadata("no_rust_at_all");
    kdir.configure("CONFIG_RUST=", "# CONFIG_RUST is not set");
    assert_refused(&kdir, "is built without Rust (CONFIG_RUST)");

    let kdir = without_metadata("checksums");
    kdir.configure("# CONFIG_MODVERSIONS", "CONFIG_MODVERSIONS=y");
    assert_refused(&kdir, "has checksums for symbols (CONFIG_MODVERSIONS)");

    let kdir = without_metadata("metadata_other_rustc");
    kdir.program("rustc", "echo 'rustc 1.2.3 (of another day)'");
    assert_refused(
        &kdir,
        "rustc is rustc 1.2.3 (of another day), but the kernel was built with",
    );

    let kdir = without_metadata("metadata_other_gcc");
    kdir.configure(
        "CONFIG_CC_VERSION_TEXT=",
        "CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (Debian 14.0.0-1) 14.0.0\"",
    );
    assert_refused(&kdir, "and metadata takes the very same. Install that one");

    let kdir = without_metadata("other_symbols");
    fs::write(
        kdir.kdir.join("Module.symvers"),
        "0x00000000\ttwo\tvmlinux\tEXPORT_SYMBOL_GPL\t\n",
    )
    .unwrap();
    assert_refused(&kdir, "1 of 1 symbols of the Rust crates are not in ");
}

#[test]
fn source_is_refused() {
    let kdir = without_metadata("no_source");
    assert_refused(&kdir, &[], "is not here. apt-get install linux-source-7.");

    let kdir = without_metadata("other_source");
    let archive = source(&kdir, &[("kernelversion", "@echo 1.2.3")]);
    assert_refused(&kdir, &[&archive], "is that of 1.2.3, but ");

    // What the kernel's own makefile finds out about the tools.
    let kdir = without_metadata("other_configuration");
    let finds = "echo CONFIG_RUSTC_HAS_SOMETHING=y >> .config";
    let archive = source(&kdir, &[("olddefconfig", finds)]);
    assert_refused(
        &kdir,
        &[&archive],
        "the tools here are not those the kernel was built with",
    );
}

#[test]
fn metadata_that_is_there_is_left_alone() {
    let kdir = Fabricated::new("ubuntu");
    let before = files(&kdir.kdir);
    let (status, said) = kdir.make(&["rust-metadata"]);
    assert_eq!(status, Some(FINE), "{said}");
    assert!(
        said.ends_with("came with its Rust metadata: nothing is to be added"),
        "{said}"
    );
    assert_eq!(files(&kdir.kdir), before);
}

/// The same module comes of the same sources elsewhere, later, and for somebody else.
#[test]
fn builds_are_reproducible() {
    let elsewhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("another/directory");
    let _ = fs::remove_dir_all(&elsewhere);
    fs::create_dir_all(&elsewhere).unwrap();
    let top = fs::canonicalize("../..").unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .args(["Kbuild", "Makefile", "scripts", "src", "tests"].map(|name| top.join(name)))
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
    let build = env::var_os("BUILD").expect("set by make test TESTS=native");
    let ours = fs::read(Path::new(&build).join("fortune.ko")).unwrap();
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
