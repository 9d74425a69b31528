// SPDX-License-Identifier: GPL-2.0

//! /proc/driver/fortune: what is in the pot, and how it behaves.

use crate::{
    memory::{Buffer, read_to, write_from},
    module::{
        CONTROL, Done, HANG, Module, assert_cat, assert_pot, by_kernel, cat, control, echo, open,
        pot, set, stat, stats, store,
    },
};
use ktap::note;
use nix::{
    errno::Errno,
    sys::{stat::stat as status, uio::pread},
    unistd::write,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Read,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

ktap::tests!(control, Guest:
    files_and_modes [C1],
    stats_lines [C2],
    counters [C2],
    pot_lists_all [C3],
    pot_in_pieces [C3],
    pot_where_the_copy_faults,
    pot_while_others_write [C5],
    settings [C6 C7],
    bad_words [C6 C7],
    evicting [C8],
    eviction_moves_the_cursor [C9],
    eviction_leaves_what_was_drawn [R5],
    clearing [C10],
    random_is_uniform [C11],
    random_is_fair_to_long_fortunes [C11],
    shuffle_draws_each_once_a_lap [C12],
    shuffle_draws_long_ones_once_a_lap [C12],
    shuffle_draws_what_comes_in_this_lap [C12],
    another_order_starts_a_lap [C13],
    nothing_written_changes_nothing [C14],
    blocks_of_the_index_come_and_go [P6],
);

fn files_and_modes() {
    let module = Module::load("");
    let mut modes = BTreeMap::new();
    for entry in fs::read_dir(CONTROL).unwrap() {
        let entry = entry.unwrap();
        let status = status(&entry.path()).unwrap();
        assert_eq!((status.st_uid, status.st_gid), (0, 0));
        modes.insert(entry.file_name().into_string().unwrap(), status.st_mode);
    }
    let expected = [
        ("clear", 0o100_200),
        ("order", 0o100_644),
        ("pot", 0o100_444),
        ("stats", 0o100_444),
        ("when_full", 0o100_644),
    ];
    assert_eq!(
        modes,
        expected.map(|(name, mode)| (name.to_owned(), mode)).into()
    );
    assert_eq!(status(CONTROL).unwrap().st_mode, 0o040_555);
    module.unload();
    assert!(!Path::new(CONTROL).exists());
}

fn stats_lines() {
    let _module = Module::load("pot_size=100");
    echo("one");
    let file = open();
    write(&file, b"unfinished").unwrap();
    assert_eq!(
        control("stats"),
        "pot_size 100\nused 4\nreserved 11\nfortunes 1\ndraws 0\nstores 1\nevictions 0\nclears 0\n\
         nospace 0\nfaults 0\nnomem 0\n"
    );
}

fn counters() {
    let _module = Module::load("pot_size=8");
    let mut expected = stats();
    let mut now = |changes: &[(&str, u64)]| {
        for &(name, value) in changes {
            expected.insert(name.to_owned(), value);
        }
        assert_eq!(stats(), expected);
    };
    // A store is a fortune, not a write.
    store(b"a\n%\nb\n%\n\n%\nc\n").unwrap();
    now(&[("stores", 3), ("fortunes", 3), ("used", 6)]);
    cat();
    now(&[("draws", 1)]);
    // Neither what is at the end of a file nor a read of nothing is a draw.
    let file = open();
    assert_eq!(pread(&file, &mut [0; 10], 5), Ok(0));
    assert_eq!(pread(&file, &mut [], 0), Ok(0));
    now(&[]);
    assert_eq!(pread(&file, &mut [0; 1], 0), Ok(1));
    now(&[("draws", 2)]);
    assert_eq!(store(b"def"), Err(Errno::ENOSPC));
    now(&[("nospace", 1)]);
    // A draw whose copy faults is one, and the next read draws no other.
    let null = std::ptr::null_mut();
    assert_eq!(read_to(open(), null, 1), Err(Errno::EFAULT));
    now(&[("draws", 3), ("faults", 1)]);
    assert_eq!(write_from(&file, null, 1), Err(Errno::EFAULT));
    now(&[("faults", 2)]);
    set("when_full", "evict").unwrap();
    assert_eq!(store(b"def"), Ok(3));
    now(&[("evictions", 1), ("stores", 4), ("used", 8)]);
    set("clear", "1").unwrap();
    set("clear", "1").unwrap();
    now(&[("clears", 2), ("used", 0), ("fortunes", 0)]);
    cat();
    now(&[]);
}

fn pot_lists_all() {
    let _module = Module::load("");
    assert_eq!(pot(), b"");
    echo("one");
    store(b"two\nlines\n").unwrap();
    store(b"three\n\n").unwrap();
    assert_eq!(pot(), b"%\none\n%\ntwo\nlines\n%\nthree\n\n%\n");
    // Reading it draws nothing.
    assert_cat("one\n");
    assert_eq!(stat("draws"), 1);
    // The order of drawing is not that of the list.
    set("order", "shuffle").unwrap();
    cat();
    assert_eq!(pot(), b"%\none\n%\ntwo\nlines\n%\nthree\n\n%\n");
}

fn pot_in_pieces() {
    let _module = Module::load("pot_size=1000000");
    let empty = File::open(format!("{CONTROL}/pot")).unwrap();
    assert_eq!(pread(&empty, &mut [0; 10], 5), Ok(0));
    for number in 0..2000 {
        echo(&format!("fortune {number} {}", "x".repeat(number % 50)));
    }
    store(&[b'y'; 65536]).unwrap();
    let whole = pot();
    let file = File::open(format!("{CONTROL}/pot")).unwrap();
    for size in [1000, 4096, 100_000] {
        let mut pieces: Vec<u8> = Vec::new();
        let mut buffer = vec![0; size];
        loop {
            match pread(&file, &mut buffer, pieces.len() as i64).unwrap() {
                0 => break,
                count => pieces.extend(&buffer[..count]),
            }
        }
        assert!(pieces == whole, "by {size}");
    }
    // From the middle, and beyond the end.
    let mut buffer = [0; 10];
    assert_eq!(pread(&file, &mut buffer, 12345), Ok(10));
    assert_eq!(buffer, whole[12345..12355]);
    assert_eq!(pread(&file, &mut buffer, whole.len() as i64), Ok(0));
}

fn pot_where_the_copy_faults() {
    let _module = Module::load("");
    store(b"one\n%\ntwo\n%\nthree").unwrap();
    let whole = pot();
    let mut file = File::open(format!("{CONTROL}/pot")).unwrap();
    let pages = Buffer::new(4096);
    let mut begun = 0;
    for room in [0, 1, 7, 0, 3] {
        // What has arrived is read, and the next read goes on there.
        let expected = if room == 0 {
            Err(Errno::EFAULT)
        } else {
            Ok(room)
        };
        assert_eq!(read_to(&file, pages.edge(room), 100), expected);
        begun += room;
    }
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, whole[begun..]);
}

