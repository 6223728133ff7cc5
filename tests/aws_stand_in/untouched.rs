//! Proves from the request log that nothing was changed but what a rollout may change (invariant I10).

use super::elb_modify::Change;
use super::request_log::Entry;
use serde_json::{Value, json};

/// What requests may have changed.
#[derive(Debug, Clone)]
pub(crate) struct Allowed<'a> {
    /// The rules and listeners that the route names.
    pub(crate) resources: &'a [&'a str],
    /// The target groups whose weights may differ.
    pub(crate) groups: &'a [&'a str],
    /// Whether group stickiness may differ.
    pub(crate) stickiness: bool,
    /// Tag keys that may be added and removed.
    pub(crate) tag_keys: &'a [&'a str],
}

/// Every way in which the requests went beyond what is allowed; empty when they did not.
pub(crate) fn violations(entries: &[Entry], allowed: &Allowed<'_>) -> Vec<String> {
    entries.iter().filter(|entry| entry.is_modify()).flat_map(|entry| of_one(entry, allowed)).collect()
}

/// Panics with every violation.
pub(crate) fn assert_untouched_but_weights(entries: &[Entry], allowed: &Allowed<'_>) {
    let found = violations(entries, allowed);
    assert!(found.is_empty(), "requests changed what they may not:\n{}", found.join("\n"));
}

fn of_one(entry: &Entry, allowed: &Allowed<'_>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut note = |what: String| found.push(format!("request {} {}: {what}", entry.number, entry.operation));
    if ["AddTags", "RemoveTags"].contains(&entry.operation.as_str()) {
        for key in tag_keys(entry) {
            if !allowed.tag_keys.contains(&key.as_str()) {
                note(format!("tag {key}"));
            }
        }
    }
    for arn in named(entry) {
        if !allowed.resources.contains(&arn.as_str()) {
            note(format!("names {arn}"));
        }
    }
    let known = ["RuleArn", "ListenerArn", "Actions", "DefaultActions", "ResourceArns", "Tags", "TagKeys"];
    for field in entry.params.keys().filter(|field| !known.contains(&field.as_str())) {
        note(format!("sends {field}"));
    }
    if let Some(change) = &entry.change {
        for difference in differences(change, allowed) {
            note(difference);
        }
    }
    found
}

fn named(entry: &Entry) -> Vec<String> {
    let single = ["RuleArn", "ListenerArn"].iter().filter_map(|field| entry.params.get(*field));
    let many = entry.params.get("ResourceArns").and_then(Value::as_array).into_iter().flatten();
    single.chain(many).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn tag_keys(entry: &Entry) -> Vec<String> {
    let added = entry.params.get("Tags").and_then(Value::as_array).into_iter().flatten();
    let added = added.filter_map(|tag| tag["Key"].as_str());
    let removed = entry.params.get("TagKeys").and_then(Value::as_array).into_iter().flatten();
    added.chain(removed.filter_map(Value::as_str)).map(str::to_owned).collect()
}

/// Where before and after differ once everything that may differ has been blanked out.
fn differences(change: &Change, allowed: &Allowed<'_>) -> Vec<String> {
    let (before, after) = (blanked(&change.before, allowed), blanked(&change.after, allowed));
    let mut found = Vec::new();
    compare("", &before, &after, &mut found);
    found
}

fn blanked(value: &Value, allowed: &Allowed<'_>) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| blanked(item, allowed)).collect(),
        Value::Object(fields) => {
            let group = fields.get("TargetGroupArn").and_then(Value::as_str);
            let ours = group.is_some_and(|group| allowed.groups.contains(&group));
            let blank =
                |key: &str| (key == "Weight" && ours) || (key == "TargetGroupStickinessConfig" && allowed.stickiness);
            let fields = fields.iter().map(|(key, value)| {
                let value = if blank(key) { json!("may differ") } else { blanked(value, allowed) };
                (key.clone(), value)
            });
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(left), Value::Object(right)) => {
            let more = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(more) {
                let pick = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}/{key}"), &pick(left), &pick(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}/{index}"), left, right, found);
            }
        }
        _ if before == after => {}
        _ => found.push(format!("{path} was {before}, is {after}")),
    }
}
