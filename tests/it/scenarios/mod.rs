//! Whole stories: `*.txt` beside this file say what happens, `*.out` what the rollout made of it.
//!
//! `UPDATE_GOLDEN=1` writes the outcomes anew. The words of the little language stand in `README.md` beside them.

mod script;
mod timeline;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a file of the project, or writes it when `UPDATE_GOLDEN` is set.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests alone")]
pub(crate) fn golden(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == text,
        "{path} is not what came out (UPDATE_GOLDEN=1 writes it anew):\n{}",
        difference(&known, text)
    );
}

/// The lines that differ, with `-` for the file and `+` for what came out.
fn difference(known: &str, text: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (known.lines().collect(), text.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = old[same..old.len() - tail].iter().map(|line| format!("- {line}\n"));
    let plus = new[same..new.len() - tail].iter().map(|line| format!("+ {line}\n"));
    format!("from line {}:\n{}", same + 1, minus.chain(plus).collect::<String>())
}

fn tell(name: &str) {
    let path = Path::new("tests/it/scenarios").join(name);
    let text = std::fs::read_to_string(root().join(&path).with_extension("txt")).unwrap();
    let out = script::play(name, &text);
    golden(path.with_extension("out").to_str().unwrap(), &out);
}

#[test]
fn every_script_comes_out_as_it_is_written_down() {
    let folder = root().join("tests/it/scenarios");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{} scripts are left", names.len());
    let failed: Vec<&String> = names.iter().filter(|name| std::panic::catch_unwind(|| tell(name)).is_err()).collect();
    assert!(failed.is_empty(), "these came out otherwise, see above: {failed:?}");
}

#[test]
fn a_difference_shows_the_lines_that_changed() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "from line 2:\n- b\n+ x\n");
}
