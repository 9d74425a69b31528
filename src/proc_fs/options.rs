// SPDX-License-Identifier: GPL-2.0

//! What an entry looks like to `stat`.

use kernel::bindings;

/// The permissions of a file in `/proc`.
///
/// They are checked at compile time: a mode has at least one bit, since C takes 0 for 0444, and only
/// bits that mean something for such a file, which is never executable. That also catches most modes
/// that were meant in octal and written in decimal.
///
/// # Examples
///
/// ```
/// const PUBLIC: Mode = Mode::new::<0o644>();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(bindings::umode_t);

impl Mode {
    /// Makes a mode of permission bits such as `0o644`, from `0o001` to `0o666`.
    pub const fn new<const BITS: u16>() -> Self {
        const {
            assert!(BITS != 0, "mode 0 would become 0444");
            assert!(
                BITS & !0o666 == 0,
                "only the read and write bits mean something; is this number meant in octal?"
            );
        }
        Self(BITS)
    }

    pub(super) const fn as_raw(self) -> bindings::umode_t {
        self.0
    }
}
