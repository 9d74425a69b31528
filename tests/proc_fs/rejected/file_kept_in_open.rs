// SPDX-License-Identifier: GPL-2.0

// A file that is being opened stays on its thread, where nobody calls on it.
//
// error: cannot be shared between threads safely

pub struct Data {
    kept: kernel::sync::Mutex<Option<kernel::sync::aref::ARef<LocalFile>>>,
}

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, file: &LocalFile) -> Result {
        *self.kept.lock() = Some(file.into());
        Ok(())
    }
}
