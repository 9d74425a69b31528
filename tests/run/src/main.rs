// SPDX-License-Identifier: GPL-2.0

//! Runs the tests, on the host and on each kernel, and sums up.
//!
//! What ends without its result has failed, and so has a kernel that complained while its tests
//! passed.

mod coverage;
mod report;

use anyhow::{Context, Result};
use boot::Kernel;
use clap::Parser;
use report::{Outcome, Report};
use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Runs the tests. `scripts/test` calls this in the Debian root.
#[derive(Parser)]
struct Options {
    /// A kernel to test on: its name, and the directory that `scripts/kernel` made
    #[arg(long, value_names = ["NAME", "DIR"], num_args = 2, required = true)]
    kernel: Vec<String>,

    /// What a test that `scripts/test` has run itself reports
    #[arg(long, value_name = "FILE")]
    done: Vec<PathBuf>,

    /// Do all tests to their full amounts, until Ctrl-C
    #[arg(long)]
    soak: bool,

    /// Ctrl-C was pressed before: only sum up
    #[arg(long)]
    interrupted: bool,

    /// Only these: the tests of a group, such as `reads`, those whose names begin so, such as `pot.wraps`, or those
    /// that show a sentence of the README, such as `R3`
    pattern: Vec<String>,
}

/// The tests that run on the host: packages of tests/Cargo.toml. All others run in a guest.
const HOST: &[&str] = &[
    "bench", "boot", "controls", "mutants", "native", "own_boot", "pot", "rejected", "run",
    "signed",
];

/// Those of them that take a kernel which checks itself.
const DEBUG: &[&str] = &["controls", "mutants", "signed"];

/// Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// The modules that only the tests need.
const MODULES: &[&str] = &[
    "proc_fs_test.ko",
    "proc_fs_attacks.ko",
    "hello.ko",
    "legacy.ko",
];

fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::default();
    INTERRUPTED.store(options.interrupted, Ordering::Relaxed);
    if options.soak {
        // What was done until then is summed up.
        ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
            .expect("a handler for Ctrl-C");
    }
    if let Err(error) = run(&options, &mut report) {
        report.add("", vec![Outcome::failed("run", format!("{error:#}"))]);
    }
    report.sum_up()
}

/// The groups of tests that `scripts/test` runs itself.
fn scripts() -> Result<Vec<String>> {
    let mut scripts = Vec::new();
    for group in fs::read_dir("tests").context("tests")? {
        let group = group?;
        if group.path().join("test").exists() {
            scripts.push(group.file_name().to_string_lossy().into_owned());
        }
    }
    scripts.sort();
    Ok(scripts)
}

/// Whether a pattern means tests of a group.
fn is_in(pattern: &str, group: &str) -> bool {
    pattern.split('.').next() == Some(group)
}

/// Leaves the results that there are, and says that others are missing.
fn interrupt(outcomes: &mut Vec<Outcome>) {
    outcomes.retain(Outcome::is_of_a_test);
    outcomes.push(Outcome::skipped(
        "interrupted",
        "what comes after that".to_owned(),
    ));
}

fn run(options: &Options, report: &mut Report) -> Result<()> {
    let all = options.pattern.is_empty();
    let scripts = scripts()?;
    let (host, guest): (Vec<&str>, Vec<&str>) = options
        .pattern
        .iter()
        .map(String::as_str)
        .filter(|pattern| !scripts.iter().any(|group| is_in(pattern, group)))
        .partition(|pattern| HOST.iter().any(|group| is_in(pattern, group)));

    for file in &options.done {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut outcomes = report::ktap(&text);
        if interrupted() {
            interrupt(&mut outcomes);
        }
        report.add("host", outcomes);
    }
    if all && options.done.is_empty() {
        let skipped = |group: &String| {
            Outcome::skipped(group, "only in make soak, or by its name".to_owned())
        };
        report.add("host", scripts.iter().map(skipped).collect());
    }
    for group in HOST {
        let of_group: Vec<&str> = host
            .iter()
            .copied()
            .filter(|pattern| is_in(pattern, group))
            .collect();
        if (all || !of_group.is_empty()) && !interrupted() {
            report.add("host", host_tests(group, &of_group, options)?);
        }
    }
    let first = options
        .kernel
        .chunks_exact(2)
        .find(|kernel| !is_debug(kernel));
    if all || !guest.is_empty() {
        for kernel in options.kernel.chunks_exact(2) {
            // What is not of the contract takes longer, and has to be seen once.
            let verb = match options.soak {
                true => "soak",
                false if all && !is_debug(kernel) && first != Some(kernel) => "contract",
                false => "test",
            };
            if !interrupted() {
                report.add(&kernel[0], guest_tests(kernel, &guest, verb)?);
            }
        }
    }
    if all && !interrupted() {
        if first.is_some() {
            report.contract(&fs::read_to_string("README.md").context("README.md")?);
        } else {
            let reason = "no stock kernel, which shows all of it, is in KERNELS";
            report.add(
                "host",
                vec![Outcome::skipped("contract", reason.to_owned())],
            );
        }
    }
    Ok(())
}

