// SPDX-License-Identifier: GPL-2.0

// Who shares what has a mutex locked shares its data.
//
// error: cannot be shared between threads safely

fn share(_: &impl Sync) {}

pub fn share_guard(mutex: &Mutex<core::cell::Cell<u8>>) {
    share(&mutex.lock());
}
