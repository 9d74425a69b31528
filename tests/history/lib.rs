// SPDX-License-Identifier: GPL-2.0

//! Short histories of some threads: is there an order of their calls, one after the other, in which each could have returned
//! what it did?
//!
//! The order must keep what was over before something else began; all others can be taken in any order (J. Wing and C. Gong,
//! "Testing and Verifying Concurrent Objects", 1993). What the search has seen to fail, it does not try again.
//!
//! What each call may return is written from the contract (src/README.md), apart from the module. A write can be two steps
//! there: the old fortunes leave, and a moment later the new ones are there (C8).

use std::collections::HashSet;

/// An order of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// As stored.
    Sequential,
    /// Any.
    Random,
    /// Each one once a lap.
    Shuffle,
}

/// A call, on one of some open files or on none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `write` or `pwrite`: neither uses the position.
    Write(usize, Vec<u8>),
    /// `read`, of so many bytes at most: the position moves.
    Read(usize, usize),
    /// `pread`, at a position.
    ReadAt(usize, usize, usize),
    /// `lseek` to position 0.
    Rewind(usize),
    /// The last descriptor is closed, when nobody uses the open file any more.
    Close(usize),
    /// A write to `clear`.
    Clear,
    /// A write to `order`.
    Order(Order),
    /// A write to `when_full`: whether it says `evict`.
    Evict(bool),
    /// A read of `stats`.
    Stats,
    /// The fortunes in the pot, seen at one moment.
    List,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success, of all that was asked for.
    Done,
    /// A read has returned these bytes.
    Read(Vec<u8>),
    /// What `stats` said.
    Stats(Counters),
    /// The fortunes, in the order stored.
    Listed(Vec<Vec<u8>>),
    /// ENOSPC
    NoSpace,
    /// EFAULT, and no byte was copied.
    Fault,
    /// ENOMEM
    NoMemory,
    /// It was killed.
    Killed,
}

/// What `stats` says that has to do with these calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // as they are called there
pub struct Counters {
    pub used: u64,
    pub reserved: u64,
    pub fortunes: u64,
    pub draws: u64,
    pub stores: u64,
    pub evictions: u64,
    pub clears: u64,
}

impl Counters {
    /// What has happened since they were `before`, and what there is now.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            draws: self.draws - before.draws,
            stores: self.stores - before.stores,
            evictions: self.evictions - before.evictions,
            clears: self.clears - before.clears,
            ..*self
        }
    }
}

/// A call that was made, and when: between these two times it has happened.
#[derive(Clone, Debug)]
pub struct Made {
    /// The call.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
    /// When it began.
    pub invoked: u64,
    /// When it was over.
    pub returned: u64,
}

/// What an open file is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct OpenFile {
    /// What it has drawn, with the newline.
    text: Vec<u8>,
    /// Nothing of that has arrived: R10.
    undelivered: bool,
    position: usize,
    unfinished: Vec<u8>,
    /// A `%` line was seen.
    separated: bool,
    /// The last write has failed.
    failed: bool,
}

impl OpenFile {
    /// W9: what closing would take.
    fn reserved(&self) -> usize {
        cost(at_close(&self.unfinished))
    }
}

/// P3
fn cost(text: &[u8]) -> usize {
    match text.len() {
        0 => 0,
        len => len + 1,
    }
}

/// W3
fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

/// W8
fn at_close(unfinished: &[u8]) -> &[u8] {
    without_newline(match unfinished.strip_suffix(b"%") {
        Some(before) if before.is_empty() || before.ends_with(b"\n") => before,
        _ => unfinished,
    })
}

/// W3 to W7: the fortunes that are complete in what an open file has brought, and what is unfinished after that.
fn take_apart(text: &[u8], separated: &mut bool) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut fortunes, mut rest) = (vec![], vec![]);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if line == b"%\n" {
            *separated = true;
            fortunes.push(std::mem::take(&mut rest));
        } else {
            rest.extend(line);
        }
    }
    if !*separated && rest.ends_with(b"\n") {
        fortunes.push(std::mem::take(&mut rest));
    }
    let fortunes = fortunes.iter().map(|text| without_newline(text).to_vec());
    (fortunes.filter(|text| !text.is_empty()).collect(), rest)
}

/// A fortune, and whether this lap of shuffling has drawn it.
type Fortune = (Vec<u8>, bool);

/// What the contract says that there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    size: usize,
    pot: Vec<Fortune>,
    /// Which one is next in sequence; one that is not there: the oldest, or what is stored meanwhile (R3).
    next: usize,
    order: Order,
    evict: bool,
    files: Vec<OpenFile>,
    draws: u64,
    stores: u64,
    evictions: u64,
    clears: u64,
    /// What is there a moment later: C8.
    coming: Option<Vec<Vec<u8>>>,
}

