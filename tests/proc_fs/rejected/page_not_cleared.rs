// SPDX-License-Identifier: GPL-2.0

// A page of the allocator's holds what was there before.
//
// error: found `kernel::page::Page`

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn mmap(&self, _: (), mapping: &mut Mapping<'_>) -> Result {
        mapping.insert(0, &kernel::page::Page::alloc_page(GFP_KERNEL)?)
    }
}
