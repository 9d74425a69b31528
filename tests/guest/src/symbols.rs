// SPDX-License-Identifier: GPL-2.0

//! Other modules that use fortune.ko: those of tests/symbols, in C and in Rust. caller.ko calls what it is told to.

use crate::{
    module::{
        FORTUNE, KernelLog, Module, assert_cat, assert_pot, by_kernel, cat, echo, is_debug_kernel,
        pot, set, stat, stats, store,
    },
    others::Group,
    unloading::kernel_memory,
};
use ktap::note;
use nix::{errno::Errno, sys::utsname::uname};
use std::{
    collections::BTreeSet, fs, io::ErrorKind, os::unix::fs::symlink, path::Path, process::Command,
    thread,
};

ktap::tests!(symbols, Guest, Users:
    tellers_store_and_draw [K1],
    a_draw_is_a_draw [K2],
    draws_at_once [K2],
    what_is_too_long_stays [K3],
    a_lot_stands [K3],
    a_store_is_a_write [K4],
    failed_stores_change_nothing [K4],
    charged_to_nobody [K5],
    users_hold_it [K6],
    constants_are_use [K6],
    modprobe_loads_it_first [K6],
    nothing_is_left [K6],
);

/// Loads caller.ko, which makes these calls, unloads it, and returns what it said of each.
fn call(calls: &str) -> Vec<String> {
    let log = KernelLog::new();
    Module::load_file("caller", &format!("calls=\"{calls}\"")).unload();
    said_by("caller", &log)
}

/// What a module has said since.
fn said_by(name: &str, log: &KernelLog) -> Vec<String> {
    let said = log.said().into_iter();
    said.filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
        .collect()
}

fn tellers_store_and_draw() {
    let _module = Module::load("");
    let log = KernelLog::new();
    Module::load_file("teller_c", "").unload();
    let said = said_by("teller_c", &log);
    let wise = "It is a wise module that knows its own namespace.";
    assert_eq!(said.last().unwrap(), wise);
    Module::load_file("teller_rust", "").unload();
    let said = said_by("teller_rust", &log);
    let borrow = "Borrow nothing that you can't return.";
    let others = format!("the next one has Some({}) bytes", wise.len());
    assert_eq!(said[said.len() - 2..], [borrow.to_owned(), others]);
    assert_pot(&[wise, borrow]);
    assert_eq!((stat("draws"), stat("stores")), (3, 2));
}

fn a_draw_is_a_draw() {
    let _module = Module::load("");
    assert_eq!(call("d100;n;c"), ["draw 100: 0 ''", "draw: 0", "count: 0"]);
    assert_eq!(stat("draws"), 0);
    // The cursor is everybody's, and there is no newline.
    ["one", "two", "three"].into_iter().for_each(echo);
    assert_eq!(call("d100;c"), ["draw 100: 3 'one'", "count: 3"]);
    assert_cat("two\n");
    let rest = ["draw 100: 5 'three'", "draw 100: 3 'one'"];
    assert_eq!(call("d100;d100"), rest);
    assert_eq!(stat("draws"), 4);
    // To the byte, and no further.
    assert_eq!(call("d3;d5"), ["draw 3: 3 'two'", "draw 5: 5 'three'"]);
    // Each once a lap.
    set("order", "shuffle").unwrap();
    for _ in 0..10 {
        let lap: BTreeSet<String> = call("d100;d100;d100").into_iter().collect();
        assert_eq!(lap.len(), 3, "{lap:?}");
    }
    // Where the pot ends within a fortune, or within its newline.
    set("clear", "1").unwrap();
    set("when_full", "evict").unwrap();
    set("order", "sequential").unwrap();
    for len in (1..200).step_by(by_kernel(5, 29)) {
        let text = "y".repeat(len);
        echo(&text);
        let len = text.len();
        let drawn = call("d4096");
        assert_eq!(drawn, [format!("draw 4096: {len} '{:.100}'", text)]);
    }
}

fn draws_at_once() {
    let _module = Module::load("");
    let letters: Vec<String> = (b'a'..=b'z')
        .map(|letter| {
            char::from(letter)
                .to_string()
                .repeat(usize::from(letter - b'a') + 1)
        })
        .collect();
    letters.iter().for_each(|text| echo(text));
    let times = by_kernel(20_000, 2_000);
    let cats = by_kernel(1_000, 100);
    thread::scope(|scope| {
        let drawn = scope.spawn(|| call(&format!("D{times}")));
        for _ in 0..cats {
            let text = String::from_utf8(cat()).unwrap();
            assert!(letters.iter().any(|letter| text == format!("{letter}\n")));
        }
        assert_eq!(drawn.join().unwrap(), [format!("draws: {times}")]);
    });
    assert_eq!(stat("draws"), times + cats);
}

