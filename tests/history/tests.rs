// SPDX-License-Identifier: GPL-2.0

//! What a history is not: for each kind of call one that could have happened, and one that could not.

use history::{Call, Counters, Made, Order, Outcome, State, is_linearizable};

ktap::tests!(history, Host: wrong_histories_are_rejected);

use Call::{Clear, Close, Evict, List, Read, ReadAt, Rewind, Stats};
use Outcome::{Done, Fault, Killed, NoMemory, NoSpace};

fn write(text: &str) -> Call {
    Call::Write(0, text.into())
}

fn draw(file: usize) -> Call {
    ReadAt(file, 0, 100)
}

fn bytes(text: &str) -> Outcome {
    Outcome::Read(text.into())
}

fn listed(fortunes: &[&str]) -> Outcome {
    Outcome::Listed(fortunes.iter().map(|&text| text.into()).collect())
}

/// What `stats` says where all fortunes have one byte.
fn counters(fortunes: u64, reserved: u64, stores: u64, evictions: u64, clears: u64) -> Outcome {
    Outcome::Stats(Counters {
        used: 2 * fortunes,
        reserved,
        fortunes,
        draws: 0,
        stores,
        evictions,
        clears,
    })
}

/// Calls, their outcomes, and when they began and were over.
type History<'a> = &'a [(Call, Outcome, u64, u64)];

/// Calls one after the other.
fn in_a_row(calls: &[(Call, Outcome)]) -> Vec<(Call, Outcome, u64, u64)> {
    let times = (1..).step_by(2);
    let timed = |((call, outcome), time): (&(Call, Outcome), u64)| {
        (call.clone(), outcome.clone(), time, time + 1)
    };
    calls.iter().zip(times).map(timed).collect()
}

/// Whether it is one, with two open files and a pot of 8 bytes.
fn is_one(history: History, evict: bool) -> bool {
    let made = |(call, outcome, invoked, returned): &(Call, Outcome, u64, u64)| Made {
        call: call.clone(),
        outcome: outcome.clone(),
        invoked: *invoked,
        returned: *returned,
    };
    let history: Vec<Made> = history.iter().map(made).collect();
    is_linearizable(&history, &State::new(8, evict, 2))
}

fn wrong_histories_are_rejected() {
    one_after_the_other();
    at_once();
    in_two_steps();
}

