// SPDX-License-Identifier: GPL-2.0

//! A running guest: QEMU, what comes out of it, and how it ends.

use crate::{
    debugger::{self, Debugger},
    kept::Kept,
    monitor::Monitor,
};
use anyhow::{Context, Result, bail};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{SigSet, Signal},
};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

/// What differs between machines.
pub(crate) struct Architecture {
    /// As Debian calls it.
    pub(crate) debian: &'static str,
    /// As Debian calls the directory of its libraries.
    pub(crate) multiarch: &'static str,
    /// As Rust calls that of the host.
    cpu: &'static str,
    pub(crate) qemu: &'static str,
    machine: &'static str,
    /// A CPU that can do all that QEMU can emulate in good time.
    emulated: &'static str,
    /// The kernel's name for the first serial port.
    console: &'static str,
    /// For the kernel's command line: what it would find out about a machine that is known.
    known: &'static str,
}

/// Those that there are kernels of.
const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        debian: "amd64",
        multiarch: "x86_64-linux-gnu",
        cpu: "x86_64",
        qemu: "qemu-system-x86_64",
        machine: "pc",
        // Instructions that a CPU repeats are slow to emulate: kernels that know a CPU to be fast at those copy with them.
        emulated: "max,-erms,-fsrm,-fzrm,-fsrs,-fsrc",
        console: "ttyS0",
        known: "no_timer_check tsc=reliable",
    },
    Architecture {
        debian: "arm64",
        multiarch: "aarch64-linux-gnu",
        cpu: "aarch64",
        qemu: "qemu-system-aarch64",
        machine: "virt",
        // Signing pointers as the architecture defines it is slow to emulate.
        emulated: "max,pauth-impdef=on",
        console: "ttyAMA0",
        known: "",
    },
];

impl Architecture {
    /// The one that Debian calls so.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        ARCHITECTURES
            .iter()
            .find(|architecture| architecture.debian == name)
            .with_context(|| format!("no machine for {name}"))
    }
}

/// What a guest is started with.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) architecture: &'static Architecture,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// What the guest's init gets when it has come up.
    pub(crate) session: PathBuf,
    /// It is kept when it has come up.
    pub(crate) kept: Option<Kept>,
    /// It does not boot, but goes on with the one that is kept.
    pub(crate) resumes: bool,
    /// Where the kernel log goes.
    pub(crate) console: PathBuf,
    /// It is shown too.
    pub(crate) watched: bool,
    pub(crate) smp: u32,
    pub(crate) memory: u32,
    pub(crate) append: String,
    /// A debugger is to come, for these modules.
    pub(crate) debugged: Option<Vec<PathBuf>>,
    pub(crate) icount: bool,
    pub(crate) kvm: bool,
    /// The terminal is the guest's.
    pub(crate) interactive: bool,
}

impl Machine {
    /// The arguments of QEMU that say what the guest is.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let architecture = self.architecture;
        let (accel, cpu) = match self {
            Machine { kvm: true, .. } => ("kvm", "host"),
            _ => ("tcg", architecture.emulated),
        };
        let smp = if self.icount { 1 } else { self.smp };
        // An oops is a panic, a panic a reset, and a reset the end of QEMU. The kernel's own ciphers need no test here, nor
        // does anything have to wait for entropy, or for readers under RCU longer than they take.
        let append = format!(
            "console={} loglevel=7 printk.devkmsg=on oops=panic panic=-1 {} cryptomgr.notests random.trust_cpu=on \
             rcupdate.rcu_expedited=1 {}",
            architecture.console, architecture.known, self.append
        );
        let mut arguments: Vec<String> = [
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-nic",
            "none",
        ]
        .map(str::to_owned)
        .into();
        let kernel = self.kernel.display().to_string();
        for (option, value) in [
            ("-machine", architecture.machine),
            ("-m", &self.memory.to_string()),
            // Each in a socket of its own: the BIOS lists one CPU of a socket, for kernels without ACPI.
            ("-smp", &format!("{smp},sockets={smp}")),
            ("-accel", accel),
            ("-cpu", cpu),
            ("-kernel", &kernel),
            ("-append", &append),
        ] {
            arguments.extend([option.to_owned(), value.to_owned()]);
        }
        if self.icount {
            arguments.extend(["-icount", "shift=0,sleep=off"].map(str::to_owned));
        }
        arguments
    }
}

