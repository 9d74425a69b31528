// SPDX-License-Identifier: GPL-2.0

//! Several fortunes in one write, one fortune in several, and what is not complete yet.

use crate::{
    memory::write_from,
    module::{
        CONTROL, FORTUNE, Module, assert_cat, assert_pot, by_kernel, cat, control, echo, open, pot,
        set, stat, stats, store,
    },
};
use fastrand::Rng;
use ktap::note;
use nix::{errno::Errno, unistd::write};
use std::{
    fs::{self, File},
    process::Command,
};

ktap::tests!(files, Guest:
    separators [W4 W5],
    newlines [W3],
    pieces [W6 W9],
    after_a_separator [W7],
    last_line [W8],
    reserved_space [W9],
    reserved_exactly [W9],
    clearing_and_evicting_spare_it [W10],
    failed_write_and_close [W1 W11],
    failed_write_changes_nothing [W1],
    unloading_drops_it [W12],
    too_much [W13 W14],
    longest_fortune_in_pieces [P5 W14],
    fortunes_of_one_write [W1 W13],
    every_chunk_border [W7],
    classic_file [C3 C4 W7],
    odd_fortunes [C4],
);

/// Writes all of `text` by one call.
fn put(file: &File, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    assert_eq!(
        write(file, text),
        Ok(text.len()),
        "{:?}",
        String::from_utf8_lossy(text)
    );
}

/// Runs a shell command.
#[track_caller]
fn sh(script: &str) {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
}

fn separators() {
    let _module = Module::load("");
    for (written, stored) in [
        ("one\n%\ntwo\n%\nthree\n", &["one", "two", "three"][..]),
        ("%\none\n%\n%\n\n%\ntwo\nlines\n%\n", &["one", "two\nlines"]),
        ("%\n", &[]),
        ("%\n%\n\n%\n", &[]),
        // These are text.
        (" %\nx%\n%\r\n%%\n", &[" %\nx%\n%\r\n%%"]),
        ("%x\n%\n% \n", &["%x", "% "]),
        ("one\r\n%\ntwo\n", &["one\r", "two"]),
    ] {
        assert_eq!(store(written.as_bytes()), Ok(written.len()));
        assert_pot(stored);
        set("clear", "1").unwrap();
    }
    store(b"with a\0NUL\n%\nother\n").unwrap();
    assert_eq!(pot(), b"%\nwith a\0NUL\n%\nother\n%\n");
}

fn newlines() {
    let _module = Module::load("");
    for (written, stored) in [
        ("one", &["one"][..]),
        ("one\n", &["one"]),
        ("one\n\n", &["one\n"]),
        ("\none\n", &["\none"]),
        ("\n", &[]),
        ("\n\n", &["\n"]),
        ("one\n\n%\ntwo\n\n", &["one\n", "two\n"]),
        ("%\none", &["one"]),
        ("%\n\n\n", &["\n"]),
    ] {
        assert_eq!(store(written.as_bytes()), Ok(written.len()));
        assert_pot(stored);
        set("clear", "1").unwrap();
    }
}

fn pieces() {
    let _module = Module::load("");
    let file = open();
    for piece in ["a fort", "une", " in", " pieces"] {
        put(&file, piece);
        assert_eq!(cat(), b"");
        assert_pot(&[]);
    }
    // Through another open file, a whole one.
    echo("another");
    put(&file, "\n");
    assert_pot(&["another", "a fortune in pieces"]);
    // One that the close completes.
    put(&file, "not yet");
    assert_pot(&["another", "a fortune in pieces"]);
    let duplicate = file.try_clone().unwrap();
    drop(file);
    assert_pot(&["another", "a fortune in pieces"]);
    put(&duplicate, ", now");
    drop(duplicate);
    assert_pot(&["another", "a fortune in pieces", "not yet, now"]);
    // Lines that come with the rest of a write.
    let file = open();
    put(&file, "two\nli");
    put(&file, "nes\n");
    assert_pot(&[
        "another",
        "a fortune in pieces",
        "not yet, now",
        "two\nlines",
    ]);
    // printf without a newline, by a shell that keeps the file open.
    sh("exec 3> /proc/fortune; printf one >&3; printf two >&3");
    assert!(pot().ends_with(b"%\nonetwo\n%\n"));
}

fn after_a_separator() {
    let _module = Module::load("");
    let file = open();
    put(&file, "first\n");
    put(&file, "second\n%\n");
    assert_pot(&["first", "second"]);
    put(&file, "third\n");
    put(&file, "and more\n");
    assert_pot(&["first", "second"]);
    // In pieces, this one.
    put(&file, "%");
    put(&file, "\n");
    assert_pot(&["first", "second", "third\nand more"]);
    put(&file, "fourth\n");
    // Another open file has seen none.
    echo("other");
    drop(file);
    assert_pot(&["first", "second", "third\nand more", "other", "fourth"]);
}

