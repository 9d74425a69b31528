// SPDX-License-Identifier: GPL-2.0

// The task's mappings are locked while one is made: there is no way from it to the others.
//
// error: no method named `mm` found

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn mmap(&self, _: (), mapping: &mut Mapping<'_>) -> Result {
        drop(mapping.mm().mmap_read_lock());
        Ok(())
    }
}
