// SPDX-License-Identifier: GPL-2.0

//! The session of the article, as it is typed: transcript.txt has the commands, after `# `, and what
//! they print.

use std::process::{Command, ExitCode};

const TRANSCRIPT: &str = include_str!("transcript.txt");

ktap::tests!(transcript, Guest: article);

/// Types the commands and shows what they print.
pub(crate) fn play() -> ExitCode {
    for command in commands() {
        println!("# {command}");
        let status = Command::new("sh").args(["-c", command]).status();
        if !status.as_ref().is_ok_and(|status| status.success()) {
            eprintln!("{command}: {status:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn commands() -> impl Iterator<Item = &'static str> {
    TRANSCRIPT
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
}

fn article() {
    let mut session = String::new();
    for command in commands() {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        session += &format!("# {command}\n");
        session += &String::from_utf8_lossy(&output.stdout);
        session += &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {session}");
    }
    assert_eq!(session, TRANSCRIPT);
}
