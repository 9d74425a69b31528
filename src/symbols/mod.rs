// SPDX-License-Identifier: GPL-2.0

//! What fortune.ko offers to other modules of the kernel: drawing, storing and counting fortunes.
//!
//! Modules in Rust have this crate by `--extern` and call [`draw`], [`draw_with`], [`store`] and [`count`]; those in
//! C have `fortune.h`, and the functions at the end of this file. `use.mk` is what the Kbuild of either includes.
//! `exports.c` hands out the symbols: the three of C, and what `nm` finds of this module, which is never listed by
//! hand.
//!
//! # Why this is sound
//!
//! The dispenser is [`Module`](super::Module)'s, and other modules can't have a reference to that. So there is a
//! handle to it in a static, under a lock, from [`Offered::new`] until that is dropped.
//!
//! **Nobody calls before.** The lock is made in `init`, and nobody asks whether it was. A symbol is found by
//! `resolve_symbol` when a module is loaded that uses it, or by `__symbol_get`, and both end in
//! `strong_try_module_get` (`kernel/module/main.c`), which does not hand out anything as long as `init` has not
//! returned 0:
//!
//! ```c
//! if (mod && mod->state == MODULE_STATE_COMING)
//!         return -EBUSY;
//! if (try_module_get(mod))
//!         return 0;
//! ```
//!
//! `do_init_module` sets MODULE_STATE_LIVE only after `do_one_initcall(mod->init)`. Who loads a module meanwhile
//! waits (`resolve_symbol_wait`).
//!
//! **Nobody calls after.** By `try_module_get` each of them holds a reference (`ref_module`), which
//! `module_unload_free` drops when the user's own memory is about to be freed. `delete_module` refuses before it
//! calls `exit`, and so before anything of `Module` is dropped, even when it is told to force it:
//!
//! ```c
//! if (!list_empty(&mod->source_list)) {
//!         /* Other modules depend on us: get rid of them first. */
//!         ret = -EWOULDBLOCK;
//! ```
//!
//! From there on the module is GOING, for which `try_module_get` fails.
//!
//! A module that uses nothing but constants, or code that is compiled into itself, has no symbol of ours, and would
//! not be a user. `use.mk` gives each a reference to a symbol that is named after the build, so that it is one, and
//! that one which was built against another build is not loaded.
//!
//! Lock order: `OFFERED`, then `Dispenser::pot`. Nothing is allocated or stored under it.

use super::{
    dispenser::Dispenser,
    pot::{
        Lot,
        MAX_FORTUNE, //
    }, //
};
use core::{
    ptr,
    slice, //
};
use kernel::{
    alloc::Flags,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::{
        global_lock,
        Arc,
        SetOnce, //
    }, //
};

/// What the functions here use.
struct Offer {
    dispenser: Arc<Dispenser>,
    /// What was chosen by lot for a module that had too little room for it: it is drawn next, or short fortunes would
    /// be drawn more often.
    lot: Lot,
}

global_lock! {
    // SAFETY: `Offered::new` initialises it, in `init` of the module, and nobody calls before: see above.
    unsafe(uninit) static OFFERED: Mutex<Option<Offer>> = None;
}

/// The functions here work as long as this is there.
pub struct Offered(());

impl Offered {
    /// Lets other modules use a dispenser.
    ///
    /// # Errors
    ///
    /// [`EBUSY`]: that was done before.
    pub fn new(dispenser: &Arc<Dispenser>) -> Result<Self> {
        static DONE: SetOnce<()> = SetOnce::new();
        if !DONE.populate(()) {
            return Err(EBUSY);
        }
        // SAFETY: Once, by `populate`.
        unsafe { OFFERED.init() };
        *OFFERED.lock() = Some(Offer {
            dispenser: dispenser.clone(),
            lot: Lot::default(),
        });
        Ok(Self(()))
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let offer = OFFERED.lock().take();
        // Without the lock.
        drop(offer);
    }
}

/// The dispenser.
///
/// # Errors
///
/// [`ENODEV`]: there is none, which no other module can see.
fn dispenser() -> Result<Arc<Dispenser>> {
    let offered = OFFERED.lock();
    Ok(offered.as_ref().ok_or(ENODEV)?.dispenser.clone())
}

/// What a fortune is too long for: it has so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

/// Draws the next fortune into `buf`, as `fortune_draw` of `fortune.h` does, and returns it: no bytes if the pot is
/// empty, for no fortune is.
///
/// May sleep.
///
/// # Errors
///
/// [`TooLong`]: there is too little room. Nothing was drawn, `buf` and the pot are as they were.
///
/// # Examples
///
/// ```
/// let text = fortune::draw(&mut buf);
/// ```
#[inline(never)]
pub fn draw(buf: &mut [u8]) -> Result<&[u8], TooLong> {
    // SAFETY: A slice is valid for writing its length, and bytes of the pot are initialised.
    let len = unsafe { draw_to(buf.as_mut_ptr(), buf.len()) };
    buf.get(..len).ok_or(TooLong(len))
}

