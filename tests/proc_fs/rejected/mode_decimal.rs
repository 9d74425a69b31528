// SPDX-License-Identifier: GPL-2.0

//! 644 in decimal is 01204.
//!
//! error: is the number meant in octal?

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use shared::proc_fs::{self, Mode};

pub const MODE: Mode = proc_fs::Mode::new::<644>();
