// SPDX-License-Identifier: GPL-2.0

//! The shortest module with a file in `/proc`.

pub mod proc_fs;

use kernel::prelude::*;
use proc_fs::{Dir, File, Mode, SeqWriter, Show};

module! {
    type: Module,
    name: "hello",
    description: "The shortest module with a file in /proc",
    license: "GPL",
}

struct Greeting;

impl Show for Greeting {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        writeln!(m, "Hello from the kernel")
    }
}

struct Module {
    _file: File<Greeting>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let _file = Dir::root().show(c"hello", Mode::new::<0o444>(), Greeting)?;
        Ok(Self { _file })
    }
}
