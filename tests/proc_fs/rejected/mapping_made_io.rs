// SPDX-License-Identifier: GPL-2.0

// Nor can its flags be changed at will.
//
// error: no method named `set_io` found

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn mmap(&self, _: (), mapping: &mut Mapping<'_>) -> Result {
        mapping.set_io();
        Ok(())
    }
}
