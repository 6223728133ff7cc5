//! Documents that people write: what is taken, and what is said about what is not.

use std::fs;
use std::path::{Path, PathBuf};

use greenshift::config::rollout;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn yaml_files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    files
}

#[test]
fn every_bad_document_is_refused_with_its_message() {
    let files = yaml_files("tests/it/documents/bad");
    assert!(files.len() >= 40, "{}", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("documents/bad");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let shown = match rollout::parse_bytes("rollout.yaml", &fs::read(&path).unwrap()) {
                Ok(_) => panic!("{name} was taken"),
                Err(errors) => errors.to_string(),
            };
            insta::assert_snapshot!(name, shown);
        }
    });
}
