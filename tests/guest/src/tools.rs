// SPDX-License-Identifier: GPL-2.0

//! The module as the usual tools show it: what the README's chapter "Looking inside" says.

use crate::module::{FORTUNE, Module, echo, is_debug_kernel, open};
use ktap::note;
use nix::unistd::read;
use std::{
    fs,
    io::{self, ErrorKind},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::PathBuf,
    process::Command,
};

ktap::tests!(tools, Guest:
    modules [L1],
    kallsyms [L2],
    fdinfo [L3],
    strace [L4],
    kprobe [L5] needs(Kprobes),
    no_kprobe_on_the_callback [L5] needs(Kprobes),
);

fn modules() {
    let _module = Module::load("");
    let modules = fs::read_to_string("/proc/modules").unwrap();
    let line = modules
        .lines()
        .find(|line| line.starts_with("fortune "))
        .unwrap();
    note(line.to_owned());
    let words: Vec<&str> = line.split(' ').collect();
    // Name, size, users, who they are, state, address, taint: none but O, out of tree, and E, not signed.
    let most = if is_debug_kernel() { 300_000 } else { 100_000 };
    assert!(words[1].parse::<usize>().unwrap() < most);
    assert_eq!((words[2], words[3], words[4]), ("0", "-", "Live"));
    assert_eq!(words[6], "(OE)");
    // An open file does not use the module.
    let _file = open();
    let modules = fs::read_to_string("/proc/modules").unwrap();
    assert!(modules.contains(&line[..line.find(" Live").unwrap()]));
}

/// The mangled names of the functions of the module.
fn symbols() -> Vec<String> {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
    symbols
        .lines()
        .filter(|line| line.ends_with("[fortune]"))
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(str::to_owned)
        .collect()
}

/// The callback that reads: a function of proc_fs, for the type `Fortune` of this module.
fn callback() -> String {
    let demangled = |symbol: &String| format!("{:#}", rustc_demangle::demangle(symbol));
    let name = "<fortune::proc_fs::operations::VTable<fortune::dispenser::Fortune>>::read";
    let all = symbols();
    let found = all.iter().find(|symbol| demangled(symbol) == name);
    let Some(found) = found else {
        let all: Vec<String> = all.iter().map(demangled).collect();
        panic!("no {name} in\n{}", all.join("\n"));
    };
    found.clone()
}

fn kallsyms() {
    let _module = Module::load("");
    let symbol = callback();
    note(symbol.clone());
    note(format!("{:#}", rustc_demangle::demangle(&symbol)));
}

fn fdinfo() {
    let _module = Module::load("pot_size=70000");
    echo(&"x".repeat(60000));
    let file = open();
    let path = format!("/proc/{}/fdinfo/{}", std::process::id(), file.as_raw_fd());
    for position in [0, 20000, 40000, 60000, 60001] {
        let info = fs::read_to_string(&path).unwrap();
        assert_eq!(info.lines().next().unwrap(), format!("pos:\t{position}"));
        read(&file, &mut [0; 20000]).unwrap();
    }
}

fn strace() {
    let _module = Module::load("");
    let trace = |script: &str| {
        let output = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=openat,read,write,close",
                "-P",
                FORTUNE,
                "sh",
                "-c",
                script,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said.lines().for_each(|line| note(line.to_owned()));
        said
    };
    let said = trace(&format!("echo hello > {FORTUNE}"));
    assert!(said.contains(&format!(
        r#"openat(AT_FDCWD, "{FORTUNE}", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3"#
    )));
    assert!(
        said.contains(r#"write(1, "hello\n", 6)"#) && said.contains("= 6\n"),
        "{said}"
    );
    let said = trace(&format!("cat {FORTUNE}"));
    assert!(
        said.contains(r#"read(3, "hello\n", "#) && said.contains("= 6\n"),
        "{said}"
    );
    assert!(said.contains(r#"read(3, "", "#), "{said}");
}

/// A file of tracefs.
fn tracing(name: &str) -> PathBuf {
    PathBuf::from("/sys/kernel/tracing").join(name)
}

/// A probe event, removed when it is dropped.
struct Probe(PathBuf);

impl Probe {
    /// # Errors
    ///
    /// The kernel's for a function that can't be probed.
    fn new(function: &str) -> io::Result<Self> {
        fs::write(
            tracing("kprobe_events"),
            format!("p:fortune/probe {function}"),
        )?;
        Ok(Self(tracing("events/fortune/probe")))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        fs::write(tracing("kprobe_events"), "").unwrap();
        fs::write(tracing("trace"), "").unwrap();
    }
}

fn kprobe() {
    let _module = Module::load("");
    let callback = callback();
    echo("seen");
    // What each copy to or from user space begins with.
    let probe = Probe::new("__check_object_size").unwrap();
    let trigger = probe.0.join("trigger");
    // Only one process: it names itself, and then becomes cat.
    let mut cat = Command::new("cat");
    cat.arg(FORTUNE);
    let path = trigger.clone();
    // SAFETY: The child has one thread, and what this allocates is not held by another one.
    unsafe {
        cat.pre_exec(move || {
            let pid = std::process::id();
            fs::write(&path, format!("stacktrace if common_pid == {pid}"))
        })
    };
    let output = cat.output().unwrap();
    let trace = fs::read_to_string(tracing("trace")).unwrap();
    fs::write(&trigger, "!stacktrace").unwrap();
    drop(probe);
    assert_eq!(output.stdout, b"seen\n");

    // The stack of the copy that our callback has made, from the inside out.
    let stacks = trace.split("<stack trace>").map(|stack| -> Vec<&str> {
        let lines = stack.lines().map(str::trim);
        lines.filter_map(|line| line.strip_prefix("=> ")).collect()
    });
    let mut ours = stacks.filter(|stack| stack.contains(&callback.as_str()));
    let stack = ours
        .next()
        .unwrap_or_else(|| panic!("{callback} is in no stack of\n{trace}"));
    stack
        .iter()
        .for_each(|name| note(format!("=> {:#}", rustc_demangle::demangle(name))));
    let way = [callback.as_str(), "proc_reg_read", "vfs_read", "ksys_read"];
    let mut at = stack.iter();
    for name in way {
        assert!(
            at.any(|at| *at == name),
            "{name}, in this order, of {stack:?}"
        );
    }
}

fn no_kprobe_on_the_callback() {
    // Kprobe events are only for functions that begin with bytes for ftrace to write to, unless the kernel has
    // CONFIG_KPROBE_EVENTS_ON_NOTRACE. Neither a Rust function nor `_copy_to_user` has them.
    let _module = Module::load("");
    for function in [callback().as_str(), "_copy_to_user"] {
        let refused = Probe::new(function).map(drop);
        assert_eq!(
            refused.map_err(|error| error.kind()),
            Err(ErrorKind::InvalidInput)
        );
    }
    Probe::new("vfs_read").unwrap();
}
