// SPDX-License-Identifier: GPL-2.0

//! What is in `/proc`, and who owns it.

use super::{
    bindings,
    operations::{
        self,
        Operations, //
    },
    options::{
        Directory,
        Kind,
        Options, //
    },
    seq::{
        self,
        SeqOperations, //
    },
    show::{
        self,
        Show,
        Store, //
    }, //
};
use core::{
    marker::PhantomPinned,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings::{
        NAME_MAX,
        PATH_MAX, //
    },
    ffi::{
        c_char,
        c_void, //
    },
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// A directory of `/proc` that entries can be made in: `/proc` itself, one of the kernel's own directories in
/// it, or one of ours.
///
/// A clone is the same directory. One of ours is removed when the last handle to it has been dropped and all
/// that was made in it is gone: what is in it keeps it alive.
///
/// The names of what is in it are remembered, so that the same name twice is an error and not a warning of
/// the kernel. Each call of [`Dir::root`] and its like begins such a list anew.
///
/// # Examples
///
/// ```
/// let dir = Dir::root()?.subdir(c"proc_fs_test", Mode::new::<0o555>())?;
/// let driver = Dir::driver()?.subdir(c"proc_fs_test", Mode::new::<0o555>())?;
/// ```
#[derive(Clone)]
pub struct Dir(Arc<Node>);

/// What the handles of a directory share.
#[pin_data]
struct Node {
    place: Place,
    /// The names of what is in it and was made by us.
    #[pin]
    names: Mutex<RBTree<Name, ()>>,
}

/// The name of an entry: C's string, and zeroes up to the size that all names have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name([u8; NAME_MAX as usize + 1]);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: procfs would answer with a kernel warning, or take it for something else: empty, longer
    /// than 255 bytes, `.`, `..`, or with a `/`.
    fn new(name: &CStr) -> Result<Self> {
        let bytes = name.to_bytes_with_nul();
        if matches!(bytes, b"\0" | b".\0" | b"..\0") || bytes.iter().any(|&byte| byte == b'/') {
            return Err(EINVAL);
        }
        let mut this = Self([0; NAME_MAX as usize + 1]);
        let place = this.0.get_mut(..bytes.len()).ok_or(EINVAL)?;
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(this)
    }

    /// Whether it would be a process's in `/proc` itself.
    fn is_number(&self) -> bool {
        let mut bytes = self.0.iter().take_while(|&&byte| byte != 0);
        bytes.all(u8::is_ascii_digit)
    }
}

/// Where a directory is.
enum Place {
    /// A directory of the kernel's: what comes before a name in it, such as `driver/`; nothing for `/proc`
    /// itself.
    Kernels(&'static [u8]),
    /// One of ours.
    Ours(Entry),
}

impl Dir {
    /// `/proc` itself.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: no memory for the handle.
    #[inline]
    pub fn root() -> Result<Self> {
        Self::new(Place::Kernels(b""))
    }

    /// `/proc/bus`.
    ///
    /// # Errors
    ///
    /// As for [`Dir::root`].
    #[inline]
    pub fn bus() -> Result<Self> {
        Self::new(Place::Kernels(b"bus/"))
    }

    /// `/proc/driver`.
    ///
    /// # Errors
    ///
    /// As for [`Dir::root`].
    #[inline]
    pub fn driver() -> Result<Self> {
        Self::new(Place::Kernels(b"driver/"))
    }

    /// `/proc/fs`.
    ///
    /// # Errors
    ///
    /// As for [`Dir::root`].
    #[inline]
    pub fn fs() -> Result<Self> {
        Self::new(Place::Kernels(b"fs/"))
    }

