// SPDX-License-Identifier: GPL-2.0

//! The task that closes a file, or removes its entry, need not be the one that opened it: a lock
//! can't be kept.
//!
//! error: cannot be sent between threads safely

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{
    fs::File,
    prelude::*,
    sync::lock::{mutex::MutexBackend, Guard},
};
use shared::proc_fs;

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = KBox<Guard<'static, u8, MutexBackend>>;

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
