// SPDX-License-Identifier: GPL-2.0

//! What differs between the APIs of the kernels that this is built for. Each difference has a function that compiles with
//! all of them, and goes with the last kernel that has it the old way.

use core::borrow::Borrow;

/// The value of a parameter of the module, from what `value()` returns: a reference to it in Linux 7.2, itself in 7.3
/// (rust/kernel/module_param.rs).
#[inline]
pub fn parameter<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}
