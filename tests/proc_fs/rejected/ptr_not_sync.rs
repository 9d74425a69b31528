// SPDX-License-Identifier: GPL-2.0

//! Callbacks run at once on one open file too.
//!
//! error: `Cell<u8>` cannot be shared between threads safely

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{fs::File, prelude::*};
use shared::proc_fs;

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = KBox<core::cell::Cell<u8>>;

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
