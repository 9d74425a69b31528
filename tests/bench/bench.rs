// SPDX-License-Identifier: GPL-2.0

//! Compares fortune.ko with its twin in C, in guests, and says whether it reaches its targets.
//!
//! The instructions of a call are counted in a guest whose clock is that count; they are the same in each boot.
//! Everything else is measured by time, side by side in one boot, several times.

mod profile;

use crate::kernel::{Kernel, kernel};
use anyhow::{Context, Result, ensure};
use clap::Args;
use ktap::{Limit, MISSED, Need, note};
use profile::Profile;
use serde::{Serialize, Serializer};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

/// What is to be compared, and how.
#[derive(Args)]
pub(crate) struct Options {
    /// The kernel to do it on: its name, and the directory that `scripts/kernel` made
    #[arg(long, value_names = ["NAME", "DIR"], num_args = 2, required = true)]
    kernel: Vec<String>,

    /// Another file for the guest, as `boot` takes it
    #[arg(long, value_name = "FILE[:PLACE]")]
    file: Vec<String>,

    /// Count instructions only, in one boot
    #[arg(long)]
    quick: bool,

    /// What scripts/bench has timed: the row's id, what it was, the target in seconds, and what it took each time
    #[arg(long, num_args = 4, value_names = ["ID", "OP", "TARGET", "SECONDS,…"])]
    timed: Vec<String>,
}

/// A line of the table.
#[derive(Clone, Default, Serialize)]
struct Row {
    id: String,
    op: String,
    rust: f64,
    c: Option<f64>,
    floor: Option<f64>,
    ratio: Option<f64>,
    /// What it is to be, if it is compared with anything.
    #[serde(serialize_with = "target")]
    limit: Option<Limit>,
}

impl Row {
    /// It is what it is to be, if there is such a thing.
    fn is_reached(&self) -> bool {
        self.limit.as_ref().is_none_or(Limit::is_reached)
    }

    /// It is the same each time, and worse than it was.
    fn is_worse(&self) -> bool {
        self.limit.as_ref().is_some_and(|limit| !limit.holds())
    }

    fn target(&self) -> &str {
        self.limit.as_ref().map_or("published", Limit::is_to_be)
    }
}

/// What a row is to be, for the file.
fn target<S: Serializer>(limit: &Option<Limit>, to: S) -> Result<S::Ok, S::Error> {
    match limit {
        Some(limit) => to.collect_str(limit.is_to_be()),
        None => to.serialize_none(),
    }
}

/// The rows of instructions: id, what is called, and how many system calls that is.
const OPS: &[(&str, &str, usize)] = &[
    ("B1", "read at end of file", 1),
    ("B2", "pread that draws 64 bytes", 1),
    ("B3", "write of 64 bytes", 1),
    ("B4", "write of 4096 bytes", 1),
    ("B5.open", "open, close", 2),
    ("B5.cat", "open, read, read, close", 4),
    ("B6", "write of 64 bytes into a full pot", 1),
];

/// How much more than the twin's a call costs at most, both without what an empty file costs.
const TARGET: f64 = 1.03;

/// What a guest has measured: by row and file, in instructions of one call.
type Counts = BTreeMap<(String, String), Count>;

#[derive(Clone, Copy)]
struct Count {
    each: f64,
    /// How many batches took no more.
    equal: u32,
    of: u32,
}

ktap::tests!(bench, Boot, Counted: instructions_of_a_call, waits_in_instructions needs(Soak));

/// No call takes many more instructions than its twin in C: `make bench QUICK=1`.
fn instructions_of_a_call() {
    let kernel = kernel(Need::Counted);
    let options = Options {
        kernel: vec![kernel.name.clone(), kernel.dir.display().to_string()],
        file: Vec::new(),
        quick: true,
        timed: Vec::new(),
    };
    let counts = count(&options, "calls").unwrap();
    let rows = instructions(&counts).unwrap();
    let table = table(&rows, &counts);
    for line in table.lines().filter(|line| line.starts_with('B')) {
        note(format!("figure: {}", line.trim_end()));
    }
    assert!(!rows.iter().any(Row::is_worse), "{table}");
}

