// SPDX-License-Identifier: GPL-2.0

//! The bugs of the classic fortune modules and of their ports. fortune.ko has none of them; legacy.c is a module
//! that has them, and `guest classic NUMBER…` is how own_boot.rs shows that these tests see them.

use crate::{
    memory::{Buffer, Stall, read_to, write_from},
    module::{CONTROL, FORTUNE, KernelLog, Module, by_kernel, pot, set},
};
use ktap::{Limit, amount, figure};
use nix::{
    errno::Errno,
    sys::stat::stat,
    unistd::{read, write},
};
use std::{
    fs::{self, File, OpenOptions},
    os::fd::AsRawFd,
    path::Path,
    process::ExitCode,
    thread,
};

ktap::tests!(classic, Guest:
    bug_1_one_byte_past_the_pot [P3],
    bug_2_write_of_nothing [W15],
    bug_3_signed_length [W14],
    bug_4_last_byte_replaced [W3],
    bug_5_empty_pot_moves_the_cursor [R8],
    bug_6_nul_ends_a_fortune [P4],
    bug_7_unbounded_formatting,
    bug_8_short_read_loses_the_rest [R4],
    bug_9_undelivered_moves_the_cursor [R10],
    bug_10_no_lock [O1],
    bug_11_cut_at_chunk_borders [W7],
    bug_12_no_list_count_or_clear [C1],
    bug_13_log_line_for_each_refusal [O3],
    bug_14_old_kernel_memory,
    bug_15_counts_and_modes [F1 R4],
);

/// A dispenser to be tried: a module, and its file.
struct Target {
    module: &'static str,
    path: &'static str,
    /// The size of its pot.
    size: usize,
}

const OURS: Target = Target {
    module: "fortune",
    path: FORTUNE,
    size: 4096,
};

const LEGACY: Target = Target {
    module: "legacy",
    path: "/proc/legacy_fortune",
    size: 4096,
};

impl Target {
    fn load(&self) -> Module {
        Module::load_file(self.module, "")
    }

    fn open(&self) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path)
            .unwrap()
    }

    fn store(&self, text: &[u8]) -> Result<usize, Errno> {
        write(self.open(), text)
    }

    fn cat(&self) -> Vec<u8> {
        let file = self.open();
        let mut all = Vec::new();
        // Not more than anything can be: a file that never ends has failed.
        while all.len() < 1 << 20 {
            let mut buffer = vec![0; 8192];
            match read(&file, &mut buffer).unwrap() {
                0 => return all,
                count => all.extend(&buffer[..count]),
            }
        }
        panic!("{} never ends", self.path);
    }
}

type Check = fn(&Target);