impl State {
    /// An empty pot of `size` bytes, which is sequential, and so many open files.
    pub fn new(size: usize, evict: bool, files: usize) -> Self {
        Self {
            size,
            pot: vec![],
            next: 0,
            order: Order::Sequential,
            evict,
            files: vec![OpenFile::default(); files],
            draws: 0,
            stores: 0,
            evictions: 0,
            clears: 0,
            coming: None,
        }
    }

    fn used(&self) -> usize {
        self.pot.iter().map(|(text, _)| cost(text)).sum()
    }

    fn counters(&self) -> Counters {
        let reserved: usize = self.files.iter().map(OpenFile::reserved).sum();
        Counters {
            used: self.used() as u64,
            reserved: reserved as u64,
            fortunes: self.pot.len() as u64,
            draws: self.draws,
            stores: self.stores,
            evictions: self.evictions,
            clears: self.clears,
        }
    }

    /// What comes of it, if it ends like that: nothing, if it can't.
    fn after(&self, call: &Call, outcome: &Outcome) -> Vec<Self> {
        let unchanged = || vec![self.clone()];
        let changed = |change: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            change(&mut state);
            vec![state]
        };
        match (call, outcome) {
            (Call::Write(..) | Call::Close(_), Outcome::Done)
                if !self.takes_turns(call, outcome) =>
            {
                unchanged()
            }
            (Call::Write(..) | Call::Close(_), Outcome::Done) => {
                let begun = self.begin(call).into_iter();
                begun.map(|begun| begun.finish()).collect()
            }
            (Call::Write(_, text), _) if text.is_empty() => vec![],
            // W1, and W11 for what is closed after that.
            (Call::Write(file, _), Outcome::NoSpace) => match self.begin(call) {
                Some(_) => vec![],
                None => changed(&|state| state.files[*file].failed = true),
            },
            (Call::Write(file, _), Outcome::Fault | Outcome::NoMemory) => {
                changed(&|state| state.files[*file].failed = true)
            }
            // While it waited for the open file, or for another writer.
            (Call::Write(file, _), Outcome::Killed) => {
                let mut states = changed(&|state| state.files[*file].failed = true);
                states.extend(unchanged());
                states
            }
            (Call::Read(file, room), outcome) => {
                let states = self.read(*file, self.files[*file].position, *room, outcome);
                let arrived = match outcome {
                    Outcome::Read(bytes) => bytes.len(),
                    _ => 0,
                };
                let moved = |mut state: Self| {
                    state.files[*file].position += arrived;
                    state
                };
                states.into_iter().map(moved).collect()
            }
            (Call::ReadAt(file, position, room), outcome) => {
                self.read(*file, *position, *room, outcome)
            }
            (Call::Rewind(file), Outcome::Done) => {
                changed(&|state| state.files[*file].position = 0)
            }
            (Call::Clear, Outcome::Done) => changed(&|state| {
                state.pot.clear();
                state.next = 0;
                state.clears += 1;
            }),
            // C13
            (Call::Order(order), Outcome::Done) if *order == self.order => unchanged(),
            (Call::Order(order), Outcome::Done) => changed(&|state| {
                state.order = *order;
                state.next = 0;
                state.pot.iter_mut().for_each(|(_, drawn)| *drawn = false);
            }),
            (Call::Evict(evict), Outcome::Done) => changed(&|state| state.evict = *evict),
            (Call::Stats, Outcome::Stats(counters)) if *counters == self.counters() => unchanged(),
            (Call::List, Outcome::Listed(fortunes))
                if self.pot.iter().map(|(text, _)| text).eq(fortunes) =>
            {
                unchanged()
            }
            _ => vec![],
        }
    }

    /// What a read at `position` leaves behind that has ended like that.
    fn read(&self, file: usize, position: usize, room: usize, outcome: &Outcome) -> Vec<Self> {
        let open = &self.files[file];
        // R4, R6, R7, R9: what of one drawn before, and of one that is drawn now.
        let draws = room > 0 && position == 0 && !open.undelivered;
        let states = match (outcome, draws) {
            (Outcome::NoMemory | Outcome::Killed, _) => return vec![self.clone()],
            (_, false) => vec![self.clone()],
            (_, true) => self.draw(file),
        };
        let ends_so = |state: &mut Self| {
            let open = &mut state.files[file];
            let rest = open.text.get(position..).unwrap_or_default();
            let rest = &rest[..rest.len().min(room)];
            match outcome {
                Outcome::Read(bytes) => {
                    open.undelivered &= position > 0 || room == 0;
                    bytes == rest
                }
                Outcome::Fault => !rest.is_empty(),
                _ => false,
            }
        };
        let mut after: Vec<Self> = vec![];
        for mut state in states {
            if ends_so(&mut state) && !after.contains(&state) {
                after.push(state);
            }
        }
        // R8
        if draws && self.pot.is_empty() && *outcome == Outcome::Read(vec![]) {
            after.push(self.clone());
        }
        after
    }

    /// Each fortune that can be drawn now: R3, C11, C12.
    fn draw(&self, file: usize) -> Vec<Self> {
        let all_drawn = self.pot.iter().all(|(_, drawn)| *drawn);
        let next = if self.next < self.pot.len() {
            self.next
        } else {
            0
        };
        let can = |at: &usize| match self.order {
            Order::Sequential => *at == next,
            Order::Random => true,
            Order::Shuffle => all_drawn || !self.pot[*at].1,
        };
        let drawn = |at: usize| {
            let mut state = self.clone();
            match self.order {
                Order::Sequential => state.next = at + 1,
                Order::Random => {}
                Order::Shuffle => {
                    if all_drawn {
                        state.pot.iter_mut().for_each(|(_, drawn)| *drawn = false);
                    }
                    state.pot[at].1 = true;
                }
            }
            state.draws += 1;
            let open = &mut state.files[file];
            open.text = [state.pot[at].0.as_slice(), b"\n"].concat();
            open.undelivered = true;
            state
        };
        (0..self.pot.len()).filter(can).map(drawn).collect()
    }

    /// The first step of a write or of a close, after which what it brings is yet to come; nothing if there is no room.
    fn begin(&self, call: &Call) -> Option<Self> {
        let mut state = self.clone();
        let fortunes = match call {
            Call::Write(file, text) => {
                let file = &mut state.files[*file];
                let text = [&file.unfinished[..], text].concat();
                let (fortunes, rest) = take_apart(&text, &mut file.separated);
                file.unfinished = rest;
                file.failed = false;
                fortunes
            }
            Call::Close(file) => {
                let file = &mut state.files[*file];
                let text = at_close(&file.unfinished).to_vec();
                // W11
                let dropped = file.failed || text.is_empty();
                file.unfinished.clear();
                if dropped { vec![] } else { vec![text] }
            }
            _ => return None,
        };
        let bytes: usize = fortunes.iter().map(|text| cost(text)).sum();
        let reserved: usize = state.files.iter().map(OpenFile::reserved).sum();
        // W13, W14, C8
        let room = state.size.checked_sub(reserved)?.checked_sub(bytes)?;
        let mut used = state.used();
        let mut leaving = 0;
        while used > room {
            if !state.evict {
                return None;
            }
            used -= cost(&state.pot[leaving].0);
            leaving += 1;
        }
        state.pot.drain(..leaving);
        // C9
        state.next = state.next.saturating_sub(leaving);
        state.evictions += leaving as u64;
        state.coming = Some(fortunes);
        Some(state)
    }

    /// The second one.
    fn finish(mut self) -> Self {
        let fortunes = self.coming.take().unwrap_or_default();
        self.stores += fortunes.len() as u64;
        self.pot
            .extend(fortunes.into_iter().map(|text| (text, false)));
        self
    }

    /// Whether a call is about the pot's room: writers wait for each other, until what is coming is there.
    fn takes_turns(&self, call: &Call, outcome: &Outcome) -> bool {
        let brings = match call {
            Call::Write(_, text) => !text.is_empty(),
            Call::Close(file) => !self.files[*file].unfinished.is_empty(),
            _ => false,
        };
        brings && matches!(outcome, Outcome::Done | Outcome::NoSpace)
    }
}

