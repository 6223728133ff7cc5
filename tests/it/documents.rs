//! Documents that people write: what is taken, and what is said about what is not.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

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

#[test]
fn a_problem_is_also_data() {
    let text = fs::read_to_string(folder("tests/it/documents/bad/several_at_once.yaml")).unwrap();
    let errors = rollout::parse("rollout.yaml", &text).unwrap_err();
    assert_eq!(errors.errors().count() + 2, errors.problems().len(), "two of them are warnings");
    let hold = errors.errors().find(|problem| problem.pointer() == "/steps/0/hold").unwrap();
    assert_eq!((hold.line(), hold.column(), hold.source_name()), (10, 25, "rollout.yaml"));
    assert!(hold.detail().starts_with("`5 minuets` is not a duration"), "{}", hold.detail());
}

#[test]
fn json_is_read_as_yaml_is() {
    let text = fs::read_to_string(folder("tests/it/documents/good/smallest.yaml")).unwrap();
    let yaml = rollout::parse("rollout.yaml", &text).unwrap();
    let shown = rollout::render(&yaml.spec);
    for json in [serde_json::to_string(&shown).unwrap(), serde_json::to_string_pretty(&shown).unwrap()] {
        assert_eq!(rollout::parse("rollout.json", &json).unwrap(), yaml);
        let tabs = json.replace("  ", "\t");
        assert_eq!(rollout::parse("rollout.json", &tabs).unwrap(), yaml);
    }
}

#[test]
fn the_smallest_document_has_the_standard_plan() {
    let text = fs::read(folder("tests/it/documents/good/smallest.yaml")).unwrap();
    let parsed = rollout::parse_bytes("rollout.yaml", &text).unwrap();
    assert_eq!(parsed.spec.plan, greenshift::domain::plan::Plan::standard());
    assert_eq!(parsed.warnings, []);
    assert_eq!(rollout::lint("rollout.yaml", &text).unwrap(), "");
}

#[test]
fn documents_of_hostile_size_are_refused_in_few_words() {
    let wide = format!("name: [{}]", "x,".repeat(500_000));
    let long = format!("name: {}", "x".repeat(2_000_000));
    let deep = format!("{}x", "- ".repeat(100_000));
    let deep_flow = "{a: ".repeat(100_000);
    let many = |indent: &str| (0..20_000).map(|index| format!("{indent}key{index}: 1")).collect::<Vec<_>>().join("\n");
    for text in [wide, long, deep, deep_flow, many(""), format!("labels:\n{}", many("  "))] {
        let errors = rollout::parse("rollout.yaml", &text).unwrap_err();
        assert!((1..=100).contains(&errors.problems().len()));
        assert!(errors.to_string().len() < 100_000, "{}", errors.to_string().len());
    }
}

#[test]
fn anchors_save_writing() {
    let text = fs::read_to_string(folder("tests/it/documents/good/smallest.yaml")).unwrap();
    let steps =
        "steps:\n  - {weight: 10%, hold: &hold {min: 5m, max: 2h}}\n  - {weight: 50%, hold: *hold}\n  - weight: 100\n";
    let spec = rollout::parse("rollout.yaml", &format!("{text}{steps}")).unwrap().spec;
    let holds: Vec<String> =
        spec.plan.steps.iter().map(|step| format!("{}-{}", step.hold_min, step.hold_max)).collect();
    assert_eq!(holds, ["5m-2h", "5m-2h", "10m-24h"]);
}

#[test]
fn warnings_are_shown_like_errors_and_refuse_nothing() {
    let text = fs::read_to_string(folder("tests/it/documents/good/smallest.yaml")).unwrap();
    let odd = "steps: [{weight: 100}]\nbake: 0s\nanalysis: {interval: 10s, checks: [{alarms: [hsm-errors]}]}\n";
    let shown = rollout::lint("rollout.yaml", format!("{text}{odd}").as_bytes()).unwrap();
    insta::assert_snapshot!(shown);
}
