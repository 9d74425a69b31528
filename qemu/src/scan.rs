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

#[cfg(test)]
mod tests {
    use super::{complaints, taints};

    #[test]
    fn finds_complaints() {
        for line in [
            "[    4.1] WARNING: CPU: 0 PID: 1 at fs/proc/generic.c:377 proc_register+0x1f/0x200",
            "[    4.1] BUG: KASAN: slab-use-after-free in hello_read+0x1/0x2",
            "[    4.1] Oops: 0002 [#1] SMP NOPTI",
            "[    4.1] BUG: sleeping function called from invalid context at mm/slab.h:1",
            "[    4.1] WARNING: possible circular locking dependency detected",
            "[    4.1] rust_kernel: panicked at src/pot.rs:1:1:",
            "[    4.1] INFO: task cat:70 blocked for more than 120 seconds.",
        ] {
            assert_eq!(complaints(line), [line]);
        }
    }

    #[test]
    fn shows_what_a_warning_is_about() {
        let log = "[    4.1] ------------[ cut here ]------------\n\
                   [    4.1] proc_dir_entry '/proc/x' already registered\n\
                   [    4.1] WARNING: fs/proc/generic.c:404 at proc_register+0x16a/0x210\n\
                   [    4.1] Modules linked in:\n";
        assert_eq!(
            complaints(log),
            log.lines().skip(1).take(2).collect::<Vec<_>>()
        );
    }

    #[test]
    fn leaves_the_stacks_of_injected_faults_alone() {
        let log = "[    4.1] FAULT_INJECTION: forcing a failure.\n\
                   [    4.1] Call Trace:\n\
                   [    4.1]  </TASK>\n\
                   [    4.1] guest: vmalloc error: size 365272\n\
                   [    4.1] Call Trace:\n\
                   [    4.1]  </TASK>\n\
                   [    4.2] Call Trace:\n";
        assert_eq!(complaints(log), ["[    4.2] Call Trace:"]);
    }

    #[test]
    fn leaves_the_rest_alone() {
        let log = "[    0.0] Linux version 7.2.12\n\
                   [    0.1] kmemleak: Kernel memory leak detector initialized\n\
                   [    0.2] kmemleak: Automatic memory scanning thread started\n\
             [    4.0] guest: test writes.bugs_of_old\n\
                   [    4.1] hello: loading out-of-tree module taints kernel.\n";
        assert_eq!(complaints(log), [""; 0]);
    }

    #[test]
    fn reads_taints() {
        // An out-of-tree module (O) and an unsigned one (E) are as they should be.
        assert_eq!(taints((1 << 12) | (1 << 13)), [""; 0]);
        assert_eq!(taints((1 << 9) | (1 << 12)), ["(taint W: a warning)"]);
    }
}
