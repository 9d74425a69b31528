// SPDX-License-Identifier: GPL-2.0

// A mutex that is shared gives its data to other threads.
//
// error: cannot be sent between threads safely

fn share(_: impl Sync) {}

pub fn share_mutex(mutex: Mutex<kernel::types::NotThreadSafe>) {
    share(mutex);
}
