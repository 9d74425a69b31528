// SPDX-License-Identifier: GPL-2.0

//! The pot, by example.

use pot::{BLOCK_LEN, Block, Drawn, MAX_FORTUNE, Pot, Refused, max_blocks};

type HostPot = Pot<Vec<u8>, Box<Block>, Vec<Option<Box<Block>>>>;

fn new(size: usize) -> HostPot {
    Pot::new(vec![0; size], (0..max_blocks(size)).map(|_| None).collect())
}

/// Stores, giving the pot a block if it asks for one.
fn store(pot: &mut HostPot, text: &[u8]) -> Result<(), Refused> {
    match pot.store(text) {
        Err(Refused::NeedsBlock) => {
            assert!(
                pot.add_block(Box::new([0; BLOCK_LEN])).is_none(),
                "it asked for it"
            );
            pot.store(text)
        }
        result => result,
    }
}

fn draw(pot: &mut HostPot) -> Option<Vec<u8>> {
    let mut buffer = vec![0; MAX_FORTUNE + 1];
    match pot.draw(&mut buffer) {
        Drawn::Nothing => None,
        Drawn::Bytes(len) => {
            buffer.truncate(len);
            Some(buffer)
        }
        Drawn::TooLong(len) => panic!("{len} is too long"),
    }
}

#[test]
fn draws_in_the_order_stored() {
    let mut pot = new(100);
    assert_eq!(draw(&mut pot), None);
    for text in ["one", "two", "three"] {
        store(&mut pot, text.as_bytes()).unwrap();
    }
    for text in ["one\n", "two\n", "three\n", "one\n"] {
        assert_eq!(draw(&mut pot).unwrap(), text.as_bytes());
    }
}

#[test]
fn wraps_at_the_next_draw() {
    let mut pot = new(100);
    store(&mut pot, b"one").unwrap();
    assert_eq!(draw(&mut pot).unwrap(), b"one\n");
    store(&mut pot, b"two").unwrap();
    assert_eq!(draw(&mut pot).unwrap(), b"two\n");
    assert_eq!(draw(&mut pot).unwrap(), b"one\n");
}

#[test]
fn is_full_to_the_byte() {
    for size in 0..20 {
        for len in 1..20 {
            let mut pot = new(size);
            let fits = store(&mut pot, &vec![b'x'; len]).is_ok();
            assert_eq!(fits, len < size, "{len} into {size}");
            if !fits {
                assert_eq!(draw(&mut pot), None);
            }
        }
    }
}

#[test]
fn skips_what_is_empty() {
    let mut pot = new(2);
    assert_eq!(pot.store(b""), Ok(()));
    assert_eq!(draw(&mut pot), None);
    // It has taken nothing.
    assert_eq!(store(&mut pot, b"x"), Ok(()));
    assert_eq!(pot.store(b""), Ok(()));
}

#[test]
fn takes_the_longest_and_no_longer() {
    let mut pot = new(3 * MAX_FORTUNE);
    assert_eq!(
        store(&mut pot, &vec![b'x'; MAX_FORTUNE + 1]),
        Err(Refused::NoSpace)
    );
    assert_eq!(store(&mut pot, &vec![b'x'; MAX_FORTUNE]), Ok(()));
    assert_eq!(draw(&mut pot).unwrap().len(), MAX_FORTUNE + 1);
}

#[test]
fn short_buffer_moves_nothing() {
    let mut pot = new(100);
    store(&mut pot, b"fortune").unwrap();
    let mut buffer = [0xaa; 7];
    for len in 0..8 {
        assert_eq!(pot.draw(&mut buffer[..len]), Drawn::TooLong(8));
    }
    assert_eq!(buffer, [0xaa; 7]);
    assert_eq!(draw(&mut pot).unwrap(), b"fortune\n");
}

#[test]
fn asks_for_a_block_when_it_needs_one() {
    let mut pot = new(4 * BLOCK_LEN);
    let mut blocks = 0;
    let mut stored = 0;
    loop {
        match pot.store(b"x") {
            Ok(()) => stored += 1,
            Err(Refused::NeedsBlock) => {
                blocks += 1;
                assert_eq!(stored, (blocks - 1) * BLOCK_LEN);
                assert!(pot.add_block(Box::new([0; BLOCK_LEN])).is_none());
                // A second one, as from somebody who was asked at the same time, comes back.
                assert!(pot.add_block(Box::new([0; BLOCK_LEN])).is_some());
            }
            Err(Refused::NoSpace) => break,
        }
    }
    assert_eq!((blocks, stored), (2, 2 * BLOCK_LEN));
    // Nor does the full pot take one.
    assert!(pot.add_block(Box::new([0; BLOCK_LEN])).is_some());
}

#[test]
fn index_is_small() {
    assert!(size_of::<Block>() <= 12 * BLOCK_LEN);
    // The places for the blocks of the largest pot.
    assert_eq!(max_blocks(64 << 20), 32768);
}
