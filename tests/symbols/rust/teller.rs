// SPDX-License-Identifier: GPL-2.0

//! A module in Rust that uses fortune.ko: when it is loaded it stores a fortune, and prints one that it has drawn.

use kernel::{
    prelude::*,
    str::BStr, //
};

module! {
    type: Teller,
    name: "teller_rust",
    authors: ["The fortune.ko authors"],
    description: "Tells a fortune, in Rust",
    license: "GPL",
    imports_ns: ["FORTUNE"],
}

struct Teller;

impl kernel::Module for Teller {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        fortune::store(b"Borrow nothing that you can't return.")?;

        let mut buf = [0; 200];
        let text = fortune::draw(&mut buf);
        match text {
            Ok(text) => pr_info!("{}\n", BStr::from_bytes(text)),
            Err(fortune::TooLong(len)) => pr_info!("a fortune of {len} bytes is too long for me\n"),
        }
        // Any length.
        let length = fortune::draw_with(GFP_KERNEL, |text| text.len())?;
        pr_info!("the next one has {:?} bytes\n", length);
        Ok(Self)
    }
}
