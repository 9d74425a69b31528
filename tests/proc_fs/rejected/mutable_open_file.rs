// SPDX-License-Identifier: GPL-2.0

// Nor what the open file owns: it is only lent.
//
// error: method `read` has an incompatible type for trait

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = KBox<u8>;

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(&self, _: &mut u8, _: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        Ok(())
    }
}
