// SPDX-License-Identifier: GPL-2.0

//! The kernels that the tests of the host have, and what starts guests with them.

use anyhow::Result;
use ktap::{Declaration, Need, Place};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

/// A kernel to test on.
pub(crate) struct Kernel {
    pub(crate) name: String,
    /// What `scripts/kernel` made.
    pub(crate) dir: PathBuf,
    /// What there is to know of it.
    pub(crate) is: boot::Kernel,
}

/// The top of the checkout, where everything here runs.
pub(crate) fn top() -> PathBuf {
    env::current_dir().expect("a current directory")
}

impl Kernel {
    pub(crate) fn new(name: &str, dir: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            dir: dir.into(),
            is: boot::Kernel::of(Path::new(dir))?,
        })
    }

    /// Those of the pairs of words that `--kernel` takes.
    pub(crate) fn of(words: &[String]) -> Result<Vec<Self>> {
        let kernels = words.chunks_exact(2);
        kernels
            .map(|words| Self::new(&words[0], &words[1]))
            .collect()
    }

    /// Where Kbuild has built the modules for it.
    pub(crate) fn build(&self) -> PathBuf {
        top().join("build").join(&self.name)
    }

    /// Options for `boot`: the modules that only the tests need.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let own = fs::read_dir(self.build()).expect("it was built for");
        // They are built if a test needs them.
        let users = fs::read_dir(self.build().join("users"));
        let files = own.chain(users.into_iter().flatten());
        let files = files.map(|file| file.expect("a file").path());
        files
            .filter(|file| file.extension().is_some_and(|name| name == "ko"))
            .filter(|file| !file.ends_with("fortune.ko"))
            .map(|file| format!("--file={}", file.display()))
            .collect()
    }

    /// Starts a guest with it; to be given more options and a command.
    pub(crate) fn boot_bare(&self) -> Command {
        let mut boot = Command::new(top().join("build/bin/boot"));
        boot.arg("--kernel-dir").arg(&self.dir).stdin(Stdio::null());
        boot
    }

    /// The same with fortune.ko and the program `guest` in it.
    pub(crate) fn boot(&self) -> Command {
        let (build, top) = (self.build(), top());
        let mut boot = self.boot_bare();
        boot.arg(format!("--file={}/fortune.ko", build.display()));
        boot.arg(format!(
            "--file={}/build/bin/guest-{}:/usr/bin/guest",
            top.display(),
            self.is.architecture
        ));
        boot
    }
}

/// Whether the kernel of that name is built from source.
pub(crate) fn is_built(name: &str) -> bool {
    let conf = top().join(format!("qemu/kernels/{name}.conf"));
    fs::read_to_string(conf).is_ok_and(|conf| conf.lines().any(|line| line.starts_with("config=")))
}

/// Those that are made so far, in that order.
static KERNELS: Mutex<Vec<&'static Kernel>> = Mutex::new(Vec::new());

/// The tests have this one too.
pub(crate) fn add(kernel: Kernel) {
    // It is there as long as the process.
    let kernel = Box::leak(Box::new(kernel));
    KERNELS.lock().expect("nobody panics with it").push(kernel);
}

/// Those that the tests have.
pub(crate) fn made() -> Vec<&'static Kernel> {
    KERNELS.lock().expect("nobody panics with it").clone()
}

/// The first of them that `is` true of and that modules can be built for in the Debian root that this runs in: `run` shows
/// the headers of those there.
fn first(is: impl Fn(&Kernel) -> bool) -> Option<&'static Kernel> {
    made()
        .into_iter()
        .find(|kernel| is(kernel) && kernel.is.headers.join(".config").exists())
}

/// A kernel that is as a test needs it.
fn find(need: Need) -> Result<&'static Kernel, String> {
    let (kernel, what) = match need {
        Need::Stock => (
            first(|kernel| !kernel.is.checks_itself),
            "stock kernel of Debian trixie, of this machine's architecture,",
        ),
        Need::Debug => (
            first(|kernel| kernel.is.checks_itself),
            "kernel that checks itself",
        ),
        Need::Counted => (
            first(|kernel| kernel.name == boot::default_kernel()),
            "kernel on which instructions are counted",
        ),
        _ => (
            // A stock one, if there is one.
            first(|kernel| !kernel.is.checks_itself).or_else(|| first(|_| true)),
            "kernel of Debian trixie, of this machine's architecture,",
        ),
    };
    kernel.ok_or_else(|| format!("no {what} is in KERNELS"))
}

/// The kernel that a test has declared to need.
#[track_caller]
pub(crate) fn kernel(need: Need) -> &'static Kernel {
    find(need).expect("tests run if there is what they need")
}

/// The kernel that the project takes if it is not told, fetched if it has to be: outside of the Debian root.
pub(crate) fn default_kernel() -> Kernel {
    let dir = succeed(Command::new("scripts/kernel").arg(boot::default_kernel()));
    Kernel::new(boot::default_kernel(), dir.trim_end()).expect("scripts/kernel has made it")
}

/// Copies the checkout, as it is, without what git does not know.
pub(crate) fn checkout(to: &Path) {
    fs::create_dir_all(to).expect("build can be written to");
    let files = succeed(Command::new("git").args(["ls-files", "-z"]));
    succeed(
        Command::new("cp")
            .args(["--parents", "--no-dereference", "--preserve=mode"])
            .arg("--target-directory")
            .arg(to)
            .args(files.split_terminator('\0')),
    );
}

/// Why a test can't be made here.
pub(crate) fn lacks(test: &Declaration) -> Option<String> {
    let boots = (test.place == Place::Boot).then_some(Need::Kernel);
    let needs = test.needs.iter().copied().chain(boots);
    needs
        .filter(|need| {
            matches!(
                need,
                Need::Kernel | Need::Stock | Need::Debug | Need::Counted
            )
        })
        .find_map(|need| find(need).err())
}

/// An empty directory for a test.
pub(crate) fn work(name: &str) -> PathBuf {
    let work = top().join("build/work").join(name);
    if work.exists() {
        fs::remove_dir_all(&work).expect("what was made can be removed");
    }
    fs::create_dir_all(&work).expect("build can be written to");
    work
}

/// How a command ended, and what it printed.
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        status: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// The same of one that has to succeed; returns what it printed.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let Said {
        status,
        stdout,
        stderr,
    } = run(command);
    assert_eq!(status, Some(0), "{command:?}: {stdout}{stderr}");
    stdout
}
