// SPDX-License-Identifier: GPL-2.0

//! Calls at random, and a model that says what each must do. The model is written from the README, not from the module.
//!
//! Where the two differ, the calls since the module was loaded are tried again with fewer and fewer of them, and the
//! shortest sequence that still differs is shown. `guest fuzz SEED [CALLS]` tries another seed. What is not left to chance is
//! in `guided.rs`.

use crate::{
    coverage,
    guided::{self, Course, guided_by_coverage, the_corpus},
    memory::Buffer,
    module::{self, CONTROL, Module, by_kernel, control, set, stats},
};
use fastrand::Rng;
use ktap::{Limit, amount, figure, progress};
use nix::{
    errno::Errno,
    sys::uio::pread,
    unistd::{Whence, lseek},
};
use serde::Deserialize;
use std::{cell::RefCell, collections::VecDeque, fs::File, os::fd::AsRawFd, process::ExitCode};

ktap::tests!(fuzz, Guest, Once: against_the_model [W1 W2], the_corpus, guided_by_coverage needs(Asked));

/// The longest fortune.
pub(crate) const MAX: usize = 65536;

/// How many files are open at most.
pub(crate) const FILES: usize = 16;

/// How many calls are made of a module before it is loaded again.
pub(crate) const EPOCH: usize = 2500;

pub(crate) const POT_SIZES: [usize; 8] = [1, 2, 30, 300, 4096, 4097, 70_000, 1_000_000];

/// What is written.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum Text {
    /// So many of one byte.
    Same(u8, usize),
    /// Like no other, so long or longer, with a newline at its end or not.
    Own(u32, usize, bool),
    /// So many bytes that mean something to the format, from this seed.
    Odd(u64, usize),
    /// So many short fortunes, like no others, in a file that begins with a separator.
    File(u32, usize),
}

impl Text {
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Text::Same(byte, len) => vec![byte; len],
            Text::Own(serial, len, newline) => {
                let mut text = format!("f{serial}.").into_bytes();
                text.resize(text.len().max(len), b'x');
                text.extend(newline.then_some(b'\n'));
                text
            }
            Text::Odd(seed, len) => {
                let mut random = Rng::with_seed(seed);
                (0..len)
                    .map(|_| random.choice(*b"\n\n%a\0\r").unwrap())
                    .collect()
            }
            Text::File(serial, count) => {
                let one = |number| format!("f{serial}.{number}.\n%\n");
                "%\n"
                    .bytes()
                    .chain((0..count).flat_map(|number| one(number).into_bytes()))
                    .collect()
            }
        }
    }
}

/// How `Whence` is read.
#[derive(Deserialize)]
#[serde(remote = "Whence")]
#[expect(clippy::enum_variant_names, reason = "these are nix's")]
enum Variants {
    SeekSet,
    SeekCur,
    SeekEnd,
}

/// A call. It is shown as `{:?}` does, which can be read again.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum Op {
    Open,
    Close(usize),
    /// Of this file, so many bytes, of which so many can be written to, at an offset or the file's position.
    Read(usize, usize, usize, Option<i64>),
    /// To this file, from memory of which so many bytes can be read, at an offset or the file's position.
    Write(usize, Text, usize, Option<i64>),
    /// More bytes than can be read, from a bad address.
    WriteMuch(usize, usize),
    Seek(usize, i64, #[serde(with = "Variants")] Whence),
    Order(usize),
    WhenFull(usize),
    BadWord,
    Clear,
    /// Of the list of all fortunes, by some reads one after the other, from an offset on, so many bytes each, of which so many
    /// can be written to.
    List(i64, usize, usize),
    /// Compares all that can be seen.
    Look,
}

const ORDERS: [&str; 3] = ["sequential", "random", "shuffle"];
const WHEN_FULL: [&str; 2] = ["reject", "evict"];

/// A fortune in the pot, and whether this lap has drawn it.
struct Fortune(Vec<u8>, bool);

/// What the model knows of an open file.
#[derive(Default)]
struct Open {
    position: i64,
    /// What was drawn, its newline included.
    drawn: Vec<u8>,
    undelivered: bool,
    unfinished: Unfinished,
    failed: bool,
}

#[derive(Clone, Default)]
struct Unfinished {
    fortune: Vec<u8>,
    line: Vec<u8>,
    separated: bool,
}

impl Unfinished {
    fn complete(&mut self) -> Vec<u8> {
        let mut fortune = std::mem::take(&mut self.fortune);
        if fortune.last() == Some(&b'\n') {
            fortune.pop();
        }
        fortune
    }

