// SPDX-License-Identifier: GPL-2.0

//! What calls cost, in instructions of the guest: of /proc/fortune, of its twin in C, and of an empty file
//! in /proc.
//!
//! Where QEMU counts instructions (`qemu/boot --icount`) the time stamp counter is that count. Batches are
//! short, so that some are not interrupted, and those of the three files take turns; the least is what counts.

use crate::{module::Module, others::Group, stress::many_open};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::{Pid, write},
};
use std::{
    arch::{asm, x86_64::_rdtsc},
    ffi::CString,
    fs::{self, File, OpenOptions},
    mem::MaybeUninit,
    os::fd::AsRawFd,
    process::{Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How many calls a batch makes, and how many batches there are: together, the calls should take less than a tick of
/// the clock, which comes every few million instructions.
const CALLS: u64 = 10;
const BATCHES: usize = 100;

/// A file, and the directory beside it.
struct Target {
    name: &'static str,
    path: CString,
    file: File,
}

impl Target {
    const NAMES: [&str; 3] = ["fortune", "twin", "floor"];

    fn open(name: &'static str) -> Result<Self> {
        let path = format!("/proc/{name}");
        Ok(Self {
            name,
            file: OpenOptions::new().read(true).write(true).open(&path)?,
            path: CString::new(path)?,
        })
    }

    /// Writes to a file of the directory; the empty file has none.
    fn set(&self, file: &str, word: &str) -> Result<()> {
        if self.name != "floor" {
            fs::write(format!("/proc/driver/{}/{file}", self.name), word)?;
        }
        Ok(())
    }

    fn store(&self, fortunes: usize) -> Result<()> {
        for _ in 0..fortunes {
            write(&self.file, &SHORT)?;
        }
        Ok(())
    }

    fn pread(&self) -> libc::c_long {
        let mut buffer = MaybeUninit::<[u8; 4096]>::uninit();
        let (fd, at) = (self.file.as_raw_fd(), buffer.as_mut_ptr());
        // SAFETY: The buffer is as large as that.
        unsafe { libc::syscall(libc::SYS_pread64, fd, at, 4096, 0_u64) }
    }

    fn read(&self) -> libc::c_long {
        let mut buffer = MaybeUninit::<[u8; 4096]>::uninit();
        let (fd, at) = (self.file.as_raw_fd(), buffer.as_mut_ptr());
        // SAFETY: The buffer is as large as that.
        unsafe { libc::syscall(libc::SYS_read, fd, at, 4096) }
    }

    fn write(&self, text: &[u8]) -> libc::c_long {
        let (fd, at) = (self.file.as_raw_fd(), text.as_ptr());
        // SAFETY: The text is as long as that.
        unsafe { libc::syscall(libc::SYS_write, fd, at, text.len()) }
    }

    /// Opens the file, reads so many times, and closes it.
    fn cat(&self, reads: usize) -> libc::c_long {
        let mut buffer = MaybeUninit::<[u8; 4096]>::uninit();
        let (path, at) = (self.path.as_ptr(), buffer.as_mut_ptr());
        // SAFETY: The buffer is as large as that, and the descriptor this call's own.
        unsafe {
            let fd = libc::syscall(libc::SYS_open, path, libc::O_RDONLY);
            for _ in 0..reads {
                libc::syscall(libc::SYS_read, fd, at, 4096);
            }
            libc::syscall(libc::SYS_close, fd)
        }
    }
}

/// A line and its newline, of so many bytes together.
const fn text<const LEN: usize>() -> [u8; LEN] {
    let mut text = [b'x'; LEN];
    text[LEN - 1] = b'\n';
    text
}

static SHORT: [u8; 64] = text();
static LONG: [u8; 4096] = text();

/// A call, which returns what the last system call of it does.
type Call = fn(&Target) -> libc::c_long;

/// What a row of the table calls, and what that returns.
fn call_of(row: &str) -> Result<(Call, libc::c_long)> {
    Ok(match row {
        "B1" => (Target::read, 0),
        "B2" | "B7.draw" => (Target::pread, 64),
        "B3" | "B6" | "B7.write" => (|target| target.write(&SHORT), 64),
        "B4" => (|target| target.write(&LONG), 4096),
        "B5.open" => (|target| target.cat(0), 0),
        "B5.cat" => (|target| target.cat(2), 0),
        _ => bail!("no row {row}"),
    })
}

/// What `guest descriptors` does: prints what unloading costs with 50,000 open files, and what with half of them.
pub(crate) fn descriptors() -> Result<()> {
    calibrate()?;
    let [half, all] = [25_000, 50_000].map(|count| {
        let (module, _files) = many_open(count);
        let begun = instructions();
        module.unload();
        instructions() - begun
    });
    println!("{half} {all}");
    Ok(())
}

/// What the time stamp counter says: with `--icount`, how many instructions this machine has executed.
fn instructions() -> u64 {
    // SAFETY: Any x86-64 has it, and user space may read it.
    unsafe { _rdtsc() }
}

/// Makes sure that this counts instructions.
fn calibrate() -> Result<()> {
    const TIMES: u64 = 100_000;
    let counted = (0..10).map(|_| {
        let begun = instructions();
        // SAFETY: A loop of two instructions that changes a register.
        unsafe { asm!("2:", "dec {0}", "jnz 2b", inout(reg) TIMES => _) };
        instructions() - begun
    });
    let counted = counted.min().context("ten times")?;
    ensure!(
        (2 * TIMES..2 * TIMES + 20).contains(&counted),
        "{counted} for {} instructions: --icount is missing",
        2 * TIMES
    );
    Ok(())
}

/// Measures the calls of a row on each target, with `prepare` before each batch, and prints the instructions of one call:
/// the row and `suffix`, the file, the least, how many batches took that, and of how many.
fn measure(
    row: &str,
    suffix: &str,
    targets: &[Target],
    prepare: impl Fn(&Target) -> Result<()>,
) -> Result<()> {
    let (call, expected) = call_of(row)?;
    let mut counts = vec![Vec::new(); targets.len()];
    for _ in 0..BATCHES {
        for (target, counts) in targets.iter().zip(&mut counts) {
            prepare(target)?;
            let begun = instructions();
            for _ in 0..CALLS {
                call(target);
            }
            counts.push(instructions() - begun);
        }
    }
    // It was that call, and not an error.
    for target in targets {
        prepare(target)?;
        let returned = call(target);
        // There is nothing to be drawn from the empty file.
        let empty = ["B2", "B7.draw"].contains(&row) && target.name == "floor";
        let expected = if empty { 0 } else { expected };
        ensure!(returned == expected, "{row} of {}: {returned}", target.name);
    }
    for (target, counts) in targets.iter().zip(&counts) {
        let least = *counts.iter().min().context("a batch")?;
        let equal = counts.iter().filter(|&&count| count == least).count();
        let each = least as f64 / CALLS as f64;
        println!("{row}{suffix} {} {each:.2} {equal} {BATCHES}", target.name);
    }
    Ok(())
}

/// Loads the modules and opens their files.
fn load(size: usize) -> Result<(Vec<Module>, Vec<Target>)> {
    let parameters = format!("pot_size={size}");
    let modules = vec![
        Module::load(&parameters),
        Module::load_file("twin", &parameters),
        Module::load_file("floor", ""),
    ];
    let targets = Target::NAMES.into_iter().map(Target::open);
    Ok((modules, targets.collect::<Result<_>>()?))
}

/// Prints what was measured, line by line; tests/bench reads it.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        ["calls"] => calls(),
        ["fill"] => fill(),
        ["commands"] => commands(),
        ["time"] => by_time(),
        ["sizes"] => {
            index()?;
            loaded()
        }
        ["profile", row, name] => profile(row, name),
        _ => bail!(
            "usage: guest bench calls|fill|commands|time|sizes | guest bench profile ROW FILE"
        ),
    }
}

