// SPDX-License-Identifier: GPL-2.0

//! What qemu/boot promises of its exit status, its output and its options, each by starting a guest.

#[path = "../../qemu/src/logs.rs"]
mod logs;

use crate::{
    kernel::{Said, kernel, run, succeed, work},
    terminal::Terminal,
};
use ktap::{Limit, Need, figure, note};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

ktap::tests!(boot, Boot:
    status_and_output_are_the_commands,
    command_that_does_not_exist,
    complaint_counts_whatever_the_command_says,
    out_of_time,
    power_off_without_a_verdict,
    what_is_piped_reaches_the_command,
    shell_on_a_terminal,
    shows_and_keeps_the_kernel_log,
    keeps_the_last_logs,
    says_what_a_kernel_died_of,
    says_by_which_signal_the_command_was_ended,
    crash_of_a_program_is_the_programs,
    each_failure_is_told_from_the_others,
    killed_boot_leaves_no_guest,
    options,
    root_of_ones_own,
    by_a_bios_or_as_it_is_linked,
    goes_on_where_one_was_kept,
    icount_means_one_cpu,
    files_and_directories,
    builds_modules_of_others,
    bad_options,
);

/// The command that starts a guest when everything is built.
fn boot_command() -> Command {
    kernel(Need::Kernel).boot_bare()
}

fn boot(arguments: &[&str]) -> Said {
    run(boot_command().args(arguments))
}

/// What a person calls.
fn qemu_boot(arguments: &[&str]) -> Said {
    run(Command::new("qemu/boot")
        .args(["--kernel", &kernel(Need::Kernel).name])
        .args(arguments)
        .stdin(Stdio::null()))
}

#[track_caller]
fn assert_ends(said: &Said, status: i32, stdout: &str, stderr: &str) {
    assert_eq!(said.status, Some(status), "{}", said.stderr);
    assert_eq!(said.stdout, stdout);
    assert!(said.stderr.contains(stderr), "{}", said.stderr);
}