/// How long a reader waits for what others do with the pot, by a clock that counts instructions, one a nanosecond: the
/// host, which gives a CPU to whom it likes, has no part in that.
fn waits_in_instructions() {
    let output = kernel(Need::Counted)
        .boot()
        .args(["--icount", "--", "guest", "test"])
        .arg("bounds.nobody_waits_for_long")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let mut figures = text
        .lines()
        .filter_map(|line| line.strip_prefix("# figure: "));
    let figure = figures.next().expect("a figure");
    note(format!(
        "figure: {}",
        figure.replace("waits for", "waits, by counted instructions, for")
    ));
    assert!(!figure.contains(MISSED), "{figure}");
}

/// Compares, and says whether nothing is worse than it was.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut counts = count(options, "calls")?;
    let mut rows = instructions(&counts)?;
    if !options.quick {
        counts.extend(count(options, "fill")?);
        rows.extend(fill(&counts, "B7.draw.", "pread that draws one of")?);
        rows.extend(fill(&counts, "B7.write.", "write of 64 bytes to")?);
        rows.extend(sizes(options)?);
        let [loaded, index] = sizes_in_memory(options)?;
        rows.push(loaded);
        rows.extend(draws_by_time(options)?);
        rows.push(index);
        rows.push(power_on(options)?);
        for row in options.timed.chunks_exact(4) {
            let times = row[3].split(',').map(str::parse);
            let times = times.collect::<Result<_, _>>()?;
            rows.push(seconds(&row[0], &row[1], times, row[2].parse()?));
        }
        rows.push(boots(options, &counts)?);
        rows.extend(commands(&count(options, "commands")?)?);
    }
    print!("{}", table(&rows, &counts));
    if !options.quick {
        for &(id, op, calls) in OPS {
            if rows.iter().any(|row| row.id == id && !row.is_reached()) {
                explain(options, id, op, calls)?;
            }
        }
        let json = serde_json::to_string_pretty(&BTreeMap::from([("rows", &rows)]))?;
        fs::write("build/bench.json", json + "\n")?;
    }
    Ok(!rows.iter().any(Row::is_worse))
}

impl Options {
    fn kernel(&self) -> Result<Kernel> {
        Kernel::of(&self.kernel)?.pop().context("--kernel")
    }
}

/// A guest that runs `guest bench` with these words.
fn bench(options: &Options, machine: &[&str], words: &[&str]) -> Result<Command> {
    let kernel = options.kernel()?;
    let file = |name: &str| kernel.build().join(name).display().to_string();
    let mut boot = kernel.boot();
    for file in &options.file {
        boot.args(["--file", file]);
    }
    // Where the kernel and the modules lie is another thing in each boot.
    boot.arg("--fresh");
    boot.args(machine)
        .args(["--file", &file("twin.ko"), "--file", &file("floor.ko")])
        .args(["--", "guest", "bench"])
        .args(words);
    Ok(boot)
}

/// What it prints.
fn guest(options: &Options, machine: &[&str], words: &[&str]) -> Result<String> {
    let output = bench(options, machine, words)?
        .stderr(Stdio::inherit())
        .output()
        .context("boot")?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "the guest ends with {}:\n{text}",
        output.status
    );
    Ok(text)
}

/// Boots a guest that counts some of the rows.
fn count(options: &Options, what: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    let text = guest(options, &["--icount"], &[what])?;
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

/// B1 to B6.
fn instructions(counts: &Counts) -> Result<Vec<Row>> {
    let row = |&(id, op, _): &(&str, &str, usize)| {
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
            limit: Some(Limit::most(ratio, TARGET, "")),
        })
    };
    OPS.iter().map(row).collect()
}

