// SPDX-License-Identifier: GPL-2.0

// Nobody makes or removes what is in a directory of /proc.
//
// error: these permission bits mean nothing here

pub const MODE: Mode<Directory> = Mode::new::<0o755>();
