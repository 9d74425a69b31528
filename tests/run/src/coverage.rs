// SPDX-License-Identifier: GPL-2.0

//! How much of fortune.ko the tests of a guest have run: what its kernel has recorded (Documentation/dev-tools/kcov.rst)
//! compared with all the places of the module that record.

use anyhow::{Context, Result, ensure};
use ktap::{Figure, Limit, Outcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

/// How the line of a guest begins that says which places have run, as offsets into `.text`.
const COVERED: &str = "# covered:";

/// Where our sources are, below `src`.
const OURS: &[&str] = &[
    "control.rs",
    "dispenser.rs",
    "fortune.rs",
    "pot.rs",
    "proc_fs/",
    "random.rs",
    "records.rs",
    "symbols/",
];

/// A line that can't run in fortune.ko, or not in all ways.
struct RuledOut {
    /// Its file, below `src`.
    file: &'static str,
    /// The function that it is in.
    function: &'static str,
    /// How it begins, after the whole of the lines before it that tell it from others.
    begins: &'static str,
    /// Why.
    why: &'static str,
}

const RULED_OUT: &[RuledOut] = &[
    RuledOut {
        file: "pot.rs",
        function: "draw",
        begins: "let Some(span) = self.span(number) else {\nreturn Drawn::Nothing",
        why: "each fortune has an entry",
    },
    RuledOut {
        file: "pot.rs",
        function: "draw",
        begins: "None => Drawn::Nothing",
        why: "a span is in the pot",
    },
    RuledOut {
        file: "pot.rs",
        function: "span",
        begins: "let (begins, ..) = self.block(block)?",
        why: "each fortune has a block",
    },
    RuledOut {
        file: "pot.rs",
        function: "span",
        begins: "None => self.begin_of(next)?",
        why: "and so has the next fortune",
    },
    RuledOut {
        file: "pot.rs",
        function: "begin_of",
        begins: "let (begins, ..) = self.block(block)?",
        why: "likewise",
    },
    RuledOut {
        file: "pot.rs",
        function: "is_drawn",
        begins: "let Some((_, drawn, lap)) = self.block(block) else",
        why: "likewise",
    },
    RuledOut {
        file: "pot.rs",
        function: "undrawn",
        begins: "let (_, drawn, lap) = self.block(block)?",
        why: "likewise",
    },
    RuledOut {
        file: "pot.rs",
        function: "forget_drawn",
        begins: "if let Some((_, drawn, lap)) = self.block(block)",
        why: "likewise",
    },
    RuledOut {
        file: "pot.rs",
        function: "leave_out",
        begins: "let Some(slot) = self.slot(block) else",
        why: "likewise",
    },
    RuledOut {
        file: "pot.rs",
        function: "drawn_in_block",
        begins: "let slot = self.index.get(self.slot_number(block))",
        why: "the index has a place for each number",
    },
    RuledOut {
        file: "pot.rs",
        function: "put_block",
        begins: "if let Some((.., lap)) = slot.block.as_deref_mut()",
        why: "a block that is put there is there",
    },
    RuledOut {
        file: "pot.rs",
        function: "extend",
        begins: "if block.is_none()",
        why: "begin() has been told how many there are",
    },
    RuledOut {
        file: "pot.rs",
        function: "push",
        begins: "if self.used.plus(bytes) > size || text.is_empty()",
        why: "begin() has made room",
    },
    RuledOut {
        file: "pot.rs",
        function: "push",
        begins: "let (head, tail) = text.split_at_checked(room)",
        why: "what comes here ends beyond the room",
    },
    RuledOut {
        file: "pot.rs",
        function: "push",
        begins: "if let Some(byte) = self.bytes.get_mut(newline)",
        why: "begin() has made room",
    },
    RuledOut {
        file: "pot.rs",
        function: "list",
        begins: "let place = to.get_mut(..LINE.len()).ok_or(LINE.len())?",
        why: "who lists has room for a line",
    },
    RuledOut {
        file: "records.rs",
        function: "find_newline",
        begins: "while let Some((word, after)) = words.split_first_chunk()",
        why: "32 bytes are four words, one after the other",
    },
    RuledOut {
        file: "random.rs",
        function: "below",
        begins: "if n == 0",
        why: "nobody asks for one of none",
    },
    RuledOut {
        file: "dispenser.rs",
        function: "new",
        begins: "index.push_within_capacity(Slot::default())?",
        why: "it was made for so many",
    },
    RuledOut {
        file: "dispenser.rs",
        function: "store_in_parts",
        begins: "pot::most_blocks(demand.fortunes.plus(1))",
        why: "only if another write comes between",
    },
    RuledOut {
        file: "dispenser.rs",
        function: "draw_long",
        begins: "Drawn::TooLong(longer) => len = longer",
        why: "likewise",
    },
    RuledOut {
        file: "dispenser.rs",
        function: "draw_long",
        begins: "Drawn::Nothing => return Ok(false)",
        why: "likewise",
    },
    RuledOut {
        file: "proc_fs/bytes.rs",
        function: "renew",
        begins: "if longer.is_some()",
        why: "where there was no room, it is; elsewhere it has run",
    },
    RuledOut {
        file: "proc_fs/bytes.rs",
        function: "append",
        begins: "let Some(place) = self.next(bytes.len()) else",
        why: "what calls it has made room",
    },
    RuledOut {
        file: "proc_fs/bytes.rs",
        function: "read",
        begins: "buf.read_raw(self.next(count).ok_or(EINVAL)?)?",
        why: "who reads has made room",
    },
    RuledOut {
        file: "proc_fs/bytes.rs",
        function: "next",
        begins: "None => self.short.as_mut_slice()",
        why: "where that has no room, nothing is read from it or written to it",
    },
    RuledOut {
        file: "proc_fs/bytes.rs",
        function: "deref",
        begins: "None => self.short.as_slice()",
        why: "likewise",
    },
    RuledOut {
        file: "proc_fs/entry.rs",
        function: "new",
        begins: "|| bytes.iter().any(|&byte| byte == b'/')",
        why: "the names are constants, and right",
    },
    RuledOut {
        file: "proc_fs/entry.rs",
        function: "new",
        begins: "return Err(EINVAL)",
        why: "likewise",
    },
    RuledOut {
        file: "proc_fs/entry.rs",
        function: "new",
        begins: "let bytes = Iterator::chain(before.iter(), bytes)",
        why: "likewise: they are shorter than their place",
    },
    RuledOut {
        file: "proc_fs/entry.rs",
        function: "subdir",
        begins: "options.check()?",
        why: "the owner is the default",
    },
    RuledOut {
        file: "proc_fs/entry.rs",
        function: "make",
        begins: "options.check()?",
        why: "likewise",
    },
    RuledOut {
        file: "proc_fs/list.rs",
        function: "find",
        begins: "return EINTR.to_ptr()",
        why: "nobody is killed while listing",
    },
];

/// The least part of the lines, in per cent.
const LEAST: f64 = 95.;

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
    /// All that comes of it is a panic, or a report of KASAN.
    panics: bool,
}

