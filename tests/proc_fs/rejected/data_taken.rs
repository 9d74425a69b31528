// SPDX-License-Identifier: GPL-2.0

//! Nor can it be taken out while C has it.
//!
//! error: field `inner` of struct `entry::File` is private

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

pub fn take(file: proc_fs::File<Data>) -> Data {
    file.inner.data
}
