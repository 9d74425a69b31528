// SPDX-License-Identifier: GPL-2.0

//! Guests that have come up and are kept, to go on with instead of booting.
//!
//! The state of a guest whose init waits for its command's files is a file in `build/up`, which QEMU writes and reads as it
//! does for a migration (docs/devel/migration/mapped-ram.rst in QEMU's source). It is that of one QEMU, of the arguments and the
//! devices that this program gives it, of the files it has booted from, and of one boot of the host: with others, a guest boots.

use crate::{guest::Machine, monitor::Monitor, scan};
use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where they are.
const DIRECTORY: &str = "build/up";

/// How the names of what is being written begin.
const BEGUN: &str = ".begun";

const HOUR: Duration = Duration::from_secs(3600);

/// A guest that is kept, or can be.
#[derive(Clone)]
pub(crate) struct Kept {
    /// Of each kernel one is kept.
    kernel: String,
    pub(crate) state: PathBuf,
}

impl Kept {
    /// The one that starts as `machine` does, from `files` and the kernel in that directory.
    pub(crate) fn of(machine: &Machine, kernel: &Path, files: &[PathBuf]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        machine.arguments().hash(&mut hasher);
        // The clock ticks as the host's CPU does, which is another one, if at all, when the host has booted anew.
        fs::read("/proc/sys/kernel/random/boot_id")?.hash(&mut hasher);
        let qemu = program(machine.architecture.qemu)?;
        for file in files.iter().chain([&machine.kernel, &qemu]) {
            let metadata = fs::metadata(file).with_context(|| file.display().to_string())?;
            (file, metadata.len(), metadata.modified()?).hash(&mut hasher);
        }
        // It ends with the key of what it was made of.
        let name = kernel.file_name().context("a name of the kernel")?;
        let name = name.to_string_lossy();
        let kernel = name.rsplit_once('.').map_or(&*name, |(name, _)| name);
        Ok(Self {
            kernel: kernel.to_owned(),
            state: Path::new(DIRECTORY).join(format!("{kernel}.{:016x}", hasher.finish())),
        })
    }

    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.state.exists() && self.log().exists()
    }

    /// What its kernel has said until then.
    pub(crate) fn log(&self) -> PathBuf {
        let mut path = self.state.clone().into_os_string();
        path.push(".log");
        path.into()
    }

    /// Keeps a guest instead of the one of its kernel that is kept.
    pub(crate) fn keep(&self, monitor: &mut Monitor, console: &Path) -> Result<()> {
        let kept = self.write(monitor, console);
        // It stands still after that.
        monitor.command("cont")?;
        kept
    }

    fn write(&self, monitor: &mut Monitor, console: &Path) -> Result<()> {
        fs::create_dir_all(DIRECTORY).context(DIRECTORY)?;
        let begin = || {
            tempfile::Builder::new()
                .prefix(BEGUN)
                .tempfile_in(DIRECTORY)
        };
        let part = begin()?;
        // It has a limit otherwise, for the sake of a network.
        monitor.command("migrate_set_parameter max-bandwidth 100G")?;
        monitor.command(&format!("migrate file:{}", part.path().display()))?;
        let said = monitor.command("info migrate")?;
        ensure!(said.contains("Migration status: completed"), "{said}");
        for file in fs::read_dir(DIRECTORY)? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // This one may be there already, and be gone on with.
            let is_this = path == self.state || path == self.log();
            let is_other = name.starts_with(&format!("{}.", self.kernel)) && !is_this;
            // What one has begun that was killed.
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let is_left = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > HOUR));
            if is_other || (name.starts_with(BEGUN) && is_left) {
                // Another one may do the same.
                let _ = fs::remove_file(path);
            }
        }
        // Whoever goes on with it begins with that log.
        let log = begin()?;
        fs::copy(console, log.path())?;
        let said = fs::read(log.path())?;
        let complaints = scan::complaints(&String::from_utf8_lossy(&said));
        ensure!(complaints.is_empty(), "{}", complaints[0]);
        log.persist(self.log())?;
        part.persist(&self.state)?;
        Ok(())
    }

    /// Forgets it.
    pub(crate) fn remove(&self) {
        // Another one may have done that.
        let _ = fs::remove_file(&self.state);
        let _ = fs::remove_file(self.log());
    }
}

/// The file of a program.
fn program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let files = env::split_paths(&path).map(|directory| directory.join(name));
    let found = files.into_iter().find(|file| file.exists());
    found.with_context(|| format!("no program {name}"))
}
