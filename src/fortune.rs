// SPDX-License-Identifier: GPL-2.0

//! A fortune-cookie dispenser: `echo` puts fortunes into `/proc/fortune`, `cat` gets them back one by one.
//!
//! [`pot`] is the pot they are kept in, pure logic. [`dispenser`] is the file over it. [`proc_fs`] is how
//! Rust has files in `/proc`; it knows nothing of fortunes and can be used without them.

use kernel::prelude::*;

pub mod dispenser;
pub mod pot;
pub mod proc_fs;

use dispenser::Dispenser;

module! {
    type: Fortune,
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
#[pin_data]
pub struct Fortune {
    #[pin]
    dispenser: proc_fs::File<Dispenser>,
}

impl kernel::InPlaceModule for Fortune {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let size = *module_parameters::pot_size.value();
        try_pin_init!(Self {
            dispenser <- proc_fs::File::new(
                &proc_fs::Dir::root()?,
                c"fortune",
                proc_fs::Mode::new::<0o644>(),
                Dispenser::new(pot_size(size)?)?,
            ),
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
