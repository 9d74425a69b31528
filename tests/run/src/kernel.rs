// SPDX-License-Identifier: GPL-2.0

//! The kernels that the tests of the host have, and what starts guests with them.

use ktap::{Declaration, Need, Place};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The kernel that the project takes if it is not told, and on which instructions are counted.
const DEFAULT: &str = "debian-7.2";

/// A kernel to test on.
pub(crate) struct Kernel {
    pub(crate) name: String,
    /// What `scripts/kernel` made.
    pub(crate) dir: PathBuf,
}

/// The top of the checkout, where everything here runs.
pub(crate) fn top() -> PathBuf {
    env::current_dir().expect("a current directory")
}

impl Kernel {
    /// Those of the pairs of words that `--kernel` takes.
    pub(crate) fn of(words: &[String]) -> Vec<Self> {
        let kernels = words.chunks_exact(2).map(|words| Self {
            name: words[0].clone(),
            dir: words[1].clone().into(),
        });
        kernels.collect()
    }

    /// What one of the files of its directory says.
    fn says(&self, file: &str) -> String {
        let path = self.dir.join(file);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    /// Whether it checks itself.
    pub(crate) fn is_debug(&self) -> bool {
        self.name.starts_with("debug-")
    }

    /// What `uname -r` says on it.
    pub(crate) fn release(&self) -> String {
        self.says("release")
    }

    /// As Debian calls it.
    pub(crate) fn architecture(&self) -> String {
        self.says("arch")
    }

    /// Where Kbuild has built the modules for it.
    pub(crate) fn build(&self) -> PathBuf {
        top().join("build").join(&self.name)
    }

    /// Options for `boot`: the modules that only the tests need.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let files = fs::read_dir(self.build()).expect("it was built for");
        let files = files.map(|file| file.expect("a file").path());
        files
            .filter(|file| file.extension().is_some_and(|name| name == "ko"))
            .filter(|file| !file.ends_with("fortune.ko"))
            .map(|file| format!("--file={}", file.display()))
            .collect()
    }

    /// Its build directory, where its package has it.
    pub(crate) fn headers(&self) -> PathBuf {
        Path::new("/usr/src").join(format!("linux-headers-{}", self.release()))
    }

    /// Starts a guest with it that has fortune.ko and the program `guest`; to be given more options and a command.
    pub(crate) fn boot(&self) -> Command {
        self.boot_with(&self.build().join("fortune.ko"))
    }

    /// The same with another fortune.ko.
    pub(crate) fn boot_with(&self, module: &Path) -> Command {
        let bin = top().join("build/bin");
        let guest = format!(
            "{}/guest-{}:/usr/bin/guest",
            bin.display(),
            self.architecture()
        );
        let mut boot = Command::new(bin.join("boot"));
        boot.arg("--kernel-dir")
            .arg(&self.dir)
            .arg("--module")
            .arg(module)
            .args(["--file", &guest])
            .stdin(Stdio::null());
        boot
    }
}

/// Those that were named, in that order.
static KERNELS: OnceLock<Vec<Kernel>> = OnceLock::new();

/// The tests of this process have these.
pub(crate) fn have(kernels: Vec<Kernel>) {
    KERNELS.get_or_init(|| kernels);
}

/// The first of them that `is` true of and that modules can be built for in the Debian root that this runs in: `run` shows
/// the headers of those there.
fn first(is: impl Fn(&Kernel) -> bool) -> Option<&'static Kernel> {
    let mut kernels = KERNELS.get()?.iter();
    kernels.find(|kernel| is(kernel) && kernel.headers().join(".config").exists())
}

/// A kernel that is as a test needs it.
fn find(need: Need) -> Result<&'static Kernel, String> {
    let (kernel, what) = match need {
        Need::Stock => (
            first(|kernel| !kernel.is_debug()),
            "stock kernel of Debian trixie, of this machine's architecture,",
        ),
        Need::Debug => (first(Kernel::is_debug), "kernel that checks itself"),
        Need::Counted => (
            first(|kernel| kernel.name == DEFAULT),
            "kernel on which instructions are counted",
        ),
        _ => (
            // A stock one, if there is one.
            first(|kernel| !kernel.is_debug()).or_else(|| first(|_| true)),
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
    let dir = succeed(Command::new("scripts/kernel").arg(DEFAULT));
    Kernel {
        name: DEFAULT.to_owned(),
        dir: dir.trim_end().into(),
    }
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
