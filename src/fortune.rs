// SPDX-License-Identifier: GPL-2.0

//! A fortune-cookie dispenser: `echo` puts fortunes into `/proc/fortune`, `cat` gets them back one by one.
//!
//! [`pot`] is the pot they are kept in and [`records`] tells one from the next in what is written: pure
//! logic, both. [`dispenser`] is `/proc/fortune` over them, [`control`] is `/proc/driver/fortune`.
//! [`symbols`] is what other modules can use of it. [`compat`] is what differs between kernels, `version` the version that
//! modinfo shows.
//! [`proc_fs`] is how Rust has files in `/proc`; it knows nothing of fortunes and can be used without them.

use kernel::prelude::*;

pub mod compat;
pub mod control;
pub mod dispenser;
pub mod pot;
pub mod proc_fs;
pub mod random;
pub mod records;
pub mod symbols;
mod version;

pub use symbols::{
    count,
    draw,
    draw_with,
    store,
    TooLong,
    MAX, //
};

use control::Control;
use dispenser::{
    Dispenser,
    Fortune, //
};
use proc_fs::{
    Dir,
    Exact,
    File,
    Mode, //
};
use symbols::Offered;

module! {
    type: Module,
    name: "fortune",
    authors: ["The fortune.ko authors"],
    description: "Fortune-cookie dispenser in /proc/fortune",
    license: "GPL",
    params: {
        pot_size: u64 {
            default: 4096,
            description: "Size of the pot in bytes, from 1 to 67108864; a fortune takes its length plus 1",
        },
    },
}

/// The module: what it holds is removed when it is dropped.
pub struct Module {
    // The order is load-bearing: when /proc/fortune goes, files that are still open are closed, and nobody
    // should see in /proc/driver/fortune what that does to unfinished fortunes.
    _control: Control,
    _fortune: File<Fortune>,
    // No other module is a user any more.
    _offered: Offered,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let size = compat::parameter(module_parameters::pot_size.value());
        let dispenser = Dispenser::new(pot_size(size)?)?;
        let mode = Mode::new::<0o644>();
        let _offered = Offered::new(&dispenser)?;
        Ok(Self {
            _offered,
            _control: Control::new(&dispenser)?,
            _fortune: Dir::root().file(c"fortune", mode, Fortune(dispenser))?,
        })
    }
}

/// Checks the parameter `pot_size`.
fn pot_size(size: u64) -> Result<usize> {
    match usize::try_from(size) {
        Ok(size @ 1..=pot::MAX_POT) => Ok(size),
        _ => {
            pr_err!("pot_size={} is not from 1 to {}\n", size, pot::MAX_POT);
            Err(EINVAL)
        }
    }
}
