// SPDX-License-Identifier: GPL-2.0

//! Starts a guest in QEMU, runs a command in it as root, and watches the kernel meanwhile.
//!
//! The exit status is the command's, or:
//!
//! - 124: out of time;
//! - 125: the kernel complained, or its log is not whole, whatever the command said;
//! - 126: the guest did not come up, or ended without a verdict.

mod guest;
mod initramfs;
mod scan;

use anyhow::{Context, Result, bail};
use clap::Parser;
use guest::{Architecture, End, Guest, Machine};
use initramfs::Root;
use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Where `scripts/enter --host` has the files of the host.
const HOST: &str = "/host";

/// Starts a guest, runs COMMAND in it as root and exits with its status: 124 if it is out of time, 125
/// if the kernel complained, 126 if the build failed, or the guest did not come up or ended without a
/// verdict. Without COMMAND: a shell.
#[derive(Parser)]
#[command(
    name = "qemu/boot",
    override_usage = "qemu/boot [OPTIONS] [--] [COMMAND]..."
)]
struct Options {
    /// The kernel: a name from qemu/kernels
    // Taken by the script of the same name, and here for --help.
    #[arg(long, value_name = "NAME", default_value = "debian-7.2")]
    kernel: String,

    /// The directory that `scripts/kernel` made
    #[arg(long, hide = true)]
    kernel_dir: PathBuf,

    /// fortune.ko for this kernel
    #[arg(long, hide = true)]
    module: PathBuf,

    /// How many CPUs
    #[arg(long, value_name = "N", default_value_t = 2)]
    smp: u32,

    /// How much memory; by default 512, and 1024 for a kernel that checks itself
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,

    /// More for the kernel's command line
    #[arg(long, value_name = "ARGS", default_value = "")]
    append: String,

    /// Let the guest's clock count instructions, on one CPU
    #[arg(long)]
    icount: bool,

    /// A file for the guest: in the directory where COMMAND starts, or at GUEST
    #[arg(long, value_name = "HOST[:GUEST]")]
    file: Vec<String>,

    /// The guest's files: this directory, instead of coreutils, busybox and the like
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// How long COMMAND may take, in seconds; 0: for ever, as a shell
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,

    /// How long the guest may take from power-on to its first process, in seconds; it takes 4 on two cores
    /// without KVM
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    boot_timeout: u64,

    /// What to run in the guest
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
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
    let mut files = vec![(options.module.clone(), "fortune/fortune.ko".to_owned())];
    for file in &options.file {
        files.push(place(file)?);
    }
    let nonce = nonce()?;
    let work = tempfile::tempdir()?;
    let initramfs = work.path().join("initramfs");
    let architecture = Architecture::of(&options.kernel_dir)?;
    let programs = fs::canonicalize(options.kernel_dir.join("root/guest"))?;
    let root = match &options.root {
        Some(root) => {
            let here = Path::new(HOST).join(root.strip_prefix("/").unwrap_or(root));
            let root = root.display();
            anyhow::ensure!(here.is_dir(), "--root {root}: there is no such directory");
            Root::Whole(here)
        }
        None => Root::Programs(programs),
    };
    initramfs::write(
        &initramfs,
        architecture,
        &root,
        &files,
        &options.command,
        &nonce,
    )?;

    let mut machine = Machine {
        architecture,
        kernel: options.kernel_dir.join("vmlinuz"),
        initramfs,
        console: work.path().join("console"),
        smp: options.smp,
        memory: options
            .memory
            .map_or_else(|| memory(&options.kernel_dir), Ok)?,
        append: options.append.clone(),
        icount: options.icount,
        kvm: false,
        interactive: options.command.is_empty(),
    };
    machine.kvm = !options.icount && guest::kvm_works(&machine)?;
    let limit = match options.timeout {
        0 => None,
        _ if machine.interactive => None,
        seconds => Some(Duration::from_secs(seconds)),
    };

    let coming_up = Duration::from_secs(options.boot_timeout);
    let mut end = Guest::start(&machine)?.wait(coming_up, limit)?;
    if let End::NeverUp(why) = &end {
        // In some hundreds of boots one dies before init, in the kernel's own text patching, where
        // QEMU emulates two CPUs. After init nothing is tried again.
        eprintln!("qemu/boot: the guest did not come up ({why}); trying once more");
        end = Guest::start(&machine)?.wait(coming_up, limit)?;
    }

    let log = fs::read(&machine.console).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let status = verdict(&end, &log, &nonce);
    if let Err(failure) = &status {
        let kept = Path::new("build").join("console.log");
        fs::write(&kept, log.as_bytes()).with_context(|| kept.display().to_string())?;
        eprintln!("qemu/boot: {}", failure.message);
        for line in &failure.lines {
            eprintln!("| {line}");
        }
        eprintln!("qemu/boot: the kernel log is in {}", kept.display());
    }
    Ok(status.unwrap_or_else(|failure| failure.status))
}

/// How much memory a kernel gets: KASAN takes an eighth of it, and keeps for a while what is freed.
fn memory(kernel: &Path) -> Result<u32> {
    let release = fs::read_to_string(kernel.join("release"))?;
    Ok(if release.trim_end().ends_with("-debug") {
        1024
    } else {
        512
    })
}

/// Why the exit status is not the command's.
struct Failure {
    status: u8,
    message: String,
    /// What the kernel log says about it.
    lines: Vec<String>,
}

/// The command's status, if the guest and its kernel are in order.
fn verdict(end: &End, log: &str, nonce: &str) -> Result<u8, Failure> {
    let fail = |status, message: &str, lines| {
        Err(Failure {
            status,
            message: message.to_owned(),
            lines,
        })
    };
    let mut complaints = scan::complaints(log);
    if let End::NeverUp(why) = end {
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
        return fail(125, "the kernel complained:", complaints);
    }
    match (end, status) {
        (_, Some(status)) => Ok(status),
        (End::OutOfTime(limit), _) => fail(
            124,
            &format!("out of time after {} s", limit.as_secs()),
            Vec::new(),
        ),
        (End::NoVerdict(why), _) => fail(
            126,
            &format!("the guest ended without a verdict: {why}"),
            last(log),
        ),
        (End::Verdict { .. } | End::NeverUp(_), None) => unreachable!("both are dealt with above"),
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

/// Where a `--file` is here, and where it is to be in the guest.
fn place(file: &str) -> Result<(PathBuf, String)> {
    let (host, guest) = file.split_once(':').unwrap_or((file, ""));
    let here = PathBuf::from(format!("{HOST}{host}"));
    let name = here
        .file_name()
        .with_context(|| format!("--file {file}: no name"))?;
    let guest = match guest {
        "" => format!("fortune/{}", name.to_string_lossy()),
        absolute if absolute.starts_with('/') => absolute.trim_start_matches('/').to_owned(),
        relative => format!("fortune/{relative}"),
    };
    anyhow::ensure!(here.is_file(), "--file {host}: there is no such file");
    Ok((here, guest))
}

/// A word that nobody can guess.
fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
