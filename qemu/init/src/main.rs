// SPDX-License-Identifier: GPL-2.0

//! PID 1: makes a usable system, runs the command, and reports to the host.
//!
//! What is said to the host goes over virtio ports, found by name:
//!
//! - `status`: `up`, then `begun`, or `failed: WHY`, and at the end `NONCE STATUS TAINT`, the verdict. Only this process can open
//!   the port, and only it has seen the nonce, so nothing that runs in the guest can forge one.
//! - `session`: after `up`, a cpio archive of what the command needs, and what it is, and a line with the seconds since 1970. The
//!   guest can be kept before that, and others go on from there.
//! - `status` also, if there is to be a debugger: `section MODULE NAME ADDRESS` for each section of each module in the command's
//!   directory, which are loaded, and `loaded`. Then the host stops the guest, and says something when it is to go on.
//! - `stdout`, `stderr`: what the command prints.
//! - `stdin`: what it reads, in pieces with their lengths in front, the last of which is empty. That the host has closed a port
//!   can't be told from that it has not opened it yet.
//! - `size`: rows and columns of the host's terminal, a line whenever they change, if a shell runs on it.
//!
//! The last line of the kernel log is `guest: end NONCE`: with it the host knows that its log is whole.

use anyhow::{Context, Result, bail, ensure};
use cpio::newc;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        signal::{SigSet, Signal, kill},
        stat::SFlag,
        time::TimeSpec,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    time::{ClockId, clock_settime},
    unistd::{Pid, pipe2, setsid},
};
use std::{
    convert::Infallible,
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
            process::CommandExt,
        },
    },
    path::Path,
    process::{self, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Where the command starts: with the modules that were built, and the files of `--file`.
const HOME: &str = "/root";

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/busybox";

/// Where what other programs don't have is linked to busybox, such as mount and dmesg.
const APPLETS: &str = "/usr/libexec/busybox";

/// By what programs ask for the end: halt, poweroff, reboot.
const ENDS: [Signal; 3] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM];

/// What is waited for: that a process has ended, or that the end is asked for.
fn awaited() -> SigSet {
    ENDS.into_iter().chain([Signal::SIGCHLD]).collect()
}

fn main() {
    if process::id() != 1 {
        eprintln!("init: this is the first process of a guest, and nothing else");
        process::exit(2);
    }
    // Threads inherit that, or one of them would take them.
    awaited().thread_block().expect("signals can be blocked");
    if let Err(error) = system().and_then(|()| session()) {
        // The host sees this in the kernel log, and that there is no verdict.
        log(&format!("init failed: {error:#}"));
    }
    power_off()
}

/// Writes a line to the kernel log.
fn log(line: &str) {
    fs::write("/dev/kmsg", format!("<6>guest: {line}\n")).expect("/dev/kmsg takes a line");
}

fn power_off() -> ! {
    // SAFETY: sync has no preconditions.
    unsafe { libc::sync() };
    // Without ACPI a PC has no power switch, but QEMU ends where it would start again.
    let how = if Path::new("/sys/firmware/acpi").exists() {
        RebootMode::RB_POWER_OFF
    } else {
        RebootMode::RB_AUTOBOOT
    };
    let error: Result<Infallible, Errno> = reboot(how);
    panic!("power-off failed: {error:?}");
}

/// Mounts what programs expect.
fn system() -> Result<()> {
    for (kind, at, options) in [
        ("proc", "/proc", None),
        ("sysfs", "/sys", None),
        ("devtmpfs", "/dev", None),
        ("tmpfs", "/tmp", Some("mode=1777")),
        ("tmpfs", "/run", Some("mode=755")),
        ("devpts", "/dev/pts", None),
        // These only where the kernel has them.
        ("tracefs", "/sys/kernel/tracing", None),
        ("debugfs", "/sys/kernel/debug", None),
    ] {
        if at.starts_with("/sys/kernel") && !Path::new(at).exists() {
            continue;
        }
        fs::create_dir_all(at).or_else(|error| match error.kind() {
            // Those in sysfs are made by the kernel.
            io::ErrorKind::PermissionDenied | io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        // The initramfs is mounted on rootfs, where the kernel may have mounted /dev itself.
        match mount(Some(kind), at, Some(kind), MsFlags::empty(), options) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(error) => bail!("mounting {kind} on {at}: {error}"),
        }
    }
    for (link, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, link).with_context(|| link)?;
    }
    let busybox = Path::new("/usr/bin/busybox");
    if busybox.exists() {
        fs::create_dir_all(APPLETS)?;
        let installed = Command::new(busybox)
            .args(["--install", "-s", APPLETS])
            .status()?;
        ensure!(installed.success(), "busybox: {installed}");
    }
    Ok(())
}

