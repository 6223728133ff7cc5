//! A YAML or JSON text as a tree in which every value knows where it stands.
//!
//! Reading into a tree first, and from it into types, is what lets a document be refused with all of its mistakes at
//! once, each at its line. Numbers keep their written form: `0.1` is a weight in tenths, not a binary fraction.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

use super::problem::{Place, Problem, Severity, Source};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What stands there.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing: `key:` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the document; keys may stand in it twice.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// Largest document in bytes: that of an API body.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;

/// Reads a text into a tree, or says what stopped the reading.
pub(crate) fn read(source: &Arc<Source>) -> Result<Node, Problem> {
    let text = source.text();
    if text.len() > BYTES_MAX {
        let what = format!("the document has {} bytes; at most {BYTES_MAX} are read", text.len());
        return Err(Problem::new(Severity::Error, &Place::start(source), "", what));
    }
    let read: Result<Spanned<Raw>, serde_saphyr::Error> = serde_saphyr::from_str_with_options(text, options());
    read.map(|raw| node(source, raw)).map_err(|error| unreadable(source, &error))
}

/// No document that people write comes near these limits; one that does is an attack or a mistake.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_aliases: 100,
            max_anchors: 100,
            max_recorded_anchor_events: 10_000,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_documents: 1,
            max_nodes: 50_000,
            max_total_scalar_bytes: BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

fn node(source: &Arc<Source>, raw: Spanned<Raw>) -> Node {
    let at = raw.defined;
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(yes) => Value::Bool(yes),
        Raw::Number(shown) => Value::Number(written(source, at).unwrap_or(&shown).to_owned()),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(source, item)).collect()),
        Raw::Map(entries) => Value::Map(entries.into_iter().map(|(key, value)| entry(source, key, value)).collect()),
    };
    let place = match &value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => place(source, at),
        Value::List(_) | Value::Map(_) => Place { length: 0, ..place(source, at) },
    };
    Node { value, place }
}

fn entry(source: &Arc<Source>, key: Spanned<Raw>, value: Spanned<Raw>) -> Entry {
    let place = place(source, key.defined);
    let shown = written(source, key.defined).unwrap_or_default().to_owned();
    let key = if let Raw::Text(text) = key.value { text } else { shown };
    Entry { key, place, node: node(source, value) }
}

/// The text of the source at a location.
fn written(source: &Source, at: Location) -> Option<&str> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    source.text().get(start..start.checked_add(length)?).map(str::trim_end)
}

fn place(source: &Arc<Source>, at: Location) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let length = written(source, at).map_or(0, |text| text.lines().next().unwrap_or_default().chars().count());
    Place { source: Arc::clone(source), line: number(at.line()).max(1), column: number(at.column()).max(1), length }
}

/// The parser's refusal, with a remedy where there is one.
fn unreadable(source: &Arc<Source>, error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error as E;
    let place = error.location().map_or_else(|| Place::start(source), |at| place(source, at));
    let message = error.to_string();
    // The place is shown anyway.
    let message = message.split_once(" at line ").map_or(message.as_str(), |(message, _place)| message);
    let limits = ["budget breached", "alias replay", "alias expansion", "recursion limit", "nesting"];
    let over_limit = limits.iter().any(|start| message.starts_with(start));
    #[expect(clippy::wildcard_enum_match_arm, reason = "somebody else's enum: all others speak for themselves")]
    let (what, help) = match error {
        _ if over_limit && !message.contains("Documents") => {
            let help = "write values out instead of using anchors, and nest no deeper than the fields ask for";
            ("the document is larger, or nested deeper, than any plan needs", Some(help))
        }
        E::Budget { .. } | E::MultipleDocuments { .. } => {
            ("a second document begins here", Some("one file holds one document: remove `---` and what follows it"))
        }
        E::MergeKeyNotAllowed { .. } => ("merge keys (`<<`) are not supported", Some("write the fields out")),
        _ if message.starts_with("tabs disallowed") => {
            ("a tab stands where YAML wants blanks", Some("indent with blanks"))
        }
        _ if message.starts_with("mapping values are not allowed") => {
            (message, Some("if `: ` belongs to a text, write the text in quotes; else check the indentation"))
        }
        _ if message.starts_with("unclosed quote") => ("this quote is never closed", None),
        _ => (message, None),
    };
    Problem::new(Severity::Error, &place, "", what).with_help(help)
}

/// What the parser hands over, before numbers get their written form back.
enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _bytes: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary values have no use here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map: Vec<(Spanned<Raw>, Spanned<Raw>)> = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Raw>>()? {
            if matches!(key.value, Raw::List(_) | Raw::Map(_)) {
                return Err(A::Error::custom("a key must be a plain text"));
            }
            map.push((key, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}
