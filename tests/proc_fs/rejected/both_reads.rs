// SPDX-License-Identifier: GPL-2.0

//! procfs would not call both.
//!
//! error: implement read or read_iter

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{
    fs::{file::Offset, File, Kiocb, LocalFile},
    iov::IovIterDest,
    prelude::*,
    uaccess::UserSliceWriter,
};
use shared::proc_fs;

pub struct Data;

#[vtable]
impl proc_fs::Operations for Data {
    type Ptr = ();

    fn open(&self, _file: &File) -> Result {
        Ok(())
    }

    fn read(&self, _: (), _: &LocalFile, _: &mut UserSliceWriter, _: &mut Offset) -> Result<usize> {
        Ok(0)
    }

    fn read_iter(&self, _: Kiocb<'_, ()>, _: &mut IovIterDest<'_>) -> Result<usize> {
        Ok(0)
    }
}

pub fn make() -> Result<Pin<KBox<proc_fs::File<Data>>>> {
    let mode = proc_fs::Mode::new::<0o644>();
    KBox::pin_init(
        proc_fs::File::new(&proc_fs::Dir::root()?, c"name", mode, Data),
        GFP_KERNEL,
    )
}
