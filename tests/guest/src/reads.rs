// SPDX-License-Identifier: GPL-2.0

//! Reading /proc/fortune.

use crate::{
    memory::{Buffer, read_to},
    module::{FORTUNE, Module, assert_cat, cat, echo, open, store},
};
use ktap::{Limit, amount, figure};
use nix::{
    errno::Errno,
    sys::uio::pread,
    unistd::{Whence, lseek, read},
};
use std::{
    fs::{self, File, OpenOptions},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
};

ktap::tests!(reads, Guest:
    one_fortune_a_draw_in_the_order_stored [R1 R2],
    wrap_at_the_next_draw [R3],
    empty_pot [R8],
    open_before_the_first_store [R8],
    every_buffer_size [R4],
    long_fortunes [P5 R4],
    zero_length [R9],
    position_0_draws_the_next [R6],
    position_beyond_0 [R7],
    two_descriptors [R4],
    bad_pointer_keeps_the_fortune [R10],
    fault_after_some_bytes [R11],
    seeking [F2],
    never_blocks [R13],
    nothing_foreign,
    nothing_of_old_memory,
);

/// Reads up to `len` bytes at the file's position.
fn read_some(file: &File, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let count = read(file, &mut buffer).expect("read");
    buffer.truncate(count);
    buffer
}

/// Reads up to `len` bytes at `offset`.
fn read_at(file: &File, len: usize, offset: i64) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let count = pread(file, &mut buffer, offset).expect("pread");
    buffer.truncate(count);
    buffer
}

fn one_fortune_a_draw_in_the_order_stored() {
    let _module = Module::load("");
    for text in ["one", "two", "three"] {
        echo(text);
    }
    for _ in 0..3 {
        for text in ["one\n", "two\n", "three\n"] {
            assert_cat(text);
        }
    }
}

fn wrap_at_the_next_draw() {
    let _module = Module::load("");
    echo("one");
    assert_cat("one\n");
    // The last one was drawn, but what comes now is before the first one again.
    echo("two");
    assert_cat("two\n");
    echo("three");
    assert_cat("three\n");
    assert_cat("one\n");
    // In the middle of a lap it comes at the lap's end.
    echo("four");
    for text in ["two\n", "three\n", "four\n", "one\n"] {
        assert_cat(text);
    }
}

fn empty_pot() {
    for draws in [1, 3] {
        let _module = Module::load("");
        for _ in 0..draws {
            assert_eq!(cat(), b"");
        }
        // The cursor has not moved: the first fortune is whole and comes first.
        echo("whole");
        echo("next");
        assert_cat("whole\n");
        assert_cat("next\n");
    }
}

fn open_before_the_first_store() {
    let _module = Module::load("");
    let file = open();
    assert_eq!(read_some(&file, 10), b"");
    assert_eq!(read_at(&file, 10, 1), b"");
    echo("late");
    assert_eq!(read_some(&file, 10), b"late\n");
}

fn every_buffer_size() {
    let text = "Cats: All your base are belong to us.  Zero Wing";
    let _module = Module::load("");
    echo(text);
    let whole = format!("{text}\n");
    for size in 1..=whole.len() + 2 {
        let file = open();
        let mut pieces = Vec::new();
        loop {
            let piece = read_some(&file, size);
            if piece.is_empty() {
                break;
            }
            // Each read but the last one fills its buffer.
            let left = whole.len() - pieces.len();
            assert_eq!(piece.len(), size.min(left), "buffer of {size}");
            pieces.extend(piece);
        }
        assert_eq!(
            String::from_utf8(pieces).unwrap(),
            whole,
            "buffer of {size}"
        );
        assert_eq!(read_some(&file, size), b"", "the end stays the end");
    }
}

fn long_fortunes() {
    // Both sides of what fits into the open file's own buffer, of a page, and the longest of all.
    let _module = Module::load("pot_size=1000000");
    let lengths = [1, 254, 255, 256, 257, 4094, 4095, 4096, 4097, 65535, 65536];
    let texts = lengths.map(|len| {
        (0..len)
            .map(|at| b'a' + (at * 7 + len) as u8 % 26)
            .collect()
    });
    for text in &texts {
        let text: &Vec<u8> = text;
        assert_eq!(store(text), Ok(text.len()));
    }
    for size in [1 << 20, 4096, 1000] {
        for text in &texts {
            let file = open();
            let mut got = Vec::new();
            while let piece @ [_, ..] = read_some(&file, size).as_slice() {
                got.extend(piece);
            }
            assert_eq!(got.pop(), Some(b'\n'));
            assert!(got == *text, "a fortune of {} by {size}", text.len());
        }
    }
}

fn zero_length() {
    let _module = Module::load("");
    echo("one");
    echo("two");
    let file = open();
    assert_eq!(read_some(&file, 0), b"");
    assert_eq!(read_some(&file, 10), b"one\n");
    assert_eq!(read_at(&file, 0, 0), b"");
    assert_eq!(read_at(&file, 10, 0), b"two\n");
}

fn position_0_draws_the_next() {
    let _module = Module::load("");
    echo("one");
    echo("two");
    let file = open();
    assert_eq!(read_some(&file, 10), b"one\n");
    assert_eq!(read_some(&file, 10), b"");
    lseek(&file, 0, Whence::SeekSet).unwrap();
    assert_eq!(read_some(&file, 10), b"two\n");
    assert_eq!(read_at(&file, 10, 0), b"one\n");
    assert_eq!(read_at(&file, 2, 0), b"tw");
    // The file's own position is where the last read left it.
    assert_eq!(read_some(&file, 10), b"");
}

