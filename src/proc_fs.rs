// SPDX-License-Identifier: GPL-2.0

//! Files in `/proc`, owned by Rust.
//!
//! C header: `include/linux/proc_fs.h`, C source: `fs/proc/generic.c`
//! and `fs/proc/inode.c`.
//!
//! A [`File`] is an entry in a [`Dir`] together with the data that its callbacks use. What they do with it is
//! said by one of these traits:
//!
//! - [`Show`]: the file reads as a short text. [`Store`]: it takes what is written. Or both.
//! - [`SeqOperations`]: it reads as a list of any length.
//! - [`Operations`]: anything else; each callback is one of C's `proc_ops`.
//!
//! Dropping the [`File`] removes the entry, and then drops the data. A [`Dir`] that was made here is removed
//! when the last handle to it and all that is in it are gone. A [`Symlink`] is removed when it is dropped.
//!
//! # Why this is sound
//!
//! **What C holds.** From `proc_create_data` on, procfs holds the name, which it has copied, a pointer to
//! the `proc_ops`, which is `'static`, and a pointer to the data, which each inode of the entry gets as
//! its `i_private` (`proc_get_inode`). The file is live before `proc_create_data` returns: another
//! CPU can be inside `open` already. So the data is complete before the entry is made.
//!
//! **Until when.** procfs has no `.owner`: an open file keeps no module loaded. Each call from user space
//! is wrapped in `use_pde` and `unuse_pde`, but for `release`. `proc_remove` first makes `use_pde` fail
//! for ever, then waits until the last call inside has left, then calls `release` once for each file
//! that is still open, or waits for the `release` that a close has begun (`proc_entry_rundown`,
//! `close_pdeo`). When it returns, no callback runs and none will: what is still open answers from
//! procfs alone. So the entry is removed first and the data dropped after; the opposite order is a use
//! after free, CVE-2023-52922 for one. [`File`] has its fields in that order.
//!
//! **The data is shared.** Callbacks run on any number of CPUs at once and have `&self`, hence
//! `Operations: Sync`. They have it while the owner drops the [`File`], hence no `&mut` to the data is made
//! before `proc_remove` has returned: [`File`] is not `Unpin` and has no `Drop` of its own, only its first
//! field has. C keeps the pointer however the [`File`] is forgotten, hence it is pinned: memory that is
//! pinned is not used again without a drop. It can be forgotten for good, hence `Operations: 'static`.
//!
//! seq_file's functions are called inside such callbacks only, and get the data from where `open` put it.
//!
//! **Directories.** Removing a directory removes all that is in it, whoever owns that. So what is in a
//! directory holds a handle to it, and never the reverse: a directory is empty when it is removed. procfs
//! warns of a name that is there already, and takes a name with a `/` for a path: names are checked, and those
//! in one [`Dir`] remembered, before C sees them. The data of a directory is null, a link's target is a
//! copy: one that is forgotten leaks, and that is all.
//!
//! **What an open file owns** is an [`Operations::Ptr`], made in `open` and kept in the file's
//! `private_data`. `release` takes it back exactly once: procfs calls `release` only for files whose
//! `open` succeeded, and either from the last close or from `proc_remove`, never from both (`closing`
//! in `close_pdeo`). Between the two it is only borrowed. `pread`, `pwrite` and threads that share
//! a descriptor run callbacks at once on one open file, hence `Ptr: Sync`; the close and the remover
//! can be other tasks than the one that opened, hence `Ptr: Send`.
//!
//! **No callback gets more than it may use.** `read`, `write` and `lseek` may run inside `fdget_pos`, which
//! need not have taken the position's lock: they have a [`LocalFile`](kernel::fs::LocalFile). `open`, `ioctl`
//! and `mmap` run outside it: they have a [`File`](kernel::fs::File). `release`
//! has no file at all: where `proc_remove` calls it, another thread can be inside `fdget_pos`, and
//! then neither kind of file reference may exist on the remover's thread. The position is a copy, written
//! back on success. No more can be returned than was asked for, from `read_iter` no more than was written, and no
//! errno that says that a request goes on (EIOCBQUEUED).
//!
//! # What users of this module must not do
//!
//! - Drop a [`File`] inside one of its own callbacks, or while holding a lock that one of them takes:
//!   `proc_remove` waits for the callbacks, so this deadlocks.
//! - Forget a [`File`] (`mem::forget`, a reference cycle) in a module and let the module be unloaded.
//!   procfs would keep calling functions that are gone. Types can't prevent this, here or for any
//!   other registration of the kernel crate.
//! - Use `current` in `release` or in the drop of a `Ptr`: it may be the task that unloads the module.
//!
//! # What is not supported
//!
//! `poll`. A task that sleeps in select or poll has a wait queue entry which outlives the `release`
//! that `proc_remove` forces, so the queue may not be freed even then. A file without `poll` is always
//! ready, which is right for one that never blocks.
//!
//! `get_unmapped_area`, a `compat_ioctl` of its own (structures that differ between 32 and 64 bits), entries
//! per network namespace (`proc_create_net`), and permanent entries (`PROC_ENTRY_PERMANENT`), which a module
//! can't have.

mod bindings;
mod bytes;
mod entry;
mod operations;
mod options;
mod seq;
mod show;

pub use self::{
    bytes::Bytes,
    entry::{
        Dir,
        File,
        Symlink, //
    },
    operations::{
        write_to_iter,
        write_to_user,
        Operations,
        Seek,
        Whence, //
    },
    options::{
        Directory,
        Kind,
        Mode,
        Options,
        Regular, //
    },
    seq::SeqOperations,
    show::{
        write_to_seq,
        Show,
        Store, //
    }, //
};
