//! The JSON Schemas: current, and of one mind with the readers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use greenshift::config::{controller, rollout};
use serde_json::{Value, json};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn samples() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(repository().join("config/rollouts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn as_json(path: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The committed schema must be the generated one. The fresh one is left beside the build for copying.
fn must_be_current(name: &str, schema: &Value) {
    let fresh = serde_json::to_string_pretty(schema).unwrap() + "\n";
    let committed = fs::read_to_string(repository().join("config").join(name)).unwrap_or_default();
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&copy, &fresh).unwrap();
    assert!(fresh == committed, "config/{name} is out of date: copy {} over it", copy.display());
}

#[test]
fn the_committed_schemas_are_current() {
    must_be_current("rollout.schema.json", &rollout::schema());
    must_be_current("controller.schema.json", &controller::schema());
}

#[test]
fn every_sample_is_taken_without_a_warning_and_fits_the_schema() {
    let validator = jsonschema::validator_for(&rollout::schema()).unwrap();
    let names: Vec<String> =
        samples().iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["canary", "hsm1_to_hsm2", "linear", "manual"]);
    for path in samples() {
        let shown = path.file_name().unwrap().to_string_lossy().into_owned();
        let parsed =
            rollout::parse_bytes(&shown, &fs::read(&path).unwrap()).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(parsed.warnings.is_empty(), "{}", parsed.warnings[0]);
        for document in [as_json(&path), rollout::render(&parsed.spec)] {
            let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{shown}");
        }
    }
}

#[test]
fn bad_documents_do_not_fit_the_schema() {
    let validator = jsonschema::validator_for(&rollout::schema()).unwrap();
    let good = as_json(&repository().join("config/rollouts/canary.yaml"));
    assert!(validator.is_valid(&good));
    let changes = [
        ("/name", json!("Checkout")),
        ("/name", json!(5)),
        ("/labels", json!({"version": 1.1})),
        ("/route", json!({"route53": {}})),
        ("/route/alb/rules", json!([])),
        ("/route/alb/rules/0", json!("web")),
        ("/steps", json!([])),
        ("/steps/0", json!({"weight": "10%", "hodl": "10m"})),
        ("/steps/0/weight", json!(101)),
        ("/steps/0/weight", json!("0.25%")),
        ("/steps/0/hold", json!({})),
        ("/steps/0/hold", json!(10)),
        ("/bake", json!("soon")),
        ("/analysis/checks/0", json!({"name": "nothing"})),
        ("/analysis/checks/0", json!({"errors": {}, "latency": {}})),
        ("/analysis/checks/0/errors/ceiling", json!(0.02)),
        ("/analysis/checks/2/alarms", json!([])),
        ("/on_inconclusive", json!("abort")),
    ];
    for (pointer, value) in changes {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        assert!(!validator.is_valid(&bad), "{pointer} = {value}");
        assert!(rollout::parse("bad.json", &bad.to_string()).is_err(), "the reader takes {pointer} = {value}");
    }
}

/// All objects that a schema describes, by their JSON pointer in a document, with the names of their fields.
fn objects(root: &Value, schema: &Value, pointer: &str, found: &mut BTreeMap<String, Vec<String>>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        objects(root, root.pointer(target.trim_start_matches('#')).unwrap(), pointer, found);
    }
    for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        objects(root, choice, pointer, found);
    }
    if let Some(items) = schema.get("items") {
        objects(root, items, &format!("{pointer}/0"), found);
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.insert(pointer.to_owned(), properties.keys().cloned().collect());
        for (name, property) in properties {
            objects(root, property, &format!("{pointer}/{name}"), found);
        }
    }
}

