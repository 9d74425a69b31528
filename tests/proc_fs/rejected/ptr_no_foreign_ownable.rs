// SPDX-License-Identifier: GPL-2.0

//! What an open file owns has to fit into its private data.
//!
//! error: the trait bound `u64: ForeignOwnable` is not satisfied

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{fs::File, prelude::*};
use shared::proc_fs;

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = u64;

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
