// SPDX-License-Identifier: GPL-2.0

//! A file can be forgotten and so outlive every borrow: data that borrows is refused.
//!
//! error: lifetime bound not satisfied

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{prelude::*, seq_file::SeqFile};
use shared::proc_fs;

pub struct Data<'a>(&'a u8);

impl<'a> proc_fs::Show for Data<'a> {
    fn show(&self, _m: &SeqFile) -> Result {
        Ok(())
    }
}
