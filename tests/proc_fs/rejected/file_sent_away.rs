// SPDX-License-Identifier: GPL-2.0

//! In a read the file may be inside `fdget_pos`, without its lock: it stays on its thread.
//!
//! error: cannot be shared between threads safely

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

fn send(_: impl Send) {}

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = ();

    fn open(&self, _file: &File) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(
        &self,
        _: (),
        file: &LocalFile,
        _buf: &mut UserSliceWriter,
        _pos: &mut Offset,
    ) -> Result<usize> {
        send(file);
        Ok(0)
    }
}
