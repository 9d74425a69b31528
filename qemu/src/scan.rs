// SPDX-License-Identifier: GPL-2.0

//! Tells from its log and its taint whether a kernel complained, and where that was.

use rustc_demangle::demangle;
use std::iter;

/// What a line of a kernel log must not have, where a word begins, and which detector says so. What a program of the user does
/// wrong, such as `traps: cat[70] general protection fault ip:…`, is none of the kernel's faults: those are an oops.
pub(crate) const COMPLAINTS: &[(&str, &str)] = &[
    (
        "BUG:",
        "oopses, KASAN, KFENCE, KCSAN, lockdep, sleeping in atomic context, bad pages, soft lockups",
    ),
    ("BUG ", "BUG_ON; a panic of Rust code; SLUB's checks"),
    (
        "WARNING:",
        "WARN_ON and its kin, lockdep, suspicious uses of RCU",
    ),
    ("Oops:", "faults in kernel mode"),
    ("Kernel panic", "panic; a stack that was written over"),
    (PANICKED, "a panic of Rust code"),
    ("Unable to handle kernel", "a bad address, as arm64 says it"),
    ("Internal error:", "an oops, as arm64 says it"),
    ("UBSAN:", "undefined behaviour"),
    ("INFO: task", "a task that hangs"),
    ("INFO: rcu", "an RCU stall"),
    (
        "INFO: trying to register",
        "a lock that lockdep can't check",
    ),
    ("hard LOCKUP", "a CPU that takes no interrupts"),
    ("unreferenced object", "kmemleak, as init shows it"),
    ("kmemleak:", "kmemleak"),
    ("refcount_t:", "a reference count gone wrong"),
    (
        "CFI failure at",
        "a call through a pointer to a function of another type",
    ),
    ("list_add corruption", "list debugging"),
    ("list_del corruption", "list debugging"),
    ("ODEBUG:", "object debugging"),
    ("usercopy:", "hardened usercopy"),
    (
        "page allocation failure",
        "an allocation without __GFP_NOWARN",
    ),
    ("Call Trace:", "whatever prints a stack"),
    ("Call trace:", "the same on arm64"),
];

/// What lines of every log may have.
const HARMLESS: &[(&str, &str)] = &[
    (
        "kmemleak: Kernel memory leak detector initialized",
        "how it says that it is on",
    ),
    (
        "kmemleak: Automatic memory scanning thread started",
        "the same",
    ),
    (
        "kmemleak: Cannot allocate a scan area",
        "an allocation of its own that was made to fail",
    ),
    ("ODEBUG: selftest passed", "how it says that it is on"),
    (
        "Spectre V2 : WARNING:",
        "what the CPU of this machine lacks",
    ),
    ("RETBleed: WARNING:", "the same"),
    ("ITS: WARNING:", "the same"),
    ("Speculative Return Stack Overflow: WARNING:", "the same"),
];

/// How the stack begins that is shown of an allocation that was made to fail, how another one of the same
/// allocation begins right after it, and how both end.
const INJECTED: (&str, &str, &str) = (
    "FAULT_INJECTION: forcing a failure",
    "vmalloc error:",
    "</TASK>",
);

/// Taint bits (Documentation/admin-guide/tainted-kernels.rst) that only a complaint sets.
const TAINTS: &[(u32, &str)] = &[
    (5, "B: a bad page, or KASAN"),
    (7, "D: the kernel died"),
    (9, "W: a warning"),
    (14, "L: a soft lockup"),
];

/// What comes before the line in which a warning says what it is about.
const CUT: &str = "------------[ cut here ]------------";

/// What comes before the line in which a panic of Rust code says what it is about.
const PANICKED: &str = "panicked at";

/// Functions that show a stack, which say nothing about what went wrong.
const SHOW: &[&str] = &[
    "__dump_stack",
    "dump_stack_lvl",
    "dump_stack",
    "vpanic",
    "panic",
];

/// So many frames of a stack are shown.
const FRAMES: usize = 10;

