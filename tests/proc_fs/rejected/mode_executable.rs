// SPDX-License-Identifier: GPL-2.0

// Nothing in /proc can be executed.
//
// error: these permission bits mean nothing here

pub const MODE: Mode = Mode::new::<0o755>();