/// Opens the virtio port that the host calls `name`.
fn port(name: &str) -> Result<File> {
    // The devices are found while this process starts already.
    for _ in 0..500 {
        for port in fs::read_dir("/sys/class/virtio-ports")? {
            let port = port?;
            let says = fs::read_to_string(port.path().join("name")).unwrap_or_default();
            if says.trim_end() == name {
                let device = Path::new("/dev").join(port.file_name());
                return OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&device)
                    .with_context(|| device.display().to_string());
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("no virtio port '{name}'")
}

/// Runs the command and gives the verdict.
fn session() -> Result<()> {
    let mut status = port("status")?;
    writeln!(status, "up")?;
    // From here on it can be another guest that goes on with what this one was.
    if let Err(error) = receive() {
        writeln!(status, "failed: {error:#}")?;
        return Err(error);
    }
    writeln!(status, "begun")?;
    if Path::new("/debug").exists() {
        wait_for_debugger(&mut status)?;
    }

    let nonce = fs::read_to_string("/nonce")?;
    fs::remove_file("/nonce")?;
    let words = fs::read_to_string("/command")?;
    let words: Vec<&str> = words.split_terminator('\0').collect();
    let code = if words.is_empty() {
        run_shell()?
    } else {
        run_command(&words)?
    };

    let taint = fs::read_to_string("/proc/sys/kernel/tainted")?;
    if taint.trim_end().parse::<u64>()? & OUT_OF_TREE != 0 {
        show_leaks()?;
    }
    log(&format!("end {nonce}"));
    writeln!(status, "{nonce} {code} {}", taint.trim_end())?;
    Ok(())
}

/// Unpacks what the host sends, as the kernel does an initramfs, and takes the time and new random numbers from that.
fn receive() -> Result<()> {
    let mut from = BufReader::with_capacity(1 << 16, FromHost(port("session")?));
    loop {
        let reader = newc::Reader::new(from)?;
        if reader.entry().is_trailer() {
            from = reader.finish()?;
            break;
        }
        let path = Path::new("/").join(reader.entry().name());
        from = unpack(reader, &path).with_context(|| path.display().to_string())?;
    }

    let mut now = String::new();
    from.read_line(&mut now)?;
    let now = now.trim_end().parse()?;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(now, 0))?;
    let seed = fs::read("/seed")?;
    // struct rand_pool_info: bits, bytes, and those.
    let mut pool = [256_u32, 32, 0, 0, 0, 0, 0, 0, 0, 0];
    for (word, bytes) in pool[2..].iter_mut().zip(seed.chunks_exact(4)) {
        *word = u32::from_ne_bytes(bytes.try_into()?);
    }
    let random = File::options().write(true).open("/dev/urandom")?;
    // SAFETY: The pointer is valid for the calls, which do not keep it.
    let done = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, pool.as_ptr()) };
    Errno::result(done)?;
    // SAFETY: That takes nothing.
    let done = unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) };
    Errno::result(done)?;
    fs::remove_file("/seed")?;
    Ok(())
}

/// Makes one file, and returns what comes after it.
fn unpack<R: Read>(reader: newc::Reader<R>, path: &Path) -> Result<R> {
    let mode = reader.entry().mode();
    let kind = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFDIR && path.is_dir() {
        return Ok(reader.finish()?);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)?,
        _ => {}
    }
    if kind == SFlag::S_IFLNK {
        let mut target = Vec::new();
        let from = reader.to_writer(&mut target)?;
        symlink(OsStr::from_bytes(&target), path)?;
        return Ok(from);
    }
    let from = if kind == SFlag::S_IFDIR {
        fs::create_dir(path)?;
        reader.finish()?
    } else {
        reader.to_writer(File::create(path)?)?
    };
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
    Ok(from)
}

