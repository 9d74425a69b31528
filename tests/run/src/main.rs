// SPDX-License-Identifier: GPL-2.0

//! What runs on the host: the tests there, what runs all tests and sums up, and the comparison with C.

mod coverage;
mod host;
mod jobs;
mod kernel;
mod pictures;
mod progress;
mod report;
mod terminal;

#[path = "../../bench/bench.rs"]
mod bench;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use kernel::Kernel;
use ktap::{Declaration, Ended, Need, Outcome, Place, chosen};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use report::Report;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

#[derive(Parser)]
enum Verb {
    /// Run tests, on the host and on each kernel, and sum up: `scripts/test` calls this
    Tests(Options),
    /// Run those of the host here, or list them
    Host {
        #[command(flatten)]
        kernels: Kernels,

        /// `list`, `test` or `soak`, and which
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Compare with C: `scripts/bench` calls this in the Debian root
    Bench(bench::Options),
    /// Make the pictures of the READMEs: `scripts/pictures` calls this
    Pictures {
        /// Only say whether they are of today
        #[arg(long)]
        check: bool,

        /// What `make run` has printed, for the recording
        #[arg(long)]
        session: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Kernels {
    /// A kernel to test on: its name, and the directory that `scripts/kernel` made
    #[arg(long, value_names = ["NAME", "DIR"], num_args = 2)]
    kernel: Vec<String>,
}

#[derive(clap::Args)]
struct Options {
    /// A kernel to test on, by its name: it is made on the way
    #[arg(long)]
    kernel: Vec<String>,

    /// The Debian root in which the tests of the host run
    #[arg(long)]
    root: PathBuf,

    /// Show all groups on all kernels in a table, whether something has failed or not
    #[arg(long)]
    table: bool,

    /// Do all tests to their full amounts, until Ctrl-C
    #[arg(long)]
    soak: bool,

    /// Only these: the tests of a group, such as `reads`, those whose names begin so, such as `pot.wraps`, or those
    /// that show a sentence of src/README.md, such as `R3`
    pattern: Vec<String>,
}

/// Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn main() -> ExitCode {
    match Verb::parse() {
        Verb::Tests(options) => tests(&options),
        Verb::Host { kernels, words } => {
            match Kernel::of(&kernels.kernel) {
                Ok(kernels) => kernels.into_iter().for_each(kernel::add),
                Err(error) => {
                    eprintln!("run host: {error:#}");
                    return ExitCode::from(2);
                }
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let end = ktap::program(words[0], &words[1..], host::tests(), kernel::lacks);
            end.unwrap_or_else(|| {
                eprintln!("run host: no verb '{}'", words[0]);
                ExitCode::from(2)
            })
        }
        Verb::Pictures { check: true, .. } => end("pictures", pictures::check()),
        Verb::Pictures { session, .. } => {
            let session = session.map(fs::read_to_string).transpose();
            let written = session.map_err(anyhow::Error::from);
            end(
                "pictures",
                written.and_then(|text| pictures::write(text.as_deref())),
            )
        }
        Verb::Bench(options) => match bench::run(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("bench: {error:#}");
                ExitCode::from(2)
            }
        },
    }
}

/// The status of what has succeeded, or says why not.
fn end(what: &str, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{what}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tests(options: &Options) -> ExitCode {
    let tests = match asked_for(options) {
        Ok(tests) => tests,
        Err(error) => {
            eprintln!("make test: {error:#}");
            return ExitCode::from(2);
        }
    };
    // What was done until then is summed up.
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .expect("a handler for Ctrl-C");
    let verb = if options.soak { "soak" } else { "test" };
    let report = Report::new(verb, &options.kernel);
    if let Err(error) = run(options, tests, &report) {
        let why = format!("{error:#}");
        report.add("host", "run", 0, vec![Outcome::failed("run", &why)]);
    }
    let end = report.sum_up(options.table);
    if interrupted() && !options.soak {
        return ExitCode::from(130);
    }
    end
}

/// All tests that there are: those of the host, and those of a guest.
fn declared() -> Result<Vec<Declaration>> {
    let mut tests: Vec<_> = host::tests()
        .into_iter()
        .map(|test| test.declaration)
        .collect();
    let guest = Command::new("build/bin/guest")
        .arg("list")
        .output()
        .context("build/bin/guest")?;
    for line in String::from_utf8(guest.stdout)?.lines() {
        tests.push(line.parse().map_err(|error| anyhow!("guest: {error}"))?);
    }
    ensure!(guest.status.success(), "guest list: {}", guest.status);
    Ok(tests)
}

/// Leaves the results that there are, and says that others are missing.
fn interrupt(outcomes: &mut Vec<Outcome>) {
    outcomes.retain(Outcome::is_of_a_test);
    outcomes.push(Outcome::skipped("interrupted", "what comes after that"));
}

/// The names of groups and tests that are like what was asked for.
fn nearest(tests: &[Declaration], pattern: &str) -> String {
    let names: BTreeSet<&str> = tests
        .iter()
        .flat_map(|test| [test.group(), &test.name])
        .filter(|name| strsim::normalized_damerau_levenshtein(name, pattern) > 0.6)
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "; there is {}",
            names.into_iter().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The tests that the patterns choose, or all.
fn asked_for(options: &Options) -> Result<Vec<Declaration>> {
    let patterns: Vec<&str> = options.pattern.iter().map(String::as_str).collect();
    let tests = declared()?;
    for &pattern in &patterns {
        let is_there = !chosen(tests.clone(), &[pattern], |test| test).is_empty();
        ensure!(
            is_there,
            "no test is named {pattern}, or shows a sentence of that id{}",
            nearest(&tests, pattern)
        );
    }
    Ok(chosen(tests, &patterns, |test| test))
}

fn run(options: &Options, tests: Vec<Declaration>, report: &Report) -> Result<()> {
    let all = options.pattern.is_empty();

    // What is not done, with the reason.
    let (tests, skipped): (Vec<_>, Vec<_>) = tests.into_iter().partition(|test| {
        let soak = options.soak || !test.needs.contains(&Need::Soak);
        soak && (options.soak || !all || !test.needs.contains(&Need::Asked))
    });
    let skipped = skipped.iter().map(|test| {
        let reason = match test.needs.contains(&Need::Soak) {
            true => "only in make soak",
            false => "only in make soak, or by its name",
        };
        Outcome::skipped(&test.name, reason)
    });
    report.add("host", "all", 0, skipped.collect());

    jobs::run(options, &tests, report)?;

    if all && !interrupted() {
        let stock = kernel::made().iter().any(|kernel| !kernel.is.checks_itself);
        if stock {
            let contract = "src/README.md";
            report.contract(&fs::read_to_string(contract).context(contract)?);
        } else {
            let reason = "no stock kernel, which shows all of it, is in KERNELS";
            let skipped = vec![Outcome::skipped("contract", reason)];
            report.add("host", "contract", 0, skipped);
        }
    }
    Ok(())
}

/// Runs a group of tests on the host.
fn host_group(
    options: &Options,
    kernels: &[&Kernel],
    group: &[&Declaration],
    report: &Report,
) -> Result<Vec<Outcome>> {
    let program = kernel::top().join("build/bin/run");
    let mut command = if group[0].place == Place::Machine {
        eprintln!("tests of the group {} ...", group[0].group());
        Command::new(program)
    } else {
        // Modules are built for some on the way. Another architecture's would lie over them.
        let root = fs::canonicalize(&options.root)?;
        let here = kernels
            .iter()
            .filter(|kernel| fs::canonicalize(kernel.dir.join("root")).is_ok_and(|of| of == root));
        let mut enter = Command::new("scripts/enter");
        for kernel in here {
            enter.arg("--headers").arg(&kernel.dir);
        }
        enter.arg("--host").arg(program);
        enter
    };
    command.arg("host");
    for kernel in kernels {
        command.args(["--kernel", &kernel.name]).arg(&kernel.dir);
    }
    command
        .args(["--", if options.soak { "soak" } else { "test" }])
        .args(group.iter().map(|test| &test.name))
        .stdin(Stdio::null());
    let output = finish(&mut command, "host", report).context("tests of the host")?;
    let mut outcomes = ktap::read(&output.stdout);
    match output.status {
        None => interrupt(&mut outcomes),
        Some(status) if !matches!(status.code(), Some(0 | 1)) => {
            let names: Vec<&str> = group.iter().map(|test| test.name.as_str()).collect();
            let cause = format!("the program of the tests has ended: {status}");
            crash(&mut outcomes, &names, &cause);
        }
        Some(_) => {}
    }
    Ok(outcomes)
}

/// Runs the tests that talk to the kernel, in one guest.
fn guest_tests(
    kernel: &Kernel,
    names: &[&str],
    verb: &str,
    all: bool,
    report: &Report,
) -> Result<Vec<Outcome>> {
    let boot = kernel.boot();
    let mut command = Command::new("scripts/enter");
    command
        .arg("--host")
        .arg(boot.get_program())
        .args(boot.get_args());
    command
        .args(kernel.test_modules())
        .args(["--timeout", if verb == "soak" { "0" } else { "2400" }])
        // A few are wanted soon.
        .args(all.then_some("--fresh"))
        .args(["--", "guest", verb])
        .args(names)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let output = finish(&mut command, &kernel.name, report).context("boot")?;
    let mut outcomes = ktap::read(&output.stdout);
    let Some(status) = output.status else {
        interrupt(&mut outcomes);
        return Ok(outcomes);
    };
    if let (true, Some(covered)) = (all, coverage::covered(&output.stdout)) {
        let module = kernel.build().join("fortune.ko");
        outcomes.push(coverage::outcome(&module, &covered)?);
    }
    // 0 and 1 are the tests' own. Whatever else is the harness's verdict on the kernel, unless a test did not come to its end.
    match status.code() {
        Some(0 | 1) => outcomes.insert(0, Outcome::passed("kernel.does_not_complain", "")),
        _ if crash(&mut outcomes, names, &output.stderr) => {}
        _ => outcomes.insert(
            0,
            Outcome::failed("kernel.does_not_complain", &output.stderr),
        ),
    }
    Ok(outcomes)
}

/// If the results of some tests are missing, the first one of these is that of the test which ran at the end, whose `cause` is
/// known. Says whether there was one.
fn crash(outcomes: &mut [Outcome], names: &[&str], cause: &str) -> bool {
    // They run in that order.
    let ended = outcomes.iter().filter(|outcome| outcome.is_of_a_test());
    let name = names.get(ended.count());
    let mut outcomes = outcomes.iter_mut();
    let missing = outcomes.find(|outcome| outcome.name == ktap::MISSING);
    let (Some(name), Some(missing)) = (name, missing) else {
        return false;
    };
    *missing = Outcome::crashed(name, cause);
    true
}

/// How a line begins that says how far a test has come.
const PROGRESS: &str = "# progress: ";

/// What a command has printed, and how it ended; it has not if Ctrl-C was pressed.
struct Finished {
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

/// Runs a command of tests at a place to its end, or until Ctrl-C is pressed, and shows its progress.
fn finish(command: &mut Command, place: &str, report: &Report) -> io::Result<Finished> {
    // In a group of its own, which Ctrl-C does not reach.
    let mut child = command.stdout(Stdio::piped()).process_group(0).spawn()?;
    let stdout = collect(child.stdout.take(), place, report);
    let stderr = collect(child.stderr.take(), place, report);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if interrupted() {
            // Scripts end what they have started.
            let group = Pid::from_raw(child.id().try_into().map_err(io::Error::other)?);
            killpg(group, Signal::SIGTERM)?;
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

/// Reads all that comes, but for lines that say how far a test has come: those are shown, and so are failures at once.
fn collect(
    from: Option<impl Read + Send + 'static>,
    place: &str,
    report: &Report,
) -> (Arc<Mutex<String>>, JoinHandle<io::Result<()>>) {
    let text = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&text);
    let (place, progress) = (place.to_owned(), report.progress());
    let thread = thread::spawn(move || {
        let Some(from) = from else { return Ok(()) };
        // What a test has said so far.
        let mut said = String::new();
        for line in BufReader::new(from).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if let Some(said) = line.strip_prefix(PROGRESS) {
                progress.say(said);
                continue;
            }
            progress.result(&place, &line);
            if let Some(message) = line.strip_prefix("# ") {
                said += &format!("{message}\n");
            } else if let Some(outcome) = ktap::result(&line, &std::mem::take(&mut said)) {
                if let Ended::Failed(message) = &outcome.ended {
                    progress.failed(&place, &outcome.name, message);
                }
            }
            *to.lock().expect("nobody panics with it") += &format!("{line}\n");
        }
        Ok(())
    });
    (text, thread)
}
