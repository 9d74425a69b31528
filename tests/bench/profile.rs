// SPDX-License-Identifier: GPL-2.0

//! Where the instructions of a call are: by function, as QEMU's log of what it executes has them.
//!
//! While the guest makes the same calls for ever, QEMU is told over its monitor to execute one instruction at a time,
//! and for a moment to log each. The log is cut where a system call enters the kernel.

use super::Options;
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// How many bytes of the log are enough: some hundred calls.
const ENOUGH: u64 = 64 << 20;

/// How long that takes at most.
const HANG: Duration = Duration::from_secs(60);

/// How many instructions of a call are in each function, of which only those with a name are taken.
pub(crate) type Profile = BTreeMap<String, usize>;

/// The profile of the calls that `row` makes on `/proc/file`, `calls` system calls together.
pub(crate) fn of(options: &Options, row: &str, file: &str, calls: usize) -> Result<Profile> {
    let dir = std::env::temp_dir().join(format!("profile.{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let result = run(options, &dir, row, file, calls);
    fs::remove_dir_all(&dir)?;
    result
}

fn run(options: &Options, dir: &Path, row: &str, file: &str, calls: usize) -> Result<Profile> {
    // A QEMU before the real one, with the options that `boot` does not have.
    let (qemu, monitor, log) = (
        dir.join("qemu-system-x86_64"),
        dir.join("monitor"),
        dir.join("log"),
    );
    let path = std::env::var("PATH")?;
    fs::write(
        &qemu,
        format!(
            "#!/bin/sh\nPATH={path} exec qemu-system-x86_64 -monitor unix:{},server,nowait -D {} \"$@\"\n",
            monitor.display(),
            log.display()
        ),
    )?;
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755))?;
    let machine = ["--icount", "--append", "nokaslr"];
    let mut guest = super::bench(options, &machine, &["profile", row, file])?
        .env("PATH", format!("{}:{path}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;

    let mut symbols = Vec::new();
    let stdout = guest.stdout.take().context("a pipe")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line == "calling" {
            break;
        }
        if let [address, _, name, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
            symbols.push((u64::from_str_radix(address, 16)?, name.to_owned()));
        }
    }
    symbols.sort();
    ensure!(!symbols.is_empty(), "the guest ends at once");

    let mut monitor = UnixStream::connect(monitor)?;
    // It says a lot, such as each character that it is given.
    let mut said = monitor.try_clone()?;
    thread::spawn(move || said.read_to_end(&mut Vec::new()));
    monitor.write_all(b"one-insn-per-tb on\nlog exec,nochain\n")?;
    let begun = Instant::now();
    let logged = || fs::metadata(&log).map_or(0, |log| log.len());
    while logged() < ENOUGH && begun.elapsed() < HANG {
        thread::sleep(Duration::from_millis(50));
    }
    // The guest does not end by itself.
    monitor.write_all(b"quit\n")?;
    guest.wait()?;
    ensure!(logged() >= ENOUGH, "QEMU logs nothing");

    let functions = executed(&fs::read_to_string(&log)?, &symbols);
    cut(&functions, calls)
}

/// The function of each instruction in the log.
fn executed<'a>(log: &str, symbols: &'a [(u64, String)]) -> Vec<&'a str> {
    let address = |line: &str| {
        // Trace 0: 0x7f745c13a700 [00000000/ffffffff81b0f965/18c0c2b0/ff022201]
        let address = line.split('/').nth(1)?;
        u64::from_str_radix(address, 16).ok()
    };
    let function = |address| {
        let next = symbols.partition_point(|symbol| symbol.0 <= address);
        next.checked_sub(1).map_or("", |at| &symbols[at].1)
    };
    log.lines().filter_map(address).map(function).collect()
}

/// The profile of that many system calls in a row which is the most common one: the others were interrupted.
fn cut(functions: &[&str], calls: usize) -> Result<Profile> {
    const ENTRY: &str = "entry_SYSCALL_64";
    let begins: Vec<usize> = (1..functions.len())
        .filter(|&at| functions[at] == ENTRY && functions[at - 1] != ENTRY)
        .collect();
    let mut profiles = BTreeMap::<Profile, usize>::new();
    for window in begins.windows(calls + 1) {
        let executed = &functions[window[0]..window[calls]];
        // With several calls in a row, `open` is the first.
        let first = &functions[window[0]..window[1]];
        if calls > 1 && !first.contains(&"__x64_sys_open") {
            continue;
        }
        let mut profile = Profile::new();
        for function in executed {
            *profile.entry((*function).to_owned()).or_default() += 1;
        }
        *profiles.entry(profile).or_default() += 1;
    }
    let most = profiles.into_iter().max_by_key(|(_, times)| *times);
    Ok(most.context("no system call in QEMU's log")?.0)
}
