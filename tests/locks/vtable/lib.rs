// SPDX-License-Identifier: GPL-2.0

//! The attribute `vtable` of the kernel crate. There it counts which functions of a trait are implemented; nobody asks here.

use proc_macro::TokenStream;

/// Leaves it as it is.
#[proc_macro_attribute]
pub fn vtable(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}
