// SPDX-License-Identifier: GPL-2.0

// Nor can it be made one that was cleared.
//
// error: cannot initialize a tuple struct which contains private fields

pub fn page() -> Result<Page> {
    Ok(proc_fs::Page(kernel::page::Page::alloc_page(GFP_KERNEL)?))
}