fn pot_while_others_write() {
    let _module = Module::load("pot_size=2000");
    set("when_full", "evict").unwrap();
    let done = AtomicBool::new(false);
    // A fortune whose lines are all alike is whole if the number of them is the one it says.
    let whole = |fortune: &str| {
        let mut lines = fortune.lines();
        let Some(count) = lines.next().and_then(|count| count.parse::<usize>().ok()) else {
            return false;
        };
        let rest: Vec<&str> = lines.collect();
        rest.len() == count && rest.iter().all(|&line| line == count.to_string().repeat(5))
    };
    let mut seen = 0;
    thread::scope(|scope| {
        let _done = Done(&done);
        for writer in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let mut number = writer;
                while !done.load(Ordering::Relaxed) {
                    number = (number * 7 + 1) % 19;
                    let line = format!("{}\n", number.to_string().repeat(5));
                    let text = format!("{number}\n{}", line.repeat(number));
                    assert_eq!(store(text.as_bytes()), Ok(text.len()));
                    if number == 3 {
                        set("clear", "1").unwrap();
                    }
                }
            });
        }
        // It is up to the machine when the writers begin.
        let begun = Instant::now();
        let mut reads = 0;
        while reads < 300 || seen <= 1000 {
            assert!(begun.elapsed() < HANG, "{seen} fortunes in {reads} reads");
            reads += 1;
            let text = String::from_utf8(pot()).unwrap();
            if let Some(text) = text.strip_prefix("%\n") {
                for fortune in text.split_terminator("\n%\n") {
                    assert!(whole(fortune), "{fortune:?}");
                    seen += 1;
                }
            }
        }
    });
}

