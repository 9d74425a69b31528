// SPDX-License-Identifier: GPL-2.0

//! What others have written to use files, or to find faults in a kernel, with those of the module among what it works on:
//! `guest suites`, in a guest that has these programs. tests/suites/suites.rs starts it, once for each test.
//!
//! What reaches the module is counted by kprobes on procfs's own callbacks, by the names of files, where the kernel has them;
//! elsewhere by `stats`: draws, stores, clears and calls that failed. `qemu/boot` sees what the kernel complains of, and, on a
//! kernel that checks itself, what memory is left.

use crate::module::{
    CONTROL, Done, FORTUNE, Module, assert_cat, by_kernel, cat, echo, set, stats, store,
};
use ktap::{Declaration, Limit, amount, figure, note, skip};
use nix::unistd::{Uid, chown};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

ktap::tests!(suites, Guest:
    everyday_tools,
    walkers,
    stress_ng,
    selftests,
    trinity,
    perf needs(Kprobes),
    bpftrace needs(Kprobes),
);

/// `guest suites VERB TEST`
pub(crate) fn run(words: &[&str], lacks: impl Fn(&Declaration) -> Option<String>) -> ExitCode {
    let (verb, names) = words.split_first().unwrap_or((&"list", &[]));
    ktap::program(verb, names, tests(), lacks).unwrap_or(ExitCode::from(2))
}

/// The files of the module.
const FILES: [&str; 6] = ["fortune", "pot", "stats", "order", "when_full", "clear"];

/// The callbacks by which procfs calls a module, and where each has the open file.
const CALLBACKS: [(&str, &str); 8] = [
    ("open", "$arg2"),
    ("read", "$arg1"),
    ("read_iter", "+0($arg1)"),
    ("write", "$arg1"),
    ("llseek", "$arg1"),
    ("poll", "$arg1"),
    ("unlocked_ioctl", "$arg1"),
    ("mmap", "$arg1"),
];

const TRACING: &str = "/sys/kernel/tracing";

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// The module, while a program works on its files.
struct Suite {
    module: Module,
    begun: Instant,
    /// What `stats` counts.
    before: u64,
    /// Calls that are counted too, and are the test's.
    own: AtomicU64,
}

impl Suite {
    /// Loads it, and counts from now on.
    fn begin() -> Self {
        let module = Module::load("pot_size=65536");
        three();
        if traces() {
            let probes = CALLBACKS
                .map(|(name, file)| format!("p:suites/{name} proc_reg_{name} name={file}:%pD\n"));
            fs::write(format!("{TRACING}/kprobe_events"), probes.concat()).unwrap();
            let ours = FILES.map(|name| format!("name == \"{name}\"")).join(" || ");
            for (name, _) in CALLBACKS {
                let event = format!("{TRACING}/events/suites/{name}");
                fs::write(
                    format!("{event}/trigger"),
                    format!("hist:keys=name if {ours}"),
                )
                .unwrap();
            }
        }
        Self {
            module,
            begun: Instant::now(),
            before: counted(),
            own: AtomicU64::new(0),
        }
    }

    /// How many calls of others have reached it.
    fn calls(&self) -> u64 {
        let all = if traces() {
            let files = CALLBACKS.iter().flat_map(|(name, _)| traced(name));
            files.map(|(_, count)| count).sum()
        } else {
            counted() - self.before
        };
        all - self.own.load(Ordering::Relaxed)
    }

    /// Puts the three fortunes there again.
    fn three(&self) {
        three();
        self.own.fetch_add(by(10, 4), Ordering::Relaxed);
    }

