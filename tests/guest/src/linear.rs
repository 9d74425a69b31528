// SPDX-License-Identifier: GPL-2.0

//! Short histories of three threads, or of two and a process: is there an order of their calls, one after the other, in which
//! each could have returned what it did? What they may return says the crate `history`.
//!
//! Most are made on two CPUs, when the host runs both, or does not for a while. For the others one CPU is enough: some of the
//! memory that calls read or write there stalls, until others have gone on.

use crate::{
    memory::Stall,
    module::{CONTROL, Module, by_kernel, open, pot, set, stats},
};
use fastrand::Rng;
use history::{Call, Counters, Made, Order, Outcome, State, is_linearizable};
use ktap::{Limit, amount, figure, note, progress};
use nix::{
    errno::Errno,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        mman::{MapFlags, ProtFlags, mmap_anonymous, munmap},
        uio::{pread, pwrite},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, Whence, fork, lseek, read, write},
};
use std::{
    fs::{File, OpenOptions},
    hint::spin_loop,
    mem::size_of,
    num::NonZero,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

ktap::tests!(linear, Guest:
    histories_are_linearizable [R3 R8 R12 W13 C2 C10],
    histories_of_one_open_file_are_linearizable [R3 R4 R6 R7 R8 R12 W1 W6 W7 W9 W10 W13 W16 C2 C8 C9 C10 C12 C13],
);

/// Three threads, or two and a process.
const WHO: usize = 3;

/// How many calls each of them makes at most.
const CALLS: usize = 13;

/// How many bytes a read gets at most.
const ROOM: usize = 400;

/// One history of so many is made on one CPU.
const ON_ONE: u64 = 3;

/// Two CPUs run at once if they answer each other so often in that time.
const ANSWERS: (usize, Duration) = (10, Duration::from_micros(500));

/// After so long they need not: a host that has others to run may run both on one CPU.
const MEETING: Duration = Duration::from_millis(10);

/// One call of so many stalls, of those that copy.
const SELDOM: usize = 4;

/// So many calls of others begin or end at most while one is stalled.
const MEANWHILE: u64 = 6;

/// How often others get the CPU meanwhile: they may wait for the one that is stalled.
const PATIENCE: usize = 100;

/// What a history is made of.
struct Kind {
    size: u64,
    /// How many calls each of them makes.
    calls: usize,
    /// All use one open file: the first thread, another one through a descriptor that is duplicated, and a process through
    /// one that it has inherited. Else each has its own.
    is_shared: bool,
    /// Chooses a call for who has that open file.
    choose: fn(&mut Rng, usize, &mut dyn Iterator<Item = char>) -> Call,
}

fn histories_are_linearizable() {
    // Four of the shorter fortunes, or two of the longer ones.
    let kind = Kind {
        size: 8,
        calls: CALLS,
        is_shared: false,
        choose: choose_simple,
    };
    run(&kind, "S3", "{}, all linearizable");
}

fn histories_of_one_open_file_are_linearizable() {
    let kind = Kind {
        size: 10,
        calls: 8,
        is_shared: true,
        choose: choose_any,
    };
    run(&kind, "S29", "{} of one open file, all linearizable");
}

fn choose_simple(random: &mut Rng, file: usize, letters: &mut dyn Iterator<Item = char>) -> Call {
    match random.u32(..100) {
        ..42 => {
            let letter = letters.next().unwrap();
            let len = 1 + 2 * random.usize(..2);
            Call::Write(file, format!("{}\n", letter.to_string().repeat(len)).into())
        }
        42..82 => Call::ReadAt(file, 0, ROOM),
        82..88 => Call::Clear,
        _ => Call::Stats,
    }
}

fn choose_any(random: &mut Rng, file: usize, letters: &mut dyn Iterator<Item = char>) -> Call {
    let mut letter = || letters.next().unwrap();
    match random.u32(..100) {
        ..16 => Call::Write(file, format!("{}\n", letter()).into()),
        16..26 => Call::Write(file, letter().to_string().into()),
        26..30 => Call::Write(file, format!("{}\n%\n", letter()).into()),
        30..40 => Call::Write(file, format!("{}\n%\n{}\n%\n", letter(), letter()).into()),
        40..56 => Call::Read(file, random.usize(1..4)),
        56..70 => Call::ReadAt(file, 0, ROOM),
        70..76 => Call::ReadAt(file, random.usize(1..3), random.usize(1..4)),
        76..84 => Call::Rewind(file),
        84..87 => Call::Clear,
        87..92 => {
            let orders = [Order::Sequential, Order::Random, Order::Shuffle];
            Call::Order(orders[random.usize(..3)])
        }
        92..94 => Call::Evict(random.bool()),
        _ => Call::Stats,
    }
}

fn run(kind: &Kind, id: &str, words: &str) {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    assert!(cpus > 1, "there is one CPU here, where QEMU has two");
    // Threads begin on the CPU of who starts them: no other one has to be told what memory they let go.
    thread::scope(|scope| {
        let here = scope.spawn(|| {
            stay(0);
            run_here(kind, id, words);
        });
        here.join().unwrap();
    });
}

fn run_here(kind: &Kind, id: &str, words: &str) {
    let histories = by_kernel(amount(500, 10_000), amount(50, 2000));
    let _module = Module::load(&format!("pot_size={}", kind.size));
    let record = Record::new();
    let stall = [(); WHO].map(|()| Stall::new());
    let (mut calls, mut overlapping, mut wrong, mut changed) = (0, 0, 0, 0);
    let (mut made, mut concurrent, mut on_two_cpus, mut stalled) = (0, 0, 0, 0);
    // Those of which few come at the same time are looked at, but don't count.
    while concurrent < histories {
        assert!(made < 4 * histories, "they wait for each other");
        progress(concurrent as usize, histories as usize);
        let on_two = made % ON_ONE != 0;
        let (mut history, state, stalls) = make(kind, &record, &stall, made, on_two);
        stalled += stalls;
        assert!(
            is_linearizable(&history, &state),
            "history {made}: {history:#?}"
        );
        made += 1;
        let at_once = history
            .iter()
            .filter(|made| {
                let with =
                    |other: &&Made| other.invoked < made.returned && made.invoked < other.returned;
                // It does with itself.
                history.iter().filter(with).count() > 1
            })
            .count();
        calls += history.len();
        overlapping += at_once;
        let counts = at_once * 10 > WHO * kind.calls;
        concurrent += u64::from(counts);
        on_two_cpus += u64::from(counts && on_two);
        // The same but for one letter that was read is not, but for a few: in other orders than in sequence.
        let letters = history
            .iter_mut()
            .filter_map(|made| match &mut made.outcome {
                Outcome::Read(bytes) => bytes.first_mut().filter(|byte| **byte != b'\n'),
                _ => None,
            });
        match letters.last() {
            Some(letter) => *letter ^= 1,
            None => continue,
        }
        changed += 1;
        wrong += u64::from(!is_linearizable(&history, &state));
    }
    note(format!(
        "{calls} calls in {made} histories, {overlapping} at the same time as others; {on_two_cpus} of {concurrent} histories \
         on two CPUs; {stalled} calls have stalled; {wrong} of {changed} are not linearizable with one letter changed"
    ));
    assert!(wrong * 4 > changed * 3 && changed * 2 > made);
    // How many is up to the host, but they are not all on one.
    assert!(on_two_cpus > 0 && stalled > 0);
    let limit = Limit::amount(concurrent as usize, histories as usize, "histories");
    figure(id, words, &[limit]);
}

/// What came of a call. All of it is 0 at first.
struct Slot {
    invoked: AtomicU64,
    returned: AtomicU64,
    /// What it has returned, or the error, negative.
    result: AtomicI64,
    bytes: [AtomicU8; ROOM],
}

/// What those who make calls have in common, in memory that a process shares.
struct Shared {
    clock: AtomicU64,
    ready: AtomicUsize,
    /// Who is to answer, and whether both have done so in time, or long enough was waited.
    turn: AtomicUsize,
    has_begun: AtomicBool,
    /// Which call each of them makes now; `CALLS` if none any more.
    at: [AtomicUsize; WHO],
    slots: [[Slot; CALLS]; WHO],
}

impl Shared {
    /// Returns when the first two run on their CPUs, both at once, or after a while.
    fn meet(&self, who: usize) {
        let has_begun = || self.has_begun.load(Ordering::SeqCst);
        match who {
            0 => {
                let (answers, time) = ANSWERS;
                let came = Instant::now();
                let mut begun = came;
                let mut count = 0;
                while count < answers && came.elapsed() < MEETING {
                    self.turn.store(1, Ordering::SeqCst);
                    while self.turn.load(Ordering::SeqCst) == 1 {
                        spin_loop();
                    }
                    count += 1;
                    if begun.elapsed() > time {
                        begun = Instant::now();
                        count = 0;
                    }
                }
                self.has_begun.store(true, Ordering::SeqCst);
            }
            1 => {
                while !has_begun() {
                    self.turn.store(0, Ordering::SeqCst);
                    spin_loop();
                }
            }
            _ => {
                while !has_begun() {
                    thread::yield_now();
                }
            }
        }
    }
}

/// Such memory.
struct Record(NonNull<Shared>);

impl Record {
    fn new() -> Self {
        let size = NonZero::new(size_of::<Shared>()).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: It is new memory.
        let memory = unsafe { mmap_anonymous(None, size, access, MapFlags::MAP_SHARED) };
        Self(memory.unwrap().cast())
    }

    fn shared(&self) -> &Shared {
        // SAFETY: It is there until this is dropped, of that size, and has only atomic numbers, for which 0 is one.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: Nobody has borrowed it any more.
        unsafe { munmap(self.0.cast(), size_of::<Shared>()) }.unwrap();
    }
}

/// Keeps this thread on a CPU.
fn stay(on: usize) {
    let mut cpu = CpuSet::new();
    cpu.set(on).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpu).unwrap();
}