fn settings() {
    let _module = Module::load("");
    assert_eq!(control("order"), "[sequential] random shuffle\n");
    assert_eq!(control("when_full"), "[reject] evict\n");
    for (written, shown) in [
        ("random", "sequential [random] shuffle\n"),
        ("shuffle\n", "sequential random [shuffle]\n"),
        ("shuffle", "sequential random [shuffle]\n"),
        ("sequential\n", "[sequential] random shuffle\n"),
    ] {
        assert_eq!(set("order", written), Ok(written.len()));
        assert_eq!(control("order"), shown);
    }
    assert_eq!(set("when_full", "evict\n"), Ok(6));
    assert_eq!(control("when_full"), "reject [evict]\n");
    assert_eq!(set("when_full", "reject"), Ok(6));
    assert_eq!(control("when_full"), "[reject] evict\n");
}

fn bad_words() {
    let _module = Module::load("");
    set("order", "random").unwrap();
    set("when_full", "evict").unwrap();
    for name in ["order", "when_full"] {
        let before = control(name);
        let long = "sequential".repeat(1000);
        for word in [
            "\n",
            "rand",
            "random\n\n",
            " random",
            "RANDOM",
            "[random]",
            "random\0",
            "evict ",
            "%",
            &long,
        ] {
            assert_eq!(set(name, word), Err(Errno::EINVAL), "{name}: {word:.20?}");
        }
        let file = OpenOptions::new()
            .write(true)
            .open(format!("{CONTROL}/{name}"))
            .unwrap();
        assert_eq!(write_from(&file, std::ptr::null(), 5), Err(Errno::EFAULT));
        assert_eq!(control(name), before);
    }
    // They are nobody's fault but the writer's.
    assert_eq!((stat("faults"), stat("nospace")), (0, 0));
}

fn evicting() {
    let _module = Module::load("pot_size=12");
    store(b"1\n%\n2\n%\n3\n%\n4\n%\n5\n%\n6\n").unwrap();
    assert_eq!(store(b"7"), Err(Errno::ENOSPC));
    set("when_full", "evict").unwrap();
    assert_pot(&["1", "2", "3", "4", "5", "6"]);
    echo("7");
    assert_pot(&["2", "3", "4", "5", "6", "7"]);
    echo("abcde");
    assert_pot(&["5", "6", "7", "abcde"]);
    echo("as many 11");
    assert_pot(&["as many 11"]);
    // Space is taken, and they leave, when a fortune grows and not when it is complete.
    set("clear", "1").unwrap();
    store(b"1\n%\n2\n%\n3\n%\n4\n%\n5\n%\n6\n").unwrap();
    let file = open();
    write(&file, b"a").unwrap();
    assert_pot(&["2", "3", "4", "5", "6"]);
    write(&file, b"bc").unwrap();
    assert_pot(&["3", "4", "5", "6"]);
    write(&file, b"\n").unwrap();
    assert_pot(&["3", "4", "5", "6", "abc"]);
    set("when_full", "reject").unwrap();
    assert_eq!(store(b"7"), Err(Errno::ENOSPC));
}

fn eviction_moves_the_cursor() {
    let _module = Module::load("pot_size=6");
    set("when_full", "evict").unwrap();
    store(b"1\n%\n2\n%\n3\n").unwrap();
    assert_cat("1\n");
    echo("4");
    assert_cat("2\n");
    // The next would be 3.
    echo("5");
    echo("6");
    assert_cat("4\n");
    assert_cat("5\n");
    assert_cat("6\n");
    // The lap is over: what comes now is next.
    echo("7");
    assert_cat("7\n");
    assert_cat("5\n");
}

fn eviction_leaves_what_was_drawn() {
    for size in [10, 300, 5000] {
        let _module = Module::load(&format!("pot_size={size}"));
        set("when_full", "evict").unwrap();
        let text = "x".repeat(size - 1);
        echo(&text);
        let file = open();
        assert_eq!(nix::unistd::read(&file, &mut [0; 3]), Ok(3));
        echo("another");
        set("clear", "1").unwrap();
        assert_eq!(cat(), b"");
        let mut rest = vec![0; size];
        assert_eq!(nix::unistd::read(&file, &mut rest), Ok(size - 3));
        assert_eq!(rest[..size - 3], [&text.as_bytes()[3..], b"\n"].concat());
        // The empty pot draws nothing: what was drawn stays.
        assert_eq!(pread(&file, &mut rest, 0), Ok(0));
        assert_eq!(pread(&file, &mut rest, 1), Ok(size - 1));
    }
}

