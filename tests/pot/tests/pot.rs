// SPDX-License-Identifier: GPL-2.0

//! The pot, by example.

use pot::pot::{
    BLOCK_LEN, Batch, Block, Demand, Drawn, Lot, MAX_FORTUNE, MAX_POT, Order, Pot, Refused, Slot,
    WhenFull, cost, index_len, most_blocks,
};
use pot::records::{Progress, Records};
use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
};

ktap::tests!(pot, Host:
    draws_in_the_order_stored,
    wraps_at_the_next_draw,
    is_full_to_the_byte,
    goes_on_at_the_first_byte,
    evicts_as_many_as_it_takes,
    keeps_what_is_reserved,
    takes_the_longest,
    too_little_room_moves_nothing,
    limits,
    evicting_for_ever_takes_no_new_blocks,
    a_lot_stands_while_it_can,
    shuffle_draws_what_comes_in_this_lap,
    another_order_starts_a_lap,
    asks_for_blocks_and_gives_them_back,
    nobody_sees_what_comes_in_parts,
    others_leave_the_blocks_that_were_counted_on,
    batches_are_bounded,
    is_listed_from_anywhere,
    shuffle_draws_any_of_those_that_are_left,
    shuffle_draws_each_of_many_once_a_lap,
    sections_are_bounded,
    blocks_come_in_few_rounds,
    index_is_small,
    newlines_are_found_anywhere,
);

type HostPot = Pot<Vec<u8>, Box<Block>, Vec<Slot<Box<Block>>>>;

fn new(size: usize) -> HostPot {
    Pot::new(
        vec![0; size],
        (0..index_len(size)).map(|_| Slot::default()).collect(),
    )
}

fn block() -> Box<Block> {
    // Whatever it was used for before.
    Box::new(([7; BLOCK_LEN], [u64::MAX; 16], 1))
}

/// Does what `demand` says but for the fortunes: one at once, others in parts. Says how many blocks that took.
fn store_counting(pot: &mut HostPot, demand: Demand, texts: &[&[u8]]) -> Result<usize, Refused> {
    let demand = Demand {
        fortunes: texts.len(),
        bytes: texts.iter().map(|text| cost(text.len())).sum(),
        ..demand
    };
    if texts.len() < 2 {
        match pot.store(demand, texts.first().copied()) {
            Err(Refused::NeedsBlocks(_)) => {}
            result => return result.map(|()| 0),
        }
    }
    let mut blocks = Vec::new();
    while let Err(refused) = pot.begin(demand, blocks.len()) {
        let Refused::NeedsBlocks(count) = refused else {
            return Err(refused);
        };
        assert!(count > blocks.len() && count <= most_blocks(texts.len() + 1));
        blocks.resize_with(count, block);
    }
    let count = blocks.len();
    let mut blocks = blocks.into_iter();
    while !pot.extend(&mut blocks) {}
    assert_eq!(blocks.len(), 0, "it asked for them");
    let (mut batch, mut texts) = (Batch::default(), texts.iter().copied());
    loop {
        batch.take(&mut texts);
        if batch.texts().is_empty() {
            break;
        }
        pot.fill(batch.texts());
    }
    pot.finish();
    Ok(count)
}

fn store_with(pot: &mut HostPot, demand: Demand, texts: &[&[u8]]) -> Result<(), Refused> {
    store_counting(pot, demand, texts).map(drop)
}

fn store(pot: &mut HostPot, texts: &[&str]) -> Result<(), Refused> {
    let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    store_with(pot, Demand::default(), &texts)
}

fn reserve(pot: &mut HostPot, before: usize, after: usize) -> Result<(), Refused> {
    let demand = Demand {
        before,
        after,
        ..Demand::default()
    };
    store_with(pot, demand, &[])
}

fn draw(pot: &mut HostPot) -> Option<String> {
    match pot.draw(&mut Lot::default(), |n| n - 1, MAX_FORTUNE + 1) {
        Drawn::Nothing => None,
        Drawn::Fortune(head, tail) => Some(String::from_utf8([head, tail].concat()).unwrap()),
        Drawn::TooLong(len) => panic!("{len} bytes"),
    }
}