/// include/uapi/linux/random.h
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// Loads the modules, tells where they are, and waits until the host has stopped the guest.
fn wait_for_debugger(status: &mut File) -> Result<()> {
    for file in fs::read_dir(HOME)? {
        let path = file?.path();
        if path.extension().is_none_or(|name| name != "ko") {
            continue;
        }
        let loaded = Command::new("insmod")
            .env("PATH", PATH)
            .arg(&path)
            .status()?;
        ensure!(loaded.success(), "insmod {}: {loaded}", path.display());
        let name = path.file_stem().context("a module's name")?;
        let name = name.to_string_lossy().replace('-', "_");
        for section in fs::read_dir(format!("/sys/module/{name}/sections"))? {
            let section = section?;
            let address = fs::read_to_string(section.path())?;
            let section = section.file_name();
            let section = section.to_string_lossy();
            writeln!(status, "section {name} {section} {}", address.trim_end())?;
        }
    }
    writeln!(status, "loaded")?;
    // There is nothing as long as the host has not opened its end.
    while status.read(&mut [0; 1])? == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The bit of `/proc/sys/kernel/tainted` that says that a module was loaded which is not the kernel's own.
const OUT_OF_TREE: u64 = 1 << 12;

/// Lets the kernel look for memory that nobody refers to, if it can, and puts what it finds into the kernel log, where
/// the host sees it (Documentation/dev-tools/kmemleak.rst).
fn show_leaks() -> Result<()> {
    let kmemleak = Path::new("/sys/kernel/debug/kmemleak");
    if !kmemleak.exists() {
        return Ok(());
    }
    // It reports what is older than 5 s when a scan begins, and was the same in the scan before.
    let is_old = Instant::now() + Duration::from_secs(6);
    fs::write(kmemleak, "scan")?;
    thread::sleep(is_old.saturating_duration_since(Instant::now()));
    fs::write(kmemleak, "scan")?;
    // Some tell as much as all, and the console is slow.
    for line in fs::read_to_string(kmemleak)?.lines().take(200) {
        log(line);
    }
    Ok(())
}

fn run_command(words: &[&str]) -> Result<u8> {
    let (stdout, from_stdout) = copier("stdout")?;
    let (stderr, from_stderr) = copier("stderr")?;
    // A shell says in the usual words, and with the usual status, what is wrong with a command.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@""#, "sh"])
        .args(words)
        .stdin(input()?)
        .stdout(stdout)
        .stderr(stderr.try_clone()?);
    let (code, signal) = finish(command, &[])?;
    let mut stderr = File::from(stderr);
    if let Some(signal) = signal {
        // At once, or the kernel log comes between.
        let line = format!("qemu/boot: {} was ended by {signal}\n", words[0]);
        stderr.write_all(line.as_bytes())?;
    }
    // The copiers end when nobody can write any more.
    drop(stderr);
    for copier in [from_stdout, from_stderr] {
        copier.join().expect("copying does not panic")?;
    }
    Ok(code)
}

/// What the host writes to a port. It has always more to say.
struct FromHost(File);

impl Read for FromHost {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer)? {
                // The host has not opened it yet.
                0 => thread::sleep(Duration::from_millis(10)),
                count => return Ok(count),
            }
        }
    }
}

