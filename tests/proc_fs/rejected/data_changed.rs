// SPDX-License-Identifier: GPL-2.0

//! The owner of a file shares its data with the callbacks.
//!
//! error: cannot assign to data in a `&` reference

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

pub fn change(file: Pin<&mut proc_fs::File<Data>>) {
    file.data().0 = 2;
}
