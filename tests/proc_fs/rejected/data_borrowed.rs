// SPDX-License-Identifier: GPL-2.0

// A file can be forgotten and so outlive every borrow: data that borrows is refused.
//
// error: lifetime bound not satisfied

pub struct Data<'a>(&'a u8);

impl<'a> Show for Data<'a> {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}
