// SPDX-License-Identifier: GPL-2.0

// Nor is memory mapped that Rust owns, where user space would write what it likes.
//
// error: mismatched types

pub struct Data {
    functions: kernel::sync::Mutex<VVec<fn() -> u64>>,
}

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result {
        Ok(())
    }

    fn mmap(&self, _: (), mapping: &mut Mapping<'_>) -> Result {
        use kernel::page::AsPageIter;

        for page in self.functions.lock().page_iter() {
            mapping.insert(0, &page)?;
        }
        Ok(())
    }
}
