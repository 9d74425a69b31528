// SPDX-License-Identifier: GPL-2.0

//! Tells from its log and its taint whether a kernel complained.

use std::iter;

/// What a line of a kernel log must not have, and which detector says so.
const COMPLAINTS: &[(&str, &str)] = &[
    (
        "BUG:",
        "oopses, KASAN, KFENCE, lockdep, sleeping in atomic context, bad pages",
    ),
    ("WARNING:", "WARN_ON and its kin, lockdep"),
    ("Oops", "faults in kernel mode"),
    ("Kernel panic", "panic"),
    ("kernel BUG at", "BUG_ON; a panic of Rust code"),
    ("panicked at", "a panic of Rust code"),
    ("general protection fault", "a bad address"),
    ("Unable to handle kernel", "a bad address, as arm64 says it"),
    ("Internal error:", "an oops, as arm64 says it"),
    ("UBSAN:", "undefined behaviour"),
    ("KCSAN:", "a data race"),
    ("INFO: task", "a task that hangs"),
    ("INFO: rcu", "an RCU stall"),
    ("rcu: INFO:", "an RCU stall"),
    ("detected stalls", "an RCU stall"),
    ("soft lockup", "a CPU that does not schedule"),
    ("hard LOCKUP", "a CPU that takes no interrupts"),
    ("possible circular locking", "lockdep"),
    ("possible recursive locking", "lockdep"),
    ("inconsistent lock state", "lockdep"),
    ("suspicious RCU usage", "lockdep"),
    ("scheduling while atomic", "a sleep in atomic context"),
    ("unreferenced object", "kmemleak"),
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
    ("stack-protector:", "a stack that was written over"),
    (
        "page allocation failure",
        "an allocation without __GFP_NOWARN",
    ),
    ("Call Trace:", "whatever prints a stack"),
];

/// What lines of every log may have.
const HARMLESS: &[(&str, &str)] = &[
    (
        "kmemleak: Kernel memory leak detector",
        "how it says that it is on",
    ),
    ("kmemleak: Automatic memory scanning", "the same"),
    (
        "kmemleak: Cannot allocate a scan area",
        "an allocation of its own that was made to fail",
    ),
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

/// The lines of `log` that complain.
pub(crate) fn complaints(log: &str) -> Vec<String> {
    let has =
        |line: &str, list: &[(&str, &str)]| list.iter().any(|(words, _)| line.contains(words));
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
            let harmless = has(line, HARMLESS) || (injected && line.ends_with("Call Trace:"));
            before.ends_with(CUT) || (has(line, COMPLAINTS) && !harmless)
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
