// SPDX-License-Identifier: GPL-2.0

//! Sums results up for a person.

use ktap::{Ended, Outcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Instant,
};

/// How many tests of a group have passed in a place, of how many that were not skipped, and how long they took there.
#[derive(Clone, Copy, Default)]
struct Cell {
    passed: usize,
    all: usize,
    seconds: f32,
}

impl Cell {
    fn counts(&self) -> String {
        match self {
            Self { all: 0, .. } => "skipped".to_owned(),
            Self { passed, all, .. } => format!("{passed} of {all}"),
        }
    }
}

/// All results so far.
pub(crate) struct Report {
    /// The host, and each kernel, in the order they came, with how long each took.
    places: Vec<(String, u64)>,
    /// For each group of tests, the results in each place.
    cells: BTreeMap<String, BTreeMap<String, Cell>>,
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
    /// The sentences of the README that tests which passed have shown.
    sentences: BTreeSet<String>,
    /// What tests have measured, and where.
    figures: Vec<String>,
    since: Instant,
}

/// What stands in brackets in a text if it is the id of a sentence, such as `[R3]`.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    let in_brackets = text
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split(']').next());
    in_brackets
        .filter(|id| {
            let (letter, number) = id.split_at_checked(1).unwrap_or_default();
            letter.bytes().all(|byte| byte.is_ascii_uppercase()) && number.parse::<u8>().is_ok()
        })
        .map(str::to_owned)
}

impl Default for Report {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            cells: BTreeMap::new(),
            passed: 0,
            failed: Vec::new(),
            skipped: 0,
            sentences: BTreeSet::new(),
            figures: Vec::new(),
            since: Instant::now(),
        }
    }
}

impl Report {
    /// Adds results from `place`, the host or a kernel, and prints a line, and more for what has not passed.
    pub(crate) fn add(&mut self, place: &str, outcomes: Vec<Outcome>) {
        if outcomes.is_empty() {
            return;
        }
        let mut groups = BTreeSet::new();
        let mut sum = Cell::default();
        for outcome in outcomes {
            let group = outcome.name.split('.').next().unwrap_or_default();
            groups.insert(group.to_owned());
            let cells = self.cells.entry(group.to_owned()).or_default();
            let cell = cells.entry(place.to_owned()).or_default();
            cell.seconds += outcome.seconds;
            if !matches!(outcome.ended, Ended::Skipped(_)) {
                cell.all += 1;
                sum.all += 1;
            }
            match outcome.ended {
                Ended::Passed(shown) => {
                    cell.passed += 1;
                    sum.passed += 1;
                    self.passed += 1;
                    self.sentences.extend(sentences(&outcome.name));
                    let figures = outcome.figures.iter();
                    self.figures
                        .extend(figures.map(|figure| format!("{place:<16} {figure}")));
                    if !shown.is_empty() {
                        println!("{place:<16} {}", outcome.name);
                        shown.lines().for_each(|line| println!("        | {line}"));
                    }
                }
                Ended::Failed(message) => {
                    println!("FAILED  {place}: {}", outcome.name);
                    for line in message.lines() {
                        println!("        | {line}");
                    }
                    self.failed.push(format!("{place}: {}", outcome.name));
                }
                Ended::Skipped(reason) => {
                    println!("SKIPPED {place}: {}: {reason}", outcome.name);
                    self.skipped += 1;
                }
            }
        }
        let groups: Vec<String> = groups.into_iter().collect();
        let what = if let [group] = &groups[..] {
            group.as_str()
        } else {
            "all"
        };
        let seconds = self.since.elapsed().as_secs();
        println!("{place:<16} {what:<12} {:>12} {seconds:>5} s", sum.counts());
        match self.places.iter_mut().find(|(known, _)| known == place) {
            Some((_, so_far)) => *so_far += seconds,
            None => self.places.push((place.to_owned(), seconds)),
        }
        self.since = Instant::now();
    }

    /// Adds whether each sentence of `readme` was shown by a test, and none that it has not.
    pub(crate) fn contract(&mut self, readme: &str) {
        let written: BTreeSet<String> = sentences(readme).collect();
        let shown = written.intersection(&self.sentences).count();
        println!(
            "{:<16} {shown} of {} sentences of the README are shown",
            "",
            written.len()
        );
        let odd: Vec<&str> = written
            .symmetric_difference(&self.sentences)
            .map(String::as_str)
            .collect();
        let name = "contract.each_sentence_is_shown";
        self.add(
            "host",
            vec![if odd.is_empty() && shown > 0 {
                Outcome::passed(name, "")
            } else {
                let message = format!("in the README or shown, but not both: {}", odd.join(" "));
                Outcome::failed(name, &message)
            }],
        );
    }