/// A report of the kernel has at most about so many lines.
const REPORT: usize = 100;

/// Whether a line has these words, and the first one not as the end of another one.
pub(crate) fn says(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(char::is_alphanumeric)
    })
}

/// Whether a stack comes after this line.
pub(crate) fn is_stack(line: &str) -> bool {
    line.to_ascii_lowercase().ends_with("call trace:")
}

/// The lines of `log` that complain.
pub(crate) fn complaints(log: &str) -> Vec<String> {
    let has = |line: &str, list: &[(&str, &str)]| list.iter().any(|(words, _)| says(line, words));
    let before = iter::once("").chain(log.lines());
    let mut injected = false;
    before
        .zip(log.lines())
        .filter(|(before, line)| {
            injected = if before.contains(INJECTED.2) {
                injected && line.contains(INJECTED.1)
            } else {
                injected
            } || line.contains(INJECTED.0);
            let harmless = has(line, HARMLESS) || (injected && is_stack(line));
            before.ends_with(CUT)
                || before.contains(PANICKED)
                || (has(line, COMPLAINTS) && !harmless)
        })
        .map(|(_, line)| line.to_owned())
        .collect()
}

/// What the bits of `/proc/sys/kernel/tainted` complain of.
pub(crate) fn taints(taint: u64) -> Vec<String> {
    TAINTS
        .iter()
        .filter(|(bit, _)| (taint >> bit) & 1 == 1)
        .map(|(_, meaning)| format!("(taint {meaning})"))
        .collect()
}

/// A frame of a stack.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    /// As the compiler calls it.
    pub(crate) symbol: String,
    /// Where in that it is, and how long that is, as the kernel writes it: `0x1a/0x20`.
    pub(crate) place: String,
    /// The module that it is in, if it is in one.
    pub(crate) module: Option<String>,
    /// It has called the frame before it, and the place is behind that call.
    pub(crate) calls: bool,
}

impl Frame {
    /// Reads `symbol+0x1a/0x20`, and the module in brackets, if there is one.
    fn of(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (symbol, place) = words.next()?.split_once('+')?;
        let module = words.next().and_then(|word| word.strip_prefix('['));
        place.starts_with("0x").then(|| Self {
            symbol: symbol.to_owned(),
            place: place.to_owned(),
            module: module.map(|module| module.trim_end_matches(']').to_owned()),
            calls: true,
        })
    }

    /// As a person reads it.
    pub(crate) fn text(&self) -> String {
        let module = self.module.iter().map(|module| format!(" [{module}]"));
        let module: String = module.collect();
        format!("{:#}+{}{module}", demangle(&self.symbol), self.place)
    }
}

/// The innermost frames of the stack that the kernel shows after the line `complaint`.
pub(crate) fn frames(log: &str, complaint: &str) -> Vec<Frame> {
    let text = |line: &str| {
        let text = line.split_once("] ").map_or(line, |(_, text)| text);
        text.trim().to_owned()
    };
    let after = log.lines().skip_while(|line| *line != complaint);
    let mut lines = after.take(REPORT).map(text).peekable();
    let mut frames = Vec::new();
    // Where the processor was is not a part of the stack that it was in.
    while let Some(line) = lines.next_if(|line| !line.eq_ignore_ascii_case("call trace:")) {
        let frame = line.strip_prefix("RIP: 0010:").and_then(Frame::of);
        frames.extend(frame.map(|frame| Frame {
            calls: false,
            ..frame
        }));
    }
    let stack = lines.skip(1).take_while(|line| line != "</TASK>");
    // Those with a question mark were found on the stack, and are no callers.
    frames.extend(
        stack
            .map_while(|line| match line.as_str() {
                guess if guess.starts_with(['?', '<']) => Some(None),
                line => Frame::of(line).map(Some),
            })
            .flatten(),
    );
    frames.retain(|frame| !SHOW.contains(&frame.symbol.as_str()));
    frames.truncate(FRAMES);
    frames
}