/// Prints where functions of the kernel and of the modules begin, and makes the calls of a row until it is killed:
/// somebody who looks in from outside can see what they execute.
fn profile(row: &str, name: &str) -> Result<()> {
    let (call, _) = call_of(row)?;
    let size = if row == "B6" { 4096 } else { 64 << 20 };
    let (_modules, targets) = load(size)?;
    let target = targets.iter().find(|target| target.name == name);
    let target = target.with_context(|| format!("no file {name}"))?;
    target.set("when_full", "evict")?;
    target.store(100)?;
    target.read();
    print!("{}", fs::read_to_string("/proc/kallsyms")?);
    println!("calling");
    loop {
        call(target);
    }
}

/// Nothing to be done before a batch.
fn nothing(_: &Target) -> Result<()> {
    Ok(())
}

/// Leaves one fortune, and what the index needs for the next ones.
fn one(target: &Target) -> Result<()> {
    target.set("clear", "1")?;
    target.store(1)
}

/// B1 to B6.
fn calls() -> Result<()> {
    calibrate()?;
    {
        let (_modules, targets) = load(1 << 20)?;
        for target in &targets {
            target.store(100)?;
            target.read();
        }
        for row in ["B1", "B2", "B5.open", "B5.cat"] {
            measure(row, "", &targets, nothing)?;
        }
        for row in ["B3", "B4"] {
            measure(row, "", &targets, one)?;
        }
    }
    {
        let (_modules, targets) = load(4096)?;
        for target in &targets {
            target.set("when_full", "evict")?;
            target.store(100)?;
        }
        measure("B6", "", &targets, nothing)?;
    }
    Ok(())
}

/// B7: with one fortune in the pot, with a thousand, and with a hundred thousand.
fn fill() -> Result<()> {
    calibrate()?;
    let (_modules, targets) = load(8 << 20)?;
    for target in &targets {
        one(target)?;
    }
    measure("B7.draw", ".1", &targets, nothing)?;
    measure("B7.write", ".1", &targets, one)?;
    let mut stored = 1 + CALLS as usize;
    for fortunes in [1000, 100_000] {
        for target in &targets {
            target.store(fortunes - stored)?;
        }
        let suffix = format!(".{fortunes}");
        measure("B7.draw", &suffix, &targets, nothing)?;
        measure("B7.write", &suffix, &targets, nothing)?;
        stored = fortunes + BATCHES * CALLS as usize;
    }
    Ok(())
}

