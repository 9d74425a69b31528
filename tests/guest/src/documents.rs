// SPDX-License-Identifier: GPL-2.0

//! The sessions that are shown in src/article.md and src/hung.md, typed once more: the blocks that are marked `console`
//! have the commands, after `# `, where `> ` continues one, and what they print. One shell takes all of a document, and
//! another one all blocks of it that are marked with one more word.

use ktap::lasting;
use std::{fs, process::Command};

/// What the blocks with that mark hold, in order.
fn session(document: &str, mark: &str) -> String {
    let mut inside = false;
    let mut session = String::new();
    for line in document.lines() {
        match line.strip_prefix("```") {
            Some(begun) => inside = begun == mark,
            None if inside => session += &format!("{line}\n"),
            None => {}
        }
    }
    session
}

/// The commands in a session.
fn commands(session: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    // Whether the last line was one.
    let mut open = false;
    for line in session.lines() {
        let (begins, goes_on) = (line.strip_prefix("# "), line.strip_prefix("> "));
        match (begins, goes_on, commands.last_mut()) {
            (Some(command), ..) => commands.push(command.to_owned()),
            (_, Some(more), Some(command)) if open => *command += &format!("\n{more}"),
            _ => {
                open = false;
                continue;
            }
        }
        open = true;
    }
    commands
}

/// A session as a terminal shows it: its commands, given to one busybox shell, and all that they print. `after` is done at
/// the end, and not shown.
fn typed(session: &str, after: &str) -> String {
    const SCRIPT: &str = "/tmp/session";
    let mut script = String::new();
    for command in commands(session) {
        let quoted = command.replace('\'', r"'\''").replace('\n', "\n> ");
        script += &format!("echo '# {quoted}'\n{command}\n");
    }
    script += &format!("{{ {after}; }} > /dev/null 2>&1\n");
    fs::write(SCRIPT, script).unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("exec busybox sh {SCRIPT} 2>&1")])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether lines are as they are shown, where a line of just `…` stands for any number of them.
fn are_as_shown(lines: &[String], shown: &[String]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((line, shown)) if line == "…" => {
            (0..=lines.len()).any(|left_out| are_as_shown(&lines[left_out..], shown))
        }
        Some((line, shown)) => lines.first() == Some(line) && are_as_shown(&lines[1..], shown),
    }
}

/// Types a session of a document, and compares.
#[track_caller]
fn assert_as_shown(document: &str, mark: &str, after: &str) {
    let shown = session(document, mark);
    assert!(!shown.is_empty());
    let typed = typed(&shown, after);
    let lines = |text: &str| text.lines().map(lasting).collect::<Vec<_>>();
    if are_as_shown(&lines(&typed), &lines(&shown)) {
        return;
    }
    // Up to where they are alike.
    let (typed_lines, shown_lines) = (lines(&typed), lines(&shown));
    let begins = |count: &usize| {
        let mut begin = shown_lines[..*count].to_vec();
        begin.push("…".to_owned());
        are_as_shown(&typed_lines, &begin)
    };
    let alike = (0..=shown_lines.len()).take_while(begins).last();
    let wrong = shown.lines().nth(alike.unwrap_or(0)).unwrap_or("its end");
    panic!("not as shown from here on: {wrong}\nwhat was typed and printed:\n{typed}");
}

pub(crate) mod article {
    ktap::tests!(article, Guest, Stock, Once:
        each_step_does_what_is_shown,
        numbers_are_told_from_words,
        commands_are_told_from_what_they_print,
    );

    fn each_step_does_what_is_shown() {
        // As `make shell` begins.
        let module = crate::module::Module::load("");
        // The session unloads it, and loads it again.
        std::mem::forget(module);
        let document = include_str!("../../../src/article.md");
        super::assert_as_shown(document, "console", "rmmod fortune");
    }

    fn numbers_are_told_from_words() {
        for (line, lasting) in [
            (
                "[   12.345678] fortune: pot_size=0",
                "[…] fortune: pot_size=0",
            ),
            ("[sequential] random", "[sequential] random"),
            ("/proc/12/status 123 1234", "/proc/…/status 123 …"),
            ("17 0x3 0xdead beef", "17 … … beef"),
            (
                "_RNvMs_NtNtCsanH2lG6dIOj_7fortune7proc_fs+0x9d/0x250  ",
                "_RNvMs_NtNtCs…_7fortune7proc_fs+…/…",
            ),
            ("vfs_read+193 193", "vfs_read+… 193"),
        ] {
            assert_eq!(ktap::lasting(line), lasting);
        }
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        for (shown, same) in [
            ("a\nb\nc", true),
            ("a\n…\nc", true),
            ("…\na\nb\nc\n…", true),
            ("a\nc", false),
            ("…\nb", false),
            ("a\nb", false),
        ] {
            assert_eq!(super::are_as_shown(&lines("a\nb\nc"), &lines(shown)), same);
        }
    }

    fn commands_are_told_from_what_they_print() {
        let document = "```console\n# a\n> b\nc\n> d\n# e\n```\n# f\n```console g\n# h\n```\n";
        let commands = |mark| super::commands(&super::session(document, mark));
        assert_eq!(commands("console"), ["a\nb", "e"]);
        assert_eq!(commands("console g"), ["h"]);
    }
}

pub(crate) mod hung {
    ktap::tests!(hung, Guest, Stock, Once: is_found_as_shown [O1 O4 U1]);

    fn is_found_as_shown() {
        types("console");
    }

    /// What `guest hung bpftrace` does, in a guest that has it.
    pub(crate) fn is_seen_by_bpftrace() {
        types("console bpftrace");
    }

    fn types(mark: &str) {
        let module = crate::module::Module::load("");
        std::mem::forget(module);
        let document = include_str!("../../../src/hung.md");
        let after =
            "killall -9 strace reader waiter; exec 3<&-; rm /tmp/seen /tmp/calls; rmmod fortune";
        super::assert_as_shown(document, mark, after);
    }
}
