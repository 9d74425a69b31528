// SPDX-License-Identifier: GPL-2.0

//! Calls that go on from those that have reached something new in the module, where the kernel records which code runs; each
//! is compared with the model of `fuzz.rs`.
//!
//! An input is a size of the pot and some calls, after which all files are closed. Inputs are made of others, with other
//! numbers, more calls, fewer, or a part of another input. One that reaches an edge, two places of the module one after the
//! other, that none has reached before, is kept if it does so again in a module that was just loaded. In the end only those
//! inputs are left, and of each only those calls, that it takes to reach all edges: `corpus.txt`, whose inputs are run again by
//! each `make test`. They are calls, and not addresses, so they stay when the module changes.

use crate::{
    coverage::{self, Edge, Edges},
    fuzz::{EPOCH, FILES, MAX, Model, Op, POT_SIZES, Pair, Text, choose, told},
};
use fastrand::Rng;
use ktap::{Limit, amount, figure, progress, skip};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// What was found: the inputs in the form in which `fuzz` shows calls.
const CORPUS: &str = include_str!("corpus.txt");

/// How many edges it reaches at least: if an edit of the module makes it less, it is time to look for more.
const LEAST_EDGES: usize = 1200;

/// Why there is no search.
const NOT_RECORDED: &str = "this kernel does not record which code runs";

/// How many calls an input has at most.
const LONGEST: usize = 300;

/// How many bytes are written or read by one call at most.
const MOST_BYTES: usize = 300_000;

/// How many bytes all calls of an input write and read at most.
const MOST_BYTES_OF_ALL: usize = 1_500_000;

/// How often a new edge may be missing when the same calls are made again, until it is taken for one of chance.
const DOUBTS: u32 = 3;

/// How far it has come after some time.
pub(crate) struct Course {
    begun: Instant,
    calls: usize,
    edges: Edges,
    said: usize,
}

impl Course {
    /// After how many seconds that is said.
    const SECONDS: [u64; 13] = [
        10, 30, 60, 120, 300, 600, 900, 1200, 1500, 1800, 2400, 3000, 3600,
    ];

    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            calls: 0,
            edges: Edges::default(),
            said: 0,
        }
    }

    /// A call was made.
    pub(crate) fn look(&mut self) {
        coverage::look(&mut self.edges);
        self.calls += 1;
        self.say();
    }

    fn say(&mut self) {
        let passed = self.begun.elapsed().as_secs();
        while let Some(seconds) = Self::SECONDS.get(self.said).filter(|&&at| at <= passed) {
            println!("# {seconds} s: {}", self.summary());
            self.said += 1;
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!("{} calls, {} edges", self.calls, self.edges.len())
    }
}

/// A size of the pot, and calls.
#[derive(Clone, Debug)]
struct Input {
    size: usize,
    calls: Vec<Op>,
    /// What they reach.
    reached: BTreeSet<Edge>,
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "pot_size={}", self.size)?;
        self.calls
            .iter()
            .try_for_each(|call| writeln!(f, "  {call:?}"))
    }
}

/// Reads inputs.
fn read(text: &str) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(size) = line.strip_prefix("pot_size=") {
            inputs.push(Input {
                size: size
                    .parse()
                    .unwrap_or_else(|error| panic!("{line}: {error}")),
                calls: Vec::new(),
                reached: BTreeSet::new(),
            });
        } else {
            let call = ron::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            inputs.last_mut().expect("a size is first").calls.push(call);
        }
    }
    inputs
}

