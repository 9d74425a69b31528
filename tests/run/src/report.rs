// SPDX-License-Identifier: GPL-2.0

//! Results: reading them, and summing them up for a person.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Instant,
};

/// How the line begins by which a test says what it has measured.
const FIGURE: &str = "figure: ";

/// How the line begins by which the guest says how long a test took.
const SECONDS: &str = "seconds: ";

/// How a test ended.
pub(crate) struct Outcome {
    /// `group.what_it_shows`
    name: String,
    result: Result,
    /// How long it took in a guest.
    seconds: f32,
}

enum Result {
    /// With what it has to show.
    Passed(String),
    /// With what it said.
    Failed(String),
    /// With the reason.
    Skipped(String),
}

impl Outcome {
    pub(crate) fn passed(name: &str, shown: String) -> Self {
        Self {
            name: name.to_owned(),
            result: Result::Passed(shown),
            seconds: 0.,
        }
    }

    pub(crate) fn failed(name: &str, message: String) -> Self {
        Self {
            name: name.to_owned(),
            result: Result::Failed(message),
            seconds: 0.,
        }
    }

    pub(crate) fn skipped(name: &str, reason: String) -> Self {
        Self {
            name: name.to_owned(),
            result: Result::Skipped(reason),
            seconds: 0.,
        }
    }

    /// Not one that says that tests are missing.
    pub(crate) fn is_of_a_test(&self) -> bool {
        self.name.contains('.')
    }
}

/// Reads KTAP (Documentation/dev-tools/ktap.rst), the part of it that the guest's tests use.
///
/// No plan, a plan of no tests, and each planned test without a result are failures.
pub(crate) fn ktap(text: &str) -> Vec<Outcome> {
    let mut planned = None;
    let (mut said, mut seconds) = (String::new(), 0.);
    let mut outcomes = Vec::new();
    for line in text.lines() {
        let (passed, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => {
                if let Some(count) = line.strip_prefix("1..") {
                    planned = count.parse::<usize>().ok();
                }
                match line.strip_prefix("# ") {
                    Some(message) if message.starts_with(SECONDS) => {
                        seconds = message[SECONDS.len()..].parse().unwrap_or_default();
                    }
                    Some(message) => said += &format!("{message}\n"),
                    None => {}
                }
                continue;
            }
        };
        let name = rest.split_once(' ').map_or(rest, |(_, name)| name);
        let message = std::mem::take(&mut said);
        let outcome = match name.split_once(" # SKIP ") {
            Some((name, reason)) => Outcome::skipped(name, reason.to_owned()),
            None if passed => Outcome::passed(name, message),
            None => Outcome::failed(name, message),
        };
        outcomes.push(Outcome {
            seconds: std::mem::take(&mut seconds),
            ..outcome
        });
    }
    match planned {
        None => outcomes.push(Outcome::failed(
            "plan",
            "the tests have not begun".to_owned(),
        )),
        Some(0) => outcomes.push(Outcome::failed("plan", "no test is named so".to_owned())),
        Some(planned) if outcomes.len() < planned => {
            let last = outcomes.last().map_or("the plan", |outcome| &outcome.name);
            let message = format!(
                "{} of {planned} results, the last after {last}",
                outcomes.len()
            );
            for _ in outcomes.len()..planned {
                outcomes.push(Outcome::failed("missing", message.clone()));
            }
        }
        Some(_) => {}
    }
    outcomes
}

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
        let mut groups = BTreeSet::new();
        let mut sum = Cell::default();
        for outcome in outcomes {
            let group = outcome.name.split('.').next().unwrap_or_default();
            groups.insert(group.to_owned());
            let cells = self.cells.entry(group.to_owned()).or_default();
            let cell = cells.entry(place.to_owned()).or_default();
            cell.seconds += outcome.seconds;
            if !matches!(outcome.result, Result::Skipped(_)) {
                cell.all += 1;
                sum.all += 1;
            }
            match outcome.result {
                Result::Passed(shown) => {
                    cell.passed += 1;
                    sum.passed += 1;
                    self.passed += 1;
                    self.sentences.extend(sentences(&outcome.name));
                    let (figures, shown): (Vec<&str>, Vec<&str>) =
                        shown.lines().partition(|line| line.starts_with(FIGURE));
                    for figure in figures {
                        let figure = &figure[FIGURE.len()..];
                        self.figures.push(format!("{place:<16} {figure}"));
                    }
                    if !shown.is_empty() {
                        println!("{place:<16} {}", outcome.name);
                        shown.iter().for_each(|line| println!("        | {line}"));
                    }
                }
                Result::Failed(message) => {
                    println!("FAILED  {place}: {}", outcome.name);
                    for line in message.lines() {
                        println!("        | {line}");
                    }
                    self.failed.push(format!("{place}: {}", outcome.name));
                }
                Result::Skipped(reason) => {
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
                Outcome::passed(name, String::new())
            } else {
                let message = format!("in the README or shown, but not both: {}", odd.join(" "));
                Outcome::failed(name, message)
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

#[cfg(test)]
mod tests {
    use super::{Result, ktap, sentences};

    fn read(text: &str) -> Vec<String> {
        ktap(text)
            .into_iter()
            .map(|outcome| match outcome.result {
                Result::Passed(shown) => format!("+{}{shown}", outcome.name),
                Result::Failed(message) => format!("-{}: {}", outcome.name, message.trim_end()),
                Result::Skipped(reason) => format!("?{}: {reason}", outcome.name),
            })
            .collect()
    }

    #[test]
    fn reads_results() {
        let text = "KTAP version 1\n1..3\nok 1 a.b\n# said\nnot ok 2 a.c\nok 3 a.d # SKIP no KVM\n";
        assert_eq!(read(text), ["+a.b", "-a.c: said", "?a.d: no KVM"]);
    }

    #[test]
    fn finds_sentences() {
        let text = "- [R3] As `[x]`, [R] or [1]. [W10][a](b) [R300] [R4";
        assert_eq!(sentences(text).collect::<Vec<_>>(), ["R3", "W10", "R4"]);
    }

    #[test]
    fn what_is_missing_has_failed() {
        assert_eq!(read(""), ["-plan: the tests have not begun"]);
        assert_eq!(
            read("KTAP version 1\n1..0\n"),
            ["-plan: no test is named so"]
        );
        let results = read("KTAP version 1\n1..3\nok 1 a.b\n");
        assert_eq!(results.len(), 3);
        assert!(results[1].starts_with("-missing: 1 of 3 results, the last after a.b"));
    }
}