/// The fortunes, each with its newline; none has a line of just `%`.
fn contents(pot: &HostPot) -> String {
    let mut list = vec![0; 1 << 20];
    let len = pot.list(&mut 0, usize::MAX, &mut list).unwrap();
    let list = std::str::from_utf8(&list[..len]).unwrap();
    list.replace("%\n", "")
}

fn draws_in_the_order_stored() {
    let mut pot = new(100);
    assert_eq!(draw(&mut pot), None);
    store(&mut pot, &["one", "two"]).unwrap();
    store(&mut pot, &["three"]).unwrap();
    for text in ["one\n", "two\n", "three\n", "one\n"] {
        assert_eq!(draw(&mut pot).unwrap(), text);
    }
}

fn wraps_at_the_next_draw() {
    let mut pot = new(100);
    store(&mut pot, &["one"]).unwrap();
    assert_eq!(draw(&mut pot).unwrap(), "one\n");
    store(&mut pot, &["two"]).unwrap();
    assert_eq!(draw(&mut pot).unwrap(), "two\n");
    assert_eq!(draw(&mut pot).unwrap(), "one\n");
}

fn is_full_to_the_byte() {
    for size in 0..20 {
        for len in 1..20 {
            let mut pot = new(size);
            let fits = store(&mut pot, &[&"x".repeat(len)]).is_ok();
            assert_eq!(fits, len < size, "{len} into {size}");
            if !fits {
                assert_eq!(draw(&mut pot), None);
            }
        }
    }
}

fn goes_on_at_the_first_byte() {
    for size in 4..20 {
        let mut pot = new(size);
        pot.set_when_full(WhenFull::Evict);
        for number in 0..100 {
            let text = "abcdefghijklmnopqrstuvwxyz"[..1 + number % (size - 1)].to_owned();
            store(&mut pot, &[&text]).unwrap();
            assert!(contents(&pot).ends_with(&(text + "\n")), "{size} {number}");
            assert!(pot.stats().used as usize <= size);
            assert_eq!(pot.stats().used as usize, contents(&pot).len());
        }
    }
}

fn evicts_as_many_as_it_takes() {
    let mut pot = new(12);
    store(&mut pot, &["1", "2", "3", "4", "5", "6"]).unwrap();
    assert_eq!(store(&mut pot, &["7"]), Err(Refused::NoSpace));
    pot.set_when_full(WhenFull::Evict);
    assert_eq!(draw(&mut pot).unwrap(), "1\n");
    store(&mut pot, &["abcd"]).unwrap();
    assert_eq!(contents(&pot), "4\n5\n6\nabcd\n");
    // The next one has left: the cursor is at the oldest.
    assert_eq!(draw(&mut pot).unwrap(), "4\n");
    // What never fits evicts nothing.
    assert_eq!(
        store(&mut pot, &["x".repeat(12).as_str()]),
        Err(Refused::NoSpace)
    );
    assert_eq!(store(&mut pot, &["x"; 7]), Err(Refused::NoSpace));
    assert_eq!(contents(&pot), "4\n5\n6\nabcd\n");
    assert_eq!(pot.stats().evictions, 3);
}

fn keeps_what_is_reserved() {
    let mut pot = new(10);
    store(&mut pot, &["one"]).unwrap();
    reserve(&mut pot, 0, 6).unwrap();
    assert_eq!(store(&mut pot, &["x"]), Err(Refused::NoSpace));
    assert_eq!(reserve(&mut pot, 6, 7), Err(Refused::NoSpace));
    pot.clear();
    pot.set_when_full(WhenFull::Evict);
    assert_eq!(store(&mut pot, &["12345"]), Err(Refused::NoSpace));
    store(&mut pot, &["123"]).unwrap();
    // Taking more evicts, completing what was reserved does not.
    reserve(&mut pot, 6, 7).unwrap();
    assert_eq!(contents(&pot), "");
    store(&mut pot, &["12"]).unwrap();
    let complete = Demand {
        before: 7,
        ..Demand::default()
    };
    store_with(&mut pot, complete, &[b"123456"]).unwrap();
    assert_eq!(contents(&pot), "12\n123456\n");
    assert_eq!((pot.stats().used, pot.stats().reserved), (10, 0));
}

