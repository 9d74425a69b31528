// SPDX-License-Identifier: GPL-2.0

//! The module broken on purpose. Each patch of this directory is applied to a copy of the sources, which is built and
//! tested in a guest: a test must fail, or the kernel complain, or the guest hang, and the one that is expected.

use crate::kernel::{Said, kernel, run, succeed, top, work};
use By::{Hang, Kernel, Test};
use ktap::{Declaration, Ended, Limit, Need, Place, amount, figure, note, progress};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::Deserialize;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// By what a mutant is noticed.
#[derive(Clone, Copy)]
enum By {
    /// A test fails whose name begins so.
    Test(&'static str),
    /// The kernel complains, in these words.
    Kernel(&'static str),
    /// The test that runs last never ends.
    Hang(&'static str),
}

/// A patch, what it takes to notice it, which tests are run, and which of them, or what else, notices.
type Mutant = (&'static str, &'static [Need], &'static str, By);

/// Those that a stock kernel is enough for, and that are tried in `make soak` only.
const SOAK: &[Need] = &[Need::Kernel, Need::Soak];

#[rustfmt::skip]
const MUTANTS: &[Mutant] = &[
    ("data_dropped_before_the_entry", &[Need::Debug], "files.unloading_drops_it", Kernel("KASAN")),
    ("cursor_moved_on_a_failed_read", &[Need::Kernel], "reads.bad_pointer", Test("reads.bad_pointer")),
    ("lock_held_across_the_copy", SOAK, "others.stalled_reader", Hang("others.stalled_reader")),
    ("wait_not_killable", SOAK, "others.waits_are_killed", Kernel("INFO: task")),
    ("reserved_not_given_back", SOAK, "files", Test("files.failed_write_and_close")),
    ("index_off_by_one", SOAK, "transcript", Test("transcript.article")),
    ("half_written_fortune", SOAK, "torture", Test("torture.")),
    ("evicted_before_refusing", SOAK, "files", Test("files.too_much")),
    ("lot_cast_again", SOAK, "control.random", Test("control.random_is_fair_to_long_fortunes")),
    ("unfinished_stored_after_a_fault", SOAK, "files", Test("files.failed_write_and_close")),
    ("not_charged", SOAK, "others.memory", Test("others.memory_is_charged")),
    ("surplus_leaked", SOAK, "others.memory", Test("others.memory_is_charged")),
];

mod of_all {
    use super::*;

    ktap::tests!(mutants, Host: each_patch_is_tried, of_cargo_mutants needs(Soak));
}

mod of_module {
    use super::*;

    ktap::tests!(mutants, Boot, Stock, Asked: of_the_module);
}

/// One for each patch, and those of all.
pub(crate) fn tests() -> Vec<ktap::Test> {
    let each = MUTANTS.iter().map(|mutant| ktap::Test {
        declaration: Declaration {
            name: format!("mutants.{}", mutant.0),
            place: Place::Boot,
            needs: mutant.1.to_vec(),
            sentences: Vec::new(),
        },
        run: Box::new(|| check(mutant)),
    });
    each.chain(of_all::tests())
        .chain(of_module::tests())
        .collect()
}

fn each_patch_is_tried() {
    let patches = fs::read_dir("tests/mutants").unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".patch").map(str::to_owned)
    });
    let mut patches: Vec<String> = patches.collect();
    patches.sort();
    let mut tried: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.0).collect();
    tried.sort();
    assert_eq!(patches, tried);
}

/// cargo-mutants, which is built where it is not there yet.
fn cargo_mutants() -> Command {
    let tools = top().join("build/tools");
    succeed(
        Command::new("cargo")
            .args(["install", "--quiet", "--locked", "--root"])
            .arg(&tools)
            .arg("cargo-mutants@25.3.1"),
    );
    let mut command = Command::new(tools.join("bin/cargo-mutants"));
    command.arg("mutants");
    command
}