/// A call as the model can follow it, and as it can be read; nothing if it does nothing.
///
/// While the order is by chance, all fortunes differ: by the number of the call that stores them.
fn plain(call: Op, pair: &Pair, number: usize) -> Option<Op> {
    let (model, files) = (&pair.model, pair.files.len());
    // An input has not so many.
    let number = number as u32;
    let at = |at: usize| at.checked_rem(files);
    Some(match call {
        Op::Open if files == FILES => return None,
        Op::Close(file) => Op::Close(at(file)?),
        Op::Read(file, len, writable, offset) => {
            Op::Read(at(file)?, len, writable.min(len), offset)
        }
        Op::Write(file, text, readable, offset) => {
            let by_chance = model.order != 0;
            let text = match text {
                Text::Own(_, len, newline) => Text::Own(number, len, newline || by_chance),
                Text::File(_, count) => Text::File(number, count),
                Text::Same(_, len) | Text::Odd(_, len) if by_chance => Text::Own(number, len, true),
                Text::Same(..) | Text::Odd(..) => text,
            };
            Op::Write(at(file)?, text, readable.min(text.bytes().len()), offset)
        }
        Op::WriteMuch(file, len) => Op::WriteMuch(at(file)?, len),
        Op::Seek(file, offset, whence) => Op::Seek(at(file)?, offset, whence),
        Op::Order(word) if word != 0 && !model.is_unambiguous() => return None,
        Op::List(offset, len, writable) => Op::List(offset, len, writable.min(len)),
        Op::Open | Op::Order(_) | Op::WhenFull(_) | Op::BadWord | Op::Clear | Op::Look => call,
    })
}

/// How many bytes a call writes or reads.
fn cost(call: Op) -> usize {
    match call {
        Op::Read(_, len, ..) => len,
        Op::Write(_, text, ..) => text.bytes().len(),
        Op::List(_, len, _) => 3 * len,
        _ => 0,
    }
}

/// The module, the model, and what was called since it was loaded.
struct Runner {
    pair: Option<Pair>,
    since: Vec<Op>,
    course: Course,
}

impl Runner {
    fn new() -> Self {
        Self {
            pair: None,
            since: Vec::new(),
            course: Course::new(),
        }
    }

    /// Loads a module with a pot of this size.
    fn load(&mut self, size: usize) -> &mut Self {
        self.pair = None;
        self.since.clear();
        self.pair = Some(Pair::new(size));
        self
    }

    fn pair(&mut self) -> &mut Pair {
        self.pair.as_mut().expect("it is loaded")
    }

    fn step(&mut self, call: Op, edges: &mut Edges) -> Result<(), String> {
        self.since.push(call);
        let result = self.pair().step(call);
        coverage::look(edges);
        self.course.calls += 1;
        result.map_err(|why| {
            let size = self.pair().model.size;
            self.pair = None;
            told(size, std::mem::take(&mut self.since), why)
        })
    }

    /// Makes these calls, and `more` that are chosen then, in a module that is as it was after it was loaded, but for its
    /// counters and where the next byte in the pot goes.
    fn run(&mut self, calls: &[Op], more: usize, random: &mut Rng) -> Result<Input, String> {
        let mut before = Edges::default();
        if !self.since.is_empty() {
            for call in [Op::Clear, Op::Order(0), Op::WhenFull(0)] {
                self.step(call, &mut before)?;
            }
        }
        coverage::look(&mut before);
        let mut edges = Edges::default();
        let mut made = Vec::new();
        let mut bytes = MOST_BYTES_OF_ALL;
        let chosen = calls.iter().copied().map(Some);
        for call in chosen.chain(std::iter::repeat_n(None, more)) {
            let model = &self.pair().model;
            let call = call.unwrap_or_else(|| choose(random, model, &mut 0));
            let by_chance = matches!(call, Op::Order(1..));
            let clear = (by_chance && !model.is_unambiguous()).then_some(Op::Clear);
            for call in clear.into_iter().chain([call]) {
                if let Some(call) = plain(call, self.pair(), made.len()) {
                    let Some(left) = bytes.checked_sub(cost(call)) else {
                        continue;
                    };
                    bytes = left;
                    made.push(call);
                    self.step(call, &mut edges)?;
                }
            }
        }
        while !self.pair().files.is_empty() {
            self.step(Op::Close(0), &mut edges)?;
        }
        self.step(Op::Look, &mut edges)?;
        let reached = edges.iter().copied().collect();
        self.course.edges.extend(edges);
        Ok(Input {
            size: self.pair().model.size,
            calls: made,
            reached,
        })
    }
}

/// Another number, near to one, or one that means something.
fn other(random: &mut Rng, number: usize, size: usize) -> usize {
    let near = |random: &mut Rng, number: usize| {
        number.saturating_add(2).saturating_sub(random.usize(..5))
    };
    match random.u8(..6) {
        0..2 => near(random, number),
        2 => number.saturating_mul(2),
        3 => number / 2,
        _ => {
            let known = [
                0,
                1,
                8,
                32,
                128,
                256,
                990,
                4096,
                16384,
                MAX,
                size,
                2 * size + MAX,
            ];
            let number = random.choice(known).expect("there are some");
            near(random, number)
        }
    }
}

