// SPDX-License-Identifier: GPL-2.0

// That is lent for the call alone.
//
// error: borrowed data escapes outside of method

fn keep(_: &'static mut UserWriter<'static>) {}

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(&self, _: (), buf: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        keep(buf);
        Ok(())
    }
}
