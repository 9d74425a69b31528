// SPDX-License-Identifier: GPL-2.0

//! Nothing is wrong here: what the others are made of compiles.
//!
//! error: none

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
    let mode = proc_fs::Mode::new::<0o644>();
    KBox::pin_init(
        proc_fs::File::show(&proc_fs::Dir::root()?, c"name", mode, Data(1)),
        GFP_KERNEL,
    )
}
