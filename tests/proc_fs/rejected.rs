// SPDX-License-Identifier: GPL-2.0

//! Compiles, as Kbuild does, what must not compile: safe code that would be unsound or a mistake, and
//! bindings that don't have the layout of C's structures.

use crate::kernel::{kernel, top, work};
use ktap::Need;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

ktap::tests!(rejected, Host, Kernel:
    unsound_code,
    layout_with_two_functions_exchanged,
    layout_with_a_function_more,
    layout_of_another_size,
);

/// Where Kbuild has built tests/proc_fs/hello.rs.
fn build() -> PathBuf {
    kernel(Need::Kernel).build()
}

/// Compiles `source` with the command that Kbuild has kept, and returns what the compiler says if it refuses.
fn compile(source: &Path, generated: &Path) -> Result<(), String> {
    let kept = build().join("tests/proc_fs/.hello.o.cmd");
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
        .env("FORTUNE_GENERATED", generated)
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
    let mut sources: Vec<PathBuf> = fs::read_dir(top().join("tests/proc_fs/rejected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    sources.sort();
    let mut refused = 0;
    for source in &sources {
        let text = fs::read_to_string(source).unwrap();
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix("//! error: "))
            .unwrap_or_else(|| panic!("{source:?} does not say what is wrong with it"));
        match compile(source, &build().join("src/bindings")) {
            Ok(()) => assert_eq!(expected, "none", "{source:?} compiles"),
            Err(said) => {
                // What comes first; the rest can follow from it.
                let first = said.split("\nerror").next().unwrap_or_default();
                assert!(
                    first.contains(expected),
                    "{source:?}, not for '{expected}':\n{said}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused >= 12, "only {refused} of {}", sources.len());
}

/// The bindings, changed by `change`, don't compile, because of `field`.
fn assert_layout_refused(name: &str, field: &str, change: impl Fn(&str) -> String) {
    let directory = work(name);
    for file in ["proc_fs_generated.rs", "layout_generated.rs"] {
        let text = fs::read_to_string(build().join("src/bindings").join(file)).unwrap();
        fs::write(directory.join(file), change(&text)).unwrap();
    }
    let hello = top().join("tests/proc_fs/hello.rs");
    let said = compile(&hello, &directory).expect_err("the layout is wrong");
    let expected = format!("bindgen and the C compiler disagree on {field}");
    assert!(said.contains(&expected), "not for '{expected}':\n{said}");
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