/// The words that start a guest on a kernel, with the tests in it.
fn boot(kernel: &[String]) -> Result<Vec<String>> {
    let module = format!("{}/fortune.ko", modules(kernel)?.display());
    let tests = format!(
        "{}/build/bin/guest-{}:/usr/bin/guest",
        env::current_dir()?.display(),
        Kernel::of(Path::new(&kernel[1]))?.architecture
    );
    let words = [
        "build/bin/boot",
        "--kernel-dir",
        &kernel[1],
        "--file",
        &module,
        "--file",
        &tests,
    ];
    Ok(words.map(str::to_owned).to_vec())
}

/// Whether a kernel checks itself.
fn is_debug(kernel: &[String]) -> bool {
    Kernel::of(Path::new(&kernel[1])).is_ok_and(|kernel| kernel.checks_itself)
}

/// Where Kbuild has built the modules for a kernel.
fn modules(kernel: &[String]) -> Result<PathBuf> {
    Ok(env::current_dir()?.join("build").join(&kernel[0]))
}

/// The build directory of a kernel, where its package has it.
fn headers(kernel: &[String]) -> Result<PathBuf> {
    Ok(Kernel::of(Path::new(&kernel[1]))?.headers)
}

/// Whether modules for a kernel can be built in the Debian root that this runs in: `scripts/test` shows the headers of
/// those here.
fn is_built_here(kernel: &[String]) -> bool {
    headers(kernel).is_ok_and(|headers| headers.join(".config").exists())
}

/// What tests on the host are told of a kernel: its name and its directory, how to start a guest, where its modules are, and its build directory.
fn variables(which: &str, kernel: &[String]) -> Result<[(String, OsString); 5]> {
    Ok([
        (format!("KERNEL{which}"), kernel[0].clone().into()),
        (format!("KERNEL_DIR{which}"), kernel[1].clone().into()),
        (format!("BOOT{which}"), boot(kernel)?.join(" ").into()),
        (format!("BUILD{which}"), modules(kernel)?.into()),
        (format!("HEADERS{which}"), headers(kernel)?.into()),
    ])
}

/// Runs the tests of a package on the host.
fn host_tests(package: &str, patterns: &[&str], options: &Options) -> Result<Vec<Outcome>> {
    let kernels = &options.kernel;
    let debug = kernels.chunks_exact(2).find(|kernel| is_debug(kernel));
    if DEBUG.contains(&package) && debug.is_none() {
        let reason = "no kernel that checks itself is in KERNELS";
        return Ok(vec![Outcome::skipped(package, reason.to_owned())]);
    }
    // What runs on the host builds modules, and those of the first kernel are looked at. What is native is that of a
    // header package.
    let mut here = kernels
        .chunks_exact(2)
        .filter(|kernel| is_built_here(kernel));
    let kernel = match package {
        "bench" => here.find(|kernel| kernel[0] == boot::default_kernel()),
        "native" => here.find(|kernel| !is_debug(kernel)),
        _ => here.next(),
    };
    let Some(kernel) = kernel else {
        let reason = match package {
            "bench" => format!(
                "{}, on which instructions are counted, is not in KERNELS",
                boot::default_kernel()
            ),
            "native" => {
                "no stock kernel of Debian trixie, of this machine's architecture, is in KERNELS"
                    .to_owned()
            }
            _ => "no kernel of Debian trixie, of this machine's architecture, is in KERNELS"
                .to_owned(),
        };
        return Ok(vec![Outcome::skipped(package, reason)]);
    };
    // What a pattern says of the group has been seen to; libtest runs all without one.
    let names = patterns
        .iter()
        .map(|pattern| pattern.split_once('.').map(|(_, name)| name));
    let filters: Vec<&str> = names.collect::<Option<_>>().unwrap_or_default();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--quiet", "--release", "--locked", "--no-fail-fast"])
        .args(["--manifest-path", "tests/Cargo.toml", "--package", package])
        // libtest has a format of its own for machines, but not in this rustc.
        .args(["--", "--format", "pretty", "--show-output"])
        .args(options.soak.then_some("--include-ignored"))
        .args(filters)
        .envs(variables("", kernel)?)
        .envs(
            debug
                .map(|kernel| variables("_DEBUG", kernel))
                .transpose()?
                .unwrap_or_default(),
        )
        .env("VERB", if options.soak { "soak" } else { "test" })
        .env("CASES", if options.soak { "1000000" } else { "50000" })
        .stderr(Stdio::inherit());
    let output = finish(&mut cargo).context("cargo")?;
    let text = output.stdout;

    let messages = messages(&text);
    let mut outcomes = Vec::new();
    // Also one that is not asked for: libtest finds names by any part of them.
    let mut failed = false;
    for line in text.lines() {
        let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        failed |= result == "FAILED";
        let full = format!("{package}.{}", name.rsplit("::").next().unwrap_or(name));
        if !patterns.is_empty() && !patterns.iter().any(|pattern| full.starts_with(pattern)) {
            continue;
        }
        let said = messages.get(name).cloned().unwrap_or_default();
        outcomes.push(match result {
            "ok" => Outcome::passed(&full, said),
            "FAILED" => Outcome::failed(&full, said),
            other => Outcome::skipped(&full, other.to_owned()),
        });
    }
    match output.status {
        None => outcomes.push(Outcome::skipped(package, "interrupted".to_owned())),
        Some(status) if outcomes.is_empty() || (!status.success() && !failed) => {
            let why = format!("cargo test ended with {status}, and not all results");
            outcomes.push(Outcome::failed(package, why));
        }
        Some(_) => {}
    }
    Ok(outcomes)
}