    /// What is complete when these bytes have been written.
    fn write(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut done = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend(part);
            if self.line == b"%\n" {
                self.line.clear();
                self.separated = true;
                done.push(self.complete());
            } else if part.ends_with(b"\n") {
                self.fortune.append(&mut self.line);
            }
        }
        if !self.separated && bytes.last() == Some(&b'\n') {
            done.push(self.complete());
        }
        done.retain(|fortune| !fortune.is_empty());
        done
    }

    fn at_close(&self) -> Vec<u8> {
        let mut all = self.clone();
        if all.line != b"%" {
            all.fortune.append(&mut all.line);
        }
        all.complete()
    }

    fn reserved(&self) -> usize {
        match self.at_close().len() {
            0 => 0,
            len => len + 1,
        }
    }
}

pub(crate) struct Model {
    pub(crate) size: usize,
    fortunes: VecDeque<Fortune>,
    /// The place of the next one in sequential order.
    next: usize,
    pub(crate) order: usize,
    when_full: usize,
    files: Vec<Open>,
    draws: u64,
    stores: u64,
    evictions: u64,
    clears: u64,
    nospace: u64,
    faults: u64,
}

impl Model {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            fortunes: VecDeque::new(),
            next: 0,
            order: 0,
            when_full: 0,
            files: Vec::new(),
            draws: 0,
            stores: 0,
            evictions: 0,
            clears: 0,
            nospace: 0,
            faults: 0,
        }
    }

    fn used(&self) -> usize {
        self.fortunes
            .iter()
            .map(|fortune| fortune.0.len() + 1)
            .sum()
    }

    fn reserved(&self) -> usize {
        self.files
            .iter()
            .map(|file| file.unfinished.reserved())
            .sum()
    }

    /// All fortunes, and what may become one, differ.
    pub(crate) fn is_unambiguous(&self) -> bool {
        let mut texts: Vec<&[u8]> = self.fortunes.iter().map(|fortune| &fortune.0[..]).collect();
        texts.sort();
        let own = |text: &[u8]| text.starts_with(b"f");
        texts.windows(2).all(|pair| pair[0] != pair[1])
            && texts.iter().all(|text| own(text))
            && self
                .files
                .iter()
                .all(|file| file.unfinished.reserved() == 0)
    }

    /// What can be read of the pot.
    fn list(&self) -> Vec<u8> {
        let mut list = Vec::new();
        for (number, fortune) in self.fortunes.iter().enumerate() {
            list.extend(if number == 0 { &b"%\n"[..] } else { b"" });
            list.extend(&fortune.0);
            list.extend(b"\n%\n");
        }
        list
    }

    fn write(&mut self, at: usize, bytes: &[u8], readable: usize) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let result = self.try_write(at, bytes, readable);
        self.files[at].failed = result.is_err();
        match result {
            Err(Errno::ENOSPC) => self.nospace += 1,
            Err(_) => self.faults += 1,
            Ok(_) => {}
        }
        result
    }

    fn try_write(&mut self, at: usize, bytes: &[u8], readable: usize) -> Result<usize, Errno> {
        if bytes.len() > 2 * self.size + MAX {
            return Err(Errno::ENOSPC);
        }
        if readable < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let mut unfinished = self.files[at].unfinished.clone();
        let done = unfinished.write(bytes);
        if done.iter().any(|text| text.len() > MAX) || unfinished.at_close().len() > MAX {
            return Err(Errno::ENOSPC);
        }
        let reserved =
            self.reserved() - self.files[at].unfinished.reserved() + unfinished.reserved();
        let needed = reserved + done.iter().map(|text| text.len() + 1).sum::<usize>();
        if needed > self.size || (self.when_full == 0 && needed + self.used() > self.size) {
            return Err(Errno::ENOSPC);
        }
        while needed + self.used() > self.size {
            self.fortunes.pop_front();
            self.next = self.next.saturating_sub(1);
            self.evictions += 1;
        }
        self.store(done);
        self.files[at].unfinished = unfinished;
        Ok(bytes.len())
    }

    fn store(&mut self, texts: Vec<Vec<u8>>) {
        self.stores += texts.len() as u64;
        self.fortunes
            .extend(texts.into_iter().map(|text| Fortune(text, false)));
    }

    fn close(&mut self, at: usize) {
        let file = self.files.remove(at);
        let text = file.unfinished.at_close();
        if !file.failed && !text.is_empty() {
            self.store(vec![text]);
        }
    }

    /// A fortune is drawn. `rest` says what the module has drawn, but for its first byte, where that is by chance.
    fn draw(&mut self, rest: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, String> {
        self.draws += 1;
        if self.order == 0 {
            if self.next >= self.fortunes.len() {
                self.next = 0;
            }
            self.next += 1;
            return Ok([&self.fortunes[self.next - 1].0[..], b"\n"].concat());
        }
        if self.fortunes.iter().all(|fortune| fortune.1) {
            self.fortunes
                .iter_mut()
                .for_each(|fortune| fortune.1 = false);
        }
        let rest = rest();
        let shuffle = self.order == 2;
        let mut due = self
            .fortunes
            .iter_mut()
            .filter(|fortune| !shuffle || !fortune.1);
        let drawn = due.find(|fortune| Some(&fortune.0[1..]) == rest.strip_suffix(b"\n"));
        let drawn = drawn.ok_or_else(|| format!("?{} was not to be drawn", rest.escape_ascii()))?;
        drawn.1 = shuffle;
        Ok([&drawn.0[..], b"\n"].concat())
    }
}

