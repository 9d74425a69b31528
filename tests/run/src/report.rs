// SPDX-License-Identifier: GPL-2.0

//! Sums results up for a person.

use crate::progress::{self, Progress};
use ktap::{Declaration, Ended, MISSING, Outcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::{Arc, Mutex},
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

/// What has failed, and what was said about it.
struct Failure {
    /// In a word.
    how: &'static str,
    what: String,
    message: String,
    /// The command that runs it again.
    again: Option<String>,
}

impl Failure {
    /// With at most so many lines of what was said.
    fn print(&self, indent: &str, lines: usize) {
        println!("{indent}{:<7} {}", self.how, self.what);
        for line in self.message.lines().take(lines) {
            println!("        | {line}");
        }
        if let Some(again) = &self.again {
            println!("        again: {again}");
        }
    }
}

/// All results so far.
#[derive(Default)]
struct Results {
    /// The host, and each kernel, in the order in which they are to be shown, with how many seconds each took.
    places: Vec<(String, u64)>,
    /// For each group of tests, the results in each place.
    cells: BTreeMap<String, BTreeMap<String, Cell>>,
    passed: usize,
    failed: usize,
    failures: Vec<Failure>,
    skipped: usize,
    /// The sentences of src/README.md that tests which passed have shown.
    sentences: BTreeSet<String>,
    /// What tests have measured, and where.
    figures: Vec<String>,
    /// How long each test took, in seconds, and where.
    times: Vec<(f32, String)>,
}

/// The same, for all threads; and how far the tests are.
pub(crate) struct Report {
    results: Mutex<Results>,
    progress: Arc<Progress>,
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

/// So many lines of what a failure said are repeated at the end.
const LINES: usize = 12;

/// So many tests are listed that took longest.
const SLOWEST: usize = 10;

impl Results {
    /// Adds results of tests that took so many seconds together; `what` they are, `place` the host or a kernel. Prints a line,
    /// and more for what has not passed and was not shown yet.
    fn add(
        &mut self,
        place: &str,
        what: &str,
        seconds: u64,
        outcomes: Vec<Outcome>,
        progress: &Progress,
    ) {
        let mut sum = Cell::default();
        let (missing, outcomes): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|one| one.name == MISSING);
        let did_not_run = match missing.len() {
            1 => "1 test did not run".to_owned(),
            count => format!("{count} tests did not run"),
        };
        let mut crashed = false;
        for outcome in outcomes {
            let group = outcome.name.split('.').next().unwrap_or_default();
            let cells = self.cells.entry(group.to_owned()).or_default();
            let cell = cells.entry(place.to_owned()).or_default();
            cell.seconds += outcome.seconds;
            if !matches!(outcome.ended, Ended::Skipped(_)) {
                cell.all += 1;
                sum.all += 1;
            }
            let named = format!("{place}: {}", outcome.name);
            self.times.push((outcome.seconds, named.clone()));
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
                    self.failed += 1;
                    let shown = progress.has_shown(&named);
                    let again = shown.then(|| progress.again(place, &outcome.name));
                    self.fail("FAILED", named, message, again, shown);
                }
                Ended::Crashed(cause) => {
                    crashed = true;
                    self.failed += 1;
                    let what = match missing.len() {
                        0 => named,
                        _ => format!("{named}; {did_not_run}"),
                    };
                    let again = progress.again(place, &outcome.name);
                    self.fail("CRASHED", what, cause, Some(again), false);
                }
                Ended::Skipped(reason) => {
                    println!("SKIPPED {named}: {reason}");
                    self.skipped += 1;
                }
            }
        }
        self.failed += missing.len();
        sum.all += missing.len();
        if let (false, Some(Ended::Failed(why))) = (crashed, missing.first().map(|one| &one.ended))
        {
            let what = format!("{place}: {did_not_run}");
            self.fail("FAILED", what, why.clone(), None, false);
        }
        println!("{place:<16} {what:<12} {:>12} {seconds:>5} s", sum.counts());
        match self.places.iter_mut().find(|(known, _)| known == place) {
            Some((_, so_far)) => *so_far += seconds,
            None => self.places.push((place.to_owned(), seconds)),
        }
    }

    /// Takes a failure, and prints it if that was not done; `again` is the command that runs the test again.
    fn fail(
        &mut self,
        how: &'static str,
        what: String,
        message: String,
        again: Option<String>,
        shown: bool,
    ) {
        let failure = Failure {
            how,
            what,
            message,
            again,
        };
        if !shown {
            failure.print("", usize::MAX);
        }
        self.failures.push(failure);
    }

    /// Prints what passed of how many, and in how many seconds: a column for each place, a line for each group.
    fn table(&self) {
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

    /// Prints a line for each place, with a mark for each group there.
    fn pictures(&self) {
        println!();
        for (place, seconds) in &self.places {
            let cells = self.cells.values().filter_map(|cells| cells.get(place));
            let marks: String = cells
                .clone()
                .map(|cell| match cell {
                    Cell { all: 0, .. } => '-',
                    Cell { passed, all, .. } if passed == all => '.',
                    Cell { .. } => 'F',
                })
                .collect();
            let passed: usize = cells.map(|cell| cell.passed).sum();
            println!("{place:<16} {marks:<40} {passed:>4} passed {seconds:>5} s");
        }
    }

    fn sum_up(&mut self, table: bool) -> ExitCode {
        if table || !self.failures.is_empty() {
            self.table();
        } else {
            self.pictures();
        }
        if !self.figures.is_empty() {
            println!("\nFigures:");
            for figure in &self.figures {
                println!("  {figure}");
            }
        }
        self.times.sort_by(|one, other| other.0.total_cmp(&one.0));
        let slow = self.times.iter().filter(|(seconds, _)| *seconds >= 1.);
        let slowest: Vec<_> = slow.take(SLOWEST).collect();
        if !slowest.is_empty() {
            println!("\nThe slowest:");
            for (seconds, name) in slowest {
                println!("  {seconds:>5.0} s  {name}");
            }
        }
        if !self.failures.is_empty() {
            println!("\nFailed:");
            for failure in &self.failures {
                failure.print("  ", LINES);
            }
        }
        println!();
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        // Nothing that has passed is no success.
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Report {
    /// One of `make VERB` that has nothing yet: the host and these kernels are shown in that order.
    pub(crate) fn new(verb: &'static str, kernels: &[String]) -> Self {
        let places = ["host"]
            .into_iter()
            .chain(kernels.iter().map(String::as_str));
        let results = Results {
            places: places.map(|place| (place.to_owned(), 0)).collect(),
            ..Results::default()
        };
        Self {
            results: Mutex::new(results),
            progress: Arc::new(Progress::new(verb, kernels)),
        }
    }

    /// Says what is to come.
    pub(crate) fn expect(&self, tests: &[Declaration], kernels: &[String]) {
        self.progress.expect(tests, kernels);
    }

    /// How far the tests are.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Adds results of tests that took so many seconds together; `what` they are, `place` the host or a kernel. Prints a line,
    /// and more for what has not passed.
    pub(crate) fn add(&self, place: &str, what: &str, seconds: u64, outcomes: Vec<Outcome>) {
        if !outcomes.is_empty() {
            self.progress.clear();
            let mut results = self.results.lock().expect("nobody panics with it");
            results.add(place, what, seconds, outcomes, &self.progress);
        }
    }

    /// Prints what all of them were, the figures, what took longest, what has failed once more, and the counts as the last
    /// line. A table of all groups is for what has failed, or on demand.
    pub(crate) fn sum_up(&self, table: bool) -> ExitCode {
        self.progress.clear();
        let mut results = self.results.lock().expect("nobody panics with it");
        let times = results.times.iter();
        // Without it nobody is told how long the next run takes.
        let _ = progress::keep(times.map(|(seconds, what)| (*seconds, what.as_str())));
        results.sum_up(table)
    }

    /// Adds whether each sentence of `readme` was shown by a test, and none that it has not.
    pub(crate) fn contract(&self, readme: &str) {
        let written: BTreeSet<String> = sentences(readme).collect();
        let results = self.results.lock().expect("nobody panics with it");
        let shown = written.intersection(&results.sentences).count();
        let note = format!(
            "{shown} of {} sentences of the contract are shown",
            written.len()
        );
        let odd: Vec<&str> = written
            .symmetric_difference(&results.sentences)
            .map(String::as_str)
            .collect();
        let name = "contract.each_sentence_is_shown";
        let outcome = if odd.is_empty() && shown > 0 {
            Outcome::passed(name, &note)
        } else {
            let message = format!("in src/README.md or shown, but not both: {}", odd.join(" "));
            Outcome::failed(name, &message)
        };
        drop(results);
        self.add("host", "contract", 0, vec![outcome]);
    }
}

pub(crate) mod tests {
    use super::{Failure, Results, sentences};
    use crate::{crash, progress::Progress};
    use ktap::{Declaration, Ended, Figure, Limit, Outcome, chosen, read};
    use std::time::Duration;

    ktap::tests!(run, Host:
        reads_results,
        finds_sentences,
        what_is_missing_has_failed,
        a_crash_is_of_the_test_that_ran,
        chooses,
        names_what_is_like_it,
        figures_say_what_is_missed,
        figures_fail_where_they_must_hold,
    );

    fn results(text: &str) -> Vec<String> {
        let outcomes = read(text).into_iter();
        outcomes
            .map(|outcome| match outcome.ended {
                Ended::Passed(shown) => format!("+{}{shown}", outcome.name),
                Ended::Failed(message) => format!("-{}: {}", outcome.name, message.trim_end()),
                Ended::Crashed(cause) => format!("!{}: {cause}", outcome.name),
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
        // They are counted, and told of once.
        let mut all = Results::default();
        let outcomes = read("KTAP version 1\n1..9\nok 1 a.b\n");
        all.add("here", "all", 0, outcomes, &Progress::new("test", &[]));
        assert_eq!((all.passed, all.failed, all.failures.len()), (1, 8, 1));
        assert_eq!(all.failures[0].what, "here: 8 tests did not run");
    }

    fn a_crash_is_of_the_test_that_ran() {
        let names = ["a.b", "a.c", "a.d", "a.e"];
        let mut outcomes = read("KTAP version 1\n1..4\nok 1 a.b\n");
        assert!(crash(&mut outcomes, &names, "panic"));
        let mut all = Results::default();
        all.add("here", "all", 0, outcomes, &Progress::new("test", &[]));
        assert_eq!((all.passed, all.failed, all.failures.len()), (1, 3, 1));
        let Failure {
            how,
            what,
            message,
            again,
        } = &all.failures[0];
        assert_eq!(*how, "CRASHED");
        assert_eq!(what, "here: a.c; 2 tests did not run");
        assert_eq!(message, "panic");
        assert_eq!(again.as_deref(), Some("make test TESTS=a.c KERNELS=here"));
        // Not where all have ended, or none has begun.
        assert!(!crash(
            &mut read("KTAP version 1\n1..1\nok 1 a.b\n"),
            &names[..1],
            "panic"
        ));
        assert!(!crash(&mut read(""), &names, "panic"));
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

    fn names_what_is_like_it() {
        let lines = ["Host reads.whole", "Guest writes.whole"];
        let tests: Vec<Declaration> = lines.iter().map(|line| line.parse().unwrap()).collect();
        assert_eq!(crate::nearest(&tests, "raeds"), "; there is reads");
        assert_eq!(
            crate::nearest(&tests, "writes.hole"),
            "; there is writes.whole"
        );
        assert_eq!(crate::nearest(&tests, "bench"), "");
    }

    fn figures_say_what_is_missed() {
        let ms = Duration::from_millis;
        let wait = |limit| Limit::most(ms(30), ms(limit), "");
        let limits = [
            Limit::amount(7, 7, "calls"),
            wait(20).or_else(wait(1000)),
            Limit::within(1.004, 1., 0.01, "times"),
            Limit::least(96.25, 97.5, "%").wished(),
        ];
        let figure = Figure::new("S1", "{}, a wait of {}, {} as many, {}", &limits);
        assert_eq!(
            figure.to_string(),
            "figure: S1   7 calls, a wait of 30ms, 1 times as many, 96.25 %; to be reached: \
             ≥ 7 calls, ≤ 20ms (must be ≤ 1s): MISSED, = 1 times ± 0.01, ≥ 97.5 % (wished): MISSED"
        );
        assert_eq!(figure.failure(), None);
    }

    fn figures_fail_where_they_must_hold() {
        let must = Limit::most(4.1, 4., "times");
        let wished = Limit::most(4.1, 2., "times");
        for limit in [
            Limit::amount(6, 7, "calls"),
            Limit::exactly(1, 0, "lines"),
            Limit::within(0.98, 1., 0.01, ""),
            wished.or_else(must.clone()),
            must,
        ] {
            let failure = Figure::new("S1", "{}", &[limit]).failure().unwrap();
            assert!(failure.ends_with(": MISSED"), "{failure}");
            // It is shown as why a test has failed.
            let outcome = Outcome::failed("a.b", &failure);
            assert!(matches!(outcome.ended, Ended::Failed(why) if why == failure));
        }
    }
}
