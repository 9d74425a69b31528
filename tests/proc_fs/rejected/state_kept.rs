// SPDX-License-Identifier: GPL-2.0

// What is lent to a callback can't be kept.
//
// error: borrowed data escapes outside of method

fn keep(_: &'static u8) {}

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = KBox<u8>;

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(&self, state: &u8, _: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        keep(state);
        Ok(())
    }
}
