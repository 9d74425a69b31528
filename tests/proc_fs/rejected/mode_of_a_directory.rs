// SPDX-License-Identifier: GPL-2.0

// A file's mode is not a directory's.
//
// error: the trait bound `Options: From<

pub struct Data(pub u8);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

pub fn make() -> Result<File<Data>> {
    let mode = Mode::<Directory>::new::<0o444>();
    Dir::root().show(c"name", mode, Data(1))
}