fn last_line() {
    let _module = Module::load("");
    for (pieces, stored) in [
        (&["%"][..], &[][..]),
        (&["one\n%"], &["one"]),
        (&["one\n", "%"], &["one"]),
        (&["one\n\n%"], &["one\n"]),
        (&["%\none\n", "%"], &["one"]),
        (&["one%"], &["one%"]),
        (&["one\n%", "x"], &["one\n%x"]),
        (&["%", "%"], &["%%"]),
        (&["%\n%"], &[]),
    ] {
        let file = open();
        for piece in pieces {
            put(&file, piece);
        }
        drop(file);
        assert_pot(stored);
        set("clear", "1").unwrap();
    }
}

fn reserved_space() {
    let _module = Module::load("pot_size=20");
    let file = open();
    put(&file, "nine char");
    assert_eq!(
        (stat("reserved"), stat("used"), stat("fortunes")),
        (10, 0, 0)
    );
    assert_eq!(store(b"ten chars!"), Err(Errno::ENOSPC));
    echo("nine more");
    assert_eq!((stat("reserved"), stat("used")), (10, 10));
    // No room to go on, but for what costs nothing.
    assert_eq!(write(&file, b"!"), Err(Errno::ENOSPC));
    put(&file, "\n");
    assert_eq!((stat("reserved"), stat("used")), (0, 20));
    assert_pot(&["nine more", "nine char"]);

    // Given back when the file is closed without a fortune to store.
    set("clear", "1").unwrap();
    let file = open();
    put(&file, "%\nnine char");
    assert_eq!(stat("reserved"), 10);
    drop(file);
    assert_eq!((stat("reserved"), stat("used"), stat("stores")), (0, 10, 3));
}

fn reserved_exactly() {
    // The newline at the end and the line after it cost nothing: a file that fits exactly is taken.
    let _module = Module::load("pot_size=4");
    for pieces in [
        &["abc\n"][..],
        &["abc", "\n"],
        &["a", "bc"],
        &["%\nabc\n", "%"],
        &["%\nabc\n", "%", "\n"],
        &["%\nabc", "\n", "%", "\n"],
        &["%", "\n", "a", "b", "c", "\n", "%", "\n"],
        &["a\n%\nb\n%", "\n"],
    ] {
        let file = open();
        for piece in pieces {
            put(&file, piece);
        }
        drop(file);
        assert_eq!((stat("used"), stat("reserved")), (4, 0), "{pieces:?}");
        set("clear", "1").unwrap();
    }
    // A line that might be a separator is none.
    let file = open();
    put(&file, "abc\n%");
    assert_eq!(stat("reserved"), 4);
    assert_eq!(write(&file, b"%"), Err(Errno::ENOSPC));
    put(&file, "\n");
    assert_pot(&["abc"]);
}

fn clearing_and_evicting_spare_it() {
    let _module = Module::load("pot_size=20");
    let file = open();
    put(&file, "unfinished");
    set("clear", "1").unwrap();
    assert_eq!((stat("reserved"), stat("used")), (11, 0));
    set("when_full", "evict").unwrap();
    for number in 0..50 {
        echo(&format!("{number:02} chars"));
    }
    assert_eq!((stat("reserved"), stat("fortunes")), (11, 1));
    assert_eq!(store(b"ten chars!"), Err(Errno::ENOSPC));
    // It evicts as it grows.
    put(&file, "!");
    assert_eq!((stat("reserved"), stat("fortunes")), (12, 0));
    echo("7 chars");
    drop(file);
    assert_pot(&["7 chars", "unfinished!"]);
}

fn failed_write_and_close() {
    let _module = Module::load("pot_size=20");
    let null = std::ptr::null();
    // What a failed write leaves is dropped, and its space given back.
    for error in [Errno::ENOSPC, Errno::EFAULT] {
        let file = open();
        put(&file, "half a ");
        let failed = match error {
            Errno::EFAULT => write_from(&file, null, 7),
            _ => write(&file, b"fortune which is too long"),
        };
        assert_eq!(failed, Err(error));
        assert_eq!(stat("reserved"), 8);
        drop(file);
        assert_eq!((stat("reserved"), stat("used")), (0, 0));
    }
    // One that succeeds continues it, whatever was between.
    let file = open();
    put(&file, "half a ");
    assert_eq!(write_from(&file, null, 7), Err(Errno::EFAULT));
    assert_eq!(write(&file, &[b'x'; 20]), Err(Errno::ENOSPC));
    put(&file, "fortune");
    drop(file);
    assert_pot(&["half a fortune"]);
    // A write of nothing is neither.
    set("clear", "1").unwrap();
    let file = open();
    put(&file, "half a ");
    assert_eq!(write_from(&file, null, 7), Err(Errno::EFAULT));
    put(&file, "");
    drop(file);
    assert_pot(&[]);
}