    /// What changes meanwhile: fortunes come and leave, the order changes, and the pot is emptied now and then.
    fn stores_until(&self, done: &AtomicBool) {
        set("when_full", "evict").unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut own = by(2, 0);
        while !done.load(Ordering::Relaxed) {
            echo(&"x".repeat(random.usize(1..3000)));
            let orders = ["sequential", "random", "shuffle"];
            set("order", orders[random.usize(..3)]).unwrap();
            own += by(4, 1);
            if random.u8(..) == 0 {
                set("clear", "1").unwrap();
                own += by(2, 1);
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.own.fetch_add(own, Ordering::Relaxed);
    }

    /// Says what was done, and sees that the module is still what it should be.
    fn end(self, what: &str, least: u64) {
        let seconds = self.begun.elapsed().as_secs();
        let calls = self.calls();
        if traces() {
            for (name, _) in CALLBACKS {
                let files = traced(name);
                if !files.is_empty() {
                    note(format!("{name}: {files:?}"));
                }
                let trigger = format!("{TRACING}/events/suites/{name}/trigger");
                fs::write(trigger, "!hist:keys=name").unwrap();
            }
            fs::write(format!("{TRACING}/kprobe_events"), "").unwrap();
        }
        note(format!("stats: {:?}", stats()));
        holds();
        self.module.unload();
        assert!(!Path::new(FORTUNE).exists() && !Path::new(CONTROL).exists());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let unit = match traces() {
            true => "calls",
            false => "draws, stores and calls that failed",
        };
        figure(
            "S32",
            &format!("{}, {what}, {seconds} s: {{}}", release.trim()),
            &[Limit::least(calls, least, unit)],
        );
    }
}

/// What is counted if calls are counted one by one, an open and a write for each write of the test's; and otherwise.
fn by(calls: u64, stats: u64) -> u64 {
    if traces() { calls } else { stats }
}

/// Whether calls can be counted one by one.
fn traces() -> bool {
    Path::new(TRACING).join("kprobe_events").exists()
}

/// How often a callback was called, for each file.
fn traced(callback: &str) -> BTreeMap<String, u64> {
    let hist = fs::read_to_string(format!("{TRACING}/events/suites/{callback}/hist")).unwrap();
    // { name: fortune      } hitcount:          2
    let line = |line: &str| {
        let (name, count) = line.strip_prefix("{ name: ")?.split_once("} hitcount:")?;
        Some((name.trim().to_owned(), count.trim().parse().ok()?))
    };
    hist.lines().filter_map(line).collect()
}

/// What of calls can be seen in `stats`.
fn counted() -> u64 {
    let stats = stats();
    let names = ["draws", "stores", "clears", "nospace", "faults", "nomem"];
    names.iter().map(|name| stats[*name]).sum()
}

/// Puts three fortunes into the pot, of which the first one comes next.
fn three() {
    set("when_full", "reject").unwrap();
    set("order", "random").unwrap();
    set("order", "sequential").unwrap();
    set("clear", "1").unwrap();
    store(b"one\n%\ntwo\n%\nthree\n").unwrap();
}

/// What is promised, whatever was done before, and that nobody has left anything.
fn holds() {
    three();
    for text in ["one\n", "two\n", "three\n", "one\n"] {
        assert_cat(text);
    }
    let stats = stats();
    let now = ["pot_size", "used", "reserved", "fortunes"].map(|name| stats[name]);
    assert_eq!(now, [65536, 14, 0, 3]);
}

/// How a command ends, and what it says.
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run_to_its_end(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        status: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("HOME", "/tmp")
        .current_dir("/tmp");
    command
}

/// As NOBODY.
fn unprivileged(script: &str) -> Command {
    let mut command = shell(script);
    command.uid(NOBODY).gid(NOBODY);
    command
}

/// So long a program is to go on.
fn time() -> Duration {
    Duration::from_secs(amount(20, 600))
}

/// Stores meanwhile.
fn while_stored<T>(suite: &Suite, f: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let storing = scope.spawn(|| suite.stores_until(&done));
        let result = {
            let _done = Done(&done);
            f()
        };
        storing.join().unwrap();
        result
    })
}

/// Lets each command run, over and over, until the time is over, all at once, and stores meanwhile. Says how often they have
/// come to their ends.
fn over_and_over(suite: &Suite, commands: &[fn() -> Command]) -> usize {
    let begun = Instant::now();
    let until_it_is_over = |command: fn() -> Command| {
        let mut times = 0;
        while begun.elapsed() < time() {
            run_to_its_end(&mut command());
            times += 1;
        }
        times
    };
    while_stored(suite, || {
        thread::scope(|scope| {
            let threads: Vec<_> = commands
                .iter()
                .map(|&command| scope.spawn(move || until_it_is_over(command)))
                .collect();
            let times = threads.into_iter().map(|thread| thread.join().unwrap());
            times.sum()
        })
    })
}

