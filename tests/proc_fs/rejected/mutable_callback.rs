// SPDX-License-Identifier: GPL-2.0

//! No callback has its data for itself.
//!
//! error: method `release` has an incompatible type for trait

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{fs::File, prelude::*};
use shared::proc_fs;

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = ();

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn release(&mut self, _ptr: ()) {}
}
