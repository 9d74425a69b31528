// SPDX-License-Identifier: GPL-2.0

//! `src/dispenser.rs` as it is, with the pot and the records, over what it uses of the kernel crate and of `proc_fs`: as little
//! as that takes, where each lock is one of shuttle's, which tries in which order threads get it. Locks, memory and copies
//! can fail ([`chance`]), and each says if it is used where it must not be ([`held`]).

extern crate self as kernel;

pub mod alloc;
pub mod chance;
pub mod few;
pub mod fs;
pub mod held;
pub mod prelude;
pub mod proc_fs;
pub mod random;
pub mod sync;

// Skipped: they are formatted as the kernel's code.
#[rustfmt::skip]
#[path = "../../src/dispenser.rs"]
pub mod dispenser;
#[rustfmt::skip]
#[path = "../../src/pot.rs"]
pub mod pot;
#[rustfmt::skip]
#[path = "../../src/records.rs"]
pub mod records;

use proc_fs::Exact;

/// The kernel crate's is a key for lockdep.
#[macro_export]
macro_rules! static_lock_class {
    () => {
        ()
    };
}

/// The kernel crate's, for what need not stay where it is made.
#[macro_export]
macro_rules! pin_init {
    (@ $type:ident { $($done:tt)* }) => { $type { $($done)* } };
    (@ $type:ident { $($done:tt)* } $field:ident <- $init:expr, $($rest:tt)*) => {
        $crate::pin_init!(@ $type { $($done)* $field: $init, } $($rest)*)
    };
    (@ $type:ident { $($done:tt)* } $field:ident: $value:expr, $($rest:tt)*) => {
        $crate::pin_init!(@ $type { $($done)* $field: $value, } $($rest)*)
    };
    (@ $type:ident { $($done:tt)* } $field:ident, $($rest:tt)*) => {
        $crate::pin_init!(@ $type { $($done)* $field, } $($rest)*)
    };
    ($type:ident { $($fields:tt)* }) => { $crate::pin_init!(@ $type {} $($fields)*) };
}
