// SPDX-License-Identifier: GPL-2.0

// The task that closes a file, or removes its entry, need not be the one that opened it: a lock
// can't be kept.
//
// error: cannot be sent between threads safely

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr =
        KBox<kernel::sync::lock::Guard<'static, u8, kernel::sync::lock::mutex::MutexBackend>>;

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
