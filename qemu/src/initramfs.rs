// SPDX-License-Identifier: GPL-2.0

//! Makes the guest's root: programs of the Debian root that this runs in, PID 1, and the files of the
//! command line.

use anyhow::{Context, Result, ensure};
use cpio::newc;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The Debian packages whose programs the guest has.
const PACKAGES: &[&str] = &["busybox", "coreutils", "dash", "kmod", "strace"];

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

    /// Adds a file as it is at `path`, under `name`.
    fn copy(&mut self, path: &Path, name: &Path) -> Result<()> {
        let context = || path.display().to_string();
        let content = fs::read(path).with_context(context)?;
        let mode = fs::metadata(path)
            .with_context(context)?
            .permissions()
            .mode()
            & 0o7777;
        self.add(name, Self::REGULAR | mode, &content)
    }

    /// Whether there is a program `name`.
    fn has(&self, name: &str) -> bool {
        ["usr/bin", "usr/sbin"]
            .iter()
            .any(|path| self.names.contains(&Path::new(path).join(name)))
    }

    fn symlink(&mut self, name: &str, target: &str) -> Result<()> {
        self.add(Path::new(name), Self::SYMLINK | 0o777, target.as_bytes())
    }
}

/// Writes the archive: `files` are paths here and in the guest; `command` and `nonce` are for PID 1.
pub(crate) fn write(
    path: &Path,
    files: &[(PathBuf, String)],
    command: &[String],
    nonce: &str,
) -> Result<()> {
    let mut archive = Archive {
        out: BufWriter::new(File::create(path)?),
        inode: 0,
        names: BTreeSet::new(),
    };
    for directory in ["dev", "proc", "sys", "tmp", "run", "etc"] {
        archive.directory(Path::new(directory))?;
    }
    for (name, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
    ] {
        archive.symlink(name, target)?;
    }
    for program in programs()? {
        let name = program.strip_prefix("/")?;
        // Such as insmod, which is kmod.
        match fs::read_link(&program) {
            Ok(target) => {
                archive.symlink(&name.to_string_lossy(), &target.to_string_lossy())?;
            }
            Err(_) => archive.copy(&program, name)?,
        }
    }

    // What the others don't have, such as mount and dmesg.
    for applet in output("busybox", &["--list"])?.lines() {
        if !archive.has(applet) {
            archive.symlink(&format!("usr/bin/{applet}"), "busybox")?;
        }
    }

    let guest = std::env::current_exe()?.with_file_name("guest");
    archive.copy(&guest, Path::new("init"))?;
    archive.symlink("usr/bin/guest", "/init")?;
    archive.add(
        Path::new("etc/passwd"),
        Archive::REGULAR | 0o644,
        b"root:x:0:0:root:/fortune:/bin/sh\n",
    )?;
    for (here, there) in files {
        archive.copy(here, Path::new(there))?;
    }
    let command: String = command.iter().flat_map(|word| [word, "\0"]).collect();
    for word in [
        ("command", command.as_str()),
        ("nonce", nonce),
        ("terminal", &terminal()),
    ] {
        archive.add(
            Path::new(word.0),
            Archive::REGULAR | 0o600,
            word.1.as_bytes(),
        )?;
    }
    newc::trailer(&mut archive.out)?;
    archive.out.flush()?;
    Ok(())
}

/// The kind of terminal this is, its rows and its columns.
fn terminal() -> String {
    let kind = std::env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
    let size = Command::new("stty")
        .arg("size")
        .stderr(Stdio::null())
        .output();
    let size = size.map(|output| output.stdout).unwrap_or_default();
    match String::from_utf8_lossy(&size).trim_end() {
        "" | "0 0" => format!("{kind} 24 80"),
        size => format!("{kind} {size}"),
    }
}

/// The programs of [`PACKAGES`], and the libraries that they need.
fn programs() -> Result<BTreeSet<PathBuf>> {
    let listed = output("dpkg", &[&["--listfiles"], PACKAGES].concat())?;
    let mut all: BTreeSet<PathBuf> = listed
        .lines()
        // A package may name /bin what has been in /usr/bin since the two were merged.
        .filter_map(|path| path.strip_prefix("/usr").or(Some(path)))
        .filter(|path| path.starts_with("/bin/") || path.starts_with("/sbin/"))
        .map(|path| PathBuf::from(format!("/usr{path}")))
        .filter(|path| path.is_file())
        .collect();
    // What needs what, from one level to the next.
    let mut level: Vec<PathBuf> = all.iter().cloned().collect();
    while !level.is_empty() {
        let names: Vec<&str> = level.iter().filter_map(|path| path.to_str()).collect();
        let needed = needed(&names)?;
        level = needed
            .into_iter()
            .filter(|path| all.insert(path.clone()))
            .collect();
    }
    Ok(all)
}

/// The libraries and the dynamic linkers that these programs and libraries name.
fn needed(files: &[&str]) -> Result<BTreeSet<PathBuf>> {
    // As ldd would find them, which takes a process for each file.
    let directories = [
        "/usr/lib",
        &format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH),
    ];
    let dynamic = output(
        "readelf",
        &[&["--wide", "--dynamic", "--program-headers"], files].concat(),
    )?;
    let mut paths = BTreeSet::new();
    for line in dynamic.lines() {
        if let Some((_, name)) = line.split_once("Shared library: [") {
            let name = name.trim_end_matches(']');
            let found = directories
                .iter()
                .map(|directory| Path::new(directory).join(name));
            let path = found.into_iter().find(|path| path.exists());
            paths.insert(path.with_context(|| format!("no library {name}"))?);
        } else if let Some((_, linker)) = line.split_once("program interpreter: ") {
            paths.insert(PathBuf::from(format!(
                "/usr{}",
                linker.trim_end_matches(']')
            )));
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

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .context(program.to_owned())?;
    // readelf fails for scripts, which need nothing, and lists the others all the same.
    let known = output.status.success() || program == "readelf";
    ensure!(
        known,
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
