// SPDX-License-Identifier: GPL-2.0

//! What src/hung.md looks for: a reader that is stalled in a page fault, and one that waits for it. Both use descriptor 3,
//! which the shell has opened, and with which they share one open file.

use crate::{documents, memory::Stall};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::uio::pread;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::fd::{BorrowedFd, RawFd},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const FD: RawFd = 3;

/// `guest hung reader` and `guest hung waiter` start a process of that name, and end when it hangs. `guest hung bpftrace`
/// types what is shown with bpftrace, and compares.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        ["reader"] => start("reader", "stalled"),
        ["waiter"] => start("waiter", "waits"),
        ["reader", "hangs"] => reader(),
        ["waiter", "hangs"] => waiter(),
        ["bpftrace"] => {
            documents::hung::is_seen_by_bpftrace();
            Ok(())
        }
        _ => bail!("usage: guest hung reader|waiter, with /proc/fortune open as descriptor 3"),
    }
}

/// Starts the process itself, which prints a line when it hangs, and leaves it behind.
fn start(role: &str, line: &str) -> Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .args(["hung", role, "hangs"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut said)?;
    ensure!(said.trim_end() == line, "the {role} does not hang");
    println!("{line}");
    Ok(())
}

/// A thread of it reads into a page that never comes.
fn reader() -> Result<()> {
    fs::write("/proc/self/comm", "reader")?;
    let stall = Stall::new();
    let address = stall.address();
    thread::Builder::new()
        .name("fetch".to_owned())
        .spawn(move || {
            // SAFETY: The kernel checks the address; the page is there as long as the process.
            unsafe { libc::pread(FD, address as *mut libc::c_void, 100, 0) }
        })?;
    stall.wait();
    println!("stalled");
    loop {
        thread::park();
    }
}

/// It reads from the same open file.
fn waiter() -> Result<()> {
    fs::write("/proc/self/comm", "waiter")?;
    let me = std::process::id();
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || {
            // When the first thread waits in the kernel for what takes no signal but SIGKILL.
            loop {
                let stat = fs::read_to_string(format!("/proc/{me}/task/{me}/stat"));
                if stat.is_ok_and(|stat| stat.contains(") D ")) {
                    println!("waits");
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        })?;
    // SAFETY: The shell has opened it, and nobody here closes it.
    let file = unsafe { BorrowedFd::borrow_raw(FD) };
    pread(file, &mut [0; 100], 0)?;
    Ok(())
}
