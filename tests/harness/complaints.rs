// SPDX-License-Identifier: GPL-2.0

//! What of a kernel log is a complaint, and what is not.

#[path = "../../qemu/src/scan.rs"]
mod scan;

use scan::{COMPLAINTS, complaints, frames, says, taints};

ktap::tests!(complaints, Host:
    each_word_finds_a_line,
    leaves_programs_of_the_user_alone,
    shows_what_a_warning_is_about,
    shows_what_a_panic_of_rust_is_about,
    leaves_the_stacks_of_injected_faults_alone,
    leaves_the_rest_alone,
    reads_taints,
    shows_a_stack,
);

/// Words of the deny-list, with a line of a kernel log that they find, and one that is like it and is none; and which file of
/// Linux 7.2 prints each.
const FIXTURES: &[(&str, [&str; 2], [&str; 2])] = &[
    (
        "BUG:",
        [
            "BUG: KASAN: slab-use-after-free in hello_read+0x1/0x2",
            "mm/kasan/report.c",
        ],
        ["ODEBUG: selftest passed", "lib/debugobjects.c"],
    ),
    (
        "BUG ",
        ["kernel BUG at fs/proc/generic.c:750!", "lib/bug.c"],
        [
            "MDS CPU bug present and SMT on, data leak possible.",
            "arch/x86/kernel/cpu/bugs.c",
        ],
    ),
    (
        "WARNING:",
        [
            "WARNING: fs/proc/generic.c:404 at proc_register+0x16a/0x210, CPU#0: insmod/70",
            "kernel/panic.c",
        ],
        [
            "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!",
            "arch/x86/kernel/cpu/bugs.c",
        ],
    ),
    (
        "Oops:",
        [
            "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP NOPTI",
            "arch/x86/kernel/dumpstack.c",
        ],
        [
            "traps: cat[70] general protection fault ip:401000 sp:7ffd8e5d5b60 error:0 in cat[1000,401000+1000]",
            "arch/x86/kernel/traps.c",
        ],
    ),
    (
        "Kernel panic",
        [
            "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: hello_read+0x1/0x2",
            "kernel/panic.c",
        ],
        [
            "Kernel command line: console=ttyS0 loglevel=7 oops=panic panic=-1",
            "init/main.c",
        ],
    ),
    (
        "panicked at",
        [
            "rust_kernel: panicked at src/pot.rs:1:1:",
            "rust/kernel/lib.rs",
        ],
        [
            "panic_on_taint: bitmask=0x20 nousertaint_mode=disabled",
            "kernel/panic.c",
        ],
    ),
    (
        "Unable to handle kernel",
        [
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000",
            "arch/arm64/mm/fault.c",
        ],
        [
            "cat[70]: segfault at 0 ip 0000000000401000 sp 00007ffd8e5d5b60 error 6 in cat[1000,401000+1000]",
            "arch/x86/mm/fault.c",
        ],
    ),
    (
        "Internal error:",
        [
            "Internal error: synchronous external abort: 0000000096000410 [#1]  SMP",
            "arch/arm64/kernel/traps.c",
        ],
        ["Internal error, invalid op ff", "lib/842/842_decompress.c"],
    ),
    (
        "UBSAN:",
        [
            "UBSAN: array-index-out-of-bounds in src/hello.c:20:7",
            "lib/ubsan.c",
        ],
        [
            "test_ubsan_divrem_overflow CONFIG_UBSAN_DIV_ZERO(CONFIG_UBSAN_DIV_ZERO=y)",
            "lib/test_ubsan.c",
        ],
    ),
    (
        "INFO: task",
        [
            "INFO: task cat:70 blocked for more than 120 seconds.",
            "kernel/hung_task.c",
        ],
        [
            "Future hung task reports are suppressed, see sysctl kernel.hung_task_warnings",
            "kernel/hung_task.c",
        ],
    ),
    (
        "INFO: rcu",
        [
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "kernel/rcu/tree_stall.h",
        ],
        [
            "rcu: \tRCU CPU stall warnings timeout set to 60 (rcu_cpu_stall_timeout).",
            "kernel/rcu/update.c",
        ],
    ),
    (
        "INFO: trying to register",
        [
            "INFO: trying to register non-static key.",
            "kernel/locking/lockdep.c",
        ],
        ["INFO: lockdep is turned off.", "kernel/locking/lockdep.c"],
    ),
    (
        "hard LOCKUP",
        [
            "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
            "kernel/watchdog.c",
        ],
        [
            "watchdog: Delayed init of the lockup detector failed: -19",
            "kernel/watchdog.c",
        ],
    ),
    (
        "unreferenced object",
        [
            "guest: unreferenced object 0xffff888003d5b600 (size 128):",
            "mm/kmemleak.c, as init shows it",
        ],
        [
            "kmemleak: Kernel memory leak detector initialized (mem pool available: 14951)",
            "mm/kmemleak.c",
        ],
    ),
    (
        "kmemleak:",
        [
            "kmemleak: Kernel memory leak detector disabled",
            "mm/kmemleak.c",
        ],
        [
            "kmemleak: Automatic memory scanning thread started",
            "mm/kmemleak.c",
        ],
    ),
    (
        "refcount_t:",
        [
            "refcount_t: addition on 0; use-after-free.",
            "lib/refcount.c",
        ],
        [
            "lkdtm: attempting good refcount_inc() without overflow",
            "drivers/misc/lkdtm/refcount.c",
        ],
    ),
    (
        "CFI failure at",
        [
            "CFI failure at hello_init+0x1/0x2 [hello] (target: f+0x0/0x1; expected type: 0x1)",
            "kernel/cfi.c",
        ],
        [
            "SMP alternatives: CFI: Using standard kCFI",
            "arch/x86/kernel/alternative.c",
        ],
    ),
    (
        "list_add corruption",
        ["list_add corruption. prev is NULL.", "lib/list_debug.c"],
        [
            "lkdtm: attempting good list addition",
            "drivers/misc/lkdtm/bugs.c",
        ],
    ),
    (
        "list_del corruption",
        [
            "list_del corruption, ffff888003d5b600->next is NULL",
            "lib/list_debug.c",
        ],
        [
            "lkdtm: attempting good list removal",
            "drivers/misc/lkdtm/bugs.c",
        ],
    ),
    (
        "ODEBUG:",
        [
            "ODEBUG: Out of memory. ODEBUG disabled",
            "lib/debugobjects.c",
        ],
        ["ODEBUG: selftest passed", "lib/debugobjects.c"],
    ),
    (
        "usercopy:",
        [
            "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-64' (offset 0, size 65)!",
            "mm/usercopy.c",
        ],
        [
            "Spectre V1 : Vulnerable: __user pointer sanitization and usercopy barriers only; no swapgs barriers",
            "arch/x86/kernel/cpu/bugs.c",
        ],
    ),
    (
        "page allocation failure",
        [
            "insmod: page allocation failure: order:10, mode:0xcc0(GFP_KERNEL), nodemask=(null),cpuset=/,mems_allowed=0",
            "mm/page_alloc.c",
        ],
        [
            "name fail_page_alloc, interval 1, probability 100, space 0, times -1",
            "lib/fault-inject.c",
        ],
    ),
    (
        "Call Trace:",
        ["Call Trace:", "arch/x86/kernel/dumpstack.c"],
        [
            "guest:   backtrace (crc 5e3a3c2c):",
            "mm/kmemleak.c, as init shows it",
        ],
    ),
    (
        "Call trace:",
        ["Call trace:", "arch/arm64/kernel/stacktrace.c"],
        [
            "guest:   backtrace (crc 5e3a3c2c):",
            "mm/kmemleak.c, as init shows it",
        ],
    ),
];

