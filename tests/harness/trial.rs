// SPDX-License-Identifier: GPL-2.0

//! How qemu/try reads what a guest and a kernel say.

#[path = "../../qemu/src/bin/trial.rs"]
#[expect(dead_code, reason = "its main is that of another program")]
mod program;

use program::{Cell, Trial, depends, name, report};

ktap::tests!(try, Host: reads_rounds, knows_modules, reports_once_of_a_kind);

fn rounds(text: &str) -> (Cell, Cell, Vec<String>) {
    let mut trial = Trial::default();
    trial.read_rounds("k", text);
    (trial.loads, trial.unloads, trial.notes)
}

fn reads_rounds() {
    let well = "load a\nunload a\nload a\nunload a\ndone\n";
    assert_eq!(rounds(well), (Cell::Yes, Cell::Yes, vec![]));

    let absent = "load a\nfailed: could not insert 'a': No such device\nlog: nothing\ndone\n";
    assert_eq!(rounds(absent), (Cell::NoDevice, Cell::Untried, vec![]));

    let refused = "load a\nfailed: could not insert 'a': Invalid argument\nlog: why\ndone\n";
    let note = "k does not load a: could not insert 'a': Invalid argument\n| why";
    assert_eq!(
        rounds(refused),
        (Cell::No, Cell::Untried, vec![note.to_owned()])
    );

    let note = "k does not unload a: it does not end";
    let hangs = (Cell::Yes, Cell::No, vec![note.to_owned()]);
    assert_eq!(rounds("load a\nunload a\n"), hangs);
}

fn knows_modules() {
    assert_eq!(name("kernel/lib/crc-itu-t.ko.xz"), "crc_itu_t");
    assert_eq!(
        depends(b"license=GPL\0depends=mc,a-b\0name=x\0"),
        ["mc", "a_b"]
    );
    assert_eq!(depends(b"license=GPL\0depends=\0name=x\0"), [""; 0]);
}

fn reports_once_of_a_kind() {
    let log = "[1.0] quiet\n[2.0] BUG: first 0x1\n[2.1] stack\n[3.0] BUG: first 0x2\n";
    let complaints = ["[2.0] BUG: first 0x1", "[3.0] BUG: first 0x2", "(taint B)"];
    let complaints = complaints.map(str::to_owned);
    let lines = log.lines().skip(1).chain(["(taint B)"]);
    assert_eq!(report(log, &complaints), lines.collect::<Vec<_>>());
}