fn what_is_too_long_stays() {
    let _module = Module::load("pot_size=200000");
    echo("first");
    echo("second");
    let before = stats();
    let said = call("d0;n;d4");
    assert_eq!(said, ["draw 0: 5 ''", "draw: 5", "draw 4: 5 ''"]);
    assert_eq!(stats(), before);
    assert_eq!(call("d5"), ["draw 5: 5 'first'"]);
    assert_cat("second\n");
    // The longest one.
    set("clear", "1").unwrap();
    assert_eq!(call("S65536;d65535"), ["store: 0", "draw 65535: 65536 ''"]);
    let said = call("d65536");
    assert_eq!(said, [format!("draw 65536: 65536 '{}'", "x".repeat(100))]);
}

fn a_lot_stands() {
    let _module = Module::load("");
    // By their lengths.
    (10..40).for_each(|len| echo(&"y".repeat(len)));
    let length = |said: &str| said.split(' ').nth(2).unwrap().to_owned();
    for order in ["random", "shuffle"] {
        set("order", order).unwrap();
        let mut seen = BTreeSet::new();
        for _ in 0..by_kernel(30, 6) {
            let said = call("d0;d9;d100;d100");
            let lengths: Vec<String> = said.iter().map(|said| length(said)).collect();
            assert_eq!(lengths[0], lengths[1], "{said:?}");
            assert_eq!(lengths[0], lengths[2], "{said:?}");
            seen.insert(lengths[2].clone());
            seen.insert(lengths[3].clone());
        }
        assert!(seen.len() > 5, "{seen:?}");
    }
    // Unless it leaves the pot.
    call("d0");
    set("clear", "1").unwrap();
    echo("another");
    assert_eq!(call("d100"), ["draw 100: 7 'another'"]);
    // Or another one is drawn first: in a lap each only once.
    ["one", "two", "three"].into_iter().for_each(echo);
    set("order", "sequential").unwrap();
    set("order", "shuffle").unwrap();
    for _ in 0..by_kernel(20, 5) {
        call("d0");
        let mut lap: BTreeSet<String> = (0..2).map(|_| String::from_utf8(cat()).unwrap()).collect();
        for said in call("d100;d100") {
            let text = said.split('\'').nth(1).unwrap();
            lap.insert(format!("{text}\n"));
        }
        assert_eq!(lap.len(), 4, "{lap:?}");
    }
}

fn a_store_is_a_write() {
    let _module = Module::load("");
    for text in [
        "",
        "\n",
        "one",
        "one\n",
        "one\n\n",
        "\n\n",
        "%",
        "%\n",
        "a\n%",
        "a\n%\n",
        "a\n%\nb",
        "%\na\nb\n%\n%\nc\n",
        "%\n%\n%",
        "a\nb",
        "x%\n%x",
        "a\n%\n\n%\nb\n",
    ] {
        let counted = |does: &dyn Fn()| {
            set("clear", "1").unwrap();
            let before = stats();
            does();
            let after = stats();
            let changed = |name: &str| after[name] - before[name];
            assert_eq!(after["reserved"], 0);
            (pot(), changed("stores"), after["used"], changed("nospace"))
        };
        let by_a_module = counted(&|| assert_eq!(call(&format!("s{text}")), ["store: 0"]));
        let by_a_write = counted(&|| assert!(store(text.as_bytes()).is_ok()));
        assert_eq!(by_a_module, by_a_write, "{text:?}");
    }
    // Many at once, for which the index grows.
    set("clear", "1").unwrap();
    assert_eq!(call("F2000;c"), ["store: 0", "count: 2000"]);
    // The oldest ones leave, if it was chosen so.
    set("when_full", "evict").unwrap();
    assert_eq!(call("S4000;c"), ["store: 0", "count: 48"]);
    assert_eq!(stat("evictions"), 1953);
    assert_eq!(call("d0"), ["draw 0: 1 ''"]);
}

fn failed_stores_change_nothing() {
    let refused = format!("store: {}", -(Errno::ENOSPC as i32));
    let _module = Module::load("");
    echo("still here");
    let mut expected = stats();
    // To the byte: 11 bytes are taken.
    for (number, calls) in ["S4085", "F2043", "S65537", "S100000", "F2049"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(call(calls), [refused.as_str()], "{calls}");
        expected.insert("nospace".to_owned(), number as u64 + 1);
        assert_eq!(stats(), expected, "{calls}");
    }
    assert_eq!(call("S4084"), ["store: 0"]);
    // What can never fit lets nothing leave, whatever was chosen.
    set("when_full", "evict").unwrap();
    let pot_before = pot();
    assert_eq!(call("S4096;S65537"), [refused.as_str(); 2]);
    assert_eq!(pot(), pot_before);
    // A fortune is no longer where there is room.
    drop(_module);
    let _module = Module::load("pot_size=1000000");
    let said = call("S65537;S65536;S65536");
    assert_eq!(said, [refused.as_str(), "store: 0", "store: 0"]);
}

