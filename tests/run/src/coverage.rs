// SPDX-License-Identifier: GPL-2.0

//! How much of fortune.ko the tests of a guest have run: what its kernel has recorded (Documentation/dev-tools/kcov.rst)
//! compared with all the places of the module that record.

use crate::report::Outcome;
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

/// How the line of a guest begins that says which places have run, as offsets into `.text`.
const COVERED: &str = "# covered:";

/// The least part of them, in per mille.
const LEAST: usize = 950;

/// What a guest says that has run; nothing if its kernel does not record.
pub(crate) fn covered(text: &str) -> Option<BTreeSet<u64>> {
    let line = text.lines().find_map(|line| line.strip_prefix(COVERED))?;
    let offsets = line.split_whitespace();
    Some(
        offsets
            .filter_map(|offset| u64::from_str_radix(offset, 16).ok())
            .collect(),
    )
}

/// A place that records.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// What is recorded: the address after the call.
    offset: u64,
    function: String,
    /// All that comes of it is a panic.
    panics: bool,
}

/// Finds the places in what objdump prints of a module.
fn places(text: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut function = String::new();
    // A call has been seen, and the next instruction is what is recorded.
    let mut called = false;
    // The place whose straight piece of code this is.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        if let Some(name) = line
            .strip_suffix(">:")
            .and_then(|line| line.split_once('<'))
        {
            function = name.1.to_owned();
            (called, open) = (false, None);
            continue;
        }
        // The relocation of an instruction is a line of its own: what is called.
        if line.contains("R_X86_64") {
            called = line.contains("__sanitizer_cov_trace_pc");
            if let Some(place) = open.filter(|_| line.contains("panic") || line.contains("_fail")) {
                places[place].panics = true;
            }
            continue;
        }
        let Some((address, code)) = line.split_once(":\t") else {
            continue;
        };
        let Ok(offset) = u64::from_str_radix(address.trim(), 16) else {
            continue;
        };
        if called {
            open = Some(places.len());
            places.push(Place {
                offset,
                function: function.clone(),
                panics: false,
            });
            called = false;
        }
        let word = code.split_whitespace().next().unwrap_or_default();
        if word.starts_with('j') || word.starts_with("ret") {
            open = None;
        } else if let Some(place) = open.filter(|_| word == "ud2") {
            places[place].panics = true;
        }
    }
    places
}

/// Whether enough has run, and what has not.
pub(crate) fn outcome(module: &Path, covered: &BTreeSet<u64>) -> Result<Outcome> {
    let mut objdump = Command::new("objdump");
    objdump.args([
        "--disassemble",
        "--reloc",
        "--demangle",
        "--no-show-raw-insn",
        "--section=.text",
    ]);
    let output = objdump.arg(module).output().context("objdump")?;
    ensure!(
        output.status.success(),
        "objdump: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let places = places(&String::from_utf8_lossy(&output.stdout));
    let name = "coverage.of_the_module";
    if places.is_empty() {
        return Ok(Outcome::failed(
            name,
            format!("{} records nothing", module.display()),
        ));
    }
    let wanted: Vec<&Place> = places.iter().filter(|place| !place.panics).collect();
    let run = wanted
        .iter()
        .filter(|place| covered.contains(&place.offset))
        .count();
    let mut missed: BTreeMap<&str, usize> = BTreeMap::new();
    for place in wanted
        .iter()
        .filter(|place| !covered.contains(&place.offset))
    {
        *missed.entry(&place.function).or_default() += 1;
    }
    let mut said = format!(
        "figure: R20  {run} of {} places of fortune.ko have run, {:.1} %, {} that only panic left out; to be reached: 95 %\n",
        wanted.len(),
        100. * run as f64 / wanted.len() as f64,
        places.len() - wanted.len(),
    );
    for (function, count) in missed {
        said += &format!("not run: {count} in {function}\n");
    }
    Ok(if run * 1000 >= wanted.len() * LEAST {
        Outcome::passed(name, said)
    } else {
        Outcome::failed(name, said)
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, covered, places};

    #[test]
    fn reads_what_has_run() {
        assert_eq!(covered("ok 1 a.b\n"), None);
        let offsets = covered("ok 1 a.b\n# covered: 10 2f\n").unwrap();
        assert_eq!(offsets.into_iter().collect::<Vec<_>>(), [0x10, 0x2f]);
    }

    #[test]
    fn finds_places() {
        let text = "\
0000000000000010 <fortune::pot::draw>:
      10:\tendbr64
      14:\tcall   19 <fortune::pot::draw+0x9>
\t\t\t15: R_X86_64_PLT32\t__sanitizer_cov_trace_pc-0x4
      19:\ttest   %rdi,%rdi
      1c:\tje     23
      1e:\tcall   23 <fortune::pot::draw+0x13>
\t\t\t1f: R_X86_64_PLT32\t__sanitizer_cov_trace_pc-0x4
      23:\tcall   28
\t\t\t24: R_X86_64_PLT32\tcore::panicking::panic-0x4
";
        let place = |offset, panics| Place {
            offset,
            function: "fortune::pot::draw".to_owned(),
            panics,
        };
        assert_eq!(places(text), [place(0x19, false), place(0x23, true)]);
    }
}
