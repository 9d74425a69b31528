// SPDX-License-Identifier: GPL-2.0

//! Compares fortune.ko with its twin in C, in guests, and says whether it reaches its targets.
//!
//! The instructions of a call are counted in a guest whose clock is that count; they are the same in each boot.
//! Everything else is measured by time, side by side in one boot, several times.

mod plot;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

/// `make bench` calls this in the Debian root.
#[derive(Parser)]
struct Options {
    /// The words that start a guest
    #[arg(long, env = "BOOT")]
    boot: String,

    /// Where Kbuild has built the modules
    #[arg(long, env = "BUILD")]
    build: PathBuf,

    /// Count instructions only, in one boot
    #[arg(long)]
    quick: bool,

    /// What scripts/bench has timed: the row's id, what it was, seconds, and how many are the target
    #[arg(long, num_args = 4, value_names = ["ID", "OP", "SECONDS", "TARGET"])]
    timed: Vec<String>,
}

/// A line of the table.
#[derive(Clone, Serialize)]
struct Row {
    id: String,
    op: String,
    rust: f64,
    c: Option<f64>,
    floor: Option<f64>,
    ratio: Option<f64>,
    target: String,
    ok: bool,
    /// It is the same each time, and so has to be reached.
    exact: bool,
}

/// The rows of instructions: id, what is called.
const OPS: &[(&str, &str)] = &[
    ("P1", "read at end of file"),
    ("P2", "pread that draws 64 bytes"),
    ("P3", "write of 64 bytes"),
    ("P4", "write of 4096 bytes"),
    ("P5.open", "open, close"),
    ("P5.cat", "open, read, read, close"),
    ("P6", "write of 64 bytes into a full pot"),
];

/// How much more than the twin's a call may cost, both without what an empty file costs.
const GATE: f64 = 1.05;

/// What a guest has measured: by row and file, in instructions of one call.
type Counts = BTreeMap<(String, String), Count>;

#[derive(Clone, Copy, PartialEq)]
struct Count {
    each: f64,
    /// How many batches took no more.
    equal: u32,
    of: u32,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let counts = count(options)?;
    let mut rows = instructions(&counts)?;
    if !options.quick {
        rows.extend(fill(&counts)?);
        rows.extend(sizes(options)?);
        rows.extend(by_time(options)?);
        rows.push(power_on(options)?);
        for row in options.timed.chunks_exact(4) {
            rows.push(seconds(&row[0], &row[1], row[2].parse()?, row[3].parse()?));
        }
        rows.push(boots(options, &counts)?);
        rows.extend(commands(&counts)?);
    }
    print(&rows, &counts);
    if !options.quick {
        let build = options.build.parent().context("build")?;
        let json = serde_json::to_string_pretty(&BTreeMap::from([("rows", &rows)]))?;
        fs::write(build.join("bench.json"), json + "\n")?;
        plot::fill(&build.join("bench.svg"), &fills(&counts))?;
    }
    Ok(rows.iter().all(|row| row.ok || !row.exact))
}

/// What `guest bench` prints in a guest.
fn guest(options: &Options, machine: &[&str], what: &str) -> Result<String> {
    let words: Vec<&str> = options.boot.split(' ').collect();
    let file = |name: &str| options.build.join(name).display().to_string();
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(machine)
        .args(["--file", &file("twin.ko"), "--file", &file("floor.ko")])
        .args(["--", "guest", "bench", what])
        .stderr(Stdio::inherit())
        .output()
        .context(options.boot.clone())?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "the guest ends with {}:\n{text}",
        output.status
    );
    Ok(text)
}

/// Boots a guest that counts.
fn count(options: &Options) -> Result<Counts> {
    let mut counts = Counts::new();
    let text = guest(options, &["--icount"], "instructions")?;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [row, file, each, equal, of] = words[..] else {
            continue;
        };
        let count = Count {
            each: each.parse()?,
            equal: equal.parse()?,
            of: of.parse()?,
        };
        counts.insert((row.to_owned(), file.to_owned()), count);
    }
    Ok(counts)
}

fn of(counts: &Counts, row: &str, file: &str) -> Result<f64> {
    let count = counts.get(&(row.to_owned(), file.to_owned()));
    Ok(count
        .with_context(|| format!("{row} of {file} was not counted"))?
        .each)
}