/// How it begins why a guest is gone of which QEMU has ended.
pub(crate) const ENDED: &str = "QEMU has ended";

/// How a guest ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Its init gave this verdict.
    Verdict {
        /// The line that came over the status port.
        line: String,
    },
    /// The command took too long.
    OutOfTime(Duration),
    /// It never got as far as its init.
    NeverUp(String),
    /// Its init can't do with what it got, and says why.
    Refused(String),
    /// It came up, and then it was gone.
    NoVerdict(String),
}

enum Event {
    Status(String),
    /// QEMU has closed its end of the status port: it is ending.
    Closed,
    /// What QEMU itself says.
    Qemu(String),
}

/// A guest. It is killed, if it still runs, when it is dropped.
pub(crate) struct Guest {
    qemu: Child,
    events: Receiver<Event>,
    /// Threads that pass on what the command prints.
    output: Vec<JoinHandle<()>>,
    /// Where what the command reads goes, if it reads something. QEMU would drop what is on its way when this is closed.
    input: Option<UnixStream>,
    /// QEMU has ended.
    ended: Arc<AtomicBool>,
    monitor: Monitor,
    debugger: Option<Debugger>,
    /// What the guest's init waits for, and where it goes. QEMU would drop what is on its way here too.
    session: (File, UnixStream),
    /// How it is kept, and the kernel log until then.
    kept: Option<(Kept, PathBuf)>,
}

/// QEMU, which is not started yet, with sockets whose other ends it inherits.
struct Sockets {
    qemu: Command,
    theirs: Vec<UnixStream>,
}

impl Sockets {
    /// One of that name, and what QEMU calls the other end.
    fn socket(&mut self, name: &str) -> Result<(UnixStream, String)> {
        let (ours, theirs) = UnixStream::pair()?;
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let chardev = format!("socket,id={name},fd={}", theirs.as_raw_fd());
        self.theirs.push(theirs);
        Ok((ours, chardev))
    }

    /// One that the guest has as a virtio port of that name.
    fn port(&mut self, name: &str) -> Result<UnixStream> {
        let (ours, chardev) = self.socket(name)?;
        let device = format!("virtserialport,chardev={name},name={name}");
        self.qemu.args(["-chardev", &chardev, "-device", &device]);
        Ok(ours)
    }
}

impl Guest {
    pub(crate) fn start(machine: &Machine) -> Result<Self> {
        let architecture = machine.architecture;
        // It does not outlive this program where that is killed and its PID namespace goes on, as in the tests.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", architecture.qemu]);
        qemu.args(machine.arguments());
        qemu.arg("-initrd").arg(&machine.initramfs);
        if let (true, Some(kept)) = (machine.resumes, &machine.kept) {
            // If it is gone meanwhile, QEMU says so.
            let _ = fs::copy(kept.log(), &machine.console);
            let state = kept.state.display();
            qemu.args(["-incoming", &format!("file:{state}")]);
        }
        qemu.args(["-global", "migration.mapped-ram=on"]);
        let console = machine.console.display();
        let console = format!("file,id=console,path={console},append=on");
        qemu.args(["-chardev", &console]);
        qemu.args(["-serial", "chardev:console", "-device", "virtio-serial-pci"]);

        let (sender, events) = mpsc::channel();
        let mut output = Vec::new();
        let mut sockets = Sockets {
            qemu,
            theirs: Vec::new(),
        };
        let ended = Arc::<AtomicBool>::default();
        if machine.watched {
            output.push(follow(&machine.console, Arc::clone(&ended))?);
        }
        // All guests have all of them: whoever goes on with one has what that had.
        let status = sockets.port("status")?;
        let session = sockets.port("session")?;
        let size = sockets.port("size")?;
        let stdin = sockets.port("stdin")?;
        output.push(pass_on(sockets.port("stdout")?, io::stdout()));
        output.push(pass_on(sockets.port("stderr")?, io::stderr()));
        let mut input = None;
        let terminal = if machine.interactive {
            tell_size(size);
            "stdio,id=terminal,signal=off"
        } else {
            input = Some(stdin);
            sockets.qemu.stdin(Stdio::null()).stdout(Stdio::null());
            "null,id=terminal"
        };
        sockets
            .qemu
            .args(["-chardev", terminal])
            .args(["-device", "virtconsole,chardev=terminal"]);
        let (monitor, chardev) = sockets.socket("monitor")?;
        sockets
            .qemu
            .args(["-chardev", &chardev, "-mon", "chardev=monitor"]);
        let mut debugger = None;
        if let Some(modules) = &machine.debugged {
            let gdb = format!("unix:{},server=on,wait=off", debugger::SOCKET);
            sockets.qemu.args(["-gdb", &gdb]);
            let status = status.try_clone()?;
            debugger = Some(Debugger::new(status, &machine.kernel, modules));
        }

        let mut qemu = sockets
            .qemu
            .stderr(Stdio::piped())
            .spawn()
            .context("setpriv")?;
        // Only QEMU has these ends now, so that they are closed when it ends.
        drop(sockets);
        let said = qemu.stderr.take().context("QEMU's stderr")?;
        listen(status, sender.clone(), Event::Status, Some(Event::Closed));
        listen(said, sender, Event::Qemu, None);
        let kept = machine.kept.clone().filter(|_| !machine.resumes);
        let this = Self {
            qemu,
            events,
            output,
            input,
            ended,
            monitor: Monitor::new(monitor)?,
            debugger,
            session: (File::open(&machine.session)?, session),
            kept: kept.map(|kept| (kept, machine.console.clone())),
        };
        if machine.resumes {
            this.send()?;
        }
        Ok(this)
    }

