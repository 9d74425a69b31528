// SPDX-License-Identifier: GPL-2.0

//! `/proc/fortune`: a read draws a fortune from the pot, a write stores one.
//!
//! Nothing that others need is locked while bytes are copied to or from user space, where a page fault
//! can take for ever. What is drawn is copied into the open file's own memory under the pot's lock, and
//! to the reader after that; what is written is copied in first. The open file has a lock of its own,
//! for which only those wait who share the open file.
//!
//! Lock order: `OpenFile::held`, then `Dispenser::pot`.

use super::{
    pot::{
        self,
        Block,
        Drawn,
        Pot,
        Refused,
        MAX_FORTUNE, //
    },
    proc_fs::{
        self,
        Seek, //
    }, //
};
use kernel::{
    alloc::{
        flags::__GFP_NOWARN,
        Flags, //
    },
    fs::{
        file::Offset,
        File,
        LocalFile, //
    },
    new_mutex,
    prelude::*,
    sync::Mutex,
    uaccess::{
        UserSliceReader,
        UserSliceWriter, //
    }, //
};

/// A text of up to this many bytes, its newline included, is moved without allocating.
const SHORT: usize = 256;

/// Memory that a user makes the kernel allocate is charged to that user, and where there is none it is
/// that user's ENOMEM and no line in the log.
fn charged() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_NOWARN
}

/// The pot, in memory from vmalloc, but for the blocks of its index, which are a page each.
type VPot = Pot<VVec<u8>, KBox<Block>, VVec<Option<KBox<Block>>>>;

/// What all open files of `/proc/fortune` share.
#[pin_data]
pub struct Dispenser {
    /// The size of the pot in bytes.
    size: usize,
    #[pin]
    pot: Mutex<VPot>,
}

impl Dispenser {
    /// Makes an empty pot of `size` bytes.
    pub fn new(size: usize) -> Result<impl PinInit<Self>> {
        let flags = GFP_KERNEL | __GFP_NOWARN;
        let bytes = VVec::from_elem(0, size, flags)?;
        let mut index = VVec::with_capacity(pot::max_blocks(size), flags)?;
        for _ in 0..pot::max_blocks(size) {
            index.push_within_capacity(None)?;
        }
        Ok(pin_init!(Self {
            size,
            pot <- new_mutex!(Pot::new(bytes, index)),
        }))
    }

    /// Stores `text` as one fortune.
    fn store(&self, text: &[u8]) -> Result {
        loop {
            let stored = self.pot.lock().store(text);
            match stored {
                Ok(()) => return Ok(()),
                Err(Refused::NoSpace) => return Err(ENOSPC),
                Err(Refused::NeedsBlock) => {}
            }
            let block = KBox::zeroed(charged())?;
            // Somebody else may have added one meanwhile; then this one is freed, without the lock.
            let surplus = self.pot.lock().add_block(block);
            drop(surplus);
        }
    }
}

/// What an open file of `/proc/fortune` owns.
#[pin_data]
pub struct OpenFile {
    #[pin]
    held: Mutex<Held>,
}

/// The fortune that was last drawn through an open file.
struct Held {
    /// The text, if `long` is empty.
    short: [u8; SHORT],
    /// The text, if it is not empty.
    long: KVVec<u8>,
    /// How many bytes the text has, its newline included; 0 if nothing was drawn yet.
    len: usize,
    /// Nothing of it has arrived yet: a read at position 0 delivers it, and does not draw the next one.
    undelivered: bool,
}

impl Held {
    fn text(&self) -> &[u8] {
        let text = if self.long.is_empty() {
            self.short.as_slice()
        } else {
            self.long.as_slice()
        };
        text.get(..self.len).unwrap_or_default()
    }

    /// Draws the next fortune, and says whether there was one. If not, or on an error, all is as it was.
    fn draw(&mut self, dispenser: &Dispenser) -> Result<bool> {
        let mut long = KVVec::new();
        loop {
            let buffer = if long.is_empty() {
                self.short.as_mut_slice()
            } else {
                long.as_mut_slice()
            };
            let drawn = dispenser.pot.lock().draw(buffer);
            match drawn {
                Drawn::Nothing => return Ok(false),
                Drawn::Bytes(len) => {
                    self.len = len;
                    self.long = long;
                    self.undelivered = true;
                    return Ok(true);
                }
                Drawn::TooLong(len) => long = KVVec::from_elem(0, len, charged())?,
            }
        }
    }
}

#[vtable]
impl proc_fs::Operations for Dispenser {
    type Ptr = Pin<KBox<OpenFile>>;

    const SEEK: Seek = Seek::NoEnd;

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        KBox::pin_init(
            pin_init!(OpenFile {
                held <- new_mutex!(Held {
                    short: [0; SHORT],
                    long: KVVec::new(),
                    len: 0,
                    undelivered: false,
                }),
            }),
            charged(),
        )
    }

    fn read(
        &self,
        open_file: Pin<&OpenFile>,
        _file: &LocalFile,
        buf: &mut UserSliceWriter,
        pos: &mut Offset,
    ) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let offset = usize::try_from(*pos)?;
        let mut held = open_file.held.lock();
        if offset == 0 && !held.undelivered && !held.draw(self)? {
            return Ok(0);
        }
        let rest = held.text().get(offset..).unwrap_or_default();
        let arrived = proc_fs::write_to_user(buf, rest)?;
        if offset == 0 {
            held.undelivered = false;
        }
        // CAST: A text has at most MAX_FORTUNE + 1 bytes, and `offset` was an `Offset`.
        *pos = offset.wrapping_add(arrived) as Offset;
        Ok(arrived)
    }

    fn write(
        &self,
        _open_file: Pin<&OpenFile>,
        _file: &LocalFile,
        buf: &mut UserSliceReader,
        _pos: &mut Offset,
    ) -> Result<usize> {
        let len = buf.len();
        // Even if the last byte is a newline and not part of the fortune, it would never fit.
        if len > self.size || len > MAX_FORTUNE.wrapping_add(1) {
            return Err(ENOSPC);
        }
        let mut short = [0; SHORT];
        let mut long;
        let text = match short.get_mut(..len) {
            Some(short) => short,
            None => {
                long = KVVec::from_elem(0, len, charged())?;
                long.as_mut_slice()
            }
        };
        buf.read_slice(text)?;
        self.store(text.strip_suffix(b"\n").unwrap_or(text))?;
        Ok(len)
    }
}
