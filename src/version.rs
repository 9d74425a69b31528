// SPDX-License-Identifier: GPL-2.0

//! The version of the module, for which `module!` has no word.
//!
//! `MODULE_VERSION` of C leaves a string in the section `.modinfo`, as `module!` does for what it knows; so does this.
//! `modinfo` shows it, and the kernel has it as `/sys/module/fortune/version`.

/// The version, which stands here and nowhere else in the module: a package has its own put here
/// (`scripts/package/fortune-dkms/tree`).
const VERSION: &str = "1.0";

/// What comes before it.
const KEY: &str = "version=";

/// With the NUL that ends it.
const LEN: usize = KEY.len() + VERSION.len() + 1;

// As `module!` does it: by a plain `#[used]` rustc 1.89 and later would put it into a second section of that name, of
// which modpost sees only one.
#[link_section = ".modinfo"]
#[used(compiler)]
static MODINFO: [u8; LEN] = modinfo();

const fn modinfo() -> [u8; LEN] {
    let mut line = [0; LEN];
    let mut at = 0;
    // At build time, where an index out of bounds is an error.
    while at < KEY.len() + VERSION.len() {
        line[at] = if at < KEY.len() {
            KEY.as_bytes()[at]
        } else {
            VERSION.as_bytes()[at - KEY.len()]
        };
        at += 1;
    }
    line
}