    /// Waits for the guest's end: at most `coming_up` until its init runs, as long until that has what it needs, and `limit`
    /// after that. Of one that boots `is_well` says whether it came up as it should, or why not. Then it gets `read`, which
    /// the command reads.
    pub(crate) fn wait(
        mut self,
        coming_up: Duration,
        limit: Option<Duration>,
        is_well: impl Fn() -> Result<(), String>,
        read: impl Read + Send + 'static,
    ) -> Result<End> {
        let mut read = Some(read);
        let mut deadline = Some(Instant::now() + coming_up);
        let mut up = false;
        let mut said = String::new();
        let end = loop {
            let event = match deadline {
                Some(deadline) => self
                    .events
                    .recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => self
                    .events
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Status(line)) if !up && line == "up" => {
                    if let Err(why) = is_well() {
                        break End::NeverUp(why);
                    }
                    if let Some((kept, console)) = self.kept.take() {
                        // Nobody has asked for that.
                        if let Err(error) = kept.keep(&mut self.monitor, &console) {
                            eprintln!(
                                "qemu/boot: this guest can't be kept to go on with: {error:#}"
                            );
                        }
                    }
                    // Keeping it took a while too.
                    deadline = Some(Instant::now() + coming_up);
                    self.send()?;
                }
                Ok(Event::Status(line)) if !up && line.starts_with("failed: ") => {
                    break End::Refused(format!("its init {line}"));
                }
                Ok(Event::Status(line)) if !up && line == "begun" => {
                    up = true;
                    if let (Some(input), Some(read)) = (&self.input, read.take()) {
                        feed(input.try_clone()?, read);
                    }
                    deadline = limit.map(|limit| Instant::now() + limit);
                }
                Ok(Event::Status(line))
                    if self
                        .debugger
                        .as_mut()
                        .is_some_and(|debugger| debugger.takes(&line, &mut self.monitor)) => {}
                Ok(Event::Status(line)) => {
                    // It powers itself off now.
                    self.ends_within(Duration::from_secs(10))?;
                    break End::Verdict { line };
                }
                Ok(Event::Qemu(line)) => {
                    said += &line;
                    said += "\n";
                    if line.contains("KVM internal error") {
                        break End::NeverUp(line);
                    }
                }
                Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => {
                    self.ends_within(Duration::from_secs(10))?;
                    let why = match said.trim_end() {
                        "" => ENDED.to_owned(),
                        said => format!("{ENDED}: {said}"),
                    };
                    break if up {
                        End::NoVerdict(why)
                    } else {
                        End::NeverUp(why)
                    };
                }
                Err(RecvTimeoutError::Timeout) if up => {
                    break End::OutOfTime(limit.unwrap_or_default());
                }
                Err(RecvTimeoutError::Timeout) => {
                    break End::NeverUp(format!("nothing for {} s", coming_up.as_secs()));
                }
            }
        };
        self.stop()?;
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.output.drain(..) {
            if thread.join().is_err() {
                bail!("passing on the output failed");
            }
        }
        Ok(end)
    }

    /// Sends the guest's init what it waits for.
    fn send(&self) -> io::Result<()> {
        let (from, to) = &self.session;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || -> Result<()> {
            io::copy(&mut from, &mut to)?;
            // One that was kept has stood still.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            writeln!(to, "{}", now.as_secs())?;
            Ok(())
        });
        Ok(())
    }

    fn ends_within(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.qemu.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn stop(&mut self) -> io::Result<()> {
        // Killing what has ended already is no error.
        self.qemu.kill()?;
        self.qemu.wait()?;
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Copies from a port to our own output, as it comes.
fn pass_on(mut from: UnixStream, mut to: impl Write + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // If nobody reads our output any more, the guest's is still taken, so that it ends.
            let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
        }
    })
}

