// SPDX-License-Identifier: GPL-2.0

//! linux-rust-metadata(8): what it adds to kernels' headers, when it refuses to, and what is left when it is disturbed.
//!
//! Most header directories here are fabricated, and so is the kernel's source, whose makefile makes what the kernel's would,
//! in no time. With the real ones it has made the metadata of all kernels that the tests run on.

use super::native::{FAILED, FINE, Fabricated, files, headers};
use crate::kernel::work;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, setsid},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, OpenOptions},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

ktap::tests!(metadata, Host, Stock:
    added_and_removed,
    shared_by_flavours,
    refused,
    source_is_refused,
    what_is_there_is_left_alone,
    verified,
    killed_at_any_moment,
    two_at_once,
    without_room,
    source_comes_from_apt,
    others_find_that_rust_is_available,
);

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
             cp /usr/bin/true rust/libmacros.so; \
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

fn added_and_removed() {
    let kdir = without_metadata("added");
    let source = source(&kdir, &[]);
    let before = files(&kdir.kdir);
    let (status, said) = kdir.make(&["rust-metadata", &source]);
    assert_eq!(status, Some(FINE), "{said}");
    assert!(said.contains("1 of 1 symbols of the Rust crates"), "{said}");
    kdir.assert_doctor(FINE, &["Nothing is missing for building for "]);

    let (status, said) = kdir.make(&["rust-metadata", &source]);
    assert_eq!(status, Some(FINE));
    assert!(said.ends_with(": complete"), "{said}");

    let (status, said) = kdir.make(&["rust-metadata", "REMOVE=1"]);
    assert_eq!(status, Some(FINE), "{said}");
    assert_eq!(files(&kdir.kdir), before);
    assert_refused(&kdir, &["REMOVE=1"], "nothing was added to ");
}