/// B14: two more boots count the same.
fn boots(options: &Options, counts: &Counts) -> Result<Row> {
    // Which way `memcpy_orig` copies depends on the last bytes of the addresses (arch/x86/lib/memcpy_64.S): 0.4 on average.
    let mut differ = BTreeSet::new();
    for _ in 0..2 {
        let mut again = count(options, "calls")?;
        again.extend(count(options, "fill")?);
        let differing = counts.iter().filter(|&(call, count)| {
            let again = again.get(call);
            again.is_none_or(|again| (again.each - count.each).abs() >= 1.)
        });
        differ.extend(differing.map(|((row, file), _)| format!(" {row} of {file}")));
    }
    let of = counts.len();
    let names: String = differ.iter().map(String::as_str).collect();
    Ok(Row {
        id: "B14".to_owned(),
        op: format!("of {of} counts, those that differ by one or more in three boots{names}"),
        rust: differ.len() as f64,
        limit: Some(Limit::exactly(differ.len(), 0, "")),
        ..Row::default()
    })
}

/// How much a call of B7 costs with so many fortunes in the pot: ours and C's.
fn fills(counts: &Counts, call: &str) -> Vec<(u32, f64, f64)> {
    let fortunes = counts.keys().filter(|(_, file)| file == "fortune");
    let mut fills: Vec<_> = fortunes
        .filter_map(|(row, _)| {
            let number = row.strip_prefix(call)?.parse().ok()?;
            let count = |file| of(counts, row, file).ok();
            Some((number, count("fortune")?, count("twin")?))
        })
        .collect();
    fills.sort_by_key(|fill| fill.0);
    fills
}

/// B7.
fn fill(counts: &Counts, call: &str, op: &str) -> Result<Vec<Row>> {
    let fills = fills(counts, call);
    let first = fills.first().context("B7 was not counted")?.1;
    let rows = fills.iter().map(|&(fortunes, rust, c)| {
        let ratio = rust / first;
        Row {
            id: "B7".to_owned(),
            op: format!("{op} {fortunes}; to 1"),
            rust,
            c: Some(c),
            ratio: Some(ratio),
            limit: Some(Limit::within(ratio, 1., 0.01, "")),
            ..Row::default()
        }
    });
    Ok(rows.collect())
}

/// What a command prints about a module.
fn about(options: &Options, program: &str, arguments: &[&str], name: &str) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .arg(options.kernel()?.build().join(name))
        .output()
        .context(program.to_owned())?;
    ensure!(
        output.status.success(),
        "{program} {name} ends with {}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// B8: sections of the modules, as `size` lists them, and functions, as `nm` does.
fn sizes(options: &Options) -> Result<Vec<Row>> {
    /// What the names of functions begin with that are for the files below /proc/driver, in C.
    const CONTROL: [&str; 7] = [
        "clear_",
        "contents_",
        "order_",
        "read_word",
        "show_words",
        "stats_",
        "when_full_",
    ];
    /// What those contain that are for these, or for other modules, in Rust.
    const OTHERS: [&str; 5] = [
        "::control::",
        "::show::",
        "::seq::",
        "::symbols::",
        "::store_text",
    ];
    let sections = |name: &str, prefixes: &[&str]| -> Result<f64> {
        let text = about(options, "size", &["-A", "-d"], name)?;
        let sizes = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, size) = (words.next()?, words.next()?);
            let counts = prefixes.iter().any(|prefix| name.starts_with(prefix));
            size.parse::<f64>().ok().filter(|_| counts)
        });
        Ok(sizes.sum())
    };
    let control = |name: &str| -> Result<f64> {
        let text = about(options, "nm", &["--print-size", "--radix=d"], name)?;
        let sizes = text.lines().filter_map(|line| {
            let [_, size, "t" | "T", name] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return None;
            };
            let readable = format!("{:#}", rustc_demangle::demangle(name));
            let counts = OTHERS.iter().any(|module| readable.contains(module))
                || CONTROL.iter().any(|prefix| name.starts_with(prefix));
            size.parse::<f64>().ok().filter(|_| counts)
        });
        Ok(sizes.sum())
    };
    let row = |op: &str, of: &dyn Fn(&str) -> Result<f64>| -> Result<Row> {
        let (rust, c) = (of("fortune.ko")?, of("twin.ko")?);
        let ratio = rust / c;
        Ok(Row {
            id: "B8".to_owned(),
            op: op.to_owned(),
            rust,
            c: Some(c),
            ratio: Some(ratio),
            // The twin has nothing of what large pots ask for, nor of what other modules use.
            limit: Some(Limit::most(ratio, 2.5, "").or_else(Limit::most(ratio, 3.6, ""))),
            ..Row::default()
        })
    };
    let code = |name: &str| sections(name, &[".text", ".init.text", ".exit.text"]);
    Ok(vec![
        row("bytes of code", &code)?,
        row("bytes of code of /proc/fortune alone", &|name| {
            Ok(code(name)? - control(name)?)
        })?,
        row("bytes of data", &|name| {
            sections(name, &[".data", ".rodata", ".bss"])
        })?,
    ])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// B9: two CPUs, each on a thread of the host's, and the clock, in several boots: where a module lies, and where QEMU puts
