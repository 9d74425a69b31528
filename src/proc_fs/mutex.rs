// SPDX-License-Identifier: GPL-2.0

//! A mutex whose waiters can be killed, which the kernel crate lacks.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h), C source:
//! [`kernel/locking/mutex.c`](srctree/kernel/locking/mutex.c).

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    pin::Pin, //
};
use kernel::{
    bindings,
    ffi::c_char,
    prelude::*,
    str::CStr,
    sync::{
        lock::{
            mutex::MutexBackend,
            Backend,
            Guard,
            Lock, //
        },
        LockClassKey, //
    }, //
};

/// What the kernel crate's [`Mutex`](kernel::sync::Mutex) is, and [`Mutex::lock_killable`] and
/// [`Mutex::data_mut`] besides.
///
/// # Examples
///
/// ```
/// let mut bytes = self.bytes.lock_killable()?;
/// ```
#[pin_data]
pub struct Mutex<T> {
    #[pin]
    lock: Lock<(), Killable>,
    data: UnsafeCell<T>,
}

// SAFETY: Of those who share it, only the one who has it locked gets at the data: as if it were
// sent from one to the next.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Makes one, not locked; `key` is [`static_lock_class!`](kernel::static_lock_class).
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- Lock::new((), name, key),
            data: UnsafeCell::new(data),
        })
    }

    /// Locks it, however long that takes: for what nobody has locked for long.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            _locked: self.lock.lock(),
            mutex: self,
            _data: PhantomData,
        }
    }

    /// Locks it, or ends when the task is killed: for what is locked while bytes are copied to or
    /// from user space, where a page fault can take for ever.
    ///
    /// # Errors
    ///
    /// [`EINTR`]: the task was killed while it waited. One that need not wait is not asked.
    #[inline]
    pub fn lock_killable(&self) -> Result<MutexGuard<'_, T>> {
        Ok(MutexGuard {
            _locked: self.lock.try_lock().ok_or(EINTR)?,
            mutex: self,
            _data: PhantomData,
        })
    }

    /// The data, without locking it: nobody else has the mutex. So it is in
    /// [`Operations::release`](super::Operations::release) with what the open file owns.
    #[inline]
    pub fn data_mut(self: Pin<&mut Self>) -> &mut T {
        self.project().data.get_mut()
    }
}

/// What has a [`Mutex`] locked, until it is dropped.
///
/// # Invariants
///
/// `_locked` has locked the lock of `mutex`.
#[must_use = "the mutex is unlocked at once when this is not used"]
pub struct MutexGuard<'a, T> {
    _locked: Guard<'a, (), Killable>,
    mutex: &'a Mutex<T>,
    /// It is shared and sent as the data can be.
    _data: PhantomData<&'a mut T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant nobody else gets at it as long as this is there.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above.
        unsafe { &mut *self.mutex.data.get() }
    }
}

/// C's `struct mutex`, where [`Backend::try_lock`] waits until the task is killed.
struct Killable;

// SAFETY: All but `try_lock` is the `MutexBackend`'s. `mutex_lock_killable` returns 0 when the task
// owns the mutex, as after `mutex_lock`: both are `__mutex_lock` of a task in another state.
unsafe impl Backend for Killable {
    type State = <MutexBackend as Backend>::State;
    type GuardState = <MutexBackend as Backend>::GuardState;

    #[inline]
    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: Our preconditions are the same.
        unsafe { MutexBackend::init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: As above.
        unsafe { MutexBackend::lock(ptr) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: The mutex is there and initialised, by our precondition, and stays until this
        // returns, since the `Lock` is borrowed. It does not when a task is killed that waits:
        // `__mutex_lock_common` takes its waiter, which is on the stack, from the list first.
        #[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
        let error = unsafe { bindings::mutex_lock_killable(ptr) };
        // SAFETY: As above. A macro of C; 0 is its class of nesting, and there is no other lock.
        #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
        let error = unsafe { bindings::_mutex_lock_killable(ptr, 0, core::ptr::null_mut()) };
        (error == 0).then_some(())
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, state: &Self::GuardState) {
        // SAFETY: Our precondition is the same, and whoever owns it owns a C mutex.
        unsafe { MutexBackend::unlock(ptr, state) }
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // Else it is a call of a function that does nothing, for each lock.
        if cfg!(CONFIG_LOCKDEP) {
            // SAFETY: As in `init`.
            unsafe { MutexBackend::assert_is_held(ptr) }
        }
    }
}