fn status_and_output_are_the_commands() {
    let output = boot(&["--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_ends(&output, 3, "out\n", "err\n");
}

fn command_that_does_not_exist() {
    assert_ends(
        &boot(&["no-such-command"]),
        127,
        "",
        "no-such-command: not found",
    );
}

fn complaint_counts_whatever_the_command_says() {
    let output = boot(&[
        "--",
        "sh",
        "-c",
        "echo '<4>WARNING: made up' > /dev/kmsg; exit 0",
    ]);
    assert_ends(&output, 125, "", "WARNING: made up");
}

fn out_of_time() {
    assert_ends(
        &boot(&["--timeout", "3", "--", "sleep", "60"]),
        124,
        "",
        "out of time after 3 s",
    );
}

fn power_off_without_a_verdict() {
    assert_ends(
        &boot(&["--", "busybox", "poweroff", "-f"]),
        126,
        "",
        "without a verdict",
    );
}

fn what_is_piped_reaches_the_command() {
    let text: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    let file = work("piped").join("text");
    fs::write(&file, &text).unwrap();
    let piped = || fs::File::open(&file).unwrap();
    let said = run(boot_command().args(["--", "cat"]).stdin(piped()));
    assert_ends(&said, 0, &text, "");
    // It does not have to end.
    let (endless, open) = nix::unistd::pipe().unwrap();
    fs::File::from(open.try_clone().unwrap())
        .write_all(b"first\n")
        .unwrap();
    let said = run(boot_command()
        .args(["--", "head", "-n", "1"])
        .stdin(endless));
    assert_ends(&said, 0, "first\n", "");
}

fn shell_on_a_terminal() {
    let kernel = kernel(Need::Kernel);
    let mut boot = kernel.boot();
    let profile = fs::canonicalize("tests/guest/profile").unwrap();
    boot.arg(format!("--file={}:/etc/profile", profile.display()));
    let mut shell = Terminal::start(&boot, 132);
    let banner = shell.shows("guest:~# ");
    let banner: Vec<&str> = banner.lines().collect();
    assert!(
        banner.len() <= 4 && banner.iter().all(|line| line.len() < 80),
        "{banner:?}"
    );
    assert!(banner[0].contains(&kernel.is.release), "{banner:?}");
    // Several lines at once, as they are pasted.
    shell.types("cd /proc; stty size\nlsmod | grep -o ^fortune\n");
    shell.shows("50 132\r");
    shell.shows("fortune\r");
    shell.shows("guest:/proc# ");
    // It comes to the guest some time.
    shell.resize("20", "70");
    shell.types("until stty size | grep 20.70; do sleep 0.1; done\n");
    shell.shows("20 70\r");
    // Once it runs: what is typed before that may be for the shell.
    shell.types("sh -c 'echo running; exec sleep 1000'\n");
    shell.shows("\nrunning\r");
    shell.types("\x03");
    shell.shows("guest:/proc# ");
    shell.types("exit 3\n");
    assert_eq!(shell.end().0, Some(3));

    for end in ["poweroff", "reboot -f"] {
        let mut shell = Terminal::start(&boot, 132);
        shell.shows("guest:~# ");
        shell.types(&format!("{end}\n"));
        let (status, shown) = shell.end();
        assert_eq!(status, Some(0), "{end}: {shown}");
    }
}

fn shows_and_keeps_the_kernel_log() {
    let commands = "insmod hello.ko; false";
    let module = "tests/harness/modules/hello";
    let said = qemu_boot(&["--console", "--build", module, "--", "sh", "-c", commands]);
    assert_ends(&said, 1, "", "] Hello, world");
    let log = said
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("qemu/boot: the kernel log is in "));
    let log = fs::read_to_string(log.unwrap()).unwrap();
    assert!(
        log.lines().any(|line| line.ends_with("] Hello, world")),
        "{log}"
    );
}

fn keeps_the_last_logs() {
    let build = work("logs");
    let path = |number| build.join(format!("log/{number}.log"));
    let begins = |number| {
        let log = logs::begin(&build).unwrap();
        assert_eq!(log.path, path(number));
        log
    };
    let running = begins(1);
    for number in 2..=15 {
        drop(begins(number));
    }
    // All of the last hour are there.
    assert!((1..=15).all(|number| path(number).exists()));
    for number in 1..=14 {
        let file = fs::File::open(path(number)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7200))
            .unwrap();
    }
    fs::write(path(15), "the last").unwrap();
    assert_eq!(
        fs::read_to_string(build.join("console.log")).unwrap(),
        "the last"
    );
    drop(begins(16));
    // Ten, and that of the guest that still runs.
    let left = (1..=16).filter(|number| path(*number).exists());
    assert_eq!(
        left.collect::<Vec<_>>(),
        [vec![1], (7..=16).collect()].concat()
    );
    drop(running);
    drop(begins(17));
    assert!(!path(1).exists() && !path(7).exists() && path(8).exists());
}

fn says_what_a_kernel_died_of() {
    let said = boot(&["--", "sh", "-c", "echo c > /proc/sysrq-trigger"]);
    assert_eq!(said.status, Some(125), "{}", said.stderr);
    let died = |said: &Said| -> Vec<String> {
        let lines = said.stderr.lines();
        let lines = lines.skip_while(|line| *line != "qemu/boot: the kernel died:");
        lines.take(3).map(str::to_owned).collect()
    };
    let lines = died(&said);
    assert_eq!(lines.len(), 3, "{}", said.stderr);
    assert!(lines[1].ends_with("Kernel panic - not syncing: sysrq triggered crash"));
    assert!(
        lines[2].starts_with("|     sysrq_handle_crash+0x"),
        "{lines:?}"
    );

    // In a module, with the line in its source.
    let said = qemu_boot(&[
        "--build",
        "tests/harness/modules/crash",
        "--",
        "insmod",
        "crash.ko",
    ]);
    assert_eq!(said.status, Some(125), "{}", said.stderr);
    let lines = died(&said);
    assert_eq!(lines.len(), 3, "{}", said.stderr);
    let (cause, frame) = (&lines[1], &lines[2]);
    assert!(
        cause.contains("BUG: kernel NULL pointer dereference"),
        "{}",
        said.stderr
    );
    assert!(frame.starts_with("|     crash_write"), "{}", said.stderr);
    let source = fs::read_to_string("tests/harness/modules/crash/crash.c").unwrap();
    let line = source
        .lines()
        .position(|line| line.contains("= 1"))
        .unwrap()
        + 1;
    let place = format!("[crash] tests/harness/modules/crash/crash.c:{line}");
    assert!(frame.ends_with(&place), "{frame}");
}

