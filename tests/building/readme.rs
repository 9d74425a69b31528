// SPDX-License-Identifier: GPL-2.0

//! Runs every block of commands in the READMEs, in a checkout of its own: those that are marked `sh` here, or, where they
//! speak of $KDIR, in a root with the headers of the default kernel; those that are marked `console` in a guest. All lines that
//! are shown are printed, in that order: those of a session without a prompt, and of an unmarked block that follows one of
//! commands, with nothing between.

use crate::kernel::{checkout, default_kernel, succeed, work};
use ktap::{Declaration, Need, Place, Test, lasting, note};
use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

/// Where they are.
const READMES: [&str; 7] = [
    "README.md",
    "src/README.md",
    "src/proc_fs/README.md",
    "qemu/README.md",
    "scripts/README.md",
    "tests/README.md",
    "tests/bench/README.md",
];

/// Some commands: where they are, how they are marked, and in which line; and what they print, as it is shown.
struct Block {
    file: &'static str,
    kind: &'static str,
    line: usize,
    commands: String,
    shown: Vec<String>,
}

/// What the lines of a document are.
enum Inside {
    /// The commands of a block of the kind.
    Commands,
    /// A block that follows them.
    Shown,
    /// Something else.
    Other,
}

/// The blocks of that kind.
fn blocks(file: &'static str, kind: &'static str) -> Vec<Block> {
    let readme = fs::read_to_string(file).unwrap_or_default();
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = Inside::Other;
    // Whether there was nothing since the end of a block of commands.
    let mut follows = false;
    let prompt = if kind == "console" { "# " } else { "" };
    for (line, text) in readme.lines().enumerate() {
        match (&inside, text.strip_prefix("```"), blocks.last_mut()) {
            (Inside::Other, Some(mark), _) if mark == kind => {
                inside = Inside::Commands;
                blocks.push(Block {
                    file,
                    kind,
                    line: line + 1,
                    commands: String::new(),
                    shown: Vec::new(),
                });
            }
            (Inside::Other, Some(""), _) if follows => inside = Inside::Shown,
            (Inside::Other, ..) => follows &= text.is_empty(),
            (Inside::Commands | Inside::Shown, Some(_), _) => {
                follows = kind == "sh" && matches!(inside, Inside::Commands);
                inside = Inside::Other;
            }
            (Inside::Commands, None, Some(block)) => match text.strip_prefix(prompt) {
                Some(command) => block.commands += &format!("{command}\n"),
                None => block.shown.push(text.to_owned()),
            },
            (Inside::Shown, None, Some(block)) => block.shown.push(text.to_owned()),
            (Inside::Commands | Inside::Shown, None, None) => unreachable!("it begins with a mark"),
        }
    }
    blocks
}

/// A test for each block.
pub(crate) fn tests() -> Vec<Test> {
    READMES
        .into_iter()
        .flat_map(|file| ["sh", "console"].map(|kind| blocks(file, kind)))
        .flatten()
        .map(|block| Test {
            declaration: Declaration {
                name: format!(
                    "readme.{}_{}_of_line_{}",
                    block.file, block.kind, block.line
                ),
                place: Place::Machine,
                needs: vec![Need::Asked],
                sentences: Vec::new(),
            },
            run: Box::new(move || run(&block)),
        })
        .collect()
}

/// The checkout of their own.
fn copy() -> &'static PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let copy = work("readme").join("checkout");
        checkout(&copy);
        fs::create_dir(copy.join("build")).unwrap();
        copy
    })
}

/// Sees that what is shown was printed.
#[track_caller]
fn assert_shown(block: &Block, printed: &str) {
    let mut lines = printed.lines().map(lasting);
    for line in &block.shown {
        let is_there = lines.any(|printed| printed == lasting(line));
        assert!(is_there, "not as shown from here on: {line}\n{printed}");
    }
    if !block.shown.is_empty() {
        note(format!("{} lines as shown", block.shown.len()));
    }
}

/// As a README says: here, in a root with headers, or in a guest.
fn run(block: &Block) {
    let copy = copy();
    let here = |program: &str| {
        let mut command = Command::new(copy.join(program));
        command.current_dir(copy);
        command
    };
    let script = copy.join("build/block");
    let commands = &block.commands;
    // What was shown before it.
    let before = match block.kind {
        "console" if commands.contains("insmod") => "mkdir -p /var/lib\n",
        "console" => "mkdir -p /var/lib\ninsmod fortune.ko\n",
        _ => "",
    };
    fs::write(&script, format!("set -eux\nexec 2>&1\n{before}{commands}")).unwrap();
    let printed = if block.kind == "console" {
        let file = format!("{}:script", script.display());
        succeed(here("qemu/boot").args(["--file", &file, "--", "sh", "script"]))
    } else if commands.contains("KDIR") {
        let kernel = default_kernel();
        // Where it can be written to, as /usr/src can natively.
        let kdir = kernel
            .dir
            .join(kernel.is.headers.strip_prefix("/").unwrap());
        let kdir = format!("KDIR={}", kdir.display());
        if !copy.join("fortune.ko").exists() {
            succeed(
                here("scripts/enter")
                    .arg("--headers")
                    .arg(&kernel.dir)
                    .args(["make", &kdir]),
            );
        }
        succeed(
            here("scripts/enter")
                .arg("--headers")
                .arg(&kernel.dir)
                .arg("--write")
                .arg(&kernel.dir)
                .args(["env", &kdir, "sh", "build/block"]),
        )
    } else {
        succeed(Command::new("sh").arg("build/block").current_dir(copy))
    };
    assert_shown(block, &printed);
}