fn failed_write_changes_nothing() {
    let _module = Module::load("pot_size=30");
    store(b"one\n%\ntwo\n%\nthree\n").unwrap();
    assert_cat("one\n");
    let file = open();
    put(&file, "%\nunfin");
    let before = (stats(), pot());
    for _ in 0..3 {
        assert_eq!(write(&file, b"ished\n%\nand some more"), Err(Errno::ENOSPC));
        assert_eq!(write_from(&file, std::ptr::null(), 10), Err(Errno::EFAULT));
        assert_eq!(store(b"one\n%\ntwo\n%\nthree\n"), Err(Errno::ENOSPC));
    }
    let (mut now, pot_now) = (stats(), pot());
    for (error, count) in [("nospace", 6), ("faults", 3)] {
        assert_eq!(now.insert(error.to_owned(), before.0[error]), Some(count));
    }
    assert_eq!((now, pot_now), before);
    assert_cat("two\n");
    put(&file, "ished\n%\n");
    assert_pot(&["one", "two", "three", "unfinished"]);
}

fn unloading_drops_it() {
    let module = Module::load("");
    let file = open();
    put(&file, "never to be seen");
    module.unload();
    assert_eq!(write(&file, b"\n"), Err(Errno::EIO));
    drop(file);
    let _module = Module::load("");
    assert_pot(&[]);
    assert_eq!(stat("reserved"), 0);
}

fn too_much() {
    let _module = Module::load("pot_size=100");
    // As many `%` lines as a write may have, and one byte more than it may.
    let most = "%\n".repeat(100 + 32768);
    assert_eq!(store(most.as_bytes()), Ok(2 * 100 + 65536));
    let over = most + "%";
    assert_eq!(store(over.as_bytes()), Err(Errno::ENOSPC));
    // Unread: the address is bad.
    let file = open();
    assert_eq!(
        write_from(&file, std::ptr::null(), over.len()),
        Err(Errno::ENOSPC)
    );
    assert_eq!(
        write_from(&file, std::ptr::null(), over.len() - 1),
        Err(Errno::EFAULT)
    );
    // One that could never fit takes nothing with it, nor do those that are not alone.
    echo("old");
    set("when_full", "evict").unwrap();
    for text in [
        "x".repeat(100),
        "x\n%\n".repeat(51),
        format!("x\n%\n{}", "y".repeat(98)),
    ] {
        assert_eq!(store(text.as_bytes()), Err(Errno::ENOSPC));
    }
    assert_pot(&["old"]);
    assert_eq!(stat("evictions"), 0);
}

fn longest_fortune_in_pieces() {
    const MAX: usize = 65536;
    let _module = Module::load("pot_size=200000");
    let file = open();
    put(&file, vec![b'x'; MAX - 1]);
    assert_eq!(write(&file, b"yz"), Err(Errno::ENOSPC));
    put(&file, "y\n%");
    assert_eq!(write(&file, b"z"), Err(Errno::ENOSPC));
    put(&file, "\n");
    let stored = cat();
    assert_eq!(stored.len(), MAX + 1);
    assert!(stored.ends_with(b"xy\n"));
    // The same at close, after a separator.
    put(&file, vec![b'x'; MAX]);
    put(&file, "\n");
    assert_eq!(write(&file, b"\n"), Err(Errno::ENOSPC));
    put(&file, "%");
    drop(file);
    assert_eq!((stat("fortunes"), stat("used")), (2, 2 * (MAX as u64 + 1)));
    // One byte at a time is no different.
    set("clear", "1").unwrap();
    let file = open();
    for _ in 0..3000 {
        put(&file, "x");
    }
    drop(file);
    assert_eq!(cat().len(), 3001);
}

fn fortunes_of_one_write() {
    let _module = Module::load("pot_size=12");
    set("when_full", "evict").unwrap();
    store(b"1\n%\n2\n%\n3\n").unwrap();
    // All of it or nothing.
    assert_eq!(store(b"abcd\n%\nefgh\n%\ni\n"), Ok(16));
    assert_pot(&["abcd", "efgh", "i"]);
    assert_eq!(store(b"abcd\n%\nefgh\n%\nij\n"), Err(Errno::ENOSPC));
    assert_pot(&["abcd", "efgh", "i"]);
    assert_eq!(stat("evictions"), 3);
    // No more leave than it takes.
    echo("12");
    assert_pot(&["efgh", "i", "12"]);
}

