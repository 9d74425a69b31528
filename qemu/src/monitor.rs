// SPDX-License-Identifier: GPL-2.0

//! QEMU's monitor, which takes commands as a person types them (docs/system/monitor.rst in QEMU's source).

use anyhow::{Result, ensure};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// What it says when it waits for a command.
const PROMPT: &[u8] = b"(qemu) ";

/// What takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Monitor {
    stream: UnixStream,
    /// It has prompted for a first command.
    has_greeted: bool,
}

impl Monitor {
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self {
            stream,
            has_greeted: false,
        })
    }

    /// Gives a command, and returns what it says when that is done.
    pub(crate) fn command(&mut self, command: &str) -> Result<String> {
        if !self.has_greeted {
            self.prompt()?;
            self.has_greeted = true;
        }
        writeln!(self.stream, "{command}")?;
        self.prompt()
    }

    /// What it says until it prompts.
    fn prompt(&mut self) -> Result<String> {
        let mut said = Vec::new();
        let mut buffer = [0; 1 << 12];
        while !said.ends_with(PROMPT) {
            let count = self.stream.read(&mut buffer)?;
            ensure!(count > 0, "QEMU's monitor is gone");
            said.extend(&buffer[..count]);
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}