fn takes_the_longest() {
    let mut pot = new(MAX_FORTUNE + 1);
    store(&mut pot, &[&"x".repeat(MAX_FORTUNE)]).unwrap();
    assert_eq!(draw(&mut pot).unwrap().len(), MAX_FORTUNE + 1);
}

fn too_little_room_moves_nothing() {
    for order in [Order::Sequential, Order::Random, Order::Shuffle] {
        let mut pot = new(100);
        pot.set_order(order);
        store(&mut pot, &["fortune"]).unwrap();
        for room in 0..8 {
            let drawn = pot.draw(&mut Lot::default(), |_| 0, room);
            assert_eq!(drawn, Drawn::TooLong(8));
        }
        assert_eq!(pot.stats().draws, 0);
        assert_eq!(draw(&mut pot).unwrap(), "fortune\n");
    }
}

fn limits() {
    assert_eq!((MAX_POT, MAX_FORTUNE), (67_108_864, 65_536));
}

fn evicting_for_ever_takes_no_new_blocks() {
    let mut pot = new(2 * 3 * BLOCK_LEN);
    pot.set_when_full(WhenFull::Evict);
    let mut added = 0;
    for round in 0..20 * BLOCK_LEN {
        let more = store_counting(&mut pot, Demand::default(), &[b"x"]).unwrap();
        assert!(more == 0 || round < 5 * BLOCK_LEN, "in round {round}");
        added += more;
        assert!(pot.surplus().is_none());
    }
    // Fortunes for three blocks lie in four, and one more is kept for those that come.
    assert!((4..=5).contains(&added), "{added}");
}

fn a_lot_stands_while_it_can() {
    let mut pot = new(100);
    store(&mut pot, &["first", "second", "third"]).unwrap();
    for order in [Order::Random, Order::Shuffle] {
        pot.set_order(order);
        let mut lot = Lot::default();
        assert_eq!(pot.draw(&mut lot, |_| 1, 0), Drawn::TooLong(7));
        // Not asked again.
        let drawn = pot.draw(&mut lot, |_| panic!("a lot was drawn"), 7);
        assert_eq!(drawn, Drawn::Fortune(b"second\n", b""));
        // It was drawn in this lap, or is gone: another one.
        if order == Order::Shuffle {
            let drawn = pot.draw(&mut lot, |n| n - 1, 7);
            assert_eq!(drawn, Drawn::Fortune(b"third\n", b""));
        }
        pot.clear();
        store(&mut pot, &["fourth"]).unwrap();
        let drawn = pot.draw(&mut lot, |n| n - 1, 7);
        assert_eq!(drawn, Drawn::Fortune(b"fourth\n", b""));
        pot.clear();
        store(&mut pot, &["first", "second", "third"]).unwrap();
    }
}

fn shuffle_draws_what_comes_in_this_lap() {
    let mut pot = new(100);
    pot.set_order(Order::Shuffle);
    store(&mut pot, &["1", "2", "3"]).unwrap();
    let mut lap: Vec<_> = (0..2).map(|_| draw(&mut pot).unwrap()).collect();
    store(&mut pot, &["4"]).unwrap();
    lap.extend((0..2).map(|_| draw(&mut pot).unwrap()));
    // The lap is over, but the next one has not begun; nor does it with a draw that has too little room.
    let drawn = pot.draw(&mut Lot::default(), |_| 0, 0);
    assert_eq!(drawn, Drawn::TooLong(2));
    store(&mut pot, &["5"]).unwrap();
    let drawn = pot.draw(&mut Lot::default(), |_| 0, 2);
    assert_eq!(drawn, Drawn::Fortune(b"5\n", b""));
    lap.sort();
    assert_eq!(lap.concat(), "1\n2\n3\n4\n");
}

