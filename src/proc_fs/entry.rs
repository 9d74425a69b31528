// SPDX-License-Identifier: GPL-2.0

//! What is in `/proc`, and who owns it.

use super::{
    bindings::{
        self,
        proc_dir_entry, //
    },
    callback::ProcOps,
    list::{
        List,
        Lists, //
    },
    operations::{
        Operations,
        VTable, //
    },
    options::{
        Directory,
        Kind,
        Options, //
    },
    show::{
        Show,
        Shows,
        ShowsAndStores,
        Store,
        Stores, //
    }, //
};
use core::{
    mem,
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
    ffi::c_char,
    prelude::*,
    sync::Arc, //
};

/// Something in `/proc` that was made and not yet removed.
///
/// # Invariants
///
/// It was returned by one of the functions of `fs/proc/generic.c` that make an entry, and only the
/// drop of this value removes it.
struct Entry(NonNull<proc_dir_entry>);

// SAFETY: `proc_remove` may be called on any thread.
unsafe impl Send for Entry {}
// SAFETY: All that can be done through `&Entry` is to read a pointer which does not change.
unsafe impl Sync for Entry {}

impl Entry {
    /// Makes an entry with `make`, which gets the name and the parent for C: for one of the
    /// kernel's directories that is a path, and null.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: procfs would answer with a kernel warning, or take `name` for something else:
    ///   empty, longer than 255 bytes, `.`, `..`, with a `/` or, in `/proc` itself, all digits,
    ///   like a process.
    /// - [`ENOMEM`]: no memory, or an entry of this name is there, after a warning in the kernel
    ///   log. procfs tells no difference.
    ///
    /// # Safety
    ///
    /// `make` must return what one of the functions of `fs/proc/generic.c` that make an entry has
    /// returned for these arguments: an entry that nobody else removes, or null.
    unsafe fn new(
        dir: &Dir,
        name: &CStr,
        make: impl FnOnce(*const c_char, *mut proc_dir_entry) -> *mut proc_dir_entry,
    ) -> Result<Self> {
        // With the NUL that ends it.
        let bytes = name.to_bytes_with_nul();
        let is_number = || bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | 0));
        // CAST: 255.
        if matches!(bytes, b"\0" | b".\0" | b"..\0")
            || bytes.len() > NAME_MAX as usize + 1
            || bytes.iter().any(|&byte| byte == b'/')
            || (matches!(dir.0, Place::Kernels(b"")) && is_number())
        {
            return Err(EINVAL);
        }
        let raw = match &dir.0 {
            Place::Ours(node) => make(name.as_char_ptr(), node.entry.0.as_ptr()),
            Place::Kernels(before) => {
                // The longest of them and the longest name, with its NUL.
                let mut path = [0; b"driver/".len() + NAME_MAX as usize + 1];
                let bytes = Iterator::chain(before.iter(), bytes);
                for (to, from) in path.iter_mut().zip(bytes) {
                    *to = *from;
                }
                make(path.as_ptr(), ptr::null_mut())
            }
        };
        // INVARIANT: By the precondition.
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?))
    }

    /// Gives the entry its owner and its size.
    fn set<K: Kind>(&self, options: Options<K>) {
        if let Some((uid, gid)) = options.owner {
            let uid = kernel::bindings::kuid_t { val: uid };
            let gid = kernel::bindings::kgid_t { val: gid };
            // SAFETY: By the type invariant the entry exists. In the initial user namespace an id
            // is itself.
            unsafe { bindings::proc_set_user(self.0.as_ptr(), uid, gid) };
        }
        if let Some(size) = options.size {
            // SAFETY: By the type invariant the entry exists.
            unsafe { bindings::proc_set_size(self.0.as_ptr(), size) };
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the entry exists and nobody else removes it: what is in a
        // directory keeps that, so it is empty now and was not removed with one above it.
        // `proc_remove` gives up the reference that its maker had, and the pointer is not used
        // after that.
        unsafe { bindings::proc_remove(self.0.as_ptr()) };
    }
}

/// A directory of `/proc` that entries can be made in: `/proc` itself, one of the kernel's own
/// directories in it, or one of ours.
///
/// A clone is the same directory. One of ours is removed when the last handle to it has been
/// dropped and all that was made in it is gone: what is in it keeps it alive.
///
/// User space can use what is made here before the function that makes it returns: make it when all
/// that its callbacks need is there.
///
/// # Errors
///
/// All functions that make something fail with
///
/// - [`EINVAL`]: `name` is empty, longer than 255 bytes, `.`, `..`, has a `/` or, in `/proc`
///   itself, is all digits; or the owner in `options` is none.
/// - [`ENOMEM`]: no memory, or something of this name is there, after a warning in the kernel log.
///
/// Nothing is left behind then.
///
/// # Examples
///
/// ```
/// let dir = Dir::root().subdir(c"proc_fs_test", Mode::new::<0o555>())?;
/// let driver = Dir::driver().subdir(c"proc_fs_test", Mode::new::<0o555>())?;
/// ```
#[derive(Clone)]
pub struct Dir(Place);

