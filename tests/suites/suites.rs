// SPDX-License-Identifier: GPL-2.0

//! Programs of others on the files of the module: in a guest with those that tests/suites/tools fetches, of each kernel that is
//! tested and that this machine can run. What they do there is in tests/guest/src/suites.rs.

use crate::kernel::{Kernel, made, run, succeed};
use ktap::{Ended, amount, note, skip};
use std::process::Command;

// Outside of the root, where they can be fetched.
ktap::tests!(suites, Machine, Asked:
    everyday_tools,
    walkers,
    stress_ng,
    selftests,
    trinity,
    perf,
    bpftrace,
);

fn everyday_tools() {
    in_guests("everyday_tools", with_tools);
}

fn walkers() {
    in_guests("walkers", with_tools);
}

fn stress_ng() {
    in_guests("stress_ng", with_tools);
}

fn selftests() {
    in_guests("selftests", with_tools);
}

fn trinity() {
    in_guests("trinity", with_tools);
}

fn perf() {
    in_guests("perf", with_tools);
}

fn bpftrace() {
    in_guests("bpftrace", with_bpftrace);
}

/// What starts a guest that has the programs.
fn with_tools(kernel: &Kernel) -> Command {
    let tools = succeed(&mut Command::new("tests/suites/tools"));
    let boot = kernel.boot();
    let mut command = Command::new("scripts/enter");
    command
        .arg("--host")
        .arg(boot.get_program())
        .args(boot.get_args())
        .arg(format!("--file={}/usr:/usr", tools.trim_end()))
        .args(["--memory", "2048", "--timeout", amount("1200", "0")])
        .args(["--", "guest"]);
    command
}

fn with_bpftrace(kernel: &Kernel) -> Command {
    let mut command = Command::new("scripts/guest");
    command.args(["--kernel", &kernel.name, "--bpftrace"]);
    command
}

/// Runs one of `guest suites` on each kernel. A kernel that lacks what it takes is left out.
fn in_guests(name: &str, start: fn(&Kernel) -> Command) {
    let name = format!("suites.{name}");
    let here = succeed(Command::new("dpkg").arg("--print-architecture"));
    let mut lacks = String::new();
    let mut done = 0;
    for kernel in made() {
        if kernel.is.architecture != here.trim_end() {
            continue;
        }
        let said = run(start(kernel).args(["suites", amount("test", "soak"), &name]));
        let all = format!("{}: {}{}", kernel.name, said.stdout, said.stderr);
        assert_eq!(said.status, Some(0), "{all}");
        let outcomes = ktap::read(&said.stdout);
        let [outcome] = &outcomes[..] else {
            panic!("{all}");
        };
        match &outcome.ended {
            Ended::Passed(shown) => {
                note(shown.clone());
                done += 1;
            }
            Ended::Skipped(reason) => {
                note(format!("{}: {reason}", kernel.name));
                lacks = reason.clone();
            }
            Ended::Failed(_) | Ended::Crashed(_) => panic!("{all}"),
        }
        for line in &outcome.figures {
            note(format!("figure: {line}"));
        }
    }
    if done == 0 {
        skip(&lacks);
    }
}
