// SPDX-License-Identifier: GPL-2.0

//! Every order in which few threads are interrupted: most bugs of locking show in one of those (M. Musuvathi and S. Qadeer,
//! "Iterative Context Bounding for Systematic Testing of Multithreaded Programs", 2007).

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// A scheduler of shuttle.
#[derive(Debug)]
pub struct Few {
    /// How many times others may go on in the place of one who can.
    interruptions: usize,
    /// What was chosen at each step, and what is yet to be: the last of each is what is chosen.
    steps: Vec<Vec<TaskId>>,
    /// How many steps this execution has made, and how many interruptions those are.
    made: usize,
    interrupted: usize,
    begun: bool,
}

impl Few {
    /// One with so many interruptions at most.
    pub fn new(interruptions: usize) -> Self {
        Self {
            interruptions,
            steps: Vec::new(),
            made: 0,
            interrupted: 0,
            begun: false,
        }
    }
}

impl Scheduler for Few {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.begun {
            // Another choice at the last step that has one.
            loop {
                let choices = self.steps.last_mut()?;
                choices.pop();
                if !choices.is_empty() {
                    break;
                }
                self.steps.pop();
            }
        }
        self.begun = true;
        self.made = 0;
        self.interrupted = 0;
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let current = current.filter(|&id| runnable.iter().any(|task| task.id() == id));
        if self.made == self.steps.len() {
            let may_interrupt = self.interrupted < self.interruptions;
            let others = runnable.iter().map(|task| task.id());
            let others = others.filter(|&id| match current {
                Some(current) => may_interrupt && id != current,
                None => true,
            });
            let choices = others.chain(current).collect();
            self.steps.push(choices);
        }
        let next = *self.steps[self.made].last()?;
        self.made += 1;
        self.interrupted += usize::from(current.is_some_and(|current| current != next));
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        panic!("nothing is left to chance")
    }
}
