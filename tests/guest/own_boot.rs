// SPDX-License-Identifier: GPL-2.0

//! What needs a boot of its own, since the kernel complains, or keeps traces, or has to be started in another way.

use crate::kernel::{Said, kernel, run, work};
use ktap::{Ended, Limit, Need, amount, figure, note};
use std::{fs, process::Command};

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
    let kernel = kernel(Need::Kernel);
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

mod classic {
    use super::*;

    ktap::tests!(classic, Boot:
        bugs_are_seen,
        bugs_1_and_2_bring_the_kernel_down,
        old_kernel_memory_is_seen,
    );

    fn bugs_are_seen() {
        // All but three, see below, in one boot. Number 3 can't be seen: the VFS passes no length that a C `int`
        // has no room for.
        let said = boot(&[], "guest classic 4 5 6 7 8 9 10 11 12 13 15");
        let caught: String = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]
            .iter()
            .map(|number| format!("{number} caught\n"))
            .collect();
        assert_eq!(said.stdout, caught, "{}", said.stderr);
        assert_eq!(said.status, Some(0), "{}", said.stderr);
    }

    fn bugs_1_and_2_bring_the_kernel_down() {
        for number in [1, 2] {
            let Said { status, stderr, .. } = boot(&[], &format!("guest classic {number}"));
            assert_eq!(status, Some(125), "{number}: {stderr}");
            assert!(
                stderr.contains("unable to handle page fault"),
                "{number}: {stderr}"
            );
        }
    }

    fn old_kernel_memory_is_seen() {
        // The kernel does not clear what it allocates: the old module shows what was there, fortune.ko does not.
        let verb = amount("test", "soak");
        let test = "classic.bug_14_old_kernel_memory";
        let said = boot(
            &["--append", "init_on_alloc=0"],
            &format!("guest classic 14; guest {verb} {test}"),
        );
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        assert!(said.stdout.starts_with("14 caught\n"), "{}", said.stdout);
        let outcomes = ktap::read(&said.stdout);
        assert!(
            outcomes.len() == 1
                && outcomes[0].name == test
                && matches!(outcomes[0].ended, Ended::Passed(_)),
            "{}",
            said.stdout
        );
        for line in &outcomes[0].figures {
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
        what_is_forgotten_only_leaks,
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