/// The same call with another number somewhere.
fn changed(random: &mut Rng, call: Op, size: usize) -> Op {
    let file = |random: &mut Rng| random.usize(..FILES);
    let most = |len: usize| len.min(MOST_BYTES);
    let offset = |random: &mut Rng, offset: Option<i64>| match offset {
        Some(offset) if random.bool() => {
            Some(other(random, offset.unsigned_abs() as usize, size) as i64)
        }
        _ => random.choice([None, Some(0), Some(1), Some(-1)]).unwrap(),
    };
    match call {
        Op::Close(_) => Op::Close(file(random)),
        Op::Read(at, len, writable, from) => match random.u8(..4) {
            0 => Op::Read(file(random), len, writable, from),
            1 => Op::Read(at, most(other(random, len, size)), usize::MAX, from),
            2 => Op::Read(at, len, other(random, writable, size), from),
            _ => Op::Read(at, len, writable, offset(random, from)),
        },
        Op::Write(at, text, readable, from) => match random.u8(..8) {
            0 => Op::Write(file(random), text, readable, from),
            1 => Op::Write(at, text, other(random, readable, size), from),
            2 => Op::Write(at, text, readable, offset(random, from)),
            _ => {
                let text = match text {
                    Text::Same(byte, len) => Text::Same(byte, most(other(random, len, size))),
                    Text::Own(number, len, newline) if random.u8(..4) == 0 => {
                        Text::Own(number, len, !newline)
                    }
                    Text::Own(number, len, newline) => {
                        Text::Own(number, most(other(random, len, size)), newline)
                    }
                    Text::Odd(seed, len) => Text::Odd(seed, other(random, len, size).min(4096)),
                    // Each takes some 13 bytes.
                    Text::File(number, count) => {
                        Text::File(number, other(random, count, size).min(MOST_BYTES / 16))
                    }
                };
                Op::Write(at, text, usize::MAX, from)
            }
        },
        Op::WriteMuch(at, len) => Op::WriteMuch(at, other(random, len, size).max(1)),
        Op::Seek(at, _, whence) => {
            let to = other(random, 0, size) as i64;
            Op::Seek(at, random.choice([to, -to]).unwrap(), whence)
        }
        Op::List(from, len, writable) => match random.u8(..3) {
            0 => Op::List(offset(random, Some(from)).unwrap_or(0), len, writable),
            1 => Op::List(from, most(other(random, len, size)), usize::MAX),
            _ => Op::List(from, len, other(random, writable, size)),
        },
        Op::Order(_) => Op::Order(random.usize(..3)),
        Op::WhenFull(word) => Op::WhenFull(1 - word),
        Op::Open | Op::BadWord | Op::Clear | Op::Look => call,
    }
}

/// A part of some calls.
fn part(random: &mut Rng, len: usize) -> std::ops::Range<usize> {
    let from = random.usize(..=len);
    from..(from + random.usize(1..=8)).min(len)
}

/// Calls that are made of those of some inputs, or of none.
fn mutated(random: &mut Rng, inputs: &[Input], size: usize) -> Vec<Op> {
    // Those that were found last have not been tried so often.
    let one = |random: &mut Rng| {
        let from = match random.u8(..3) {
            0 => inputs.len().saturating_sub(16),
            _ => 0,
        };
        random
            .choice(&inputs[from..])
            .map_or(&[][..], |input| &input.calls)
    };
    let model = Model::new(size);
    let mut calls = one(random).to_vec();
    for _ in 0..1 << random.u8(..4) {
        let at = random.usize(..=calls.len());
        match random.u8(..12) {
            0..2 => calls.insert(at, choose(random, &model, &mut 0)),
            2 => {
                let call = choose(random, &model, &mut 0);
                calls.insert(at, changed(random, call, size));
            }
            3 => {
                calls.drain(part(random, calls.len()));
            }
            4 => {
                let most = random.choice([8, 80]).expect("there are two");
                let part = part(random, calls.len());
                let again = calls[part.clone()].repeat(random.usize(1..most) / part.len().max(1));
                calls.splice(at..at, again);
            }
            5 => {
                let from = one(random);
                let from = &from[part(random, from.len())];
                calls.splice(at..at, from.iter().copied());
            }
            6 => {
                let from = one(random);
                calls.truncate(at);
                calls.extend(&from[random.usize(..=from.len())..]);
            }
            _ => {
                if let Some(call) = calls.get_mut(at) {
                    *call = changed(random, *call, size);
                }
            }
        }
    }
    calls.truncate(LONGEST);
    calls
}

