// SPDX-License-Identifier: GPL-2.0

//! `qemu/boot --gdb`, as a person would use it, but for who types: gdb reads a script.

use crate::kernel::{Said, run, work};
use ktap::note;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

ktap::tests!(debugger, Machine, Asked:
    breaks_in_a_callback_of_a_module,
    breaks_in_one_on_arm64,
    knows_a_kernel_that_was_built_here,
);

/// A guest that is stopped; killed when it is dropped, if it has not ended.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the line of src/dispenser.rs is that delivers what was drawn.
fn delivers() -> String {
    const LINE: &str = "let arrived = buf.write(rest)?;";
    let source = fs::read_to_string("src/dispenser.rs").unwrap();
    let at = source.lines().position(|line| line.trim() == LINE);
    format!("src/dispenser.rs:{}", at.expect("the line is there") + 1)
}

type Session = Vec<(String, Vec<&'static str>)>;

const READ: &str = "fortune::proc_fs::operations::VTable<fortune::dispenser::Fortune>::read<fortune::dispenser::Fortune>";

/// What is given to gdb, a line each, and what its answers hold.
fn session() -> Session {
    let delivers = delivers();
    let session = [
        (
            format!("break {READ}"),
            vec!["Breakpoint ", " at 0x", "file src/"],
        ),
        (
            "continue".to_owned(),
            vec!["hit Breakpoint ", READ, "at src/proc_fs/operations.rs:"],
        ),
        ("list".to_owned(), vec!["\n37", "SAFETY: Who reads"]),
        ("delete".to_owned(), vec![]),
        (
            format!("tbreak {delivers}"),
            vec!["Temporary breakpoint ", " at 0x"],
        ),
        (
            "continue".to_owned(),
            vec![
                "hit Temporary breakpoint ",
                "fortune::dispenser::Draw::read (",
                "src/dispenser.rs:",
            ],
        ),
        ("info args".to_owned(), vec!["self = 0x"]),
        ("stepi".to_owned(), vec!["\t"]),
        // What was inlined is a frame of its own.
        (
            "backtrace".to_owned(),
            vec!["#0  ", "fortune::dispenser::", READ],
        ),
    ];
    session.into()
}

fn breaks_in_a_callback_of_a_module() {
    breaks_on(boot::default_kernel(), session());
}

fn breaks_in_one_on_arm64() {
    breaks_on("debian-7.2-arm64", session());
}

fn knows_a_kernel_that_was_built_here() {
    let session = [
        // Before the module is asked.
        (
            "break proc_reg_read if count > 200000".to_owned(),
            vec!["Breakpoint ", "file fs/proc/inode.c, line "],
        ),
        (
            "continue".to_owned(),
            vec!["hit Breakpoint ", "proc_reg_read (file=0x"],
        ),
        ("print file.f_op".to_owned(), vec!["proc_reg_file_ops"]),
        (
            format!("break {READ}"),
            vec!["Breakpoint ", "file src/proc_fs/operations.rs, line "],
        ),
        ("continue".to_owned(), vec!["hit Breakpoint ", READ]),
        ("info args".to_owned(), vec!["count = 262144"]),
        ("list".to_owned(), vec!["unsafe extern \"C\" fn read("]),
        (
            "next".to_owned(),
            vec!["let (data, ptr) = unsafe { Self::opened(file) };"],
        ),
        // The module's caller is the kernel.
        (
            "backtrace".to_owned(),
            vec![READ, "vfs_read (file=0x", "at fs/read_write.c:"],
        ),
    ];
    breaks_on("debug-7.2", session.into());
}

fn breaks_on(kernel: &str, session: Session) {
    let work = work("debugger");
    let mut boot = Command::new("qemu/boot")
        .args(["--kernel", kernel, "--gdb", "--", "sh", "-c"])
        .arg("echo one > /proc/fortune && cat /proc/fortune && echo two > /proc/fortune")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(boot.stderr.take().unwrap());
    let mut boot = Stopped(boot);
    let mut said = String::new();
    while !said.contains("`continue` lets the command run") {
        let count = stderr.read_line(&mut said).unwrap();
        assert_ne!(count, 0, "the guest did not stop: {said}");
    }
    assert!(said.contains("scripts/gdb"), "{said}");

    // One command after the other, each announced.
    let mut script = String::new();
    for (command, _) in &session {
        script += &format!("echo >{command}\\n\n{command}\n");
    }
    script += "delete\ndetach\nquit\n";
    let file = work.join("script");
    fs::write(&file, script).unwrap();
    let Said {
        status,
        stdout,
        stderr: errors,
    } = run(Command::new("scripts/gdb")
        .args(["-batch", "-x"])
        .arg(&file));
    assert_eq!(status, Some(0), "{stdout}{errors}");
    for line in stdout.lines() {
        note(line.to_owned());
    }
    let mut rest = stdout.as_str();
    for (command, answers) in session {
        let (_, answer) = rest
            .split_once(&format!(">{command}\n"))
            .unwrap_or_else(|| panic!("{command} was not done: {stdout}{errors}"));
        rest = answer;
        let answer = answer.split("\n>").next().unwrap();
        for part in answers {
            assert!(answer.contains(part), "{command} says {answer}{errors}");
        }
    }

    // It goes on when gdb has gone.
    let mut printed = String::new();
    let mut stdout = boot.0.stdout.take().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let status = boot.0.wait().unwrap();
    assert_eq!((status.code(), &*printed), (Some(0), "one\n"), "{said}");
}
