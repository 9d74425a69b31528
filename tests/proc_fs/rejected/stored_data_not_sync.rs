// SPDX-License-Identifier: GPL-2.0

//! The same where something is written.
//!
//! error: `RefCell<u8>` cannot be shared between threads safely

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use core::cell::RefCell;
use kernel::{prelude::*, uaccess::UserSliceReader};
use shared::proc_fs;

pub struct Data(RefCell<u8>);

impl proc_fs::Store for Data {
    fn store(&self, _buf: &mut UserSliceReader) -> Result {
        Ok(())
    }
}
