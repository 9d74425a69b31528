// SPDX-License-Identifier: GPL-2.0

//! What `qemu/try` shows: on which kernels a module builds, loads and unloads, and what they complain about.
//!
//! The arguments are the checkout, the directory of the module, and the names of the kernels. Everything is done by the
//! commands that a person could call too.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
};

/// How long ten rounds may take in a guest, in seconds.
const LIMIT: &str = "300";

/// How qemu/boot says where the kernel log is.
const LOG: &str = "qemu/boot: the kernel log is in ";

/// How many lines of a kernel's first report are shown.
const REPORT: usize = 25;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [top, dir, kernels @ ..] = arguments.as_slice() else {
        eprintln!("trial: qemu/try calls this");
        return ExitCode::from(2);
    };
    let width = kernels.iter().map(String::len).max().unwrap_or(0).max(6);
    println!("{:width$}  builds  loads      unloads  clean", "kernel");
    let mut well = true;
    let mut notes = Vec::new();
    for kernel in kernels {
        let trial = Trial::of(kernel, Path::new(top), dir).unwrap_or_else(|error| {
            let mut trial = Trial::default();
            trial.note(kernel, "could not be tried", [format!("{error:#}")]);
            trial
        });
        println!(
            "{kernel:width$}  {:6}  {:9}  {:7}  {}",
            trial.builds.text(),
            trial.loads.text(),
            trial.unloads.text(),
            trial.clean.text()
        );
        well &= trial.is_well();
        notes.extend(trial.notes);
    }
    for note in notes {
        println!("\n{note}");
    }
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How something went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Cell {
    /// It did not come to that.
    #[default]
    Untried,
    Yes,
    /// The module loads where its device is.
    NoDevice,
    No,
}

impl Cell {
    fn text(self) -> &'static str {
        match self {
            Self::Untried => "-",
            Self::Yes => "yes",
            Self::NoDevice => "no device",
            Self::No => "no",
        }
    }
}

/// A row, and what there is to say about it.
#[derive(Default)]
pub(crate) struct Trial {
    builds: Cell,
    pub(crate) loads: Cell,
    pub(crate) unloads: Cell,
    clean: Cell,
    pub(crate) notes: Vec<String>,
}

impl Trial {
    fn of(kernel: &str, top: &Path, dir: &str) -> Result<Self> {
        let mut trial = Self::default();
        // This can take long the first time, and says so.
        let mut made = Command::new(top.join("scripts/kernel"));
        let made = made.arg(kernel).stdout(Stdio::null()).status()?;
        ensure!(made.success(), "there is no kernel");

        let built = run(Command::new(top.join("qemu/build")).args([kernel, dir]))?;
        if !built.status.success() {
            trial.builds = Cell::No;
            trial.note(kernel, "does not build:", quoted(&built));
            return Ok(trial);
        }
        trial.builds = Cell::Yes;
        let built = PathBuf::from(String::from_utf8(built.stdout)?.trim_end());

        let mut boot = Command::new(top.join("qemu/boot"));
        boot.args(["--kernel", kernel, "--build", dir, "--timeout", LIMIT]);
        boot.arg("--file").arg(top.join("qemu/rounds"));
        for file in stock_modules(kernel, top, &built)? {
            boot.args(["--file", &file]);
        }
        let ran = run(boot.args(["--", "sh", "rounds"]))?;
        trial.read_rounds(kernel, &String::from_utf8_lossy(&ran.stdout));
        match ran.status.code() {
            Some(0) => trial.clean = Cell::Yes,
            Some(125) => {
                trial.clean = Cell::No;
                let said = String::from_utf8_lossy(&ran.stderr);
                let log = said.lines().find_map(|line| line.strip_prefix(LOG));
                let log = top.join(log.context("qemu/boot names no log")?);
                // The log has the stack too.
                let mut complaints = quoted(&ran);
                complaints.retain(|line| !line.starts_with(' '));
                let said = report(&fs::read_to_string(&log)?, &complaints);
                let what = format!("complains (the whole log is {}):", log.display());
                trial.note(kernel, &what, said);
            }
            _ => {
                let said = String::from_utf8_lossy(&ran.stderr).into_owned();
                trial.note(kernel, "does not come to an end:", [said]);
            }
        }
        Ok(trial)
    }

