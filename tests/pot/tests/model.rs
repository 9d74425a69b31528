// SPDX-License-Identifier: GPL-2.0

//! The pot against a model of it, a list of fortunes as the README describes it, and what is written
//! against another way to take it apart.

use pot::{
    pot::{
        BLOCK_LEN, Block, Demand, Drawn, Lot, Order, Pot, Refused, Slot, Stats, WhenFull, cost,
        index_len,
    },
    records::{Progress, Records, at_close},
};
use proptest::{collection::vec, prelude::*};
use std::collections::VecDeque;

ktap::tests!(pot, Host:
    behaves_like_the_model,
    is_taken_apart_like_by_the_machine,
    file_that_begins_with_a_separator_is_never_split,
    what_a_pot_reads_as_restores_it,
    many_fortunes_come_and_go,
);

type HostPot = Pot<Vec<u8>, Box<Block>, Vec<Slot<Box<Block>>>>;

/// How many open files there are.
const FILES: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    /// Through this file: store these, and reserve so many bytes.
    Store(usize, Vec<Vec<u8>>, usize),
    /// Through this file: store as many bytes as are reserved for it.
    Complete(usize),
    /// What is being stored goes on: it gets blocks, or so many of its texts.
    GoOn(usize),
    /// Into a buffer of this size, with this lot.
    Draw(usize, u32),
    Order(Order),
    WhenFull(WhenFull),
    Clear,
    Trim,
}

struct Model {
    size: usize,
    /// The fortunes, each with whether this lap has drawn it.
    fortunes: VecDeque<(Vec<u8>, bool)>,
    next: usize,
    reserved: [usize; FILES],
    order: Order,
    when_full: WhenFull,
    stats: Stats,
    /// What is being stored: nobody sees it.
    storing: Option<Vec<Vec<u8>>>,
}

impl Model {
    fn used(&self) -> usize {
        self.fortunes.iter().map(|(text, _)| text.len() + 1).sum()
    }

    fn begin(&mut self, file: usize, texts: &[Vec<u8>], after: usize) -> bool {
        let needed: usize = texts.iter().map(|text| text.len() + 1).sum();
        let mut reserved = self.reserved;
        reserved[file] = after;
        let free = |used| (used + needed + reserved.iter().sum::<usize>()) <= self.size;
        if !free(0) || (self.when_full == WhenFull::Reject && !free(self.used())) {
            return false;
        }
        while self.used() + needed + reserved.iter().sum::<usize>() > self.size {
            self.fortunes.pop_front();
            self.next = self.next.saturating_sub(1);
            self.stats.evictions += 1;
        }
        self.reserved = reserved;
        self.storing = Some(texts.to_vec());
        true
    }

    fn finish(&mut self) {
        let texts = self.storing.take().unwrap();
        self.stats.stores += texts.len() as u64;
        self.fortunes
            .extend(texts.into_iter().map(|text| (text, false)));
    }

    /// Whether `text` may be what a draw returns, and if so the model after that.
    fn draw(&mut self, text: &[u8]) -> bool {
        let fortunes = &mut self.fortunes;
        match self.order {
            Order::Sequential => {
                let next = if self.next < fortunes.len() {
                    self.next
                } else {
                    0
                };
                self.next = next + 1;
                fortunes[next].0 == text
            }
            Order::Random => fortunes.iter().any(|(fortune, _)| fortune == text),
            Order::Shuffle => {
                if fortunes.iter().all(|&(_, drawn)| drawn) {
                    fortunes.iter_mut().for_each(|(_, drawn)| *drawn = false);
                }
                let mut due = fortunes.iter_mut();
                match due.find(|(fortune, drawn)| !drawn && fortune == text) {
                    Some((_, drawn)) => *drawn = true,
                    None => return false,
                }
                true
            }
        }
    }

    fn stats(&self) -> Stats {
        Stats {
            used: self.used() as u64,
            reserved: self.reserved.iter().sum::<usize>() as u64,
            fortunes: self.fortunes.len() as u64,
            ..self.stats
        }
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 2..12)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..FILES, vec(text(), 0..4), 0..20usize)
            .prop_map(|(file, texts, after)| Op::Store(file, texts, if after < 3 { 0 } else { after })),
        2 => (0..FILES).prop_map(Op::Complete),
        3 => (0..3usize).prop_map(Op::GoOn),
        6 => (prop_oneof![Just(100), 0..14usize], any::<u32>())
            .prop_map(|(len, lot)| Op::Draw(len, lot)),
        1 => prop_oneof![Just(Order::Sequential), Just(Order::Random), Just(Order::Shuffle)]
            .prop_map(Op::Order),
        1 => prop_oneof![Just(WhenFull::Reject), Just(WhenFull::Evict)].prop_map(Op::WhenFull),
        1 => prop_oneof![Just(Op::Clear), Just(Op::Trim)],
    ]
}

