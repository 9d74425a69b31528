// SPDX-License-Identifier: GPL-2.0

//! What of a kernel log is a complaint, and what is not.

#[path = "../../qemu/src/scan.rs"]
mod scan;

use scan::{complaints, frames, taints};

ktap::tests!(complaints, Host:
    finds_complaints,
    shows_what_a_warning_is_about,
    shows_what_a_panic_of_rust_is_about,
    leaves_the_stacks_of_injected_faults_alone,
    leaves_the_rest_alone,
    reads_taints,
    shows_a_stack,
);

fn finds_complaints() {
    for line in [
        "[    4.1] WARNING: CPU: 0 PID: 1 at fs/proc/generic.c:377 proc_register+0x1f/0x200",
        "[    4.1] BUG: KASAN: slab-use-after-free in hello_read+0x1/0x2",
        "[    4.1] Oops: 0002 [#1] SMP NOPTI",
        "[    4.1] BUG: sleeping function called from invalid context at mm/slab.h:1",
        "[    4.1] WARNING: possible circular locking dependency detected",
        "[    4.1] CFI failure at hello_init+0x1/0x2 [hello] (target: f+0x0/0x1; expected type: 0x1)",
        "[    4.1] rust_kernel: panicked at src/pot.rs:1:1:",
        "[    4.1] INFO: task cat:70 blocked for more than 120 seconds.",
    ] {
        assert_eq!(complaints(line), [line]);
    }
}

fn shows_what_a_panic_of_rust_is_about() {
    let log = "[    4.1] rust_kernel: panicked at src/pot.rs:1:1:\n\
               [    4.1] index out of bounds\n\
               [    4.1] ------\n";
    assert_eq!(complaints(log), log.lines().take(2).collect::<Vec<_>>());
}

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

fn leaves_the_rest_alone() {
    let log = "[    0.0] Linux version 7.2.12\n\
               [    0.1] kmemleak: Kernel memory leak detector initialized\n\
               [    0.2] kmemleak: Automatic memory scanning thread started\n\
         [    4.0] guest: test writes.bugs_of_old\n\
               [    4.1] hello: loading out-of-tree module taints kernel.\n";
    assert_eq!(complaints(log), [""; 0]);
}

fn reads_taints() {
    // An out-of-tree module (O) and an unsigned one (E) are as they should be.
    assert_eq!(taints((1 << 12) | (1 << 13)), [""; 0]);
    assert_eq!(taints((1 << 9) | (1 << 12)), ["(taint W: a warning)"]);
}

fn shows_a_stack() {
    let text = |log: &str| -> Vec<String> {
        let first = complaints(log).remove(0);
        frames(log, &first)
            .iter()
            .map(|frame| frame.text())
            .collect()
    };
    let log = "[    4.0] dump_stack_lvl+0x1/0x2\n\
               [    4.1] BUG: kernel NULL pointer dereference, address: 0000000000000000\n\
               [    4.1] CPU: 0 UID: 0 PID: 100 Comm: cat Tainted: G           OE       7.2.12 #1\n\
               [    4.1] RIP: 0010:_RNvNtCsanH2lG6dIOj_7fortune3pot4draw+0x1a/0x20 [fortune]\n\
               [    4.1] Call Trace:\n\
               [    4.1]  <TASK>\n\
               [    4.1]  ? __die_body+0x1/0x2\n\
               [    4.1]  vfs_read+0xcf/0x440\n\
               [    4.1] RIP: 0033:0x7f7c218c83a7\n\
               [    4.1]  </TASK>\n\
               [    4.1] RIP: 0010:other+0x1/0x2\n";
    assert_eq!(
        text(log),
        [
            "fortune::pot::draw+0x1a/0x20 [fortune]",
            "vfs_read+0xcf/0x440"
        ]
    );
    // Ten are enough; what shows the stack is none of them. So does arm64 write it.
    let calls: String = (0..20)
        .map(|n| format!("[    4.1]  call_{n}+0x1/0x2 (P)\n"))
        .collect();
    let log = format!(
        "[    4.1] Kernel panic - not syncing: sysrq\n[    4.1] Call trace:\n[    4.1]  panic+0x1/0x2\n{calls}"
    );
    assert_eq!(text(&log).len(), 10);
    assert_eq!(text(&log)[0], "call_0+0x1/0x2");
    assert!(text("[    4.1] WARNING: made up\n").is_empty());
}
