// SPDX-License-Identifier: GPL-2.0

//! Makes the guest's root: the programs that `scripts/buildroot` has put aside for guests, PID 1, and the files
//! of the command line.

use crate::guest::Architecture;
use anyhow::{Context, Result};
use cpio::newc;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A cpio archive in the format that the kernel unpacks (Documentation/driver-api/early-userspace/
/// buffer-format.rst).
struct Archive {
    out: BufWriter<File>,
    inode: u32,
    /// What is in it already.
    names: BTreeSet<PathBuf>,
}

impl Archive {
    const DIRECTORY: u32 = 0o040_000;
    const REGULAR: u32 = 0o100_000;
    const SYMLINK: u32 = 0o120_000;

    fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            out: BufWriter::new(File::create(path)?),
            inode: 0,
            names: BTreeSet::new(),
        })
    }

    fn finish(mut self) -> Result<()> {
        newc::trailer(&mut self.out)?;
        self.out.flush()?;
        Ok(())
    }

    fn add(&mut self, name: &Path, mode: u32, content: &[u8]) -> Result<()> {
        if let Some(parent) = name.parent() {
            self.directory(parent)?;
        }
        self.inode += 1;
        self.names.insert(name.to_owned());
        let name = name.to_str().context("names in the guest are UTF-8")?;
        let size = u32::try_from(content.len())?;
        let mut entry = newc::Builder::new(name)
            .ino(self.inode)
            .mode(mode)
            .nlink(1)
            .write(&mut self.out, size);
        entry.write_all(content)?;
        entry.finish()?;
        Ok(())
    }

    /// Adds a directory and those above it, once.
    fn directory(&mut self, name: &Path) -> Result<()> {
        if name.as_os_str().is_empty() || self.names.contains(name) {
            return Ok(());
        }
        self.add(name, Self::DIRECTORY | 0o755, b"")
    }

    /// Adds what is at `path` as it is, with all that is below it, under `name`. Such as insmod can be a link, to kmod.
    fn copy(&mut self, path: &Path, name: &Path) -> Result<()> {
        let context = || path.display().to_string();
        let metadata = fs::symlink_metadata(path).with_context(context)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            let target = fs::read_link(path).with_context(context)?;
            self.symlink(&name.to_string_lossy(), &target.to_string_lossy())?;
        } else if metadata.is_dir() {
            if !name.as_os_str().is_empty() {
                self.add(name, Self::DIRECTORY | mode, b"")?;
            }
            for entry in fs::read_dir(path).with_context(context)? {
                let entry = entry?;
                self.copy(&entry.path(), &name.join(entry.file_name()))?;
            }
        } else if metadata.is_file() {
            let content = fs::read(path).with_context(context)?;
            self.add(name, Self::REGULAR | mode, &content)?;
        }
        Ok(())
    }

    fn symlink(&mut self, name: &str, target: &str) -> Result<()> {
        self.add(Path::new(name), Self::SYMLINK | 0o777, target.as_bytes())
    }
}

/// Where the command starts, below the guest's root.
pub(crate) const HOME: &str = "root";

/// What the guest's root is made of.
pub(crate) enum Root {
    /// The programs in this directory, and the libraries that they need.
    Programs(PathBuf),
    /// All of this directory.
    Whole(PathBuf),
}

/// Writes the initramfs: the root, and PID 1.
pub(crate) fn write_root(path: &Path, architecture: &Architecture, root: &Root) -> Result<()> {
    let mut archive = Archive::new(path)?;
    match root {
        Root::Programs(root) => {
            // The kernel unpacks several archives, one after the other.
            let mut programs = File::open(programs(root, architecture)?)?;
            io::copy(&mut programs, &mut archive.out)?;
            archive.names.extend(LINKS.map(|(name, _)| name.into()));
        }
        Root::Whole(root) => archive.copy(root, Path::new(""))?,
    }
    archive.directory(Path::new(HOME))?;
    archive.copy(&init(architecture)?, Path::new("init"))?;
    archive.finish()
}

