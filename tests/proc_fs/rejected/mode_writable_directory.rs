// SPDX-License-Identifier: GPL-2.0

//! Nobody makes or removes what is in a directory of /proc.
//!
//! error: these permission bits mean nothing here

#[path = "../../../src"]
pub mod shared {
    pub mod proc_fs;
}

use shared::proc_fs::{self, Directory, Mode};

pub const MODE: Mode<Directory> = proc_fs::Mode::new::<0o755>();