/// what it translates, is worth a percent and is the same for a whole boot.
fn draws_by_time(options: &Options) -> Result<[Row; 2]> {
    const BOOTS: usize = 9;
    let mut rates: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    let mut ratios = Vec::new();
    for _ in 0..BOOTS {
        let text = guest(options, &["--smp", "2"], &["time"])?;
        let mut here: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let ["B9", file, threads, rate] = words[..] else {
                continue;
            };
            here.entry((file, threads)).or_default().push(rate.parse()?);
        }
        // Of two that were measured one after the other.
        let of = |file| here.get(&(file, "2")).into_iter().flatten();
        let pairs = of("fortune").zip(of("twin"));
        ratios.push(median(pairs.map(|(ours, c)| ours / c).collect()));
        for ((file, threads), here) in here {
            let key = (file.to_owned(), threads.to_owned());
            rates.entry(key).or_default().extend(here);
        }
    }
    let rate = |file: &str, threads: &str| {
        let rates = rates.get(&(file.to_owned(), threads.to_owned()));
        median(rates.cloned().unwrap_or_default())
    };
    let scaling = |file| rate(file, "2") / rate(file, "1");
    let least = ratios.iter().copied().fold(f64::MAX, f64::min);
    let most = ratios.iter().copied().fold(0., f64::max);
    let ratio = median(ratios);
    Ok([
        Row {
            id: "B9".to_owned(),
            op: format!(
                "thousand draws a second, 2 CPUs, {least:.3} to {most:.3} in {BOOTS} boots; /proc file"
            ),
            rust: rate("fortune", "2") / 1000.,
            c: Some(rate("twin", "2") / 1000.),
            floor: Some(rate("floor", "2") / 1000.),
            ratio: Some(ratio),
            limit: Some(Limit::least(ratio, 1., "").wished()),
        },
        Row {
            id: "B9".to_owned(),
            op: "times the draws of 1 CPU; /dev/zero".to_owned(),
            rust: scaling("fortune"),
            c: Some(scaling("twin")),
            floor: Some(scaling("zero")),
            ..Row::default()
        },
    ])
}

/// B10 and what the modules take when they are loaded.
fn sizes_in_memory(options: &Options) -> Result<[Row; 2]> {
    let text = guest(options, &[], &["sizes"])?;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let bytes = |file: &str| {
        let bytes = lines.iter().find_map(|line| match line[..] {
            ["B10", name, bytes] if name == file => bytes.parse::<f64>().ok(),
            _ => None,
        });
        bytes.with_context(|| format!("B10 of {file} was not measured"))
    };
    let loaded = |name: &str| {
        let bytes = lines.iter().find_map(|line| match line[..] {
            ["loaded", module, bytes] if module == name => bytes.parse::<f64>().ok(),
            _ => None,
        });
        bytes.with_context(|| format!("{name} is not in /proc/modules"))
    };
    let index = bytes("fortune")?;
    Ok([
        Row {
            id: "B8".to_owned(),
            op: "bytes when loaded, in whole pages".to_owned(),
            rust: loaded("fortune")?,
            c: Some(loaded("twin")?),
            ratio: Some(loaded("fortune")? / loaded("twin")?),
            ..Row::default()
        },
        Row {
            id: "B10".to_owned(),
            op: "bytes of the index for a fortune, of 1,000,000".to_owned(),
            rust: index,
            c: Some(bytes("twin")?),
            // A page for 990; C: for 341.
            limit: Some(Limit::most(index, 4.2, "")),
            ..Row::default()
        },
    ])
}

