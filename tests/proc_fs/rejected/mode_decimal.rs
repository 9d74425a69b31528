// SPDX-License-Identifier: GPL-2.0

// 644 in decimal is 01204.
//
// error: is the number meant in octal?

pub const MODE: Mode = Mode::new::<644>();
