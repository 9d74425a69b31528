// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading modules, and the file that fortune.ko makes.

use crate::coverage;
use ktap::is_brief;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module},
    sys::stat::Mode,
    unistd::{Whence, lseek, read},
};
use std::{
    collections::BTreeMap,
    env,
    ffi::{CStr, CString},
    fs::{self, File, OpenOptions},
    io::Read,
    os::fd::OwnedFd,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What has not come about by then will not.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// The file under test.
pub(crate) const FORTUNE: &str = "/proc/fortune";

/// The directory beside it.
pub(crate) const CONTROL: &str = "/proc/driver/fortune";

/// Which module makes that file, and parameters that it always has: fortune.ko, or what the environment's `MODULE` says, such as
/// `legacy bug=4`.
static UNDER_TEST: LazyLock<(String, String)> = LazyLock::new(|| {
    let words = env::var("MODULE").unwrap_or_else(|_| "fortune".to_owned());
    let (name, parameters) = words.split_once(' ').unwrap_or((&words, ""));
    (name.to_owned(), format!("{parameters} "))
});

/// A module, loaded; unloaded when it is dropped.
pub(crate) struct Module(&'static str);

impl Module {
    /// Loads fortune.ko with parameters such as `pot_size=10`.
    pub(crate) fn load(parameters: &str) -> Self {
        let (name, own) = &*UNDER_TEST;
        Self::load_file(name, &(own.to_owned() + parameters))
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
        let module = Self::try_load_from(name, &file, &parameters)?;
        if name == "fortune" {
            coverage::loaded();
        }
        Ok(module)
    }

    /// Loads a module from its file, by one system call.
    pub(crate) fn try_load_from(
        name: &'static str,
        file: &File,
        parameters: &CStr,
    ) -> Result<Self, Errno> {
        finit_module(file, parameters, ModuleInitFlags::empty())?;
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
        let done = unload(self.0);
        // A test that failed has said why already.
        if !std::thread::panicking() {
            done.expect("the module unloads");
        }
    }
}

fn unload(name: &str) -> Result<(), Errno> {
    let c_name = CString::new(name).expect("no NUL");
    delete_module(&c_name, DeleteModuleFlags::O_NONBLOCK)?;
    if name == "fortune" {
        coverage::unloaded();
    }
    Ok(())
}

/// Whether this kernel checks itself, and so is several times slower: qemu/boot says so.
pub(crate) fn is_debug_kernel() -> bool {
    env::var_os("CHECKS_ITSELF").is_some()
}

/// How much of something a test is to do on a stock kernel, and on one that checks itself, or briefly.
pub(crate) fn by_kernel<T>(stock: T, debug: T) -> T {
    if is_debug_kernel() || is_brief() {
        debug
    } else {
        stock
    }
}

/// Says when it is dropped that others are to end: also when a test fails.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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

/// Reads a file of [`CONTROL`].
pub(crate) fn control(name: &str) -> String {
    fs::read_to_string(format!("{CONTROL}/{name}"))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Writes to a file of [`CONTROL`], by one write.
pub(crate) fn set(name: &str, text: &str) -> Result<usize, Errno> {
    let path = format!("{CONTROL}/{name}");
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .expect("it opens for writing");
    nix::unistd::write(&file, text.as_bytes())
}

/// What `cat /proc/driver/fortune/pot` prints.
pub(crate) fn pot() -> Vec<u8> {
    fs::read(format!("{CONTROL}/pot")).expect("the pot reads")
}

/// The fortunes in the pot, as `pot` shows them.
#[track_caller]
pub(crate) fn assert_pot(fortunes: &[&str]) {
    let mut expected: String = fortunes.iter().map(|text| format!("{text}\n%\n")).collect();
    if !expected.is_empty() {
        expected.insert_str(0, "%\n");
    }
    assert_eq!(String::from_utf8_lossy(&pot()), expected);
}

/// The lines of `stats`, by name.
pub(crate) fn stats() -> BTreeMap<String, u64> {
    let text = control("stats");
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    let lines: Option<BTreeMap<_, _>> = text.lines().map(line).collect();
    lines.unwrap_or_else(|| panic!("stats reads {text:?}"))
}

/// One line of `stats`.
pub(crate) fn stat(name: &str) -> u64 {
    stats()[name]
}

/// What [`cat`] prints, as text.
#[track_caller]
pub(crate) fn assert_cat(text: &str) {
    assert_eq!(String::from_utf8_lossy(&cat()), text);
}

/// The kernel log from now on.
pub(crate) struct KernelLog(OwnedFd);

impl KernelLog {
    pub(crate) fn new() -> Self {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let log = nix::fcntl::open("/dev/kmsg", flags, Mode::empty()).expect("/dev/kmsg opens");
        lseek(&log, 0, Whence::SeekEnd).expect("/dev/kmsg has an end");
        Self(log)
    }

    /// The lines since it was made, or asked last.
    pub(crate) fn said(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        // Each read returns one record: numbers, a semicolon, the line, and more lines with what belongs to it.
        loop {
            match read(&self.0, &mut record) {
                Ok(count) => {
                    let record = String::from_utf8_lossy(&record[..count]);
                    let line = record.split_once(';').map_or(&*record, |(_, line)| line);
                    lines.extend(line.lines().next().map(str::to_owned));
                }
                Err(Errno::EPIPE) => lines.push("more than the log takes".to_owned()),
                Err(Errno::EAGAIN) => break,
                Err(error) => panic!("/dev/kmsg: {error}"),
            }
        }
        lines
    }
}
