// SPDX-License-Identifier: GPL-2.0

//! What runs when: kernels are fetched one after the other, while those are built that have to be, and meanwhile the tests of
//! those that are there run, some at once.

use crate::{
    Options, guest_tests, host_group, interrupted,
    kernel::{self, Kernel},
    report::Report,
};
use anyhow::{Context, Result, ensure};
use ktap::{Declaration, Need, Outcome, Place};
use std::{
    process::{Command, Stdio},
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Tests that run together.
enum Job<'a> {
    /// A group on the host.
    Host(Vec<&'a Declaration>),
    /// Those of guests, on a kernel of that name.
    Guest(&'a str),
}

/// How many jobs run at once: mostly each keeps one CPU busy. None asserts a time that others could spoil.
pub(crate) fn at_once() -> usize {
    thread::available_parallelism().map_or(2, |cpus| cpus.get().clamp(2, 4))
}

/// What there is to do, and how far the kernels are.
struct Queue<'a> {
    /// In the order in which they should begin.
    waiting: Vec<Job<'a>>,
    /// How many kernels are still to be made.
    unmade: usize,
}

impl<'a> Queue<'a> {
    /// Whether all is there that a job needs.
    fn is_ready(&self, job: &Job<'_>) -> bool {
        let made = kernel::made();
        match job {
            Job::Guest(name) => self.unmade == 0 || made.iter().any(|kernel| kernel.name == *name),
            Job::Host(group) => {
                let debug = group.iter().any(|test| test.needs.contains(&Need::Debug));
                let stock = made.iter().any(|kernel| !kernel.is.checks_itself);
                self.unmade == 0 || (stock && !debug)
            }
        }
    }

    fn next(&mut self) -> Option<Job<'a>> {
        let made = kernel::made();
        let takes_longest = |job: &Job<'_>| match job {
            Job::Guest(name) => made
                .iter()
                .any(|kernel| kernel.name == *name && kernel.is.checks_itself),
            Job::Host(_) => false,
        };
        let mut jobs = self.waiting.iter();
        let next = jobs
            .position(takes_longest)
            .or_else(|| self.waiting.iter().position(|job| self.is_ready(job)))?;
        Some(self.waiting.remove(next))
    }
}

/// Makes a kernel and builds for it what is tested on it.
fn make(name: &str, tests: &[Declaration]) -> Result<()> {
    let users = tests.iter().any(|test| test.needs.contains(&Need::Users));
    let options = users.then_some("--users").into_iter();
    let words: Vec<&str> = options.chain([name, "FORTUNE_TESTS=m"]).collect();
    print_of("scripts/build", &words)?;
    let kernel = Kernel::new(name, &print_of("scripts/kernel", &[name])?)?;
    if !kernel.is.checks_itself && kernel::made().iter().all(|kernel| kernel.is.checks_itself) {
        // It is the one that qemu/try is tested on. What that fetches can't be fetched in the root of the tests.
        print_of("scripts/kernel-modules", &[name])?;
    }
    kernel::add(kernel);
    Ok(())
}

/// What a script prints. What takes long says so on stderr.
fn print_of(script: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(script);
    command.args(arguments).stdin(Stdio::null());
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context(script.to_owned())?;
    let words = arguments.join(" ");
    ensure!(
        output.status.success(),
        "{script} {words}: {}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// The groups of tests of these places, in the order in which they are declared.
fn groups<'a>(tests: &'a [Declaration], places: &[Place]) -> Vec<Vec<&'a Declaration>> {
    let mut groups: Vec<Vec<&Declaration>> = Vec::new();
    for test in tests.iter().filter(|test| places.contains(&test.place)) {
        match groups
            .iter_mut()
            .find(|group| group[0].group() == test.group())
        {
            Some(group) => group.push(test),
            None => groups.push(vec![test]),
        }
    }
    groups
}

