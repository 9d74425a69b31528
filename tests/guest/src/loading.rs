// SPDX-License-Identifier: GPL-2.0

//! insmod: the parameter, the file that appears, and a second time.

use crate::module::{FORTUNE, KernelLog, Module, assert_cat, echo, stat as stats_line, store};
use nix::{
    errno::Errno,
    sys::stat::{Mode, SFlag, stat},
};
use std::path::Path;

ktap::tests!(loading, Guest:
    file_appears_and_goes [F1],
    pot_size_from_1_to_64_mib [P1],
    bad_parameters [P2],
    second_insmod,
);

fn file_appears_and_goes() {
    assert!(!Path::new(FORTUNE).exists());
    let module = Module::load("");
    let status = stat(FORTUNE).unwrap();
    assert_eq!(status.st_mode & SFlag::S_IFMT.bits(), SFlag::S_IFREG.bits());
    let mode = Mode::from_bits_truncate(status.st_mode);
    assert_eq!(mode, Mode::from_bits_truncate(0o644));
    assert_eq!((status.st_uid, status.st_gid, status.st_size), (0, 0, 0));
    module.unload();
    assert!(!Path::new(FORTUNE).exists());
}

fn pot_size_from_1_to_64_mib() {
    for size in ["1", "2", "4095", "0x1000", "67108864"] {
        let module = Module::load(&format!("pot_size={size}"));
        assert_cat("");
        module.unload();
    }
    // The default is a page.
    let module = Module::load("");
    assert_eq!(stats_line("pot_size"), 4096);
    module.unload();
    let _module = Module::load("pot_size=67108864");
    echo("as large as can be");
    assert_cat("as large as can be\n");
}

fn bad_parameters() {
    for parameter in [
        "pot_size=0",
        "pot_size=67108865",
        "pot_size=18446744073709551615",
        "pot_size=18446744073709551616",
        "pot_size=-1",
        "pot_size=",
        "pot_size=4k",
        "pot_size=many",
    ] {
        let log = KernelLog::new();
        let error = Module::try_load(parameter).map(drop);
        assert_eq!(error, Err(Errno::EINVAL), "{parameter}");
        // What is no number does not reach the module: the module loader says so.
        let said = log.said();
        assert_eq!(said.len(), 1, "{said:?}");
        let ours = said[0].starts_with("fortune: pot_size=");
        assert!(
            ours || said[0].contains("invalid for parameter `pot_size'"),
            "{said:?}"
        );
        assert!(!Path::new(FORTUNE).exists(), "{parameter}");
    }
    // The module loader refuses to set it twice.
    let error = Module::try_load("pot_size=1 pot_size=2").map(drop);
    assert_eq!(error, Err(Errno::EEXIST));
    // An unknown one is ignored, as for every module.
    Module::load("colour=red").unload();
}

fn second_insmod() {
    let _module = Module::load("");
    echo("still here");
    assert_eq!(Module::try_load("").map(drop), Err(Errno::EEXIST));
    assert_cat("still here\n");
    assert_eq!(store(b"and working\n"), Ok(12));
}