/// The module and the model, side by side.
pub(crate) struct Pair {
    pub(crate) model: Model,
    pub(crate) files: Vec<File>,
    _module: Module,
}

thread_local! {
    /// Made once: mapping memory takes longer than most calls.
    static BUFFER: RefCell<Buffer> = RefCell::new(Buffer::new(1 << 22));
}

/// Whether the VFS lets a call pass at this position.
fn fits(position: i64, len: usize) -> bool {
    position >= 0 && position.checked_add(len as i64).is_some()
}

fn differ<T: std::fmt::Debug>(module: &T, model: &T) -> Result<(), String> {
    Err(format!(
        "the module: {module:.200?}, the model: {model:.200?}"
    ))
}

impl Pair {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            _module: Module::load(&format!("pot_size={size}")),
            model: Model::new(size),
            files: Vec::new(),
        }
    }

    /// Makes a call, and says how the two differ if they do.
    pub(crate) fn step(&mut self, op: Op) -> Result<(), String> {
        let count = self.files.len();
        match op {
            Op::Open if count < FILES => {
                self.files.push(module::open());
                self.model.files.push(Open::default());
            }
            Op::Close(at) if count > 0 => {
                drop(self.files.remove(at % count));
                self.model.close(at % count);
            }
            Op::Read(at, len, writable, offset) if count > 0 => {
                self.read(at % count, len, writable, offset)?
            }
            Op::Write(at, text, readable, offset) if count > 0 => {
                let at = at % count;
                let bytes = text.bytes();
                let readable = readable.min(bytes.len());
                let file = self.files[at].as_raw_fd();
                let result = BUFFER.with_borrow_mut(|buffer| {
                    let from = buffer.readable(&bytes, readable);
                    // SAFETY: The kernel checks the addresses.
                    Errno::result(unsafe {
                        match offset {
                            Some(offset) => libc::pwrite(file, from, bytes.len(), offset),
                            None => libc::write(file, from, bytes.len()),
                        }
                    })
                });
                let result = result.map(|count| count as usize);
                // The VFS looks at the position before the module is asked, which does not.
                let expected = match offset.unwrap_or(self.model.files[at].position) {
                    offset if !fits(offset, bytes.len()) => Err(Errno::EINVAL),
                    _ => self.model.write(at, &bytes, readable),
                };
                if result != expected {
                    differ(&result, &expected)?;
                }
            }
            Op::WriteMuch(at, len) if count > 0 => {
                let at = at % count;
                let result = crate::memory::write_from(&self.files[at], std::ptr::null(), len);
                let expected = if !fits(self.model.files[at].position, len) {
                    Err(Errno::EINVAL)
                } else if len > 2 * self.model.size + MAX {
                    self.model.nospace += 1;
                    Err(Errno::ENOSPC)
                } else {
                    self.model.faults += 1;
                    Err(Errno::EFAULT)
                };
                self.model.files[at].failed |= expected != Err(Errno::EINVAL);
                if result != expected {
                    differ(&result, &expected)?;
                }
            }
            Op::Seek(at, offset, whence) if count > 0 => {
                let at = at % count;
                let result = lseek(&self.files[at], offset, whence);
                let position = &mut self.model.files[at].position;
                let to = match whence {
                    Whence::SeekSet => Some(offset),
                    Whence::SeekCur => position.checked_add(offset),
                    _ => None,
                };
                let expected = to.filter(|&to| to >= 0).ok_or(Errno::EINVAL);
                *position = expected.unwrap_or(*position);
                if result != expected {
                    differ(&result, &expected)?;
                }
            }
            Op::Order(word) => {
                set("order", ORDERS[word]).map_err(|error| format!("order: {error}"))?;
                if word != self.model.order {
                    self.model.order = word;
                    self.model.next = 0;
                    self.model
                        .fortunes
                        .iter_mut()
                        .for_each(|fortune| fortune.1 = false);
                }
            }
            Op::WhenFull(word) => {
                set("when_full", WHEN_FULL[word]).map_err(|error| format!("when_full: {error}"))?;
                self.model.when_full = word;
            }
            Op::BadWord => {
                let results = [set("order", "shuffled"), set("when_full", "")];
                let expected = [Err(Errno::EINVAL), Ok(0)];
                if results != expected {
                    differ(&results, &expected)?;
                }
            }
            Op::Clear => {
                set("clear", "1").map_err(|error| format!("clear: {error}"))?;
                self.model.fortunes.clear();
                self.model.next = 0;
                self.model.clears += 1;
            }
            Op::List(offset, len, writable) => self.list(offset, len, writable)?,
            Op::Look => self.look()?,
            _ => {}
        }
        Ok(())
    }

    fn read(
        &mut self,
        at: usize,
        len: usize,
        writable: usize,
        offset: Option<i64>,
    ) -> Result<(), String> {
        let file = &self.files[at];
        let writable = writable.min(len);
        let fd = file.as_raw_fd();
        let (result, arrived) = BUFFER.with_borrow_mut(|buffer| {
            let to = buffer.writable(writable);
            // SAFETY: The kernel checks the addresses, and what is behind them is only ever bytes.
            let result = Errno::result(unsafe {
                match offset {
                    Some(offset) => libc::pread(fd, to, len, offset),
                    None => libc::read(fd, to, len),
                }
            });
            let result = result.map(|count| count as usize);
            let written = buffer.written(writable, result.unwrap_or(0));
            (result, written)
        });
        let arrived = arrived?;

        let from = offset.unwrap_or(self.model.files[at].position);
        let expected = if !fits(from, len) {
            Err(Errno::EINVAL)
        } else if len == 0 {
            Ok(0)
        } else {
            if from == 0 && !self.model.files[at].undelivered && !self.model.fortunes.is_empty() {
                let rest = || {
                    let mut rest = vec![0; MAX + 2];
                    let len = pread(file, &mut rest, 1).unwrap_or(0);
                    rest.truncate(len);
                    rest
                };
                let drawn = self.model.draw(rest)?;
                self.model.files[at].drawn = drawn;
                self.model.files[at].undelivered = true;
            } else if from == 0 && !self.model.files[at].undelivered {
                // The pot is empty.
                return if result == Ok(0) {
                    Ok(())
                } else {
                    differ(&result, &Ok(0))
                };
            }
            let open = &mut self.model.files[at];
            let rest = usize::try_from(from)
                .ok()
                .and_then(|from| open.drawn.get(from..))
                .unwrap_or_default();
            let wanted = rest.len().min(len);
            match wanted.min(writable) {
                0 if wanted > 0 => {
                    self.model.faults += 1;
                    Err(Errno::EFAULT)
                }
                count => {
                    if arrived != rest[..count] {
                        differ(&arrived, &rest[..count].to_vec())?;
                    }
                    open.undelivered &= from != 0;
                    if offset.is_none() {
                        open.position += count as i64;
                    }
                    Ok(count)
                }
            }
        };
        if result != expected {
            differ(&result, &expected)?;
        }
        Ok(())
    }

    fn list(&self, offset: i64, len: usize, writable: usize) -> Result<(), String> {
        /// As many as it takes to go on where the one before has ended.
        const READS: usize = 3;
        let list = self.model.list();
        let file = File::open(format!("{CONTROL}/pot")).expect("the pot opens");
        let writable = writable.min(len);
        let mut offset = offset;
        for _ in 0..READS {
            let (result, arrived) = BUFFER.with_borrow_mut(|buffer| {
                let to = buffer.writable(writable);
                // SAFETY: The kernel checks the addresses, and what is behind them is only ever bytes.
                let count = unsafe { libc::pread(file.as_raw_fd(), to, len, offset) };
                let result = Errno::result(count).map(|count| count as usize);
                (result, buffer.written(writable, result.unwrap_or(0)))
            });
            let arrived = arrived?;
            let from = usize::try_from(offset).ok();
            let rest = from.and_then(|from| list.get(from..)).unwrap_or_default();
            let wanted = rest.len().min(len);
            let expected = match wanted.min(writable) {
                _ if !fits(offset, len) => Err(Errno::EINVAL),
                0 if wanted > 0 => Err(Errno::EFAULT),
                // A read may end before the list does.
                count => Ok(result.map_or(count, |read| read.clamp(count.min(1), count))),
            };
            if result != expected {
                differ(&result, &expected)?;
            }
            if !rest.starts_with(&arrived) {
                differ(&arrived, &rest[..arrived.len().min(rest.len())].to_vec())?;
            }
            offset += arrived.len() as i64;
        }
        Ok(())
    }

    fn look(&self) -> Result<(), String> {
        let model = &self.model;
        let stats = stats();
        for (name, value) in [
            ("pot_size", model.size as u64),
            ("used", model.used() as u64),
            ("reserved", model.reserved() as u64),
            ("fortunes", model.fortunes.len() as u64),
            ("draws", model.draws),
            ("stores", model.stores),
            ("evictions", model.evictions),
            ("clears", model.clears),
            ("nospace", model.nospace),
            ("faults", model.faults),
            ("nomem", 0),
        ] {
            if stats.get(name) != Some(&value) {
                return Err(format!(
                    "{name}: the module: {:?}, the model: {value}",
                    stats.get(name)
                ));
            }
        }
        if module::pot() != model.list() {
            return Err("the pots differ".to_owned());
        }
        for (name, words, current) in [
            ("order", &ORDERS[..], model.order),
            ("when_full", &WHEN_FULL, model.when_full),
        ] {
            if !control(name).contains(&format!("[{}]", words[current])) {
                return Err(format!("{name}: {}", control(name)));
            }
        }
        for (file, open) in self.files.iter().zip(&model.files) {
            let position = lseek(file, 0, Whence::SeekCur);
            if position != Ok(open.position) {
                differ(&position, &Ok(open.position))?;
            }
        }
        Ok(())
    }
}

