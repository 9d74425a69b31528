// SPDX-License-Identifier: GPL-2.0

//! Many threads at once, and what each of them may see of the others.

use crate::module::{Module, by_kernel, open, pot, set, stat};
use ktap::{Limit, amount, figure, progress};
use nix::{sys::uio::pread, unistd::write};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

ktap::tests!(torture, Guest, Once: whole_fortunes_only [R12 O1]);

const WRITERS: usize = 4;
const READERS: usize = 4;

/// How many calls each thread makes in a round, of which there are nine threads.
const EACH: usize = 1500;

/// How many fortunes of each writer have been begun: what is read must be one of them. The last one writes in pieces.
static BEGUN: [AtomicU64; WRITERS + 1] = [const { AtomicU64::new(0) }; WRITERS + 1];

/// A fortune that says who wrote it, as which one, and what it must be.
fn fortune(writer: usize, number: u64) -> String {
    let len = (number * 37 + writer as u64 * 11) % 90;
    let filler: String = (0..len)
        .map(|at| char::from(b'a' + ((at + number) % 26) as u8))
        .collect();
    format!("{writer} {number} {filler}.")
}

/// Who wrote a fortune, and as which one; it must be whole.
fn parse(text: &[u8]) -> (usize, u64) {
    let text = std::str::from_utf8(text).expect("what was written is text");
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok());
    match (number(), number()) {
        (Some(writer), Some(number)) if text == fortune(writer as usize, number) => {
            (writer as usize, number)
        }
        _ => panic!("nobody has written {text:?}"),
    }
}

fn write_some(writer: usize) {
    let file = open();
    for _ in 0..EACH {
        let number = BEGUN[writer].fetch_add(1, Ordering::SeqCst);
        let text = fortune(writer, number) + "\n";
        assert_eq!(write(&file, text.as_bytes()), Ok(text.len()));
    }
}

/// The same in two pieces, through an open file of its own each, which the close completes.
fn write_in_pieces() {
    for _ in 0..EACH / 3 {
        let number = BEGUN[WRITERS].fetch_add(1, Ordering::SeqCst);
        let text = fortune(WRITERS, number);
        let (first, second) = text.split_at(text.len() / 2);
        let file = open();
        assert_eq!(write(&file, first.as_bytes()), Ok(first.len()));
        assert_eq!(write(&file, second.as_bytes()), Ok(second.len()));
    }
}

fn read_some() {
    let file = open();
    let mut buffer = [0; 200];
    for _ in 0..EACH {
        let count = pread(&file, &mut buffer, 0).unwrap();
        if let Some(len) = count.checked_sub(1) {
            let (writer, number) = parse(&buffer[..len]);
            let begun = BEGUN[writer].load(Ordering::SeqCst);
            assert!(
                number < begun,
                "{number} of {writer}, who has begun {begun}"
            );
        }
    }
}

/// Changes all that can be changed, as long as the others run.
fn meddle(done: &AtomicBool) {
    let words = [
        ("order", "random"),
        ("order", "shuffle"),
        ("clear", "1"),
        ("order", "sequential"),
    ];
    for (name, word) in words.iter().cycle() {
        set(name, word).unwrap();
        parse_pot();
        if done.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// What is in the pot: all of it whole, and of each writer in the order written.
fn parse_pot() -> Vec<(usize, u64)> {
    let pot = pot();
    let Some(pot) = pot.strip_prefix(b"%\n") else {
        return Vec::new();
    };
    let text = std::str::from_utf8(pot).expect("what was written is text");
    let fortunes: Vec<_> = text
        .split_terminator("\n%\n")
        .map(|text| parse(text.as_bytes()))
        .collect();
    for writer in 0..=WRITERS {
        let numbers = fortunes.iter().filter(|fortune| fortune.0 == writer);
        assert!(
            numbers.is_sorted(),
            "those of writer {writer} are not in order"
        );
    }
    fortunes
}

fn round() {
    thread::scope(|scope| {
        let mut threads: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write_some(writer)))
            .collect();
        threads.push(scope.spawn(write_in_pieces));
        threads.extend((0..READERS).map(|_| scope.spawn(read_some)));
    });
}

fn whole_fortunes_only() {
    const CALLS: usize = (WRITERS + READERS + 1) * EACH;
    let calls = by_kernel(amount(200_000, 20_000_000), amount(50_000, 2_000_000));
    // One round fits, two do not.
    let _module = Module::load("pot_size=500000");
    let mut done = 0;
    while done < calls {
        // All that is accepted is there, once, and a lap of draws is what is there.
        set("clear", "1").unwrap();
        let before: Vec<u64> = BEGUN
            .iter()
            .map(|begun| begun.load(Ordering::SeqCst))
            .collect();
        round();
        let mut stored = parse_pot();
        let file = open();
        let mut buffer = [0; 200];
        let mut lap: Vec<_> = (0..stored.len())
            .map(|_| {
                let count = pread(&file, &mut buffer, 0).unwrap();
                parse(&buffer[..count - 1])
            })
            .collect();
        stored.sort();
        lap.sort();
        assert!(lap == stored, "a lap is not what is in the pot");
        let accepted =
            BEGUN
                .iter()
                .zip(before)
                .enumerate()
                .flat_map(|(writer, (begun, before))| {
                    (before..begun.load(Ordering::SeqCst)).map(move |number| (writer, number))
                });
        assert!(
            stored.into_iter().eq(accepted),
            "what was accepted is not what is in the pot"
        );

        // With all that can be changed meanwhile, and too little room, what is there is whole.
        set("when_full", "evict").unwrap();
        let meddling = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| meddle(&meddling));
            round();
            meddling.store(true, Ordering::Relaxed);
        });
        set("order", "sequential").unwrap();
        set("when_full", "reject").unwrap();
        assert_eq!(stat("reserved"), 0);
        done += 2 * CALLS;
        progress(done.min(calls), calls);
    }
    figure(
        "S2",
        "{} by 9 threads, no violation",
        &[Limit::amount(done, calls, "calls")],
    );
}
