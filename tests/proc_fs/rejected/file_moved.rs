// SPDX-License-Identifier: GPL-2.0

//! C has the address of a file's data: it can't be moved.
//!
//! error: cannot be unpinned

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{prelude::*, seq_file::SeqFile};
use shared::proc_fs;

pub struct Data(pub u8);

impl proc_fs::Show for Data {
    fn show(&self, _m: &SeqFile) -> Result {
        Ok(())
    }
}

pub fn swap(one: Pin<&mut proc_fs::File<Data>>, other: Pin<&mut proc_fs::File<Data>>) {
    core::mem::swap(one.get_mut(), other.get_mut());
}
