// SPDX-License-Identifier: GPL-2.0

//! The session of the article, as it is typed: transcript.txt has the commands, after `# `, and what
//! they print.

use std::process::Command;

const TRANSCRIPT: &str = include_str!("transcript.txt");

ktap::tests!(transcript, Guest: article);

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