    /// Prints what passed of how many, and in how many seconds: a column for each place, a line for each group.
    fn matrix(&self) {
        let row = |name: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!(" {cell:>16}")).collect();
            println!("{}", format!("{name:<12}{cells}").trim_end());
        };
        println!();
        row(
            "",
            self.places.iter().map(|(place, _)| place.clone()).collect(),
        );
        for (group, cells) in &self.cells {
            let cells = self.places.iter().map(|(place, _)| match cells.get(place) {
                Some(cell) if cell.seconds >= 0.5 => {
                    format!("{}  {:>3.0} s", cell.counts(), cell.seconds)
                }
                Some(cell) => format!("{}       ", cell.counts()),
                None => String::new(),
            });
            row(group, cells.collect());
        }
        let seconds = self.places.iter();
        row(
            "seconds",
            seconds.map(|(_, seconds)| format!("{seconds} s")).collect(),
        );
    }

    /// Prints all in a table, the figures, what has failed once more, and the counts as the last line.
    pub(crate) fn sum_up(&self) -> ExitCode {
        self.matrix();
        if !self.figures.is_empty() {
            println!("\nFigures:");
            for figure in &self.figures {
                println!("  {figure}");
            }
        }
        if !self.failed.is_empty() {
            println!("\nFailed:");
            for name in &self.failed {
                println!("  {name}");
            }
        }
        println!();
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped
        );
        // Nothing that has passed is no success.
        if self.failed.is_empty() && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

pub(crate) mod tests {
    use super::sentences;
    use ktap::{Declaration, Ended, chosen, read};

    ktap::tests!(run, Host:
        reads_results,
        finds_sentences,
        what_is_missing_has_failed,
        chooses,
    );

    fn results(text: &str) -> Vec<String> {
        let outcomes = read(text).into_iter();
        outcomes
            .map(|outcome| match outcome.ended {
                Ended::Passed(shown) => format!("+{}{shown}", outcome.name),
                Ended::Failed(message) => format!("-{}: {}", outcome.name, message.trim_end()),
                Ended::Skipped(reason) => format!("?{}: {reason}", outcome.name),
            })
            .collect()
    }

    fn reads_results() {
        let text = "KTAP version 1\n1..3\nok 1 a.b\n# said\nnot ok 2 a.c\nok 3 a.d # SKIP no KVM\n";
        assert_eq!(results(text), ["+a.b", "-a.c: said", "?a.d: no KVM"]);
    }

    fn finds_sentences() {
        let text = "- [R3] As `[x]`, [R] or [1]. [W10][a](b) [R300] [R4";
        assert_eq!(sentences(text).collect::<Vec<_>>(), ["R3", "W10", "R4"]);
    }

    fn what_is_missing_has_failed() {
        assert_eq!(results(""), ["-plan: the tests have not begun"]);
        assert_eq!(
            results("KTAP version 1\n1..0\n"),
            ["-plan: no test is named so"]
        );
        let results = results("KTAP version 1\n1..3\nok 1 a.b\n");
        assert_eq!(results.len(), 3);
        assert!(results[1].starts_with("-missing: 1 of 3 results, the last after a.b"));
    }

    fn chooses() {
        let lines = ["Host ab.c +Soak R1", "Guest ab.cd R1 R2", "Guest a.b"];
        let choose = |patterns: &[&str]| {
            let tests: Vec<Declaration> = lines.iter().map(|line| line.parse().unwrap()).collect();
            let chosen = chosen(tests, patterns, |test| test).into_iter();
            chosen.map(|test| test.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(choose(&[]), lines);
        assert_eq!(choose(&["ab"]), lines[..2]);
        assert_eq!(choose(&["ab."]), lines[..2]);
        // The whole name of one, though another begins so.
        assert_eq!(choose(&["ab.c"]), lines[..1]);
        assert_eq!(choose(&["R2", "a"]), lines[1..]);
        assert!(choose(&["a.x"]).is_empty());
    }
}
