// SPDX-License-Identifier: GPL-2.0

//! Reads what programs of tests report.

/// How the line begins by which a test says what it has measured.
pub(crate) const FIGURE: &str = "figure: ";

/// How the line begins that says how long a test took.
pub(crate) const SECONDS: &str = "seconds: ";

/// What a result is called that is missing.
pub const MISSING: &str = "missing";

/// How a test ended.
#[derive(Debug)]
pub struct Outcome {
    /// `group.what_it_shows`, and the sentences of a contract that it shows, in brackets
    pub name: String,
    /// With what.
    pub ended: Ended,
    /// What it has measured.
    pub figures: Vec<String>,
    /// How long it took.
    pub seconds: f32,
}

/// With what a test ended.
#[derive(Debug)]
pub enum Ended {
    /// With what it has to show.
    Passed(String),
    /// With what it said.
    Failed(String),
    /// Not: what it ran in came to its end, of that.
    Crashed(String),
    /// With the reason.
    Skipped(String),
}

impl Outcome {
    /// What was measured is taken out of what was said.
    fn new(name: &str, ended: fn(String) -> Ended, said: &str) -> Self {
        let (figures, said): (Vec<&str>, Vec<&str>) =
            said.lines().partition(|line| line.starts_with(FIGURE));
        Self {
            name: name.to_owned(),
            ended: ended(said.join("\n")),
            figures: figures
                .iter()
                .map(|line| line[FIGURE.len()..].to_owned())
                .collect(),
            seconds: 0.,
        }
    }

    /// One that has passed, with what it has to show.
    pub fn passed(name: &str, shown: &str) -> Self {
        Self::new(name, Ended::Passed, shown)
    }

    /// One that has failed, with what it said.
    pub fn failed(name: &str, message: &str) -> Self {
        Self::new(name, Ended::Failed, message)
    }

    /// One during which what it ran in came to its end, and of what.
    pub fn crashed(name: &str, cause: &str) -> Self {
        Self::new(name, Ended::Crashed, cause)
    }

    /// One that was not done, with the reason.
    pub fn skipped(name: &str, reason: &str) -> Self {
        Self::new(name, Ended::Skipped, reason)
    }

    /// Not one that says that tests are missing.
    pub fn is_of_a_test(&self) -> bool {
        self.name.contains('.')
    }
}

/// Reads a line of KTAP, if it is a result, of a test that has `said` something.
pub fn result(line: &str, said: &str) -> Option<Outcome> {
    let (passed, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    let (times, said): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| line.starts_with(SECONDS));
    let seconds = times.last().map(|time| time[SECONDS.len()..].parse());
    let said = said.join("\n");
    let name = rest.split_once(' ').map_or(rest, |(_, name)| name);
    let outcome = match name.split_once(" # SKIP ") {
        Some((name, reason)) => Outcome::skipped(name, reason),
        None if passed => Outcome::passed(name, &said),
        None => Outcome::failed(name, &said),
    };
    Some(Outcome {
        seconds: seconds.and_then(Result::ok).unwrap_or_default(),
        ..outcome
    })
}

/// Reads KTAP, the part of it that [`run`](crate::run()) writes.
///
/// No plan, a plan of no tests, and each planned test without a result are failures.
pub fn read(text: &str) -> Vec<Outcome> {
    let mut planned = None;
    let mut said = String::new();
    let mut outcomes = Vec::new();
    for line in text.lines() {
        if let Some(message) = line.strip_prefix("# ") {
            said += &format!("{message}\n");
        } else if let Some(outcome) = result(line, &said) {
            said.clear();
            outcomes.push(outcome);
        } else if let Some(count) = line.strip_prefix("1..") {
            planned = count.parse::<usize>().ok();
        }
    }
    match planned {
        None => outcomes.push(Outcome::failed(
            "plan",
            &format!("the tests have not begun\n{said}"),
        )),
        Some(0) => outcomes.push(Outcome::failed("plan", "no test is named so")),
        Some(planned) if outcomes.len() < planned => {
            let last = outcomes.last().map_or("the plan", |outcome| &outcome.name);
            let message = format!(
                "{} of {planned} results, the last after {last}",
                outcomes.len()
            );
            for _ in outcomes.len()..planned {
                outcomes.push(Outcome::failed(MISSING, &message));
            }
        }
        Some(_) => {}
    }
    outcomes
}