fn each_word_finds_a_line() {
    let words: Vec<&str> = COMPLAINTS.iter().map(|(words, _)| *words).collect();
    let fixtures: Vec<&str> = FIXTURES.iter().map(|(words, ..)| *words).collect();
    assert_eq!(words, fixtures);
    for (words, [line, _], [like_it, _]) in FIXTURES {
        let line = format!("[    4.1] {line}");
        assert_eq!(complaints(&line), [&line[..]]);
        // No other word does, or this one was not needed.
        let find_it = COMPLAINTS.iter().filter(|(words, _)| says(&line, words));
        let find_it: Vec<&str> = find_it.map(|(words, _)| *words).collect();
        assert_eq!(find_it, [*words], "{line}");
        assert_eq!(complaints(&format!("[    4.1] {like_it}")), [""; 0]);
    }
}

fn leaves_programs_of_the_user_alone() {
    // What x86 says of a bad address, of one that is none, of an instruction that is not for it, and of one that there is not.
    let log = "[    4.1] cat[70]: segfault at 0 ip 0000000000401000 sp 00007ffd8e5d5b60 error 6 in cat[1000,401000+1000] likely on CPU 0 (core 0, socket 0)\n\
               [    4.1] Code: Unable to access opcode bytes at 0x400fd6.\n\
               [    4.1] traps: cat[71] general protection fault ip:401000 sp:7ffd8e5d5b60 error:0 in cat[1000,401000+1000]\n\
               [    4.1] traps: cat[72] segment-related general protection fault ip:401000 sp:7ffd8e5d5b60 error:18 in cat[1000,401000+1000]\n\
               [    4.1] traps: cat[73] trap invalid opcode ip:401000 sp:7ffd8e5d5b60 error:0 in cat[1000,401000+1000]\n";
    assert_eq!(complaints(log), [""; 0]);
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