fn position_beyond_0() {
    // Beyond that, offset and length don't fit into an i64 together, and the VFS says EINVAL.
    const FAR: i64 = i64::MAX - 10;
    let _module = Module::load("");
    echo("fortune");
    let file = open();
    // Nothing drawn yet.
    for offset in [1, 7, 8, 9, FAR] {
        assert_eq!(read_at(&file, 10, offset), b"", "at {offset}");
    }
    assert_eq!(read_at(&file, 3, 0), b"for");
    for (offset, rest) in [
        (1, "ortune\n"),
        (6, "e\n"),
        (7, "\n"),
        (8, ""),
        (9, ""),
        (FAR, ""),
    ] {
        assert_eq!(read_at(&file, 10, offset), rest.as_bytes(), "at {offset}");
    }
    assert_eq!(pread(&file, &mut [0], -1), Err(Errno::EINVAL));
}

fn two_descriptors() {
    let _module = Module::load("");
    echo("one");
    echo("two");
    let (first, second) = (open(), open());
    assert_eq!(read_some(&first, 2), b"on");
    assert_eq!(read_some(&second, 2), b"tw");
    assert_eq!(read_some(&first, 10), b"e\n");
    assert_eq!(read_some(&second, 10), b"o\n");
    // A duplicate shares the position and what was drawn.
    let third = open();
    let fourth = third.try_clone().unwrap();
    assert_eq!(read_some(&third, 2), b"on");
    assert_eq!(read_some(&fourth, 10), b"e\n");
}

fn bad_pointer_keeps_the_fortune() {
    let _module = Module::load("");
    echo("one");
    echo("two");
    let file = open();
    let pages = Buffer::new(4096);
    for bad in [std::ptr::null_mut(), pages.edge(0)] {
        assert_eq!(read_to(&file, bad, 10), Err(Errno::EFAULT));
    }
    // What is kept is this open file's: others draw on.
    assert_cat("two\n");
    assert_eq!(read_some(&file, 10), b"one\n");
    assert_eq!(read_some(&file, 10), b"");
    assert_cat("one\n");
}

fn fault_after_some_bytes() {
    let _module = Module::load("pot_size=70000");
    let text: Vec<u8> = (0..4000u32).map(|at| b'a' + (at % 26) as u8).collect();
    store(&text).unwrap();
    let whole: Vec<u8> = text.iter().chain(b"\n").copied().collect();
    let mut pages = Buffer::new(4096);
    for room in [1, 2, 7, 8, 9, 63, 64, 65, 255, 1000, 3999, 4000, 4001] {
        let file = open();
        // Asked for more than arrives: the exact number, and the rest can be read.
        let count = read_to(&file, pages.edge(room), 5000).unwrap();
        assert_eq!(count, room);
        assert_eq!(*pages.tail(room), whole[..room]);
        assert_eq!(lseek(&file, 0, Whence::SeekCur), Ok(room as i64));
        assert_eq!(read_some(&file, 5000), whole[room..]);
    }
}

fn seeking() {
    let _module = Module::load("");
    echo("fortune");
    let file = open();
    assert_eq!(lseek(&file, 3, Whence::SeekSet), Ok(3));
    assert_eq!(lseek(&file, 4, Whence::SeekCur), Ok(7));
    assert_eq!(lseek(&file, -8, Whence::SeekCur), Err(Errno::EINVAL));
    assert_eq!(lseek(&file, -1, Whence::SeekSet), Err(Errno::EINVAL));
    for whence in [Whence::SeekEnd, Whence::SeekData, Whence::SeekHole] {
        assert_eq!(lseek(&file, 0, whence), Err(Errno::EINVAL));
    }
    assert_eq!(lseek(&file, i64::MAX, Whence::SeekSet), Ok(i64::MAX));
    assert_eq!(lseek(&file, 0, Whence::SeekCur), Ok(i64::MAX));
    lseek(&file, 0, Whence::SeekSet).unwrap();
    assert_eq!(read_some(&file, 4), b"fort");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
    assert!(info.lines().any(|line| line == "pos:\t4"), "{info}");
}

fn never_blocks() {
    let _module = Module::load("");
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(FORTUNE)
        .unwrap();
    assert_eq!(read_some(&file, 10), b"");
    echo("now");
    assert_eq!(read_some(&file, 10), b"now\n");
}

fn nothing_foreign() {
    // Each byte of the buffer beyond what was read stays as it was.
    let _module = Module::load("");
    echo("short");
    let mut buffer = [0xaa; 4096];
    let file = open();
    assert_eq!(read(&file, &mut buffer), Ok(6));
    assert_eq!(&buffer[..6], b"short\n");
    assert!(buffer[6..].iter().all(|&byte| byte == 0xaa));
}

/// Fills much of the free memory and gives it back.
fn poison() {
    let memory = vec![0xa5_u8; 64 << 20];
    assert_eq!(std::hint::black_box(&memory)[12345], 0xa5);
}

/// Memory that was just somebody else's. Debian's kernels clear it, but not where own_boot.rs runs this.
fn nothing_of_old_memory() {
    let cleared = !fs::read_to_string("/proc/cmdline")
        .unwrap()
        .contains("init_on_alloc=0");
    let (loads, reads) = if cleared {
        (1, 500)
    } else {
        (20, amount(50_000, 1_000_000))
    };
    let mut done = 0;
    for _ in 0..loads {
        poison();
        let _module = Module::load("pot_size=100000");
        let read = [cat(), cat()].concat();
        assert!(
            read.is_empty(),
            "read before anything was written: {read:?}"
        );
        // Nothing comes before a fortune, nor after it.
        for number in 0..reads / loads {
            if number % 50 == 0 {
                echo("x");
            }
            assert_cat("x\n");
            done += 1;
        }
    }
    if !cleared {
        figure(
            "S11",
            "{} of memory that was not cleared, no foreign byte",
            &[Limit::amount(done, reads, "reads")],
        );
    }
}
