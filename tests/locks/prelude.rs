// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate's prelude has.

pub use crate::{
    alloc::{Flags, KBox, KVVec, VVec},
    pin_init,
};
pub use pin_project::pin_project as pin_data;
pub use std::pin::Pin;
pub use vtable::vtable;

/// An error of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

/// What comes of something that can fail.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Killed.
pub const EINTR: Error = Error(4);
/// No memory.
pub const ENOMEM: Error = Error(12);
/// The copy faults.
pub const EFAULT: Error = Error(14);
/// It makes no sense.
pub const EINVAL: Error = Error(22);
/// No room.
pub const ENOSPC: Error = Error(28);

/// Memory that nobody is charged for.
pub const GFP_KERNEL: Flags = Flags(1);
/// Memory that the task is charged for.
pub const GFP_KERNEL_ACCOUNT: Flags = Flags(2);