/// PID 1.
pub(crate) fn init(architecture: &Architecture) -> Result<PathBuf> {
    let name = format!("init-{}", architecture.debian);
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Writes the archive that PID 1 gets: `files` are paths in the guest and here.
pub(crate) fn write_session(
    path: &Path,
    files: &BTreeMap<String, PathBuf>,
    command: &[String],
    environment: &str,
    nonce: &str,
) -> Result<()> {
    let mut archive = Archive::new(path)?;
    for (there, here) in files {
        archive.copy(here, Path::new(there))?;
    }
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
    let command: String = command.iter().flat_map(|word| [word, "\0"]).collect();
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    for (name, content) in [
        ("command", command.as_bytes()),
        ("environment", environment.as_bytes()),
        ("nonce", nonce.as_bytes()),
        ("terminal", terminal.as_bytes()),
        ("seed", &seed),
    ] {
        archive.add(Path::new(name), Archive::REGULAR | 0o600, content)?;
    }
    archive.finish()
}

/// Where the directories of programs and libraries are also.
const LINKS: [(&str, &str); 4] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
];

/// An archive of the programs below `root` and the libraries that they need, which is made once.
pub(crate) fn programs(root: &Path, architecture: &Architecture) -> Result<PathBuf> {
    // The root's name changes with what it is made of.
    let name = root.parent().and_then(Path::file_name);
    let name = name.context("a name of the root")?.to_string_lossy();
    let made = Path::new("build").join(format!("guest-{name}.cpio"));
    if made.exists() {
        return Ok(made);
    }
    let part = tempfile::NamedTempFile::new_in("build")?;
    let mut archive = Archive::new(part.path())?;
    for directory in ["dev", "proc", "sys", "tmp", "run", "etc", "var/lib"] {
        archive.directory(Path::new(directory))?;
    }
    for (name, target) in LINKS {
        archive.symlink(name, target)?;
    }
    for program in all_of(root, architecture)? {
        archive.copy(&program, program.strip_prefix(root)?)?;
    }
    archive.add(
        Path::new("etc/passwd"),
        Archive::REGULAR | 0o644,
        format!("root:x:0:0:root:/{HOME}:/bin/sh\n").as_bytes(),
    )?;
    archive.finish()?;
    part.persist(&made)?;
    Ok(made)
}

/// The programs below `root`, and the libraries that they need.
fn all_of(root: &Path, architecture: &Architecture) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for directory in ["usr/bin", "usr/sbin"] {
        let directory = root.join(directory);
        for file in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            all.insert(file?.path());
        }
    }
    // What needs what, from one level to the next.
    let mut level: Vec<PathBuf> = all.iter().cloned().collect();
    while !level.is_empty() {
        let needed = needed(root, &level, architecture)?;
        level = needed
            .into_iter()
            .filter(|path| all.insert(path.clone()))
            .collect();
    }
    Ok(all)
}

/// The libraries and the dynamic linkers that these programs and libraries name.
fn needed(
    root: &Path,
    files: &[PathBuf],
    architecture: &Architecture,
) -> Result<BTreeSet<PathBuf>> {
    let directories = [
        root.join("usr/lib"),
        root.join("usr/lib").join(architecture.multiarch),
    ];
    // ldd would run them, which takes their architecture. readelf fails for scripts, which need nothing, and
    // lists the others all the same.
    let output = Command::new("readelf")
        .args(["--wide", "--dynamic", "--program-headers"])
        .args(files)
        .output()
        .context("readelf")?;
    let dynamic = String::from_utf8(output.stdout)?;
    let mut paths = BTreeSet::new();
    for line in dynamic.lines() {
        if let Some((_, name)) = line.split_once("Shared library: [") {
            let name = name.trim_end_matches(']');
            let found = directories.iter().map(|directory| directory.join(name));
            let path = found.into_iter().find(|path| path.exists());
            paths.insert(path.with_context(|| format!("no library {name}"))?);
        } else if let Some((_, linker)) = line.split_once("program interpreter: ") {
            let linker = linker.trim_end_matches(']');
            paths.insert(root.join("usr").join(linker.trim_start_matches('/')));
        }
    }
    // A library's name is often a link to the file itself.
    let files: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    paths.extend(files);
    Ok(paths)
}
