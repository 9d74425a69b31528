// SPDX-License-Identifier: GPL-2.0

//! What is lent to a callback can't be kept.
//!
//! error: borrowed data escapes outside of method

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{
    fs::File,
    fs::{file::Offset, LocalFile},
    prelude::*,
    uaccess::UserSliceWriter,
};
use shared::proc_fs;

fn keep(_state: &'static u8) {}

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = KBox<u8>;

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(
        &self,
        state: &u8,
        _file: &LocalFile,
        _buf: &mut UserSliceWriter,
        _pos: &mut Offset,
    ) -> Result<usize> {
        keep(state);
        Ok(0)
    }
}
