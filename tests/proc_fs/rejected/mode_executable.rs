// SPDX-License-Identifier: GPL-2.0

//! Nothing in /proc can be executed.
//!
//! error: these permission bits mean nothing here

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use shared::proc_fs::{self, Mode};

pub const MODE: Mode = proc_fs::Mode::new::<0o755>();
