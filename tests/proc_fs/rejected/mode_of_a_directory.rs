// SPDX-License-Identifier: GPL-2.0

//! A file's mode is not a directory's.
//!
//! error: the trait bound `Options: From<Mode<Directory>>` is not satisfied

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{prelude::*, seq_file::SeqFile};
use shared::proc_fs;

pub struct Data(pub u8);

impl proc_fs::Show for Data {
    fn show(&self, _m: &SeqFile) -> Result {
        Ok(())
    }
}

pub fn make() -> Result<Pin<KBox<proc_fs::File<Data>>>> {
    let mode = proc_fs::Mode::<proc_fs::Directory>::new::<0o444>();
    KBox::pin_init(
        proc_fs::File::show(&proc_fs::Dir::root()?, c"name", mode, Data(1)),
        GFP_KERNEL,
    )
}
