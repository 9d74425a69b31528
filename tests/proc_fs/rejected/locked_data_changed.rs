// SPDX-License-Identifier: GPL-2.0

// Who has a mutex alone gets at its data without locking it, but not while it is locked.
//
// error: cannot borrow `mutex` as mutable because it is also borrowed as immutable

pub fn change(mut mutex: core::pin::Pin<&mut Mutex<u8>>) -> u8 {
    let guard = mutex.lock();
    *mutex.as_mut().data_mut() = 1;
    *guard
}
