// SPDX-License-Identifier: GPL-2.0

//! Sums that fit.

/// Arithmetic with numbers of which it is known that the result fits, so that nobody has to say
/// what becomes of one that does not.
///
/// With debug assertions, which a kernel that checks itself has (`CONFIG_RUST_DEBUG_ASSERTIONS`),
/// such a result is a panic that names the line. Without them it wraps. The operators would have
/// the check in any kernel with `CONFIG_RUST_OVERFLOW_CHECKS`, and a panic there is a `BUG()`.
pub trait Exact: Copy {
    /// `self + other`
    fn plus(self, other: Self) -> Self;

    /// `self - other`
    fn minus(self, other: Self) -> Self;

    /// `self * other`
    fn times(self, other: Self) -> Self;
}

macro_rules! exact {
    ($($number:ty)*) => {
        $(impl Exact for $number {
            #[inline(always)]
            #[track_caller]
            fn plus(self, other: Self) -> Self {
                debug_assert!(self.checked_add(other).is_some());
                self.wrapping_add(other)
            }

            #[inline(always)]
            #[track_caller]
            fn minus(self, other: Self) -> Self {
                debug_assert!(self.checked_sub(other).is_some());
                self.wrapping_sub(other)
            }

            #[inline(always)]
            #[track_caller]
            fn times(self, other: Self) -> Self {
                debug_assert!(self.checked_mul(other).is_some());
                self.wrapping_mul(other)
            }
        })*
    };
}

exact!(u32 u64 usize i64);
