// SPDX-License-Identifier: GPL-2.0

//! Who can open what, and for what.

use crate::module::{CONTROL, FORTUNE, Module, assert_cat, echo};
use ktap::note;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
    sys::{
        stat::Mode,
        wait::{WaitStatus, waitpid},
    },
    unistd::{AccessFlags, ForkResult, Gid, Uid, access, fork, setgroups, setresgid, setresuid},
};
use std::{fs, path::Path};

ktap::tests!(permissions, Guest:
    table [F1 C1],
    changing_them [F1],
    without_what_is_not_a_process,
);

/// Who opens: a name, and how to become it.
type Subject = (&'static str, fn());

const SUBJECTS: [Subject; 4] = [
    ("root", || {}),
    ("user", become_user),
    ("root of a user's namespace", || {
        become_user();
        become_root_of_namespace(1000);
    }),
    ("root of root's namespace", || become_root_of_namespace(0)),
];

fn become_user() {
    setgroups(&[]).unwrap();
    let id = 1000;
    setresgid(Gid::from_raw(id), Gid::from_raw(id), Gid::from_raw(id)).unwrap();
    setresuid(Uid::from_raw(id), Uid::from_raw(id), Uid::from_raw(id)).unwrap();
    // Or its files in /proc are root's.
    nix::sys::prctl::set_dumpable(true).unwrap();
}

/// Root of a user namespace of its own, who is `id` outside.
fn become_root_of_namespace(id: u32) {
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/gid_map", format!("0 {id} 1")).unwrap();
    fs::write("/proc/self/uid_map", format!("0 {id} 1")).unwrap();
    assert!(Uid::current().is_root());
}

/// What `try_it` finds as that subject: a number that is less than 200.
fn find_as(subject: Subject, try_it: impl FnOnce() -> u8) -> u8 {
    // SAFETY: The child ends by `_exit`, whatever happens in it.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                subject.1();
                try_it()
            }));
            // SAFETY: No more is done in this process.
            unsafe { libc::_exit(found.unwrap_or(255).into()) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, code) if code < 200 => code as u8,
            status => panic!("{}: {status:?}", subject.0),
        },
    }
}

fn table() {
    const FLAGS: [(&str, OFlag); 3] = [
        ("r", OFlag::O_RDONLY),
        ("w", OFlag::O_WRONLY),
        ("rw", OFlag::O_RDWR),
    ];
    let _module = Module::load("");
    // With what everybody can open them to.
    let files = [
        ("fortune", FORTUNE.to_owned(), "r"),
        ("driver/fortune/stats", format!("{CONTROL}/stats"), "r"),
        ("driver/fortune/pot", format!("{CONTROL}/pot"), "r"),
        ("driver/fortune/order", format!("{CONTROL}/order"), "r"),
        (
            "driver/fortune/when_full",
            format!("{CONTROL}/when_full"),
            "r",
        ),
        ("driver/fortune/clear", format!("{CONTROL}/clear"), ""),
    ];
    let mut cells = 0;
    let mut wrong = Vec::new();
    note(format!(
        "{:<28} {:<26} {}",
        "file of /proc", "who", "can open it to"
    ));
    for (name, path, everybody) in &files {
        for subject in SUBJECTS {
            let (who, expected) = match subject.0 {
                // No mode stops root, nor a namespace's root whose ids the owner's are.
                who @ ("root" | "root of root's namespace") => (who, "r w rw"),
                who => (who, *everybody),
            };
            let mut can = Vec::new();
            for (word, flags) in FLAGS {
                cells += 1;
                let found = find_as(subject, || {
                    match open(path.as_str(), flags, Mode::empty()) {
                        Ok(_) => 0,
                        Err(error) => error as u8,
                    }
                });
                match found {
                    0 => can.push(word),
                    error => assert_eq!(
                        Errno::from_raw(error.into()),
                        Errno::EACCES,
                        "{path}, {who}"
                    ),
                }
            }
            let can = can.join(" ");
            note(format!("{name:<28} {who:<26} {can}"));
            if can != expected {
                wrong.push(format!("{path}, {who}: {can}, not {expected}"));
            }
        }
    }
    note(format!("{cells} cells"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn changing_them() {
    // chmod and chown work as on any file of procfs, until the module is loaded again.
    let _module = Module::load("");
    echo("one");
    let can_write = || {
        find_as(SUBJECTS[1], || {
            access(FORTUNE, AccessFlags::W_OK).is_ok().into()
        }) == 1
    };
    assert!(!can_write());
    let group = Some(Gid::from_raw(1000));
    nix::unistd::chown(FORTUNE, None, group).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(FORTUNE, fs::Permissions::from_mode(0o664)).unwrap();
    assert!(can_write());
    assert_cat("one\n");
}

fn without_what_is_not_a_process() {
    // What a container gets that mounts its own: subset=pid has none of it.
    let _module = Module::load("");
    let at = "/run/proc";
    fs::create_dir_all(at).unwrap();
    let none = MsFlags::empty();
    mount(Some("proc"), at, Some("proc"), none, Some("subset=pid")).unwrap();
    let there = ["self", "fortune", "driver/fortune"].map(|name| Path::new(at).join(name).exists());
    umount(at).unwrap();
    assert_eq!(there, [true, false, false]);
}
