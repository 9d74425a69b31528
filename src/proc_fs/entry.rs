// SPDX-License-Identifier: GPL-2.0

//! What is in `/proc`, and who owns it.

use super::{
    bindings,
    operations::{
        Operations,
        VTable, //
    },
    options::Mode, //
};
use core::{
    marker::PhantomPinned,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings::NAME_MAX,
    ffi::c_void,
    prelude::*, //
};

/// A directory of `/proc` that entries can be made in.
#[derive(Clone)]
pub struct Dir(());

impl Dir {
    /// `/proc` itself.
    pub const fn root() -> Self {
        Self(())
    }

    /// Refuses what procfs would answer with a kernel warning or take for something else.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: empty, longer than 255 bytes, `.`, `..`, with a `/`, or, in `/proc` itself, all digits,
    /// as the directories of processes are.
    fn check_name(&self, name: &CStr) -> Result {
        // `to_bytes` would hold a panic for a string without its NUL.
        let Some((_, name)) = name.to_bytes_with_nul().split_last() else {
            return Err(EINVAL);
        };
        // CAST: 255.
        let too_long = name.len() > NAME_MAX as usize;
        let walks = name == b"." || name == b".." || name.iter().any(|&byte| byte == b'/');
        // An empty name is all digits too.
        let digits = name.iter().all(u8::is_ascii_digit);
        if too_long || walks || digits {
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// Something in `/proc` that was made and not yet removed.
///
/// # Invariants
///
/// `raw` was returned by one of the functions of `fs/proc/generic.c` that make an entry, and only the
/// drop of this value removes it.
struct Entry {
    raw: NonNull<bindings::proc_dir_entry>,
}

// SAFETY: `proc_remove` may be called on any thread.
unsafe impl Send for Entry {}
// SAFETY: There is nothing that can be done through `&Entry`.
unsafe impl Sync for Entry {}

impl Entry {
    /// Makes a regular file whose callbacks are those of `T`.
    ///
    /// # Errors
    ///
    /// - Those of [`Dir::check_name`].
    /// - [`ENOMEM`]: no memory; also where somebody else has made an entry of this name, after a warning
    ///   in the kernel log. procfs tells no difference.
    ///
    /// # Safety
    ///
    /// `data` must point to a `T` which can be used by shared reference, on any thread, until the
    /// entry has been dropped.
    unsafe fn file<T: Operations>(
        dir: &Dir,
        name: &CStr,
        mode: Mode,
        data: *const T,
    ) -> Result<Self> {
        dir.check_name(name)?;
        // SAFETY:
        // - `name` is a C string, which `__proc_create` copies.
        // - A null parent is `/proc`.
        // - `VTable::<T>::PROC_OPS` is `'static`, and its functions expect a pointer to a `T` that
        //   stays valid until the entry is removed, which the caller guarantees. C never writes
        //   through it.
        let raw = unsafe {
            bindings::proc_create_data(
                name.as_char_ptr(),
                mode.as_raw(),
                ptr::null_mut(),
                VTable::<T>::PROC_OPS,
                data.cast_mut().cast::<c_void>(),
            )
        };
        // INVARIANT: The entry was just made, and nobody else knows of it.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the entry exists and nobody else removes it. `proc_remove` gives up
        // the reference that its maker had, and the pointer is not used after that.
        unsafe { bindings::proc_remove(self.raw.as_ptr()) };
    }
}

/// A regular file in `/proc`, and the data of its callbacks.
///
/// It is there from initialisation until drop. The drop waits for callbacks in flight, releases the
/// files that are still open, and then drops the data; never drop it from one of its own callbacks.
/// See the [module](super) for what goes on meanwhile.
///
/// # Examples
///
/// ```
/// #[pin_data]
/// struct Hello {
///     #[pin]
///     file: proc_fs::File<Greeting>,
/// }
///
/// impl kernel::InPlaceModule for Hello {
///     fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
///         try_pin_init!(Self {
///             file <- proc_fs::File::new(
///                 &proc_fs::Dir::root(),
///                 c"hello",
///                 proc_fs::Mode::new::<0o444>(),
///                 Greeting { text: b"Hello from the kernel\n" },
///             ),
///         })
///     }
/// }
/// ```
#[pin_data]
pub struct File<T> {
    // The order is load-bearing: fields are dropped from first to last, and the data may go only after
    // `proc_remove` has returned.
    entry: Entry,
    #[pin]
    data: T,
    // Callbacks hold `&T` while the owner of the `File` has `Pin<&mut Self>`.
    #[pin]
    _pin: PhantomPinned,
}

impl<T: Operations> File<T> {
    /// Makes the file `name` in `dir`, with `data` for its callbacks.
    ///
    /// User space can use the file before this returns: make it last, when all that its callbacks need
    /// is there.
    ///
    /// # Errors
    ///
    /// - Those of the initialiser `data`.
    /// - [`EINVAL`]: `name` is empty, longer than 255 bytes, `.`, `..`, has a `/` or, in `/proc` itself, is
    ///   all digits.
    /// - [`ENOMEM`]: no memory; also where somebody else has made an entry of this name.
    ///
    /// Nothing is left behind then.
    pub fn new<'a, E>(
        dir: &'a Dir,
        name: &'a CStr,
        mode: Mode,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        E: 'a,
        Error: From<E>,
    {
        try_pin_init!(&this in Self {
            data <- data,
            _pin: PhantomPinned,
            entry: {
                // SAFETY: `this` is the place that is being initialised, so this is the address of a field in it.
                let data = unsafe { &raw const (*this.as_ptr()).data };
                // SAFETY:
                // - `data` was initialised above and is pinned, so it stays where it is until it is dropped. That
                //   is after `entry`, by the order of the fields; in an initialisation that fails later, too,
                //   since the whole `File` is dropped then.
                // - `T` is `Sync`, and no `&mut T` is made as long as `entry` is there.
                unsafe { Entry::file::<T>(dir, name, mode, data) }?
            },
        })
    }

    /// The data that the callbacks use.
    pub fn data(&self) -> &T {
        &self.data
    }
}