/// Makes a history, and says what there was before, and how many calls have stalled.
fn make(
    kind: &Kind,
    record: &Record,
    stall: &[Stall; WHO],
    number: u64,
    on_two: bool,
) -> (Vec<Made>, State, u64) {
    let mut random = Rng::with_seed(number);
    let evict = kind.is_shared && random.bool();
    set("order", "sequential").unwrap();
    set("when_full", if evict { "evict" } else { "reject" }).unwrap();
    set("clear", "1").unwrap();
    let before = counters_of(|name| stats()[name]);

    let mut letters = 'A'..;
    let file_of = |who| if kind.is_shared { 0 } else { who };
    let plans = [0, 1, 2].map(|who| {
        let mut call = || (kind.choose)(&mut random, file_of(who), &mut letters);
        (0..kind.calls).map(|_| call()).collect::<Vec<_>>()
    });
    let first = open();
    let others = [(); WHO - 1].map(|()| match kind.is_shared {
        true => first.try_clone().unwrap(),
        false => open(),
    });
    let [second, third] = others;
    let files = [first, second, third].map(Files::new);

    let shared = record.shared();
    shared.clock.store(0, Ordering::SeqCst);
    shared.ready.store(0, Ordering::SeqCst);
    shared.has_begun.store(false, Ordering::SeqCst);
    let cpu_of = |who| if on_two { who % 2 } else { 0 };
    // What a process finds in memory that is not there, no other process can say.
    let threads = WHO - usize::from(kind.is_shared);
    let perform = |who: usize| {
        stay(cpu_of(who));
        shared.ready.fetch_add(1, Ordering::SeqCst);
        while shared.ready.load(Ordering::SeqCst) < WHO {
            thread::yield_now();
        }
        if on_two {
            shared.meet(who);
        }
        let mut random = Rng::with_seed(number * WHO as u64 + who as u64);
        for (at, (call, slot)) in plans[who].iter().zip(&shared.slots[who]).enumerate() {
            shared.at[who].store(at, Ordering::SeqCst);
            let stalls = !on_two && who < threads && random.usize(..SELDOM) == 0;
            let page = stalls.then(|| {
                stall[who].again();
                stall[who].address() as *mut u8
            });
            let invoked = shared.clock.fetch_add(1, Ordering::SeqCst);
            files[who].make(call, slot, page);
            let returned = shared.clock.fetch_add(1, Ordering::SeqCst);
            slot.invoked.store(invoked, Ordering::SeqCst);
            slot.returned.store(returned, Ordering::SeqCst);
        }
        shared.at[who].store(CALLS, Ordering::SeqCst);
    };
    let stalled = AtomicU64::new(0);
    // Serves what the one who makes calls has run into, on the same CPU.
    let serve = |who: usize| {
        stay(cpu_of(who));
        let mut random = Rng::with_seed(number);
        loop {
            stall[who].wait();
            let Some(call) = plans[who].get(shared.at[who].load(Ordering::SeqCst)) else {
                return stall[who].let_go(b"");
            };
            stalled.fetch_add(1, Ordering::Relaxed);
            let until = shared.clock.load(Ordering::SeqCst) + random.u64(1..=MEANWHILE);
            for _ in 0..PATIENCE {
                if shared.clock.load(Ordering::SeqCst) < until {
                    thread::yield_now();
                }
            }
            match call {
                Call::Write(_, text) => stall[who].let_go(text),
                _ => stall[who].let_go(b""),
            }
        }
    };
    let child = kind.is_shared.then(|| {
        // SAFETY: The child makes system calls, and allocates nothing, until it ends.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                perform(WHO - 1);
                // SAFETY: Nothing of what this process has in memory is needed at its end.
                unsafe { libc::_exit(0) }
            }
        }
    });
    thread::scope(|scope| {
        for (who, stall) in stall.iter().enumerate().take(threads) {
            if on_two {
                scope.spawn(move || perform(who));
                continue;
            }
            scope.spawn(move || serve(who));
            scope.spawn(move || {
                perform(who);
                // That ends who serves it.
                stall.again();
                // SAFETY: The page is mapped, and what is in it is a byte.
                unsafe { ptr::read_volatile(stall.address() as *const u8) };
            });
        }
    });
    if let Some(child) = child {
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
    }

    let mut history = Vec::new();
    for (plan, slots) in plans.into_iter().zip(&shared.slots) {
        for (call, slot) in plan.into_iter().zip(slots) {
            history.push(Made {
                outcome: outcome(&call, slot, &before),
                call,
                invoked: slot.invoked.load(Ordering::SeqCst),
                returned: slot.returned.load(Ordering::SeqCst),
            });
        }
    }
    // What there is in the end, one after the other.
    drop(files);
    let count = if kind.is_shared { 1 } else { WHO };
    let closes = (0..count).map(|file| (Call::Close(file), Outcome::Done));
    let after = counters_of(|name| stats()[name]).since(&before);
    let last = [
        (Call::List, Outcome::Listed(fortunes())),
        (Call::Stats, Outcome::Stats(after)),
    ];
    for ((call, outcome), time) in closes.chain(last).zip((1000..).step_by(2)) {
        history.push(Made {
            call,
            outcome,
            invoked: time,
            returned: time + 1,
        });
    }
    let state = State::new(kind.size as usize, evict, count);
    (history, state, stalled.into_inner())
}