/// Runs all tests.
pub(crate) fn run(options: &Options, tests: &[Declaration], report: &Report) -> Result<()> {
    let guests = tests.iter().any(|test| test.place == Place::Guest);
    let mut waiting = Vec::new();
    if guests {
        waiting.extend(options.kernel.iter().map(|name| Job::Guest(name)));
    }
    let of_host = groups(tests, &[Place::Host, Place::Boot]);
    waiting.extend(of_host.into_iter().map(Job::Host));
    report.expect(tests, &options.kernel);

    let unmade = options.kernel.len();
    let queue = Mutex::new(Queue { waiting, unmade });
    let changed = Condvar::new();
    thread::scope(|scope| {
        let make_all = || {
            let make_one = |name: &str, made: Result<()>| {
                if interrupted() {
                    return;
                }
                if let Err(why) = made.and_then(|()| make(name, tests)) {
                    let failed = Outcome::failed("kernel.is_made", &format!("{why:#}"));
                    report.add(name, "all", 0, vec![failed]);
                }
                queue.lock().expect("nobody panics with it").unmade -= 1;
                changed.notify_all();
            };
            // What is built from source takes longest: it begins at once.
            let (built, fetched): (Vec<_>, Vec<_>) = options
                .kernel
                .iter()
                .partition(|name| kernel::is_built(name));
            thread::scope(|scope| {
                let building: Vec<_> = built
                    .iter()
                    .map(|name| scope.spawn(|| print_of("scripts/kernel", &[name]).map(drop)))
                    .collect();
                for name in fetched {
                    make_one(name, Ok(()));
                }
                for (name, building) in built.iter().zip(building) {
                    make_one(name, building.join().expect("no such thread panics"));
                }
            });
            let mut queue = queue.lock().expect("nobody panics with it");
            queue.unmade = 0;
            changed.notify_all();
        };
        // What makes roots itself has the machine to itself.
        let alone = groups(tests, &[Place::Machine]);
        if alone.is_empty() {
            scope.spawn(make_all);
        } else {
            make_all();
            for group in alone {
                do_job(options, Job::Host(group), tests, report)?;
            }
        }
        let workers: Vec<_> = (0..at_once())
            .map(|_| {
                scope.spawn(|| {
                    while let Some(job) = take(&queue, &changed) {
                        do_job(options, job, tests, report)?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("no worker panics")?;
        }
        Ok(())
    })
}

/// The next job, as soon as there is one that can begin; none if there is none any more.
fn take<'a>(queue: &Mutex<Queue<'a>>, changed: &Condvar) -> Option<Job<'a>> {
    let mut queue = queue.lock().expect("nobody panics with it");
    loop {
        if interrupted() || queue.waiting.is_empty() {
            return None;
        }
        if let Some(job) = queue.next() {
            return Some(job);
        }
        // Ctrl-C is no change.
        let waited = changed.wait_timeout(queue, Duration::from_secs(1));
        queue = waited.expect("nobody panics with it").0;
    }
}

fn do_job(options: &Options, job: Job<'_>, tests: &[Declaration], report: &Report) -> Result<()> {
    let (made, begun) = (kernel::made(), Instant::now());
    let took = || begun.elapsed().as_secs();
    match job {
        Job::Host(group) => {
            let outcomes = host_group(options, &made, &group, report)?;
            report.add("host", group[0].group(), took(), outcomes);
        }
        Job::Guest(name) => {
            // That it could not be made was said.
            let Some(kernel) = made.iter().find(|kernel| kernel.name == name) else {
                return Ok(());
            };
            let first = options.kernel.iter().find(|name| {
                let of_name = made.iter().find(|kernel| kernel.name == **name);
                of_name.is_none_or(|kernel| !kernel.is.checks_itself)
            });
            // What is not of the contract takes longer, and has to be seen once.
            let all = options.pattern.is_empty();
            let verb = match options.soak {
                true => "soak",
                false if all && !kernel.is.checks_itself && first != Some(&kernel.name) => {
                    "contract"
                }
                false => "test",
            };
            let of_guests = tests.iter().filter(|test| {
                test.place == Place::Guest
                    && (verb != "contract" || !test.needs.contains(&Need::Once))
            });
            let names: Vec<&str> = of_guests.map(|test| test.name.as_str()).collect();
            report.progress().leave_out(name, tests, &names);
            let outcomes =
                guest_tests(kernel, &names, verb, all, report).context(kernel.name.clone())?;
            report.add(&kernel.name, "all", took(), outcomes);
        }
    }
    Ok(())
}
