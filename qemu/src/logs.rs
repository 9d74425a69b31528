// SPDX-License-Identifier: GPL-2.0

//! The kernel logs of the last runs.

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

/// So many are kept,
const KEPT: usize = 10;

/// and those that are not older, and those of guests that run.
const AGE: Duration = Duration::from_secs(60 * 60);

/// The log of a run. It is that of a guest which runs as long as this is there.
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    _lock: Flock<File>,
}

/// Begins a log in `build/log`, which `build/console.log` is then a link to.
pub(crate) fn begin(build: &Path) -> Result<Log> {
    let directory = build.join("log");
    let context = || directory.display().to_string();
    fs::create_dir_all(&directory).with_context(context)?;
    let mut known = Vec::new();
    for entry in fs::read_dir(&directory).with_context(context)? {
        known.extend(number(&entry?.path()));
    }
    known.sort_unstable();
    let path = |number| directory.join(format!("{number}.log"));

    // Others begin one too.
    let mut next = known.last().map_or(1, |last| last + 1);
    let file = loop {
        match File::create_new(path(next)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => next += 1,
            file => break file.with_context(context)?,
        }
    };
    let held = lock(file).with_context(context)?;
    let link = directory.join(format!("{next}.link"));
    symlink(format!("log/{next}.log"), &link).with_context(context)?;
    fs::rename(&link, build.join("console.log")).with_context(context)?;

    let old = known.len().saturating_sub(KEPT - 1);
    for path in known[..old].iter().map(|&number| path(number)) {
        // Others remove them too.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let is_old = file.metadata()?.modified()?.elapsed().unwrap_or_default() > AGE;
        if is_old && lock(file).is_ok() {
            fs::remove_file(&path).with_context(context)?;
        }
    }
    Ok(Log {
        path: path(next),
        _lock: held,
    })
}

/// That of `17.log`.
fn number(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".log")?.parse().ok()
}

/// Fails if another guest has it.
fn lock(file: File) -> Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| anyhow!(error))
}