    /// Makes the directory `name` in this one.
    ///
    /// # Errors
    ///
    /// See [`File::new`], but for the initialiser.
    ///
    /// # Examples
    ///
    /// A directory in a directory, with an owner of its own. The handle of the first one need not be kept.
    ///
    /// ```
    /// let options = Options::new(Mode::new::<0o500>()).owner(1000, 100);
    /// let a = dir.subdir(c"a", Mode::new::<0o555>())?;
    /// let b = a.subdir(c"b", options)?;
    /// ```
    pub fn subdir(&self, name: &CStr, options: impl Into<Options<Directory>>) -> Result<Self> {
        let options = options.into();
        options.check()?;
        let entry = Entry::new(self, name, |name, parent| {
            // SAFETY:
            // - `name` is a C string, which is copied, and `parent` null or a directory that `self` keeps.
            // - A directory has no data that anybody reads.
            unsafe {
                bindings::proc_mkdir_data(name, options.mode.into_raw(), parent, ptr::null_mut())
            }
        })?;
        entry.set(options);
        Self::new(Place::Ours(entry))
    }

    fn new(place: Place) -> Result<Self> {
        let node = Arc::pin_init(
            pin_init!(Node {
                place,
                names <- new_mutex!(RBTree::new()),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self(node))
    }

    /// Claims `name` for an entry that is about to be made.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: it can't be the name of an entry here.
    /// - [`EEXIST`]: it was claimed before.
    /// - [`ENOMEM`]: no memory.
    fn claim(&self, name: &CStr) -> Result<Claim> {
        let name = Name::new(name)?;
        if self.is_root() && name.is_number() {
            return Err(EINVAL);
        }
        let ours = KBox::new(name, GFP_KERNEL)?;
        let mut names = self.0.names.lock();
        if names.get(&name).is_some() {
            return Err(EEXIST);
        }
        names.try_create_and_insert(name, (), GFP_KERNEL)?;
        drop(names);
        Ok(Claim {
            dir: self.clone(),
            name: ours,
        })
    }

    fn is_root(&self) -> bool {
        matches!(self.0.place, Place::Kernels(b""))
    }
}

/// A name in a directory, which is taken until this is dropped; keeps the directory.
struct Claim {
    dir: Dir,
    name: KBox<Name>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.dir.0.names.lock().remove(&self.name);
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
    // Dropped after the entry has been removed: first the name is free again, then the directory may go.
    _claim: Claim,
}

// SAFETY: `proc_remove` may be called on any thread, and `Claim` can be sent.
unsafe impl Send for Entry {}
// SAFETY: All that can be done through `&Entry` is to read a pointer which does not change.
unsafe impl Sync for Entry {}

impl Entry {
    /// Makes an entry with `make`, which gets the name and the parent for C: for one of the kernel's
    /// directories that is a path, and null.
    ///
    /// # Errors
    ///
    /// - Those of [`Dir::claim`].
    /// - [`ENOMEM`]: no memory; also where somebody else has made an entry of this name, after a warning in
    ///   the kernel log. procfs tells no difference.
    fn new(
        dir: &Dir,
        name: &CStr,
        make: impl FnOnce(*const c_char, *mut bindings::proc_dir_entry) -> *mut bindings::proc_dir_entry,
    ) -> Result<Self> {
        let claim = dir.claim(name)?;
        let raw = match &dir.0.place {
            Place::Ours(parent) => make(name.as_char_ptr(), parent.raw.as_ptr()),
            Place::Kernels(before) => {
                // The longest of them and the longest name, with its NUL.
                let mut path = [0; b"driver/".len() + NAME_MAX as usize + 1];
                let bytes = Iterator::chain(before.iter(), name.to_bytes_with_nul());
                for (to, from) in path.iter_mut().zip(bytes) {
                    *to = *from;
                }
                make(path.as_ptr(), ptr::null_mut())
            }
        };
        // INVARIANT: The entry was just made, and nobody else knows of it.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            _claim: claim,
        })
    }

    /// Gives the entry its owner and its size.
    fn set<K: Kind>(&self, options: Options<K>) {
        if let Some((uid, gid)) = options.owner {
            let uid = kernel::bindings::kuid_t { val: uid };
            let gid = kernel::bindings::kgid_t { val: gid };
            // SAFETY: By the type invariant the entry exists. In the initial user namespace an id is itself.
            unsafe { bindings::proc_set_user(self.raw.as_ptr(), uid, gid) };
        }
        if let Some(size) = options.size {
            // SAFETY: By the type invariant the entry exists.
            unsafe { bindings::proc_set_size(self.raw.as_ptr(), size) };
        }
    }