fn another_order_starts_a_lap() {
    let mut pot = new(100);
    store(&mut pot, &["1", "2", "3"]).unwrap();
    assert_eq!(draw(&mut pot).unwrap(), "1\n");
    pot.set_order(Order::Sequential);
    assert_eq!(draw(&mut pot).unwrap(), "2\n");
    pot.set_order(Order::Random);
    pot.set_order(Order::Sequential);
    assert_eq!(draw(&mut pot).unwrap(), "1\n");
}

fn asks_for_blocks_and_gives_them_back() {
    let size = 4 * BLOCK_LEN;
    let mut pot = new(size);
    let texts = vec![b"x".as_slice(); 2 * BLOCK_LEN];
    let whole = Demand {
        fortunes: texts.len(),
        bytes: size,
        ..Demand::default()
    };
    assert_eq!(pot.begin(whole, 0), Err(Refused::NeedsBlocks(2)));
    assert_eq!(pot.begin(whole, 1), Err(Refused::NeedsBlocks(2)));
    assert_eq!(store_counting(&mut pot, whole, &texts), Ok(2));
    assert_eq!(pot.stats().fortunes as usize, 2 * BLOCK_LEN);
    assert!(pot.surplus().is_none());

    // What leaves makes room in the index too: at most one block more, since the first one need not be full.
    pot.set_when_full(WhenFull::Evict);
    let mut blocks = 2;
    for _ in 0..10 * BLOCK_LEN {
        blocks += store_counting(&mut pot, Demand::default(), &[b"y"]).unwrap();
    }
    assert!(blocks <= 3, "{blocks}");
    assert_eq!(pot.stats().fortunes as usize, 2 * BLOCK_LEN);

    pot.clear();
    while pot.surplus().is_some() {
        blocks -= 1;
    }
    assert!(blocks <= 1, "{blocks}");
    store(&mut pot, &["z"]).unwrap();
    assert_eq!(draw(&mut pot).unwrap(), "z\n");
}

fn nobody_sees_what_comes_in_parts() {
    let mut pot = new(100);
    pot.set_when_full(WhenFull::Evict);
    store(&mut pot, &["old", &"x".repeat(80)]).unwrap();
    let demand = Demand {
        fortunes: 3,
        bytes: 18,
        ..Demand::default()
    };
    // One leaves at once, and the others come at the end.
    let whole = "x".repeat(80) + "\n";
    pot.begin(demand, 0).unwrap();
    assert_eq!(contents(&pot), whole);
    assert!(pot.extend(&mut std::iter::empty()));
    for texts in [&[b"one  ".as_slice()][..], &[b"two  ", b"three"]] {
        pot.fill(texts);
        assert_eq!(contents(&pot), whole);
        assert_eq!(pot.store(Demand::default(), None), Err(Refused::Busy));
        assert_eq!(pot.begin(demand, 9), Err(Refused::Busy));
        assert_eq!(draw(&mut pot).unwrap(), whole);
        assert!(pot.surplus().is_none());
    }
    // Nor is it cleared.
    pot.clear();
    assert_eq!(pot.stats().stores, 2);
    pot.finish();
    assert_eq!(contents(&pot), "one  \ntwo  \nthree\n");
    assert_eq!((pot.stats().used, pot.stats().stores), (18, 5));
    assert_eq!(draw(&mut pot).unwrap(), "one  \n");
}

fn others_leave_the_blocks_that_were_counted_on() {
    let mut pot = new(20 * BLOCK_LEN);
    pot.set_when_full(WhenFull::Evict);
    let texts = vec![b"x".as_slice(); 10 * BLOCK_LEN];
    store_with(&mut pot, Demand::default(), &texts).unwrap();
    let demand = Demand {
        fortunes: texts.len(),
        bytes: 20 * BLOCK_LEN,
        ..Demand::default()
    };
    pot.begin(demand, 0).unwrap();
    assert!(pot.surplus().is_none());
    while !pot.extend(&mut std::iter::empty()) {
        assert!(pot.surplus().is_none());
    }
    texts.chunks(32).for_each(|texts| pot.fill(texts));
    pot.finish();
    assert_eq!(contents(&pot), "x\n".repeat(texts.len()));
}