fn says_by_which_signal_the_command_was_ended() {
    let said = boot(&["--", "sh", "-c", "kill -SEGV $$"]);
    assert_ends(&said, 139, "", "qemu/boot: sh was ended by SIGSEGV");
}

/// Makes a program that writes to an address.
fn crashes(name: &str, address: &str) -> PathBuf {
    let work = work(name);
    let (source, program) = (work.join("crash.c"), work.join(name));
    let text = format!("void _start(void) {{ *(volatile int *){address} = 1; }}\n");
    fs::write(&source, text).unwrap();
    let mut compile = Command::new("gcc");
    compile.args(["-static", "-nostdlib", "-o"]);
    succeed(compile.args([&program, &source]));
    program
}

fn crash_of_a_program_is_the_programs() {
    // On x86 what is no address at all is a general protection fault.
    for (name, address, said) in [
        ("nowhere", "0", "segfault at 0 ip"),
        (
            "no_address",
            "0x8000000000000000",
            "] general protection fault ip:",
        ),
    ] {
        let program = crashes(name, address);
        let file = format!("--file={}", program.display());
        let output = boot(&[&file, "--console", "--", &format!("./{name}")]);
        let ended = format!("qemu/boot: ./{name} was ended by SIGSEGV");
        assert_ends(&output, 139, "", &ended);
        let x86 = kernel(Need::Kernel).is.architecture == "amd64";
        assert!(!x86 || output.stderr.contains(said), "{}", output.stderr);
    }
}

/// A failure of the guest, of QEMU, or of the machine they run on.
struct Failure {
    what: &'static str,
    /// A script that stands in for QEMU, which it knows as `$QEMU`; the arguments are as for that.
    qemu: &'static str,
    arguments: &'static [&'static str],
    /// QEMU is to be killed when the command has printed its first line.
    killed: bool,
    status: i32,
    said: &'static str,
}

/// Nothing but QEMU.
const REAL: &str = "exec $QEMU \"$@\"";

const FAILURES: &[Failure] = &[
    Failure {
        what: "/dev/kvm that does not work",
        qemu: "case \"$*\" in *'accel kvm'*) echo KVM internal error >&2; exec sleep 1000;; esac; exec $QEMU \"$@\"",
        arguments: &["--", "echo", "up"],
        killed: false,
        // The command's.
        status: 0,
        said: "KVM does not work",
    },
    Failure {
        what: "boot that hangs",
        // The CPU is stopped.
        qemu: "exec $QEMU -S \"$@\"",
        arguments: &["--boot-timeout", "1", "--", "true"],
        killed: false,
        status: 126,
        said: "did not come up: nothing for 1 s; QEMU ran for 1 s, and its kernel has said nothing",
    },
    Failure {
        what: "crash",
        qemu: REAL,
        arguments: &["--", "sh", "-c", "echo up; echo c > /proc/sysrq-trigger"],
        killed: false,
        status: 125,
        said: "Kernel panic - not syncing: sysrq triggered crash",
    },
    Failure {
        what: "init that exits",
        qemu: REAL,
        arguments: &["--append", "rdinit=/bin/true", "--", "true"],
        killed: false,
        status: 126,
        said: "Attempted to kill init!",
    },
    Failure {
        what: "console that is cut",
        qemu: "$QEMU \"$@\"; sed -i '/guest: end/,$d' build/log/*.log",
        arguments: &["--", "echo", "up"],
        killed: false,
        status: 125,
        said: "the kernel log is cut",
    },
    Failure {
        what: "QEMU that is killed",
        qemu: REAL,
        arguments: &["--", "sh", "-c", "echo up; sleep 1000"],
        killed: true,
        status: 126,
        said: "the guest ended without a verdict: QEMU has ended",
    },
    Failure {
        what: "forged verdict",
        qemu: REAL,
        // The port is taken, and the nonce is gone.
        arguments: &[
            "--",
            "sh",
            "-c",
            "echo up; echo '0123 0 0' > /dev/vport0p1; cat /nonce; false",
        ],
        killed: false,
        status: 1,
        said: "cannot create /dev/vport0p1",
    },
];