    /// Makes a regular file.
    ///
    /// # Errors
    ///
    /// Those of [`Entry::new`], and [`EINVAL`] for an owner that is none.
    ///
    /// # Safety
    ///
    /// `data` must be what the functions of `proc_ops` expect in `i_private`, until the entry has been
    /// dropped.
    unsafe fn file(
        dir: &Dir,
        name: &CStr,
        options: Options,
        proc_ops: &'static bindings::proc_ops,
        data: *const c_void,
    ) -> Result<Self> {
        options.check()?;
        let entry = Self::new(dir, name, |name, parent| {
            // SAFETY:
            // - `name` is a C string, which is copied, and `parent` null or a directory that `dir` keeps.
            // - `proc_ops` is `'static`, and `data` is what it expects by the precondition. C does not write
            //   through it.
            unsafe {
                bindings::proc_create_data(
                    name,
                    options.mode.into_raw(),
                    parent,
                    proc_ops,
                    data.cast_mut(),
                )
            }
        })?;
        entry.set(options);
        Ok(entry)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the entry exists and nobody else removes it: what is in a directory
        // keeps it, so it is empty now and not removed with one above it. `proc_remove` gives up the
        // reference that its maker had, and the pointer is not used after that.
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
/// struct Example {
///     #[pin]
///     hello: proc_fs::File<Hello>,
/// }
///
/// impl kernel::InPlaceModule for Example {
///     fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
///         let mode = proc_fs::Mode::new::<0o444>();
///         try_pin_init!(Self {
///             hello <- proc_fs::File::show(&proc_fs::Dir::root()?, c"hello", mode, Hello),
///         })
///     }
/// }
/// ```
#[pin_data]
pub struct File<T> {
    // In a structure of its own, so that the projection of this one, which everybody may make, has no `&mut T`.
    #[pin]
    inner: Inner<T>,
}

#[pin_data]
struct Inner<T> {
    // The order is load-bearing: fields are dropped from first to last, and the data may go only after
    // `proc_remove` has returned.
    entry: Entry,
    #[pin]
    data: T,
    // Callbacks hold `&T` while the owner of the `File` has `Pin<&mut Self>`.
    #[pin]
    _pin: PhantomPinned,
}

impl<T: Sync + 'static> File<T> {
    /// Makes the file `name` in `dir`, with [`Operations`] of its own.
    ///
    /// User space can use the file before this returns: make it last, when all that its callbacks need is
    /// there.
    ///
    /// # Errors
    ///
    /// - Those of the initialiser `data`.
    /// - [`EINVAL`]: `name` is empty, longer than 255 bytes, `.`, `..`, has a `/` or, in `/proc` itself, is
    ///   all digits; or the owner in `options` is none.
    /// - [`EEXIST`]: `dir` has something of this name already.
    /// - [`ENOMEM`]: no memory; also where somebody else has made an entry of this name, after a warning in
    ///   the kernel log.
    ///
    /// Nothing is left behind then.
    ///
    /// # Examples
    ///
    /// ```
    /// stream <- proc_fs::File::new(&dir, c"stream", sized, Stream),
    /// ```
    pub fn new<'a, E>(
        dir: &Dir,
        name: &'a CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: Operations,
        E: 'a,
        Error: From<E>,
    {
        // SAFETY: These functions expect a `T`.
        unsafe { Self::with(dir, name, options, operations::VTable::<T>::PROC_OPS, data) }
    }

    /// Makes the file `name` in `dir`, which reads as what [`Show`] prints and can't be written.
    ///
    /// # Errors
    ///
    /// See [`File::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// hello <- proc_fs::File::show(&dir, c"hello", READ_ONLY, Hello),
    /// ```
    pub fn show<'a, E>(
        dir: &Dir,
        name: &'a CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: Show,
        E: 'a,
        Error: From<E>,
    {
        // SAFETY: These functions expect a `T`.
        unsafe { Self::with(dir, name, options, show::Shows::<T>::PROC_OPS, data) }
    }

    /// Makes the file `name` in `dir`, which takes what is written to its [`Store`] and can't be read.
    ///
    /// # Errors
    ///
    /// See [`File::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// write_only <- proc_fs::File::store(&dir, c"write_only", secret, off()),
    /// ```
    pub fn store<'a, E>(
        dir: &Dir,
        name: &'a CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: Store,
        E: 'a,
        Error: From<E>,
    {
        // SAFETY: These functions expect a `T`.
        unsafe { Self::with(dir, name, options, show::Stores::<T>::PROC_OPS, data) }
    }

    /// Makes the file `name` in `dir`, which can be both read and written.
    ///
    /// # Errors
    ///
    /// See [`File::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// switch <- proc_fs::File::show_and_store(&dir, c"switch", READ_WRITE, off()),
    /// ```
    pub fn show_and_store<'a, E>(
        dir: &Dir,
        name: &'a CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: Show + Store,
        E: 'a,
        Error: From<E>,
    {
        // SAFETY: These functions expect a `T`.
        unsafe {
            Self::with(
                dir,
                name,
                options,
                show::ShowsAndStores::<T>::PROC_OPS,
                data,
            )
        }
    }

    /// Makes the file `name` in `dir`, which reads as the items of a list, of any length.
    ///
    /// # Errors
    ///
    /// See [`File::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// even <- proc_fs::File::list(&dir, c"even", READ_ONLY, Even),
    /// ```
    pub fn list<'a, E>(
        dir: &Dir,
        name: &'a CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        T: SeqOperations,
        E: 'a,
        Error: From<E>,
    {
        // SAFETY: These functions expect a `T`.
        unsafe { Self::with(dir, name, options, seq::Lists::<T>::PROC_OPS, data) }
    }

    /// The data that the callbacks use.
    ///
    /// # Examples
    ///
    /// ```
    /// let file = KBox::pin_init(file, GFP_KERNEL)?;
    /// let even = file.data();
    /// ```
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// # Safety
    ///
    /// The functions of `proc_ops` must expect, in the `i_private` of the entry's inode, a pointer to a `T`
    /// that they use by shared reference, only inside callbacks that `proc_remove` waits for.
    unsafe fn with<'a, E>(
        dir: &Dir,
        name: &'a CStr,
        options: impl Into<Options>,
        proc_ops: &'static bindings::proc_ops,
        data: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        E: 'a,
        Error: From<E>,
    {
        let dir = dir.clone();
        let options = options.into();
        try_pin_init!(Self {
            inner <- try_pin_init!(&this in Inner {
                data <- data,
                _pin: PhantomPinned,
                entry: {
                    // SAFETY: `this` is the place that is being initialised, so this is the address of a field in it.
                    let data = unsafe { &raw const (*this.as_ptr()).data };
                    // SAFETY:
                    // - `data` was initialised above and is pinned, so it stays where it is until it is dropped.
                    //   That is after `entry`, by the order of the fields; in an initialisation that fails later,
                    //   too, since the whole `Inner` is dropped then.
                    // - `T` is `Sync`, and no `&mut T` is made as long as `entry` is there: `Inner` and its
                    //   projection are private, and nothing here makes one.
                    unsafe { Entry::file(&dir, name, options, proc_ops, data.cast()) }?
                },
            }),
        })
    }
}

/// A symbolic link in `/proc`.
///
/// Dropping it removes it.
pub struct Symlink {
    _entry: Entry,
}

impl Symlink {
    /// Makes the link `name` in `dir` to `target`, which need not exist.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: `target` is empty, or longer than 4095 bytes, as no path can be.
    /// - Others as for [`File::new`], but for the initialiser.
    ///
    /// # Examples
    ///
    /// ```
    /// link: Symlink::new(&dir, c"link", c"a/b/deep")?,
    /// ```
    #[inline]
    pub fn new(dir: &Dir, name: &CStr, target: &CStr) -> Result<Self> {
        let size = target.to_bytes_with_nul().len();
        // CAST: 4096.
        if size < 2 || size > PATH_MAX as usize {
            return Err(EINVAL);
        }
        let entry = Entry::new(dir, name, |name, parent| {
            // SAFETY: `name` and `target` are C strings, which are copied, and `parent` is null or a directory
            // that `dir` keeps.
            unsafe { bindings::proc_symlink(name, parent, target.as_char_ptr()) }
        })?;
        Ok(Self { _entry: entry })
    }
}
