// SPDX-License-Identifier: GPL-2.0

//! Files of the kernel.

pub mod file {
    //! What is about one of them.

    /// A position.
    pub type Offset = i64;
}

/// A file that is being opened.
#[derive(Debug)]
pub struct LocalFile;
