//! The rollout document: what a person writes to move a route, as a [`Spec`] with every default filled in.

mod checks;
mod document;
mod plan;
mod render;
mod route;
mod schedule;
mod steps;

use crate::domain::plan::Spec;

use super::problem::{DocumentErrors, Findings, Place, Problem, Severity, Source};
use super::reader::{At, Later};
use super::tree;

pub use document::{render, schema};

/// A document that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What it says, with every default.
    pub spec: Spec,
    /// What its author should know all the same.
    pub warnings: Vec<Problem>,
}

/// Reads a document, YAML or JSON. `source_name` is what messages call it by: the file's path.
pub fn parse(source_name: &str, text: &str) -> Result<Parsed, DocumentErrors> {
    let source = Source::new(source_name, text);
    let tree = tree::read(&source)?;
    let mut out = Findings::default();
    let spec = spec(&At::root(&tree), &mut out);
    let (spec, warnings) = out.finish(spec)?;
    Ok(Parsed { spec, warnings })
}

/// As [`parse`], for bytes that may not even be text.
pub fn parse_bytes(source_name: &str, bytes: &[u8]) -> Result<Parsed, DocumentErrors> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(source_name, text),
        Err(error) => Err(not_text(source_name, bytes, error.valid_up_to()).into()),
    }
}

/// All that is to be said about a document, for a terminal: errors and warnings, nothing for a document without.
pub fn lint(source_name: &str, bytes: &[u8]) -> Result<String, DocumentErrors> {
    let parsed = parse_bytes(source_name, bytes)?;
    let shown: Vec<String> = parsed.warnings.iter().map(Problem::to_string).collect();
    Ok(shown.join("\n"))
}

fn not_text(source_name: &str, bytes: &[u8], good: usize) -> Problem {
    let good = String::from_utf8_lossy(bytes.get(..good).unwrap_or_default());
    let source = Source::new(source_name, &good);
    let line = source.text().split('\n').count();
    let column = source.text().rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    let place = Place { line, column, ..Place::start(&source) };
    Problem::new(Severity::Error, &place, "", "the document is not UTF-8 text from here on")
        .with_help(Some("save the file in UTF-8"))
}

const FIELDS: &[&str] = &[
    "name",
    "labels",
    "route",
    "steps",
    "bake",
    "bake_at",
    "rollback_window",
    "health",
    "analysis",
    "on_failure",
    "on_inconclusive",
    "on_no_data",
    "no_data_timeout",
    "common_cause_timeout",
    "on_drift",
    "schedule",
    "deadline",
];

const LATER: &[Later] = &[
    ("keys", "remove it; check the keys with the CloudHSM tools before the rollout"),
    ("aws", "remove it; the controller's own role is used"),
];

fn spec(at: &At<'_>, out: &mut Findings) -> Option<Spec> {
    if at.is_empty() {
        at.error(out, "the document is empty", Some("`name` and `route` are a complete document"));
        return None;
    }
    let fields = at.fields("a rollout document", FIELDS, LATER, out)?;
    let name = fields.require("name", "payments", out).and_then(|at| route::name(at, out));
    let labels = fields.get("labels").map(|at| route::labels(at, out)).unwrap_or_default();
    let route = fields
        .require("route", "{alb: {rules: […], blue_target_group: …, green_target_group: …}}", out)
        .and_then(|at| route::route(at, out));
    let plan = plan::plan(&fields, out);
    Some(Spec { name: name?, labels, route: route?, plan })
}