fn charged_to_nobody() {
    let _module = Module::load("pot_size=1000000");
    call("F1");
    let group = Group::enter();
    let before = group.charged();
    assert_eq!(call("F100000"), ["store: 0"]);
    let charged = group.charged().saturating_sub(before);
    // The index takes more than four times as much.
    assert!(charged < 100_000 || is_debug_kernel(), "{charged}");
}

/// The line of a module in /proc/modules: how many use it, and which.
fn users(name: &str) -> (String, String) {
    let modules = fs::read_to_string("/proc/modules").unwrap();
    let line = modules
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let words: Vec<&str> = line.unwrap().split(' ').collect();
    (words[2].to_owned(), words[3].to_owned())
}

fn used_by(users: &str) -> (String, String) {
    let count = users.matches(',').count();
    (count.to_string(), users.to_owned())
}

fn users_hold_it() {
    // They can't come first.
    for name in ["teller_c", "teller_rust", "teller_constants"] {
        let alone = Module::try_load_file(name, "").map(drop);
        assert_eq!(alone, Err(Errno::ENOENT), "{name}");
    }
    let _module = Module::load("");
    assert_eq!(users("fortune"), ("0".to_owned(), "-".to_owned()));
    let c = Module::load_file("teller_c", "");
    let rust = Module::load_file("teller_rust", "");
    assert_eq!(users("fortune"), used_by("teller_rust,teller_c,"));
    let refused = Command::new("rmmod").arg("fortune").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    note(said.trim_end().to_owned());
    assert!(said.contains("Module fortune is in use by:"), "{said}");
    // By the kernel, too, and also where it is to be forced.
    for flags in [libc::O_NONBLOCK, libc::O_NONBLOCK | libc::O_TRUNC] {
        // SAFETY: The name ends with a NUL.
        let done = unsafe { libc::syscall(libc::SYS_delete_module, c"fortune".as_ptr(), flags) };
        assert_eq!(Errno::result(done), Err(Errno::EWOULDBLOCK));
    }
    assert!(Path::new(FORTUNE).exists());
    c.unload();
    assert_eq!(users("fortune"), used_by("teller_rust,"));
    rust.unload();
    assert_eq!(users("fortune"), ("0".to_owned(), "-".to_owned()));
    // A user that fails to load holds nothing.
    let failed = Module::try_load_file("caller", "calls=?").map(drop);
    assert_eq!(failed, Err(Errno::EINVAL));
    assert_eq!(users("fortune"), ("0".to_owned(), "-".to_owned()));
}

fn constants_are_use() {
    let module = Module::load("");
    let log = KernelLog::new();
    let user = Module::load_file("teller_constants", "");
    let said = said_by("teller_constants", &log);
    assert_eq!(said.last().unwrap(), "a fortune has up to 65536 bytes");
    assert_eq!(users("fortune"), used_by("teller_constants,"));
    // SAFETY: The name ends with a NUL.
    let done = unsafe {
        libc::syscall(
            libc::SYS_delete_module,
            c"fortune".as_ptr(),
            libc::O_NONBLOCK,
        )
    };
    assert_eq!(Errno::result(done), Err(Errno::EWOULDBLOCK));
    user.unload();
    module.unload();
}

fn modprobe_loads_it_first() {
    let release = uname().unwrap().release().to_str().unwrap().to_owned();
    let modules = Path::new("/lib/modules").join(release);
    let extra = modules.join("extra");
    fs::create_dir_all(&extra).unwrap();
    let here = std::env::current_dir().unwrap();
    for name in ["fortune", "teller_c", "teller_rust", "teller_constants"] {
        let file = format!("{name}.ko");
        match symlink(here.join(&file), extra.join(&file)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
    }
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("depmod", &[]);
    for name in ["teller_c", "teller_rust", "teller_constants"] {
        let file = format!("{name}.ko");
        assert_eq!(run("modinfo", &["-F", "depends", &file]), "fortune\n");
        assert_eq!(run("modinfo", &["-F", "import_ns", &file]), "FORTUNE\n");
        run("modprobe", &[name]);
        assert_eq!(users("fortune"), used_by(&format!("{name},")));
        assert!(Path::new(FORTUNE).exists());
        // In the other order.
        run("modprobe", &["-r", name]);
        assert!(!Path::new(FORTUNE).exists());
    }
    fs::remove_dir_all(modules).unwrap();
}

fn nothing_is_left() {
    let live = || {
        let module = Module::load("pot_size=1000000");
        call("F50000;d0;d10;S65536");
        let user = Module::load_file("teller_rust", "");
        set("order", "random").unwrap();
        call("n");
        user.unload();
        module.unload();
    };
    (0..3).for_each(|_| live());
    let before = kernel_memory();
    (0..by_kernel(20, 2)).for_each(|_| live());
    let grown = kernel_memory() - before;
    assert!(grown < 1024, "{grown} KiB");
}
