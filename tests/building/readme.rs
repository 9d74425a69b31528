// SPDX-License-Identifier: GPL-2.0

//! Runs every block of commands in the READMEs, in a checkout of its own: those that are marked `sh` here, or, where they
//! speak of $KDIR, in a root with the headers of the default kernel; those that are marked `console` in a guest.

use crate::kernel::{checkout, default_kernel, succeed, work};
use ktap::{Declaration, Need, Place, Test};
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

/// Some commands: where they are, how they are marked, and in which line.
struct Block {
    file: &'static str,
    kind: &'static str,
    line: usize,
    text: String,
}

/// The blocks of that kind.
fn blocks(file: &'static str, kind: &'static str) -> Vec<Block> {
    let readme = fs::read_to_string(file).unwrap_or_default();
    let mut blocks = Vec::new();
    let mut inside = false;
    for (line, text) in readme.lines().enumerate() {
        if text.strip_prefix("```") == Some(kind) {
            inside = true;
            blocks.push(Block {
                file,
                kind,
                line: line + 1,
                text: String::new(),
            });
        } else if text == "```" {
            inside = false;
        } else if let (true, Some(block)) = (inside, blocks.last_mut()) {
            block.text += &format!("{text}\n");
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

/// As a README says: here, in a root with headers, or in a guest.
fn run(block: &Block) {
    let copy = copy();
    let here = |program: &str| {
        let mut command = Command::new(copy.join(program));
        command.current_dir(copy);
        command
    };
    let script = copy.join("build/block");
    let mut text = block.text.clone();
    if block.kind == "console" {
        text = block
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .map(|command| format!("{command}\n"))
            .collect();
        // What was shown before it.
        let loads = if text.contains("insmod") {
            ""
        } else {
            "insmod fortune.ko\n"
        };
        text = format!("set -e\nmkdir -p /var/lib\n{loads}{text}");
    }
    fs::write(&script, &text).unwrap();
    if block.kind == "console" {
        let file = format!("{}:script", script.display());
        succeed(here("qemu/boot").args(["--file", &file, "--", "sh", "script"]));
    } else if text.contains("KDIR") {
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
                .args(["env", &kdir, "sh", "-eux", "build/block"]),
        );
    } else {
        succeed(
            Command::new("sh")
                .args(["-eux", "build/block"])
                .current_dir(copy),
        );
    }
}
