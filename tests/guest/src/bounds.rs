// SPDX-License-Identifier: GPL-2.0

//! How long others wait for what is done with a large pot, and how long that takes.

use crate::module::{CONTROL, Done, Module, by_kernel, cat, open, pot, set, stat, stats, store};
use ktap::{Limit, amount, figure};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{
        signal::{Signal, kill},
        uio::pread,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

ktap::tests!(bounds, Guest:
    nobody_waits_for_long [R13],
    list_is_read_from_anywhere [C3 R13],
    list_goes_on_where_a_reader_was [C3 C5],
    writes_of_many_are_whole [W1 C8],
    killed_writers_leave_all_or_nothing [W1 W9 C8],
    byte_by_byte_is_linear [W6] needs(Stock),
);

/// What a wait does not reach in one of [`TRIES`], however slow the machine is that pretends to be this one.
const FOR_EVER: Duration = Duration::from_secs(1);

/// What a wait should not reach: one that does is looked at again.
const ENOUGH: Duration = Duration::from_millis(20);

/// The host may give a CPU to somebody else for that long, but not each time.
const TRIES: usize = 3;

/// A pot of so many MiB, in the gate, is full of fortunes of one byte.
fn size(gate: usize) -> usize {
    by_kernel(amount(gate << 20, 64 << 20), amount(1 << 20, 8 << 20))
}

/// Fills the pot with fortunes of one byte, by one write, or as few as the memory of the guest is enough for.
fn fill(size: usize) {
    let at_once = size.min(16 << 20);
    let texts = b"x\n%\n".repeat(at_once / 2);
    for _ in 0..size / at_once {
        assert_eq!(store(&texts), Ok(texts.len()));
    }
}

/// Keeps this thread on the first CPU.
fn stay_here() {
    let mut cpus = CpuSet::new();
    cpus.set(0).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
}

/// The longest that a draw has taken while `f` runs on the same CPU.
///
/// The reader goes before `f` as soon as it can run: what it waits for is the pot's lock, and not its turn, and on
/// one CPU the host has no part in that which would not be in both.
fn longest_wait(f: impl FnOnce() + Send) -> Duration {
    const PAUSE: Duration = Duration::from_micros(50);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            stay_here();
            let first = libc::sched_param { sched_priority: 1 };
            // SAFETY: It is read only.
            let status = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) };
            assert_eq!(status, 0);
            let (file, mut longest) = (open(), Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                pread(&file, &mut [0; 100], 0).unwrap();
                longest = longest.max(begun.elapsed());
                thread::sleep(PAUSE);
            }
            longest
        });
        scope.spawn(|| {
            stay_here();
            let _done = Done(&done);
            f();
        });
        reader.join().unwrap()
    })
}

/// How long a reader waits at most for each thing that is done with the pot, which has that size: of some tries the
/// least, since what the pot does it does each time.
fn waits(size: usize) -> Vec<(Duration, String)> {
    let long = vec![b'y'; 65536];
    let mut waits = Vec::new();
    let mut wait = |what: String, prepare: &dyn Fn(), f: &(dyn Fn() + Sync)| {
        let mut least = Duration::MAX;
        for _ in 0..TRIES {
            if least > ENOUGH {
                prepare();
                least = least.min(longest_wait(f));
            }
        }
        waits.push((least, what));
    };
    let clear = || {
        set("clear", "1").unwrap();
    };
    let full = || fill(size);
    for order in ["sequential", "random", "shuffle"] {
        set("order", order).unwrap();
        wait(format!("fill, {order}"), &clear, &full);
        // All leave, at once and one after the other.
        wait(format!("evict all, {order}"), &|| {}, &full);
        let still_full = || {
            if stat("fortunes") != size as u64 / 2 {
                full();
            }
        };
        wait(format!("evict some, {order}"), &still_full, &|| {
            for _ in 0..size / 65537 {
                assert_eq!(store(&long), Ok(long.len()));
            }
        });
        wait(format!("clear, {order}"), &full, &clear);
    }
    let list = || assert_eq!(pot().len(), 2 * size + 2);
    wait("list".to_owned(), &full, &list);
    wait("reorder".to_owned(), &|| {}, &|| {
        for order in ["sequential", "random", "shuffle"].repeat(100) {
            set("order", order).unwrap();
        }
    });
    waits
}

