// SPDX-License-Identifier: GPL-2.0

//! Callbacks run on several CPUs at once: data that can't be shared is refused.
//!
//! error: `Cell<u8>` cannot be shared between threads safely

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use core::cell::Cell;
use kernel::{prelude::*, seq_file::SeqFile};
use shared::proc_fs;

pub struct Data(Cell<u8>);

impl proc_fs::Show for Data {
    fn show(&self, _m: &SeqFile) -> Result {
        self.0.set(1);
        Ok(())
    }
}