fn batches_are_bounded() {
    let long = vec![b'x'; MAX_FORTUNE];
    let long = long.as_slice();
    let lens = |texts: &[&[u8]]| {
        let mut batch = Batch::default();
        let (mut texts, mut lens) = (texts.iter().copied(), vec![]);
        loop {
            batch.take(&mut texts);
            if batch.texts().is_empty() {
                return lens;
            }
            let bytes: usize = batch.texts().iter().map(|text| text.len()).sum();
            assert!(bytes <= 2 * MAX_FORTUNE);
            lens.push(batch.texts().len());
        }
    };
    assert!(lens(&[]).is_empty());
    assert_eq!(lens(&[b"", b"", b"x", b"", b"y", b""]), [2]);
    assert_eq!(lens(&[b"x".as_slice(); 70]), [32, 32, 6]);
    assert_eq!(lens(&[b"x", long, b"y", long, long]), [2, 2, 1]);
}

fn is_listed_from_anywhere() {
    for size in [0, 40, 100] {
        let mut pot = new(size);
        pot.set_when_full(WhenFull::Evict);
        for number in 0..50usize {
            let text = "%\nabcdefghijk"[..1 + number * 5 % 13].to_owned();
            let _ = store(&mut pot, &[&text]);
            let mut whole = vec![0; 1000];
            let len = pot.list(&mut 0, usize::MAX, &mut whole).unwrap();
            let whole = &whole[..len];
            for pos in 0..len + 3 {
                let (mut item, before) = pot.find(pos as u64);
                for enough in [1, 7, 50] {
                    // Until it is long enough, and to the end of an item.
                    let enough = before as usize + enough;
                    let mut place = [0; 100];
                    let mut at = item;
                    let len = pot.list(&mut at, enough, &mut place).unwrap();
                    let listed = &place[(before as usize).min(len)..len];
                    let rest = whole.get(pos..).unwrap_or_default();
                    assert!(rest.starts_with(listed));
                    assert!(len >= enough || listed == rest);
                    assert!(listed == rest || listed.ends_with(b"\n%\n") || listed.len() < 3);
                }
                // No part of one for which there is no room.
                if pos < len {
                    let needed = pot.list(&mut item, 1, &mut []).unwrap_err();
                    let mut place = vec![0; needed];
                    assert_eq!(pot.list(&mut item, 1, &mut place), Ok(needed));
                }
            }
        }
    }
}

thread_local! {
    /// How many places of the index were looked at.
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

struct Counted<T>(T);

impl<T> Deref for Counted<Vec<T>> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        STEPS.set(STEPS.get() + 1);
        &self.0
    }
}

impl<T> DerefMut for Counted<Vec<T>> {
    fn deref_mut(&mut self) -> &mut [T] {
        STEPS.set(STEPS.get() + 1);
        &mut self.0
    }
}

/// Numbers that look random, and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (((self.0 >> 32) * u64::from(n)) >> 32) as u32
    }
}

