// SPDX-License-Identifier: GPL-2.0

// Callbacks run on several CPUs at once: data that can't be shared is refused.
//
// error: `Cell<u8>` cannot be shared between threads safely

pub struct Data(core::cell::Cell<u8>);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        self.0.set(1);
        Ok(())
    }
}
