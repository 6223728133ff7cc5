//! Trees laid over one another: the compiled-in defaults, the operator's file, the environment.

use std::collections::BTreeMap;

use super::environment::PREFIX;
use super::problem::{Findings, Place, Problem, Severity, Source};
use super::reader::nearest;
use super::tree::{Entry, Node, Value};

/// Variables of ours that are no settings of the controller: the command line reads them.
const OTHERS: &[&str] = &["GREENSHIFT_CONFIG", "GREENSHIFT_SERVER", "GREENSHIFT_TOKEN", "GREENSHIFT_TOKEN_FILE"];

/// Lays `over` on `under`, mapping by mapping; everything else is replaced whole. An empty mapping value, as a key
/// whose lines are all commented out, changes nothing. Keys that stand twice are kept, so that the reader sees them.
pub(crate) fn overlay(under: Node, over: Node) -> Node {
    match (under, over) {
        (under @ Node { value: Value::Map(_), .. }, Node { value: Value::Null, .. }) => under,
        (Node { value: Value::Map(mut entries), .. }, Node { value: Value::Map(upper), place }) => {
            let mut laid: Vec<Entry> = Vec::new();
            for entry in upper {
                let below = entries.iter().position(|below| below.key == entry.key).map(|index| entries.remove(index));
                let node = match below {
                    Some(below) => overlay(below.node, entry.node),
                    None => entry.node,
                };
                laid.push(Entry { node, ..entry });
            }
            entries.extend(laid);
            Node { value: Value::Map(entries), place }
        }
        (_, over) => over,
    }
}

/// Lays the variables over the settings in `tree`. A variable that names no setting is a warning, not an error:
/// platforms set variables of their own, as `GREENSHIFT_PORT` beside a service of that name.
pub(crate) fn overlay_variables(tree: &mut Node, variables: BTreeMap<String, String>, out: &mut Findings) {
    let mut known = Vec::new();
    names(tree, PREFIX, &mut known);
    for (name, value) in variables {
        let source = Source::new(&format!("environment variable {name}"), &value);
        let place = Place { length: value.chars().count(), ..Place::start(&source) };
        if OTHERS.contains(&name.as_str()) {
            continue;
        }
        if !known.contains(&name) {
            // What all names have in common says nothing about nearness.
            let known: Vec<&str> = known.iter().filter_map(|known| known.strip_prefix(PREFIX)).collect();
            let near = nearest(name.strip_prefix(PREFIX).unwrap_or_default(), &known);
            let help = near.map(|near| format!("did you mean `{PREFIX}{near}`?"));
            let what = format!("`{name}` is not a setting, and is ignored");
            out.push(Problem::new(Severity::Warning, &place, "", what).with_help(help));
            continue;
        }
        let path = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase();
        if let Some(node) = at_path(tree, &path) {
            *node = Node { value: scalar(value), place };
        }
    }
}

/// The names of the variables of all settings.
fn names(node: &Node, prefix: &str, found: &mut Vec<String>) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        let name = format!("{prefix}{}", entry.key.to_ascii_uppercase());
        match entry.node.value {
            Value::Map(_) => names(&entry.node, &format!("{name}__"), found),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => found.push(name),
        }
    }
}

fn at_path<'t>(tree: &'t mut Node, path: &str) -> Option<&'t mut Node> {
    path.split("__").try_fold(tree, |node, key| {
        let Value::Map(entries) = &mut node.value else { return None };
        entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    })
}

/// A variable is a text; one that looks like a number or like true or false stands for that.
fn scalar(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "" => Value::Null,
        number if number.parse::<f64>().is_ok() => Value::Number(text),
        _ => Value::Text(text),
    }
}
