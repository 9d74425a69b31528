// SPDX-License-Identifier: GPL-2.0

//! The pot against a model of it: a list of fortunes and a cursor, as the README describes them.

use pot::{BLOCK_LEN, Block, Drawn, MAX_FORTUNE, Pot, Refused, max_blocks};
use proptest::prelude::*;

type HostPot = Pot<Vec<u8>, Box<Block>, Vec<Option<Box<Block>>>>;

#[derive(Clone, Debug)]
enum Op {
    Store(Vec<u8>),
    /// Into a buffer of this size.
    Draw(usize),
}

#[derive(Default)]
struct Model {
    fortunes: Vec<Vec<u8>>,
    next: usize,
}

impl Model {
    fn store(&mut self, size: usize, text: &[u8]) -> bool {
        let cost = |text: &Vec<u8>| text.len() + 1;
        let used: usize = self.fortunes.iter().map(cost).sum();
        if text.is_empty() {
            return true;
        }
        if text.len() > MAX_FORTUNE || used + text.len() + 1 > size {
            return false;
        }
        self.fortunes.push(text.to_vec());
        true
    }

    /// What the next draw returns; `None` from an empty pot.
    fn peek(&self) -> Option<Vec<u8>> {
        let text = self.fortunes.get(self.next).or(self.fortunes.first())?;
        Some([text.as_slice(), b"\n"].concat())
    }

    fn advance(&mut self) {
        if self.next >= self.fortunes.len() {
            self.next = 0;
        }
        self.next += 1;
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => proptest::collection::vec(Just(b'\n'), 0..4),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        text().prop_map(Op::Store),
        prop_oneof![Just(100), 0..14usize].prop_map(Op::Draw),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 50_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_like_the_model(size in 0..200usize, ops in proptest::collection::vec(op(), 0..60)) {
        let places = (0..max_blocks(size)).map(|_| None).collect();
        let mut pot: HostPot = Pot::new(vec![0; size], places);
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Store(text) => {
                    let mut stored = pot.store(&text);
                    if stored == Err(Refused::NeedsBlock) {
                        prop_assert!(pot.add_block(Box::new([0; BLOCK_LEN])).is_none());
                        stored = pot.store(&text);
                    }
                    let expected = model.store(size, &text);
                    prop_assert_eq!(stored, if expected { Ok(()) } else { Err(Refused::NoSpace) });
                }
                Op::Draw(len) => {
                    let mut buffer = vec![0xaa; len];
                    let drawn = pot.draw(&mut buffer);
                    let expected = model.peek();
                    match (drawn, expected) {
                        (Drawn::Nothing, None) => {}
                        (Drawn::Bytes(count), Some(text)) => {
                            prop_assert_eq!(&buffer[..count], text.as_slice());
                            // The rest of the buffer stays as it was.
                            prop_assert!(buffer[count..].iter().all(|&byte| byte == 0xaa));
                            model.advance();
                        }
                        (Drawn::TooLong(count), Some(text)) => {
                            prop_assert_eq!(count, text.len());
                            prop_assert!(len < count);
                            prop_assert!(buffer.iter().all(|&byte| byte == 0xaa));
                        }
                        (drawn, expected) => prop_assert!(false, "{drawn:?}, not {expected:?}"),
                    }
                }
            }
        }
    }
}
