// SPDX-License-Identifier: GPL-2.0

// It can't be said to be longer.
//
// error: method `read` has an incompatible type for trait

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(&self, _: (), _: &mut UserWriter<'_>, _: &mut Offset) -> Result<usize> {
        Ok(100)
    }
}