/// Draws the next fortune, however long it is, for `f`, which is not called if the pot is empty. Memory is allocated
/// for it with `flags`.
///
/// May sleep.
///
/// # Errors
///
/// [`ENOMEM`]: no memory. Nothing was drawn.
///
/// # Examples
///
/// ```
/// let length = fortune::draw_with(GFP_KERNEL, |text| text.len())?;
/// ```
pub fn draw_with<R>(flags: Flags, f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
    let mut buf = KVVec::new();
    loop {
        match draw(&mut buf) {
            Ok([]) => return Ok(None),
            Ok(text) => return Ok(Some(f(text))),
            // Somebody else can have drawn that one meanwhile.
            Err(TooLong(len)) => buf.resize(len, 0, flags)?,
        }
    }
}

/// Stores a fortune, as `fortune_store` of `fortune.h` does.
///
/// May sleep, and allocate with [`GFP_KERNEL`].
///
/// # Errors
///
/// Nothing was stored, and nothing has left:
///
/// - [`ENOSPC`]: there is no room for it, now or ever.
/// - [`ENOMEM`]: there is no memory for the index.
/// - [`EINTR`]: the task was killed while it waited for somebody else who stores.
///
/// # Examples
///
/// ```
/// fortune::store(b"Borrow nothing that you can't return.")?;
/// ```
#[inline(never)]
pub fn store(text: &[u8]) -> Result {
    dispenser()?.store_text(text)
}

/// How many fortunes are in the pot.
///
/// May sleep.
#[inline(never)]
pub fn count() -> u64 {
    dispenser().map_or(0, |dispenser| {
        dispenser.with_pot(|pot| pot.stats().fortunes)
    })
}

/// The longest fortune, in bytes: a buffer of so many is long enough.
pub const MAX: usize = MAX_FORTUNE;

/// Draws the next fortune if it is no longer than `room`, and returns its length.
///
/// # Safety
///
/// `to` is valid for writing `room` bytes, if that is not 0.
unsafe fn draw_to(to: *mut u8, room: usize) -> usize {
    let mut offered = OFFERED.lock();
    let Some(offer) = &mut *offered else {
        return 0;
    };
    offer.dispenser.draw(&mut offer.lot, room, |head, tail| {
        // SAFETY: Both together are no longer than `room`, which is not 0 then. What the caller has for itself is no
        // part of the pot.
        unsafe { ptr::copy_nonoverlapping(head.as_ptr(), to, head.len()) };
        let to = to.wrapping_add(head.len());
        // SAFETY: As above.
        unsafe { ptr::copy_nonoverlapping(tail.as_ptr(), to, tail.len()) };
    })
}

/// See `fortune.h`.
///
/// # Safety
///
/// As it says there: `buf` is NULL, or valid for writing `size` bytes, and the caller's alone.
#[no_mangle]
pub unsafe extern "C" fn fortune_draw(buf: *mut c_void, size: usize) -> usize {
    let room = if buf.is_null() { 0 } else { size };
    // SAFETY: By our precondition.
    unsafe { draw_to(buf.cast(), room) }
}

/// See `fortune.h`.
///
/// # Safety
///
/// As it says there: `text` is valid for reading `len` bytes, which nobody changes, or `len` is 0.
#[no_mangle]
pub unsafe extern "C" fn fortune_store(text: *const c_void, len: usize) -> c_int {
    let text = if len == 0 {
        &[]
    } else {
        // So much is refused unread, and no slice is longer.
        let len = len.min(isize::MAX.unsigned_abs());
        // SAFETY: By our precondition.
        unsafe { slice::from_raw_parts(text.cast(), len) }
    };
    match store(text) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// See `fortune.h`.
#[no_mangle]
pub extern "C" fn fortune_count() -> c_ulong {
    // CAST: There are at most MAX_POT / 2.
    count() as c_ulong
}

// The prototypes of fortune.h, as bindgen reads them, are the functions here, or this does not compile.
const _: [unsafe extern "C" fn(*mut c_void, usize) -> usize; 2] =
    [fortune_draw, prototypes::fortune_draw];
const _: [unsafe extern "C" fn(*const c_void, usize) -> c_int; 2] =
    [fortune_store, prototypes::fortune_store];
const _: [unsafe extern "C" fn() -> c_ulong; 2] = [fortune_count, prototypes::fortune_count];

#[allow(dead_code, missing_docs, unreachable_pub)]
mod prototypes {
    use kernel::ffi;

    include!(concat!(
        env!("PROC_FS_GENERATED"),
        "/../symbols/prototypes_generated.rs" //
    ));
}
