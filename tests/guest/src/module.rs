// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading modules, and the file that fortune.ko makes.

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

/// A module, loaded; unloaded when it is dropped.
pub(crate) struct Module(&'static str);

impl Module {
    /// Loads fortune.ko with parameters such as `pot_size=10`.
    pub(crate) fn load(parameters: &str) -> Self {
        Self::load_file("fortune", parameters)
    }

    pub(crate) fn try_load(parameters: &str) -> Result<Self, Errno> {
        Self::try_load_file("fortune", parameters)
    }

    /// Loads `name`.ko.
    pub(crate) fn load_file(name: &'static str, parameters: &str) -> Self {
        Self::try_load_file(name, parameters)
            .unwrap_or_else(|error| panic!("{name}.ko does not load with '{parameters}': {error}"))
    }

    pub(crate) fn try_load_file(name: &'static str, parameters: &str) -> Result<Self, Errno> {
        let file = File::open(format!("{name}.ko")).expect("the module is in this directory");
        let parameters = CString::new(parameters).expect("no NUL");
        finit_module(file, &parameters, ModuleInitFlags::empty())?;
        Ok(Self(name))
    }

    /// Unloads it, and says if that failed.
    pub(crate) fn try_unload(self) -> Result<(), Errno> {
        let name = self.0;
        std::mem::forget(self);
        unload(name)
    }

    pub(crate) fn unload(self) {
        self.try_unload().expect("the module unloads");
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // A test that failed has said why already.
        let _ = unload(self.0);
    }
}

fn unload(name: &str) -> Result<(), Errno> {
    let name = CString::new(name).expect("no NUL");
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK)
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
