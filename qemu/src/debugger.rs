// SPDX-License-Identifier: GPL-2.0

//! `--gdb`: the guest is stopped before its command runs, with its modules loaded, and waits for a debugger.

use crate::monitor::Monitor;
use anyhow::{Context, Result};
use std::{
    fmt::Write as _,
    fs,
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// Where gdb finds the guest, and what it is to do first.
pub(crate) const SOCKET: &str = "build/gdb.socket";
const SCRIPT: &str = "build/gdb.script";

/// How the guest's init tells where a section of a module is: `section MODULE NAME ADDRESS`, and that this was all.
pub(crate) const SECTION: &str = "section ";
pub(crate) const LOADED: &str = "loaded";

/// What the host has of a guest that is to be debugged.
pub(crate) struct Debugger {
    /// To the guest's init.
    status: UnixStream,
    /// What the debugger can know of the kernel, where it was built here.
    kernel: PathBuf,
    /// The modules that were built.
    modules: Vec<PathBuf>,
    /// The lines of the init so far.
    sections: Vec<String>,
}

impl Debugger {
    pub(crate) fn new(status: UnixStream, kernel: &Path, modules: &[PathBuf]) -> Self {
        Self {
            status,
            kernel: kernel.with_extension("debug"),
            modules: modules.to_vec(),
            sections: Vec::new(),
        }
    }

    /// Takes a line of the init, and says whether it was one for this.
    pub(crate) fn takes(&mut self, line: &str, monitor: &mut Monitor) -> bool {
        if line == LOADED {
            if let Err(error) = self.stop(monitor) {
                eprintln!("qemu/boot: --gdb: {error:#}");
            }
            return true;
        }
        let section = line.strip_prefix(SECTION);
        self.sections.extend(section.map(str::to_owned));
        section.is_some()
    }

    /// Stops the guest, lets its init go on when it runs again, and says how to debug it.
    fn stop(&mut self, monitor: &mut Monitor) -> Result<()> {
        fs::write(SCRIPT, self.script()?).context(SCRIPT)?;
        monitor.command("stop")?;
        self.status.write_all(b"\n")?;
        eprintln!("qemu/boot: the guest is stopped. In another terminal, in this directory:");
        eprintln!();
        eprintln!("    scripts/gdb");
        eprintln!();
        eprintln!("qemu/boot: or any gdb: gdb -x {SCRIPT}. `continue` lets the command run.");
        Ok(())
    }

    /// What gdb is to do first.
    fn script(&self) -> Result<String> {
        // The guest comes first: it says what a machine it is, and so how wide addresses are.
        let mut script = format!("set confirm off\nset remotetimeout 60\ntarget remote {SOCKET}\n");
        if self.kernel.exists() {
            writeln!(script, "symbol-file {}", shown(&self.kernel).display())?;
        }
        for module in &self.modules {
            let name = module.file_stem().context("a module's name")?;
            let name = name.to_string_lossy().replace('-', "_");
            let mut text = None;
            let mut others = String::new();
            for line in &self.sections {
                let [of, section, address] = line.split(' ').collect::<Vec<_>>()[..] else {
                    continue;
                };
                match section {
                    _ if of != name => {}
                    ".text" => text = Some(address),
                    // What is gone after loading, and what gdb has no use for.
                    ".init.text" | ".init.data" => {}
                    _ if section.starts_with(".data")
                        || section.starts_with(".bss")
                        || section.starts_with(".rodata")
                        || section.starts_with(".text")
                        || section == ".exit.text" =>
                    {
                        write!(others, " -s {section} {address}")?;
                    }
                    _ => {}
                }
            }
            if let Some(text) = text {
                writeln!(
                    script,
                    "add-symbol-file {} {text}{others}",
                    shown(module).display()
                )?;
            }
        }
        Ok(script)
    }
}

/// A path as the host has it.
fn shown(path: &Path) -> PathBuf {
    path.strip_prefix(crate::HOST)
        .map_or_else(|_| path.to_owned(), |path| Path::new("/").join(path))
}
