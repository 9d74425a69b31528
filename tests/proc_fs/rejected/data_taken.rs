// SPDX-License-Identifier: GPL-2.0

// Nor can it be taken out while C has it.
//
// error: field `data` of struct

pub struct Data(pub u8);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

pub fn take(file: File<Data>) -> Pin<KVBox<Data>> {
    file.data
}