/// What the tests have printed, by their names.
fn messages(text: &str) -> HashMap<&str, String> {
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
fn guest_tests(kernel: &[String], patterns: &[&str], verb: &str) -> Result<Vec<Outcome>> {
    let words = boot(kernel)?;
    let modules = modules(kernel)?;
    let files = MODULES
        .iter()
        .flat_map(|name| [PathBuf::from("--file"), modules.join(name)]);
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(files)
        .args(["--timeout", if verb == "soak" { "0" } else { "900" }])
        .args(["--", "guest", verb])
        .args(patterns)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let output = finish(&mut command).context("boot")?;
    let mut outcomes = report::ktap(&output.stdout);
    let Some(status) = output.status else {
        interrupt(&mut outcomes);
        return Ok(outcomes);
    };
    if let (true, Some(covered)) = (patterns.is_empty(), coverage::covered(&output.stdout)) {
        outcomes.push(coverage::outcome(&modules.join("fortune.ko"), &covered)?);
    }
    // 0 and 1 are the tests' own. Whatever else is the harness's verdict on the kernel.
    outcomes.push(match status.code() {
        Some(0 | 1) => Outcome::passed("kernel.does_not_complain", String::new()),
        _ => Outcome::failed("kernel.does_not_complain", output.stderr),
    });
    Ok(outcomes)
}

/// How a line begins that says how far a test has come.
const PROGRESS: &str = "# progress: ";

/// What a command has printed, and how it ended; it has not if Ctrl-C was pressed.
struct Finished {
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

/// Runs a command to its end, or until Ctrl-C is pressed, and shows its progress.
fn finish(command: &mut Command) -> io::Result<Finished> {
    // In a group of its own, which Ctrl-C does not reach.
    let mut child = command.stdout(Stdio::piped()).process_group(0).spawn()?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if interrupted() {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(50));
    };
    // What a killed one leaves behind may hold the pipes for ever.
    let text = |(text, thread): (Arc<Mutex<String>>, JoinHandle<io::Result<()>>)| {
        if status.is_some() {
            thread.join().expect("reading does not panic")?;
        }
        let text = text.lock().expect("reading does not panic").clone();
        io::Result::Ok(text)
    };
    Ok(Finished {
        stdout: text(stdout)?,
        stderr: text(stderr)?,
        status,
    })
}

/// Reads all that comes, but for lines that say how far a test has come: those are shown.
fn collect(
    from: Option<impl Read + Send + 'static>,
) -> (Arc<Mutex<String>>, JoinHandle<io::Result<()>>) {
    let text = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&text);
    let thread = thread::spawn(move || {
        let Some(from) = from else { return Ok(()) };
        for line in BufReader::new(from).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            match line.strip_prefix(PROGRESS) {
                Some(progress) => eprintln!("{progress}"),
                None => *to.lock().expect("nobody panics with it") += &format!("{line}\n"),
            }
        }
        Ok(())
    });
    (text, thread)
}
