// SPDX-License-Identifier: GPL-2.0

// procfs would not call both.
//
// error: implement read or read_iter

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }

    fn read(&self, _: (), _: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        Ok(())
    }

    fn read_iter(&self, _: (), _: &mut IterWriter<'_>, _: &mut Offset) -> Result {
        Ok(())
    }
}

pub fn make() -> Result<File<Data>> {
    let mode = Mode::new::<0o644>();
    Dir::root().file(c"name", mode, Data)
}