/// The names that a refusal lists as known.
fn known_here(detail: &str) -> Vec<String> {
    let (_, list) = detail.split_once("known here: ").unwrap_or_else(|| panic!("{detail}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A document that has an object at `pointer` with one field, unlike any that is known.
fn document_with(pointer: &str, field: &str) -> Value {
    let object = json!({field: 1});
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    parts.iter().rev().fold(object, |inner, part| if *part == "0" { json!([inner, {}]) } else { json!({*part: inner}) })
}

#[test]
fn the_schema_and_the_reader_know_the_same_fields() {
    let mut rollouts = BTreeMap::new();
    objects(&rollout::schema(), &rollout::schema(), "", &mut rollouts);
    assert!(rollouts.len() >= 13, "{rollouts:?}");
    let mut settings = BTreeMap::new();
    objects(&controller::schema(), &controller::schema(), "", &mut settings);
    assert_eq!(settings.len(), 4, "{settings:?}");
    let unlike = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";
    let refused = |pointer: &str, is_rollout: bool| {
        let text = document_with(pointer, unlike).to_string();
        let errors = if is_rollout {
            rollout::parse("rollout.json", &text).unwrap_err()
        } else {
            controller::load(Some(("controller.json", &text)), &BTreeMap::new()).unwrap_err()
        };
        let at = format!("{pointer}/{unlike}");
        let problem =
            errors.errors().find(|problem| problem.pointer() == at).unwrap_or_else(|| panic!("{at}: {errors}"));
        known_here(&problem.detail())
    };
    for (objects, is_rollout) in [(rollouts, true), (settings, false)] {
        for (pointer, mut names) in objects {
            let mut known = refused(&pointer, is_rollout);
            known.sort();
            names.sort();
            assert_eq!(known, names, "{pointer}");
        }
    }
}

#[test]
fn the_settings_file_fits_its_schema() {
    let validator = jsonschema::validator_for(&controller::schema()).unwrap();
    let good = as_json(&repository().join("config/controller.yaml"));
    assert!(validator.is_valid(&good));
    assert!(validator.is_valid(&json!({})));
    for bad in [json!({"listen": 8080}), json!({"log": {"level": "loud"}}), json!({"tick": "5s"}), json!({"aws": []})] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

/// The default of a field as the operators' page writes it.
fn shown(default: &Value) -> String {
    format!("`{}`", default.as_str().map_or_else(|| default.to_string(), str::to_owned))
}

#[test]
fn the_operators_page_names_every_field_with_its_default() {
    let page = fs::read_to_string(repository().join("docs/rollout-document.md")).unwrap();
    let schema = rollout::schema();
    let mut fields = BTreeMap::new();
    objects(&schema, &schema, "", &mut fields);
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for (pointer, names) in &fields {
        for name in names {
            let path = format!("{pointer}/{name}").replace("/0", "[]").replace('/', ".");
            let path = path.trim_start_matches('.');
            // Fields of the three comparing checks stand once; a hold's two ends stand with it.
            let short =
                path.split_once("errors.").or_else(|| path.split_once("latency.")).map_or(path, |(_, rest)| rest);
            let inner = fields.contains_key(&format!("{pointer}/{name}")) || path.starts_with("steps[].hold.");
            let row = rows.iter().find(|row| row.starts_with(&format!("| `{short}` |")));
            assert!(inner || row.is_some() || path == "schedule" || path == "analysis", "`{short}` has no row");
        }
    }
    for (pointer, default) in defaults(&schema, &schema, "") {
        let path = pointer.trim_start_matches('/').replace("/0", "[]").replace('/', ".");
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{path}` |")));
        assert!(row.is_some_and(|row| row.contains(&shown(&default))), "{path}: {default} is not in {row:?}");
    }
}

/// All defaults that are single values.
fn defaults(root: &Value, schema: &Value, pointer: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.trim_start_matches('#')));
    if let Some(default) = schema.get("default").filter(|default| !default.is_object() && !default.is_array()) {
        found.push((pointer.to_owned(), default.clone()));
    }
    for inner in target.into_iter().chain(schema.get("items")) {
        let end = if target.is_none() { "/0" } else { "" };
        found.extend(defaults(root, inner, &format!("{pointer}{end}")));
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        found.extend(defaults(root, property, &format!("{pointer}/{name}")));
    }
    found
}
