// SPDX-License-Identifier: GPL-2.0

// Only a call of user space brings a place to write to.
//
// error: with struct literal syntax due to private fields

pub fn write_anywhere() -> Result {
    let mut writer = UserWriter {
        to: 0xffff_8880_0000_0000 as *mut _,
    };
    writer.write(b"x").map(drop)
}
