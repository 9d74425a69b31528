// SPDX-License-Identifier: GPL-2.0

// The owner of a file shares its data with the callbacks.
//
// error: cannot assign to data in a `&` reference

pub struct Data(pub u8);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

pub fn change(file: &mut File<Data>) {
    file.data().0 = 2;
}
