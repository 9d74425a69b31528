// SPDX-License-Identifier: GPL-2.0

//! Compiles, as Kbuild does, what must not compile: safe code that would be unsound or a mistake, and
//! bindings that don't have the layout of C's structures. Compares attacks.md with the tests that there are.

use crate::kernel::{kernel, top, work};
use ktap::Need;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

ktap::tests!(rejected, Host, Kernel:
    unsound_code,
    table_of_attacks,
    layout_of_a_later_kernel,
    layout_with_two_functions_exchanged,
    layout_with_a_function_more,
    layout_of_another_size,
);

/// Where Kbuild has built the module of scripts/template.
fn build() -> PathBuf {
    kernel(Need::Kernel).build()
}

/// Where the tests of proc_fs are.
fn here() -> PathBuf {
    top().join("tests/proc_fs")
}

/// What each of rejected/*.rs begins with.
const BEGIN: &str = "\
#[path = \"PROC_FS/mod.rs\"]
pub mod proc_fs;

use kernel::{
    fs::{file::Offset, LocalFile},
    prelude::*,
};
use proc_fs::*;

// A table of functions can name the module that it is of.
pub struct Itself;
impl kernel::Module for Itself {
    fn init(_: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
module! {
    type: Itself,
    name: \"case\",
    license: \"GPL\",
}

include!(\"CASE\");
";

/// Compiles `source` with the command that Kbuild has kept, and returns what the compiler says if it refuses.
fn compile(source: &Path, generated: &Path) -> Result<(), String> {
    let kept = build().join("scripts/template/src/.hello.o.cmd");
    let kept = fs::read_to_string(&kept).unwrap_or_else(|error| panic!("{kept:?}: {error}"));
    let (_, command) = kept
        .lines()
        .next()
        .unwrap()
        .split_once(" := ")
        .expect("make's syntax");
    let (command, _) = command.split_once(" --out-dir ").expect("rustc's options");
    let name = source.file_stem().unwrap().to_str().unwrap();
    let object = work("rejected").join(format!("{name}.o"));
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "{command} --cap-lints=allow --emit=obj=\"$1\" \"$2\""
        ))
        .args(["sh".as_ref(), object.as_os_str(), source.as_os_str()])
        .env("PROC_FS_GENERATED", generated)
        // As the kernel's Makefile has it, for the unstable features that it uses.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(build())
        .output()
        .expect("sh");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Each of rejected/*.rs is refused, for the reason that it gives.
fn unsound_code() {
    let proc_fs = top().join("src/proc_fs");
    let work = work("cases");
    let mut sources: Vec<PathBuf> = fs::read_dir(here().join("rejected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    sources.sort();
    let mut wrong = String::new();
    for source in &sources {
        let name = source.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(source).unwrap();
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix("// error: "))
            .unwrap_or_else(|| panic!("{name} does not say what is wrong with it"));
        let begin = BEGIN
            .replace("PROC_FS", proc_fs.to_str().unwrap())
            .replace("CASE", source.to_str().unwrap());
        let whole = work.join(source.file_name().unwrap());
        fs::write(&whole, begin).unwrap();
        // What comes first counts; the rest can follow from it.
        let said = match compile(&whole, &build().join("src/proc_fs")) {
            Ok(()) => "none".to_owned(),
            Err(said) => said.split("\nerror").next().unwrap().to_owned(),
        };
        // The one that compiles is the control of all others.
        if !said.contains(expected) || (expected == "none") != (name == "control") {
            wrong += &format!("{name} is not refused for '{expected}':\n{said}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Each attack of attacks.md has its test, and each of these tests its attack.
fn table_of_attacks() {
    let table = fs::read_to_string(here().join("attacks.md")).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .strip_suffix(" |")?
                .rsplit(" | ")
                .next()
        })
        .chain(
            table
                .lines()
                .filter_map(|line| line.strip_prefix("| all |")?.rsplit('|').nth(1)),
        )
        .map(str::trim)
        .collect();
    assert!(rows.len() >= 40, "{}", rows.len());
    let mut tests: Vec<String> = fs::read_dir(here().join("rejected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| format!("rejected/{}", path.file_stem().unwrap().to_str().unwrap()))
        .filter(|name| name != "rejected/control")
        .collect();
    let declared: Vec<String> = crate::declared()
        .unwrap()
        .into_iter()
        .map(|test| test.name)
        .collect();
    let attacks = declared.iter().filter(|name| name.starts_with("attacks."));
    tests.extend(attacks.cloned());
    for test in &tests {
        assert!(rows.contains(&test.as_str()), "attacks.md lacks {test}");
    }
    tests.extend(declared);
    for row in rows {
        let is_there = tests.iter().any(|test| test == row);
        assert!(is_there, "there is no test {row}");
    }
}

/// Compiles hello.rs with the bindings and the layout changed by `change`.
fn compile_with_layout(name: &str, change: impl Fn(&str) -> String) -> Result<(), String> {
    let directory = work(name);
    for file in ["proc_fs_generated.rs", "layout_generated.rs"] {
        let text = fs::read_to_string(build().join("src/proc_fs").join(file)).unwrap();
        fs::write(directory.join(file), change(&text)).unwrap();
    }
    compile(&top().join("scripts/template/src/hello.rs"), &directory)
}

/// With these changes it does not compile, because of `field`.
fn assert_layout_refused(name: &str, field: &str, change: impl Fn(&str) -> String) {
    let said = compile_with_layout(name, change).expect_err("the layout is wrong");
    let expected = format!("bindgen and the C compiler disagree on {field}");
    assert!(said.contains(&expected), "not for '{expected}':\n{said}");
}

/// A kernel whose `proc_ops` has a member more is no reason to fail.
fn layout_of_a_later_kernel() {
    let size = "pub const size: usize = ";
    let later = compile_with_layout("later", |text| {
        let (before, after) = text
            .split_once("pub struct proc_ops {")
            .unwrap_or((text, ""));
        let text = match after.split_once("\n}") {
            Some((members, rest)) => {
                format!("{before}pub struct proc_ops {{{members}\n pub proc_more: u64,\n}}{rest}")
            }
            None => text.to_owned(),
        };
        text.replace(size, &format!("{size}8 + "))
    });
    assert_eq!(later, Ok(()));
}

fn layout_with_two_functions_exchanged() {
    // Of the same type, so that nothing else would notice.
    assert_layout_refused("exchanged", "proc_ops.proc_open", |text| {
        let text = text.replace("pub proc_open:", "pub proc_what:");
        text.replace("pub proc_release:", "pub proc_open:")
            .replace("pub proc_what:", "pub proc_release:")
    });
}

fn layout_with_a_function_more() {
    assert_layout_refused("more", "proc_ops.proc_open", |text| {
        text.replace("pub proc_flags:", "pub proc_more: u64,\n pub proc_flags:")
    });
}

fn layout_of_another_size() {
    assert_layout_refused("size", "the size of proc_ops", |text| {
        text.replace("pub const size: usize = ", "pub const size: usize = 8 + ")
    });
}