fn shared_by_flavours() {
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

    // One that is damaged is made anew, though the other one has listed it.
    let shared = scripts.join("target.json");
    fs::write(&shared, "of nobody").unwrap();
    assert_eq!(kdir.make(&["rust-metadata", &archive]).0, Some(FINE));
    other.assert_doctor(FINE, &["Nothing is missing"]);

    // One that is removed leaves the other's.
    let remove = ["rust-metadata", "REMOVE=1"];
    assert_eq!(kdir.make(&remove).0, Some(FINE));
    other.assert_doctor(FINE, &["Nothing is missing"]);

    // One that disagrees is refused.
    fs::write(&shared, "of the other flavour").unwrap();
    let list = other.kdir.join("rust-metadata.list");
    let listed = fs::read_to_string(&list).unwrap();
    let sum = |file: &Path| {
        let sum = Command::new("sha256sum").arg(file).output().unwrap();
        String::from_utf8(sum.stdout).unwrap()[..64].to_owned()
    };
    let line = listed.lines().find(|line| line.ends_with("/target.json"));
    let listed = listed.replace(&line.unwrap()[..64], &sum(&shared));
    fs::write(&list, listed).unwrap();
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

fn refused() {
    let assert_refused = |kdir: &Fabricated, says| {
        assert_refused(kdir, &[&source(kdir, &[])], says);
    };

    let kdir = without_metadata("no_rust_at_all");
    kdir.configure("CONFIG_RUST=", "# CONFIG_RUST is not set");
    assert_refused(&kdir, "is built without Rust (CONFIG_RUST)");

    let kdir = without_metadata("checksums");
    kdir.configure("# CONFIG_MODVERSIONS", "CONFIG_MODVERSIONS=y");
    assert_refused(&kdir, "has checksums for symbols (CONFIG_MODVERSIONS)");

    let kdir = without_metadata("refused_other_rustc");
    kdir.program("rustc", "echo 'rustc 1.2.3 (of another day)'");
    assert_refused(
        &kdir,
        "rustc is rustc 1.2.3 (of another day), but the kernel was built with",
    );

    let kdir = without_metadata("refused_other_gcc");
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

fn source_is_refused() {
    let kdir = without_metadata("no_source");
    assert_refused(
        &kdir,
        &[],
        "the source of the kernel can't be downloaded: E: ",
    );

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

fn what_is_there_is_left_alone() {
    let kdir = Fabricated::new("ubuntu");
    let before = files(&kdir.kdir);
    let (status, said) = kdir.make(&["rust-metadata"]);
    assert_eq!(status, Some(FINE), "{said}");
    assert!(
        said.ends_with("its headers came with the Rust metadata: nothing is to be added"),
        "{said}"
    );
    assert_eq!(files(&kdir.kdir), before);
}

/// What `linux-rust-metadata COMMAND KDIR` says, and its status.
fn command(kdir: &Fabricated, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("scripts/linux-rust-metadata")
        .args(arguments)
        .arg(&kdir.kdir)
        .env("PATH", &kdir.path)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Whatever does not fit any more is found and named, by doctor too, and made anew, or refused and then gone.
fn verified() {
    let append = |file: &Path, text: &str| {
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    type Falsify<'a> = &'a dyn Fn(&Fabricated);
    let repaired = Ok(());
    let cases: [(&str, Falsify<'_>, &str, Result<(), &str>); 8] = [
        (
            "truncated",
            &|kdir| {
                fs::write(
                    kdir.kdir.join("rust/libmacros.so"),
                    &fs::read("/usr/bin/true").unwrap()[..1000],
                )
                .unwrap()
            },
            "rust/libmacros.so is not as it was made",
            repaired,
        ),
        (
            "gone",
            &|kdir| kdir.remove("rust/libbindings.rmeta"),
            "rust/libbindings.rmeta is gone",
            repaired,
        ),
        (
            "other_rustc",
            &|kdir| {
                fs::write(
                    kdir.kdir.join("rust/libcore.rmeta"),
                    "rustc 1.2.3 (of another day)",
                )
                .unwrap()
            },
            "rust/libcore.rmeta was made by rustc 1.2.3 (of another day), but the kernel was built with rustc 1.",
            repaired,
        ),
        (
            "shared_script",
            &|kdir| append(&kdir.kdir.join("scripts/target.json"), "more"),
            "scripts/target.json is not as it was made",
            repaired,
        ),
        (
            "half_a_list",
            &|kdir| fs::write(kdir.kdir.join("rust-metadata.list"), "").unwrap(),
            "rust-metadata.list is not whole",
            // What it has added is not known.
            Err("there is a"),
        ),
        (
            "replaced_headers",
            &|kdir| {
                append(
                    &kdir.kdir.join("include/generated/package.h"),
                    "// of another build",
                )
            },
            "include/generated/package.h is another than what the metadata was made for",
            repaired,
        ),
        (
            "other_symvers",
            &|kdir| {
                append(
                    &kdir.kdir.join("Module.symvers"),
                    "0x00000000\tthree\tvmlinux\tEXPORT_SYMBOL_GPL\t\n",
                )
            },
            "Module.symvers is another than what the metadata was made for",
            repaired,
        ),
        (
            "falsified_symvers",
            &|kdir| {
                fs::write(
                    kdir.kdir.join("Module.symvers"),
                    "0x00000000\ttwo\tvmlinux\tEXPORT_SYMBOL_GPL\t\n",
                )
                .unwrap();
            },
            "Module.symvers is another than what the metadata was made for",
            Err("1 of 1 symbols of the Rust crates are not in "),
        ),
    ];
    for (name, falsify, finds, then) in cases {
        let kdir = without_metadata(&format!("verified_{name}"));
        let source = source(&kdir, &[]);
        let archive = source.strip_prefix("SOURCE=").unwrap();
        assert_eq!(kdir.make(&["rust-metadata", &source]).0, Some(FINE));
        assert_eq!(command(&kdir, &["check"]).0, Some(0));
        falsify(&kdir);

        let (status, said) = command(&kdir, &["check"]);
        assert!(status == Some(1) && said.contains(finds), "{name}: {said}");
        if name == "truncated" {
            let (status, said) = kdir.make(&["doctor"]);
            assert!(said.contains(finds), "{name}: {said}");
            assert_eq!(status, Some(FAILED), "{name}: {said}");
        }
        let (status, said) = command(&kdir, &["status"]);
        assert!(
            status == Some(0) && said.lines().count() == 1,
            "{name}: {said}"
        );

        let (status, said) = command(&kdir, &["sync", "--verbose", "--source", archive]);
        match then {
            Ok(()) => {
                assert_eq!(status, Some(0), "{name}: {said}");
                assert_eq!(command(&kdir, &["check"]).0, Some(0), "{name}");
            }
            Err(why) => {
                assert_eq!(status, Some(1), "{name}: {said}");
                assert!(said.contains(why), "{name}: {said}");
                assert!(!kdir.kdir.join("rust-metadata.list").exists());
                // Never old metadata that looks as if it fitted.
                let (status, said) = command(&kdir, &["check"]);
                assert!(name == "half_a_list" || status == Some(1), "{name}: {said}");
            }
        }
    }

    // What rustc loads is of its own architecture.
    let kdir = Fabricated::new("verified_architecture");
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0\x01\0\0\0".to_vec();
    elf.resize(64, 0);
    fs::write(kdir.kdir.join("rust/libmacros.so"), elf).unwrap();
    let finds =
        "rust/libmacros.so, which rustc loads, is another architecture's than this machine's";
    let (status, said) = command(&kdir, &["check"]);
    assert!(status == Some(1) && said.contains(finds), "{said}");
    kdir.assert_doctor(FAILED, &[finds]);
}

/// Waits until something is so.
#[track_caller]
fn until(is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it takes too long"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// A run of it, as the leader of a session.
fn begin(kdir: &Fabricated, archive: &str) -> Child {
    let mut command = Command::new("scripts/linux-rust-metadata");
    // SAFETY: this is a call of the kernel, which a child may make before it runs another program.
    unsafe { command.pre_exec(|| Ok(setsid().map(|_| ())?)) };
    command
        .args(["sync", "--verbose", "--source", archive])
        .arg(&kdir.kdir)
        .env("PATH", &kdir.path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A source whose `prepare` writes a line to the file `there`, and waits for the file `go`; and the first one's path.
fn waiting_source(kdir: &Fabricated) -> (String, PathBuf) {
    let plain = source(kdir, &[]);
    let makefile = kdir.top.join("linux-source/Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    let there = kdir.top.join("there");
    let wait = format!(
        "prepare:\n\techo >> {0}/there; while [ ! -e {0}/go ]; do sleep 0.05; done\n\t",
        kdir.top.display()
    );
    fs::write(&makefile, text.replace("prepare:\n\t", &wait)).unwrap();
    let archive = plain.strip_prefix("SOURCE=").unwrap().to_owned();
    let made = Command::new("tar")
        .args(["--create", "--xz", "--file", &archive, "-C"])
        .arg(&kdir.top)
        .arg("linux-source")
        .status();
    assert!(made.unwrap().success());
    (archive, there)
}

/// Kills all processes of a session.
fn kill_session(leader: u32) {
    for process in fs::read_dir("/proc").unwrap() {
        let stat = fs::read_to_string(process.unwrap().path().join("stat")).unwrap_or_default();
        // The name can have spaces in it; then come the state, the parent, the group and the session.
        let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3);
        if session == Some(&leader.to_string()) {
            let process = stat.split(' ').next().unwrap().parse().unwrap();
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
    }
}

/// SIGTERM leaves nothing; SIGKILL leaves what the next run removes; and never half of it.
fn killed_at_any_moment() {
    let kdir = without_metadata("killed");
    let (archive, there) = waiting_source(&kdir);
    let before = files(&kdir.kdir);

    let mut run = begin(&kdir, &archive);
    until(|| there.exists());
    kill(Pid::from_raw(run.id() as i32), Signal::SIGTERM).unwrap();
    assert!(!run.wait().unwrap().success());
    assert_eq!(files(&kdir.kdir), before);

    fs::remove_file(&there).unwrap();
    let mut run = begin(&kdir, &archive);
    until(|| there.exists());
    kill_session(run.id());
    run.wait().unwrap();
    let (status, said) = command(&kdir, &["check"]);
    assert!(
        status == Some(1) && said.contains("it lacks the Rust metadata"),
        "{said}"
    );
    fs::write(kdir.top.join("go"), "").unwrap();
    let (status, said) = command(&kdir, &["sync", "--verbose", "--source", &archive]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(command(&kdir, &["check"]).0, Some(0));
    assert_eq!(command(&kdir, &["remove"]).0, Some(0));
    assert_eq!(files(&kdir.kdir), before);

    // Between what is added first and what comes last.
    assert_eq!(
        command(&kdir, &["sync", "--verbose", "--source", &archive]).0,
        Some(0)
    );
    fs::remove_dir_all(kdir.kdir.join("rust")).unwrap();
    let (status, said) = command(&kdir, &["check"]);
    assert!(
        status == Some(1) && said.contains("rust/libcore.rmeta is gone"),
        "{said}"
    );
    assert_eq!(
        command(&kdir, &["sync", "--verbose", "--source", &archive]).0,
        Some(0)
    );
    assert_eq!(command(&kdir, &["check"]).0, Some(0));
}

fn two_at_once() {
    let kdir = without_metadata("at_once");
    let (archive, there) = waiting_source(&kdir);
    let mut runs = [begin(&kdir, &archive), begin(&kdir, &archive)];
    until(|| there.exists());
    fs::write(kdir.top.join("go"), "").unwrap();
    for run in &mut runs {
        assert!(run.wait().unwrap().success());
    }
    assert_eq!(
        fs::read_to_string(&there).unwrap(),
        "\n",
        "it was made twice"
    );
    assert_eq!(command(&kdir, &["check"]).0, Some(0));
}

fn without_room() {
    let kdir = without_metadata("room");
    let source = source(&kdir, &[]);
    kdir.program(
        "df",
        "case $* in *avail*) printf 'Avail\n12\n' ;; *) printf 'Mounted on\n/usr\n' ;; esac",
    );
    assert_refused(
        &kdir,
        &[&source],
        "this takes 1000 MB of disk for a while, and /usr has 12. Make room there",
    );
}

/// The source is exactly that of the kernel: an installed one if it is, or else what apt has.
fn source_comes_from_apt() {
    let kdir = without_metadata("apt");
    let package = fs::read_to_string(kdir.kdir.join("include/generated/package.h")).unwrap();
    let version = package.split(" Debian ").nth(1).unwrap();
    let version = version.split('"').next().unwrap();
    let archive = source(&kdir, &[]);
    let archive = archive.strip_prefix("SOURCE=").unwrap();

    // A package as apt would bring it.
    let deb = kdir.top.join("deb");
    fs::create_dir_all(deb.join("DEBIAN")).unwrap();
    fs::create_dir_all(deb.join("usr/src")).unwrap();
    fs::write(
        deb.join("DEBIAN/control"),
        "Package: linux-source\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n",
    )
    .unwrap();
    let release = fs::read_to_string(kdir.kdir.join("include/generated/utsrelease.h")).unwrap();
    let series: Vec<&str> = release.split('"').nth(1).unwrap().split('.').collect();
    let series = format!("{}.{}", series[0], series[1]);
    fs::copy(
        archive,
        deb.join(format!("usr/src/linux-source-{series}.tar.xz")),
    )
    .unwrap();
    let made = Command::new("dpkg-deb")
        .arg("--build")
        .arg(&deb)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let asked = kdir.top.join("asked");
    kdir.program(
        "apt-get",
        &format!(
            "echo \"$*\" > {}; cp {}.deb .",
            asked.display(),
            deb.display()
        ),
    );
    let before = files(&kdir.kdir);
    let (status, said) = command(&kdir, &["sync", "--verbose"]);
    assert_eq!(status, Some(0), "{said}");
    let asked = fs::read_to_string(asked).unwrap();
    let wanted = format!("download linux-source-{series}={version}\n");
    assert!(asked.ends_with(&wanted), "{asked}");
    assert_eq!(command(&kdir, &["remove"]).0, Some(0));
    // It is not kept.
    assert_eq!(files(&kdir.kdir), before);

    for (says, cause) in [
        (
            "E: Version '1' for 'linux-source' was not found",
            "was not found. apt-get install linux-source-",
        ),
        (
            "E: Failed to fetch: Temporary failure resolving",
            "Temporary failure resolving. apt-get install linux-source-",
        ),
    ] {
        kdir.program("apt-get", &format!("echo \"{says}\" >&2; exit 100"));
        assert_refused(&kdir, &[], cause);
    }
}

/// The kernel's script that modules such as bcachefs ask: one with the same question gets the answer y.
fn others_find_that_rust_is_available() {
    let module = work("rust_is_available");
    fs::write(
        module.join("Makefile"),
        "answer := $(shell RUSTC=rustc BINDGEN=bindgen CC=gcc $(KDIR)/scripts/rust_is_available.sh > said 2>&1 && echo y)\n\
         all:\n\t@echo \"$(answer)\"\n",
    )
    .unwrap();
    let output = Command::new("make")
        .args(["--silent", "--no-print-directory", "-C"])
        .arg(&module)
        .arg(format!("KDIR={}", headers().display()))
        .output()
        .unwrap();
    let said = fs::read_to_string(module.join("said")).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "y\n", "{said}");
    // Without the metadata there is nothing to ask.
    let list = fs::read_to_string(headers().join("rust-metadata.list")).unwrap();
    for script in ["rust_is_available.sh", "min-tool-version.sh", "target.json"] {
        assert!(list.contains(&format!("scripts/{script}")), "{list}");
    }
}
