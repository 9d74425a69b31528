// SPDX-License-Identifier: GPL-2.0

//! How the scripts show what takes long.

use crate::{
    kernel::{run, succeed},
    terminal::Terminal,
};
use std::process::Command;

ktap::tests!(steps, Host:
    fit_the_terminal,
    are_two_lines_elsewhere,
    say_how_far_they_are,
);

/// What a step calls that takes as long as this.
const WHAT: &str = "making something of which there is a lot to say, more than in a line";

/// Something that downloads, for so many seconds.
fn step(seconds: u32) -> Command {
    let script = format!(
        ". scripts/common; work() {{ echo 'Need to get 97.0 MB of archives.'; \
        echo 'Get:1 http://mirror suite/main amd64 a amd64 1.0 [23.5 MB]'; \
        echo 'Get:2 http://mirror suite/main amd64 b amd64 1.0 [1 kB]'; sleep {seconds}; }}; step '{WHAT}' work"
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]);
    bash
}

fn fit_the_terminal() {
    let terminal = Terminal::start(&step(7), 200);
    terminal.shows(&format!(" s: {WHAT}: 24 of 97 MB\x1b[K"));
    terminal.resize("50", "40");
    // One may be on its way.
    terminal.shows("\r");
    terminal.shows("\r");
    let line = terminal.shows("\x1b[K");
    let line = line.trim_end_matches("\x1b[K");
    assert_eq!(line.chars().count(), 39, "{line:?}");
    assert!(line.contains(" s, 24 of 97 MB: making"), "{line:?}");
    let (status, rest) = terminal.end();
    assert_eq!(status, Some(0), "{rest}");
    // Nothing is coloured.
    assert!(!rest.replace("\x1b[K", "").contains('\x1b'), "{rest:?}");
    let last = rest.lines().last().unwrap();
    assert!(last.contains(&format!("\r\x1b[K{WHAT}: ")), "{rest:?}");
}

fn are_two_lines_elsewhere() {
    let is_two_lines = |said: &str| {
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert_eq!(lines[0], format!("{WHAT} ..."));
        assert!(lines[1].starts_with(&format!("{WHAT}: ")), "{said}");
    };
    let said = run(&mut step(3));
    is_two_lines(&said.stderr);
    let mut dumb = Command::new("env");
    dumb.arg("TERM=dumb").arg("bash").args(step(3).get_args());
    let (_, said) = Terminal::start(&dumb, 40).end();
    is_two_lines(&said);
    // What is short is not told of.
    assert_eq!(run(&mut step(0)).stderr, "");
}

fn say_how_far_they_are() {
    let far = |log: &str| {
        let script = ". scripts/common; how_far <(printf '%b' \"$1\")";
        succeed(Command::new("bash").args(["-c", script, "bash", log]))
    };
    assert_eq!(far(""), "");
    let one = "Get:1 http://mirror suite/main all linux-source-7.2 all 7.2.12-1 [155 MB]\\n";
    assert_eq!(far(one), "linux-source-7.2, 155 MB\n");
    let done = format!("{one}Fetched 155 MB in 3s (50 MB/s)\\nI: extracting archives...\\n");
    assert_eq!(far(&done), "I: extracting archives...\n");
    assert_eq!(
        far("x\\n  CC [M]  drivers/net/tun.o\\n"),
        "drivers/net/tun.o\n"
    );
}
