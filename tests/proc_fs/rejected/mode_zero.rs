// SPDX-License-Identifier: GPL-2.0

// C takes a mode of 0 for 0444.
//
// error: a mode of 0 would not be one

pub const MODE: Mode = Mode::new::<0>();
