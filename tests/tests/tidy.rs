//! The shape of the code, as design.md and CONTRIBUTING.md have it, checked by reading the sources.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tests::source::{Source, functions};

/// Crates and what of ours each may depend on: the table of ARCHITECTURE.md.
const EDGES: [(&str, &[&str]); 11] = [
    ("proto", &[]),
    ("api", &["proto"]),
    ("store", &["proto"]),
    ("apiserver", &["proto", "api"]),
    ("client", &["proto", "api"]),
    ("controllers", &["api", "client"]),
    ("scheduler", &["api", "client"]),
    ("agent", &["proto", "api", "client"]),
    ("shim", &[]),
    ("raftsman", &["proto", "api", "store", "apiserver", "client", "controllers", "scheduler", "agent", "shim"]),
    (
        "tests",
        &["proto", "api", "store", "apiserver", "client", "controllers", "scheduler", "agent", "shim", "raftsman"],
    ),
];

/// The API server's own tests start a real store; its code knows only etcd's protocol.
const TESTS_ONLY: (&str, &str) = ("apiserver", "store");

/// Lines of a file, without its tests.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust files of ours, the path from the top and the text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    found.sort();
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Tests and their files may be as long as their tables.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}

fn report(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}\n", wrong.join("\n  "));
}

#[test]
fn crates_depend_only_downwards() {
    let members: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, may) in EDGES {
        let folder = if name == "tests" { root().join(name) } else { root().join("crates").join(name) };
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(name));
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for dependency in table.keys().map(String::as_str) {
                let tests_only = section == "dev-dependencies" && (name, dependency) == TESTS_ONLY;
                if members.contains(dependency) && !may.contains(&dependency) && !tests_only {
                    wrong.push(format!("{name} -> {dependency}"));
                }
                if ["openraft", "rocksdb"].contains(&dependency) && name != "store" {
                    wrong.push(format!("{name} -> {dependency}: that lives in store only"));
                }
            }
        }
    }
    let listed = fs::read_dir(root().join("crates")).unwrap().count() + 1;
    assert_eq!(listed, EDGES.len(), "a crate is missing in this table");
    report("crates that may not depend on each other do", &wrong);
}

#[test]
fn openraft_stays_in_its_room() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(path, _)| path.contains("/src/") && !path.starts_with("crates/store/src/raft/"))
        .filter(|(_, text)| Source::new(text).code().contains("openraft"))
        .map(|(path, _)| path)
        .collect();
    report("openraft's types leave store/src/raft", &wrong);
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let lines = Source::new(text).lines_without_tests();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{path}: {lines} lines without tests"));
        }
    }
    report(&format!("files of more than {FILE_LINES_MAX} lines; does each hold one concept?"), &wrong);
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        for function in functions(text) {
            if function.lines > FUNCTION_LINES_MAX {
                wrong.push(format!("{path}:{}: {} has {} lines", function.line, function.name, function.lines));
            }
        }
    }
    report(&format!("functions of more than {FUNCTION_LINES_MAX} lines"), &wrong);
}

#[test]
fn decisions_are_pure() {
    // Whatever decides gets time and randomness as arguments and touches nothing (D3, D5, D8).
    const IMPURE: [&str; 9] = [
        "tokio::",
        "tonic::",
        "SystemTime::now",
        "Instant::now",
        "Utc::now",
        "Local::now",
        "rand::rng",
        "rand::random",
        ".await",
    ];
    let decides = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or_default();
        path.contains("/machine/") || path.contains("/decide/") || file.starts_with("decide") || file == "machine.rs"
    };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in sources().iter().filter(|(path, _)| decides(path) && !is_test(path)) {
        seen += 1;
        let source = Source::new(text);
        for word in IMPURE.iter().filter(|word| source.code_without_tests().contains(**word)) {
            wrong.push(format!("{path}: {word}"));
        }
    }
    assert!(seen > 5, "only {seen} deciding files were found");
    report("decisions that are not pure", &wrong);
}

#[test]
fn names_are_nouns_of_the_domain() {
    const BANNED: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "v2"];
    let wrong: Vec<String> = sources()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.split(['/', '.']).any(|part| BANNED.contains(&part)))
        .collect();
    report("files with names that say nothing", &wrong);
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not find itself.
    let marks =
        [["to", "do!("].concat(), ["unimplemented", "!("].concat(), ["dbg", "!("].concat(), ["#[ig", "nore"].concat()];
    let notes = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let mut wrong = Vec::new();
    for (path, text) in &sources() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().chain(&notes).any(|mark| line.contains(mark.as_str())) {
                wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    report("unfinished places", &wrong);
}

#[test]
fn wide_permissions_to_write_unsafe_code_have_a_reason() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let opens = code.contains("unsafe {") || code.contains("unsafe impl");
            let reason = lines[number.saturating_sub(6)..=number].iter().any(|line| line.contains("SAFETY"));
            if opens && !reason {
                wrong.push(format!("{path}:{}: say why it is sound in a SAFETY comment", number + 1));
            }
        }
    }
    report("unsafe without a reason", &wrong);
}