/// P1 to P6.
fn instructions(counts: &Counts) -> Result<Vec<Row>> {
    let row = |&(id, op): &(&str, &str)| {
        let (rust, c, floor) = (
            of(counts, id, "fortune")?,
            of(counts, id, "twin")?,
            of(counts, id, "floor")?,
        );
        let ratio = (rust - floor) / (c - floor);
        Ok(Row {
            id: id.to_owned(),
            op: op.to_owned(),
            rust,
            c: Some(c),
            floor: Some(floor),
            ratio: Some(ratio),
            target: format!("{GATE}, aim 1.00"),
            ok: ratio <= GATE,
            exact: true,
        })
    };
    OPS.iter().map(row).collect()
}

/// P14: two more boots count the same.
fn boots(options: &Options, counts: &Counts) -> Result<Row> {
    let of_calls = |counts: &Counts| -> Vec<((String, String), f64)> {
        let of_calls = counts.iter().filter(|((row, _), _)| row.starts_with('P'));
        of_calls
            .map(|(key, count)| (key.clone(), count.each))
            .collect()
    };
    let first = of_calls(counts);
    let mut differ = 0;
    for _ in 0..2 {
        let again = of_calls(&count(options)?);
        differ += first.iter().zip(&again).filter(|(a, b)| a != b).count();
    }
    Ok(Row {
        id: "P14".to_owned(),
        op: format!(
            "of {} counts, those that differ in three boots",
            first.len()
        ),
        rust: differ as f64,
        c: None,
        floor: None,
        ratio: None,
        target: "0".to_owned(),
        ok: differ == 0,
        exact: true,
    })
}

/// How much a draw costs with so many fortunes in the pot: ours and C's.
fn fills(counts: &Counts) -> Vec<(u32, f64, f64)> {
    let fortunes = counts.keys().filter(|(_, file)| file == "fortune");
    let mut fills: Vec<_> = fortunes
        .filter_map(|(row, _)| {
            let number = row.strip_prefix("P7.draw.")?.parse().ok()?;
            let count = |file| of(counts, row, file).ok();
            Some((number, count("fortune")?, count("twin")?))
        })
        .collect();
    fills.sort_by_key(|fill| fill.0);
    fills
}

/// P7.
fn fill(counts: &Counts) -> Result<Vec<Row>> {
    let fills = fills(counts);
    let first = fills.first().context("P7 was not counted")?.1;
    let rows = fills.iter().map(|&(fortunes, rust, c)| {
        let ratio = rust / first;
        Row {
            id: "P7".to_owned(),
            op: format!("pread that draws one of {fortunes}; to one of 1"),
            rust,
            c: Some(c),
            floor: None,
            ratio: Some(ratio),
            target: "1 ± 0.01".to_owned(),
            ok: (ratio - 1.).abs() <= 0.01,
            exact: true,
        }
    });
    Ok(rows.collect())
}

/// P8: sections of the modules, as `size -A` lists them.
fn sizes(options: &Options) -> Result<Vec<Row>> {
    let sections = |name: &str| -> Result<[f64; 2]> {
        let output = Command::new("size")
            .args(["-A", "-d"])
            .arg(options.build.join(name))
            .output()
            .context("size")?;
        ensure!(
            output.status.success(),
            "size {name} ends with {}",
            output.status
        );
        let text = String::from_utf8(output.stdout)?;
        let sum = |prefixes: &[&str]| {
            let sizes = text.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                let (name, size) = (words.next()?, words.next()?);
                let counts = prefixes.iter().any(|prefix| name.starts_with(prefix));
                size.parse::<f64>().ok().filter(|_| counts)
            });
            sizes.sum()
        };
        Ok([
            sum(&[".text", ".init.text", ".exit.text"]),
            sum(&[".data", ".rodata", ".bss"]),
        ])
    };
    let (rust, c) = (sections("fortune.ko")?, sections("twin.ko")?);
    let row = |(op, at): (&str, usize)| Row {
        id: "P8".to_owned(),
        op: op.to_owned(),
        rust: rust[at],
        c: Some(c[at]),
        floor: None,
        ratio: Some(rust[at] / c[at]),
        target: "2.5".to_owned(),
        ok: rust[at] / c[at] <= 2.5,
        exact: true,
    };
    Ok([("bytes of code", 0), ("bytes of data", 1)]
        .map(row)
        .to_vec())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// P9 and P10: two CPUs, each on a thread of the host's, and the clock; and the index.