/// A call that makes sense after those before it.
pub(crate) fn choose(random: &mut Rng, model: &Model, serial: &mut u32) -> Op {
    let at = random.usize(..FILES);
    let len = |random: &mut Rng| match random.u8(..20) {
        0 => 0,
        1 => 1,
        2..13 => random.usize(2..40),
        13..15 => random.usize(250..262),
        15..17 => random.usize(4090..4102),
        17 => random.usize(65530..65545),
        18 => model.size.saturating_sub(random.usize(..4)),
        _ => random.usize(..2 * model.size + MAX + 10).min(300_000),
    };
    let offset = |random: &mut Rng| match random.u8(..12) {
        0..6 => None,
        6..8 => Some(0),
        8..10 => Some(random.i64(1..20)),
        10 => Some(random.i64(200..70_000)),
        _ => random.choice([-1, i64::MIN, i64::MAX, i64::MAX - 70_000]),
    };
    // Good memory, bad memory, and both.
    let good = |random: &mut Rng| match random.u8(..10) {
        0 => 0,
        1 | 2 => random.usize(..300),
        _ => usize::MAX,
    };
    match random.u8(..41) {
        0..3 => Op::Open,
        3 => Op::Close(at),
        4..18 => Op::Read(at, len(random), good(random), offset(random)),
        18..32 => {
            *serial += 1;
            let text = match random.u8(..if model.order == 0 { 8 } else { 5 }) {
                0..3 => Text::Own(*serial, len(random), true),
                3 => Text::File(*serial, random.usize(..20)),
                // What is unfinished is like no other when it is complete, if it has no other pieces.
                4 => Text::Own(*serial, len(random), model.order != 0),
                5 => Text::Same(random.choice([b'a', b'\n', 0]).unwrap(), len(random)),
                _ => Text::Odd(random.u64(..), len(random).min(300)),
            };
            Op::Write(at, text, good(random), offset(random))
        }
        32 => Op::WriteMuch(at, random.usize(1..1 << 33)),
        33 | 34 => {
            let whence = random.choice([
                Whence::SeekSet,
                Whence::SeekSet,
                Whence::SeekCur,
                Whence::SeekEnd,
            ]);
            Op::Seek(
                at,
                random.choice([0, 0, 0, 1, 5, -1, 300, i64::MAX]).unwrap(),
                whence.unwrap(),
            )
        }
        35 => match random.usize(..3) {
            0 => Op::Order(0),
            word if model.is_unambiguous() => Op::Order(word),
            _ => Op::Clear,
        },
        36 => Op::WhenFull(random.usize(..2)),
        37 if random.u8(..4) == 0 => Op::Clear,
        38 => Op::BadWord,
        39 => {
            let (near, far) = (random.i64(..300), random.i64(..100_000));
            let offset = random.choice([0, near, far, -1]);
            Op::List(offset.unwrap(), len(random), good(random))
        }
        _ => Op::Look,
    }
}