/// Where a directory is.
#[derive(Clone)]
enum Place {
    /// A directory of the kernel's: what comes before a name in it, such as `driver/`; nothing for
    /// `/proc` itself.
    Kernels(&'static [u8]),
    /// One of ours.
    Ours(Arc<Node>),
}

/// What the handles of a directory share.
struct Node {
    // The order is load-bearing: first the entry is removed, then the directory that it is in may
    // go.
    entry: Entry,
    parent: Dir,
}

impl Drop for Dir {
    // A directory that goes can be the last thing in the one above it, and so on: a loop, since the
    // kernel's stack is short.
    fn drop(&mut self) {
        let mut place = mem::replace(&mut self.0, Place::Kernels(b""));
        while let Place::Ours(node) = place {
            let Some(mut node) = Arc::into_unique_or_drop(node) else {
                break;
            };
            place = mem::replace(&mut node.parent.0, Place::Kernels(b""));
            // What has been cut off from it is dropped in the next round, after the entry.
            drop(node);
        }
    }
}

impl Dir {
    /// `/proc` itself.
    pub const fn root() -> Self {
        Self(Place::Kernels(b""))
    }

    /// `/proc/bus`.
    pub const fn bus() -> Self {
        Self(Place::Kernels(b"bus/"))
    }

    /// `/proc/driver`.
    pub const fn driver() -> Self {
        Self(Place::Kernels(b"driver/"))
    }

    /// `/proc/fs`.
    pub const fn fs() -> Self {
        Self(Place::Kernels(b"fs/"))
    }

    /// Makes the directory `name` in this one.
    ///
    /// # Errors
    ///
    /// See [`Dir`].
    ///
    /// # Examples
    ///
    /// A directory in a directory, with an owner of its own. The handle of the first one need not
    /// be kept.
    ///
    /// ```
    /// let options = Options::new(Mode::new::<0o500>()).owner(1000, 100);
    /// let a = dir.subdir(c"a", Mode::new::<0o555>())?;
    /// let b = a.subdir(c"b", options)?;
    /// ```
    pub fn subdir(&self, name: &CStr, options: impl Into<Options<Directory>>) -> Result<Self> {
        let options = options.into();
        options.check()?;
        let make = |name, parent| {
            // SAFETY: `name` is a C string, which is copied, and `parent` null or a directory that
            // `self` keeps. A directory has no data that anybody reads.
            unsafe {
                bindings::proc_mkdir_data(name, options.mode.into_raw(), parent, ptr::null_mut())
            }
        };
        // SAFETY: `proc_mkdir_data` makes an entry, and nobody else knows of it.
        let entry = unsafe { Entry::new(self, name, make) }?;
        entry.set(options);
        let parent = self.clone();
        Ok(Self(Place::Ours(Arc::new(
            Node { entry, parent },
            GFP_KERNEL,
        )?)))
    }

    /// Makes the symbolic link `name` in this directory to `target`, which need not exist.
    ///
    /// # Errors
    ///
    /// See [`Dir`], and [`EINVAL`]: `target` is empty, or longer than 4095 bytes, as no path can
    /// be.
    ///
    /// # Examples
    ///
    /// ```
    /// _link: dir.symlink(c"link", c"a/b/deep")?,
    /// ```
    pub fn symlink(&self, name: &CStr, target: &CStr) -> Result<Symlink> {
        let size = target.to_bytes_with_nul().len();
        // CAST: 4096.
        if size < 2 || size > PATH_MAX as usize {
            return Err(EINVAL);
        }
        let make = |name, parent| {
            // SAFETY: `name` and `target` are C strings, which are copied, and `parent` is null or
            // a directory that `self` keeps.
            unsafe { bindings::proc_symlink(name, parent, target.as_char_ptr()) }
        };
        // SAFETY: `proc_symlink` makes an entry, and nobody else knows of it.
        let entry = unsafe { Entry::new(self, name, make) }?;
        Ok(Symlink {
            _entry: entry,
            _dir: self.clone(),
        })
    }

    /// Makes the file `name` in this directory, with [`Operations`] of its own.
    ///
    /// # Errors
    ///
    /// See [`Dir`], and those of the initialiser `data`.
    ///
    /// # Examples
    ///
    /// ```
    /// _stream: dir.file(c"stream", sized, Stream)?,
    /// ```
    pub fn file<T: Operations, E>(
        &self,
        name: &CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E>,
    ) -> Result<File<T>>
    where
        Error: From<E>,
    {
        self.make(name, options.into(), VTable::<T>::PROC_OPS, data)
    }

    /// Makes the file `name` in this directory, which reads as what [`Show`] prints and can't be
    /// written.
    ///
    /// # Errors
    ///
    /// See [`Dir::file`].
    ///
    /// # Examples
    ///
    /// ```
    /// _hello: dir.show(c"hello", READ_ONLY, Hello)?,
    /// ```
    pub fn show<T: Show, E>(
        &self,
        name: &CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E>,
    ) -> Result<File<T>>
    where
        Error: From<E>,
    {
        self.make(name, options.into(), Shows::<T>::PROC_OPS, data)
    }

