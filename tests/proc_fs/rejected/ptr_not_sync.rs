// SPDX-License-Identifier: GPL-2.0

// Callbacks run at once on one open file too.
//
// error: `Cell<u8>` cannot be shared between threads safely

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = KBox<core::cell::Cell<u8>>;

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