fn by_time(options: &Options) -> Result<Vec<Row>> {
    let text = guest(options, &["--smp", "2"], "time")?;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let rate = |file: &str, threads: &str| {
        let rates = lines.iter().filter_map(|line| match line[..] {
            ["P9", name, number, rate] if (name, number) == (file, threads) => rate.parse().ok(),
            _ => None,
        });
        median(rates.collect())
    };
    let scaling = |file| rate(file, "2") / rate(file, "1");
    let bytes = |file: &str| {
        let bytes = lines.iter().find_map(|line| match line[..] {
            ["P10", name, bytes] if name == file => bytes.parse::<f64>().ok(),
            _ => None,
        });
        bytes.with_context(|| format!("P10 of {file} was not measured"))
    };
    let (rust, c) = (rate("fortune", "2"), rate("twin", "2"));
    let index = bytes("fortune")?;
    Ok(vec![
        Row {
            id: "P9".to_owned(),
            op: "thousand draws a second, 2 CPUs; /proc file".to_owned(),
            rust: rust / 1000.,
            c: Some(c / 1000.),
            floor: Some(rate("floor", "2") / 1000.),
            ratio: Some(rust / c),
            target: "at least 1".to_owned(),
            ok: rust / c >= 1.,
            exact: false,
        },
        Row {
            id: "P9".to_owned(),
            op: "times the draws of 1 CPU; /dev/zero".to_owned(),
            rust: scaling("fortune"),
            c: Some(scaling("twin")),
            floor: Some(scaling("zero")),
            ratio: None,
            target: "published".to_owned(),
            ok: true,
            exact: false,
        },
        Row {
            id: "P10".to_owned(),
            op: "bytes of the index for a fortune, of 100,000".to_owned(),
            rust: index,
            c: Some(bytes("twin")?),
            floor: None,
            ratio: None,
            // A page for 341.
            target: "12".to_owned(),
            ok: index < 12.1,
            exact: true,
        },
    ])
}

fn seconds(id: &str, op: &str, seconds: f64, target: f64) -> Row {
    Row {
        id: id.to_owned(),
        op: op.to_owned(),
        rust: seconds,
        c: None,
        floor: None,
        ratio: None,
        target: format!("{target} s"),
        ok: seconds <= target,
        exact: false,
    }
}

/// P11: from power-on to the first line of a test.
fn power_on(options: &Options) -> Result<Row> {
    let words: Vec<&str> = options.boot.split(' ').collect();
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let mut boot = Command::new(words[0])
            .args(&words[1..])
            .args(["--", "guest", "test", "transcript"])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = boot.stdout.take().context("a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        lines.next().context("the guest said nothing")??;
        times.push(begun.elapsed().as_secs_f64());
        lines.for_each(drop);
        ensure!(boot.wait()?.success(), "the guest failed");
    }
    let (least, most) = times.iter().fold((f64::MAX, 0_f64), |(a, b), &time| {
        (a.min(time), b.max(time))
    });
    let op = format!("seconds from power-on to a test, {least:.1} to {most:.1}");
    Ok(seconds("P11", &op, median(times), 4.))
}

/// What users would take instead, with all that a process costs.
fn commands(counts: &Counts) -> Result<Vec<Row>> {
    let million = |name| Ok::<_, anyhow::Error>(of(counts, "user", name)? / 1e6);
    let row = |op: &str, rust, c| Row {
        id: String::new(),
        op: op.to_owned(),
        rust,
        c,
        floor: None,
        ratio: None,
        target: String::new(),
        ok: true,
        exact: false,
    };
    Ok(vec![
        row(
            "million instructions: cat /proc/fortune",
            million("fortune")?,
            Some(million("twin")?),
        ),
        row(
            "million instructions: shuf -n 1, of 1000 lines",
            million("shuf")?,
            None,
        ),
        row(
            "million instructions: true, which does nothing",
            million("true")?,
            None,
        ),
    ])
}

fn print(rows: &[Row], counts: &Counts) {
    println!(
        "{:<8} {:<52} {:>9} {:>9} {:>9} {:>6}  {:<16}",
        "id", "", "fortune", "C", "floor", "ratio", "target"
    );
    let number = |number: Option<f64>, places| match number {
        Some(number) => format!("{number:.places$}"),
        None => "–".to_owned(),
    };
    for row in rows {
        println!(
            "{:<8} {:<52} {:>9.2} {:>9} {:>9} {:>6}  {:<16} {}",
            row.id,
            row.op,
            row.rust,
            number(row.c, 2),
            number(row.floor, 2),
            number(row.ratio, 3),
            row.target,
            if row.ok { "" } else { "MISSED" }
        );
    }
    let equal = counts
        .iter()
        .filter(|((row, _), _)| row.starts_with('P'))
        .map(|(_, count)| count.equal * 100 / count.of);
    println!(
        "instructions of one call: the least of batches; at least {} % of the batches took no more",
        equal.min().unwrap_or(0)
    );
}
