// SPDX-License-Identifier: GPL-2.0

//! Memory that user space maps.

use super::exact::Exact;
use core::ops::Deref;
use kernel::{
    alloc::{
        flags::__GFP_ZERO,
        Flags, //
    },
    mm::virt::VmaNew,
    page::{
        self,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// A page of memory that begins as zeroes, to be mapped by user space.
///
/// User space may read and write it at any time, so what it holds is got at by the unsafe functions
/// of [`kernel::page::Page`] alone. It is freed when this and all mappings of it are gone.
///
/// # Invariants
///
/// What it holds was zeroes, and then what somebody has written there.
pub struct Page(page::Page);

impl Page {
    /// Allocates one.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// page: proc_fs::Page::zeroed(GFP_KERNEL)?,
    /// ```
    pub fn zeroed(flags: Flags) -> Result<Self> {
        // INVARIANT: The allocator clears it.
        Ok(Self(page::Page::alloc_page(flags | __GFP_ZERO)?))
    }
}

impl Deref for Page {
    type Target = page::Page;

    fn deref(&self) -> &page::Page {
        &self.0
    }
}

/// A mapping that user space is making of a file, which has no pages yet.
pub struct Mapping<'a>(&'a VmaNew);

impl<'a> Mapping<'a> {
    pub(super) fn new(vma: &'a VmaNew) -> Self {
        Self(vma)
    }

    /// How many bytes it has: whole pages.
    pub fn size(&self) -> usize {
        // The end is not before the start.
        self.0.end().minus(self.0.start())
    }

    /// Makes PROT_WRITE impossible for it, also later by `mprotect(2)`.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: it was asked for with PROT_WRITE.
    pub fn forbid_writing(&mut self) -> Result {
        self.0.try_clear_maywrite()
    }

    /// Puts a page at `offset` bytes from the start. Where there is none, user space gets SIGBUS.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: `offset` is not the beginning of a page in it.
    /// - [`EBUSY`]: a page is there.
    /// - [`ENOMEM`]: no memory for the page table.
    ///
    /// # Examples
    ///
    /// ```
    /// mapping.insert(0, &self.page)
    /// ```
    pub fn insert(&mut self, offset: usize, page: &Page) -> Result {
        if offset >= self.size() || offset % PAGE_SIZE != 0 {
            return Err(EINVAL);
        }
        let address = self.0.start().plus(offset);
        self.0.set_mixedmap().vm_insert_page(address, &page.0)
    }
}
