// SPDX-License-Identifier: GPL-2.0

//! A module that uses of fortune.ko what is compiled into itself, and is a user all the same: it is made of that
//! build.

use kernel::prelude::*;

module! {
    type: Teller,
    name: "teller_constants",
    authors: ["The fortune.ko authors"],
    description: "Tells how long fortunes can be",
    license: "GPL",
    imports_ns: ["FORTUNE"],
}

struct Teller;

impl kernel::Module for Teller {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("a fortune has up to {} bytes\n", fortune::MAX);
        Ok(Self)
    }
}