/// A row of times, which shows the median and the spread.
fn seconds(id: &str, op: &str, times: Vec<f64>, target: f64) -> Row {
    let (least, most) = times
        .iter()
        .fold((f64::MAX, 0_f64), |(least, most), &time| {
            (least.min(time), most.max(time))
        });
    let count = times.len();
    let median = median(times);
    Row {
        id: id.to_owned(),
        op: format!("seconds {op}, {least:.1} to {most:.1} in {count} runs"),
        rust: median,
        limit: Some(Limit::most(median, target, "s").wished()),
        ..Row::default()
    }
}

/// B11: from power-on to the first line of a test.
fn power_on(options: &Options) -> Result<Row> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let mut boot = options
            .kernel()?
            .boot()
            .args(["--fresh", "--", "guest", "test", "transcript"])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = boot.stdout.take().context("a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        lines.next().context("the guest said nothing")??;
        times.push(begun.elapsed().as_secs_f64());
        lines.for_each(drop);
        ensure!(boot.wait()?.success(), "the guest failed");
    }
    Ok(seconds("B11", "from power-on to a test", times, 4.))
}

/// What users would take instead, with all that a process costs.
fn commands(counts: &Counts) -> Result<Vec<Row>> {
    let million = |name| Ok::<_, anyhow::Error>(of(counts, "user", name)? / 1e6);
    let row = |op: &str, rust, c| Row {
        op: op.to_owned(),
        rust,
        c,
        ..Row::default()
    };
    Ok(vec![
        row(
            "million instructions: cat /proc/fortune",
            million("fortune")?,
            Some(million("twin")?),
        ),
        row(
            "million instructions: fortune, of fortune-mod, 1000 fortunes",
            million("fortune-mod")?,
            None,
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

/// Prints in which functions our call and the twin's differ, and by how many instructions.
fn explain(options: &Options, row: &str, op: &str, calls: usize) -> Result<()> {
    let (rust, c) = (
        profile::of(options, row, "fortune", calls)?,
        profile::of(options, row, "twin", calls)?,
    );
    let sum = |profile: &Profile| profile.values().sum::<usize>();
    println!(
        "\n{row}, {op}: {} instructions in the kernel, {} with C. Functions that differ:",
        sum(&rust),
        sum(&c)
    );
    let names: BTreeSet<&String> = rust.keys().chain(c.keys()).collect();
    for name in names {
        let count = |profile: &Profile| profile.get(name).copied().unwrap_or_default();
        if count(&rust) != count(&c) {
            println!(
                "{:>6} {:>6}  {:#}",
                count(&rust),
                count(&c),
                rustc_demangle::demangle(name)
            );
        }
    }
    Ok(())
}

/// The table for a person.
fn table(rows: &[Row], counts: &Counts) -> String {
    let mut table = format!(
        "{:<8} {:<52} {:>9} {:>9} {:>9} {:>6}  {:<24}\n",
        "id", "", "fortune", "C", "floor", "ratio", "target"
    );
    let number = |number: Option<f64>, places| match number {
        Some(number) => format!("{number:.places$}"),
        None => "–".to_owned(),
    };
    for row in rows {
        table += &format!(
            "{:<8} {:<52} {:>9.2} {:>9} {:>9} {:>6}  {:<24} {}\n",
            row.id,
            row.op,
            row.rust,
            number(row.c, 2),
            number(row.floor, 2),
            number(row.ratio, 3),
            row.target(),
            if row.is_reached() { "" } else { MISSED }
        );
    }
    let equal = counts.values().map(|count| count.equal * 100 / count.of);
    table
        + &format!(
            "instructions of one call: the least of batches; at least {} % of the batches took no more\n",
            equal.min().unwrap_or(0)
        )
}
