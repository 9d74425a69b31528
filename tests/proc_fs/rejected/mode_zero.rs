// SPDX-License-Identifier: GPL-2.0

//! C takes a mode of 0 for 0444.
//!
//! error: a mode of 0 would not be one

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use shared::proc_fs::{self, Mode};

pub const MODE: Mode = proc_fs::Mode::new::<0>();