fn run(size: usize, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let places = (0..index_len(size)).map(|_| Slot::default()).collect();
    let mut pot: HostPot = Pot::new(vec![0; size], places);
    let mut model = Model {
        size,
        fortunes: VecDeque::new(),
        next: 0,
        reserved: [0; FILES],
        order: Order::Sequential,
        when_full: WhenFull::Reject,
        stats: Stats::default(),
        storing: None,
    };
    let mut serial = 0u16;
    // What is being stored in parts: the blocks it still needs, and its texts.
    let mut blocks = vec![].into_iter();
    let mut extended = true;
    let mut coming: VecDeque<Vec<u8>> = VecDeque::new();
    for op in ops {
        let (file, mut texts, after) = match op {
            Op::Store(file, texts, after) => (file, texts, after),
            Op::Complete(file) if model.reserved[file] > 0 => {
                (file, vec![vec![b'r'; model.reserved[file] - 1]], 0)
            }
            Op::Complete(file) => (file, vec![], 0),
            Op::GoOn(count) => {
                if model.storing.is_none() {
                    continue;
                }
                if !extended {
                    extended = pot.extend(&mut blocks);
                } else if count > 0 && !coming.is_empty() {
                    let texts: Vec<_> = coming.drain(..count.min(coming.len())).collect();
                    pot.fill(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
                } else if coming.is_empty() {
                    pot.finish();
                    model.finish();
                    check(&pot, &model)?;
                }
                prop_assert_eq!(pot.stats(), model.stats());
                continue;
            }
            Op::Draw(len, number) => {
                let mut lot = Lot::default();
                let mut drawn = pot.draw(&mut lot, |n| number % n, len);
                let mut needed = None;
                if let Drawn::TooLong(long) = drawn {
                    prop_assert!(len < long);
                    prop_assert_eq!(pot.stats(), model.stats());
                    drawn = pot.draw(&mut lot, |_| panic!("the lot stands"), long);
                    needed = Some(long);
                }
                match drawn {
                    Drawn::Fortune(head, tail) => {
                        let text = [head, tail].concat();
                        prop_assert!(needed.is_none_or(|needed| needed == text.len()));
                        prop_assert_eq!(text.last(), Some(&b'\n'));
                        prop_assert!(model.draw(&text[..text.len() - 1]), "{:?}", text);
                        model.stats.draws += 1;
                    }
                    Drawn::Nothing => prop_assert!(needed.is_none() && model.fortunes.is_empty()),
                    Drawn::TooLong(long) => panic!("{long} bytes, after {needed:?}"),
                }
                continue;
            }
            Op::Order(order) => {
                pot.set_order(order);
                if order != model.order {
                    model.next = 0;
                    model
                        .fortunes
                        .iter_mut()
                        .for_each(|(_, drawn)| *drawn = false);
                }
                model.order = order;
                continue;
            }
            Op::WhenFull(when_full) => {
                pot.set_when_full(when_full);
                model.when_full = when_full;
                continue;
            }
            Op::Clear => {
                pot.clear();
                model.fortunes.clear();
                model.next = 0;
                model.stats.clears += 1;
                continue;
            }
            Op::Trim => {
                while pot.surplus().is_some() {}
                continue;
            }
        };
        // No two are alike, so that it shows which one a draw returns.
        for text in &mut texts {
            serial += 1;
            text[..2].copy_from_slice(&serial.to_le_bytes());
        }
        let demand = Demand {
            fortunes: texts.len(),
            bytes: texts.iter().map(|text| cost(text.len())).sum(),
            before: model.reserved[file],
            after,
        };
        let text = texts.first().map(Vec::as_slice);
        let mut stored = if texts.len() < 2 && serial % 2 == 0 {
            pot.store(demand, text)
        } else {
            Err(Refused::NeedsBlocks(0))
        };
        let at_once = stored.is_ok();
        let mut count = 0;
        while let Err(Refused::NeedsBlocks(needed)) = stored {
            prop_assert!(needed <= 2);
            count = needed;
            stored = pot.begin(demand, count);
            prop_assert!(stored != Err(Refused::NeedsBlocks(count)));
        }
        if model.storing.is_some() {
            prop_assert_eq!(stored, Err(Refused::Busy));
            continue;
        }
        let expected = if model.begin(file, &texts, after) {
            Ok(())
        } else {
            Err(Refused::NoSpace)
        };
        prop_assert_eq!(stored, expected);
        if at_once {
            model.finish();
        } else if expected.is_ok() {
            let new = || Box::new(([7; BLOCK_LEN], [u64::MAX; 16], 1));
            blocks = (0..count).map(|_| new()).collect::<Vec<_>>().into_iter();
            extended = false;
            coming = texts.into();
        }
        check(&pot, &model)?;
    }
    Ok(())
}

/// Whether the pot says that it is, and lists, what is in the model.
fn check(pot: &HostPot, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(pot.stats(), model.stats());
    let mut whole = Vec::new();
    for (text, _) in &model.fortunes {
        whole.extend([text.as_slice(), b"\n%\n"].concat());
    }
    if !whole.is_empty() {
        whole.splice(..0, *b"%\n");
    }
    let mut list = vec![0; whole.len() + 10];
    prop_assert_eq!(pot.list(&mut 0, usize::MAX, &mut list), Ok(whole.len()));
    prop_assert_eq!(&list[..whole.len()], &whole);
    // From a position, to the end of the list.
    let pos = model.stats.stores as usize * 7 % (whole.len() + 3);
    let (mut item, before) = pot.find(pos as u64);
    let len = pot.list(&mut item, usize::MAX, &mut list);
    let rest = list[..len.unwrap()].get(before as usize..);
    prop_assert_eq!(
        rest.unwrap_or_default(),
        whole.get(pos..).unwrap_or_default()
    );
    Ok(())
}

/// Takes apart what one open file writes, byte for byte.
#[derive(Default)]
struct Machine {
    records: Vec<Vec<u8>>,
    fortune: Vec<u8>,
    line: Vec<u8>,
    separated: bool,
}

impl Machine {
    fn complete(&mut self) {
        let mut fortune = std::mem::take(&mut self.fortune);
        if fortune.last() == Some(&b'\n') {
            fortune.pop();
        }
        if !fortune.is_empty() {
            self.records.push(fortune);
        }
    }

    fn write(&mut self, chunk: &[u8]) {
        for &byte in chunk {
            if byte == b'\n' && self.line == b"%" {
                self.line.clear();
                self.separated = true;
                self.complete();
            } else {
                self.line.push(byte);
                if byte == b'\n' {
                    self.fortune.append(&mut self.line);
                }
            }
        }
        if chunk.ends_with(b"\n") && !self.separated {
            self.complete();
        }
    }

    fn close(&mut self) {
        if self.line == b"%" {
            self.line.clear();
        }
        self.fortune.append(&mut self.line);
        self.complete();
    }
}

/// What the module does with what one open file writes.
fn take_apart(chunks: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut stored, mut unfinished, mut progress) = (vec![], vec![], Progress::default());
    for chunk in chunks {
        let text = [unfinished.as_slice(), chunk].concat();
        let mut records = Records::new(&text, unfinished.len(), progress);
        for record in &mut records {
            stored.push(record.to_vec());
        }
        let rest;
        (rest, progress) = records.rest();
        unfinished = rest.to_vec();
    }
    stored.push(at_close(&unfinished, progress).to_vec());
    stored.retain(|record| !record.is_empty());
    stored
}

fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b'\n'), 3 => Just(b'%'), 1 => Just(b'a'), 1 => Just(b' '), 1 => Just(b'\r'), 1 => Just(0),
    ];
    vec(byte, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig {
        // For mutants of the pot, some must do.
        cases: std::env::var("CASES").map_or(ktap::amount(50_000, 1_000_000), |cases| cases.parse().expect("a number")),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    fn behaves_like_the_model(size in 0..120usize, ops in vec(op(), 0..60)) {
        run(size, ops)?;
    }

    fn is_taken_apart_like_by_the_machine(chunks in vec(chunk(), 0..8)) {
        let mut machine = Machine::default();
        for chunk in &chunks {
            machine.write(chunk);
        }
        machine.close();
        prop_assert_eq!(take_apart(&chunks), machine.records);
    }

    fn file_that_begins_with_a_separator_is_never_split(chunks in vec(chunk(), 0..8)) {
        let mut chunks = chunks;
        chunks.insert(0, b"%\n".to_vec());
        let whole = vec![chunks.concat()];
        prop_assert_eq!(take_apart(&chunks), take_apart(&whole));
        let single: Vec<Vec<u8>> = whole[0].iter().map(|&byte| vec![byte]).collect();
        prop_assert_eq!(take_apart(&single), take_apart(&whole));
    }

    fn what_a_pot_reads_as_restores_it(fortunes in vec(vec(prop_oneof![Just(b'\n'), Just(b'%'), Just(b'x')], 1..6), 0..6)) {
        // What can be stored has no line of just `%`.
        let fortunes: Vec<Vec<u8>> = fortunes
            .into_iter()
            .filter(|text| !text.split(|&byte| byte == b'\n').any(|line| line == b"%"))
            .collect();
        let mut saved = b"%\n".to_vec();
        for text in &fortunes {
            saved.extend([text.as_slice(), b"\n%\n"].concat());
        }
        prop_assert_eq!(take_apart(&[saved]), fortunes);
    }
}

/// Sizes at which the blocks of the index begin, end and are used again.
fn many_fortunes_come_and_go() {
    let size = 5 * BLOCK_LEN;
    let mut random = 1u32;
    let mut next = move |n: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % n
    };
    let mut ops = vec![Op::WhenFull(WhenFull::Evict), Op::Order(Order::Shuffle)];
    for number in 0..3000 {
        let mut texts = Vec::new();
        for byte in 0..next(20) as u8 {
            texts.push(vec![byte; 2 + next(3) as usize]);
        }
        let file = next(FILES as u32) as usize;
        ops.push(Op::Store(file, texts, 3 * next(3) as usize));
        ops.push(Op::Draw(100, next(u32::MAX)));
        ops.extend((0..12).map(|_| Op::GoOn(2)));
        match number % 500 {
            499 => ops.push(Op::Clear),
            250 => ops.push(Op::Trim),
            _ => {}
        }
    }
    run(size, ops).unwrap();
}
