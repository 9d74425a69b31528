// SPDX-License-Identifier: GPL-2.0

//! What is shared. Numbers that are counted up need no model: no lock and no order hangs on them.

use crate::{alloc::Flags, prelude::Result};
use std::ops::Deref;

pub mod atomic {
    //! Atomic numbers.

    use std::sync::atomic::{AtomicU64, Ordering};

    /// Without an order.
    #[derive(Debug)]
    pub struct Relaxed;

    /// A number.
    #[derive(Debug)]
    pub struct Atomic<T> {
        value: AtomicU64,
        of: std::marker::PhantomData<T>,
    }

    impl Atomic<u64> {
        /// Makes one.
        pub fn new(value: u64) -> Self {
            Self {
                value: AtomicU64::new(value),
                of: std::marker::PhantomData,
            }
        }

        /// Adds to it.
        pub fn add(&self, value: u64, _: Relaxed) {
            self.value.fetch_add(value, Ordering::Relaxed);
        }

        /// What it is.
        pub fn load(&self, _: Relaxed) -> u64 {
            self.value.load(Ordering::Relaxed)
        }
    }
}

/// What has many owners.
#[derive(Debug)]
pub struct Arc<T>(std::sync::Arc<T>);

impl<T> Arc<T> {
    /// One of what is there.
    pub fn pin_init(value: T, _flags: Flags) -> Result<Self> {
        Ok(Self(std::sync::Arc::new(value)))
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