/// A pipe with what the host says that the command reads.
fn input() -> Result<OwnedFd> {
    let mut port = FromHost(port("stdin")?);
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let mut writer = File::from(writer);
    thread::spawn(move || -> io::Result<()> {
        loop {
            let mut length = [0; 4];
            port.read_exact(&mut length)?;
            let mut piece = vec![0; u32::from_le_bytes(length) as usize];
            port.read_exact(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            // Until nobody reads any more.
            writer.write_all(&piece)?;
        }
    });
    Ok(reader)
}

/// Copies what comes out of a pipe to a port, until nobody can write to the pipe any more.
///
/// The command gets the pipe, not the port, which could not be opened a second time as /dev/stdout.
/// The copying thread preempts all others, so that what was printed before a crash has left.
fn copier(name: &str) -> Result<(OwnedFd, JoinHandle<io::Result<()>>)> {
    let mut port = port(name)?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let mut reader = File::from(reader);
    let copy = move || {
        first()?;
        // Not io::copy, which would splice: the driver of the ports then ends the copy too early.
        let mut buffer = [0; 1 << 16];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(()),
                count => port.write_all(&buffer[..count])?,
            }
        }
    };
    Ok((writer, thread::spawn(copy)))
}

/// Makes this thread preempt all others.
fn first() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: The pointer is valid for the call, which does not keep it.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) };
    Errno::result(done)?;
    Ok(())
}

/// What a shell reads first.
const SHELL: &str = "/run/shell";

/// By then it has said what program and of which version it is, for which it has no switch. /etc/profile is the host's chance
/// to prepare something.
const BEGINNING: &str = "exec >&2\nunset ENV\n[ ! -e /etc/profile ] || . /etc/profile\n";

fn run_shell() -> Result<u8> {
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/hvc0")?;
    let mut sizes = BufReader::new(FromHost(port("size")?)).lines();
    let terminal = console.try_clone()?;
    let mut resize = move || {
        let size = sizes.next().context("the host says no more")??;
        set_size(&terminal, &size)
    };
    resize()?;
    thread::spawn(move || while resize().is_ok() {});
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let release = release.trim_end();
    let banner = format!("This is Linux {release} in QEMU; exit or poweroff ends it.");
    writeln!(&console, "{banner}")?;
    fs::write(SHELL, BEGINNING)?;
    let mut command = Command::new("busybox");
    command
        .env("TERM", fs::read_to_string("/terminal")?)
        .env("PS1", "guest:\\w# ")
        .env("ENV", SHELL)
        .args(["sh", "-i"])
        .stdin(console.try_clone()?)
        .stdout(Stdio::null())
        .stderr(console);
    // SAFETY: Both are system calls only, which may be done between fork and exec.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            let done = libc::ioctl(io::stdin().as_raw_fd(), libc::TIOCSCTTY, 0);
            Errno::result(done)?;
            Ok(())
        });
    }
    Ok(finish(command, &ENDS)?.0)
}

/// Tells a terminal how large it is: `rows columns`.
fn set_size(terminal: &File, size: &str) -> Result<()> {
    let (rows, columns) = size.split_once(' ').context("rows and columns")?;
    let size = libc::winsize {
        ws_row: rows.parse()?,
        ws_col: columns.parse()?,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: The pointer is valid for the call, which does not keep it.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(done)?;
    Ok(())
}

/// Runs `command` to its end, or until one of `ends` comes, reaps whatever else ends meanwhile, and kills what is left. Returns
/// its status, and the signal that has ended it, if one has.
fn finish(mut command: Command, ends: &[Signal]) -> Result<(u8, Option<Signal>)> {
    // `NAME=value`, or nothing.
    let environment = fs::read_to_string("/environment")?;
    command.envs(environment.split_once('='));
    command
        .current_dir(HOME)
        .env("PATH", PATH)
        .env("HOME", HOME);
    // SAFETY: That is one call of the kernel, which a child may make before it runs another program.
    unsafe { command.pre_exec(|| Ok(awaited().thread_unblock()?)) };
    let child = Pid::from_raw(i32::try_from(command.spawn()?.id())?);
    // The pipes' writing ends go with it, or the copiers would wait for ever.
    drop(command);
    let end = 'end: loop {
        let signal = awaited().wait()?;
        if ends.contains(&signal) {
            break (0, None);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                    break 'end (u8::try_from(code)?, None);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                    break 'end (128 + signal as u8, Some(signal));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                other => other?,
            };
        }
    };
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => bail!("killing what the command left: {error}"),
    }
    Ok(end)
}