    /// Makes the file `name` in this directory, which takes what is written to its [`Store`] and
    /// can't be read.
    ///
    /// # Errors
    ///
    /// See [`Dir::file`].
    ///
    /// # Examples
    ///
    /// ```
    /// _write_only: dir.store(c"write_only", secret, off())?,
    /// ```
    pub fn store<T: Store, E>(
        &self,
        name: &CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E>,
    ) -> Result<File<T>>
    where
        Error: From<E>,
    {
        self.make(name, options.into(), Stores::<T>::PROC_OPS, data)
    }

    /// Makes the file `name` in this directory, which can be both read and written.
    ///
    /// # Errors
    ///
    /// See [`Dir::file`].
    ///
    /// # Examples
    ///
    /// ```
    /// _switch: dir.show_and_store(c"switch", READ_WRITE, off())?,
    /// ```
    pub fn show_and_store<T: Show + Store, E>(
        &self,
        name: &CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E>,
    ) -> Result<File<T>>
    where
        Error: From<E>,
    {
        self.make(name, options.into(), ShowsAndStores::<T>::PROC_OPS, data)
    }

    /// Makes the file `name` in this directory, which reads as the items of a [`List`], of any
    /// length.
    ///
    /// # Errors
    ///
    /// See [`Dir::file`].
    ///
    /// # Examples
    ///
    /// ```
    /// _even: dir.list(c"even", READ_ONLY, Even)?,
    /// ```
    pub fn list<T: List, E>(
        &self,
        name: &CStr,
        options: impl Into<Options>,
        data: impl PinInit<T, E>,
    ) -> Result<File<T>>
    where
        Error: From<E>,
    {
        self.make(name, options.into(), Lists::<T>::PROC_OPS, data)
    }

    // Not inlined, so that a stack says which file is being made.
    #[inline(never)]
    fn make<T: Sync + 'static, E>(
        &self,
        name: &CStr,
        options: Options,
        proc_ops: &'static ProcOps<T>,
        data: impl PinInit<T, E>,
    ) -> Result<File<T>>
    where
        Error: From<E>,
    {
        options.check()?;
        let data = KVBox::pin_init(data, GFP_KERNEL)?;
        let make = |name, parent| {
            let data = ptr::from_ref::<T>(&data).cast_mut().cast();
            // SAFETY:
            // - `name` is a C string, which is copied, and `parent` null or a directory that `self`
            //   keeps.
            // - `proc_ops` is `'static` and expects a `T` in `data`, which can be shared until
            //   `proc_remove` has returned: it is `Sync`, has memory of its own, and is owned by a
            //   `File`, which drops its entry first and hands out nothing but `&T`.
            unsafe {
                bindings::proc_create_data(
                    name,
                    options.mode.into_raw(),
                    parent,
                    proc_ops.as_raw(),
                    data,
                )
            }
        };
        // SAFETY: `proc_create_data` makes an entry, and nobody else knows of it.
        let entry = unsafe { Entry::new(self, name, make) }?;
        entry.set(options);
        Ok(File {
            _entry: entry,
            _dir: self.clone(),
            data,
        })
    }
}

/// A regular file in `/proc`, and the data of its callbacks.
///
/// It is there until this is dropped. The drop waits for callbacks in flight, releases the files
/// that are still open, and then drops the data; never drop it from one of its own callbacks. See
/// the [module](super) for what goes on meanwhile.
///
/// # Examples
///
/// ```
/// struct Module {
///     _file: File<Greeting>,
/// }
///
/// impl kernel::Module for Module {
///     fn init(_module: &'static ThisModule) -> Result<Self> {
///         let _file = Dir::root().show(c"hello", Mode::new::<0o444>(), Greeting)?;
///         Ok(Self { _file })
///     }
/// }
/// ```
pub struct File<T> {
    // The order is load-bearing: fields are dropped from first to last. The entry goes first; then
    // the directory may go; and no callback has the data any more.
    _entry: Entry,
    _dir: Dir,
    // In memory of its own, so that C's pointer to it is good wherever this is moved to, and
    // however this is forgotten.
    data: Pin<KVBox<T>>,
}

impl<T> File<T> {
    /// The data that the callbacks use.
    ///
    /// # Examples
    ///
    /// ```
    /// let even = file.data();
    /// ```
    pub fn data(&self) -> &T {
        &self.data
    }
}

/// A symbolic link in `/proc`, removed when this is dropped.
///
/// The drop waits for all who are on their way through it, as one is whose walk goes on in a file
/// system that does not answer (`proc_get_link`, `proc_put_link`).
pub struct Symlink {
    // The order is load-bearing, as in `File`.
    _entry: Entry,
    _dir: Dir,
}
