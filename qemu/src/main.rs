// SPDX-License-Identifier: GPL-2.0

//! Starts a guest in QEMU, runs a command in it as root, and watches the kernel meanwhile.
//!
//! The exit status is the command's, or:
//!
//! - 124: out of time;
//! - 125: the kernel complained, or its log is not whole, whatever the command said;
//! - 126: the guest did not come up, or ended without a verdict.

mod debugger;
mod guest;
mod initramfs;
mod kept;
mod logs;
mod monitor;
mod scan;
mod symbols;

use anyhow::{Context, Result, bail};
use boot::Kernel;
use clap::Parser;
use guest::{Architecture, End, Guest, Machine};
use initramfs::{HOME, Root};
use kept::Kept;
use nix::sys::signal::{SigSet, Signal};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Where `scripts/enter --host` has the files of the host.
const HOST: &str = "/host";

/// What the script qemu/boot asks for, when it has built what is missing. Its --help says the rest.
#[derive(Parser)]
struct Options {
    /// The directory that `scripts/kernel` made
    #[arg(long)]
    kernel_dir: PathBuf,

    #[arg(long, default_value_t = SMP)]
    smp: u32,

    #[arg(long)]
    memory: Option<u32>,

    #[arg(long, default_value = "")]
    append: String,

    #[arg(long)]
    icount: bool,

    #[arg(long)]
    bios: bool,

    #[arg(long)]
    fresh: bool,

    #[arg(long)]
    console: bool,

    #[arg(long)]
    gdb: bool,

    /// A path on the host; in the guest it is in the directory where the command starts, or what follows a colon
    #[arg(long)]
    file: Vec<String>,

    #[arg(long)]
    root: Option<PathBuf>,

    #[arg(long, default_value_t = 600)]
    timeout: u64,

    #[arg(long, default_value_t = 90)]
    boot_timeout: u64,

    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

/// So many CPUs a guest has.
const SMP: u32 = 2;

impl Options {
    /// Whether the guest is one as all others, of which one can be kept.
    fn is_usual(&self) -> bool {
        let is_unusual = self.smp != SMP
            || self.memory.is_some()
            || !self.append.is_empty()
            || self.icount
            || self.bios
            || self.gdb
            || self.root.is_some();
        !is_unusual
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    // For the thread that waits for it; threads inherit that.
    SigSet::from(Signal::SIGWINCH)
        .thread_block()
        .expect("a signal can be blocked");
    match run(&options) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("qemu/boot: {error:#}");
            ExitCode::from(126)
        }
    }
}