/// What has happened so far: which calls are over, which one has begun to store, and what there is now.
type Point = (u64, Option<usize>, State);

/// Whether there is such an order of the calls, at most 64, from `state` on.
pub fn is_linearizable(history: &[Made], state: &State) -> bool {
    assert!(history.len() <= 64);
    search(history, (0, None, state.clone()), &mut HashSet::new())
}

/// Whether there is one of those calls that are not over.
fn search(history: &[Made], point: Point, failed: &mut HashSet<Point>) -> bool {
    let (done, begun, state) = &point;
    let left = |&at: &usize| done & (1 << at) == 0;
    // Nothing can come first that began after something else was over.
    let Some(over) = (0..history.len())
        .filter(left)
        .map(|at| history[at].returned)
        .min()
    else {
        return true;
    };
    if failed.contains(&point) {
        return false;
    }
    if let Some(at) = begun {
        let next = (done | (1 << at), None, state.clone().finish());
        if search(history, next, failed) {
            return true;
        }
    }
    for at in (0..history.len()).filter(left) {
        let Made { call, outcome, .. } = &history[at];
        if history[at].invoked > over || *begun == Some(at) {
            continue;
        }
        if begun.is_some() && state.takes_turns(call, outcome) {
            continue;
        }
        for next in state.after(call, outcome) {
            if search(history, (done | (1 << at), *begun, next), failed) {
                return true;
            }
        }
        // In two steps, if somebody can see that.
        if begun.is_none() && *outcome == Outcome::Done {
            if let Some(next) = state.begin(call) {
                if next.counters() != state.counters()
                    && next.coming.as_ref().is_some_and(|texts| !texts.is_empty())
                    && search(history, (*done, Some(at), next), failed)
                {
                    return true;
                }
            }
        }
    }
    failed.insert(point);
    false
}
