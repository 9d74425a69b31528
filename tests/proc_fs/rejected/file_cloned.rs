// SPDX-License-Identifier: GPL-2.0

// One value removes an entry, and only one.
//
// error: no method named `clone` found for struct

pub struct Data(pub u8);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

pub fn copy(file: File<Data>) -> (File<Data>, File<Data>) {
    (file.clone(), file)
}
