// SPDX-License-Identifier: GPL-2.0

// A read is as long as what was written.
//
// error: no method named `advance` found

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read_iter(&self, _: (), buf: &mut IterWriter<'_>, _: &mut Offset) -> Result {
        buf.advance(100);
        Ok(())
    }
}
