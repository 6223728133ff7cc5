//! The awsQuery wire: form in, XML out, and the one error type that every protocol carries.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// An error answer, as AWS words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwsError {
    /// The code that clients look at, such as `RuleNotFound`.
    pub(crate) code: String,
    /// The text for people.
    pub(crate) message: String,
    /// The HTTP status.
    pub(crate) status: u16,
}

impl AwsError {
    /// A refusal of the caller's request: HTTP 400.
    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: 400 }
    }

    /// The refusal of a malformed or out-of-range parameter.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::refused("ValidationError", message)
    }

    /// An answer with another status than 400.
    pub(crate) fn with_status(code: &str, message: impl Into<String>, status: u16) -> Self {
        Self { code: code.to_owned(), message: message.into(), status }
    }
}

/// Members that are whole numbers on the awsQuery wire.
const INTEGERS: [&str; 7] =
    ["Order", "Weight", "DurationSeconds", "PageSize", "Port", "SessionTimeout", "MaxDatapoints"];
/// More whole numbers, of CloudWatch's query protocol.
const CLOUDWATCH_INTEGERS: [&str; 2] = ["Period", "MaxRecords"];
/// Members that are booleans on the awsQuery wire.
const BOOLEANS: [&str; 4] = ["Enabled", "UseExistingClientSecret", "ReturnData", "ResetTransforms"];
/// Members whose value is a map, written as `<entry>` elements.
const MAPS: [&str; 1] = ["AuthenticationRequestExtraParams"];

/// Reads a form body into one nested value: `Actions.member.1.Order=2` becomes `{"Actions":[{"Order":2}]}`.
pub(crate) fn parse_form(body: &str) -> Result<Map<String, Value>, AwsError> {
    let mut root = Map::new();
    for pair in body.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (percent_decode(key), percent_decode(value));
        let mut node = &mut root;
        let parts: Vec<&str> = key.split('.').collect();
        let Some((last, path)) = parts.split_last() else { continue };
        for part in path {
            let slot = node.entry(*part).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            node = slot.as_object_mut().unwrap();
        }
        node.insert((*last).to_owned(), typed(last, value)?);
    }
    Ok(root.into_iter().map(|(key, value)| (key, fold_lists(value))).collect())
}

fn typed(name: &str, text: String) -> Result<Value, AwsError> {
    if text.is_empty() {
        return Ok(Value::String(text));
    }
    if INTEGERS.contains(&name) || CLOUDWATCH_INTEGERS.contains(&name) {
        return text.parse::<i64>().map(Value::from).map_err(|error| {
            AwsError::refused("MalformedInput", format!("'{text}' at '{name}' is no whole number: {error}"))
        });
    }
    if BOOLEANS.contains(&name) {
        return match text.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(AwsError::refused("MalformedInput", format!("'{text}' at '{name}' is no boolean"))),
        };
    }
    Ok(Value::String(text))
}

/// Turns `{"member":{"1":…,"2":…}}` into a list and `{"entry":{"1":{"key":…,"value":…}}}` into a map.
fn fold_lists(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    if object.len() == 1 {
        if let Some(Value::Object(members)) = object.get("member") {
            return Value::Array(in_order(members).into_iter().map(fold_lists).collect());
        }
        if let Some(Value::Object(entries)) = object.get("entry") {
            let pairs = in_order(entries).into_iter().filter_map(|entry| {
                let key = entry.get("key")?.as_str()?.to_owned();
                Some((key, entry.get("value")?.clone()))
            });
            return Value::Object(pairs.collect());
        }
    }
    Value::Object(object.into_iter().map(|(key, value)| (key, fold_lists(value))).collect())
}

fn in_order(members: &Map<String, Value>) -> Vec<Value> {
    let mut numbered: Vec<(u32, Value)> =
        members.iter().filter_map(|(number, value)| Some((number.parse().ok()?, value.clone()))).collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, value)| value).collect()
}

/// Decodes `%20` and `+`.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The XML answer of an operation.
pub(crate) fn xml_answer(namespace: &str, operation: &str, result: &Value, request_id: &str) -> String {
    let mut out = String::new();
    let body = element(&format!("{operation}Result"), result);
    write!(
        out,
        "<{operation}Response xmlns=\"{namespace}\">{body}<ResponseMetadata><RequestId>{request_id}\
         </RequestId></ResponseMetadata></{operation}Response>"
    )
    .unwrap();
    out
}

/// The XML answer of a refusal.
pub(crate) fn xml_error(namespace: &str, error: &AwsError, request_id: &str) -> String {
    let sender = if error.status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{sender}</Type><Code>{}</Code><Message>{}</Message>\
         </Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(&error.code),
        escape(&error.message)
    )
}

/// One element with its children; lists become `<member>` elements, nulls nothing.
fn element(name: &str, value: &Value) -> String {
    let inner = match value {
        Value::Null => return String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => escape(text),
        Value::Array(items) => items.iter().map(|item| element("member", item)).collect(),
        Value::Object(entries) if MAPS.contains(&name) => entries
            .iter()
            .map(|(key, value)| {
                let pair = serde_json::json!({"key": key, "value": value});
                element("entry", &pair)
            })
            .collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| element(key, value)).collect(),
    };
    format!("<{name}>{inner}</{name}>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The text member `name`, if it is there and not empty.
pub(crate) fn text<'a>(params: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    params.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The list member `name`; an empty list travels as an empty string.
pub(crate) fn list(params: &Map<String, Value>, name: &str) -> Option<Vec<Value>> {
    match params.get(name)? {
        Value::Array(items) => Some(items.clone()),
        Value::String(text) if text.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

/// The texts of the list member `name`; empty when it is absent.
pub(crate) fn texts(params: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = list(params, name).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
