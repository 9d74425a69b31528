// SPDX-License-Identifier: GPL-2.0

//! Writing /proc/fortune.

use crate::{
    memory::write_from,
    module::{FORTUNE, Module, assert_cat, by_kernel, cat, echo, open, store},
};
use nix::{
    errno::Errno,
    sys::uio::{pwrite, writev},
    unistd::{Whence, lseek, read, write},
};
use std::{fs::OpenOptions, io::IoSlice, os::unix::fs::OpenOptionsExt, process::Command};

ktap::tests!(writes, Guest:
    no_newline [W2 W3],
    one_newline_is_not_part_of_the_fortune [W3],
    empty_fortunes_are_skipped [W5],
    any_byte [P4],
    full_to_the_byte [P3],
    more_than_fits_changes_nothing [W1 W13],
    longest_fortune [P5],
    far_too_long [W14],
    zero_length [W15],
    bad_pointer [W1],
    position_is_not_used [W16],
    truncate_and_append [W17],
    each_segment_of_writev [W18],
    many_fortunes [P6],
    at_once [R12],
);

fn no_newline() {
    let _module = Module::load("");
    assert_eq!(store(b"abc"), Ok(3));
    assert_cat("abc\n");
}

fn one_newline_is_not_part_of_the_fortune() {
    let _module = Module::load("");
    assert_eq!(store(b"two lines\nof text\n"), Ok(18));
    assert_eq!(store(b"an empty line at the end\n\n"), Ok(26));
    assert_cat("two lines\nof text\n");
    assert_cat("an empty line at the end\n\n");
}

fn empty_fortunes_are_skipped() {
    let _module = Module::load("");
    assert_eq!(store(b"\n"), Ok(1));
    assert_eq!(cat(), b"");
    echo("something");
    assert_eq!(store(b"\n"), Ok(1));
    assert_cat("something\n");
    assert_cat("something\n");
}

fn any_byte() {
    let _module = Module::load("");
    assert_eq!(store(b"a\0b\n"), Ok(4));
    assert_eq!(store(b"\0\n"), Ok(2));
    // No newline at the end, where it would not be part of the fortune.
    let all: Vec<u8> = (0..=255).rev().collect();
    assert_eq!(store(&all), Ok(256));
    assert_eq!(cat(), b"a\0b\n");
    assert_eq!(cat(), b"\0\n");
    let mut got = cat();
    assert_eq!(got.pop(), Some(b'\n'));
    assert_eq!(got, all);
}

fn full_to_the_byte() {
    for size in [2, 10, 4096, 5000] {
        let _module = Module::load(&format!("pot_size={size}"));
        // A fortune costs its length plus one.
        let most = vec![b'x'; size - 1];
        let over = vec![b'y'; size];
        assert_eq!(store(&over), Err(Errno::ENOSPC), "{size}");
        assert_eq!(store(&most), Ok(size - 1), "{size}");
        assert_eq!(store(b"z"), Err(Errno::ENOSPC), "{size}");
        assert_eq!(cat().len(), size, "{size}");
        assert_eq!(cat(), [most.as_slice(), b"\n"].concat(), "{size}");
    }
    // By several fortunes, the newline written or not.
    let _module = Module::load("pot_size=10");
    assert_eq!(store(b"1234\n"), Ok(5));
    assert_eq!(store(b"6789\n"), Ok(5));
    assert_eq!(store(b"0"), Err(Errno::ENOSPC));
    assert_cat("1234\n");
    assert_cat("6789\n");
    assert_cat("1234\n");
    // Nothing fits into one byte.
    drop(_module);
    let _module = Module::load("pot_size=1");
    assert_eq!(store(b"x"), Err(Errno::ENOSPC));
    assert_eq!(store(b"\n"), Ok(1));
    assert_cat("");
}

fn more_than_fits_changes_nothing() {
    let _module = Module::load("pot_size=20");
    echo("one");
    echo("two");
    assert_cat("one\n");
    assert_eq!(store(b"one that is too long"), Err(Errno::ENOSPC));
    assert_eq!(store(b"thirteen 13 c"), Err(Errno::ENOSPC));
    assert_eq!(store(b"eleven chrs"), Ok(11));
    for text in ["two\n", "eleven chrs\n", "one\n"] {
        assert_cat(text);
    }
}

fn longest_fortune() {
    let _module = Module::load("pot_size=1000000");
    let mut text = vec![b'x'; 65537];
    assert_eq!(store(&text), Err(Errno::ENOSPC));
    text.push(b'\n');
    assert_eq!(store(&text), Err(Errno::ENOSPC));
    text[65536] = b'\n';
    text.pop();
    assert_eq!(store(&text), Ok(65537));
    assert_eq!(cat(), text);
    assert_eq!(cat().len(), 65537);
}