/// The lot decides which of those that are left is drawn, and for each lot it is another one.
fn shuffle_draws_any_of_those_that_are_left() {
    // They are told apart by their lengths.
    let lens = 1..=2 * BLOCK_LEN + 100;
    let mut pot = new(MAX_POT);
    pot.set_order(Order::Shuffle);
    pot.set_when_full(WhenFull::Evict);
    let text = vec![b'x'; *lens.end()];
    let texts: Vec<&[u8]> = lens.clone().map(|len| &text[..len]).collect();
    store_with(&mut pot, Demand::default(), &texts).unwrap();
    let mut left: Vec<usize> = lens.collect();
    let mut random = Random(1);
    let mut gone = 0;
    while left.len() > 100 {
        for _ in 0..150 {
            let Drawn::Fortune(head, tail) =
                pot.draw(&mut Lot::default(), |n| random.below(n), 1 << 16)
            else {
                panic!("none");
            };
            let len = head.len() + tail.len() - 1;
            left.remove(left.binary_search(&len).expect("it is left"));
        }
        let choices = left.len() as u32;
        let mut drawn: Vec<usize> = (0..choices)
            .map(|nth| {
                let below = |n| {
                    assert_eq!(n, choices);
                    nth
                };
                match pot.draw(&mut Lot::default(), below, 0) {
                    Drawn::TooLong(len) => len - 1,
                    drawn => panic!("{drawn:?}"),
                }
            })
            .collect();
        drawn.sort();
        assert_eq!(drawn, left);
        // Some of the oldest leave, drawn or not.
        gone += 137;
        let used: usize = pot.stats().used as usize;
        let leave: usize = (1..=gone)
            .filter(|len| *len + 137 > gone)
            .map(|len| len + 1)
            .sum();
        let reserve = MAX_POT - used + leave;
        reserve_for(&mut pot, reserve);
        left.retain(|len| *len > gone);
        assert_eq!(pot.stats().evictions as usize, gone);
    }
}

/// Many groups of blocks, which are counted together, come and go.
fn shuffle_draws_each_of_many_once_a_lap() {
    const MANY: usize = 300 * BLOCK_LEN;
    let mut pot = new(5 * MANY);
    pot.set_order(Order::Shuffle);
    pot.set_when_full(WhenFull::Evict);
    let mut random = Random(1);
    // Whether this lap has drawn them, and how many are in the pot that it has not.
    let mut drawn: Vec<bool> = Vec::new();
    let mut left = 0;
    for round in 0..9 {
        let count = [MANY, 50_000, 1, 150_000][round % 4];
        let new: Vec<[u8; 4]> = (0..count)
            .map(|at| ((drawn.len() + at) as u32).to_le_bytes())
            .collect();
        let texts: Vec<&[u8]> = new.iter().map(<[u8; 4]>::as_slice).collect();
        store_with(&mut pot, Demand::default(), &texts).unwrap();
        drawn.resize(drawn.len() + count, false);
        let oldest = drawn.len() - MANY;
        left = drawn[oldest..].iter().filter(|drawn| !**drawn).count();
        for _ in 0..[70_000, 100_000][round % 2] {
            if left == 0 {
                drawn.fill(false);
                left = MANY;
            }
            let Drawn::Fortune(head, tail) = pot.draw(&mut Lot::default(), |n| random.below(n), 5)
            else {
                panic!("none");
            };
            let text = [head, tail].concat();
            let number = u32::from_le_bytes(text[..4].try_into().unwrap()) as usize;
            assert!(
                number >= oldest && !drawn[number],
                "{number} in round {round}"
            );
            drawn[number] = true;
            left -= 1;
        }
    }
    assert!(left > 0);
}

/// Makes room for so many bytes.
fn reserve_for(pot: &mut HostPot, bytes: usize) {
    reserve(pot, 0, bytes).unwrap();
    reserve(pot, bytes, 0).unwrap();
}