/// What was found so far.
struct Search {
    random: Rng,
    runner: Runner,
    inputs: Vec<Input>,
    /// What they reach together.
    reached: FxHashSet<Edge>,
    /// How often something was new, and was not there again.
    doubts: FxHashMap<Edge, u32>,
}

impl Search {
    fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            runner: Runner::new(),
            inputs: Vec::new(),
            reached: FxHashSet::default(),
            doubts: FxHashMap::default(),
        }
    }

    /// Begins with what was found before.
    fn keep_corpus(&mut self) -> Result<(), String> {
        let mut inputs = read(CORPUS).into_iter();
        inputs.try_for_each(|input| self.keep(input.size, &input.calls))
    }

    /// Tries these calls in a module that was just loaded, and keeps those that it takes to reach something new.
    fn keep(&mut self, size: usize, calls: &[Op]) -> Result<(), String> {
        let input = self.tried(size, calls)?;
        let new = input
            .reached
            .iter()
            .filter(|edge| !self.reached.contains(edge));
        let new: Vec<Edge> = new.copied().collect();
        if !new.is_empty() {
            let least = input.calls.len() / 8;
            let input = self.shrink(input, &new, least)?;
            self.reached.extend(&input.reached);
            self.inputs.push(input);
        }
        Ok(())
    }

    /// What these calls reach in a module that was just loaded.
    fn tried(&mut self, size: usize, calls: &[Op]) -> Result<Input, String> {
        self.runner.load(size).run(calls, 0, &mut self.random)
    }

    /// Leaves out calls, so many at once or more, without which the others still reach what is `new`.
    fn shrink(&mut self, input: Input, new: &[Edge], least: usize) -> Result<Input, String> {
        let has = |input: &Input| new.iter().all(|edge| input.reached.contains(edge));
        let mut calls = input.calls.clone();
        let mut part = calls.len() / 2;
        while part > least {
            let mut from = 0;
            while from < calls.len() {
                let mut fewer = calls.clone();
                fewer.drain(from..(from + part).min(calls.len()));
                if self.runner.since.len() > EPOCH {
                    self.runner.load(input.size);
                }
                let fewer = self.runner.run(&fewer, 0, &mut self.random)?;
                if has(&fewer) {
                    calls = fewer.calls;
                } else {
                    from += part;
                }
            }
            part /= 2;
        }
        let shorter = self.tried(input.size, &calls)?;
        Ok(if has(&shorter) { shorter } else { input })
    }

    /// Tries inputs until a time is over.
    fn search(&mut self, time: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let random = &mut self.random;
            let known = random.choice(&self.inputs).map(|input| input.size);
            let any = random.choice(POT_SIZES).expect("there are some");
            let size = known.filter(|_| random.bool()).unwrap_or(any);
            self.runner.load(size);
            while self.runner.since.len() < EPOCH && begun.elapsed() < time {
                let calls = mutated(&mut self.random, &self.inputs, size);
                let more = match self.random.bool() {
                    true => self.random.usize(..LONGEST / 2),
                    false => 0,
                };
                let input = self.runner.run(&calls, more, &mut self.random)?;
                self.runner.course.say();
                let mut new: Vec<Edge> = input.reached.into_iter().collect();
                new.retain(|edge| {
                    !self.reached.contains(edge)
                        && self.doubts.get(edge).is_none_or(|&doubts| doubts < DOUBTS)
                });
                if !new.is_empty() {
                    self.keep(size, &input.calls)?;
                    new.retain(|edge| !self.reached.contains(edge));
                    for edge in new {
                        *self.doubts.entry(edge).or_default() += 1;
                    }
                    break;
                }
            }
            progress(
                begun.elapsed().min(time).as_secs() as usize,
                time.as_secs() as usize,
            );
        }
        Ok(())
    }

    /// As few and short inputs as reach all, of those that this finds, each with what it is needed for.
    fn needed(&self) -> Vec<(Input, Vec<Edge>)> {
        let mut left = self.reached.clone();
        let mut needed = Vec::new();
        while !left.is_empty() {
            let new = |input: &Input| -> Vec<Edge> {
                let new = input.reached.iter().filter(|edge| left.contains(edge));
                new.copied().collect()
            };
            // As much as possible for each call, of which some open and close files.
            let worth = |input: &&Input| 1000 * new(input).len() / (input.calls.len() + 5);
            let input = self.inputs.iter().max_by_key(worth);
            let input = input.expect("all was reached by some");
            let new = new(input);
            new.iter().for_each(|edge| {
                left.remove(edge);
            });
            needed.push((input.clone(), new));
        }
        needed
    }

    fn summary(&self) -> String {
        let calls: usize = self.inputs.iter().map(|input| input.calls.len()).sum();
        let (inputs, edges) = (self.inputs.len(), self.reached.len());
        format!("{inputs} inputs of {calls} calls, {edges} edges")
    }

    /// Leaves only those inputs, and of each only those calls, that it takes.
    fn minimise(&mut self) -> Result<(), String> {
        let needed = self.needed();
        self.inputs.clear();
        self.reached.clear();
        for (input, new) in needed {
            self.runner.load(input.size);
            let input = self.shrink(input, &new, 0)?;
            self.reached.extend(&input.reached);
            self.inputs.push(input);
        }
        self.inputs = self.needed().into_iter().map(|(input, _)| input).collect();
        self.inputs.sort_by_key(|input| input.size);
        Ok(())
    }
}