fn every_chunk_border() {
    let _module = Module::load("");
    let fortunes = ["one", "two\nlines", "%%", " %", "three\n", "%\r", "x"];
    let body = fortunes.join("\n%\n");
    let (mut splits, with_first, without) = (0, format!("%\n{body}\n%\n"), format!("{body}\n"));
    for at in 0..=with_first.len() {
        let file = open();
        put(&file, &with_first[..at]);
        put(&file, &with_first[at..]);
        drop(file);
        assert_pot(&fortunes);
        set("clear", "1").unwrap();
        splits += 1;
    }
    // One that does not begin with a separator is split only after an inner newline of the first fortune.
    let without = without.replacen("one", "first\nfortune", 1);
    for at in 0..=without.len() {
        let file = open();
        put(&file, &without[..at]);
        put(&file, &without[at..]);
        drop(file);
        let mut expected = fortunes.to_vec();
        expected.splice(..1, ["first\nfortune"]);
        if at == "first\n".len() {
            expected.splice(..1, ["first", "fortune"]);
        }
        if at == "first\nfortune\n".len() {
            // That newline is before the separator: there is nothing to split.
            assert_eq!(without.as_bytes()[at], b'%');
        }
        assert_pot(&expected);
        set("clear", "1").unwrap();
        splits += 1;
    }
    // In chunks of every size.
    for size in 1..20 {
        let file = open();
        for chunk in with_first.as_bytes().chunks(size) {
            put(&file, chunk);
        }
        drop(file);
        assert_pot(&fortunes);
        set("clear", "1").unwrap();
    }
    note(format!("{splits} borders, and chunks of 1 to 19 bytes"));
}

/// Fortunes of all sorts, in the format of the classic files.
fn generate(random: &mut Rng, count: usize) -> Vec<u8> {
    let words = [
        "cat", "base", "Straße", "naïve", "幸運", "🥠", "%", "%%", "-- Q.", "\t", "a\0b", "\r",
    ];
    let mut file = b"%\n".to_vec();
    for number in 0..count {
        // Most are short; some have many lines; few are as long as can be.
        let lines = if random.u8(..20) == 0 {
            random.usize(1..30)
        } else {
            random.usize(1..4)
        };
        for line in 0..lines {
            // No line is a separator.
            file.extend(format!("{number}.{line}").as_bytes());
            for _ in 0..random.usize(0..12) {
                file.extend(b" ");
                match random.u8(..10) {
                    0 => file.push(random.choice(0x80..=0xff_u8).unwrap()),
                    _ => file.extend(random.choice(words).unwrap().as_bytes()),
                }
            }
            file.push(b'\n');
            // An empty line, or some.
            file.extend(vec![b'\n'; random.usize(0..20).saturating_sub(17)]);
        }
        if number % 1000 == 999 {
            file.extend(vec![b'x'; 56000 + random.usize(..5000)]);
            file.push(b'\n');
        }
        file.extend(b"%\n");
    }
    file
}

fn classic_file() {
    let count = by_kernel(6000, 500);
    let saved = "/tmp/fortunes";
    let bytes = generate(&mut Rng::with_seed(7), count);
    fs::write(saved, &bytes).unwrap();
    for _ in 0..2 {
        let module = Module::load("pot_size=4194304");
        sh(&format!("cat {saved} > {FORTUNE}"));
        assert_eq!((stat("fortunes"), stat("reserved")), (count as u64, 0));
        sh(&format!(
            "cat {CONTROL}/pot > /tmp/again && cmp /tmp/again {saved}"
        ));
        // Fortune by fortune, they are what the file says.
        let expected = bytes[2..].strip_suffix(b"\n%\n").unwrap();
        let first = expected.windows(3).position(|at| at == b"\n%\n").unwrap();
        assert_eq!(cat(), [&expected[..first], b"\n"].concat());
        // What comes out goes in again, in chunks of any size.
        set("clear", "1").unwrap();
        sh(&format!("dd if=/tmp/again of={FORTUNE} bs=777 status=none"));
        sh(&format!("cmp {CONTROL}/pot {saved}"));
        module.unload();
    }
    note(format!("{count} fortunes, {} bytes", bytes.len()));
    fs::remove_file(saved).unwrap();
    fs::remove_file("/tmp/again").unwrap();
}

fn odd_fortunes() {
    let mut random = Rng::with_seed(1);
    let _module = Module::load("pot_size=100000");
    for lap in 0..50 {
        // Bytes that mean something to the format, in any order.
        let text: Vec<u8> = (0..random.usize(1..200))
            .map(|_| random.choice(*b"\n\n%%x \r\0").unwrap())
            .collect();
        store(&text).unwrap();
        let saved = pot();
        let used = stat("used");
        set("clear", "1").unwrap();
        assert_eq!(pot(), b"");
        let file = open();
        for chunk in saved.chunks(1 + lap) {
            put(&file, chunk);
        }
        drop(file);
        assert!(pot() == saved, "{lap}");
        assert_eq!(stat("used"), used);
    }
    assert!(control("stats").starts_with("pot_size 100000\nused "));
}