/// What a person does with a file; the status with which each ends, and what it prints in the end. The pot has one, two and three
/// each time. Root may open `clear` for reading, and procfs says EIO to who reads it.
const EVERYDAY: [(&str, i32, &str); 24] = [
    ("cat /proc/fortune /proc/fortune", 0, "one\ntwo\n"),
    ("dd if=/proc/fortune bs=1", 0, "one\n"),
    (
        "echo dd | dd of=/proc/fortune bs=1; tail -n 2 pot",
        0,
        "dd\n%\n",
    ),
    (
        "echo tee | tee /proc/fortune; tail -n 2 pot",
        0,
        "tee\ntee\n%\n",
    ),
    ("cp /proc/fortune copy; cat copy", 0, "one\n"),
    ("cp -a /proc/fortune copy; cat copy", 0, "one\n"),
    (
        "cp fortunes /proc/fortune; tail -n 4 pot",
        0,
        "four\n%\nfive\n%\n",
    ),
    (
        "cp -r /proc/driver/fortune copies; echo $?; cat copies/order",
        0,
        "1\n[sequential] random shuffle\n",
    ),
    (
        "head -c 2 /proc/fortune; tail -n +2 pot | head -n 1; wc -l < pot",
        0,
        "onone\n7\n",
    ),
    ("sort pot | uniq -c | sort -n | tail -n 1", 0, "4 %\n"),
    (
        "md5sum < pot | cut -c 1-8; od -c /proc/fortune | head -n 1",
        0,
        "o   n   e  \\n\n",
    ),
    (
        "grep -r one /proc/fortune /proc/driver/fortune",
        2,
        "pot:one\n",
    ),
    (
        "grep -c . pot /proc/fortune stats",
        0,
        "pot:7\n/proc/fortune:1\nstats:11\n",
    ),
    (
        "find /proc/fortune /proc/driver/fortune -type f -size 0 | wc -l",
        0,
        "6\n",
    ),
    // Of size 0 is what is empty, to them, or what a file was cut to, as with any other file there.
    (
        "tar -cf all.tar /proc/fortune /proc/driver/fortune; tar -tf all.tar | wc -l",
        0,
        "7\n",
    ),
    (
        "rsync -a /proc/fortune /proc/driver/fortune copied; cat copied/fortune/pot | wc -c",
        0,
        "0\n",
    ),
    (
        "timeout 60 tail -f /proc/fortune | head -n 2",
        0,
        "one\ntwo\n",
    ),
    (
        "timeout 60 tail -f order 2>&1 | head -n 2",
        0,
        "[sequential] random shuffle\ntail: order: file truncated\n",
    ),
    (
        "tar -C in -cf - fortune | tar -C /proc -xf - --overwrite; tail -n 2 pot",
        0,
        "in\n%\n",
    ),
    (
        "rsync --inplace in/fortune /proc/fortune; tail -n 2 pot",
        0,
        "in\n%\n",
    ),
    ("less -f pot stats < /dev/null | grep -c .", 0, "18\n"),
    // It has looked whether it can be shown first.
    ("less -f /proc/fortune < /dev/null", 0, "two\n"),
    (
        "vim.basic -u NONE -es -c 'w! seen' -c q /proc/fortune; cat seen",
        0,
        "one\n",
    ),
    // There is no fsync in procfs.
    (
        "vim.basic -u NONE -es -c 'set nofsync' -c 'normal Svim' -c wq! /proc/fortune; tail -n 2 pot",
        0,
        "vim\n%\n",
    ),
];

fn everyday_tools() {
    let suite = Suite::begin();
    let begun = Instant::now();
    let mut times = 0;
    // In soak again and again.
    while times == 0 || begun.elapsed() < amount(Duration::ZERO, time()) {
        for (script, status, says) in EVERYDAY {
            suite.three();
            let prepared = "rm -rf /tmp/tools; mkdir -p /tmp/tools/in; cd /tmp/tools; ln -s /proc/driver/fortune/* .; \
                            printf 'four\\n%%\\nfive\\n' > fortunes; echo in > in/fortune;";
            let done = run_to_its_end(&mut shell(&format!("{prepared} {script}")));
            assert!(
                done.status == Some(status) && done.stdout.ends_with(says),
                "{script}: {:?}, {}{}",
                done.status,
                done.stdout,
                done.stderr
            );
        }
        times += EVERYDAY.len();
    }
    suite.end(&format!("{times} commands of everyday tools"), 20);
}