/// Shows what is written to a file, until nobody writes any more. QEMU could write it to two places, but then it writes some of
/// it twice.
fn follow(path: &Path, ended: Arc<AtomicBool>) -> Result<JoinHandle<()>> {
    let mut file = File::open(path)?;
    Ok(thread::spawn(move || {
        loop {
            let last = ended.load(Ordering::Relaxed);
            let _ = io::copy(&mut file, &mut io::stderr());
            if last {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }))
}

/// Passes on all that comes to a port, in pieces with their lengths in front; the last one is empty.
fn feed(mut to: UnixStream, mut from: impl Read + Send + 'static) {
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 1 << 12];
        loop {
            // What can't be read has ended.
            let count = from.read(&mut buffer).unwrap_or(0);
            to.write_all(&(count as u32).to_le_bytes())?;
            to.write_all(&buffer[..count])?;
            if count == 0 {
                return Ok(());
            }
        }
    });
}

/// Says over a port how large the terminal is, now and whenever that changes. The signal has to be blocked.
fn tell_size(mut to: UnixStream) {
    let changed = SigSet::from(Signal::SIGWINCH);
    thread::spawn(move || -> io::Result<()> {
        loop {
            writeln!(to, "{}", size())?;
            changed.wait()?;
        }
    });
}

/// The rows and the columns of the terminal.
fn size() -> String {
    let size = Command::new("stty")
        .arg("size")
        // The terminal, which output() would not pass on.
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .output();
    let size = size.map(|output| output.stdout).unwrap_or_default();
    match String::from_utf8_lossy(&size).trim_end() {
        "" | "0 0" => "24 80".to_owned(),
        size => size.to_owned(),
    }
}

/// Sends each line as an event, and `closed` at the end.
fn listen(
    from: impl Read + Send + 'static,
    to: Sender<Event>,
    event: fn(String) -> Event,
    closed: Option<Event>,
) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(event(line)).is_err() {
                return;
            }
        }
        if let Some(closed) = closed {
            let _ = to.send(closed);
        }
    });
}

/// Whether KVM can run a kernel here. /dev/kvm can be there, open, and still not work, so that takes
/// a boot of `image`; the answer is remembered until the host's kernel changes.
pub(crate) fn kvm_works(machine: &Machine, image: &Path) -> Result<bool> {
    if machine.architecture.cpu != std::env::consts::ARCH {
        return Ok(false);
    }
    if fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Ok(false);
    }
    let host = fs::read_to_string("/proc/sys/kernel/version")?;
    let remembered = Path::new("build").join("kvm");
    let text = fs::read_to_string(&remembered).unwrap_or_default();
    if let Some(answer) = text.strip_prefix(host.as_str()) {
        return Ok(answer == "works");
    }
    eprintln!("qemu/boot: trying whether KVM works here");
    let probe = Machine {
        kvm: true,
        interactive: false,
        debugged: None,
        kept: None,
        resumes: false,
        // By the BIOS: where KVM does not work, that is said at once.
        kernel: image.to_owned(),
        console: machine.initramfs.with_file_name("probe"),
        watched: false,
        ..machine.clone()
    };
    let limit = Duration::from_secs(20);
    let end = Guest::start(&probe)?.wait(limit, Some(Duration::ZERO), || Ok(()), io::empty())?;
    let works = !matches!(end, End::NeverUp(_));
    let answer = if works { "works" } else { "does not work" };
    eprintln!("qemu/boot: KVM {answer}");
    fs::write(&remembered, format!("{host}{answer}"))?;
    Ok(works)
}