fn far_too_long() {
    // A count of 2 GiB and more reaches the file as 2 GiB - 4 KiB. It is refused unread: the buffer
    // is no good.
    let _module = Module::load("");
    echo("here before");
    let file = open();
    for count in [1 << 20, 1 << 30, 1 << 31, 1 << 32, 1 << 40] {
        let result = write_from(&file, 0x1000 as *const libc::c_void, count);
        assert_eq!(result, Err(Errno::ENOSPC), "{count}");
    }
    assert_cat("here before\n");
    assert_cat("here before\n");
}

fn zero_length() {
    let _module = Module::load("");
    // First of all, into the empty pot.
    assert_eq!(store(b""), Ok(0));
    assert_cat("");
    echo("one");
    assert_eq!(store(b""), Ok(0));
    assert_cat("one\n");
    assert_cat("one\n");
}

fn bad_pointer() {
    let _module = Module::load("");
    echo("one");
    echo("two");
    assert_cat("one\n");
    let file = open();
    for len in [1, 100, 1000] {
        let result = write_from(&file, std::ptr::null(), len);
        assert_eq!(result, Err(Errno::EFAULT), "{len}");
    }
    assert_cat("two\n");
    assert_cat("one\n");
    // The room that it would have taken is there still.
    assert_eq!(store(&[b'x'; 4096 - 8 - 1]), Ok(4087));
    assert_eq!(store(b"x"), Err(Errno::ENOSPC));
}

fn position_is_not_used() {
    let _module = Module::load("");
    // exec 3<>/proc/fortune; echo hi >&3; cat <&3
    let script = format!("exec 3<>{FORTUNE}; echo hi >&3; cat <&3");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.stdout, b"hi\n");

    let file = open();
    lseek(&file, 1000, Whence::SeekSet).unwrap();
    assert_eq!(write(&file, b"at 1000\n"), Ok(8));
    assert_eq!(lseek(&file, 0, Whence::SeekCur), Ok(1000));
    assert_eq!(pwrite(&file, b"at 5\n", 5), Ok(5));
    assert_eq!(pwrite(&file, b"far away\n", i64::MAX - 100), Ok(9));
    lseek(&file, 0, Whence::SeekSet).unwrap();
    let mut buffer = [0; 20];
    assert_eq!(read(&file, &mut buffer), Ok(8));
    assert_cat("at 5\n");
    assert_cat("far away\n");
}

fn truncate_and_append() {
    let _module = Module::load("");
    echo("one");
    for flags in [
        libc::O_TRUNC,
        libc::O_APPEND,
        libc::O_TRUNC | libc::O_APPEND,
    ] {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(FORTUNE)
            .unwrap();
        assert_eq!(write(&file, b"more\n"), Ok(5));
    }
    for text in ["one\n", "more\n", "more\n", "more\n", "one\n"] {
        assert_cat(text);
    }
}

fn each_segment_of_writev() {
    let _module = Module::load("");
    let file = open();
    let segments = [b"one\n".as_slice(), b"two\n", b"three\n"].map(IoSlice::new);
    assert_eq!(writev(&file, &segments), Ok(14));
    for text in ["one\n", "two\n", "three\n"] {
        assert_cat(text);
    }
}

fn many_fortunes() {
    // More than several blocks of the index hold.
    let _module = Module::load("pot_size=100000");
    let count = by_kernel(5000, 2500);
    let file = open();
    for number in 0..count {
        write(&file, format!("fortune {number}\n").as_bytes()).unwrap();
    }
    for lap in 0..2 {
        for number in 0..count {
            assert_eq!(cat(), format!("fortune {number}\n").as_bytes(), "lap {lap}");
        }
    }
}

fn at_once() {
    // Two writers at once, and then two readers: whole fortunes only, and each exactly once a lap.
    const EACH: usize = 2000;
    let _module = Module::load("pot_size=1000000");
    std::thread::scope(|scope| {
        for writer in ["red", "blue"] {
            scope.spawn(move || {
                let file = open();
                for number in 0..EACH {
                    let text = format!("{writer} {number} {}\n", "x".repeat(number % 100));
                    assert_eq!(write(&file, text.as_bytes()), Ok(text.len()));
                }
            });
        }
    });
    let readers =
        [(); 2].map(|()| std::thread::spawn(|| (0..EACH).map(|_| cat()).collect::<Vec<_>>()));
    let mut drawn: Vec<Vec<u8>> = readers
        .into_iter()
        .flat_map(|reader| reader.join().unwrap())
        .collect();
    let mut stored: Vec<Vec<u8>> = ["red", "blue"]
        .into_iter()
        .flat_map(|writer| {
            (0..EACH).map(move |number| {
                format!("{writer} {number} {}\n", "x".repeat(number % 100)).into_bytes()
            })
        })
        .collect();
    drawn.sort();
    stored.sort();
    assert!(drawn == stored);
}