/// Whole trees. Root takes the module's files only: to read kmsg waits for the next line. Another user takes all of /proc but the
/// directories of processes, whose files come and go, and some of which, such as pagemap, take hours.
fn walkers() {
    let suite = Suite::begin();
    let times = over_and_over(
        &suite,
        &[
            || {
                unprivileged(
                    "find /proc -path '/proc/[0-9]*' -prune -o -type f -readable -exec cat {} + > /dev/null",
                )
            },
            || unprivileged("busybox find /proc/[a-z]* -type f -exec busybox cat {} + > /dev/null"),
            || unprivileged("grep -rs --exclude-dir='[0-9]*' fortune /proc > /dev/null"),
            || {
                shell(
                    "busybox find /proc/fortune /proc/driver -type f -exec busybox dd bs=7 if={} ';' > /dev/null",
                )
            },
            || {
                shell(
                    "busybox grep -r one /proc/fortune /proc/driver; ls -lR /proc/driver; du /proc/driver",
                )
            },
        ],
    );
    suite.end(
        &format!("{times} walks by find, grep, cat and ls, by root and others"),
        5,
    );
}

/// What a script begins with for a /proc that has nothing but the files of the module: a program that takes all of /proc takes
/// them only, and spoils nothing else.
const ONLY: &str = "mkdir -p /tmp/only && mount -t tmpfs only /tmp/only && mkdir -p /tmp/only/driver/fortune && \
    touch /tmp/only/fortune && mount --bind /proc/fortune /tmp/only/fortune && \
    mount --bind /proc/driver/fortune /tmp/only/driver/fortune && mount --rbind /tmp/only /proc && ";

/// Its other stressors take no files: `dev` says of them that they are no devices.
fn stress_ng() {
    let seconds = time().as_secs();
    let suite = Suite::begin();
    let ended = while_stored(&suite, || {
        run_to_its_end(&mut shell(&format!(
            "exec unshare -m sh -c \"{ONLY} exec stress-ng --procfs 4 --timeout {seconds} --temp-path /tmp --verbose\""
        )))
    });
    let said = ended.stdout + &ended.stderr;
    assert!(
        ended.status == Some(0) && said.contains("passed: 4: procfs (4)"),
        "{said}"
    );
    suite.end("stress-ng --procfs 4", 100);
}

/// Those of /proc, as the kernel's source has them. One that fails without the module too is none of ours.
fn selftests() {
    let tests = fs::read_dir("/usr/libexec/selftests").unwrap();
    let mut tests: Vec<_> = tests.map(|test| test.unwrap().path()).collect();
    tests.sort();
    let passes = |test: &Path| {
        let done = run_to_its_end(Command::new("timeout").arg("300").arg(test));
        (done.status == Some(0))
            .then_some(())
            .ok_or((done.status, done.stdout + &done.stderr))
    };
    let suite = Suite::begin();
    let (passed, failed): (Vec<_>, Vec<_>) = tests.iter().partition(|test| passes(test).is_ok());
    // The one that opens, seeks and reads all of /proc.
    let begun = Instant::now();
    let mut times = 1;
    while begun.elapsed() < time() {
        passes(Path::new("/usr/libexec/selftests/read")).unwrap();
        times += 1;
    }
    suite.end(
        &format!(
            "{} of the kernel's {} selftests of /proc passed, {times} times read",
            passed.len(),
            tests.len()
        ),
        times,
    );
    for test in failed {
        let (status, said) = passes(test).expect_err("it passes without the module");
        note(format!(
            "fails without the module too: {}: {status:?} {said}",
            test.display()
        ));
    }
    assert!(passed.len() > tests.len() / 2);
}

