// SPDX-License-Identifier: GPL-2.0

//! Programs on a terminal, as a person has them.

use nix::pty::{Winsize, openpty};
use std::{
    fs,
    io::{Read, Write},
    mem,
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A program on a terminal of 50 rows.
pub(crate) struct Terminal {
    program: Child,
    /// What a person holds.
    ours: fs::File,
    theirs: OwnedFd,
    shown: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    pub(crate) fn start(command: &Command, columns: u16) -> Self {
        let size = Winsize {
            ws_row: 50,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        let mut program = Command::new("setsid");
        program
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args())
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let ours = fs::File::from(pty.master);
        let shown = Arc::<Mutex<String>>::default();
        let (mut from, to) = (ours.try_clone().unwrap(), Arc::clone(&shown));
        // Reading fails when nobody has the other end any more.
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                *to.lock().unwrap() += &String::from_utf8_lossy(&buffer[..count]);
            }
        });
        Self {
            program: program.spawn().unwrap(),
            ours,
            theirs: pty.slave,
            shown,
            reader,
        }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until what was shown since the last time has some words, and returns it.
    #[track_caller]
    pub(crate) fn shows(&self, words: &str) -> String {
        for _ in 0..600 {
            let mut shown = self.shown.lock().unwrap();
            if let Some(at) = shown.find(words) {
                let rest = shown.split_off(at + words.len());
                return mem::replace(&mut shown, rest);
            }
            drop(shown);
            thread::sleep(Duration::from_millis(100));
        }
        panic!("no {words:?} in {:?}", self.shown.lock().unwrap());
    }

    pub(crate) fn resize(&self, rows: &str, columns: &str) {
        let mut stty = Command::new("stty");
        stty.args(["rows", rows, "columns", columns]);
        let terminal = self.theirs.try_clone().unwrap();
        assert!(stty.stdin(terminal).status().unwrap().success());
    }

    /// Waits for the program's end; returns its status, and what was shown since the last time.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.program.wait().unwrap();
        drop(self.theirs);
        self.reader.join().unwrap();
        let shown = mem::take(&mut *self.shown.lock().unwrap());
        (status.code(), shown)
    }
}
