// SPDX-License-Identifier: GPL-2.0

//! What there is to know of a kernel of `qemu/kernels`.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The kernel that is meant where none is named.
pub fn default_kernel() -> &'static str {
    let file = include_str!("../kernels/default");
    file.lines().last().unwrap_or_default()
}

/// A kernel that `scripts/kernel` has made.
pub struct Kernel {
    /// Its file, as a boot loader takes it.
    pub image: PathBuf,
    /// What is packed in that, if it can be booted as it is.
    pub elf: Option<PathBuf>,
    /// Its architecture, in Debian's names.
    pub architecture: String,
    /// What `uname -r` says on it.
    pub release: String,
    /// Its build directory, where its package has it: `scripts/enter --headers` puts it there.
    pub headers: PathBuf,
    /// Whether it is built with KASAN and the like: it notices more, and is several times slower.
    pub checks_itself: bool,
    /// Whether it is built with clang, and so are its modules.
    pub llvm: bool,
}

impl Kernel {
    /// The one in a directory that `scripts/kernel` has printed.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn of(directory: &Path) -> Result<Self> {
        let line = |name: &str| {
            let path = directory.join(name);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            anyhow::Ok(text.trim_end().to_owned())
        };
        let release = line("release")?;
        let headers = format!("usr/src/linux-headers-{release}");
        let config = line(&format!("{headers}/.config"))?;
        let has = |option: &str| config.lines().any(|line| line == option);
        Ok(Self {
            image: directory.join("vmlinuz"),
            elf: Some(directory.join("vmlinux")).filter(|elf| elf.exists()),
            architecture: line("arch")?,
            headers: Path::new("/").join(headers),
            checks_itself: has("CONFIG_KASAN=y"),
            llvm: has("CONFIG_CC_IS_CLANG=y"),
            release,
        })
    }
}