/// Whatever is done with the largest pot, full of the shortest fortunes, no section takes many steps.
fn sections_are_bounded() {
    const BOUND: usize = 2000;
    fn section<R>(most: &mut usize, f: impl FnOnce() -> R) -> R {
        STEPS.set(0);
        let result = f();
        *most = STEPS.get().max(*most);
        result
    }
    let most = &mut 0;
    let index: Vec<_> = (0..index_len(MAX_POT)).map(|_| Slot::default()).collect();
    let mut pot: Pot<_, Box<Block>, _> = Pot::new(vec![0; MAX_POT], Counted(index));
    pot.set_when_full(WhenFull::Evict);
    let mut random = Random(1);
    for order in [
        Order::Sequential,
        Order::Shuffle,
        Order::Shuffle,
        Order::Random,
    ] {
        section(most, || pot.set_order(order));
        // All that was there leaves.
        let demand = Demand {
            fortunes: MAX_POT / 2,
            bytes: MAX_POT,
            ..Demand::default()
        };
        let mut blocks = Vec::new();
        while let Err(Refused::NeedsBlocks(count)) =
            section(most, || pot.begin(demand, blocks.len()))
        {
            blocks.resize_with(count, block);
        }
        let mut blocks = blocks.into_iter();
        while !section(most, || pot.extend(&mut blocks)) {}
        for _ in 0..MAX_POT / 2 / 32 {
            section(most, || pot.fill(&[b"x".as_slice(); 32]));
        }
        section(most, || pot.finish());
        assert_eq!(pot.stats().fortunes as usize, MAX_POT / 2);
        let text = [b'x'; MAX_FORTUNE];
        for len in [1, 65536, 3, 65536, 1] {
            for _ in 0..100 {
                let drawn = section(most, || {
                    let drawn = pot.draw(&mut Lot::default(), |n| random.below(n), 65537);
                    matches!(drawn, Drawn::Fortune(..))
                });
                assert!(drawn);
            }
            let demand = Demand {
                fortunes: 1,
                bytes: len + 1,
                ..Demand::default()
            };
            let text = Some(&text[..len]);
            while let Err(refused) = section(most, || pot.store(demand, text)) {
                // Here the index has a block more than it had.
                assert_eq!(refused, Refused::NeedsBlocks(1));
                pot.begin(Demand { ..demand }, 1).unwrap();
                pot.extend(&mut [block()].into_iter());
                pot.fill(&[]);
                pot.finish();
            }
            while section(most, || pot.surplus()).is_some() {}
            for pos in [0, 1 << 20, 100 << 20, u64::MAX] {
                section(most, || pot.find(pos));
            }
        }
        section(most, || pot.clear());
        while section(most, || pot.surplus()).is_some() {}
    }
    println!("{most} steps at most");
    assert!(*most <= BOUND, "{most}");
}

/// Two that store and trim against each other, each at the worst moment for the other one.
fn blocks_come_in_few_rounds() {
    let texts = vec![b"x".as_slice(); 100 * BLOCK_LEN];
    let demand = Demand {
        fortunes: texts.len(),
        bytes: 2 * texts.len(),
        ..Demand::default()
    };
    let mut pot = new(400 * BLOCK_LEN);
    let mut blocks = 0;
    let mut rounds = 0;
    while let Err(Refused::NeedsBlocks(count)) = pot.begin(demand, blocks) {
        rounds += 1;
        blocks = if blocks == 0 {
            count
        } else {
            most_blocks(texts.len())
        };
        // Meanwhile the other one takes what room there was in the last block, and frees what it can.
        let room = BLOCK_LEN - pot.stats().stores as usize % BLOCK_LEN;
        store_with(&mut pot, Demand::default(), &texts[..room + 1]).unwrap();
        while pot.surplus().is_some() {}
    }
    assert!(rounds <= 2, "{rounds}");
}

fn index_is_small() {
    // 4.14 bytes a fortune.
    assert_eq!((size_of::<Block>(), BLOCK_LEN), (4096, 990));
    assert_eq!(size_of::<Slot<Box<Block>>>(), 24);
    // The places for the blocks of the smallest pot and of the largest.
    assert_eq!((index_len(1), index_len(64 << 20)), (2, 65_536));
}

fn newlines_are_found_anywhere() {
    // Beside bytes that differ from one in the bits that are added and left out.
    for fill in [b'\n' - 1, b'\n' + 1, b'\n' | 0x80, 0, 0xff] {
        for before in 1..150 {
            let text = [&vec![fill; before], b"\n%\n".as_slice(), &[fill; 150]].concat();
            let mut records = Records::new(&text, 0, Progress::default());
            assert_eq!(records.next(), Some(&text[..before]));
            assert_eq!(records.next(), None);
            assert_eq!(records.rest().0.len(), 150);
        }
    }
}
