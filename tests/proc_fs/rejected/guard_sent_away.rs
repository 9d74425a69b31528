// SPDX-License-Identifier: GPL-2.0

// Whoever has locked a mutex of C unlocks it.
//
// error: cannot be sent between threads safely

fn send(_: impl Send) {}

pub fn send_guard(mutex: &Mutex<u8>) -> Result {
    send(mutex.lock());
    Ok(())
}
