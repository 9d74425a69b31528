// SPDX-License-Identifier: GPL-2.0

//! What is written of the module agrees with it.

use ktap::note;
use std::{collections::BTreeSet, fs, path::Path};

ktap::tests!(documents, Host:
    name_functions_that_are_there,
);

const CONTRACT: &str = "src/README.md";
#[track_caller]
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The functions of a Rust file: `Type::function` for each in an `impl` or a `trait`, and `function`.
fn functions(path: &Path) -> BTreeSet<String> {
    let mut of: Option<String> = None;
    let mut found = BTreeSet::new();
    for line in text(path.to_str().unwrap()).lines() {
        let words = line.trim_start();
        let words = words.strip_prefix("pub(super) ").unwrap_or(words);
        let words = words.strip_prefix("pub ").unwrap_or(words);
        let words = words.strip_prefix("unsafe ").unwrap_or(words);
        if let (Some(rest), false) = (words.strip_prefix("impl"), line.starts_with(' ')) {
            // `<T: Bound> Trait<X> for Type<T>` is of Type.
            let rest = match rest.strip_prefix('<') {
                Some(generics) => after_generics(generics),
                None => rest,
            };
            let name = rest.split(" for ").last().unwrap().trim_start();
            of = Some(identifier(name));
        } else if let Some(rest) = words.strip_prefix("trait ") {
            of = Some(identifier(rest));
        } else if line.starts_with('}') {
            of = None;
        }
        let Some((before, name)) = words.split_once("fn ") else {
            continue;
        };
        if before
            .split_whitespace()
            .all(|word| matches!(word, "const" | "unsafe" | "extern" | "\"C\""))
        {
            let name = identifier(name);
            match &of {
                Some(of) => found.insert(format!("{of}::{name}")),
                None => found.insert(name),
            };
        }
    }
    found
}

/// What comes after generics, whose first bracket is left out.
fn after_generics(text: &str) -> &str {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    ""
}

fn identifier(text: &str) -> String {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    text[..end.unwrap_or(text.len())].to_owned()
}

/// A link to a Rust file with code as its text names a function there, or a type or a trait.
fn name_functions_that_are_there() {
    let mut count = 0;
    for document in [
        "src/article.md",
        "src/hung.md",
        CONTRACT,
        "src/proc_fs/README.md",
    ] {
        let dir = Path::new(document).parent().unwrap();
        for link in text(document).split("[`").skip(1) {
            let Some((name, rest)) = link.split_once("`](") else {
                continue;
            };
            let file = rest.split(')').next().unwrap();
            if !file.ends_with(".rs") {
                continue;
            }
            let file = dir.join(file);
            let source = text(file.to_str().unwrap());
            let is_type = ["struct", "trait", "enum"]
                .iter()
                .any(|kind| source.contains(&format!("pub {kind} {name}")));
            let functions = functions(&file);
            assert!(
                is_type || functions.contains(name),
                "{document} names {name}, which is not in {}, but {functions:?}",
                file.display()
            );
            count += 1;
        }
    }
    note(format!("{count} are there"));
    assert!(count > 30, "{count}");
}