/// Calls after which only some outcomes of a last one are right.
fn one_after_the_other() {
    let abc = || {
        [
            (write("a\n"), Done),
            (write("b\n"), Done),
            (write("c\n"), Done),
        ]
    };
    let ab = || [(write("a\n"), Done), (write("b\n"), Done)];
    type Calls = Vec<(Call, Outcome)>;
    let after = |calls: &[(Call, Outcome)], more: &[(Call, Outcome)]| [calls, more].concat();
    let cases: Vec<(Calls, Call, Vec<Outcome>, Vec<Outcome>)> = vec![
        (vec![], draw(0), vec![bytes("")], vec![bytes("a\n"), Fault]),
        // The oldest first, and each once a lap.
        (
            ab().into(),
            draw(1),
            vec![bytes("a\n"), Fault],
            vec![bytes("b\n"), bytes(""), bytes("a")],
        ),
        (
            after(&ab(), &[(draw(0), bytes("a\n")), (draw(1), bytes("b\n"))]),
            draw(0),
            vec![bytes("a\n")],
            vec![bytes("b\n")],
        ),
        // A position that moves, and one that does not.
        (
            after(&ab(), &[(Read(0, 1), bytes("a"))]),
            Read(0, 9),
            vec![bytes("\n")],
            vec![bytes("a\n"), bytes("b\n"), bytes("")],
        ),
        (
            after(
                &ab(),
                &[(Read(0, 9), bytes("a\n")), (draw(0), bytes("b\n"))],
            ),
            ReadAt(0, 1, 9),
            vec![bytes("\n")],
            vec![bytes("b\n"), bytes("")],
        ),
        (
            after(&ab(), &[(Read(0, 9), bytes("a\n"))]),
            Read(0, 9),
            vec![bytes("")],
            vec![bytes("b\n")],
        ),
        (
            after(&ab(), &[(Read(0, 9), bytes("a\n")), (Rewind(0), Done)]),
            Read(0, 9),
            vec![bytes("b\n")],
            vec![bytes(""), bytes("a\n")],
        ),
        (
            after(&ab(), &[(draw(0), bytes("a\n"))]),
            Read(0, 9),
            vec![bytes("b\n")],
            vec![bytes("a\n"), bytes("")],
        ),
        // What has not arrived is kept; what could not be drawn is not.
        (
            after(&ab(), &[(draw(0), Fault)]),
            draw(0),
            vec![bytes("a\n")],
            vec![bytes("b\n")],
        ),
        (
            after(&ab(), &[(draw(0), Fault)]),
            draw(1),
            vec![bytes("b\n")],
            vec![bytes("a\n")],
        ),
        (
            after(&ab(), &[(draw(0), NoMemory)]),
            draw(0),
            vec![bytes("a\n")],
            vec![bytes("b\n")],
        ),
        (
            after(&ab(), &[(draw(0), Killed)]),
            draw(0),
            vec![bytes("a\n")],
            vec![bytes("b\n")],
        ),
        // What is complete, and what is not.
        (
            vec![(write("a"), Done)],
            draw(0),
            vec![bytes("")],
            vec![bytes("a\n")],
        ),
        (
            vec![(write("a"), Done), (write("b\n"), Done)],
            List,
            vec![listed(&["ab"])],
            vec![listed(&["a", "b"]), listed(&["b"]), listed(&[])],
        ),
        (
            vec![(write("a\n%\nb\n"), Done), (write("c\n%\n"), Done)],
            List,
            vec![listed(&["a", "b\nc"])],
            vec![listed(&["a", "b", "c"]), listed(&["a"])],
        ),
        (
            vec![(write("a"), Done), (Close(0), Done)],
            List,
            vec![listed(&["a"])],
            vec![listed(&[])],
        ),
        (
            vec![(write("a"), Done), (write("b"), NoMemory), (Close(0), Done)],
            List,
            vec![listed(&[])],
            vec![listed(&["a"]), listed(&["ab"])],
        ),
        (
            vec![(write("a"), Done), (write("b"), Killed), (Close(0), Done)],
            List,
            vec![listed(&["a"]), listed(&[])],
            vec![listed(&["ab"])],
        ),
        (
            vec![(write("a"), Done), (Clear, Done)],
            Stats,
            vec![counters(0, 2, 0, 0, 1)],
            vec![counters(0, 0, 0, 0, 1), counters(0, 2, 0, 0, 0)],
        ),
        // Room.
        (abc().into(), write("d\n"), vec![Done], vec![NoSpace]),
        (
            abc().into(),
            write("dd\n"),
            vec![NoSpace, Fault],
            vec![Done],
        ),
        (abc().into(), write("dd"), vec![NoSpace], vec![Done]),
        (
            after(&abc(), &[(write("d"), Done)]),
            write("\n"),
            vec![Done],
            vec![NoSpace],
        ),
        (
            after(&abc(), &[(Evict(true), Done)]),
            write("dd\n"),
            vec![Done],
            vec![NoSpace],
        ),
        (
            after(&abc(), &[(Evict(true), Done), (write("dd\n"), Done)]),
            List,
            vec![listed(&["b", "c", "dd"])],
            vec![
                listed(&["a", "b", "c", "dd"]),
                listed(&["c", "dd"]),
                listed(&["dd", "b", "c"]),
            ],
        ),
        (
            after(
                &abc(),
                &[(Evict(true), Done), (write("eight888\n"), NoSpace)],
            ),
            List,
            vec![listed(&["a", "b", "c"])],
            vec![listed(&[])],
        ),
        (
            after(
                &abc(),
                &[
                    (draw(0), bytes("a\n")),
                    (Evict(true), Done),
                    (write("dd\n"), Done),
                ],
            ),
            draw(0),
            vec![bytes("b\n")],
            vec![bytes("c\n"), bytes("dd\n")],
        ),
        // Orders.
        (
            after(
                &ab(),
                &[(draw(0), bytes("a\n")), (Call::Order(Order::Shuffle), Done)],
            ),
            draw(0),
            vec![bytes("a\n"), bytes("b\n")],
            vec![bytes(""), bytes("c\n")],
        ),
        (
            after(
                &ab(),
                &[(Call::Order(Order::Shuffle), Done), (draw(0), bytes("b\n"))],
            ),
            draw(0),
            vec![bytes("a\n")],
            vec![bytes("b\n")],
        ),
        (
            after(
                &ab(),
                &[(Call::Order(Order::Random), Done), (draw(0), bytes("b\n"))],
            ),
            draw(0),
            vec![bytes("a\n"), bytes("b\n")],
            vec![bytes("")],
        ),
        (
            after(
                &ab(),
                &[
                    (draw(0), bytes("a\n")),
                    (Call::Order(Order::Random), Done),
                    (Call::Order(Order::Sequential), Done),
                ],
            ),
            draw(0),
            vec![bytes("a\n")],
            vec![bytes("b\n")],
        ),
        (
            after(
                &ab(),
                &[
                    (draw(0), bytes("a\n")),
                    (Call::Order(Order::Sequential), Done),
                ],
            ),
            draw(0),
            vec![bytes("b\n")],
            vec![bytes("a\n")],
        ),
    ];
    for (calls, last, right, wrong) in cases {
        let is = |outcome: Outcome| {
            let all = after(&calls, &[(last.clone(), outcome)]);
            is_one(&in_a_row(&all), false)
        };
        for outcome in right {
            assert!(is(outcome.clone()), "{calls:?}, {last:?}: {outcome:?}");
        }
        for outcome in wrong {
            assert!(!is(outcome.clone()), "{calls:?}, {last:?}: {outcome:?}");
        }
    }
}

