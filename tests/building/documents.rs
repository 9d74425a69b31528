// SPDX-License-Identifier: GPL-2.0

//! What is written of the module agrees with the module, and with what else is written of it.

use crate::kernel::{kernel, succeed};
use ktap::{Need, note};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

ktap::tests!(documents, Host:
    name_functions_that_are_there,
    agree_on_files_and_modes,
    agree_on_parameters,
    agree_on_errors,
    agree_on_words,
    agree_on_the_version,
    show_what_modinfo_says needs(Stock),
);

const CONTRACT: &str = "src/README.md";
const MANUAL: &str = "scripts/package/fortune-dkms/fortune.4";

#[track_caller]
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The chapter of the contract.
fn contract() -> String {
    let text = text(CONTRACT);
    let (_, from) = text.split_once("\n## The contract\n").unwrap();
    from.split("\n## ").next().unwrap().to_owned()
}

/// A sentence of the contract, as one line.
fn sentence(id: &str) -> String {
    let contract = contract();
    let (_, from) = contract
        .split_once(&format!("- [{id}] "))
        .unwrap_or_else(|| panic!("no {id} in {CONTRACT}"));
    let end = ["\n- [", "\n\n"]
        .into_iter()
        .filter_map(|end| from.find(end));
    let sentence = &from[..end.min().unwrap_or(from.len())];
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A section of the manual page.
fn manual(section: &str) -> String {
    let manual = text(MANUAL);
    let (_, from) = manual
        .split_once(&format!("\n.Sh {section}\n"))
        .unwrap_or_else(|| panic!("no {section} in {MANUAL}"));
    from.split("\n.Sh ").next().unwrap().to_owned()
}

/// The items of a list there: what follows `.It`, and the text, without macros, as one line.
fn items(section: &str) -> Vec<(String, String)> {
    let manual = manual(section);
    let items = manual.split("\n.It ").skip(1).map(|item| {
        let (head, text) = item.split_once('\n').unwrap_or((item, ""));
        (head.to_owned(), plain(text))
    });
    items.collect()
}

/// A text of the manual page without macros, as one line.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| {
        let mac = word.strip_prefix('.');
        mac.is_none_or(|mac| !mac.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    words.collect::<Vec<_>>().join(" ")
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

fn agree_on_files_and_modes() {
    let mut promised = BTreeMap::new();
    let of_fortune = sentence("F1");
    let (_, mode) = of_fortune.split_once("mode ").unwrap();
    promised.insert("/proc/fortune".to_owned(), mode[..4].to_owned());
    for row in contract().lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let path = format!("/proc/driver/fortune/{}", cells[1].trim_matches('`'));
        promised.insert(path, cells[2].to_owned());
    }
    let listed = items("FILES").into_iter().filter_map(|(head, _)| {
        let path = head.strip_prefix("Pa /proc/")?.to_owned();
        let (path, mode) = path.split_once(" Pq mode ").unwrap_or((&path, "none"));
        Some((format!("/proc/{path}"), mode.to_owned()))
    });
    let listed: BTreeMap<_, _> = listed.collect();
    assert_eq!(promised.len(), 6);
    assert_eq!(promised, listed, "{CONTRACT} and {MANUAL}");
}

/// The numbers in a text.
fn numbers(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

fn agree_on_parameters() {
    // The default, and the range.
    let after = |text: &str, words: &str, count: usize| {
        let (_, after) = text
            .split_once(words)
            .unwrap_or_else(|| panic!("no '{words}' in: {text}"));
        numbers(after)[..count].to_vec()
    };
    let promised = sentence("P1");
    let promised = after(&promised, "The default is", 3);
    let parameters = items("PARAMETERS");
    let [(name, of_manual)] = &parameters[..] else {
        panic!("{MANUAL} has other parameters: {parameters:?}");
    };
    assert_eq!(name, "Cm pot_size");
    let manual = [
        after(of_manual, "The default is", 1),
        after(of_manual, "from", 2),
    ];
    assert_eq!(promised, manual.concat(), "{CONTRACT} and {MANUAL}");
    // And what modinfo shows.
    let module = text("src/fortune.rs");
    let parameters = module.split_once("params: {").unwrap().1;
    let parameters = parameters.split("\n    },\n").next().unwrap();
    assert_eq!(
        parameters.matches("description:").count(),
        1,
        "{parameters}"
    );
    assert!(parameters.trim_start().starts_with("pot_size: u64"));
    let module = [
        after(parameters, "default:", 1),
        after(parameters, "from", 2),
    ];
    assert_eq!(promised, module.concat(), "{CONTRACT} and src/fortune.rs");
}

/// The words that are names of errors.
fn errors(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_error = |word: &&str| {
        word.len() > 2
            && word.starts_with('E')
            && word.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    words.filter(is_error).map(str::to_owned).collect()
}

/// Which calls a sentence such as `mmap EIO, splice and sendfile EINVAL` says fail with which errors.
fn failures(sentence: &str) -> BTreeSet<(String, String)> {
    const CALLS: [&str; 7] = [
        "read", "write", "lseek", "mmap", "ioctl", "splice", "sendfile",
    ];
    let mut calls = Vec::new();
    let mut failures = BTreeSet::new();
    for word in sentence.split(|c: char| !c.is_ascii_alphanumeric()) {
        if CALLS.contains(&word) {
            calls.push(word.to_owned());
        } else if let Some(error) = errors(word).pop_first() {
            failures.extend(calls.drain(..).map(|call| (call, error.clone())));
        }
    }
    failures
}

fn agree_on_errors() {
    let all = errors(&contract());
    let manual = items("ERRORS");
    let listed: Vec<&str> = manual
        .iter()
        .map(|(head, _)| head.strip_prefix("Bq Er ").expect("an error"))
        .collect();
    let known = listed.iter().map(|&error| error.to_owned()).collect();
    assert_eq!(all, known, "{CONTRACT} and {MANUAL}");
    assert_eq!(
        listed.len(),
        all.len(),
        "{MANUAL} has one twice: {listed:?}"
    );
    // What procfs answers, and what is answered when the module is gone.
    let failures = &failures(&sentence("F4")) | &failures(&sentence("U2"));
    assert!(failures.len() >= 7, "{failures:?}");
    for (call, error) in failures {
        let (_, text) = manual
            .iter()
            .find(|(head, _)| head.ends_with(&error))
            .unwrap();
        assert!(
            text.contains(&format!("{call} 2")),
            "{CONTRACT} has {error} for {call}, {MANUAL} has it not: {text}"
        );
    }
}

/// What stands in a text between a word of an opening and one of an end: for `` `name` `` and `Cm name`.
fn marked(text: &str, begin: &str, end: &str) -> BTreeSet<String> {
    let marked = text.split(begin).skip(1);
    let marked = marked.filter_map(|rest| rest.split(end).next());
    marked.map(str::to_owned).collect()
}

fn agree_on_words() {
    let files = manual("FILES");
    let of_file = |name: &str| {
        let (_, from) = files
            .split_once(&format!(".It Pa /proc/driver/fortune/{name} "))
            .unwrap();
        let item = from.split("\n.It ").next().unwrap();
        marked(&item.replace('\n', " "), "Cm ", " ")
    };
    // Every second piece is between two of them.
    let quoted = |text: &str| -> BTreeSet<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut promised = quoted(&sentence("C2"));
    promised.remove("stats");
    assert_eq!(promised.len(), 11);
    assert_eq!(promised, of_file("stats"), "{CONTRACT} and {MANUAL}");
    for name in ["order", "when_full"] {
        let contract = contract();
        let row = contract
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` ")))
            .unwrap();
        let words = row.split('`').nth(3).unwrap();
        let promised: BTreeSet<String> = words
            .split(' ')
            .map(|word| word.trim_matches(['[', ']']).to_owned())
            .collect();
        assert_eq!(promised, of_file(name), "{CONTRACT} and {MANUAL}");
    }
    // How long a fortune can be, what is refused unread, and what the index takes.
    let description = plain(&manual("DESCRIPTION"));
    let longest = numbers(&sentence("P5"))[0];
    assert!(description.contains(&format!("at most {longest} bytes")));
    let enospc = &items("ERRORS")
        .into_iter()
        .find(|(head, _)| head.ends_with("ENOSPC"))
        .unwrap();
    assert!(sentence("W14").contains(&format!("2 × `pot_size` + {longest} bytes")));
    assert!(enospc.1.contains(&format!("two pots and {longest} bytes")));
    for text in [sentence("P6"), items("PARAMETERS")[0].1.clone()] {
        assert!(text.contains("4.14 bytes"), "{text}");
    }
}

/// The version that modinfo shows.
fn version() -> String {
    let source = text("src/version.rs");
    let (_, from) = source.split_once("const VERSION: &str = \"").unwrap();
    from.split('"').next().unwrap().to_owned()
}

fn agree_on_the_version() {
    let version = version();
    let package = text("scripts/package/fortune-dkms/debian/changelog");
    let first = package.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("fortune-dkms ({version}) ")),
        "{first}, and src/version.rs has {version}"
    );
    let changes = text("CHANGELOG.md");
    let released = changes
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .find(|&heading| heading != "Unreleased");
    assert_eq!(released, Some(version.as_str()), "CHANGELOG.md");
}

fn show_what_modinfo_says() {
    let module = kernel(Need::Stock).build().join("fortune.ko");
    let said = succeed(Command::new("modinfo").arg(module));
    assert!(
        said.contains(&format!("version:        {}\n", version())),
        "{said}"
    );
    let readme = text("scripts/README.md");
    let (_, shown) = readme.split_once("$ modinfo fortune.ko\n").unwrap();
    let shown = shown.split("```").next().unwrap();
    // What depends on where it lies, for which kernel it was built, and what it was built of.
    let lasting = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| {
            let (key, _) = line.split_once(':').unwrap();
            match key {
                "filename" | "vermagic" | "srcversion" => key.to_owned(),
                _ => line.trim_end().to_owned(),
            }
        });
        lines.collect()
    };
    assert_eq!(lasting(&said), lasting(shown), "{said}");
}
