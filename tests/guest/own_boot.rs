// SPDX-License-Identifier: GPL-2.0

//! What needs a boot of its own, since the kernel complains, or keeps traces, or has to be started in another way.

use crate::kernel::{Kernel, Said, kernel, run, work};
use ktap::{Ended, Limit, Need, amount, figure, note};
use std::{collections::BTreeSet, fs, process::Command};

pub(crate) fn tests() -> Vec<ktap::Test> {
    [
        classic::tests(),
        hung::tests(),
        loading::tests(),
        proc_fs::tests(),
        unloading::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs a script in a guest that has the test modules, with options for `boot`.
fn boot(options: &[&str], script: &str) -> Said {
    boot_in(kernel(Need::Kernel), options, script)
}

/// The same with a certain kernel.
fn boot_in(kernel: &Kernel, options: &[&str], script: &str) -> Said {
    run(kernel
        .boot()
        .args(kernel.test_modules())
        .args(options)
        .args(["--", "sh", "-c", script]))
}

/// What insmod says, without what the harness does.
fn insmod_says(said: &Said) -> String {
    let lines = said.stderr.lines();
    let lines = lines.filter(|line| !line.starts_with("qemu/boot: "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The bugs that such modules have had since the article, and the tests that would notice if fortune.ko had them.
mod classic {
    use super::*;

    ktap::tests!(classic, Boot:
        bugs_are_noticed,
        write_of_nothing_brings_the_kernel_down,
        text_beyond_its_place_is_noticed needs(Debug),
        old_kernel_memory_is_noticed,
    );

    /// What notices a bug, by its number; `legacy.c` has them. Number 3 is not here: no test can notice it, since the
    /// VFS passes no length for which a C `int` has no room (`MAX_RW_COUNT`). Nor are 2 and 7, which the kernel notices.
    const NOTICED: &[(u32, &[&str])] = &[
        (1, &["writes.full_to_the_byte"]),
        (4, &["writes.no_newline"]),
        (5, &["reads.empty_pot"]),
        (6, &["writes.any_byte"]),
        (8, &["reads.every_buffer_size"]),
        (9, &["reads.bad_pointer_keeps_the_fortune"]),
        (10, &["others.stalled_writer"]),
        (11, &["files.every_chunk_border"]),
        (12, &["control.files_and_modes"]),
        (13, &["others.nothing_is_logged"]),
        (14, &["reads.empty_pot"]),
        (15, &["reads.every_buffer_size", "permissions.table"]),
    ];

    /// The command that runs some tests on the module with that bug.
    fn on(bug: u32, verb: &str, tests: &[&str]) -> String {
        format!("MODULE='legacy bug={bug}' guest {verb} {}", tests.join(" "))
    }

    /// How each of them ended.
    #[track_caller]
    fn ended(report: &str) -> Vec<(String, bool)> {
        let outcomes = ktap::read(report).into_iter();
        let ended = outcomes.map(|outcome| match outcome.ended {
            Ended::Passed(_) => (outcome.name, true),
            Ended::Failed(_) => (outcome.name, false),
            ended => panic!("{}: {ended:?}", outcome.name),
        });
        // Without the sentences of the contract.
        ended
            .map(|(name, passed)| {
                (
                    name.split(' ').next().unwrap_or_default().to_owned(),
                    passed,
                )
            })
            .collect()
    }

    fn bugs_are_noticed() {
        let all: BTreeSet<&str> = NOTICED
            .iter()
            .flat_map(|(_, tests)| *tests)
            .copied()
            .collect();
        let all: Vec<&str> = all.into_iter().collect();
        // Without a bug all of them pass, and with number 3 the one that is about it.
        let mut runs = vec![(0, &*all, true), (3, &["writes.far_too_long"], true)];
        runs.extend(NOTICED.iter().map(|&(bug, tests)| (bug, tests, false)));
        let scripts = runs
            .iter()
            .map(|(bug, tests, _)| on(*bug, "contract", tests));
        let said = boot(&[], &scripts.collect::<Vec<_>>().join("; "));
        let mut reports = said.stdout.split("KTAP version 1\n").skip(1);
        for (bug, tests, passed) in runs {
            let report = reports.next().unwrap_or_default();
            let mut expected: Vec<(String, bool)> = tests
                .iter()
                .map(|&test| (test.to_owned(), passed))
                .collect();
            let mut ended = ended(report);
            expected.sort();
            ended.sort();
            assert_eq!(ended, expected, "bug {bug}: {report}{}", said.stderr);
        }
        // The last one has failed, and the kernel has not complained.
        assert_eq!(said.status, Some(1), "{}", said.stderr);
    }

    fn write_of_nothing_brings_the_kernel_down() {
        let said = boot(&[], &on(2, "test", &["writes.zero_length"]));
        assert_eq!(said.status, Some(125), "{}", said.stderr);
        let why = "unable to handle page fault";
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }

    fn text_beyond_its_place_is_noticed() {
        // Without KASAN it would be in what lies behind, whatever that is.
        let script = on(7, "test", &["reads.long_fortunes"]);
        let said = boot_in(kernel(Need::Debug), &[], &script);
        assert_eq!(said.status, Some(125), "{}", said.stderr);
        let why = "KASAN: slab-out-of-bounds";
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }

    fn old_kernel_memory_is_noticed() {
        // The kernel does not clear what it allocates: the module with the bug shows what was there, fortune.ko does not.
        let verb = amount("test", "soak");
        let test = "reads.nothing_of_old_memory";
        let said = boot(
            &["--append", "init_on_alloc=0"],
            // What the kernel has at hand can be a page of zeroes.
            &format!(
                "for try in 1 2 3 4 5 6 7 8; do {}; done; guest {verb} {test}",
                on(14, "test", &[test])
            ),
        );
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let reports: Vec<&str> = said.stdout.split("KTAP version 1\n").skip(1).collect();
        let Some((ours, theirs)) = reports.split_last() else {
            panic!("{}", said.stdout);
        };
        let mut starts = theirs
            .iter()
            .filter_map(|report| report.split_once("written: ["));
        assert!(
            starts.any(|(_, bytes)| !bytes.starts_with("0, 0, 0, 0")),
            "{theirs:?}"
        );
        for report in theirs {
            assert_eq!(ended(report), [(test.to_owned(), false)], "{report}");
        }
        assert_eq!(ended(ours), [(test.to_owned(), true)], "{ours}");
        for line in ktap::read(ours).iter().flat_map(|outcome| &outcome.figures) {
            note(format!("figure: {line}"));
        }
    }
}

mod hung {
    use super::*;

    // Outside of the root, where bpftrace can be fetched.
    ktap::tests!(hung, Machine, Asked: is_seen_by_bpftrace);

    fn is_seen_by_bpftrace() {
        let said = run(Command::new("scripts/guest").args(["--bpftrace", "hung", "bpftrace"]));
        assert_eq!(said.status, Some(0), "{}", said.stderr);
    }
}

mod loading {
    use super::*;

    ktap::tests!(loading, Boot: refused_modules needs(Stock), signed_modules needs(Debug));

    fn refused_modules() {
        // A module for another kernel than it is.
        let mut module = fs::read(kernel(Need::Kernel).build().join("fortune.ko")).unwrap();
        let magic = b"vermagic=";
        let at = module.windows(magic.len()).position(|at| at == magic);
        module[at.unwrap() + magic.len()] = b'0';
        let other = work("refused").join("other.ko");
        fs::write(&other, module).unwrap();
        let other = other.to_str().unwrap();

        let refusals: [(&[&str], _, _, _); 3] = [
            (
                &["--append", "module.sig_enforce=1"],
                "fortune.ko",
                "Key was rejected by service",
                "Loading of unsigned module is rejected",
            ),
            (
                &["--append", "lockdown=integrity"],
                "fortune.ko",
                "Operation not permitted",
                "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7",
            ),
            (
                &["--file", other],
                "other.ko",
                "Invalid module format",
                "fortune: version magic '0",
            ),
        ];
        for (options, module, insmod, kernel) in refusals {
            let said = boot(options, &format!("insmod {module} || dmesg"));
            assert_eq!(said.status, Some(0), "{}", said.stderr);
            let line = format!("insmod: ERROR: could not insert module {module}: {insmod}\n");
            assert_eq!(insmod_says(&said), line);
            assert!(said.stdout.contains(kernel), "{}", said.stdout);
        }
    }

    /// A kernel that was told to load signed modules only refuses one without a signature or with a broken one, and takes one
    /// that was signed with its own key, which was made with it and is nowhere but in the cache.
    fn signed_modules() {
        let kernel = kernel(Need::Debug);
        let tree = &kernel.is.headers;
        let work = work("signed");
        let signed = work.join("signed.ko");
        let config = fs::read_to_string(tree.join(".config")).unwrap();
        let hash = config
            .lines()
            .find_map(|line| line.strip_prefix("CONFIG_MODULE_SIG_HASH="));
        // As the README has it.
        let made = Command::new(tree.join("scripts/sign-file"))
            .arg(hash.unwrap().trim_matches('"'))
            .args([
                tree.join("certs/signing_key.pem"),
                tree.join("certs/signing_key.x509"),
            ])
            .arg(kernel.build().join("fortune.ko"))
            .arg(&signed)
            .status();
        assert!(made.unwrap().success());
        let mut bytes = fs::read(&signed).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let broken = work.join("broken.ko");
        fs::write(&broken, bytes).unwrap();

        let said = run(kernel
            .boot()
            .args(["--append", "module.sig_enforce=1"])
            .args(["--file", signed.to_str().unwrap(), "--file", broken.to_str().unwrap()])
            .args(["--", "sh", "-c"])
            .arg(
                "insmod fortune.ko; insmod broken.ko; insmod signed.ko && echo taken > /proc/fortune && cat /proc/fortune && \
                 rmmod fortune && cat /proc/sys/kernel/tainted",
            ));
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let refused = |module| {
            format!(
                "insmod: ERROR: could not insert module {module}: Key was rejected by service\n"
            )
        };
        assert_eq!(
            insmod_says(&said),
            refused("fortune.ko") + &refused("broken.ko")
        );
        // The taint is that of a module from outside the tree, 4096, and not that of one without a signature, 8192.
        assert_eq!(said.stdout, "taken\n4096\n");
    }
}

mod proc_fs {
    use super::*;

    ktap::tests!(proc_fs, Boot:
        name_that_is_taken,
        what_is_forgotten_only_leaks needs(Stock),
        attacks_where_memory_is_not_cleared,
    );

    fn name_that_is_taken() {
        // By the kernel, or by ourselves: it warns, which the harness must see, and the module says ENOMEM, leaving
        // nothing.
        for (name, taken) in [
            (1, "/proc/cmdline"),
            (2, "proc_fs_attacks/twice"),
            (3, "proc_fs_attacks/twice"),
        ] {
            let Said {
                status,
                stdout,
                stderr,
            } = boot(
                &[],
                &format!(
                    "insmod proc_fs_attacks.ko name={name}; ls -d /proc/proc_fs_attacks; \
                     insmod proc_fs_attacks.ko && ls -d /proc/proc_fs_attacks",
                ),
            );
            assert_eq!(status, Some(125), "{stderr}");
            assert_eq!(stdout, "/proc/proc_fs_attacks\n");
            assert!(
                stderr.contains(&format!("{taken}' already registered")),
                "{stderr}"
            );
            assert!(
                stderr.contains("could not insert module proc_fs_attacks.ko: Cannot allocate"),
                "{stderr}"
            );
        }
    }

    fn what_is_forgotten_only_leaks() {
        // Whatever memory the `File` was in is free, and would read as zeroes.
        let said = boot(
            &["--append", "init_on_free=1"],
            "insmod proc_fs_attacks.ko forget=1 && cd /proc/proc_fs_forgotten && ls && \
             for file in maybe_uninit opaque manually_drop mem_forget; do \
                 tr -d f < $file | wc -c && wc -c < $file; \
             done && cat cycle && readlink link",
        );
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let read: Vec<&str> = said.stdout.split_whitespace().collect();
        let expected = "cycle dir link manually_drop maybe_uninit mem_forget opaque \
                        0 4000 0 4000 0 4000 0 4000 forgotten target";
        assert_eq!(read.join(" "), expected, "{}", said.stderr);

        // What has no functions stays when the module goes.
        let said = boot(
            &[],
            "insmod proc_fs_attacks.ko forget=2 && rmmod proc_fs_attacks && cd /proc/proc_fs_forgotten && \
             ls && ls dir && readlink link && ! cat link",
        );
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        assert_eq!(said.stdout, "dir\nlink\ntarget\n", "{}", said.stderr);
    }

    fn attacks_where_memory_is_not_cleared() {
        // What the kernel does not clear would be seen.
        let verb = amount("contract", "soak");
        let said = boot(
            &["--append", "init_on_alloc=0"],
            &format!("guest {verb} attacks proc_fs"),
        );
        let all = said.stderr + &said.stdout;
        assert_eq!(said.status, Some(0), "{all}");
        let outcomes = ktap::read(&said.stdout);
        let failed = |outcome: &ktap::Outcome| matches!(outcome.ended, Ended::Failed(_));
        assert!(!outcomes.iter().any(failed), "{all}");
        assert!(outcomes.len() > 50, "{}", outcomes.len());
    }
}

mod unloading {
    use super::*;

    ktap::tests!(unloading, Boot: takes_time_in_proportion);

    fn takes_time_in_proportion() {
        // To the files that are open; in instructions, which no other load changes.
        let said = boot(&["--icount"], "guest descriptors");
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let counts: Vec<f64> = said
            .stdout
            .split_whitespace()
            .map(|count| count.parse().unwrap())
            .collect();
        figure(
            "S8",
            "rmmod with 50,000 open files takes {} the instructions that it takes with half of them",
            &[Limit::most(counts[1] / counts[0], 3., "times")],
        );
    }
}
