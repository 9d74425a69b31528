// SPDX-License-Identifier: GPL-2.0

//! Files in `/proc`, owned by Rust.
//!
//! C header: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h), C source:
//! [`fs/proc/generic.c`](srctree/fs/proc/generic.c) and
//! [`fs/proc/inode.c`](srctree/fs/proc/inode.c).
//!
//! A [`Dir`] makes what is in it: other directories, symbolic links, and files. A [`File`] is an
//! entry together with the data that its callbacks use. What they do with it is said by one of
//! these traits:
//!
//! - [`Show`]: the file reads as a short text. [`Store`]: it takes what is written. Or both.
//! - [`List`]: it reads as a list of any length.
//! - [`Operations`]: anything else; each callback is one of C's `proc_ops`.
//!
//! All of them are plain values: they can be moved and stored, and dropping one removes its entry.
//! A [`Dir`] that was made here is removed when the last handle to it and all that is in it are
//! gone.
//!
//! # Why this is sound
//!
//! **What C holds.** From `proc_create_data` on, procfs holds the name, which it has copied, a
//! pointer to the `proc_ops`, which is `'static`, and a pointer to the data, which each inode of
//! the entry gets as its `i_private` (`proc_get_inode`). The file is live before `proc_create_data`
//! returns: another CPU can be inside `open` already. So the data is complete before the entry is
//! made. That the `proc_ops` expects this type of data is said by a type, `ProcOps<T>`.
//!
//! **Until when.** procfs has no `.owner`: an open file keeps no module loaded. Each call from user
//! space is wrapped in `use_pde` and `unuse_pde`, but for `release`. `proc_remove` first makes
//! `use_pde` fail for ever, then waits until the last call inside has left, then calls `release`
//! once for each file that is still open, or waits for the `release` that a close has begun
//! (`proc_entry_rundown`, `close_pdeo`). When it returns, no callback runs and none will: what is
//! still open answers from procfs alone. So the entry is removed first and the data dropped after;
//! the opposite order is a use after free, CVE-2023-52922 for one. [`File`] has its fields in that
//! order.
//!
//! **However it is forgotten.** The data is in memory of its own, which only the drop of the
//! [`File`] frees. That does not ask where the [`File`] itself is: it may be moved, leaked, or left
//! in memory that is used again without a drop, as that of a `MaybeUninit` or an `Opaque` is. C's
//! pointers stay good, and an entry that is never removed leaks with its data. That can be for
//! good, hence `'static`.
//!
//! **The data is shared.** Callbacks run on any number of CPUs at once and have `&self`, hence
//! `Sync`. They have it while the owner has the [`File`], hence that hands out nothing but a `&T`,
//! until `proc_remove` has returned.
//!
//! **Directories.** Removing a directory removes all that is in it, whoever owns that. So what is
//! in a directory holds a handle to it, and never the reverse: a directory is empty when it is
//! removed. A chain of them goes in a loop, whatever its length. procfs takes a name with a `/` for
//! a path, and has no use for some others: names are checked before C sees them. The data of a
//! directory is null, a link's target is a copy: one that is forgotten leaks, and that is all.
//!
//! **What an open file owns** is an [`Operations::Ptr`], made in `open` and kept in the file's
//! `private_data`. `release` takes it back exactly once: procfs calls `release` only for files
//! whose `open` succeeded, and either from the last close or from `proc_remove`, never from both
//! (`closing` in `close_pdeo`). Between the two it is only borrowed, and `release` has it alone.
//! `pread`, `pwrite` and threads that share a descriptor run callbacks at once on one open file,
//! hence `Ptr: Sync`; the close and the remover can be other tasks than the one that opened, hence
//! `Ptr: Send`.
//!
//! **Nobody calls on a file that is not open yet.** `open` has a [`LocalFile`]: a reference to the
//! file which can be kept, but neither leave the thread nor become a descriptor, by which others
//! could call before there is a `Ptr`, or after `open` has failed. No other callback has the file.
//!
//! **What callbacks read and write** they have as a value of ours, borrowed for the call, that can
//! do nothing else, and count for itself:
//!
//! - [`UserWriter`] and [`IterWriter`] return as many bytes as were written. `copy_splice_read`
//!   does not clear its pages: whoever could say that more was written would show what was in them.
//! - [`SeqWriter`] is borrowed exclusively while something is printed, so that what is printed
//!   can't print to it: `seq_printf` adds a length to a count that must not have changed meanwhile.
//! - [`Mapping`] takes a [`Page`], which begins as zeroes and is nothing but a page: user space can
//!   write to it as it likes. It gives no way to the task's other mappings, which are locked.
//! - [`UserReader`] gives each byte once.
//!
//! The position is a copy, written back on success, if it is one.
//!
//! **No errno makes the kernel wait or call again for ever.** EIOCBQUEUED would say that a request
//! goes on, and EAGAIN from a `show` makes seq_file call it again: both are EIO then. seq_file
//! neither looks at signals nor stops at any length by itself: a [`List`] ends when its reader is a
//! task that is being killed, a text of 4 MiB or more is EFBIG.
//!
//! # What users of this module must not do
//!
//! No type can prevent these. What happens then:
//!
//! - Drop a [`File`] inside one of its own callbacks, or while holding a lock that one of them
//!   takes, or two files in each other's: `proc_remove` waits for the callbacks, so this deadlocks,
//!   and the tasks can't be killed. A [`Symlink`] is waited for by whoever drops it as long as
//!   somebody is on the way through it, who may be stalled.
//! - In [`Operations::mmap`], touch the task's memory, lock its mappings (`current!().mm()`), take
//!   a lock that is held elsewhere while a user's memory is touched, or drop a [`File`]: the
//!   mappings are locked there, and a page fault waits for them, so this deadlocks too.
//! - In [`Operations::release`] or in the drop of a `Ptr`, use anything of the current task, such
//!   as `LocalFile::fget` or a `FileDescriptorReservation`: it may be exiting and have no
//!   descriptors any more, which the kernel crate does not look at (a NULL dereference), or be some
//!   other task. `UserSlice` there, or in a `read_iter`, `show` or `next_at`, can be another task's
//!   memory.
//! - Forget a [`File`] (`mem::forget`, a reference cycle) in a module and let the module be
//!   unloaded: procfs calls functions that are gone. That is so for any registration of the kernel
//!   crate.
//! - Make or drop anything of this module, or move bytes to or from user space, in an interrupt or
//!   where sleeping is not allowed: a warning at best, a deadlock or a use after free at worst.
//! - Make an entry of a name that is there already: a warning of the kernel, which halts one with
//!   `panic_on_warn`, and ENOMEM.
//! - Have one [`Page`] mapped 2^31 times at once: its counters overflow (`vm_insert_page`).
//! - Panic, deadlock by locks of one's own, loop for ever, or use more stack than there is, by
//!   recursion, by large values, or by dropping a long chain: as anywhere in the kernel.
//!
//! # What is not supported
//!
//! `poll`. A task that sleeps in select or poll has a wait queue entry which outlives the `release`
//! that `proc_remove` forces, so the queue may not be freed even then. A file without `poll` is
//! always ready, which is right for one that never blocks.
//!
//! `get_unmapped_area`, a `compat_ioctl` of its own (structures that differ between 32 and 64
//! bits), entries per network namespace (`proc_create_net`), and permanent entries
//! (`PROC_ENTRY_PERMANENT`), which a module can't have.
//!
//! [`LocalFile`]: kernel::fs::LocalFile

#![warn(clippy::multiple_unsafe_ops_per_block)]

mod bindings;
mod bytes;
mod callback;
mod entry;
mod exact;
mod kernel_crate;
mod list;
mod mapping;
mod mutex;
mod operations;
mod options;
mod seq;
mod show;
mod user;

pub use self::{
    bytes::Bytes,
    entry::{
        Dir,
        File,
        Symlink, //
    },
    exact::Exact,
    kernel_crate::FileBox,
    list::List,
    mapping::{
        Mapping,
        Page, //
    },
    mutex::{
        Mutex,
        MutexGuard, //
    },
    operations::{
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
    seq::SeqWriter,
    show::{
        Show,
        Store, //
    },
    user::{
        IterWriter,
        UserReader,
        UserWriter, //
    }, //
};
