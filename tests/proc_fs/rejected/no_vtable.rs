// SPDX-License-Identifier: GPL-2.0

//! Without `#[vtable]` nobody would know which callbacks there are.
//!
//! error: missing: `USE_VTABLE_ATTR`

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{fs::File, prelude::*};
use shared::proc_fs;

pub struct Data;

impl proc_fs::Operations for Data {
    type Ptr = ();

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