/// What a draw costs with all that is around it, and what else there is to get a fortune by: of 1000 fortunes. `fortune`
/// and `strfile` are those of fortune-mod.
fn commands() -> Result<()> {
    calibrate()?;
    let (_modules, targets) = load(1 << 20)?;
    for target in &targets {
        target.store(1000)?;
    }
    fs::write("/tmp/lines", SHORT.repeat(1000))?;
    fs::write("/tmp/cookies", [&SHORT[..], b"%\n"].concat().repeat(1000))?;
    let made = Command::new("strfile").arg("/tmp/cookies").output()?;
    ensure!(made.status.success(), "strfile: {made:?}");
    let commands: [(&str, &str, &[&str]); 5] = [
        ("fortune", "cat", &["/proc/fortune"]),
        ("twin", "cat", &["/proc/twin"]),
        ("fortune-mod", "fortune", &["/tmp/cookies"]),
        ("shuf", "shuf", &["-n", "1", "/tmp/lines"]),
        ("true", "true", &[]),
    ];
    let mut counts = [const { Vec::new() }; 5];
    for _ in 0..5 {
        for ((_, program, arguments), counts) in commands.iter().zip(&mut counts) {
            let begun = instructions();
            let status = Command::new(program)
                .args(*arguments)
                .stdout(Stdio::null())
                .status()?;
            ensure!(status.success(), "{program}: {status}");
            counts.push(instructions() - begun);
        }
    }
    for ((name, ..), counts) in commands.iter().zip(&counts) {
        let least = counts.iter().min().context("five times")?;
        println!("user {name} {least} 1 5");
    }
    Ok(())
}

/// Prints calls a second of one thread and of two, each on a CPU of its own: lines of `B9`, the file, how many threads,
/// and the rate. They take turns that are as short as the host's own.
fn by_time() -> Result<()> {
    const ROUNDS: usize = 60;
    let (_modules, targets) = load(1 << 20)?;
    for target in &targets {
        target.store(1000)?;
    }
    let zero = Target {
        name: "zero",
        path: c"/dev/zero".into(),
        file: OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/zero")?,
    };
    let mut targets: Vec<&Target> = targets.iter().chain([&zero]).collect();
    for _ in 0..ROUNDS {
        for threads in [1, 2] {
            for target in &targets {
                let rate = rate(target, threads)?;
                println!("B9 {} {threads} {rate:.0}", target.name);
            }
        }
        // None is always the one before or after another.
        targets.reverse();
    }
    Ok(())
}

/// How many draws a second so many threads make, each with an open file of its own.
fn rate(target: &Target, threads: usize) -> Result<f64> {
    const TIME: Duration = Duration::from_millis(25);
    let (ready, done) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|cpu| {
                let (ready, done) = (&ready, &done);
                scope.spawn(move || -> Result<u64> {
                    let mut cpus = CpuSet::new();
                    cpus.set(cpu)?;
                    sched_setaffinity(Pid::from_raw(0), &cpus)?;
                    let file = File::open(target.path.to_str()?)?;
                    let mut buffer = [0_u8; 65];
                    let (fd, at) = (file.as_raw_fd(), buffer.as_mut_ptr());
                    ready.wait();
                    let mut calls = 0;
                    while !done.load(Ordering::Relaxed) {
                        // SAFETY: The buffer is as large as that.
                        unsafe { libc::syscall(libc::SYS_pread64, fd, at, 65, 0_u64) };
                        calls += 1;
                    }
                    Ok(calls)
                })
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        thread::sleep(TIME);
        done.store(true, Ordering::Relaxed);
        let time = begun.elapsed();
        let mut calls = 0;
        for thread in threads {
            calls += thread.join().expect("no panic")?;
        }
        Ok(calls as f64 / time.as_secs_f64())
    })
}

/// Prints what the modules take in memory, in bytes: lines of `loaded`, the module, and the number.
fn loaded() -> Result<()> {
    let _loaded = load(1 << 20)?;
    for line in fs::read_to_string("/proc/modules")?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        println!("loaded {} {}", words[0], words[1]);
    }
    Ok(())
}

/// Prints what the index takes for a fortune, in bytes: `B10` and the number.
fn index() -> Result<()> {
    // So many that the pages which the group is charged for in advance, 64 a CPU, make no difference.
    const FORTUNES: usize = 1_000_000;
    let (_modules, targets) = load(4 << 20)?;
    let group = Group::enter();
    for target in &targets[..2] {
        let before = group.charged();
        write(&target.file, &b"%\nx\n".repeat(FORTUNES))?;
        let charged = group.charged() - before;
        println!(
            "B10 {} {:.2}",
            target.name,
            charged as f64 / FORTUNES as f64
        );
    }
    Ok(())
}
