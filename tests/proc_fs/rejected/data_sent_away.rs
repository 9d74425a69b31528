// SPDX-License-Identifier: GPL-2.0

// What can't be sent is dropped where it was made, and so is its file.
//
// error: cannot be sent between threads safely

fn send(_: impl Send) {}

/// Shared by all threads, dropped by one.
pub struct Data(kernel::sync::lock::Guard<'static, u8, kernel::sync::lock::mutex::MutexBackend>);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

pub fn send_file(file: File<Data>) {
    send(file);
}