/// The fortunes in the pot, in which there is no line of just `%`.
fn fortunes() -> Vec<Vec<u8>> {
    let list = String::from_utf8(pot()).unwrap();
    let Some(list) = list.strip_prefix("%\n") else {
        assert_eq!(list, "");
        return vec![];
    };
    let fortunes = list.split_terminator("\n%\n");
    fortunes.map(|text| text.as_bytes().to_vec()).collect()
}

fn counters_of(value: impl Fn(&str) -> u64) -> Counters {
    Counters {
        used: value("used"),
        reserved: value("reserved"),
        fortunes: value("fortunes"),
        draws: value("draws"),
        stores: value("stores"),
        evictions: value("evictions"),
        clears: value("clears"),
    }
}

/// What a call has returned, `before` which the counters were those.
fn outcome(call: &Call, slot: &Slot, before: &Counters) -> Outcome {
    let result = slot.result.load(Ordering::SeqCst);
    let bytes = || {
        let bytes = slot.bytes[..usize::try_from(result).unwrap()].iter();
        bytes
            .map(|byte| byte.load(Ordering::SeqCst))
            .collect::<Vec<_>>()
    };
    match call {
        Call::Write(..) if result == -(Errno::ENOSPC as i64) => Outcome::NoSpace,
        Call::Write(_, text) => {
            assert_eq!(result, text.len() as i64, "{call:?}");
            Outcome::Done
        }
        Call::Read(..) | Call::ReadAt(..) => {
            assert!(result >= 0, "{call:?}: {result}");
            Outcome::Read(bytes())
        }
        Call::Stats => {
            assert!(result > 0, "{call:?}: {result}");
            let text = String::from_utf8(bytes()).unwrap();
            let value = |name: &str| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.unwrap().parse::<u64>().unwrap()
            };
            Outcome::Stats(counters_of(value).since(before))
        }
        _ => {
            assert!(result >= 0, "{call:?}: {result}");
            Outcome::Done
        }
    }
}