/// Of what cargo-mutants changes in the pot and the records, its tests on the host notice nearly all.
fn of_cargo_mutants() {
    let top = top();
    let copy = work("of_cargo_mutants");
    // A workspace that has these files and nothing else.
    fs::create_dir_all(copy.join("src/proc_fs")).unwrap();
    for name in ["src/pot.rs", "src/records.rs", "src/proc_fs/exact.rs"] {
        fs::copy(top.join(name), copy.join(name)).unwrap();
    }
    fs::create_dir(copy.join("tests")).unwrap();
    succeed(
        Command::new("cp")
            .arg("-r")
            .args(["tests/pot", "tests/ktap"])
            .arg(copy.join("tests")),
    );
    fs::copy(top.join("tests/Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    let workspace = fs::read_to_string(top.join("tests/Cargo.toml")).unwrap();
    let members = workspace
        .lines()
        .find(|line| line.starts_with("members"))
        .unwrap();
    let workspace = workspace.replace(members, "members = [\"tests/pot\", \"tests/ktap\"]");
    fs::write(copy.join("Cargo.toml"), workspace).unwrap();

    let Said { stdout, stderr, .. } = run(cargo_mutants()
        .args(["--package", "pot", "--no-times", "--colors=never"])
        .args(["--timeout", "60", "--jobs", "2"])
        // Two at once: each copy of the tree has what it builds to itself.
        .env_remove("CARGO_TARGET_DIR")
        .env("CASES", "3000")
        .current_dir(&copy));
    let said = stdout + &stderr;
    let list = |name: &str| {
        fs::read_to_string(copy.join("mutants.out").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}: {said}"))
    };
    let count = |name: &str| list(name).lines().count();
    let noticed = count("caught.txt") + count("timeout.txt");
    let all = noticed + count("missed.txt");
    note(list("missed.txt"));
    let share = 100. * noticed as f64 / all as f64;
    assert!(all > 0, "{said}");
    figure(
        "S19",
        &format!("{{}}: {noticed} of {{}} of the pot noticed"),
        &[
            Limit::least(share, 95., "%"),
            Limit::least(all, 101, "mutants"),
        ],
    );
}

/// What cargo-mutants changes in the rest of the module, and in proc_fs: each is built, and the contract's tests run on it in
/// a guest until one fails. Two at once.
fn of_the_module() {
    let copies = ["of_the_module.1", "of_the_module.2"].map(work);
    for copy in &copies {
        succeed(
            Command::new("cp")
                .args(["-r", "Kbuild", "src", "scripts", "tests"])
                .arg(copy),
        );
    }
    // It finds the sources by a package.
    let package =
        "[package]\nname = 'fortune'\nversion = '0.0.0'\n[lib]\npath = 'src/fortune.rs'\n";
    fs::write(copies[0].join("Cargo.toml"), package).unwrap();
    let list = succeed(
        cargo_mutants()
            .args(["--list", "--json", "--diff"])
            .current_dir(&copies[0]),
    );
    let list: Vec<Change> = serde_json::from_str(&list).unwrap();
    // Of the first two the host's tests see more, and none of these tests is about the others.
    let others = [
        "src/pot.rs",
        "src/records.rs",
        "src/version.rs",
        "src/symbols/mod.rs",
    ];
    let list: Vec<&Change> = list
        .iter()
        .filter(|change| !others.contains(&change.file.as_str()))
        .collect();
    let (is_noticed, times) =
        try_it(&copies[0], &|_| Duration::from_secs(300)).expect("it compiles as it is");
    assert!(!is_noticed, "nothing was changed");
    // Where a test takes much longer something hangs. Two at once take each other's time.
    let limit =
        |test: usize| Duration::from_secs(10) + 3 * times.get(test).copied().unwrap_or_default();

    let (next, noticed, missed) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let step = list.len().div_ceil(amount(20, list.len())).max(1);
    let try_some = |copy: &Path| {
        loop {
            let at = next.fetch_add(step, Ordering::Relaxed);
            let Some(change) = list.get(at) else {
                return;
            };
            progress(at, list.len());
            let file = copy.join(&change.file);
            let original = fs::read(&file).unwrap();
            let patch = copy.join("change.patch");
            fs::write(&patch, &change.diff).unwrap();
            succeed(Command::new("patch").arg(&file).arg(&patch));
            match try_it(copy, &limit) {
                // It does not compile.
                None => {}
                Some((true, _)) => {
                    noticed.fetch_add(1, Ordering::Relaxed);
                }
                Some((false, _)) => {
                    missed.fetch_add(1, Ordering::Relaxed);
                    let what = change.diff.lines().nth(1).unwrap_or_default();
                    note(what.replacen("+++", &change.file, 1));
                }
            }
            fs::write(&file, original).unwrap();
        }
    };
    thread::scope(|scope| {
        for copy in &copies {
            scope.spawn(|| try_some(copy));
        }
    });
    let noticed = noticed.into_inner();
    let all = noticed + missed.into_inner();
    let share = 100. * noticed as f64 / all as f64;
    figure(
        "S33",
        &format!("{{}}: {noticed} of {{}} of the module noticed"),
        &[
            Limit::least(share, 80., "%"),
            Limit::least(all, amount(10, 100), "mutants"),
        ],
    );
}

/// What cargo-mutants would change.
#[derive(Deserialize)]
struct Change {
    file: String,
    /// Its second line says what it is.
    diff: String,
}

/// Whether a test notices what was changed in that copy of the sources: it fails, or does not end within the limit for the test
/// of that number; and how long the tests before it took. Nothing if the module does not compile.
fn try_it(copy: &Path, limit: &dyn Fn(usize) -> Duration) -> Option<(bool, Vec<Duration>)> {
    // Those that the contract and proc_fs have, and nothing of how the module was built; what takes long comes last.
    const TESTS: [&str; 2] = [
        "reads writes files control loading calls permissions unloading tools proc_fs attacks",
        "others linear bounds",
    ];
    let kernel = kernel(Need::Stock);
    let built = run(make(copy, kernel).args(["FORTUNE_TESTS=m", "modules"]));
    if built.status != Some(0) {
        return None;
    }
    let modules = ["fortune", "hello", "proc_fs_test", "proc_fs_attacks"];
    let modules = modules.map(|name| format!("--file={}/{name}.ko", copy.display()));
    let mut guest = kernel
        .boot()
        .args(modules)
        .args(["--timeout", "0", "--", "sh", "-ec"])
        .args(["for tests; do guest contract $tests; done", "sh"])
        .args(TESTS)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // QEMU is in the group too.
        .process_group(0)
        .spawn()
        .unwrap();
    let output = BufReader::new(guest.stdout.take().unwrap());
    let (sender, results) = mpsc::channel();
    thread::spawn(move || {
        let is_result = |line: &String| line.starts_with("ok ") || line.starts_with("not ok ");
        let mut lines = output.lines().map_while(Result::ok);
        while let Some(line) = lines.by_ref().find(is_result) {
            // Nobody waits for it any more if one before it has failed.
            let _ = sender.send(line);
        }
    });
    let mut times = Vec::new();
    let has_failed = loop {
        let begun = Instant::now();
        match results.recv_timeout(limit(times.len())) {
            Ok(result) if result.starts_with("ok ") => times.push(begun.elapsed()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    if has_failed {
        let id = Pid::from_raw(guest.id().try_into().unwrap());
        killpg(id, Signal::SIGTERM).unwrap();
    }
    Some((!guest.wait().unwrap().success() || has_failed, times))
}

fn check(&(name, needs, tests, by): &Mutant) {
    let kernel = kernel(needs[0]);
    let copy = work(name);
    let module = build(&copy, name, kernel);
    let Said {
        status,
        stdout,
        stderr,
    } = run(kernel
        .boot()
        // In the place of the other one.
        .arg("--file")
        .arg(module)
        .args(["--timeout", "60", "--", "guest", "test", tests]));
    fs::remove_dir_all(&copy).unwrap();
    let outcomes = ktap::read(&stdout);
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.is_of_a_test() && matches!(outcome.ended, Ended::Failed(_)))
        .map(|outcome| outcome.name.as_str())
        .collect();
    let noticed = match (by, status) {
        (Test(test), Some(1)) => failed.iter().any(|failed| failed.starts_with(test)),
        (Kernel(complaint), Some(125)) => stderr.contains(complaint),
        (Hang(test), Some(124)) => !outcomes
            .iter()
            .any(|outcome| outcome.name.starts_with(test)),
        _ => false,
    };
    assert!(noticed, "{status:?}, failed: {failed:?}\n{stdout}{stderr}");
    note(match by {
        Test(_) => format!("noticed by the test {}", failed.join(", ")),
        Kernel(complaint) => format!("noticed by the kernel: {complaint}"),
        Hang(test) => format!("noticed by {test}, which does not end"),
    });
}

/// Builds the module from a copy of the sources with the patch of this name.
fn build(copy: &Path, name: &str, kernel: &crate::kernel::Kernel) -> PathBuf {
    succeed(Command::new("cp").args(["-r", "Kbuild", "src"]).arg(copy));
    succeed(
        Command::new("patch")
            .args(["-p1", "-i"])
            .arg(top().join(format!("tests/mutants/{name}.patch")))
            .current_dir(copy),
    );
    succeed(make(copy, kernel).arg("modules"));
    copy.join("fortune.ko")
}

/// `make`, for the module in a copy of the sources.
fn make(copy: &Path, kernel: &crate::kernel::Kernel) -> Command {
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(&kernel.is.headers)
        .arg(format!("M={}", copy.display()));
    // As the Makefile does.
    if kernel.is.llvm {
        make.arg("LLVM=1");
    }
    make
}