    /// Takes what the script `rounds` has printed.
    pub(crate) fn read_rounds(&mut self, kernel: &str, text: &str) {
        let (mut step, mut ended) = (("", ""), false);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(why) = line.strip_prefix("failed: ") {
                let mut logged = Vec::new();
                while let Some(line) = lines.next_if(|line| line.starts_with("log: ")) {
                    logged.push(line["log: ".len()..].to_owned());
                }
                self.failed(kernel, step, why, logged);
            } else if line == "done" {
                ended = true;
            } else if let Some(next) = line.split_once(' ') {
                step = next;
                let cell = self.cell(step.0);
                if *cell == Cell::Untried {
                    *cell = Cell::Yes;
                }
            }
        }
        if !ended && !step.0.is_empty() {
            self.failed(kernel, step, "it does not end", Vec::new());
        }
    }

    fn cell(&mut self, verb: &str) -> &mut Cell {
        match verb {
            "load" => &mut self.loads,
            _ => &mut self.unloads,
        }
    }

    fn failed(&mut self, kernel: &str, (verb, name): (&str, &str), why: &str, logged: Vec<String>) {
        let absent = ["No such device", "No such device or address"];
        let no_device = verb == "load" && absent.iter().any(|reason| why.ends_with(reason));
        let cell = self.cell(verb);
        if no_device {
            if *cell == Cell::Yes {
                *cell = Cell::NoDevice;
            }
        } else if *cell != Cell::No {
            *cell = Cell::No;
            self.note(kernel, &format!("does not {verb} {name}: {why}"), logged);
        }
    }

    fn note(&mut self, kernel: &str, what: &str, lines: impl IntoIterator<Item = String>) {
        let mut note = format!("{kernel} {what}");
        for line in lines.into_iter().flat_map(|text| {
            text.lines()
                .map(|line| format!("\n| {line}"))
                .collect::<Vec<_>>()
        }) {
            note += &line;
        }
        self.notes.push(note);
    }

    fn is_well(&self) -> bool {
        let unloads = match self.loads {
            Cell::Yes => self.unloads == Cell::Yes,
            Cell::NoDevice => self.unloads != Cell::No,
            Cell::Untried | Cell::No => false,
        };
        self.builds == Cell::Yes && unloads && self.clean == Cell::Yes
    }
}

fn run(command: &mut Command) -> Result<Output> {
    let words = format!("{command:?}");
    command.stdin(Stdio::null()).output().context(words)
}

/// What the commands here quote, of a compiler or of a kernel.
fn quoted(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let quoted = said.lines().filter_map(|line| line.strip_prefix("| "));
    quoted.map(str::to_owned).collect()
}

/// The kernel's own modules that those in `built` depend on, for `--file`.
fn stock_modules(kernel: &str, top: &Path, built: &Path) -> Result<BTreeSet<String>> {
    let order = fs::read_to_string(built.join("modules.order"))?;
    let (mut needed, mut own) = (BTreeSet::new(), BTreeSet::new());
    for object in order.lines() {
        let module = built.join(object).with_extension("ko");
        let content = fs::read(&module).with_context(|| module.display().to_string())?;
        needed.extend(depends(&content));
        own.insert(name(object));
    }
    let mut files = BTreeSet::new();
    let mut needed = needed.difference(&own).peekable();
    if needed.peek().is_none() {
        return Ok(files);
    }
    let fetched = Command::new(top.join("scripts/kernel-modules"))
        .arg(kernel)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(fetched.status.success(), "its own modules are not there");
    let modules = String::from_utf8(fetched.stdout)?;
    let modules = Path::new(modules.trim_end());
    let release = modules.file_name().context("a release")?.to_string_lossy();
    // A line a module: its file, and those of all that it needs.
    let index = fs::read_to_string(modules.join("modules.dep"))?;
    for wanted in needed {
        let line = index.lines().find(|line| {
            let file = line.split(':').next().unwrap_or_default();
            name(file) == *wanted
        });
        let line = line.with_context(|| format!("the kernel has no module {wanted}"))?;
        for file in line.split([':', ' ']).filter(|file| !file.is_empty()) {
            let here = modules.join(file);
            files.insert(format!(
                "{}:/usr/lib/modules/{release}/{file}",
                here.display()
            ));
        }
    }
    Ok(files)
}

/// What the kernel calls the module of a file, such as `drivers/a-b.ko.xz`.
pub(crate) fn name(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// What a module says that it depends on.
pub(crate) fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|at| at == KEY) else {
        return Vec::new();
    };
    let list = module[at + KEY.len()..].split(|&byte| byte == 0).next();
    let list = String::from_utf8_lossy(list.unwrap_or_default()).into_owned();
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

/// The first report of a kernel, and the first line of those of other kinds.
pub(crate) fn report(log: &str, complaints: &[String]) -> Vec<String> {
    let Some(first) = complaints.first() else {
        return Vec::new();
    };
    let from = log.lines().skip_while(|line| line != first);
    let mut lines: Vec<String> = from.take(REPORT).map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(first.clone());
    }
    let mut kinds = BTreeSet::from([kind(first)]);
    for complaint in complaints {
        if kinds.insert(kind(complaint)) && !lines.contains(complaint) {
            lines.push(complaint.clone());
        }
    }
    lines
}

/// A complaint without numbers, which differ from one of its kind to the next.
fn kind(complaint: &str) -> String {
    let words = complaint.split_whitespace();
    let words = words.filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}
