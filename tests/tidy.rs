//! The repository checks its own shape: layers, purity, lengths, words.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "test code")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules in layer order: each may use those before it. Those in one inner list never use each other.
const LAYERS: &[&[&str]] = &[
    &["judge"],
    &["domain"],
    &["config"],
    &["clock"],
    &["telemetry"],
    &["aws"],
    &["journal", "traffic_router", "metric_provider"],
    &["controller"],
    &["api"],
    &["client"],
    &["app"],
    &["simulation"],
    &["cli"],
    &["main"],
];

/// Longest file, in lines.
const LINES_MAX: usize = 500;

/// What must not appear where nothing is done: in the judge and the domain.
const IMPURE: &[&str] =
    &["async fn", ".await", "tokio::", "sqlx::", "axum::", "aws_sdk", "tracing::", "std::fs", "std::env"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The module of the first level that a source file belongs to.
fn module_of(path: &Path) -> String {
    let inner = path.strip_prefix(root().join("src")).unwrap();
    let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Code lines of a file: without comments, and without its test modules at the end.
fn code(text: &str) -> String {
    let whole = text.split("#[cfg(test)]\nmod").next().unwrap();
    whole.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `crate::x` of a file.
fn used_modules(code: &str) -> Vec<String> {
    let places = code.match_indices("crate::");
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    places.map(|(place, found)| name(&code[place + found.len()..])).collect()
}

#[test]
fn imports_go_one_way() {
    let mut broken = Vec::new();
    for path in files_below(&root().join("src"), ".rs") {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let Some(own) = layer_of(&module) else {
            broken.push(format!(
                "{}: module `{module}` is in no layer: add it to LAYERS and ARCHITECTURE.md",
                path.display()
            ));
            continue;
        };
        for used in used_modules(&code(&fs::read_to_string(&path).unwrap())) {
            let Some(other) = layer_of(&used) else { continue };
            if other > own || (other == own && used != module) {
                broken.push(format!("{} uses `{used}`, which is not before `{module}`", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn judge_and_domain_only_compute() {
    let mut broken = Vec::new();
    for folder in ["src/judge", "src/domain"] {
        for path in files_below(&root().join(folder), ".rs") {
            let code = code(&fs::read_to_string(&path).unwrap());
            let found = IMPURE.iter().filter(|word| code.contains(**word));
            broken.extend(found.map(|word| format!("{}: {word}", path.display())));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_fit_the_head() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for path in files_below(&root().join(folder), ".rs") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > LINES_MAX {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "split by meaning:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_undone() {
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for path in files_below(&root().join(folder), ".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let here = marks.iter().filter(|mark| text.contains(**mark));
            found.extend(here.map(|mark| format!("{}: {mark}", path.display())));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_stands_in_the_architecture() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut modules: BTreeMap<String, bool> = BTreeMap::new();
    for path in files_below(&root().join("src"), ".rs") {
        let module = module_of(&path);
        let named = text.contains(&format!("`{module}`")) || text.contains(&format!("`src/{module}"));
        modules.insert(module, named);
    }
    let missing: Vec<&String> =
        modules.iter().filter(|(name, named)| !**named && *name != "lib").map(|(name, _)| name).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md says nothing of {missing:?}");
}

#[test]
fn every_invariant_has_its_test() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let tests: String = files_below(&root().join("tests"), ".rs")
        .into_iter()
        .chain(files_below(&root().join("src"), ".rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for number in 1..=10 {
        assert!(text.contains(&format!("**I{number}**")), "ARCHITECTURE.md does not name I{number}");
        assert!(tests.contains(&format!("fn i{number}_")), "no test is named after I{number}");
    }
}

#[test]
fn documents_name_no_missing_files() {
    let mut broken = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap();
        for (place, _) in text.match_indices("](") {
            let rest = &text[place + 2..];
            let target = &rest[..rest.find(')').unwrap()];
            let outside = target.starts_with("http") || target.starts_with('#');
            let file = target.split('#').next().unwrap();
            if !outside && !root().join(file).exists() {
                broken.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
