// SPDX-License-Identifier: GPL-2.0

// What is printed to is lent for the call alone.
//
// error: borrowed data escapes outside of method

fn keep(_: &'static mut SeqWriter<'static>) {}

pub struct Data;

impl Show for Data {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        keep(m);
        Ok(())
    }
}
