// SPDX-License-Identifier: GPL-2.0

// No other callback has the file.
//
// error: method `read` has 5 parameters but the declaration in trait

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(&self, _: (), _: &LocalFile, _: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        Ok(())
    }
}