fn run(options: &Options) -> Result<u8> {
    if options.command.is_empty() && !io::stdin().is_terminal() {
        bail!("without a command it is a shell, and that takes a terminal");
    }
    let kernel = Kernel::of(&options.kernel_dir)?;
    let architecture = Architecture::named(&kernel.architecture)?;
    // Where two are to be at one place, it is the last one.
    let files = options.file.iter().map(|file| place(file));
    let mut files = files.collect::<Result<BTreeMap<_, _>>>()?;
    let nonce = nonce()?;
    let work = tempfile::tempdir()?;
    if options.gdb {
        // That tells the init.
        let empty = work.path().join("debug");
        fs::write(&empty, "")?;
        files.insert("debug".to_owned(), empty);
    }
    let root = match &options.root {
        Some(root) => Root::Whole(Path::new(HOST).join(root.strip_prefix("/").unwrap_or(root))),
        None => Root::Programs(fs::canonicalize(options.kernel_dir.join("root/guest"))?),
    };
    let initramfs = work.path().join("initramfs");
    initramfs::write_root(&initramfs, architecture, &root)?;
    let session = work.path().join("session");
    let environment = match kernel.checks_itself {
        true => "CHECKS_ITSELF=1",
        false => "",
    };
    initramfs::write_session(&session, &files, &options.command, environment, &nonce)?;

    let log = logs::begin(Path::new("build"))?;
    let mut machine = Machine {
        architecture,
        kernel: match kernel.elf {
            Some(elf) if !options.bios => elf,
            _ => kernel.image.clone(),
        },
        initramfs,
        session,
        kept: None,
        resumes: false,
        console: log.path.clone(),
        watched: options.console,
        smp: options.smp,
        // KASAN takes an eighth of it, and keeps for a while what is freed.
        memory: options
            .memory
            .unwrap_or(if kernel.checks_itself { 1024 } else { 512 }),
        append: options.append.clone(),
        debugged: options.gdb.then(|| files_of_modules(&files)),
        icount: options.icount,
        kvm: false,
        interactive: options.command.is_empty(),
    };
    machine.kvm = !options.icount && guest::kvm_works(&machine, &kernel.image)?;
    if options.is_usual() && !options.fresh {
        let mut parts = vec![std::env::current_exe()?, initramfs::init(architecture)?];
        if let Root::Programs(root) = &root {
            parts.push(initramfs::programs(root, architecture)?);
        }
        let kept = Kept::of(&machine, &options.kernel_dir, &parts)?;
        machine.resumes = kept.is_there();
        machine.kept = Some(kept);
    }
    let limit = match options.timeout {
        0 => None,
        // Whoever debugs it takes as long as it takes.
        _ if options.gdb => None,
        _ if machine.interactive => None,
        seconds => Some(Duration::from_secs(seconds)),
    };

    let coming_up = Duration::from_secs(options.boot_timeout);
    let silent = || match complaints(&log.path).into_iter().next() {
        Some(complaint) => Err(format!("its kernel complained before init: {complaint}")),
        None => Ok(()),
    };
    // What is piped, that is: what is typed is not waited for.
    let input = || -> Box<dyn Read + Send> {
        match io::stdin().is_terminal() {
            true => Box::new(io::empty()),
            false => Box::new(io::stdin()),
        }
    };
    let mut begun = Instant::now();
    let mut end = Guest::start(&machine)?.wait(coming_up, limit, silent, input())?;
    if let (End::NeverUp(why) | End::Refused(why), true, Some(kept)) =
        (&end, machine.resumes, &machine.kept)
    {
        eprintln!("qemu/boot: the guest that was kept does not go on: {why}; another one boots");
        for complaint in complaints(&log.path) {
            eprintln!("| {complaint}");
        }
        kept.remove();
        machine.resumes = false;
        fs::File::create(&machine.console)?;
        begun = Instant::now();
        end = Guest::start(&machine)?.wait(coming_up, limit, silent, input())?;
    }
    if let End::NeverUp(why) = &end {
        // In some hundreds of boots one goes wrong before init, in the kernel's own text patching, where QEMU emulates two
        // CPUs. No module is there yet. After init nothing is tried again, and what happens a second time counts. Nor is what
        // QEMU refuses: it will again.
        let began = fs::metadata(&machine.console).is_ok_and(|log| log.len() > 0);
        if began || !why.starts_with(guest::ENDED) {
            let how = how_far(&machine, begun);
            eprintln!("qemu/boot: the guest did not come up: {why}; {how}; trying once more");
            // What it has said is told, and not that of the next one, which has to be well to be kept.
            machine.kept = None;
            fs::File::create(&machine.console)?;
            begun = Instant::now();
            end = Guest::start(&machine)?.wait(coming_up, limit, || Ok(()), input())?;
        }
    }
    if let End::NeverUp(why) = &mut end {
        *why = format!("{why}; {}", how_far(&machine, begun));
    }

    let text = fs::read(&log.path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let modules: Vec<_> = files.into_values().collect();
    let status = verdict(&end, &text, &nonce, &modules, machine.interactive);
    if let Err(failure) = &status {
        eprintln!("qemu/boot: {}", failure.message);
        for line in &failure.lines {
            eprintln!("| {line}");
        }
    }
    let status = status.unwrap_or_else(|failure| failure.status);
    if status != 0 && !machine.interactive {
        eprintln!("qemu/boot: the kernel log is in {}", log.path.display());
    }
    Ok(status)
}

/// How far a guest came that did not come up, and in how long.
fn how_far(machine: &Machine, begun: Instant) -> String {
    let log = fs::read(&machine.console).unwrap_or_default();
    let said = match last(&String::from_utf8_lossy(&log)).pop() {
        Some(line) => format!("the last line of its kernel is \"{line}\""),
        None => "its kernel has said nothing".to_owned(),
    };
    format!("QEMU ran for {} s, and {said}", begun.elapsed().as_secs())
}

/// What the kernel has complained about so far.
fn complaints(log: &Path) -> Vec<String> {
    let log = fs::read(log).unwrap_or_default();
    scan::complaints(&String::from_utf8_lossy(&log))
}

/// Why the exit status is not the command's.
struct Failure {
    status: u8,
    message: String,
    /// What the kernel log says about it.
    lines: Vec<String>,
}

/// What the kernel complained of first, where that was, as far as the files of modules say it too, and the other complaints.
fn stack(log: &str, mut complaints: Vec<String>, modules: &[PathBuf]) -> Vec<String> {
    let first = complaints.remove(0);
    // It is what all of them show.
    complaints.retain(|line| !scan::is_stack(line));
    let frames = scan::frames(log, &first);
    let frames = frames
        .iter()
        .map(|frame| match symbols::line(frame, modules) {
            Some(line) => format!("    {} {line}", frame.text()),
            None => format!("    {}", frame.text()),
        });
    [first]
        .into_iter()
        .chain(frames)
        .chain(complaints)
        .collect()
}

/// The command's status, if the guest and its kernel are in order. `modules` are files that may say where in a module something
/// was.
fn verdict(
    end: &End,
    log: &str,
    nonce: &str,
    modules: &[PathBuf],
    interactive: bool,
) -> Result<u8, Failure> {
    let fail = |status, message: &str, lines| {
        Err(Failure {
            status,
            message: message.to_owned(),
            lines,
        })
    };
    let mut complaints = scan::complaints(log);
    if let End::NeverUp(why) | End::Refused(why) = end {
        if complaints.is_empty() {
            complaints = last(log);
        }
        return fail(
            126,
            &format!("the guest did not come up: {why}"),
            complaints,
        );
    }
    let mut status = None;
    if let End::Verdict { line } = end {
        let Some((code, taint)) = parse(line, nonce) else {
            return fail(
                126,
                &format!("this is no verdict of the guest's init: {line:?}"),
                last(log),
            );
        };
        status = Some(code);
        complaints.extend(scan::taints(taint));
        if !log.contains(&format!("guest: end {nonce}")) {
            complaints.push("(the kernel log is cut: its last line is missing)".to_owned());
        }
    }
    if !complaints.is_empty() {
        let what = match end {
            End::NoVerdict(_) => "the kernel died:",
            _ => "the kernel complained:",
        };
        return fail(125, what, stack(log, complaints, modules));
    }
    match (end, status) {
        (_, Some(status)) => Ok(status),
        (End::OutOfTime(limit), _) => fail(
            124,
            &format!("out of time after {} s", limit.as_secs()),
            Vec::new(),
        ),
        // By `poweroff -f`, say.
        (End::NoVerdict(_), _) if interactive && log.contains("] reboot: ") => Ok(0),
        (End::NoVerdict(why), _) => fail(
            126,
            &format!("the guest ended without a verdict: {why}"),
            last(log),
        ),
        (End::Verdict { .. } | End::NeverUp(_) | End::Refused(_), None) => {
            unreachable!("all are dealt with above")
        }
    }
}

/// The status and the taint of a verdict, if it is one.
fn parse(line: &str, nonce: &str) -> Option<(u8, u64)> {
    let mut words = line.split(' ');
    if words.next()? != nonce {
        return None;
    }
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The last lines of a log.
fn last(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(15);
    lines[from..].iter().map(|&line| line.to_owned()).collect()
}

/// Those that are modules.
fn files_of_modules(files: &BTreeMap<String, PathBuf>) -> Vec<PathBuf> {
    let is_module = |file: &&PathBuf| file.extension().is_some_and(|name| name == "ko");
    files.values().filter(is_module).cloned().collect()
}

/// Where a `--file` is to be in the guest, and where it is here.
fn place(file: &str) -> Result<(String, PathBuf)> {
    let (host, guest) = file.split_once(':').unwrap_or((file, ""));
    let here = PathBuf::from(format!("{HOST}{host}"));
    let guest = match guest {
        "" => here
            .file_name()
            .with_context(|| format!("--file {file}: no name"))?
            .to_string_lossy()
            .into_owned(),
        guest => guest.to_owned(),
    };
    let there = match guest.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{HOME}/{guest}"),
    };
    Ok((there, here))
}

/// A word that nobody can guess.
fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
