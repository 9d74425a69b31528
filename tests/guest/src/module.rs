// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading fortune.ko, and the file it makes.

use nix::{
    errno::Errno,
    kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module},
};
use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::Read,
};

/// The file under test.
pub(crate) const FORTUNE: &str = "/proc/fortune";

/// fortune.ko, loaded; unloaded when it is dropped.
pub(crate) struct Module(());

impl Module {
    /// Loads it with parameters such as `pot_size=10`.
    pub(crate) fn try_load(parameters: &str) -> Result<Self, Errno> {
        let file = File::open("fortune.ko").expect("fortune.ko is in the current directory");
        finit_module(
            file,
            &CString::new(parameters).unwrap(),
            ModuleInitFlags::empty(),
        )?;
        Ok(Self(()))
    }

    pub(crate) fn load(parameters: &str) -> Self {
        Self::try_load(parameters)
            .unwrap_or_else(|error| panic!("fortune.ko does not load with '{parameters}': {error}"))
    }

    /// Unloads it, and says if that failed.
    pub(crate) fn try_unload(self) -> Result<(), Errno> {
        std::mem::forget(self);
        unload()
    }

    pub(crate) fn unload(self) {
        self.try_unload().expect("fortune.ko unloads");
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // A test that failed has said why already.
        let _ = unload();
    }
}

fn unload() -> Result<(), Errno> {
    delete_module(c"fortune", DeleteModuleFlags::O_NONBLOCK)
}

/// Opens /proc/fortune for reading and writing.
pub(crate) fn open() -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(FORTUNE)
        .expect("/proc/fortune opens")
}

/// Stores `bytes` by one write through a descriptor of its own, as `printf … > /proc/fortune` does.
pub(crate) fn store(bytes: &[u8]) -> Result<usize, Errno> {
    let file = OpenOptions::new()
        .write(true)
        .open(FORTUNE)
        .expect("/proc/fortune opens for writing");
    nix::unistd::write(&file, bytes)
}

/// Stores `text` and its newline, as `echo text > /proc/fortune` does.
pub(crate) fn echo(text: &str) {
    let line = format!("{text}\n");
    assert_eq!(store(line.as_bytes()), Ok(line.len()), "echo {text:.20}…");
}

/// Reads to the end of the file, as `cat /proc/fortune` does.
pub(crate) fn cat() -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(FORTUNE)
        .expect("/proc/fortune opens for reading")
        .read_to_end(&mut bytes)
        .expect("/proc/fortune reads");
    bytes
}

/// What [`cat`] prints, as text.
#[track_caller]
pub(crate) fn assert_cat(text: &str) {
    assert_eq!(String::from_utf8_lossy(&cat()), text);
}