/// Calls of which some are made at once.
fn at_once() {
    let a = |from, to| (write("a\n"), Done, from, to);
    let b = |from, to| (write("b\n"), Done, from, to);
    let drawn = |text, from, to| (draw(1), bytes(text), from, to);
    let cases: [(History, bool); 14] = [
        // Of two stores at once, any comes first.
        (&[a(1, 4), b(2, 3), drawn("b\n", 5, 6)], true),
        (&[a(1, 2), b(3, 4), drawn("b\n", 5, 6)], false),
        // Nothing is drawn before it is stored, nor missed after that.
        (&[drawn("a\n", 1, 2), a(3, 4)], false),
        (&[drawn("a\n", 1, 4), a(2, 3)], true),
        // Two draws at once are of different fortunes, through one open file too.
        (
            &[a(1, 2), b(3, 4), drawn("a\n", 5, 8), drawn("a\n", 6, 7)],
            false,
        ),
        (
            &[a(1, 2), b(3, 4), drawn("b\n", 5, 8), drawn("a\n", 6, 7)],
            true,
        ),
        // What is at a position beyond 0 is of the one that was drawn last.
        (
            &[
                a(1, 2),
                drawn("a\n", 3, 6),
                (ReadAt(1, 1, 9), bytes(""), 4, 5),
            ],
            true,
        ),
        (
            &[
                a(1, 2),
                drawn("a\n", 3, 4),
                (ReadAt(1, 1, 9), bytes(""), 5, 6),
            ],
            false,
        ),
        // Pieces come in either order, and whole.
        (
            &[
                (write("a"), Done, 1, 4),
                (write("b"), Done, 2, 3),
                (write("\n"), Done, 5, 6),
                (List, listed(&["ba"]), 7, 8),
            ],
            true,
        ),
        (
            &[
                (write("a"), Done, 1, 4),
                (write("b"), Done, 2, 3),
                (write("\n"), Done, 5, 6),
                (List, listed(&["a"]), 7, 8),
            ],
            false,
        ),
        // All counters are of one moment, which is not over yet and has come.
        (
            &[
                a(1, 6),
                (Stats, counters(0, 0, 0, 0, 0), 2, 3),
                (Stats, counters(1, 0, 1, 0, 0), 4, 5),
            ],
            true,
        ),
        (
            &[
                a(1, 6),
                (Stats, counters(1, 0, 1, 0, 0), 2, 3),
                (Stats, counters(0, 0, 0, 0, 0), 4, 5),
            ],
            false,
        ),
        (
            &[
                a(1, 6),
                (Clear, Done, 2, 5),
                (Stats, counters(1, 0, 0, 0, 1), 3, 4),
            ],
            false,
        ),
        // A change of order has come between, or has not.
        (
            &[
                a(1, 2),
                b(3, 4),
                drawn("a\n", 5, 6),
                (Call::Order(Order::Random), Done, 7, 10),
                drawn("a\n", 8, 9),
            ],
            true,
        ),
    ];
    for (history, right) in cases {
        assert_eq!(is_one(history, false), right, "{history:?}");
    }
}