/// What each of them would do wrong, by its number.
const CHECKS: [Check; 15] = [
    |target| {
        let _module = target.load();
        // One byte after the other, until there is no room.
        let fits = (0..2 * target.size).find_map(|count| match target.store(b"x") {
            Ok(1) => None,
            result => Some((count, result)),
        });
        let (count, refused) = fits.expect("it takes no more than twice its size");
        assert_eq!(refused, Err(Errno::ENOSPC));
        assert!(count <= target.size);
    },
    |target| {
        let _module = target.load();
        assert_eq!(target.store(b""), Ok(0));
        assert_eq!(target.cat(), b"");
        assert_eq!(target.store(b"text\n"), Ok(5));
        assert_eq!(target.cat(), b"text\n");
    },
    |target| {
        let _module = target.load();
        for count in [1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 46] {
            let result = write_from(target.open(), 0x1000 as *const libc::c_void, count);
            assert_eq!(result, Err(Errno::ENOSPC), "{count}");
        }
    },
    |target| {
        let _module = target.load();
        assert_eq!(target.store(b"abc"), Ok(3));
        assert_eq!(target.cat(), b"abc\n");
    },
    |target| {
        let _module = target.load();
        assert_eq!(target.cat(), b"");
        assert_eq!(target.store(b"whole\n"), Ok(6));
        assert_eq!(target.cat(), b"whole\n");
    },
    |target| {
        let _module = target.load();
        assert_eq!(target.store(b"a\0b\n"), Ok(4));
        assert_eq!(target.cat(), b"a\0b\n");
    },
    |target| {
        let _module = target.load();
        // As large as the pot, whatever that is.
        let mut text = vec![b'x'; target.size - 1];
        assert_eq!(target.store(&text), Ok(text.len()));
        text.push(b'\n');
        assert_eq!(target.cat(), text);
    },
    |target| {
        let _module = target.load();
        target.store(b"in several pieces\n").unwrap();
        let file = target.open();
        let mut pieces: Vec<u8> = Vec::new();
        loop {
            // The piece is at the end of what can be written to.
            let mut pages = Buffer::new(4096);
            match read_to(&file, pages.edge(4), 4) {
                Ok(0) => break,
                Ok(count) => pieces.extend(&pages.tail(4)[..count]),
                Err(error) => panic!("{error} after {pieces:?}"),
            }
        }
        assert_eq!(pieces, b"in several pieces\n");
    },
    |target| {
        let _module = target.load();
        target.store(b"one\n").unwrap();
        target.store(b"two\n").unwrap();
        let file = target.open();
        assert_eq!(
            read_to(&file, std::ptr::null_mut(), 100),
            Err(Errno::EFAULT)
        );
        let mut buffer = [0; 100];
        let count = read(&file, &mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"one\n");
    },
    |target| {
        let _module = target.load();
        let stall = Stall::new();
        let (address, file) = (stall.address(), target.open());
        let writer = thread::spawn(move || write_from(&file, address as *const libc::c_void, 6));
        stall.wait();
        assert_eq!(target.store(b"other\n"), Ok(6));
        // Six zeroes.
        stall.let_go();
        assert_eq!(writer.join().unwrap(), Ok(6));
        assert_eq!(target.cat(), b"other\n");
        assert_eq!(target.cat(), b"\0\0\0\0\0\0\n");
    },
    |target| {
        // 300 KB, as cat writes them: in chunks of 128 KiB.
        let _module = if target.module == "fortune" {
            Module::load("pot_size=1000000")
        } else {
            target.load()
        };
        let fortunes: Vec<String> = (0..3000)
            .map(|number| format!("{number}\n{}", "line of it\n".repeat(9)))
            .collect();
        let file = "%\n".to_owned() + &fortunes.join("%\n");
        assert!(file.len() > 300_000);
        let to = target.open();
        for chunk in file.as_bytes().chunks(128 << 10) {
            assert_eq!(write(&to, chunk), Ok(chunk.len()));
        }
        drop(to);
        for fortune in fortunes {
            assert_eq!(String::from_utf8(target.cat()).unwrap(), fortune);
        }
    },
    |target| {
        let _module = target.load();
        target.store(b"one\n").unwrap();
        let directory = Path::new(CONTROL);
        assert!(directory.is_dir(), "no way to look into {}", target.path);
        assert_eq!(pot(), b"%\none\n%\n");
        assert!(
            fs::read_to_string(directory.join("stats"))
                .unwrap()
                .contains("fortunes 1\n")
        );
        set("clear", "1").unwrap();
        assert_eq!(target.cat(), b"");
    },
    |target| {
        let _module = target.load();
        let log = KernelLog::new();
        let text = vec![b'x'; target.size + 2];
        let file = target.open();
        for _ in 0..by_kernel(100_000, 300) {
            assert_eq!(write(&file, &text), Err(Errno::ENOSPC));
        }
        assert_eq!(log.said(), [""; 0]);
    },
    |target| {
        // Memory that was just somebody else's. Debian's kernels clear it, but not where own_boot.rs runs this.
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
            let _module = target.load();
            let read = [target.cat(), target.cat()].concat();
            assert!(
                read.is_empty(),
                "read before anything was written: {read:?}"
            );
            // Nothing comes before a fortune, nor after it.
            for number in 0..reads / loads {
                let text = "x".repeat(number % 50 + 1) + "\n";
                if number % 50 == 0 {
                    target.store(text.as_bytes()).unwrap();
                }
                let read = target.cat();
                assert!(read.iter().all(|byte| b"x\n".contains(byte)), "{read:?}");
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
    },
    |target| {
        let _module = target.load();
        target.store(b"longer than four\n").unwrap();
        let file = target.open();
        let mut buffer = [0xaa; 100];
        // SAFETY: The buffer is larger than what is asked for.
        let count = unsafe { libc::read(file.as_raw_fd(), buffer.as_mut_ptr().cast(), 4) };
        assert!(count <= 4, "{count} bytes for a buffer of 4");
        assert!(buffer[4..].iter().all(|&byte| byte == 0xaa));
        assert_eq!(stat(target.path).unwrap().st_mode & 0o777, 0o644);
    },
];

/// Fills much of the free memory and gives it back.
fn poison() {
    let page = vec![0xa5_u8; 64 << 20];
    assert_eq!(std::hint::black_box(&page)[12345], 0xa5);
    // What vmalloc gets next.
    let file = File::create("/tmp/poison").unwrap();
    write(&file, &page[..16 << 20]).unwrap();
    fs::remove_file("/tmp/poison").unwrap();
}

macro_rules! checks {
    ($($number:literal $name:ident),* $(,)?) => {
        $(fn $name() {
            CHECKS[$number - 1](&OURS);
        })*
    };
}

checks! {
    1 bug_1_one_byte_past_the_pot,
    2 bug_2_write_of_nothing,
    3 bug_3_signed_length,
    4 bug_4_last_byte_replaced,
    5 bug_5_empty_pot_moves_the_cursor,
    6 bug_6_nul_ends_a_fortune,
    7 bug_7_unbounded_formatting,
    8 bug_8_short_read_loses_the_rest,
    9 bug_9_undelivered_moves_the_cursor,
    10 bug_10_no_lock,
    11 bug_11_cut_at_chunk_borders,
    12 bug_12_no_list_count_or_clear,
    13 bug_13_log_line_for_each_refusal,
    14 bug_14_old_kernel_memory,
    15 bug_15_counts_and_modes,
}

/// Tries the legacy module for the bugs of these numbers, or fortune.ko if the first word is `fortune`, and
/// prints which ones it has.
pub(crate) fn catch(words: &[&str]) -> ExitCode {
    let (target, numbers) = match words {
        ["fortune", numbers @ ..] => (&OURS, numbers),
        numbers => (&LEGACY, numbers),
    };
    for number in numbers {
        let check = number
            .parse()
            .ok()
            .and_then(|number: usize| CHECKS.get(number.checked_sub(1)?));
        let Some(check) = check else {
            eprintln!("no bug has the number {number}");
            return ExitCode::from(2);
        };
        match std::panic::catch_unwind(|| check(target)) {
            Ok(()) => println!("{number} not seen"),
            Err(_) => println!("{number} caught"),
        }
    }
    ExitCode::SUCCESS
}
