// SPDX-License-Identifier: GPL-2.0

//! The tests of the host.

#[path = "../../harness/boot.rs"]
mod boot;
#[path = "../../harness/complaints.rs"]
mod complaints;
#[path = "../../harness/debugger.rs"]
mod debugger;
#[path = "../../harness/detectors.rs"]
mod detectors;
#[path = "../../building/documents.rs"]
mod documents;
#[path = "../../building/editor.rs"]
mod editor;
#[path = "../../history/tests.rs"]
mod histories;
#[path = "../../locks/tests.rs"]
mod locked;
#[path = "../../building/metadata.rs"]
mod metadata;
#[path = "../../pot/tests/model.rs"]
mod model;
#[path = "../../mutants/mutants.rs"]
mod mutants;
#[path = "../../building/native.rs"]
mod native;
#[path = "../../guest/own_boot.rs"]
mod own_boot;
#[path = "../../building/package.rs"]
mod package;
#[path = "../../pot/tests/pot.rs"]
mod pot_by_example;
#[path = "../../building/readme.rs"]
mod readme;
#[path = "../../proc_fs/rejected.rs"]
mod rejected;
#[path = "../../harness/steps.rs"]
mod steps;
#[path = "../../suites/suites.rs"]
mod suites;
#[path = "../../symbols/symbols.rs"]
mod symbols;
#[path = "../../building/template.rs"]
mod template;
#[path = "../../harness/trial.rs"]
mod trial;
#[path = "../../harness/try.rs"]
mod tried;

use crate::{bench, coverage, progress, report};

/// All of them: what takes longest comes first.
pub(crate) fn tests() -> Vec<ktap::Test> {
    [
        package::tests(),
        readme::tests(),
        template::tests(),
        editor::tests(),
        debugger::tests(),
        mutants::tests(),
        boot::tests(),
        tried::tests(),
        trial::tests(),
        own_boot::tests(),
        suites::tests(),
        symbols::tests(),
        native::tests(),
        metadata::tests(),
        detectors::tests(),
        documents::tests(),
        bench::tests(),
        pot_by_example::tests(),
        model::tests(),
        locked::tests(),
        histories::tests(),
        rejected::tests(),
        complaints::tests(),
        steps::tests(),
        report::tests::tests(),
        progress::tests::tests(),
        coverage::tests::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