/// The first line that `process` prints, or nothing if it ends without one.
fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.as_mut().unwrap());
    stdout.read_line(&mut line).unwrap();
    line
}

/// What `process` has started.
fn children(process: &Child) -> Vec<Pid> {
    let id = process.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let ids = children.split_whitespace();
    ids.map(|id| Pid::from_raw(id.parse().unwrap())).collect()
}

fn each_failure_is_told_from_the_others() {
    let kvm = Path::new("/dev/kvm").exists();
    if !kvm {
        note("without /dev/kvm here, one that does not work is not tried".to_owned());
    }
    let failures = FAILURES
        .iter()
        .filter(|failure| kvm || !failure.what.contains("kvm"));
    let mut count = 0;
    for failure in failures {
        let work = work("failure");
        for directory in ["bin", "build", "tmp"] {
            fs::create_dir_all(work.join(directory)).unwrap();
        }
        // Whether KVM works is known, but to the first of them.
        let known = Path::new("build/kvm");
        if known.exists() && !failure.what.contains("kvm") {
            fs::copy(known, work.join("build/kvm")).unwrap();
        }
        let qemu = work.join("bin/qemu-system-x86_64");
        fs::write(&qemu, format!("#!/bin/sh\n{}\n", failure.qemu)).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut child = boot_command()
            .arg("--fresh")
            .args(failure.arguments)
            .env("PATH", format!("{}/bin:{path}", work.display()))
            .env("QEMU", "/usr/bin/qemu-system-x86_64")
            .env("TMPDIR", work.join("tmp"))
            .current_dir(&work)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        first_line(&mut child);
        if failure.killed {
            for child in children(&child) {
                kill(child, Signal::SIGKILL).unwrap();
            }
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let what = failure.what;
        assert_eq!(output.status.code(), Some(failure.status), "{what}: {said}");
        assert!(said.contains(failure.said), "{what}: {said}");
        // Nothing runs that was given a file of this guest, and its files are gone.
        let tmp = work.join("tmp");
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "{what}");
        for process in fs::read_dir("/proc").unwrap() {
            let line = fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            assert!(!line.contains(tmp.to_str().unwrap()), "{what}: {line}");
        }
        count += 1;
    }
    figure(
        "S21",
        "{} of guests and of QEMU, each told from the others",
        // The one that can't be tried is none that was not told.
        &[
            Limit::exactly(count, FAILURES.len(), "failures").or_else(Limit::least(
                count,
                FAILURES.len() - 1,
                "failures",
            )),
        ],
    );
}

fn killed_boot_leaves_no_guest() {
    let work = work("killed");
    let mut child = boot_command()
        .args(["--", "sh", "-c", "echo up; sleep 1000"])
        .env("TMPDIR", &work)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(first_line(&mut child), "up\n");
    let guest = children(&child);
    assert_eq!(guest.len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    while kill(guest[0], None).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "QEMU still runs");
        thread::sleep(Duration::from_millis(10));
    }
}

