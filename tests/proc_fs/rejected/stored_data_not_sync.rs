// SPDX-License-Identifier: GPL-2.0

// The same where something is written.
//
// error: `RefCell<u8>` cannot be shared between threads safely

pub struct Data(core::cell::RefCell<u8>);

impl Store for Data {
    fn store(&self, _: &mut UserReader<'_>) -> Result {
        Ok(())
    }
}
