// SPDX-License-Identifier: GPL-2.0

// What is listed is shared too.
//
// error: `*mut u8` cannot be shared between threads safely

pub struct Data(*mut u8);

impl List for Data {
    fn next_at(&self, _: u64) -> Option<u64> {
        None
    }

    fn show(&self, _: u64, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}
