// SPDX-License-Identifier: GPL-2.0

//! Runs the tests, on the host and on each kernel, and sums up.
//!
//! What ends without its result has failed, and so has a kernel that complained while its tests
//! passed.

mod report;

use anyhow::{Context, Result};
use clap::Parser;
use report::{Outcome, Report};
use std::{
    collections::HashMap,
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

/// Runs the tests. `scripts/test` calls this in the Debian root.
#[derive(Parser)]
struct Options {
    /// A kernel to test on: its name, and the directory that `scripts/kernel` made
    #[arg(long, value_names = ["NAME", "DIR"], num_args = 2, required = true)]
    kernel: Vec<String>,

    /// Only tests whose names begin with one of these, such as `reads` or `pot.wraps`, or that show this
    /// sentence of the README, such as `R3`
    pattern: Vec<String>,
}

/// The tests that run on the host: packages of tests/Cargo.toml. All others run in a guest.
const HOST: &[&str] = &["boot", "own_boot", "pot", "rejected", "run"];

/// The modules that only the tests need.
const MODULES: &[&str] = &["proc_fs_test.ko", "hello.ko", "legacy.ko"];

fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::default();
    if let Err(error) = run(&options, &mut report) {
        report.add("", vec![Outcome::failed("run", format!("{error:#}"))]);
    }
    report.sum_up()
}

fn run(options: &Options, report: &mut Report) -> Result<()> {
    let all = options.pattern.is_empty();
    let (host, guest): (Vec<&str>, Vec<&str>) = options
        .pattern
        .iter()
        .map(String::as_str)
        .partition(|pattern| HOST.iter().any(|group| pattern.starts_with(group)));

    for group in HOST {
        let of_group: Vec<&str> = host
            .iter()
            .copied()
            .filter(|p| p.starts_with(group))
            .collect();
        if all || !of_group.is_empty() {
            report.add("host", host_tests(group, &of_group, &options.kernel)?);
        }
    }
    if all || !guest.is_empty() {
        for kernel in options.kernel.chunks_exact(2) {
            report.add(&kernel[0], guest_tests(kernel, &guest)?);
        }
    }
    if all {
        report.contract(&fs::read_to_string("README.md").context("README.md")?);
    }
    Ok(())
}

/// The words that start a guest on a kernel.
fn boot(kernel: &[String]) -> Vec<String> {
    let module = format!("build/{}/fortune.ko", kernel[0]);
    [
        "build/bin/boot",
        "--kernel-dir",
        &kernel[1],
        "--module",
        &module,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Where Kbuild has built the modules for a kernel.
fn modules(kernel: &[String]) -> Result<PathBuf> {
    Ok(env::current_dir()?.join("build").join(&kernel[0]))
}

/// Runs the tests of a package on the host. The harness's own start guests, on the first kernel.
fn host_tests(package: &str, patterns: &[&str], kernel: &[String]) -> Result<Vec<Outcome>> {
    // What a pattern says of the group has been seen to; libtest runs all without one.
    let names = patterns
        .iter()
        .map(|pattern| pattern.split_once('.').map(|(_, name)| name));
    let filters: Vec<&str> = names.collect::<Option<_>>().unwrap_or_default();
    let output = Command::new("cargo")
        .args(["test", "--quiet", "--release", "--locked", "--no-fail-fast"])
        .args(["--manifest-path", "tests/Cargo.toml", "--package", package])
        // libtest has a format of its own for machines, but not in this rustc.
        .args(["--", "--format", "pretty"])
        .args(filters)
        .env("BOOT", boot(kernel).join(" "))
        .env("BUILD", modules(kernel)?)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);

    let messages = failures(&text);
    let mut outcomes = Vec::new();
    for line in text.lines() {
        let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        let full = format!("{package}.{}", name.rsplit("::").next().unwrap_or(name));
        if !patterns.is_empty() && !patterns.iter().any(|pattern| full.starts_with(pattern)) {
            continue;
        }
        outcomes.push(match result {
            "ok" => Outcome::passed(&full),
            "FAILED" => Outcome::failed(&full, messages.get(name).cloned().unwrap_or_default()),
            other => Outcome::skipped(&full, other.to_owned()),
        });
    }
    let failed = outcomes.iter().any(Outcome::has_failed);
    if outcomes.is_empty() || (!output.status.success() && !failed && patterns.is_empty()) {
        let why = format!("cargo test ended with {} and no result", output.status);
        outcomes.push(Outcome::failed(package, why));
    }
    Ok(outcomes)
}

/// What libtest prints of the tests that failed, by their names.
fn failures(text: &str) -> HashMap<&str, String> {
    text.split("\n---- ")
        .skip(1)
        .filter_map(|part| part.split_once(" stdout ----\n"))
        .map(|(name, message)| {
            let end = message.find("\n\n\n").unwrap_or(message.len());
            (name, message[..end].trim().to_owned())
        })
        .collect()
}

/// Runs the tests that talk to the kernel, in one guest.
fn guest_tests(kernel: &[String], patterns: &[&str]) -> Result<Vec<Outcome>> {
    let words = boot(kernel);
    let modules = modules(kernel)?;
    let output = Command::new(&words[0])
        .args(&words[1..])
        .args(
            MODULES
                .iter()
                .flat_map(|name| [PathBuf::from("--file"), modules.join(name)]),
        )
        .args(["--", "guest", "test"])
        .args(patterns)
        .stdin(Stdio::null())
        .output()
        .context("boot")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let mut outcomes = report::ktap(&String::from_utf8_lossy(&output.stdout));
    // 0 and 1 are the tests' own. Whatever else is the harness's verdict on the kernel.
    outcomes.push(match output.status.code() {
        Some(0 | 1) => Outcome::passed("kernel.does_not_complain"),
        _ => Outcome::failed("kernel.does_not_complain", said.into_owned()),
    });
    Ok(outcomes)
}
