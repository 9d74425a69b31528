// SPDX-License-Identifier: GPL-2.0

//! What procfs offers and [`kernel::bindings`] lacks, made by bindgen at build time.
//!
//! C header: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h).

#![allow(
    clippy::all,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::{
    bindings::*,
    ffi, //
};

include!(concat!(
    env!("PROC_FS_GENERATED"),
    "/proc_fs_generated.rs" //
));

// SAFETY: It has flags and functions, which may be missing: all zeroes are a `proc_ops` without
// any.
unsafe impl pin_init::Zeroable for proc_ops {}

/// The layout of `struct proc_ops` by the kernel's C compiler (`layout.c`).
#[allow(non_upper_case_globals)]
mod layout {
    include!(concat!(
        env!("PROC_FS_GENERATED"),
        "/layout_generated.rs" //
    ));
}

// bindgen reads the header with libclang, the kernel was compiled with whatever compiled it: they
// must agree on where each function pointer is, or the kernel calls something else.
macro_rules! same_layout {
    ($($(#[$attribute:meta])* $field:ident),* $(,)?) => {
        $(
            $(#[$attribute])*
            const _: () = assert!(
                core::mem::offset_of!(proc_ops, $field) == layout::$field,
                concat!("bindgen and the C compiler disagree on proc_ops.", stringify!($field)),
            );
        )*
        const _: () = assert!(
            size_of::<proc_ops>() == layout::size,
            "bindgen and the C compiler disagree on the size of proc_ops",
        );
    };
}

same_layout!(
    proc_flags,
    proc_open,
    proc_read,
    proc_read_iter,
    proc_write,
    proc_lseek,
    proc_release,
    proc_poll,
    proc_ioctl,
    #[cfg(CONFIG_COMPAT)]
    proc_compat_ioctl,
    proc_mmap,
    proc_get_unmapped_area,
);