/// Makes calls of a module of this size, and says which ones if it does not do what the model does.
fn epoch(
    random: &mut Rng,
    size: usize,
    calls: usize,
    course: &mut Option<Course>,
) -> Result<(), (Vec<Op>, String)> {
    let mut pair = Pair::new(size);
    let mut ops = Vec::new();
    let mut serial = 0;
    for _ in 0..calls {
        let op = choose(random, &pair.model, &mut serial);
        ops.push(op);
        pair.step(op).map_err(|why| (ops.clone(), why))?;
        if let Some(course) = course {
            course.look();
        }
    }
    ops.push(Op::Look);
    pair.look().map_err(|why| (ops, why))
}

/// Makes these calls again.
fn replay(size: usize, ops: &[Op]) -> Result<(), String> {
    let mut pair = Pair::new(size);
    ops.iter().try_for_each(|&op| pair.step(op))?;
    pair.look()
}

/// Says why the two differ, by the shortest sequence of calls with which they do.
pub(crate) fn told(size: usize, ops: Vec<Op>, why: String) -> String {
    let count = ops.len();
    let (ops, why) = shrink(size, ops, why);
    let ops: String = ops.iter().map(|op| format!("  {op:?}\n")).collect();
    format!("{why}\nafter these, of {count} calls, with\npot_size={size}\n{ops}")
}

