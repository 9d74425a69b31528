// SPDX-License-Identifier: GPL-2.0

//! Where fortunes end in what is written.
//!
//! Two kinds of text come by `write`. `echo` and its like write a fortune and a newline. A fortune file
//! has fortunes of any number of lines, which lines of just `%` separate, and comes in chunks that end
//! anywhere. Until the first `%` line is seen on an open file, a write that ends in a newline completes a
//! fortune; after that only `%` lines do, and the close.
//!
//! Pure logic, like the pot, and tested with it on the host.

use super::Exact;

/// What an open file has to remember between two writes, beside the text that is not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// A `%` line was seen.
    separated: bool,
    /// Where the last line of the unfinished text begins.
    line: usize,
}

/// The fortunes that a write completes, in order; after the last one, the rest is what it leaves unfinished.
///
/// Some may be empty: nothing between two `%` lines.
#[derive(Debug)]
pub struct Records<'a> {
    /// What was unfinished and, after that, what was written.
    text: &'a [u8],
    /// Where the current fortune begins, and the current line.
    begin: usize,
    line: usize,
    /// Up to here no newline is left.
    scanned: usize,
    separated: bool,
}

impl<'a> Records<'a> {
    /// What is complete in `text`, of which the first `unfinished` bytes were left by earlier writes together
    /// with `progress`.
    pub fn new(text: &'a [u8], unfinished: usize, progress: Progress) -> Self {
        Self {
            text,
            begin: 0,
            line: progress.line,
            scanned: unfinished,
            separated: progress.separated,
        }
    }

    /// What is unfinished, when there are no more records, and what to remember with it.
    pub fn rest(&self) -> (&'a [u8], Progress) {
        let progress = Progress {
            separated: self.separated,
            line: self.line.minus(self.begin),
        };
        (self.text.get(self.begin..).unwrap_or_default(), progress)
    }

    fn slice(&self, to: usize) -> &'a [u8] {
        self.text.get(self.begin..to).unwrap_or_default()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.scanned < self.text.len() {
            let Some(newline) = self.text.get(self.scanned..).and_then(find_newline) else {
                break;
            };
            let newline = self.scanned.plus(newline);
            let line = self.line;
            let is_separator = self.text.get(line..newline) == Some(b"%".as_slice());
            self.line = newline.plus(1);
            self.scanned = self.line;
            if is_separator {
                let record = self.slice(line);
                self.separated = true;
                self.begin = self.line;
                return Some(without_newline(record));
            }
        }
        self.scanned = self.text.len();
        if self.separated || self.line != self.scanned || self.begin == self.scanned {
            return None;
        }
        let record = self.slice(self.scanned);
        self.begin = self.scanned;
        Some(without_newline(record))
    }
}

/// The fortune that is stored if the file is closed now, with `unfinished` left; an empty one is none.
pub fn at_close(unfinished: &[u8], progress: Progress) -> &[u8] {
    let text = match unfinished.split_at_checked(progress.line) {
        Some((before, b"%")) => before,
        _ => unfinished,
    };
    without_newline(text)
}

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// A number of which some of the [`HIGHS`] is set if there is a newline in these bytes, as the kernel's `has_zero` looks for
/// a NUL (`include/linux/wordpart.h`).
#[inline(always)]
fn newlines(bytes: &[u8; 8]) -> u64 {
    const NEWLINES: u64 = u64::from_le_bytes([b'\n'; 8]);
    // Newlines are zero now. The lowest one is where the lowest bit is that gets a borrow and was not set.
    let word = u64::from_le_bytes(*bytes) ^ NEWLINES;
    word.wrapping_sub(ONES) & !word
}

/// Where the first newline is: in a long text 32 bytes at a time, then 8, then each.
fn find_newline(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let mut at: usize = 0;
    while let (128.., Some((bytes, after))) = (rest.len(), rest.split_first_chunk::<32>()) {
        let mut found = 0;
        let mut words = bytes.as_slice();
        while let Some((word, after)) = words.split_first_chunk() {
            found |= newlines(word);
            words = after;
        }
        if found & HIGHS != 0 {
            break;
        }
        rest = after;
        at = at.plus(32);
    }
    while let Some((word, after)) = rest.split_first_chunk() {
        let found = newlines(word) & HIGHS;
        if found != 0 {
            // CAST: Less than 8.
            return Some(at.plus((found.trailing_zeros() / 8) as usize));
        }
        rest = after;
        at = at.plus(8);
    }
    for &byte in rest {
        if byte == b'\n' {
            return Some(at);
        }
        at = at.plus(1);
    }
    None
}

fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}
