// SPDX-License-Identifier: GPL-2.0

//! Modules that use fortune.ko and must not build, or must not be loaded.

use crate::kernel::{Kernel, Said, kernel, run, succeed, top, work};
use ktap::{Need, note};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) fn tests() -> Vec<ktap::Test> {
    [host::tests(), own_boot::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// Copies a module of tests/symbols, with some words replaced in its source.
fn changed(user: &str, name: &str, words: &str, by: &str) -> PathBuf {
    let dir = work(name);
    let mut found = false;
    for file in fs::read_dir(format!("tests/symbols/{user}")).unwrap() {
        let file = file.unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        found |= text.contains(words);
        fs::write(dir.join(file.file_name()), text.replace(words, by)).unwrap();
    }
    assert!(found, "{words} is not in {user}");
    dir
}

/// A command that builds a module which uses the fortune.ko that was built in a directory.
fn build(kernel: &Kernel, dir: &Path, fortune: &Path) -> Command {
    let mut build = Command::new("qemu/build");
    build
        .arg(&kernel.name)
        .arg(dir)
        .arg(format!("FORTUNE={}", top().display()))
        .env("KBUILD_EXTRA_SYMBOLS", fortune.join("Module.symvers"));
    build
}

/// The directory where it has built one.
fn built(command: &mut Command) -> PathBuf {
    succeed(command).trim_end().into()
}

/// Builds a fortune.ko with words of one of its sources replaced, and returns the directory.
fn another_fortune(kernel: &Kernel, name: &str, source: &str, words: &[(&str, &str)]) -> PathBuf {
    let dir = work(name);
    succeed(
        Command::new("cp")
            .arg("-r")
            .args(["Kbuild", "src"])
            .arg(&dir),
    );
    let source = dir.join("src").join(source);
    let mut text = fs::read_to_string(&source).unwrap();
    for (words, by) in words {
        assert!(text.contains(words), "{words}");
        text = text.replace(words, by);
    }
    fs::write(source, text).unwrap();
    built(Command::new("qemu/build").arg(&kernel.name).arg(dir))
}

/// The same of one that must not build, for a reason with these words, in one line.
#[track_caller]
fn assert_not_built(dir: &Path, fortune: &Path, why: &[&str]) {
    let Said { status, stderr, .. } = run(&mut build(kernel(Need::Kernel), dir, fortune));
    assert!(status != Some(0), "{dir:?} is built");
    let is_it = |line: &&str| why.iter().all(|words| line.contains(words));
    let said = stderr.lines().find(is_it);
    let said = said.unwrap_or_else(|| panic!("not for {why:?}:\n{stderr}"));
    note(said.trim_start_matches("| ").to_owned());
}

mod host {
    use super::*;

    ktap::tests!(symbols, Host, Kernel:
        namespace_is_missing [K1],
        what_is_not_offered,
        what_does_not_build,
        checksums_are_of_the_functions [K7] needs(Debug),
    );

    fn namespace_is_missing() {
        let fortune = kernel(Need::Kernel).build();
        // Kernels differ in the words between these, and in which symbol is the first.
        let why = |module, symbol| {
            let end = "does not import it.";
            [
                "ERROR: modpost: ",
                module,
                symbol,
                "namespace",
                "FORTUNE",
                end,
            ]
        };
        let c = changed("c", "no_import_c", "MODULE_IMPORT_NS(\"FORTUNE\");", "");
        assert_not_built(&c, &fortune, &why("teller_c", "fortune_"));
        // One that uses no function.
        let import = "imports_ns: [\"FORTUNE\"],";
        let rust = changed("constants", "no_import_rust", import, "");
        assert_not_built(&rust, &fortune, &why("teller_constants", "fortune_build_"));
    }

    /// What is public in the crate, and no function of `symbols`, has no symbol.
    fn what_is_not_offered() {
        let fortune = kernel(Need::Kernel).build();
        let change = "fortune::symbols::Offered::new(&fortune::dispenser::Dispenser::new(1)?)?; let text = fortune::draw(&mut buf);";
        let call = "let text = fortune::draw(&mut buf);";
        let rust = changed("rust", "not_offered", call, change);
        let why = [
            "ERROR: modpost: ",
            "7fortune",
            "3new",
            "teller_rust.ko",
            "undefined!",
        ];
        assert_not_built(&rust, &fortune, &why);
    }

    fn what_does_not_build() {
        // The build of fortune.ko is not there.
        let nowhere = work("no_fortune");
        let c = changed(
            "c",
            "no_build",
            "teller_c-y",
            "FORTUNE_BUILD := /nowhere\nteller_c-y",
        );
        let why = "There is no fortune.ko in FORTUNE_BUILD (/nowhere): build it first";
        assert_not_built(&c, &nowhere, &[why]);
        // A module of one file has no place for another object.
        let c = changed("c", "one_file", "teller_c-y := teller.o", "");
        let fortune = kernel(Need::Kernel).build();
        let why = "Say what teller_c.ko is made of: teller_c-y := …";
        assert_not_built(&c, &fortune, &[why]);
    }

    /// The checksums of the functions, by their names, as a build directory has them.
    fn checksums(dir: &Path) -> BTreeMap<String, String> {
        let symvers = fs::read_to_string(dir.join("Module.symvers")).unwrap();
        let words = symvers.lines().map(|line| line.split('\t'));
        let of_fortune = words.filter_map(|mut words| {
            let (checksum, name, module) = (words.next()?, words.next()?, words.next()?);
            let counts = module == "fortune" && !name.starts_with("fortune_build_");
            counts.then(|| (name.to_owned(), checksum.to_owned()))
        });
        of_fortune.collect()
    }

    /// Where the kernel has CONFIG_MODVERSIONS.
    fn checksums_are_of_the_functions() {
        let kernel = kernel(Need::Debug);
        let ours = checksums(&kernel.build());
        assert_eq!(ours.len(), 6, "{ours:?}");
        for (name, checksum) in &ours {
            note(format!("{checksum} {}", rustc_demangle::demangle(name)));
            assert_ne!(checksum, "0x00000000", "{name}");
        }
        // What exports them takes those in Rust for integers of the same name: they would all have the same.
        let different: BTreeSet<&String> = ours.values().collect();
        assert_eq!(different.len(), 6, "{ours:?}");
        // Of what is another function in Rust, and in Rust only, the checksum is another one; of the rest it is not.
        let changes = [
            ("pub fn count() -> u64 {", "pub fn count() -> u32 {"),
            ("pot.stats().fortunes)", "pot.stats().fortunes as u32)"),
        ];
        let other = another_fortune(kernel, "another_function", "symbols/mod.rs", &changes);
        let theirs = checksums(&other);
        assert!(ours.keys().eq(theirs.keys()), "{theirs:?}");
        let changed: Vec<&String> = ours
            .iter()
            .filter(|(name, checksum)| theirs[*name] != **checksum)
            .map(|(name, _)| name)
            .collect();
        assert!(
            changed.len() == 1 && changed[0].ends_with("7symbols5count"),
            "{changed:?}"
        );
    }
}

mod own_boot {
    use super::*;

    ktap::tests!(symbols, Boot:
        another_build_is_refused [K7],
        another_checksum_is_refused [K7] needs(Debug),
        pointers_are_checked needs(Debug),
    );

    fn another_build_is_refused() {
        // For the same kernel, with the same functions: a constant is another one that none of them has to know.
        let kernel = kernel(Need::Kernel);
        let change = [("BATCH_LEN: usize = 32;", "BATCH_LEN: usize = 31;")];
        let fortune = another_fortune(kernel, "another_build", "pot.rs", &change);

        let users = [
            ("c", "teller_c"),
            ("rust", "teller_rust"),
            ("constants", "teller_constants"),
        ];
        let mut boot = kernel.boot();
        for (user, name) in users {
            let dir = changed(user, &format!("another_{user}"), "FORTUNE", "FORTUNE");
            let module = built(&mut build(kernel, &dir, &fortune)).join(format!("{name}.ko"));
            boot.arg(format!("--file={}", module.display()));
        }
        let other = fortune.join("fortune.ko");
        boot.arg(format!("--file={}:/root/other.ko", other.display()));
        let script = "\
            all='teller_c teller_rust teller_constants'; \
            insmod fortune.ko; \
            for name in $all; do insmod $name.ko; done; \
            dmesg | grep -o 'teller.*Unknown symbol fortune_build.*'; \
            grep teller /proc/modules; ls /proc/driver/fortune; \
            rmmod fortune && insmod other.ko; \
            for name in $all; do insmod $name.ko && rmmod $name; done; rmmod fortune";
        let said = run(boot.args(["--", "sh", "-c", script]));
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let lines: Vec<&str> = said.stdout.lines().collect();
        for ((_, name), line) in users.iter().zip(&lines) {
            note((*line).to_owned());
            let begin = format!("{name}: Unknown symbol fortune_build_");
            assert!(line.starts_with(&begin), "{line}");
            assert!(line.ends_with(" (err -2)"), "{line}");
            // Once: not with the build that it was made for.
            let refused = format!(
                "insmod: ERROR: could not insert module {name}.ko: Unknown symbol in module"
            );
            assert_eq!(said.stderr.matches(&refused).count(), 1, "{}", said.stderr);
        }
        let rest = ["clear", "order", "pot", "stats", "when_full"];
        assert_eq!(lines[users.len()..], rest, "{}", said.stderr);
    }

    /// The same build, but that a function has another checksum there: the kernel looks at them.
    fn another_checksum_is_refused() {
        let kernel = kernel(Need::Debug);
        let fortune = work("another_checksum");
        fs::create_dir(fortune.join("src")).unwrap();
        let metadata = "src/libfortune.rmeta";
        fs::copy(kernel.build().join(metadata), fortune.join(metadata)).unwrap();
        let symvers = fs::read_to_string(kernel.build().join("Module.symvers")).unwrap();
        let wrong = |line: &str| match line.split_once("\tfortune_draw\t") {
            Some((_, rest)) => format!("0x12345678\tfortune_draw\t{rest}\n"),
            None => format!("{line}\n"),
        };
        let symvers: String = symvers.lines().map(wrong).collect();
        assert!(symvers.contains("0x12345678"));
        fs::write(fortune.join("Module.symvers"), symvers).unwrap();
        let dir = changed("c", "wrong_checksum", "FORTUNE", "FORTUNE");
        let module = built(&mut build(kernel, &dir, &fortune)).join("teller_c.ko");
        let script = "insmod fortune.ko; insmod teller_c.ko; dmesg | grep -o 'teller_c: disagrees.*'; rmmod fortune";
        let said = run(kernel
            .boot()
            .arg(format!("--file={}", module.display()))
            .args(["--", "sh", "-c", script]));
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let line = "teller_c: disagrees about version of symbol fortune_draw\n";
        assert_eq!(said.stdout, line, "{}", said.stderr);
        note(line.trim_end().to_owned());
    }

    /// By a kernel with CONFIG_CFI, from one module to the other: those of the right type have passed, in all tests
    /// that caller.ko is used for.
    fn pointers_are_checked() {
        let kernel = kernel(Need::Debug);
        let script = "insmod fortune.ko; insmod caller.ko calls=d100 && rmmod caller; insmod caller.ko wrong=1";
        let said = run(kernel
            .boot()
            .args(kernel.test_modules())
            .args(["--", "sh", "-c", script]));
        assert_eq!(said.status, Some(125), "{}", said.stderr);
        let mut lines = said.stderr.lines();
        let failure = lines.find(|line| line.contains("CFI failure at"));
        let failure = failure.unwrap_or_else(|| panic!("{}", said.stderr));
        note(failure.trim_start_matches("| ").to_owned());
        for words in ["[caller]", "target: fortune_count", "[fortune]"] {
            assert!(failure.contains(words), "{failure}");
        }
    }
}
