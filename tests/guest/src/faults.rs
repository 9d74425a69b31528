// SPDX-License-Identifier: GPL-2.0

//! Allocations and copies that fail when they are told to (Documentation/fault-injection/fault-injection.rst): the
//! errors are clean, nothing has changed, and the next call works.

use crate::{
    coverage,
    module::{CONTROL, FORTUNE, KernelLog, Module, control, open, pot, set, stats, store},
};
use ktap::{Limit, amount, figure, log, note, progress};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open as open_at},
    sys::{stat::Mode, uio::pread},
    unistd::{close, read, write},
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    os::{
        fd::{IntoRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

ktap::tests!(faults, Guest, Once, FaultInjection:
    nth_of_every_call,
    nth_of_loading,
    at_random,
);

/// What can be made to fail: allocations of objects and of pages, and copies to and from user space.
const INJECTORS: [&str; 3] = ["failslab", "fail_page_alloc", "fail_usercopy"];

/// A file of debugfs.
fn injector(name: &str, file: &str) -> PathBuf {
    Path::new("/sys/kernel/debug").join(name).join(file)
}

/// Lets all allocations fail, those that may wait and those of user memory too, and says how loudly.
fn set_up(verbose: &str) {
    fs::write(injector("failslab", "ignore-gfp-wait"), "N").unwrap();
    fs::write(injector("fail_page_alloc", "ignore-gfp-wait"), "N").unwrap();
    fs::write(injector("fail_page_alloc", "ignore-gfp-highmem"), "N").unwrap();
    fs::write(injector("fail_page_alloc", "min-order"), "0").unwrap();
    for name in INJECTORS {
        fs::write(injector(name, "verbose"), verbose).unwrap();
    }
}

/// While this is there, the kernel log is not copied to the console, which is slow, but for errors.
struct Quiet(String);

impl Quiet {
    const LEVEL: &str = "/proc/sys/kernel/printk";

    fn new() -> Self {
        let before = fs::read_to_string(Self::LEVEL).unwrap();
        fs::write(Self::LEVEL, "4").unwrap();
        Self(before)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = fs::write(Self::LEVEL, &self.0);
    }
}

/// While this is there, only what code of modules has called fails.
struct OnlyModules;

impl OnlyModules {
    fn new() -> Self {
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
        let end = symbols
            .lines()
            .find(|line| line.ends_with(" _end"))
            .unwrap();
        let end = end.split(' ').next().unwrap();
        // Modules lie between the kernel and this (MODULES_END in Documentation/arch/x86/x86_64/mm.rst).
        Self::set(&format!("0x{end}"), "0xffffffffff000000");
        Self
    }

    fn set(start: &str, end: &str) {
        for name in INJECTORS {
            fs::write(injector(name, "require-start"), start).unwrap();
            fs::write(injector(name, "require-end"), end).unwrap();
        }
    }
}

impl Drop for OnlyModules {
    fn drop(&mut self) {
        Self::set("0", "0xffffffffffffffff");
    }
}

/// The n-th of what could fail in the calls of this thread does, for each n.
struct Sweep {
    nth: File,
    log: KernelLog,
    _quiet: Quiet,
    _only: OnlyModules,
    /// The stacks in which something failed, up to the first function of the module, and how often.
    sites: BTreeMap<String, usize>,
    /// How many failures there were in each function of the module, or in what it called.
    functions: BTreeMap<String, usize>,
    /// How many failures were in stacks without one.
    elsewhere: usize,
    /// How many were of allocations that want nothing in the log, as those of the module do.
    silent: usize,
}

impl Sweep {
    fn new() -> Self {
        set_up("2");
        let nth = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth");
        Self {
            nth: nth.unwrap(),
            log: KernelLog::new(),
            _quiet: Quiet::new(),
            _only: OnlyModules::new(),
            sites: BTreeMap::new(),
            functions: BTreeMap::new(),
            elsewhere: 0,
            silent: 0,
        }
    }

    /// Calls `run` again and again, with the first fault in it, the second one and so on, until it has no more; `before`
    /// comes before each, and `after` after it, with the result, both without faults. Returns how many there were.
    fn each<P, R>(
        &mut self,
        before: impl Fn() -> P,
        run: impl Fn(&mut P) -> R,
        after: impl Fn(P, R, bool),
    ) -> usize {
        for n in 1.. {
            let mut prepared = before();
            self.log.said();
            self.nth.write_all_at(format!("{n}").as_bytes(), 0).unwrap();
            let result = run(&mut prepared);
            // The answer is the number of calls that were left, and can be made to fail itself.
            let mut left = [0; 20];
            let injected = match self.nth.read_at(&mut left, 0) {
                Ok(_) => left.starts_with(b"0"),
                Err(_) => false,
            };
            // The fault that is still to come can be in this.
            while self.nth.write_all_at(b"0", 0).is_err() {}
            if injected {
                self.count();
            }
            after(prepared, result, injected);
            if !injected {
                return n - 1;
            }
        }
        unreachable!("it would have run for ever")
    }

    /// Finds out from the kernel log where the fault was.
    fn count(&mut self) {
        let said = self.log.said();
        // What is not the stack of a fault belongs on the console, where the harness looks for complaints.
        let mut of_a_fault = false;
        for line in &said {
            of_a_fault |= line.contains("FAULT_INJECTION") || line.contains("vmalloc error");
            if !of_a_fault {
                log(3, line);
            }
            of_a_fault &= !line.contains("</TASK>");
        }
        if said.is_empty() {
            self.silent += 1;
            return;
        }
        // What is marked with a `?` was found on the stack, and need not be of these calls.
        let stack: Vec<_> = said
            .iter()
            .skip_while(|line| !line.contains("Call Trace"))
            .take_while(|line| !line.contains("</TASK>"))
            .filter_map(|line| line.trim().split_once("+0x"))
            .filter(|(function, _)| !function.contains([' ', ':']))
            .map(|(function, rest)| {
                let name = format!("{:#}", rustc_demangle::demangle(function));
                (name, rest.contains("[fortune]"))
            })
            .collect();
        let mut ours = stack.iter().filter(|(_, ours)| *ours).map(|(name, _)| name);
        let Some(of_module) = ours.next() else {
            self.elsewhere += 1;
            return;
        };
        for name in ours.chain([of_module]) {
            *self.functions.entry(name.clone()).or_default() += 1;
        }
        // The first of the kernel's functions that can fail.
        let of_kernel = stack
            .iter()
            .skip_while(|(name, _)| !name.starts_with("should_fail"))
            .find(|(name, _)| !name.starts_with("should_fail"))
            .map_or("?", |(name, _)| name);
        *self
            .sites
            .entry(format!("{of_kernel} < {of_module}"))
            .or_default() += 1;
    }

    /// How many failures there were in functions of the module with this in their name, or in what those called.
    fn hits(&self, name: &str) -> usize {
        let hits = self
            .functions
            .iter()
            .filter(|(ours, _)| ours.contains(name));
        hits.map(|(_, count)| count).sum()
    }

    /// Goes through `all` until there were failures in all of these functions of the module, each at least so often: the
    /// kernel's own bookkeeping takes memory now and then, and then the next n-th is not the next place. Shows where the
    /// failures were, and returns how many, and in how many of these functions.
    fn until(
        mut self,
        least: &[(&str, usize)],
        all: impl Fn(&mut Self) -> usize,
    ) -> (usize, usize) {
        let mut faults = 0;
        let mut rounds = 0..20;
        let hit = loop {
            let hit = least
                .iter()
                .filter(|(name, least)| self.hits(name) >= *least);
            let hit = hit.count();
            if hit == least.len() || rounds.next().is_none() {
                break hit;
            }
            faults += all(&mut self);
        };
        if hit < least.len() {
            note(format!("{:?}", self.functions));
        }
        for (site, count) in &self.sites {
            note(format!("{count} x {site}"));
        }
        note(format!("{} x without a stack (__GFP_NOWARN)", self.silent));
        note(format!(
            "{} x in stacks without a function of the module",
            self.elsewhere
        ));
        (faults, hit)
    }
}

/// All that a failed call must leave as it was.
fn state() -> (BTreeMap<String, u64>, Vec<u8>, String, String) {
    let mut stats = stats();
    for error in ["nospace", "faults", "nomem"] {
        stats.remove(error);
    }
    (stats, pot(), control("order"), control("when_full"))
}

fn assert_clean<T: std::fmt::Debug>(result: Result<T, Errno>) {
    match result {
        Err(Errno::ENOMEM | Errno::EFAULT) => {}
        other => panic!("{other:?}"),
    }
}

fn nth_of_every_call() {
    // Each that copies, but for those that the compiler may have inlined into them; what takes memory wants nothing in the
    // log.
    const LEAST: [(&str, usize); 5] = [
        ("VTable<fortune::dispenser::Fortune>>::read", 1),
        ("VTable<fortune::dispenser::Fortune>>::write", 1),
        (
            "fortune::control::Contents as fortune::proc_fs::operations::Operations>::read_iter",
            1,
        ),
        ("Setting<fortune::pot::Order>>>::write", 1),
        ("Setting<fortune::pot::WhenFull>>>::write", 1),
    ];
    let _module = Module::load("pot_size=1000000");
    let (faults, hit) = Sweep::new().until(&LEAST, every_call);
    figure(
        "S4",
        &format!("{faults} faults in calls, in {{}} of ours that copy: all clean"),
        &[Limit::exactly(hit, LEAST.len(), "functions")],
    );
}

/// With faults in each, in turn. Returns how many there were.
fn every_call(sweep: &mut Sweep) -> usize {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let mut faults = 0;

    // Opening.
    faults += sweep.each(
        state,
        |_| open_at(FORTUNE, flags, Mode::empty()),
        |before, result: Result<OwnedFd, Errno>, injected| {
            if injected && result.is_err() {
                assert_clean(result);
            } else {
                drop(result.unwrap());
            }
            assert_eq!(state(), before);
        },
    );

    // Reading: short and long, and the rest of either.
    for len in [10, 255, 256, 5000, 65536] {
        let text = vec![b'x'; len];
        faults += sweep.each(
            || {
                set("clear", "1").unwrap();
                store(&text).unwrap();
                (open(), vec![0; len + 2], state())
            },
            |(file, buffer, _)| read(file, buffer),
            |(file, mut buffer, before), result, injected| {
                if injected && result.is_err() {
                    assert_clean(result);
                    let drawn = stats()["draws"] - before.0["draws"];
                    assert!(drawn <= 1);
                    assert_eq!(pot(), before.1);
                    // The next one delivers.
                    assert_eq!(read(&file, &mut buffer), Ok(len + 1));
                } else {
                    assert_eq!(result, Ok(len + 1));
                }
                assert!(buffer[..len] == text && buffer[len] == b'\n');
                assert_eq!(stats()["draws"] - before.0["draws"], 1);
            },
        );
    }

    // Writing: of all sorts, on an open file where something is unfinished, or not.
    let many = "x\n%\n".repeat(1000);
    let long = "y".repeat(3000);
    for unfinished in ["", "unfinished", &long] {
        for text in [
            "short\n",
            "without",
            "a\n%\nb",
            &many,
            &long,
            &(long.clone() + "\n"),
        ] {
            faults += sweep.each(
                || {
                    set("clear", "1").unwrap();
                    let file = open();
                    write(&file, unfinished.as_bytes()).unwrap();
                    (file, state())
                },
                |(file, _)| write(&*file, text.as_bytes()),
                |(file, before), result, injected| {
                    if injected && result.is_err() {
                        assert_clean(result);
                        assert_eq!(state(), before);
                        assert_eq!(write(&file, text.as_bytes()), Ok(text.len()));
                    } else {
                        assert_eq!(result, Ok(text.len()));
                    }
                    drop(file);
                    let stored = pot();
                    let expected = format!(
                        "%\n{unfinished}{}\n%\n",
                        text.trim_end_matches('\n').trim_end_matches("\n%")
                    );
                    assert_eq!(String::from_utf8_lossy(&stored), expected);
                },
            );
        }
    }

    // Closing, which completes a fortune and can't fail.
    faults += sweep.each(
        || {
            set("clear", "1").unwrap();
            let file = open();
            write(&file, b"completed").unwrap();
            file.into_raw_fd()
        },
        |fd| close(*fd),
        |_, result, _| {
            assert_eq!(result, Ok(()));
            assert_eq!(pot(), b"%\ncompleted\n%\n");
        },
    );

    // The control files.
    for name in ["stats", "pot", "order", "when_full"] {
        let path = format!("{CONTROL}/{name}");
        let whole = fs::read(&path).unwrap();
        faults += sweep.each(
            state,
            |_| -> Result<Vec<u8>, Errno> {
                let file = open_at(
                    path.as_str(),
                    OFlag::O_RDONLY | OFlag::O_CLOEXEC,
                    Mode::empty(),
                )?;
                let mut buffer = vec![0; whole.len() + 100];
                let len = pread(&file, &mut buffer, 0)?;
                buffer.truncate(len);
                Ok(buffer)
            },
            |before, result, injected| {
                if injected && result.is_err() {
                    assert_clean(result);
                } else {
                    assert!(result.unwrap() == whole);
                }
                assert_eq!(state(), before);
            },
        );
    }
    for (name, word, shown) in [
        ("order", "shuffle\n", "sequential random [shuffle]\n"),
        ("when_full", "evict\n", "reject [evict]\n"),
    ] {
        let first = control(name);
        let first = first[first.find('[').unwrap() + 1..]
            .split(']')
            .next()
            .unwrap()
            .to_owned();
        faults += sweep.each(
            || {
                set(name, &first).unwrap();
                let path = format!("{CONTROL}/{name}");
                (OpenOptions::new().write(true).open(path).unwrap(), state())
            },
            |(file, _)| write(&*file, word.as_bytes()),
            |(file, before), result, injected| {
                if injected && result.is_err() {
                    assert_clean(result);
                    assert_eq!(state(), before);
                    assert_eq!(write(&file, word.as_bytes()), Ok(word.len()));
                } else {
                    assert_eq!(result, Ok(word.len()));
                }
                assert_eq!(control(name), shown);
            },
        );
        set(name, &first).unwrap();
    }
    faults += sweep.each(
        || {
            store(b"one\n").unwrap();
            OpenOptions::new()
                .write(true)
                .open(format!("{CONTROL}/clear"))
                .unwrap()
        },
        |file| write(&*file, b"1"),
        |_, result, _| {
            assert_eq!(result, Ok(1));
            assert_eq!(pot(), b"");
        },
    );

    faults
}

fn nth_of_loading() {
    // Control::new makes the directory and the five files in it.
    const LEAST: [(&str, usize); 3] = [
        ("fortune::dispenser::Dispenser>::new", 1),
        ("fortune::control::Control>::new", 6),
        ("fortune::proc_fs::entry::Dir>::make", 6),
    ];
    let (faults, hit) = Sweep::new().until(&LEAST, |sweep| {
        sweep.each(
            || File::open("fortune.ko").unwrap(),
            |file| Module::try_load_from("fortune", file, c"pot_size=100000"),
            |_, result, injected| match result {
                Ok(module) => {
                    coverage::loaded();
                    store(b"works\n").unwrap();
                    assert_eq!(pot(), b"%\nworks\n%\n");
                    module.unload();
                }
                Err(_) => {
                    assert!(injected);
                    assert!(!Path::new(FORTUNE).exists() && !Path::new(CONTROL).exists());
                }
            },
        )
    });
    figure(
        "S4",
        &format!("{faults} faults in insmod, in {{}} of ours: works or fails cleanly"),
        &[Limit::exactly(hit, LEAST.len(), "functions")],
    );
}

/// While this is there, one in a hundred fails of what could, in the tasks that ask for it.
struct AtRandom;

impl AtRandom {
    fn new() -> Self {
        // The filter first: without it what comes here can fail too, in this task and in every other.
        for (file, value) in [("task-filter", "Y"), ("times", "-1"), ("probability", "1")] {
            for name in INJECTORS {
                fs::write(injector(name, file), value).unwrap();
            }
        }
        Self
    }
}

impl Drop for AtRandom {
    fn drop(&mut self) {
        for (file, value) in [("probability", "0"), ("task-filter", "N")] {
            for name in INJECTORS {
                fs::write(injector(name, file), value).unwrap();
            }
        }
    }
}

fn at_random() {
    const THREADS: usize = 4;
    set_up("0");
    let calls = amount(50_000, 1_000_000);
    let _module = Module::load("pot_size=100000");
    set("when_full", "evict").unwrap();
    set("order", "shuffle").unwrap();
    let at_random = AtRandom::new();
    let done = &AtomicUsize::new(0);
    let failed: Vec<BTreeMap<String, usize>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| scope.spawn(move || work(worker as u64, calls / THREADS, done)))
            .collect();
        // Not one of them shows it, whose writes may fail.
        while !workers.iter().all(|worker| worker.is_finished()) {
            thread::sleep(Duration::from_millis(100));
            progress(done.load(Ordering::Relaxed), calls);
        }
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    drop(at_random);
    let mut all = BTreeMap::new();
    for (error, count) in failed.into_iter().flatten() {
        *all.entry(error).or_insert(0) += count;
    }
    assert_eq!(
        all.keys().collect::<Vec<_>>(),
        ["EFAULT", "ENOMEM"],
        "{all:?}"
    );
    // At rest nothing is reserved, and all that is there is whole.
    assert_eq!(stats()["reserved"], 0);
    let text = String::from_utf8(pot()).unwrap();
    for fortune in text.trim_start_matches("%\n").split_terminator("\n%\n") {
        assert!(is_whole(fortune), "{fortune:?}");
    }
    figure(
        "S5",
        &format!("{{}}, 1 % of allocations and copies failing: {all:?}"),
        &[Limit::amount(done.load(Ordering::Relaxed), calls, "calls")],
    );
}

/// A fortune that says how long it is.
fn fortune(len: usize) -> String {
    format!("{len}:{}", "f".repeat(len))
}

fn is_whole(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(len, _)| len.parse() == Ok(text.len() - len.len() - 1))
}