fn nobody_waits_for_long() {
    let size = size(8);
    let _module = Module::load(&format!("pot_size={size}"));
    set("when_full", "evict").unwrap();
    let (longest, what) = waits(size).into_iter().max().unwrap();
    // What waits there are without the pot, on this machine as it is now.
    let others = longest_wait(|| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            std::hint::spin_loop();
        }
    });
    let aim = Limit::most(longest, ENOUGH, "");
    figure(
        "S23",
        &format!(
            "a reader waits for {{}} at most ({what}), {} MiB of fortunes of one byte; for {others:.1?} beside a loop",
            size >> 20
        ),
        &[aim.or_else(Limit::most(longest, FOR_EVER, ""))],
    );
}

fn list_is_read_from_anywhere() {
    let size = size(16);
    let _module = Module::load(&format!("pot_size={size}"));
    fill(size);
    let end = 2 * size as u64 + 2;
    let file = File::open(format!("{CONTROL}/pot")).unwrap();
    let mut longest = Duration::ZERO;
    for at in 0..1000 {
        let mut bytes = [0; 4];
        let pos = end / 1000 * at + at % 4;
        let mut took = [Duration::ZERO; TRIES];
        for took in &mut took {
            let begun = Instant::now();
            file.read_exact_at(&mut bytes, pos).unwrap();
            *took = begun.elapsed();
        }
        longest = longest.max(took.into_iter().min().unwrap());
        let expected: Vec<u8> = (pos..pos + 4)
            .map(|at| b"%\nx\n"[at as usize % 4])
            .collect();
        assert_eq!(bytes, *expected);
    }
    assert_eq!(file.read_at(&mut [0; 4], end - 2).unwrap(), 2);
    assert_eq!(file.read_at(&mut [0; 4], end).unwrap(), 0);
    assert_eq!(file.read_at(&mut [0; 4], i64::MAX as u64 - 4).unwrap(), 0);
    let begun = Instant::now();
    assert_eq!(pot().len() as u64, end);
    let listed = begun.elapsed();
    let aim = Limit::most(longest, Duration::from_millis(5), "");
    figure(
        "S24",
        &format!(
            "{} fortunes: a pread of the list takes {{}} at most, the whole list {{}}",
            size / 2
        ),
        &[
            aim.or_else(Limit::most(longest, FOR_EVER, "")),
            // For 8 million, as many as there are in the gate.
            Limit::most(listed, Duration::from_secs(amount(1, 4)), "").wished(),
        ],
    );
}

fn list_goes_on_where_a_reader_was() {
    let _module = Module::load("pot_size=210");
    set("when_full", "evict").unwrap();
    let text = |number: usize| format!("{number} {}", "x".repeat(17));
    for number in 10..20 {
        store(text(number).as_bytes()).unwrap();
    }
    let file = File::open(format!("{CONTROL}/pot")).unwrap();
    let mut list = vec![0; 100];
    // To the middle of number 14.
    file.read_exact_at(&mut list, 0).unwrap();
    // All before 16 leave, and others come.
    for number in 20..26 {
        store(text(number).as_bytes()).unwrap();
    }
    let mut buffer = [0; 7];
    loop {
        match file.read_at(&mut buffer, list.len() as u64).unwrap() {
            0 => break,
            count => list.extend(&buffer[..count]),
        }
    }
    let mut expected = "%\n".to_owned();
    (10..15)
        .chain(16..26)
        .for_each(|number| expected += &format!("{}\n%\n", text(number)));
    assert_eq!(String::from_utf8(list).unwrap(), expected);
    // What comes after that is read by whoever goes on.
    let end = expected.len() as u64;
    store(text(26).as_bytes()).unwrap();
    let mut more = [0; 100];
    let count = file.read_at(&mut more, end).unwrap();
    assert_eq!(more[..count], *format!("{}\n%\n", text(26)).as_bytes());
    // From a position where it was not, it is what is there now.
    let whole = pot();
    let count = file.read_at(&mut more, 30).unwrap();
    assert_eq!(more[..count], whole[30..30 + count]);
}

/// Two at once store many, and each time it is all of them or none that is there.
fn writes_of_many_are_whole() {
    const MANY: u64 = 3000;
    // As many stay of what was there before.
    const STAY: u64 = 499;
    let rounds = by_kernel(1000, 100);
    let _module = Module::load(&format!("pot_size={}", 2 * (MANY + STAY) + 1));
    set("when_full", "evict").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&done);
        for _ in 0..2 {
            scope.spawn(|| {
                let _done = Done(&done);
                let texts = b"x\n%\n".repeat(MANY as usize);
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(store(&texts), Ok(texts.len()));
                }
            });
        }
        while stat("stores") < 2 * MANY {
            assert!(!done.load(Ordering::Relaxed), "who writes has failed");
            thread::yield_now();
        }
        for _ in 0..rounds {
            let stats = stats();
            assert_eq!(stats["stores"] % MANY, 0);
            assert!(
                [STAY, MANY + STAY].contains(&stats["fortunes"]),
                "{stats:?}"
            );
            assert_eq!(stats["used"], 2 * stats["fortunes"]);
        }
    });
    assert_eq!(stat("fortunes"), MANY + STAY);
}

