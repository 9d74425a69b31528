// SPDX-License-Identifier: GPL-2.0

//! The files that are compiled into fortune.ko and know nothing of the kernel.

// Skipped: they are formatted as the kernel's code.
#[rustfmt::skip]
#[path = "../../src/proc_fs/exact.rs"]
pub mod exact;
#[rustfmt::skip]
#[path = "../../src/pot.rs"]
pub mod pot;
#[rustfmt::skip]
#[path = "../../src/records.rs"]
pub mod records;

use exact::Exact;
