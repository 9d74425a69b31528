// SPDX-License-Identifier: GPL-2.0

// The same for an iterator.
//
// error: cannot be sent between threads safely

fn send(_: impl Send) {}

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read_iter(&self, _: (), buf: &mut IterWriter<'_>, _: &mut Offset) -> Result {
        send(buf);
        Ok(())
    }
}