/// Finds the places in what objdump prints of a module.
fn places(text: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    // A call has been seen, and the next instruction is what is recorded.
    let mut called = false;
    // The place whose straight piece of code this is.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        // The next function.
        if line.ends_with(">:") {
            (called, open) = (false, None);
            continue;
        }
        // The relocation of an instruction is a line of its own: what is called.
        if line.contains("R_X86_64") {
            called = line.contains("__sanitizer_cov_trace_pc");
            let reports = ["panic", "_fail", "__asan_report"];
            if let Some(place) = open.filter(|_| reports.iter().any(|name| line.contains(name))) {
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

/// Places in functions that nobody calls: copies of what was inlined wherever it is called.
fn copies(disassembly: &str, relocations: &str) -> BTreeSet<u64> {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    // What is called, and what data points to: `.text` by name.
    let mut section = "";
    for line in relocations.lines() {
        if let Some(name) = line.strip_prefix("RELOCATION RECORDS FOR [") {
            section = name.trim_end_matches("]:");
        }
        let mut words = line.split_whitespace().skip(2);
        if [".text", ".init.text", ".exit.text", ".rodata", ".data"]
            .iter()
            .any(|used| section.starts_with(used))
        {
            let name = words.next().unwrap_or_default();
            used.insert(name.split(['-', '+']).next().unwrap_or(name));
        }
    }
    let mut of_functions: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut function = "";
    for line in disassembly.lines() {
        if let Some((_, name)) = line
            .strip_suffix(">:")
            .and_then(|line| line.split_once('<'))
        {
            function = name;
        } else if let Some((address, code)) = line.split_once(":\t") {
            let address = u64::from_str_radix(address.trim(), 16);
            of_functions.entry(function).or_default().extend(address);
            // A call or a jump without a relocation.
            if let Some((_, name)) = code.strip_suffix('>').and_then(|code| code.split_once('<')) {
                used.insert(name);
            }
        }
    }
    of_functions
        .into_iter()
        .filter(|(function, _)| !used.contains(function))
        .flat_map(|(_, addresses)| addresses)
        .collect()
}

/// How far a line is indented.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name of the function that a line declares, if it does.
fn declares(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = before.split_whitespace();
    let declares = words.clone().all(|word| {
        ["const", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub")
    });
    let name = after.split(['(', '<']).next();
    name.filter(|_| declares)
}

/// The function that a line is in, by its number from 0.
fn function<'a>(lines: &[&'a str], number: usize) -> Option<&'a str> {
    let mut before = lines[..number].iter().rev();
    before.find_map(|line| declares(line).filter(|_| indent(line) < indent(lines[number])))
}

impl RuledOut {
    /// Whether it is that line of the lines of a file, by its number from 0.
    fn is(&self, file: &str, lines: &[&str], number: usize) -> bool {
        let mut begins = self.begins.rsplit('\n');
        let mut line = lines[..=number].iter().rev().map(|line| line.trim());
        let is_it = |begins: &str| line.next().is_some_and(|line| line.starts_with(begins));
        self.file == file && begins.all(is_it) && function(lines, number) == Some(self.function)
    }
}

/// Whether a line, `src/file:number`, is one of those that can't run.
fn is_ruled_out(line: &str) -> Result<bool> {
    let (file, number) = line.split_once(':').context("file:number")?;
    let source = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let number: usize = number.parse().context("a number")?;
    let lines: Vec<&str> = source.lines().collect();
    let number = number.wrapping_sub(1);
    ensure!(number < lines.len(), "{file} has no line {number}");
    let file = file.strip_prefix("src/").context("it is ours")?;
    Ok(RULED_OUT.iter().any(|one| one.is(file, &lines, number)))
}

/// The lines of our sources that the places belong to, by their addresses, as addr2line tells them: of what was
/// inlined into what, the innermost that is ours.
fn lines(text: &str) -> BTreeMap<u64, String> {
    let mut lines = BTreeMap::new();
    let mut place = None;
    for line in text.lines() {
        if let Some(address) = line.strip_prefix("0x") {
            place = u64::from_str_radix(address, 16).ok();
            continue;
        }
        let ours = line
            .split_once("/src/")
            .map(|(_, line)| line)
            .filter(|line| OURS.iter().any(|ours| line.starts_with(ours)) && !line.ends_with('?'));
        if let (Some(call), Some(line)) = (place, ours) {
            // What comes after the number says which of several this is.
            let line = line.split(' ').next().unwrap_or(line);
            lines.insert(call + 1, format!("src/{line}"));
            place = None;
        }
    }
    lines
}

/// A program of the Debian root.
fn tool(name: &str) -> Command {
    let mut tool = Command::new("scripts/enter");
    tool.arg(name);
    tool
}

/// What a program prints of the module.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether enough has run, and what has not.
///
/// Lines are counted, and not places: the kernel's checks of each access and of each sum have places of their own.
pub(crate) fn outcome(module: &Path, covered: &BTreeSet<u64>) -> Result<Outcome> {
    let disassembly = output(
        tool("objdump")
            .args(["--disassemble", "--reloc", "--no-show-raw-insn"])
            .arg("--section=.text")
            .arg(module),
    )?;
    let relocations = output(tool("objdump").arg("--reloc").arg(module))?;
    let copies = copies(&disassembly, &relocations);
    let mut places = places(&disassembly);
    places.retain(|place| !copies.contains(&place.offset));
    let name = "coverage.of_the_module";
    let lines = lines(&output(
        tool("addr2line")
            .args(["--addresses", "--inlines", "--section=.text", "--exe"])
            .arg(module)
            // In the call, which ends where the place is.
            .args(places.iter().map(|place| format!("{:x}", place.offset - 1))),
    )?);
    // Of each line, whether any of its places has run.
    let mut run: BTreeMap<&String, bool> = BTreeMap::new();
    for place in places.iter().filter(|place| !place.panics) {
        if let Some(line) = lines.get(&place.offset) {
            *run.entry(line).or_default() |= covered.contains(&place.offset);
        }
    }
    if run.is_empty() {
        let why = format!("{} says of no place where it is", module.display());
        return Ok(Outcome::failed(name, &why));
    }
    let not_run = run.iter().filter(|(_, run)| !**run);
    let mut missed = Vec::new();
    let mut ruled_out = 0;
    for (line, _) in not_run {
        if is_ruled_out(line)? {
            ruled_out += 1;
        } else {
            missed.push(line.as_str());
        }
    }
    let all = run.len() - ruled_out;
    let run = all - missed.len();
    let share = 100. * run as f64 / all as f64;
    let figure = Figure::new(
        "S20",
        &format!(
            "{run} of {all} lines of fortune.ko have run, {{}}, {ruled_out} that can't left out"
        ),
        &[Limit::least(share, LEAST, "%")],
    );
    let mut said = format!("{figure}\n");
    for line in missed {
        said += &format!("not run: {line}\n");
    }
    Ok(match figure.failure() {
        None => Outcome::passed(name, &said),
        Some(why) => Outcome::failed(name, &format!("{why}\n{said}")),
    })
}

pub(crate) mod tests {
    use super::{Place, RULED_OUT, RuledOut, copies, covered, function, lines, places};
    use std::{collections::BTreeMap, fs};

    ktap::tests!(run, Host:
        what_is_ruled_out_is_one_line,
        rules_out_no_line_like_it,
        finds_copies_that_nobody_calls,
        reads_what_has_run,
        finds_places,
        finds_the_lines_of_places,
    );

    fn what_is_ruled_out_is_one_line() {
        for one in RULED_OUT {
            let source = fs::read_to_string(format!("src/{}", one.file)).unwrap();
            let lines: Vec<&str> = source.lines().collect();
            let is_it = |number: &usize| one.is(one.file, &lines, *number);
            let count = (0..lines.len()).filter(is_it).count();
            let (file, function, begins) = (one.file, one.function, one.begins);
            assert_eq!(count, 1, "{file}, {function}, {}: {begins}", one.why);
        }
    }

    fn rules_out_no_line_like_it() {
        let one = RuledOut {
            file: "a.rs",
            function: "draw",
            begins: "let Some(span) = span else {\nreturn None",
            why: "there is one",
        };
        let source = "\
impl Pot {
    pub(crate) unsafe fn draw<T>(
        span: Option<T>,
    ) -> Option<T> {
        if true {
            return None;
        }
        let Some(span) = span else {
            return None;
        };
    }

    fn other(f: impl Fn()) {
        let Some(span) = span else {
            return None;
        };
    }
}
";
        let lines: Vec<&str> = source.lines().collect();
        let of = |file| (0..lines.len()).filter(move |number| one.is(file, &lines, *number));
        assert_eq!(of("a.rs").collect::<Vec<_>>(), [8]);
        assert_eq!(
            function(&source.lines().collect::<Vec<_>>(), 14),
            Some("other")
        );
    }

    fn finds_copies_that_nobody_calls() {
        let disassembly = "\
0000000000000010 <called>:
      10:\tendbr64
      14:\tcall   20 <near>
0000000000000020 <near>:
      20:\tret
0000000000000030 <copy>:
      30:\tret
0000000000000040 <in_data>:
      40:\tret
";
        let relocations = "\
RELOCATION RECORDS FOR [.text]:
OFFSET           TYPE              VALUE
0000000000000005 R_X86_64_PLT32    called-0x0000000000000004

RELOCATION RECORDS FOR [.rodata.ops]:
OFFSET           TYPE              VALUE
0000000000000008 R_X86_64_64       in_data

RELOCATION RECORDS FOR [.debug_info]:
OFFSET           TYPE              VALUE
0000000000000008 R_X86_64_64       copy
";
        let copies = copies(disassembly, relocations);
        assert_eq!(copies.into_iter().collect::<Vec<_>>(), [0x30]);
    }

    fn reads_what_has_run() {
        assert_eq!(covered("ok 1 a.b\n"), None);
        let offsets = covered("ok 1 a.b\n# covered: 10 2f\n").unwrap();
        assert_eq!(offsets.into_iter().collect::<Vec<_>>(), [0x10, 0x2f]);
    }

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
        let place = |offset, panics| Place { offset, panics };
        assert_eq!(places(text), [place(0x19, false), place(0x23, true)]);
    }

    fn finds_the_lines_of_places() {
        let text = "\
0x0000000000000018
/usr/src/rust/kernel/sync/lock.rs:174
/build/src/dispenser.rs:103 (discriminator 2)
/build/src/pot.rs:1
0x0000000000000022
??:0
0x0000000000000032
/usr/lib/rust/library/core/src/option.rs:1
/build/src/proc_fs/seq.rs:7
";
        let expected = [
            (0x19, "src/dispenser.rs:103".to_owned()),
            (0x33, "src/proc_fs/seq.rs:7".to_owned()),
        ];
        assert_eq!(lines(text), BTreeMap::from(expected));
    }
}
