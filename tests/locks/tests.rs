// SPDX-License-Identifier: GPL-2.0

//! The locks of src/dispenser.rs: threads get them in every order, or in many, and what the threads have seen is a history that
//! the contract allows; nobody waits for ever; and whatever fails meanwhile leaves all as it was.

use history::{Call, Counters, Made, Order, Outcome, State, is_linearizable};
use ktap::{Limit, amount, figure, note};
use locks::{
    alloc::KBox,
    chance::{self, Fails},
    dispenser::{Dispenser, Fortune, OpenFile},
    few::Few,
    fs::LocalFile,
    pot,
    prelude::{EFAULT, EINTR, ENOMEM, ENOSPC, Error},
    proc_fs::{Operations, UserReader, UserWriter},
    sync::Arc,
};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};
use std::{
    cmp::max,
    pin::Pin,
    sync::{
        self,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

ktap::tests!(locks, Host:
    every_order_of_few_calls [R12 W1 W9 W11 W13 C8 C9],
    many_orders_of_more_calls [R3 R4 R5 R10 R12 W1 W6 W7 W9 W10 W11 W13 C8 C9 C10 C12 C13],
    many_orders_of_long_writes [W1 C8],
);

/// What threads do at once, on some open files of one pot.
#[derive(Clone, Debug)]
struct Plan {
    size: usize,
    evict: bool,
    files: usize,
    /// What is done before.
    first: Vec<Call>,
    threads: Vec<Vec<Call>>,
}

/// An open file, which several may use at once.
type File = sync::Arc<Pin<KBox<OpenFile>>>;

/// The module.
struct Module {
    fortune: Fortune,
    dispenser: Arc<Dispenser>,
    files: Vec<sync::Mutex<Option<File>>>,
    clock: AtomicU64,
}

impl Module {
    fn new(plan: &Plan) -> Self {
        let dispenser = Dispenser::new(plan.size).unwrap();
        let fortune = Fortune(dispenser.clone());
        Self {
            files: (0..plan.files)
                .map(|_| fortune.open(&LocalFile).unwrap())
                .map(|file| sync::Mutex::new(Some(sync::Arc::new(file))))
                .collect(),
            fortune,
            dispenser,
            clock: AtomicU64::new(0),
        }
    }

    fn file(&self, number: usize) -> File {
        let file = self.files[number].lock().unwrap();
        file.clone().expect("it is open")
    }

    fn make(&self, call: &Call) -> Outcome {
        let set = |change: &dyn Fn(&mut locks::dispenser::VPot)| {
            self.dispenser.with_pot(change);
            Outcome::Done
        };
        match call {
            Call::Write(file, text) => {
                let mut buf = UserReader::new(text);
                let file = self.file(*file);
                match self.fortune.write((*file).as_ref(), &mut buf, &mut 0) {
                    Ok(count) => {
                        assert_eq!(count, text.len());
                        Outcome::Done
                    }
                    Err(error) => failed(error),
                }
            }
            Call::ReadAt(file, position, room) => {
                let mut bytes = vec![];
                let mut pos = *position as i64;
                let mut buf = UserWriter::new(&mut bytes, *room);
                let file = self.file(*file);
                match self.fortune.read((*file).as_ref(), &mut buf, &mut pos) {
                    Ok(()) => {
                        assert_eq!(pos, (position + bytes.len()) as i64);
                        Outcome::Read(bytes)
                    }
                    Err(error) => failed(error),
                }
            }
            Call::Clear => {
                self.dispenser.clear();
                Outcome::Done
            }
            Call::Order(order) => set(&|pot| {
                pot.set_order(match order {
                    Order::Sequential => pot::Order::Sequential,
                    Order::Random => pot::Order::Random,
                    Order::Shuffle => pot::Order::Shuffle,
                });
            }),
            Call::Evict(true) => set(&|pot| pot.set_when_full(pot::WhenFull::Evict)),
            Call::Evict(false) => set(&|pot| pot.set_when_full(pot::WhenFull::Reject)),
            Call::Stats => {
                let stats = self.dispenser.with_pot(|pot| pot.stats());
                Outcome::Stats(Counters {
                    used: stats.used,
                    reserved: stats.reserved,
                    fortunes: stats.fortunes,
                    draws: stats.draws,
                    stores: stats.stores,
                    evictions: stats.evictions,
                    clears: stats.clears,
                })
            }
            Call::List => {
                // A fortune takes two bytes more than in the pot.
                let mut list = vec![0; 2 * self.dispenser.size() + 2];
                let listed = |pot: &mut locks::dispenser::VPot| {
                    pot.list(&mut 0, usize::MAX, &mut list).unwrap()
                };
                let len = self.dispenser.with_pot(listed);
                // A line `%`, and one after each.
                let mut fortunes = vec![vec![]];
                for line in list[..len].split_inclusive(|&byte| byte == b'\n') {
                    match line {
                        b"%\n" => fortunes.push(vec![]),
                        _ => fortunes.last_mut().unwrap().extend(line),
                    }
                }
                fortunes.retain(|text| !text.is_empty());
                let popped = fortunes.iter_mut().map(Vec::pop);
                assert!(popped.into_iter().all(|last| last == Some(b'\n')));
                Outcome::Listed(fortunes)
            }
            Call::Close(file) => {
                let file = self.files[*file].lock().unwrap().take();
                // Nobody else uses it.
                let file = sync::Arc::into_inner(file.unwrap()).unwrap();
                self.fortune.release(file);
                Outcome::Done
            }
            Call::Read(..) | Call::Rewind(_) => panic!("the position is the VFS's: {call:?}"),
        }
    }

    fn record(&self, call: &Call) -> Made {
        let invoked = self.clock.fetch_add(1, Ordering::SeqCst);
        let outcome = self.make(call);
        Made {
            call: call.clone(),
            outcome,
            invoked,
            returned: self.clock.fetch_add(1, Ordering::SeqCst),
        }
    }
}

fn failed(error: Error) -> Outcome {
    match error {
        ENOSPC => Outcome::NoSpace,
        EFAULT => Outcome::Fault,
        ENOMEM => Outcome::NoMemory,
        EINTR => Outcome::Killed,
        _ => panic!("{error:?}"),
    }
}

/// Nothing fails.
const NONE: Fails = Fails::Nth(usize::MAX);

/// What is done in one order, and how much of that could have failed.
fn execute(plan: &sync::Arc<Plan>, fails: Fails) -> usize {
    chance::begin(NONE);
    let module = sync::Arc::new(Module::new(plan));
    if plan.evict {
        module.make(&Call::Evict(true));
    }
    let first = plan.first.iter();
    let mut history: Vec<Made> = first.map(|call| module.record(call)).collect();

    chance::begin(fails);
    let spawn = |thread: usize| {
        let (plan, module) = (plan.clone(), module.clone());
        shuttle::thread::spawn(move || {
            let calls = plan.threads[thread].iter();
            calls.map(|call| module.record(call)).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = (0..plan.threads.len()).map(spawn).collect();
    for thread in threads {
        history.extend(thread.join().unwrap());
    }
    let could_fail = chance::could_fail();

    chance::begin(NONE);
    let is_open = |file: &usize| module.files[*file].lock().unwrap().is_some();
    let closes = (0..plan.files).filter(is_open).map(Call::Close);
    for call in closes.chain([Call::List, Call::Stats]) {
        history.push(module.record(&call));
    }
    let [.., list, stats] = &history[..] else {
        unreachable!()
    };
    let (Outcome::Listed(list), Outcome::Stats(stats)) = (&list.outcome, &stats.outcome) else {
        unreachable!()
    };
    let used: usize = list.iter().map(|text| text.len() + 1).sum();
    assert_eq!((stats.reserved, stats.used), (0, used as u64));
    assert_eq!(stats.fortunes, list.len() as u64);
    let state = State::new(plan.size, plan.evict, plan.files);
    assert!(is_linearizable(&history, &state), "{plan:#?}: {history:#?}");
    could_fail
}

/// Does it in many orders, and says in how many, and how much could have failed in one of them.
fn run(plan: &Plan, scheduler: impl Scheduler + 'static, fails: Fails) -> (usize, usize) {
    let could_fail = sync::Arc::new(AtomicUsize::new(0));
    let most = could_fail.clone();
    let plan = sync::Arc::new(plan.clone());
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    let orders = Runner::new(scheduler, config).run(move || {
        let could_fail = execute(&plan, fails);
        most.fetch_max(could_fail, Ordering::Relaxed);
    });
    (orders, could_fail.load(Ordering::Relaxed))
}

fn write(file: usize, text: &str) -> Call {
    Call::Write(file, text.as_bytes().to_vec())
}

fn draw(file: usize) -> Call {
    Call::ReadAt(file, 0, 400)
}

fn every_order_of_few_calls() {
    let four = [
        write(0, "a\n"),
        write(0, "b\n"),
        write(0, "c\n"),
        write(0, "d\n"),
    ];
    let unfinished = [write(0, "a\n"), write(0, "b"), draw(1)];
    let two = || vec![write(0, "x\n%\ny\n%\n")];
    let two_more = || vec![write(1, "v\n%\nw\n%\n")];
    let interruptions = amount(2, 3);
    let mut orders = 0;
    for (what, first, threads) in [
        (
            "two leave for a write of two, and others draw",
            &four[..],
            vec![two(), vec![draw(1)], vec![draw(0), Call::List]],
        ),
        (
            "two write two, and one clears",
            &four,
            vec![two(), two_more(), vec![Call::Clear, Call::Stats]],
        ),
        (
            "two write two into an empty pot, and one counts",
            &[],
            vec![two(), two_more(), vec![Call::Stats, Call::List]],
        ),
        (
            "what is unfinished becomes two, another one is stored, and one draws",
            &unfinished,
            vec![two(), vec![write(1, "v\n")], vec![draw(1), Call::Stats]],
        ),
        (
            "two write to one open file, a third one draws from it",
            &unfinished,
            vec![two(), vec![write(0, "v")], vec![draw(0), draw(0)]],
        ),
        (
            "two write two, and one closes what is unfinished",
            &[write(2, "u")],
            vec![two(), two_more(), vec![Call::Close(2), draw(0)]],
        ),
        (
            "the order changes, and whether old ones leave",
            &four,
            vec![
                two(),
                vec![Call::Evict(false), write(1, "v\n")],
                vec![Call::Order(Order::Shuffle), draw(1)],
            ],
        ),
    ] {
        let plan = Plan {
            size: 8,
            evict: true,
            files: 3,
            first: first.to_vec(),
            threads,
        };
        // First nothing fails, then each in turn.
        let (mut all, mut most) = run(&plan, Few::new(interruptions), NONE);
        let mut nth = 0;
        while nth < most {
            let (more, could_fail) = run(&plan, Few::new(interruptions), Fails::Nth(nth));
            all += more;
            most = max(most, could_fail);
            nth += 1;
        }
        note(format!(
            "{what}: {all} orders, in which each of {most} failed in turn"
        ));
        orders += all;
    }
    let words = format!("{{}} of the locks with {interruptions} interruptions at most");
    figure(
        "S27",
        &words,
        &[Limit::least(orders, amount(200_000, 2_000_000), "orders")],
    );
}

fn many_orders_of_more_calls() {
    let (plans, each) = (amount(200, 5000), amount(30, 200));
    let mut orders = 0;
    for seed in 0..plans {
        orders += run_at_random(&any_plan(seed), seed, each);
    }
    figure(
        "S28",
        "{} of the locks at random, all linearizable",
        &[Limit::amount(orders, plans as usize * each * 3, "orders")],
    );
}

/// The index comes in blocks, and the texts in many parts.
fn many_orders_of_long_writes() {
    let each = amount(15, 500);
    let many = |file, text: &str| write(file, &format!("{text}\n%\n").repeat(2100));
    let plan = Plan {
        size: 6000,
        evict: true,
        files: 3,
        first: vec![many(0, "a"), draw(1)],
        threads: vec![
            vec![many(0, "b"), write(0, "unfinished")],
            vec![many(1, "c")],
            vec![
                draw(2),
                Call::Stats,
                Call::Clear,
                draw(2),
                Call::List,
                write(2, "d\n"),
            ],
        ],
    };
    note(format!("{} orders", run_at_random(&plan, 1, each)));
}

/// Tries some orders at random, some in which things fail, and some in which threads are interrupted three times.
fn run_at_random(plan: &Plan, seed: u64, each: usize) -> usize {
    let random = || RandomScheduler::new_from_seed(seed, each);
    let (all, _) = run(plan, random(), NONE);
    let (failing, _) = run(plan, random(), Fails::OneIn(10));
    let (interrupted, _) = run(plan, PctScheduler::new_from_seed(seed, 3, each), NONE);
    all + failing + interrupted
}

/// Some calls at random: on two open files that all use, and on one of each, which it may close in the end.
fn any_plan(seed: u64) -> Plan {
    let mut random = fastrand::Rng::with_seed(seed);
    // Short ones, or such as have no place in an open file.
    let unit = [1, 300][random.usize(..2)];
    let mut letters = b'A'..=b'z';
    let mut letter = |random: &mut fastrand::Rng| {
        let len = random.usize(1..4) * unit;
        String::from_utf8(vec![letters.next().unwrap(); len]).unwrap()
    };
    let mut call = |random: &mut fastrand::Rng, own: usize| {
        let file = [0, 1, own][random.usize(..3)];
        match random.u32(..100) {
            ..15 => write(file, &format!("{}\n", letter(random))),
            15..25 => write(file, &letter(random)),
            25..45 => {
                let count = random.usize(1..4);
                let texts = (0..count).map(|_| format!("{}\n%\n", letter(random)));
                write(file, &texts.collect::<String>())
            }
            45..70 => Call::ReadAt(file, 0, 3 * unit + 1),
            70..75 => Call::ReadAt(file, 1, 3 * unit + 1),
            75..80 => Call::Clear,
            80..86 => {
                Call::Order([Order::Sequential, Order::Random, Order::Shuffle][random.usize(..3)])
            }
            86..90 => Call::Evict(random.bool()),
            90..95 => Call::Stats,
            _ => Call::List,
        }
    };
    let first = (0..3).map(|own| call(&mut random, 2 + own)).collect();
    let threads = (2..5).map(|own| {
        let mut calls: Vec<_> = (0..4).map(|_| call(&mut random, own)).collect();
        if random.bool() {
            calls.push(Call::Close(own));
        }
        calls
    });
    Plan {
        threads: threads.collect(),
        size: random.usize(6..20) * unit,
        evict: random.bool(),
        files: 5,
        first,
    }
}
