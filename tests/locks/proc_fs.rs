// SPDX-License-Identifier: GPL-2.0

//! `src/proc_fs`, as far as the dispenser uses it.

mod user;

#[rustfmt::skip]
#[path = "../../src/proc_fs/bytes.rs"]
mod bytes;
#[rustfmt::skip]
#[path = "../../src/proc_fs/exact.rs"]
mod exact;

pub use bytes::Bytes;
pub use exact::Exact;
pub use user::{UserReader, UserWriter};

use crate::{
    alloc::KBox,
    chance,
    fs::{file::Offset, LocalFile},
    held::Held,
    prelude::{Result, EINTR},
};
use shuttle::sync;
use std::{
    ffi::CStr,
    ops::{Deref, DerefMut},
    pin::Pin,
};

/// Where what an open file owns is.
pub type FileBox<T> = KBox<T>;

/// What `lseek` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// No `SEEK_END`.
    NoEnd,
}

/// What is owned, and can be borrowed.
pub trait ForeignOwnable {
    /// Borrowed.
    type Borrowed<'a>;
}

impl<T: 'static> ForeignOwnable for Pin<KBox<T>> {
    type Borrowed<'a> = Pin<&'a T>;
}

/// What a file does.
pub trait Operations: Sized + Sync + 'static {
    /// What an open file owns.
    type Ptr: ForeignOwnable + Send + Sync;

    /// What `lseek` does.
    const SEEK: Seek;

    /// It is opened.
    fn open(&self, file: &LocalFile) -> Result<Self::Ptr>;

    /// It is read.
    fn read(
        &self,
        ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        buf: &mut UserWriter<'_>,
        pos: &mut Offset,
    ) -> Result;

    /// It is written.
    fn write(
        &self,
        ptr: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        buf: &mut UserReader<'_>,
        pos: &mut Offset,
    ) -> Result<usize>;

    /// It is closed.
    fn release(&self, ptr: Self::Ptr);
}

/// A mutex.
#[derive(Debug)]
pub struct Mutex<T> {
    name: &'static CStr,
    data: sync::Mutex<T>,
}

impl<T> Mutex<T> {
    /// Makes one.
    pub fn new(data: T, name: &'static CStr, _key: ()) -> Self {
        let data = sync::Mutex::new(data);
        Self { name, data }
    }

    /// Locks it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::new(self.name);
        let data = self.data.lock().expect("who panics ends the execution");
        MutexGuard { data, _held: held }
    }

    /// Locks it, or ends when the task is killed: at once, since nobody sees how long it has waited.
    pub fn lock_killable(&self) -> Result<MutexGuard<'_, T>> {
        let held = Held::new(self.name);
        let data = match self.data.try_lock() {
            Ok(data) => data,
            Err(_) if chance::fails() => return Err(EINTR),
            Err(_) => self.data.lock().expect("who panics ends the execution"),
        };
        Ok(MutexGuard { data, _held: held })
    }

    /// The data of one that nobody else has.
    pub fn data_mut(self: Pin<&mut Self>) -> &mut T
    where
        T: Unpin,
    {
        let data = self.get_mut().data.get_mut();
        data.expect("who panics ends the execution")
    }
}

/// What has a [`Mutex`] locked.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    data: sync::MutexGuard<'a, T>,
    _held: Held,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}
