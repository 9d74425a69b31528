// SPDX-License-Identifier: GPL-2.0

//! Where in the source of a module something is, as the files of modules say it.

use crate::scan::Frame;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The file and the line of a frame, if one of `files` is its module and has debug information.
pub(crate) fn line(frame: &Frame, files: &[PathBuf]) -> Option<String> {
    let module = frame.module.as_deref()?;
    let file = files.iter().find(|file| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        name.replace('-', "_") == module && file.extension().is_some_and(|kind| kind == "ko")
    })?;
    let offset = frame.place.split('/').next()?.strip_prefix("0x")?;
    let offset = u64::from_str_radix(offset, 16).ok()?;
    let (section, symbol) = symbol(file, &frame.symbol)?;
    let address = format!("{:x}", symbol + offset - u64::from(frame.calls));
    let line = output(
        Command::new("addr2line")
            .args(["--section", &section, "--exe"])
            .arg(file)
            .arg(address),
    )?;
    let line = line.trim_end();
    if line.starts_with('?') || line.ends_with('?') {
        return None;
    }
    // Of the checkout, if it is there.
    let top = std::env::current_dir().ok()?;
    let top = format!("{}/", top.display());
    let line = line.strip_prefix(&top).unwrap_or(line);
    Some(line.trim_start_matches("./").to_owned())
}

/// The name of the section that a symbol of a file is in, and where in it that is.
fn symbol(file: &Path, name: &str) -> Option<(String, u64)> {
    let symbols = output(Command::new("nm").args(["--format=sysv"]).arg(file))?;
    // Name|Value|Class|Type|Size|Line|Section
    let mut symbols = symbols
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let fields = symbols.find(|fields| fields.first() == Some(&name))?;
    let value = u64::from_str_radix(fields.get(1)?, 16).ok()?;
    Some(((*fields.get(6)?).to_owned(), value))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    String::from_utf8(output.stdout).ok()
}
