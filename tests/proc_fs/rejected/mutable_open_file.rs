// SPDX-License-Identifier: GPL-2.0

//! Nor what the open file owns: it is only lent.
//!
//! error: method `read` has an incompatible type for trait

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

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = KBox<u8>;

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(
        &self,
        _state: &mut u8,
        _file: &LocalFile,
        _buf: &mut UserSliceWriter,
        _pos: &mut Offset,
    ) -> Result<usize> {
        Ok(0)
    }
}
