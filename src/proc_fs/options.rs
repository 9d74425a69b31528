// SPDX-License-Identifier: GPL-2.0

//! What an entry looks like to `stat`.

use core::marker::PhantomData;
use kernel::{
    bindings,
    fs::file::Offset,
    prelude::*, //
};

/// A kind of entry, and the permission bits that mean something for it.
pub trait Kind: private::Sealed {
    /// The bits.
    const BITS: u16;
}

/// Regular files: never executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regular {}

/// Directories: nobody but the kernel makes or removes what is in them, so they are not writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {}

impl Kind for Regular {
    const BITS: u16 = 0o666;
}

impl Kind for Directory {
    const BITS: u16 = 0o555;
}

mod private {
    pub trait Sealed {}

    impl Sealed for super::Regular {}
    impl Sealed for super::Directory {}
}

/// The permissions of an entry.
///
/// They are checked at compile time: at least one bit, since C takes a mode of 0 for 0444 or 0555,
/// and only bits that mean something for this kind of entry. That also catches most modes that were
/// meant in octal and written in decimal.
///
/// # Examples
///
/// ```
/// const READ_WRITE: Mode = Mode::new::<0o644>();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode<K = Regular>(bindings::umode_t, PhantomData<K>);

impl<K: Kind> Mode<K> {
    /// Makes a mode of permission bits: up to `0o666` for files, up to `0o555` for directories.
    pub const fn new<const BITS: u16>() -> Self {
        const {
            assert!(BITS != 0, "a mode of 0 would not be one");
            assert!(
                BITS & !K::BITS == 0,
                "these permission bits mean nothing here; is the number meant in octal?"
            );
        }
        Self(BITS, PhantomData)
    }

    pub(super) const fn into_raw(self) -> bindings::umode_t {
        self.0
    }
}

/// Permissions, owner and size of an entry. A [`Mode`] alone is one of size 0, with the owner of
/// its directory, which is root if nothing else was said.
///
/// procfs makes an entry first and lets its owner and size be set then. Whoever looks it up in
/// between sees it with its directory's owner, and can open it as far as its mode allows under that
/// one, as long as that inode is in memory (`proc_get_inode` copies the owner once): rely on no
/// file being stricter than its directory's owner may be.
///
/// # Examples
///
/// ```
/// let owned = Options::new(Mode::new::<0o640>())
///     .owner(1000, 100)
///     .size(12_345);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<K = Regular> {
    pub(super) mode: Mode<K>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) size: Option<Offset>,
}

impl<K: Kind> Options<K> {
    /// Permissions, with the owner of the directory and size 0.
    pub const fn new(mode: Mode<K>) -> Self {
        Self {
            mode,
            owner: None,
            size: None,
        }
    }

    /// The user and the group that own the entry, by their numbers in the initial user namespace.
    ///
    /// `u32::MAX`, which is no user and no group, makes the creation of the entry fail with EINVAL.
    pub const fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Some((uid, gid));
        self
    }
}

impl<K> Options<K> {
    /// # Errors
    ///
    /// [`EINVAL`]: an owner that is none.
    pub(super) fn check(&self) -> Result {
        match self.owner {
            Some((u32::MAX, _) | (_, u32::MAX)) => Err(EINVAL),
            _ => Ok(()),
        }
    }
}

impl Options<Regular> {
    /// The size in bytes, as `stat` shows it. It does not bound reading or writing.
    pub const fn size(mut self, size: u32) -> Self {
        // CAST: Any `u32` is an `Offset`, and not negative.
        self.size = Some(size as Offset);
        self
    }
}

impl<K: Kind> From<Mode<K>> for Options<K> {
    fn from(mode: Mode<K>) -> Self {
        Self::new(mode)
    }
}
