// SPDX-License-Identifier: GPL-2.0

// It is good on the thread of the call alone.
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

    fn read(&self, _: (), buf: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        send(buf);
        Ok(())
    }
}
