// SPDX-License-Identifier: GPL-2.0

//! `src/random.rs`.

use crate::chance;

/// A number less than `n`.
pub fn below(n: u32) -> u32 {
    chance::below(n)
}