/// The command `guest fuzz --guided`: prints a corpus, which goes on from the one there is.
pub(crate) fn run(minutes: u64) -> Result<(), String> {
    if !coverage::is_recorded() {
        return Err(NOT_RECORDED.to_owned());
    }
    println!("# SPDX-License-Identifier: GPL-2.0");
    println!(
        "# What `guest fuzz --guided {minutes}` has found, and how far it was after some time: see guided.rs."
    );
    let mut search = Search::new(minutes);
    search.keep_corpus()?;
    println!("# the corpus: {}", search.summary());
    search.search(Duration::from_secs(60 * minutes))?;
    println!("# kept: {}", search.summary());
    search.minimise()?;
    println!("# what it takes of those: {}", search.summary());
    search.inputs.iter().for_each(|input| print!("{input}"));
    Ok(())
}

/// What was found before behaves like the model.
pub(crate) fn the_corpus() {
    let mut search = Search::new(0);
    let inputs = read(CORPUS);
    for input in &inputs {
        if let Err(why) = search.tried(input.size, &input.calls) {
            panic!("{why}");
        }
    }
    let Course { calls, edges, .. } = &search.runner.course;
    let mut words = "{} of {} behave like the model".to_owned();
    let mut limits = vec![
        Limit::least(inputs.len(), 10, "inputs"),
        Limit::least(*calls, 100, "calls"),
    ];
    if coverage::is_recorded() {
        words += ", and reach {}";
        limits.push(Limit::least(edges.len(), LEAST_EDGES, "edges"));
    }
    figure("S30", &words, &limits);
}

/// Looks for more.
pub(crate) fn guided_by_coverage() {
    if !coverage::is_recorded() {
        skip(NOT_RECORDED);
    }
    let minutes = amount(1, 60);
    let mut search = Search::new(1);
    let found = search
        .keep_corpus()
        .and_then(|()| search.search(Duration::from_secs(60 * minutes)));
    if let Err(why) = found {
        panic!("{why}");
    }
    let Course { calls, edges, .. } = &search.runner.course;
    figure(
        "S31",
        &format!("{{}} guided by what they reach, for {minutes} min, behave like the model: {{}}"),
        &[
            Limit::least(*calls, 1, "calls"),
            Limit::least(edges.len(), LEAST_EDGES, "edges"),
        ],
    );
}
