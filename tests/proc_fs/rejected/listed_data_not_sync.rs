// SPDX-License-Identifier: GPL-2.0

//! The same for a list.
//!
//! error: `*mut u8` cannot be shared between threads safely

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{prelude::*, seq_file::SeqFile};
use shared::proc_fs;

pub struct Data(*mut u8);

impl proc_fs::SeqOperations for Data {
    fn next_at(&self, _id: u64) -> Option<u64> {
        None
    }

    fn show(&self, _id: u64, _m: &SeqFile) -> Result {
        Ok(())
    }
}
