// SPDX-License-Identifier: GPL-2.0

//! The pot, by example.

use pot::pot::{
    BLOCK_LEN, Block, Demand, Drawn, Entry, Lot, MAX_FORTUNE, MAX_POT, Order, Pot, Refused,
    WhenFull, cost, index_len,
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
    a_full_index_takes_no_block,
    index_is_small,
);

type HostPot = Pot<Vec<u8>, Box<Block>, Vec<Option<Box<Block>>>>;

fn new(size: usize) -> HostPot {
    Pot::new(
        vec![0; size],
        (0..index_len(size)).map(|_| None).collect::<Vec<_>>(),
    )
}

/// Does what `demand` says but for the fortunes, giving the pot the blocks that it asks for.
fn store_with(pot: &mut HostPot, demand: Demand, texts: &[&[u8]]) -> Result<(), Refused> {
    let demand = Demand {
        fortunes: texts.len(),
        bytes: texts.iter().map(|text| cost(text.len())).sum(),
        ..demand
    };
    loop {
        match pot.store(demand, texts.iter().copied()) {
            Err(Refused::NeedsBlock) => {
                let block = Box::new([Entry::default(); BLOCK_LEN]);
                assert!(pot.add_block(block).is_none(), "it asked for it");
            }
            result => return result,
        }
    }
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

fn contents(pot: &HostPot) -> String {
    let mut contents = Vec::new();
    let mut number = 0;
    while let Some(next) = pot.next_at(number) {
        let (head, tail) = pot.text(next);
        contents.extend([head, tail].concat());
        number = next + 1;
    }
    String::from_utf8(contents).unwrap()
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
        let demand = Demand {
            fortunes: 1,
            bytes: 2,
            ..Demand::default()
        };
        while let Err(refused) = pot.store(demand, [b"x".as_slice()].into_iter()) {
            assert_eq!(refused, Refused::NeedsBlock);
            assert!(round < 5 * BLOCK_LEN, "in round {round}");
            assert!(
                pot.add_block(Box::new([Entry::default(); BLOCK_LEN]))
                    .is_none()
            );
            added += 1;
        }
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
    let mut blocks = 0;
    while pot.store(whole, texts.iter().copied()) == Err(Refused::NeedsBlock) {
        assert_eq!(pot.stats().fortunes, 0);
        blocks += 1;
        assert!(
            pot.add_block(Box::new([Entry::default(); BLOCK_LEN]))
                .is_none()
        );
    }
    assert_eq!(blocks, 2);
    assert_eq!(pot.stats().fortunes as usize, 2 * BLOCK_LEN);
    assert!(pot.surplus().is_none());

    // What leaves makes room in the index too: at most one block more, since the first one need not be full.
    pot.set_when_full(WhenFull::Evict);
    for _ in 0..10 * BLOCK_LEN {
        if store_counting(&mut pot, b"y", &mut blocks) {
            pot.surplus();
        }
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

/// Stores and counts the blocks that it takes; says whether there were any.
fn store_counting(pot: &mut HostPot, text: &[u8], blocks: &mut usize) -> bool {
    let demand = Demand {
        fortunes: 1,
        bytes: cost(text.len()),
        ..Demand::default()
    };
    let before = *blocks;
    while pot.store(demand, [text].into_iter()) == Err(Refused::NeedsBlock) {
        *blocks += 1;
        assert!(
            pot.add_block(Box::new([Entry::default(); BLOCK_LEN]))
                .is_none()
        );
    }
    *blocks > before
}

fn a_full_index_takes_no_block() {
    let mut pot = new(100);
    for _ in 0..index_len(100) {
        assert!(
            pot.add_block(Box::new([Entry::default(); BLOCK_LEN]))
                .is_none()
        );
    }
    assert!(
        pot.add_block(Box::new([Entry::default(); BLOCK_LEN]))
            .is_some()
    );
    for _ in 0..index_len(100) {
        assert!(pot.surplus().is_some());
    }
    assert!(pot.surplus().is_none());
}

fn index_is_small() {
    assert_eq!(size_of::<Entry>(), 12);
    assert!(size_of::<Block>() <= 4096);
    // The places for the blocks of the smallest pot and of the largest.
    assert_eq!((index_len(1), index_len(64 << 20)), (2, 131_072));
}
