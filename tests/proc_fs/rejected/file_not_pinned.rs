// SPDX-License-Identifier: GPL-2.0

//! Nor can it be made anywhere but in its place.
//!
//! error: mismatched types

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

pub fn make() -> Result<proc_fs::File<Data>> {
    let mode = proc_fs::Mode::new::<0o644>();
    Ok(proc_fs::File::show(
        &proc_fs::Dir::root()?,
        c"name",
        mode,
        Data(1),
    ))
}