/// Draws a fortune, however many pieces it comes in.
fn draw<'a>(file: &File, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let mut len = pread(file, buffer, 0)?;
    while len > 0 {
        match pread(file, &mut buffer[len..], len as i64) {
            Ok(0) => break,
            Ok(count) => len += count,
            // The rest can still be read.
            Err(Errno::EFAULT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(&buffer[..len])
}

/// Calls of all sorts by a thread whose calls may fail; counts them, and the errors.
fn work(seed: u64, calls: usize, done: &AtomicUsize) -> BTreeMap<String, usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut errors = BTreeMap::new();
    let mut file = open();
    let mut buffer = vec![0; 1 << 17];
    let make_it_fail = File::create("/proc/thread-self/make-it-fail").unwrap();
    make_it_fail.write_all_at(b"1", 0).unwrap();
    for _ in 0..calls {
        done.fetch_add(1, Ordering::Relaxed);
        let len = if random.u8(..10) == 0 {
            random.usize(..40_000)
        } else {
            random.usize(..400)
        };
        let mut failed = None;
        match random.u8(..8) {
            0..3 => match draw(&file, &mut buffer) {
                Ok([]) => {}
                Ok(text) => {
                    let text = std::str::from_utf8(text).unwrap();
                    assert!(is_whole(text.trim_end()), "{text:.50?}");
                }
                Err(error) => failed = Some(error),
            },
            3..6 => failed = write(&file, (fortune(len) + "\n").as_bytes()).err(),
            // In two pieces: if the second one fails, the close drops the first.
            6 => {
                let text = fortune(len);
                let (first, second) = text.split_at(text.len() / 2);
                match write(&file, first.as_bytes()) {
                    Ok(_) => failed = write(&file, (second.to_owned() + "\n").as_bytes()).err(),
                    Err(error) => failed = Some(error),
                }
            }
            _ => {
                file = match open_at(FORTUNE, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
                    Ok(fd) => File::from(fd),
                    Err(error) => {
                        failed = Some(error);
                        file
                    }
                }
            }
        }
        if let Some(error) = failed {
            *errors.entry(format!("{error:?}")).or_insert(0) += 1;
            // What is unfinished is of no use any more.
            while let Err(error) = open_at(FORTUNE, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
                .map(|fd| file = File::from(fd))
            {
                *errors.entry(format!("{error:?}")).or_insert(0) += 1;
            }
        }
    }
    while make_it_fail.write_all_at(b"0", 0).is_err() {}
    errors
}
