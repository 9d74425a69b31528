// SPDX-License-Identifier: GPL-2.0

// Without `#[vtable]` nobody would know which callbacks there are.
//
// error: missing: `USE_VTABLE_ATTR`

pub struct Data;

impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
