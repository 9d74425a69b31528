// SPDX-License-Identifier: GPL-2.0

//! Which locks a thread has: they are taken in the order that `src/dispenser.rs` says.

use std::{cell::RefCell, ffi::CStr};

/// The locks by their names, in the order in which they are taken. Of those in one line a thread has one.
const ORDER: &[&[&str]] = &[&["drawn", "written"], &["turn"], &["pot"]];

shuttle::thread_local! {
    static HELD: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// That a thread has a lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(&'static str);

impl Held {
    /// The thread is about to wait for it.
    pub(crate) fn new(name: &'static CStr) -> Self {
        let name = name.to_str().expect("it is a name");
        let place = |name: &str| {
            let place = ORDER.iter().position(|names| names.contains(&name));
            place.unwrap_or_else(|| panic!("no place for the lock {name}"))
        };
        HELD.with(|held| {
            let mut held = held.borrow_mut();
            if let Some(last) = held.last() {
                assert!(
                    place(last) < place(name),
                    "{name} is locked by who has {last}"
                );
            }
            held.push(name);
        });
        Self(name)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.with(|held| held.borrow_mut().retain(|&name| name != self.0));
    }
}

/// Panics if a thread that does something has one of some locks.
pub(crate) fn assert_free(what: &str, locks: &[&str]) {
    if std::thread::panicking() {
        return;
    }
    HELD.with(|held| {
        let held = held.borrow();
        let has = held.iter().find(|name| locks.contains(name));
        assert!(has.is_none(), "{what} by who has locked {has:?}");
    });
}