/// What calls are made on.
struct Files {
    fortune: File,
    clear: File,
    order: File,
    when_full: File,
    stats: File,
}

impl Files {
    fn new(fortune: File) -> Self {
        let control = |name: &str| {
            let path = format!("{CONTROL}/{name}");
            OpenOptions::new().write(true).open(path).unwrap()
        };
        Self {
            fortune,
            clear: control("clear"),
            order: control("order"),
            when_full: control("when_full"),
            stats: File::open(format!("{CONTROL}/stats")).unwrap(),
        }
    }

    /// Makes a call, with what is copied in `page`, if there is one. A process does that which must not allocate.
    fn make(&self, call: &Call, slot: &Slot, page: Option<*mut u8>) {
        let mut bytes = [0; ROOM];
        let (fortune, bytes) = (
            &self.fortune,
            match page {
                // SAFETY: It is mapped, larger, and nothing else refers to it; whoever accesses it waits until a byte is there.
                Some(page) => unsafe { slice::from_raw_parts_mut(page, ROOM) },
                None => &mut bytes[..],
            },
        );
        let result = match call {
            Call::Write(_, text) => {
                let from = if page.is_some() {
                    &bytes[..text.len()]
                } else {
                    text
                };
                // Neither uses the position.
                match text[0] % 2 {
                    0 => pwrite(fortune, from, 1),
                    _ => write(fortune, from),
                }
            }
            Call::Read(_, room) => read(fortune, &mut bytes[..*room]),
            Call::ReadAt(_, position, room) => {
                pread(fortune, &mut bytes[..*room], *position as i64)
            }
            Call::Rewind(_) => lseek(fortune, 0, Whence::SeekSet).map(|_| 0),
            Call::Clear => write(&self.clear, b"1"),
            Call::Order(Order::Sequential) => write(&self.order, b"sequential"),
            Call::Order(Order::Random) => write(&self.order, b"random"),
            Call::Order(Order::Shuffle) => write(&self.order, b"shuffle"),
            Call::Evict(true) => write(&self.when_full, b"evict"),
            Call::Evict(false) => write(&self.when_full, b"reject"),
            Call::Stats => pread(&self.stats, bytes, 0),
            // They are made when nobody else makes one.
            Call::Close(_) | Call::List => Err(Errno::EOPNOTSUPP),
        };
        let count = *result.as_ref().unwrap_or(&0);
        for (to, &byte) in slot.bytes.iter().zip(bytes.iter().take(count)) {
            to.store(byte, Ordering::SeqCst);
        }
        let result = result.map_or_else(|error| -(error as i64), |count| count as i64);
        slot.result.store(result, Ordering::SeqCst);
    }
}