fn clearing() {
    let _module = Module::load("");
    for written in ["1", "\n", "0", "anything at all"] {
        store(b"one\n%\ntwo\n").unwrap();
        assert_eq!(set("clear", written), Ok(written.len()));
        assert_pot(&[]);
        assert_cat("");
        assert_eq!(stat("used"), 0);
    }
    // It does not even look at it.
    echo("one");
    let file = OpenOptions::new()
        .write(true)
        .open(format!("{CONTROL}/clear"))
        .unwrap();
    assert_eq!(write_from(&file, std::ptr::null(), 1 << 20), Ok(1 << 20));
    assert_pot(&[]);
    echo("two");
    assert_cat("two\n");
}

/// How often each of `texts` is drawn, each time through an open file that has no memory yet.
fn count(draws: usize, texts: &[String]) -> Vec<usize> {
    let mut buffer = vec![0; 1 << 16];
    let mut counts = BTreeMap::new();
    for _ in 0..draws {
        let file = open();
        let len = pread(&file, &mut buffer, 0).unwrap();
        *counts.entry(buffer[..len].to_vec()).or_default() += 1;
    }
    let counted = texts
        .iter()
        .map(|text| counts.remove(format!("{text}\n").as_bytes()).unwrap_or(0))
        .collect();
    assert!(counts.is_empty(), "{counts:?}");
    counted
}

/// The chi-square of counts that should be equal.
fn chi_square(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum()
}

fn random_is_uniform() {
    let _module = Module::load("");
    set("order", "random").unwrap();
    let texts: Vec<String> = (0..16).map(|number| format!("fortune {number}")).collect();
    texts.iter().for_each(|text| echo(text));
    let draws = by_kernel(16_000, 1600);
    let counts = count(draws, &texts);
    let value = chi_square(&counts);
    // With 15 degrees of freedom, more than 60 comes once in four million.
    note(format!(
        "{draws} draws of 16 fortunes: chi-square {value:.1}, at most 60"
    ));
    assert!(value < 60., "{counts:?}");
    // Not one after the other, nor each once a lap.
    assert!(value > 0.1, "{counts:?}");
}

fn random_is_fair_to_long_fortunes() {
    // For a long one the open file needs more memory, and the draw is made twice.
    let _module = Module::load("pot_size=100000");
    set("order", "random").unwrap();
    let texts = ["short".to_owned(), "long".repeat(1000), "x".repeat(60000)];
    texts.iter().for_each(|text| echo(text));
    let draws = by_kernel(3000, 300);
    let value = chi_square(&count(draws, &texts));
    note(format!(
        "{draws} draws of a short and two long fortunes: chi-square {value:.1}, at most 35"
    ));
    assert!(value < 35.);
}

fn shuffle_draws_long_ones_once_a_lap() {
    // They are drawn in two steps, of which the second keeps to the lot of the first.
    let _module = Module::load("pot_size=100000");
    set("order", "shuffle").unwrap();
    let texts: Vec<Vec<u8>> = (b'a'..=b'z').map(|byte| vec![byte; 2000]).collect();
    texts.iter().for_each(|text| store(text).map(drop).unwrap());
    let expected: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| [text, &b"\n"[..]].concat())
        .collect();
    for _ in 0..3 {
        let mut lap: Vec<Vec<u8>> = (0..texts.len()).map(|_| cat()).collect();
        lap.sort();
        assert!(lap == expected);
    }
}

fn shuffle_draws_each_once_a_lap() {
    let _module = Module::load("pot_size=100000");
    set("order", "shuffle").unwrap();
    let texts: Vec<String> = (0..by_kernel(400, 100))
        .map(|number| format!("{number} {}", "x".repeat(number)))
        .collect();
    texts.iter().for_each(|text| echo(text));
    let mut laps = Vec::new();
    for _ in 0..4 {
        let lap: Vec<Vec<u8>> = (0..texts.len()).map(|_| cat()).collect();
        let mut sorted = lap.clone();
        sorted.sort();
        let mut expected: Vec<Vec<u8>> = texts
            .iter()
            .map(|text| format!("{text}\n").into_bytes())
            .collect();
        // Nor is it the order stored.
        assert!(lap != expected);
        expected.sort();
        assert!(sorted == expected);
        assert!(!laps.contains(&lap), "the same order again");
        laps.push(lap);
    }
    // What is first in a lap has been anywhere in the others: 40 laps of 4 fortunes.
    set("clear", "1").unwrap();
    let texts: Vec<String> = (0..4).map(|number| number.to_string()).collect();
    texts.iter().for_each(|text| echo(text));
    let firsts: Vec<Vec<u8>> = (0..40)
        .map(|_| {
            let first = cat();
            (0..3).for_each(|_| drop(cat()));
            first
        })
        .collect();
    for text in texts {
        // That one is never first comes once in 100,000 runs.
        assert!(firsts.contains(&format!("{text}\n").into_bytes()), "{text}");
    }
}