/// Starts a process that stores `text` for ever, each time after a byte that is unfinished first.
fn write_for_ever(text: &[u8]) -> Pid {
    // SAFETY: The child makes system calls, and nothing else, until it is killed.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => loop {
            // SAFETY: The path ends with a NUL, and the texts are there.
            unsafe {
                let fd = libc::open(c"/proc/fortune".as_ptr(), libc::O_WRONLY);
                libc::write(fd, b"y".as_ptr().cast(), 1);
                libc::write(fd, text.as_ptr().cast(), text.len());
                libc::close(fd);
            }
        },
    }
}

fn killed_writers_leave_all_or_nothing() {
    const MANY: usize = 3000;
    let rounds = by_kernel(amount(60, 1000), amount(20, 200));
    let _module = Module::load(&format!("pot_size={}", 5 * MANY));
    set("when_full", "evict").unwrap();
    let text = b"x\n%\n".repeat(MANY);
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen = 0;
    for round in 0..rounds {
        let writers = [(); 3].map(|()| write_for_ever(&text));
        for writer in writers {
            // Meanwhile they are met at whatever they do.
            for _ in 0..random.usize(..20) {
                match random.usize(..4) {
                    0 => drop(pot()),
                    1 => drop(cat()),
                    2 => {
                        let order = ["sequential", "shuffle"][random.usize(..2)];
                        set("order", order).unwrap();
                    }
                    _ if round % 4 == 0 => {
                        set("clear", "1").unwrap();
                    }
                    _ => thread::sleep(Duration::from_micros(random.u64(..3000))),
                }
            }
            kill(writer, Signal::SIGKILL).unwrap();
            let end = waitpid(writer, None);
            assert_eq!(
                end,
                Ok(WaitStatus::Signaled(writer, Signal::SIGKILL, false))
            );
        }
        let (stats, list) = (stats(), String::from_utf8(pot()).unwrap());
        assert_eq!(stats["reserved"], 0);
        let fortunes: Vec<&str> = list.split_terminator("%\n").skip(1).collect();
        assert_eq!(fortunes.len() as u64, stats["fortunes"]);
        let used: usize = fortunes.iter().map(|fortune| fortune.len()).sum();
        assert_eq!(used as u64, stats["used"]);
        // What a write has brought begins with what was unfinished before; of the oldest one, some have left.
        let writes = fortunes.split(|fortune| fortune.starts_with('y'));
        let lens: Vec<usize> = writes.skip(1).map(<[&str]>::len).collect();
        seen += lens.iter().filter(|&&len| len > 0).count();
        assert!(
            lens.iter().all(|len| [0, MANY - 1].contains(len)),
            "{lens:?}"
        );
    }
    assert!(seen > 0);
}

fn byte_by_byte_is_linear() {
    let _module = Module::load("pot_size=200000");
    // A time in which the host seldom takes the CPU away.
    let each_of_a_kib = |file: &File| {
        let begun = Instant::now();
        for _ in 0..1024 {
            assert_eq!(nix::unistd::write(file, b"x"), Ok(1));
        }
        begun.elapsed() / 1024
    };
    let least = |before: usize, kib: usize| {
        let file = open();
        for _ in 0..before {
            each_of_a_kib(&file);
        }
        let least = (0..kib).map(|_| each_of_a_kib(&file)).min().unwrap();
        drop(file);
        set("clear", "1").unwrap();
        least
    };
    let few = (0..5).map(|_| least(0, 1)).min().unwrap();
    let many = (0..3).map(|_| least(32, 32)).min().unwrap();
    let times = many.as_secs_f64() / few.as_secs_f64();
    figure(
        "S25",
        &format!(
            "a byte of the last 32 KiB of 64 takes {many:.1?}, {{}} as long as one of the first KiB"
        ),
        &[Limit::most(times, 2., "times").or_else(Limit::most(times, 4., "times"))],
    );
    // What a write that failed has brought is not part of it.
    let file = open();
    assert_eq!(nix::unistd::write(&file, b"on"), Ok(2));
    let long = vec![b'y'; 65535];
    assert!(nix::unistd::write(&file, &long).is_err());
    assert_eq!(nix::unistd::write(&file, &long[..65534]), Ok(65534));
    drop(file);
    assert_eq!(cat(), [b"on", &long[..65534], b"\n"].concat());
}
