// SPDX-License-Identifier: GPL-2.0

// No callback has its data for itself.
//
// error: method `release` has an incompatible type for trait

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn release(&mut self, _: ()) {}
}