fn shuffle_draws_what_comes_in_this_lap() {
    let _module = Module::load("pot_size=20");
    set("order", "shuffle").unwrap();
    for _ in 0..20 {
        set("clear", "1").unwrap();
        store(b"1\n%\n2\n%\n3\n").unwrap();
        let mut lap = vec![cat(), cat()];
        echo("4");
        lap.extend([cat(), cat()]);
        // The lap is over, but the next draw has not begun another one.
        echo("5");
        lap.push(cat());
        lap.sort();
        assert_eq!(lap.concat(), b"1\n2\n3\n4\n5\n");
        // A new one, from which the oldest leave: the others are drawn, each once.
        set("when_full", "evict").unwrap();
        let first = cat();
        echo("0123456789");
        let due = ["0123456789\n", "2\n", "3\n", "4\n", "5\n"];
        let due: Vec<&[u8]> = due
            .map(str::as_bytes)
            .into_iter()
            .filter(|text| **text != first)
            .collect();
        let mut lap: Vec<Vec<u8>> = due.iter().map(|_| cat()).collect();
        lap.sort();
        assert_eq!(lap, due);
        set("when_full", "reject").unwrap();
    }
}

fn another_order_starts_a_lap() {
    let _module = Module::load("");
    store(b"1\n%\n2\n%\n3\n").unwrap();
    assert_cat("1\n");
    set("order", "sequential\n").unwrap();
    assert_cat("2\n");
    set("order", "random").unwrap();
    set("order", "sequential").unwrap();
    assert_cat("1\n");
    // Shuffle too: all of them are due again.
    set("order", "shuffle").unwrap();
    for _ in 0..20 {
        // The same order again is not another one: the third is the one that is left.
        let mut lap = vec![cat(), cat()];
        set("order", "shuffle").unwrap();
        lap.push(cat());
        lap.sort();
        assert_eq!(lap.concat(), b"1\n2\n3\n");
        // Also those that were drawn already.
        cat();
        set("order", "random").unwrap();
        set("order", "shuffle").unwrap();
        let mut lap = [cat(), cat(), cat()];
        lap.sort();
        assert_eq!(lap.concat(), b"1\n2\n3\n");
    }
}

fn nothing_written_changes_nothing() {
    let _module = Module::load("");
    echo("one");
    // Not what they are at first.
    set("order", "random").unwrap();
    set("when_full", "evict").unwrap();
    let before = stats();
    for name in ["order", "when_full", "clear"] {
        assert_eq!(set(name, ""), Ok(0));
    }
    assert_eq!(stats(), before);
    assert_eq!(control("order"), "sequential [random] shuffle\n");
    assert_eq!(control("when_full"), "reject [evict]\n");
    assert_pot(&["one"]);
}

fn blocks_of_the_index_come_and_go() {
    // 990 fortunes a block: many times round, in all three orders.
    let stored = by_kernel(8000, 4000);
    let _module = Module::load("pot_size=3000");
    set("when_full", "evict").unwrap();
    for order in ["sequential", "random", "shuffle"] {
        set("order", order).unwrap();
        let file = open();
        for number in 0..stored {
            write(&file, format!("{}\n", number % 10).as_bytes()).unwrap();
            if number % 3 == 0 {
                assert_eq!(cat().len(), 2);
            }
        }
        let mut expected = "%\n".to_owned();
        (stored - 1500..stored).for_each(|number| expected += &format!("{}\n%\n", number % 10));
        assert!(pot() == expected.as_bytes(), "{order}");
        if order == "shuffle" {
            set("clear", "1").unwrap();
        }
    }
    assert_eq!(
        (stat("evictions"), stat("fortunes")),
        (3 * stored - 1500, 0)
    );
}
