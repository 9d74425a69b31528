// SPDX-License-Identifier: GPL-2.0

//! The shortest module with a file in `/proc`: see the README.

/// What fortune.ko has it from.
#[path = "../../src"]
pub mod shared {
    pub mod proc_fs;
}

use kernel::{prelude::*, seq_file::SeqFile, seq_print};
use shared::proc_fs;

module! {
    type: Example,
    name: "hello",
    description: "The shortest module with a file in /proc",
    license: "GPL",
}

struct Hello;

impl proc_fs::Show for Hello {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "Hello from the kernel\n");
        Ok(())
    }
}

#[pin_data]
struct Example {
    #[pin]
    hello: proc_fs::File<Hello>,
}

impl kernel::InPlaceModule for Example {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let mode = proc_fs::Mode::new::<0o444>();
        try_pin_init!(Self {
            hello <- proc_fs::File::show(&proc_fs::Dir::root()?, c"hello", mode, Hello),
        })
    }
}
