// SPDX-License-Identifier: GPL-2.0

//! How the scripts show what takes long and what goes wrong, and what they keep.

use crate::{
    kernel::{Said, run, succeed, work},
    terminal::Terminal,
};
use std::{fs, path::Path, process::Command};

ktap::tests!(steps, Host:
    fit_the_terminal,
    are_two_lines_elsewhere,
    say_how_far_they_are,
    say_what_is_wrong_with_the_machine,
    make_anew_what_is_damaged,
    errors_begin_with_what_was_typed,
    a_new_module_says_what_is_next,
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
    // As apt says it to programs, within a package too.
    let whole = format!("Need to get 200.4 MB of archives.\\ndlstatus:1:0.0000:x\\n{one}");
    assert_eq!(far(&whole), "0 of 200 MB");
    let part = format!("{whole}dlstatus:1:61.1234:Retrieving file 1 of 2 (4s remaining)\\n");
    assert_eq!(far(&part), "122 of 200 MB");
    assert_eq!(
        far("x\\n  CC [M]  drivers/net/tun.o\\n"),
        "drivers/net/tun.o\n"
    );
}

/// Runs a script that has those of `scripts/common`, with a cache of its own.
fn script(cache: &Path, script: &str) -> Said {
    run(Command::new("bash")
        .args(["-c", &format!(". scripts/common; {script}"), "scripts/some"])
        .env("XDG_CACHE_HOME", cache)
        .env_remove("IN_ROOT"))
}

fn say_what_is_wrong_with_the_machine() {
    let cache = work("cache");
    for (line, cause) in [
        (
            "tar: a: Cannot write: No space left on device",
            "there is no room left",
        ),
        (
            "W: Temporary failure resolving 'deb.debian.org'",
            "there is no network",
        ),
        (
            "Could not connect to mirror:80",
            "the mirror does not answer",
        ),
        (
            "E: Failed to fetch a  Hash Sum mismatch",
            "what the mirror sends is not what it should be",
        ),
        (
            "Error reading from server - read (104: Connection reset by peer)",
            "the download was cut off",
        ),
    ] {
        let said = script(
            &cache,
            &format!(
                "work() {{ echo first; echo \"{line}\"; echo last; false; }}; step 'making it' work"
            ),
        );
        assert_eq!(said.status, Some(1));
        let begins = format!(
            "{}: {cause}: {line}; failed: making it; the whole log is ",
            "scripts/some"
        );
        assert!(said.stderr.contains(&begins), "{}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
        let log = said.stderr.trim_end().rsplit(' ').next().unwrap();
        fs::remove_file(log).unwrap();
    }
    let said = script(
        &cache,
        "cached big 1 'making it (9000000 GB on disk)' false",
    );
    assert_eq!(said.status, Some(1));
    assert!(
        said.stderr.contains("not enough room in"),
        "{}",
        said.stderr
    );
    assert!(!cache.join("fortune-ko/big.1").exists());
    for (cache, script_of, dir) in [
        (
            Path::new("/proc"),
            "cached some 1 'making it' true",
            "/proc/fortune-ko",
        ),
        (
            &*cache,
            "top=/proc; step 'making it' true",
            "/proc/build/log",
        ),
    ] {
        let said = script(cache, script_of);
        assert_eq!(said.status, Some(1));
        let line = format!("scripts/some: {dir} can't be written to\n");
        assert_eq!(said.stderr, line);
    }
    // On a machine of another distribution.
    let said = script(&cache, "command() { [ \"$2\" = dnf ]; }; debian_tools");
    assert_eq!(said.status, Some(1));
    let how = "scripts/some: missing on this machine: dpkg mmdebstrap bubblewrap";
    assert!(said.stderr.starts_with(how), "{}", said.stderr);
    assert!(
        said.stderr.contains("as root: dnf install dpkg"),
        "{}",
        said.stderr
    );
}

fn make_anew_what_is_damaged() {
    let cache = work("cache");
    let entry = cache.join("fortune-ko/some.1");
    // Says whether it was made.
    let use_it = || {
        let made = "make_it() { mkdir \"$1/b\"; echo hello > \"$1/b/c d\"; echo hi > \"$1/a\"; touch $XDG_CACHE_HOME/made; }";
        let said = script(
            &cache,
            &format!(
                "{made}; cached some 1 'making it' make_it; cat \"$entry/b/c d\" \"$entry/a\""
            ),
        );
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (Some(0), "hello\nhi\n"),
            "{}",
            said.stderr
        );
        let made = fs::remove_file(cache.join("made")).is_ok();
        let damaged = said.stderr.contains("some.1, which is made anew");
        (made, damaged)
    };
    let old = || {
        succeed(
            Command::new("touch")
                .args(["-d", "2 hours ago"])
                .arg(entry.join(".files")),
        )
    };
    assert_eq!(use_it(), (true, false));
    assert_eq!(use_it(), (false, false));
    // Emptied.
    succeed(
        Command::new("find")
            .arg(&entry)
            .args(["-mindepth", "1", "-delete"]),
    );
    assert_eq!(use_it(), (true, true));
    succeed(
        Command::new("rm")
            .arg("-r")
            .arg(entry.join("a"))
            .arg(entry.join("b")),
    );
    assert_eq!(use_it(), (true, true));
    // What is more is no damage, nor what was made by those who knew no lists.
    fs::write(entry.join("more"), "").unwrap();
    old();
    assert_eq!(use_it(), (false, false));
    // Cut, as after a loss of power.
    fs::write(entry.join("b/c d"), "").unwrap();
    old();
    assert_eq!(use_it(), (true, true));
    fs::write(entry.join(".files"), "x\n").unwrap();
    old();
    assert_eq!(use_it(), (true, true));
    fs::remove_file(entry.join(".files")).unwrap();
    assert_eq!(use_it(), (false, false));
}

fn errors_begin_with_what_was_typed() {
    let says = |command: &[&str], line: &str| {
        let said = run(Command::new(command[0]).args(&command[1..]));
        assert_ne!(said.status, Some(0), "{command:?}");
        assert!(
            said.stderr.starts_with(line),
            "{command:?}: {}",
            said.stderr
        );
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    };
    says(
        &["scripts/test", "debian-7.1"],
        "scripts/test: no kernel 'debian-7.1'; there is debian-7.2",
    );
    says(
        &["scripts/new-module", "fn", "/tmp/no/such"],
        "scripts/new-module: fn is a word of Rust's\n",
    );
    says(
        &["scripts/new-module", "fn"],
        "scripts/new-module: it takes a name and a directory",
    );
    says(
        &["scripts/new-module", "--updaet", "x"],
        "scripts/new-module: there is no option --updaet; there is --update;",
    );
}

fn a_new_module_says_what_is_next() {
    let dir = work("new").join("greeter");
    let dir = dir.to_str().unwrap();
    let said = succeed(Command::new("scripts/new-module").args(["greeter", dir]));
    let says = format!("\n\n  cd {dir}\n  make run  ");
    assert!(said.contains(&says), "{said}");
    assert!(said.contains("src/greeter.rs is the module"), "{said}");
    // Those who have it find it there.
    let git = run(Command::new("sh").args(["-c", "command -v git"])).status == Some(0);
    assert_eq!(fs::exists(format!("{dir}/.git")).unwrap(), git, "{said}");
}