fn options() {
    let script = work("options").join("script");
    fs::write(&script, "#!/bin/sh\nnproc; cat /proc/cmdline\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o751)).unwrap();
    let script = script.display();
    let commands = "stat -c '%a %n' script /etc/deep/other; ls; \
        ./script | grep -o '^1$\\|one.two=three'; \
        test $(awk '/MemTotal/ {print $2}' /proc/meminfo) -lt 307200";
    let output = boot(&[
        "--smp",
        "1",
        "--memory",
        "300",
        "--append",
        "one.two=three",
        "--file",
        &format!("{script}"),
        "--file",
        &format!("{script}:/etc/deep/other"),
        "--",
        "sh",
        "-c",
        commands,
    ]);
    let expected = "751 script\n751 /etc/deep/other\nscript\n1\none.two=three\n";
    assert_ends(&output, 0, expected, "");
}

fn root_of_ones_own() {
    let root = work("root");
    // A program of the guest's, and the libraries that it needs, as ldd names them.
    let busybox = "/guest/usr/bin/busybox";
    let ldd = Command::new("ldd").arg(busybox).output().unwrap();
    let libraries = String::from_utf8(ldd.stdout).unwrap();
    let libraries = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for (from, to) in libraries
        .map(|library| (library, library))
        .chain([(busybox, "/usr/bin/busybox")])
    {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    fs::create_dir(root.join("private")).unwrap();
    fs::set_permissions(root.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    let root = root.to_str().unwrap();

    let output = boot(&[
        "--root", root, "--", "busybox", "stat", "-c", "%a", "/private",
    ]);
    assert_ends(&output, 0, "700\n", "");
    // Otherwise the guest has it.
    let not_there = boot(&["--root", root, "--", "strace"]);
    assert_ends(&not_there, 127, "", "strace: not found");
}

fn by_a_bios_or_as_it_is_linked() {
    // The version of the boot protocol: the kernel's file has the newest, and PVH brings an older one.
    let version = ["cat", "/sys/kernel/boot_params/version"];
    let by_bios = boot(&["--bios", "--", version[0], version[1]]);
    let linked = boot(&["--", version[0], version[1]]);
    assert_ends(&by_bios, 0, "0x020f\n", "");
    assert_ends(&linked, 0, "0x020c\n", "");
}

fn goes_on_where_one_was_kept() {
    let work = work("kept");
    let up = work.join("build/up");
    fs::create_dir_all(work.join("build")).unwrap();
    let known = Path::new("build/kvm");
    if known.exists() {
        fs::copy(known, work.join("build/kvm")).unwrap();
    }
    let file = work.join("file");
    let boot = |options: &[&str], text: &str| {
        fs::write(&file, text).unwrap();
        let script = "cat file /proc/sys/kernel/random/uuid; date +%s";
        let mut boot = boot_command();
        boot.current_dir(&work).args(options);
        boot.arg(format!("--file={}", file.display()));
        let said = run(boot.args(["--", "sh", "-c", script]));
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let mut lines = said.stdout.lines().map(str::to_owned);
        assert_eq!(lines.next().as_deref(), Some(text.trim_end()));
        let uuid = lines.next().unwrap();
        // It knows what time it is.
        let then =
            SystemTime::UNIX_EPOCH + Duration::from_secs(lines.next().unwrap().parse().unwrap());
        assert!(then.elapsed().unwrap_or_default() < Duration::from_secs(600));
        // When its kernel has started PID 1.
        let log = fs::read_to_string(work.join("build/console.log")).unwrap();
        let started = log
            .lines()
            .find(|line| line.contains("Run /init as init process"));
        (started.unwrap().to_owned(), uuid, said.stderr)
    };
    let states = || {
        let files = fs::read_dir(&up).into_iter().flatten();
        let paths = files.map(|file| file.unwrap().path());
        let states: Vec<_> = paths
            .filter(|path| !path.ends_with(".log") && path.extension().unwrap() != "log")
            .collect();
        states
    };
    let fresh = boot(&["--fresh"], "one\n");
    assert_eq!(states().len(), 0);
    let first = boot(&[], "two\n");
    assert_ne!(first.0, fresh.0);
    let [state] = &states()[..] else {
        panic!("{:?}", states())
    };
    // It is the same kernel, which has not booted again, but other files, and other random numbers.
    let second = boot(&[], "three\n");
    assert_eq!(second.0, first.0);
    assert_ne!(second.1, first.1);
    let third = boot(&[], "four\n");
    assert_eq!(third.0, first.0);
    assert_ne!(third.1, second.1);
    // What is not as usual boots, and so does one where the one that is kept can't be read.
    assert_ne!(boot(&["--append=one.two=three"], "five\n").0, first.0);
    fs::write(state, "damaged").unwrap();
    let again = boot(&[], "six\n");
    assert!(
        again.2.contains("the guest that was kept does not go on"),
        "{}",
        again.2
    );
    assert_ne!(again.0, first.0);
    assert_eq!(boot(&[], "seven\n").0, again.0);
}

fn icount_means_one_cpu() {
    assert_ends(
        &boot(&["--icount", "--smp", "2", "--", "nproc"]),
        0,
        "1\n",
        "",
    );
}

fn files_and_directories() {
    let directory = work("directory");
    fs::create_dir(directory.join("deep")).unwrap();
    fs::write(directory.join("deep/file"), "deep\n").unwrap();
    std::os::unix::fs::symlink("deep/file", directory.join("link")).unwrap();
    let directory = directory.to_str().unwrap();
    let output = boot(&[
        "--file",
        directory,
        "--file",
        &format!("{directory}:/etc/other"),
        "--",
        "sh",
        "-c",
        "cat directory/deep/file /etc/other/link; readlink /etc/other/link",
    ]);
    assert_ends(&output, 0, "deep\ndeep\ndeep/file\n", "");
}

fn builds_modules_of_others() {
    let module = |name| format!("tests/harness/modules/{name}");
    let commands = "ls; insmod hello.ko && dmesg | grep -o 'Hello.*'";
    let output = qemu_boot(&[
        "--build",
        &module("hello"),
        "--build",
        &module("stuck"),
        "--",
        "sh",
        "-c",
        commands,
    ]);
    assert_ends(&output, 0, "hello.ko\nstuck.ko\nHello, world\n", "");
    let left: Vec<_> = fs::read_dir(module("hello")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");

    // The first error, and nothing that comes of it.
    let broken = qemu_boot(&["--build", &module("broken"), "--", "true"]);
    assert_ends(&broken, 126, "", "error: 'first' undeclared");
    let said = &broken.stderr;
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
}

fn bad_options() {
    let no_file = qemu_boot(&["--file", "/no/such/file", "--", "true"]);
    assert_ends(&no_file, 126, "", "/no/such/file: there is no such file");
    let no_root = qemu_boot(&["--root", "/no/such/directory", "--", "true"]);
    assert_ends(
        &no_root,
        126,
        "",
        "/no/such/directory: there is no such directory",
    );
    // Where there is a directory, a file can't be: the guest says so, and is not asked again.
    let no_place = qemu_boot(&["--fresh", "--file", "/etc/hostname:/etc", "--", "true"]);
    assert_ends(&no_place, 126, "", "its init failed: /etc: Is a directory");
    let said = &no_place.stderr;
    assert!(!said.contains("once more"), "{said}");
    // QEMU says so, and is not asked again.
    let no_cpu = boot(&["--smp", "0", "--", "true"]);
    assert_ends(&no_cpu, 126, "", "Invalid CPU topology");
    assert!(!no_cpu.stderr.contains("once more"), "{}", no_cpu.stderr);
    // A shell takes a terminal, which a test does not have.
    assert_ends(&qemu_boot(&[]), 126, "", "that takes a terminal");
    assert_ends(
        &qemu_boot(&["--smp", "many", "--", "true"]),
        2,
        "",
        "invalid value 'many'",
    );
    assert_ends(&qemu_boot(&["--timeout"]), 2, "", "a value is required");
    assert_ends(
        &qemu_boot(&["--tiemout", "3"]),
        2,
        "",
        "qemu/boot: there is no option --tiemout; there is --timeout;",
    );
    assert_ends(
        &qemu_boot(&["--kernel", "minix"]),
        2,
        "",
        "qemu/boot: no kernel 'minix'",
    );
    assert_ends(
        &qemu_boot(&["--build", "/tmp"]),
        126,
        "",
        "neither a Kbuild",
    );
}
