// SPDX-License-Identifier: GPL-2.0

//! A module with a file in `/proc`, to begin with.

use kernel::{prelude::*, seq_file::SeqFile, seq_print};

pub mod proc_fs;

module! {
    type: Module,
    name: "NAME",
    description: "A module with a file in /proc",
    license: "GPL",
}

/// What `/proc/NAME` says.
struct Greeting;

impl proc_fs::Show for Greeting {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "Hello from NAME\n");
        Ok(())
    }
}

/// What the module holds: it goes when this is dropped.
#[pin_data]
struct Module {
    #[pin]
    greeting: proc_fs::File<Greeting>,
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = proc_fs::Mode::new::<0o444>();
        try_pin_init!(Self {
            greeting <- proc_fs::File::show(&proc_fs::Dir::root()?, c"NAME", mode, Greeting),
        })
    }
}