/// Writes for which others leave, and what is seen meanwhile.
fn in_two_steps() {
    let before = [
        (write("abc\n"), Done, 1, 2),
        (write("x\n"), Done, 3, 4),
        (write("y\n"), Done, 5, 6),
    ];
    let two = (write("v\n%\nw\n%\n"), Done, 10, 20);
    let saw = |fortunes: &[&str], from, to| (List, listed(fortunes), from, to);
    for (meanwhile, right) in [
        // None, or the old ones, or the new ones with those that stay.
        (
            vec![
                saw(&["abc", "x", "y"], 11, 12),
                saw(&["x", "y"], 13, 14),
                saw(&["x", "y", "v", "w"], 15, 16),
            ],
            true,
        ),
        (vec![saw(&["x", "y", "v"], 11, 12)], false),
        (vec![saw(&["y"], 11, 12)], false),
        (
            vec![saw(&["x", "y"], 11, 12), saw(&["abc", "x", "y"], 13, 14)],
            false,
        ),
        (vec![saw(&["x", "y"], 21, 22)], false),
        (vec![saw(&["x", "y"], 7, 8)], false),
        // Another write waits.
        (
            vec![
                saw(&["x", "y"], 11, 12),
                (Call::Write(1, b"z\n".into()), Done, 13, 14),
                saw(&["x", "y"], 15, 16),
            ],
            false,
        ),
        (
            vec![
                saw(&["x", "y"], 11, 12),
                (Call::Write(1, b"z\n".into()), Done, 13, 18),
                saw(&["x", "y"], 15, 16),
            ],
            true,
        ),
        // Those that are cleared meanwhile are the old ones.
        (
            vec![
                saw(&["x", "y"], 11, 12),
                (Clear, Done, 13, 14),
                saw(&["v", "w"], 21, 22),
            ],
            true,
        ),
        (
            vec![
                saw(&["x", "y"], 11, 12),
                (Clear, Done, 13, 14),
                saw(&["x", "v", "w"], 21, 22),
            ],
            false,
        ),
        // What leaves for it is counted, and it is not yet.
        (vec![(Stats, counters(2, 0, 3, 1, 0), 11, 12)], true),
        (vec![(Stats, counters(2, 0, 5, 1, 0), 11, 12)], false),
    ] {
        let history = [&before[..], std::slice::from_ref(&two), &meanwhile].concat();
        assert_eq!(is_one(&history, true), right, "{history:?}");
    }
}