/// Calls that take an open file, of which it has only those that it is given. Not chmod, by which it would take them from itself;
/// nor what waits for time to pass, or for locks.
const TRINITY: [&str; 29] = [
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "lseek",
    "poll",
    "fcntl",
    "ioctl",
    "sendfile",
    "splice",
    "tee",
    "vmsplice",
    "ftruncate",
    "fallocate",
    "copy_file_range",
    "readahead",
    "fsync",
    "fdatasync",
    "epoll_ctl",
    "dup",
    "mmap",
    "fadvise64",
    "getdents",
];

/// How trinity itself ends says nothing.
fn trinity() {
    let suite = Suite::begin();
    let number = amount(by_kernel(5000, 1000), 200_000);
    let calls = TRINITY.map(|call| format!("-c {call}")).join(" ");
    let owner = Some(Uid::from_raw(NOBODY));
    for file in FILES.map(path) {
        chown(file.as_str(), owner, None).unwrap();
    }
    set("when_full", "evict").unwrap();
    fs::create_dir_all("/tmp/trinity").unwrap();
    chown("/tmp/trinity", owner, None).unwrap();
    for victims in [FORTUNE, CONTROL] {
        let before = suite.calls();
        let done = run_to_its_end(&mut unprivileged(&format!(
            "cd /tmp/trinity; exec timeout 3600 trinity -q -l off -s 1 --enable-fds=pseudo {calls} -V {victims} -N {number} -C 4"
        )));
        let last = done
            .stdout
            .lines()
            .filter(|line| line.contains("Ran"))
            .next_back();
        note(format!(
            "{victims}: {:?} {}",
            done.status,
            last.unwrap_or_default()
        ));
        assert!(last.is_some(), "{}{}", done.stdout, done.stderr);
        assert!(suite.calls() > before, "{}", done.stdout);
    }
    for file in FILES.map(path) {
        chown(file.as_str(), Some(Uid::from_raw(0)), None).unwrap();
    }
    suite.end(&format!("trinity, twice {number} calls"), 100);
}

fn path(file: &str) -> String {
    match file {
        "fortune" => FORTUNE.to_owned(),
        _ => format!("{CONTROL}/{file}"),
    }
}

fn perf() {
    let suite = Suite::begin();
    // As many as were made, and not one more.
    let done = run_to_its_end(&mut shell(
        // `read` alone is a word of perf's own.
        "perf stat -x, -e suites:* dd if=/proc/fortune of=/dev/null bs=1",
    ));
    assert!(done.stderr.contains("5,,suites:read,"), "{}", done.stderr);
    let times = amount(20, 1000);
    store(&[b'x'; 60000]).unwrap();
    let done = run_to_its_end(&mut shell(&format!(
        "perf record -q -g -F 199 -e cpu-clock -o /tmp/perf.data sh -c \
            'i=0; while [ $i -lt {times} ]; do dd if=/proc/fortune of=/dev/null bs=1 2> /dev/null; i=$((i + 1)); done'; \
         perf script -i /tmp/perf.data | grep -c '_7fortune'"
    )));
    let frames: usize = done.stdout.trim().parse().unwrap_or(0);
    assert!(frames > 0, "{}{}", done.stdout, done.stderr);
    let what = format!("perf stat and perf record, {frames} frames of ours in samples");
    suite.end(&what, 60_000);
}

fn bpftrace() {
    if !Path::new("/usr/bin/bpftrace").exists() {
        skip("this guest has no bpftrace");
    }
    let suite = Suite::begin();
    let script = "kprobe:proc_reg_read /comm == \"dd\"/ { @reads = count(); } \
                  kretprobe:proc_reg_read /comm == \"dd\"/ { @bytes = sum(retval); }";
    let times = amount(1, 20);
    for _ in 0..times {
        suite.three();
        let done = run_to_its_end(Command::new("bpftrace").args([
            "-e",
            script,
            "-c",
            "/usr/bin/dd if=/proc/fortune of=/dev/null bs=1",
        ]));
        assert!(
            done.stdout.contains("@reads: 5\n") && done.stdout.contains("@bytes: 4\n"),
            "{}{}",
            done.stdout,
            done.stderr
        );
    }
    assert_eq!(cat(), b"two\n");
    suite.end(
        &format!("bpftrace, which counts the reads of {times} dd"),
        5,
    );
}