/// The shortest part of the calls, of those that it finds, with which the two still differ.
fn shrink(size: usize, mut ops: Vec<Op>, mut why: String) -> (Vec<Op>, String) {
    let mut part = ops.len() / 2;
    while part > 0 {
        let mut from = 0;
        while from < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(from..(from + part).min(ops.len()));
            match replay(size, &fewer) {
                Err(said) => (ops, why) = (fewer, said),
                Ok(()) => from += part,
            }
        }
        part /= 2;
    }
    (ops, why)
}

/// Makes so many calls, with modules of all sizes.
fn fuzz(seed: u64, calls: usize, mut course: Option<Course>) -> Result<usize, String> {
    let mut random = Rng::with_seed(seed);
    let mut done = 0;
    while done < calls {
        let size = random.choice(POT_SIZES).unwrap();
        let now = EPOCH.min(calls - done);
        epoch(&mut random, size, now, &mut course)
            .map_err(|(ops, why)| format!("seed {seed}: {}", told(size, ops, why)))?;
        done += now;
        progress(done, calls);
    }
    if let Some(course) = course {
        println!("# {}", course.summary());
    }
    Ok(done)
}

fn against_the_model() {
    // A debug kernel does a thousand calls a second.
    let calls = by_kernel(amount(200_000, 10_000_000), amount(20_000, 1_000_000));
    let (done, differences) = match fuzz(1, calls, None) {
        Ok(done) => (done, 0),
        Err(why) => panic!("{why}"),
    };
    figure(
        "S1",
        "{}, {} from the model",
        &[
            Limit::amount(done, calls, "calls"),
            Limit::exactly(differences, 0, "differences"),
        ],
    );
}

/// The command `guest fuzz`. Where the kernel records it, it shows how much of the module has run after some time.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    coverage::begin();
    let result = match words {
        ["--guided", minutes] => match minutes.parse() {
            Ok(minutes) => guided::run(minutes),
            Err(_) => return usage(),
        },
        words => {
            let numbers: Result<Vec<u64>, _> = words.iter().map(|word| word.parse()).collect();
            let Ok([seed, calls @ ..]) = numbers.as_deref() else {
                return usage();
            };
            let calls = calls.first().map_or(200_000, |&calls| calls as usize);
            let course = coverage::is_recorded().then(Course::new);
            fuzz(*seed, calls, course).map(|_| ())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: guest fuzz SEED [CALLS] | fuzz --guided MINUTES");
    ExitCode::from(2)
}
