// SPDX-License-Identifier: GPL-2.0

//! Random numbers from the kernel, for which the kernel crate has no function.
//!
//! C header: `include/linux/random.h`.

use kernel::bindings;

/// Returns a random number less than `n`, each as likely as the others; 0 if `n` is 0.
///
/// May be called in any context.
#[inline]
pub fn below(n: u32) -> u32 {
    if n == 0 {
        return 0;
    }
    // SAFETY: A plain function of a number which is not 0 (`drivers/char/random.c`). Before the generator is
    // seeded it returns what there is, and never waits.
    unsafe { bindings::__get_random_u32_below(n) }
}
