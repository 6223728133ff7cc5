//! From a tree to typed values. What does not fit is noted with its place, and the reading goes on.

use std::collections::BTreeMap;

use super::problem::{Findings, Place, Problem, Severity};
use super::tree::{Node, Value};

/// Most keys of one mapping that are read: a document has at most some dozens.
const ENTRIES_MAX: usize = 1000;

/// A value of the document, with the JSON pointer that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct At<'n> {
    node: &'n Node,
    pointer: String,
}

/// A field that is known but cannot be used in this version, and what to do instead.
pub(crate) type Later = (&'static str, &'static str);

impl<'n> At<'n> {
    /// The whole document.
    pub(crate) const fn root(node: &'n Node) -> Self {
        Self { node, pointer: String::new() }
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.node.place
    }

    /// Notes that the document is wrong here.
    pub(crate) fn error(&self, out: &mut Findings, what: impl Into<String>, help: Option<impl Into<String>>) {
        out.push(Problem::new(Severity::Error, &self.node.place, &self.pointer, what).with_help(help));
    }

    /// Notes something that the author should know.
    pub(crate) fn warn(&self, out: &mut Findings, what: impl Into<String>, help: Option<impl Into<String>>) {
        out.push(Problem::new(Severity::Warning, &self.node.place, &self.pointer, what).with_help(help));
    }

    /// A text. What YAML reads as a number or as true or false is refused, with the quotes that mend it.
    pub(crate) fn text(&self, what: &str, out: &mut Findings) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Number(number) => {
                self.error(out, format!("{what} is a text, and this is a number"), Some(format!("write \"{number}\"")));
                None
            }
            Value::Bool(yes) => {
                let found = format!("{what} is a text, and this is true or false");
                self.error(out, found, Some(format!("write \"{yes}\"")));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => self.mismatch(what, "a text", out),
        }
    }

    /// A text or a number, as written.
    pub(crate) fn scalar(&self, what: &str, kind: &str, out: &mut Findings) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => self.mismatch(what, kind, out),
        }
    }

    /// True or false.
    pub(crate) fn flag(&self, what: &str, out: &mut Findings) -> Option<bool> {
        if let Value::Bool(yes) = self.node.value { Some(yes) } else { self.mismatch(what, "`true` or `false`", out) }
    }

    /// A whole number within limits.
    pub(crate) fn count(&self, what: &str, range: std::ops::RangeInclusive<u32>, out: &mut Findings) -> Option<u32> {
        let kind = format!("a whole number from {} to {}", range.start(), range.end());
        let Value::Number(written) = &self.node.value else { return self.mismatch(what, &kind, out) };
        let number = written.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(out, format!("{what} is {kind}, and this is {written}"), None::<String>);
        }
        number
    }

    /// Reads a scalar with `parse`, whose error says what is wrong.
    pub(crate) fn parse<T, E: std::fmt::Display>(
        &self,
        what: &str,
        kind: &str,
        out: &mut Findings,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let written = self.scalar(what, kind, out)?;
        parse(written).map_err(|error| self.error(out, error.to_string(), None::<String>)).ok()
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, what: &str, words: &[(&str, T)], out: &mut Findings) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let kind = listed(&names, "or");
        let written = match &self.node.value {
            Value::Text(text) | Value::Number(text) => text.as_str(),
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Null | Value::List(_) | Value::Map(_) => return self.mismatch(what, &kind, out),
        };
        let found = words.iter().find(|(name, _)| *name == written).map(|(_, value)| *value);
        if found.is_none() {
            let help = nearest(written, &names).map(|near| format!("write `{near}`"));
            self.error(out, format!("{what} is {kind}, not `{written}`"), help);
        }
        found
    }

    /// Whether it is a mapping.
    pub(crate) const fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Whether nothing stands there.
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// Whether it is a single text, number, or true or false.
    pub(crate) const fn is_scalar(&self) -> bool {
        matches!(self.node.value, Value::Text(_) | Value::Number(_) | Value::Bool(_))
    }

    /// The items of a list.
    pub(crate) fn list(&self, what: &str, max: usize, out: &mut Findings) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            return self.mismatch(what, "a list", out);
        };
        if items.len() > max {
            self.error(out, format!("{what} has {} items; at most {max} are allowed", items.len()), None::<String>);
            return None;
        }
        let item = |(index, node)| At { node, pointer: format!("{}/{index}", self.pointer) };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a mapping with free keys, which must not repeat.
    pub(crate) fn entries(&self, what: &str, out: &mut Findings) -> Option<BTreeMap<&'n str, Field<'n>>> {
        let Value::Map(entries) = &self.node.value else {
            return self.mismatch(what, "a mapping", out);
        };
        if entries.len() > ENTRIES_MAX {
            let text = format!("{what} has {} keys; at most {ENTRIES_MAX} are read", entries.len());
            self.error(out, text, None::<String>);
            return None;
        }
        let mut found: BTreeMap<&str, Field<'_>> = BTreeMap::new();
        for entry in entries {
            let pointer = format!("{}/{}", self.pointer, escaped(&entry.key));
            let at = At { node: &entry.node, pointer };
            if let Some(first) = found.get(entry.key.as_str()) {
                let text =
                    format!("`{}` stands here a second time; it is in line {} already", entry.key, first.key.line);
                let help = Some("keep one of the two");
                out.push(Problem::new(Severity::Error, &entry.place, &at.pointer, text).with_help(help));
            } else {
                found.insert(&entry.key, Field { key: &entry.place, value: at });
            }
        }
        Some(found)
    }

    /// The fields of a mapping that has only known ones. `what` is what the mapping describes: "a step".
    pub(crate) fn fields(&self, what: &str, known: &[&str], later: &[Later], out: &mut Findings) -> Option<Fields<'n>> {
        let mut fields = self.entries(what, out)?;
        let found = fields.len();
        let mut meant = Vec::new();
        fields.retain(|name, field| {
            if known.contains(name) {
                return true;
            }
            let (text, help) = if let Some((_, instead)) = later.iter().find(|(known, _)| known == name) {
                (format!("`{name}` is not supported in this version"), (*instead).to_owned())
            } else {
                let help = nearest(name, known).map_or_else(
                    || format!("known here: {}", listed(known, "and")),
                    |near| {
                        meant.push(near.to_owned());
                        format!("did you mean `{near}`?")
                    },
                );
                (format!("`{name}` is not a field of {what}"), help)
            };
            field.key_error(out, text, help);
            false
        });
        let refused = fields.len() < found;
        Some(Fields { what: what.to_owned(), whole: self.clone(), refused, meant, known: fields })
    }

    fn mismatch<T>(&self, what: &str, kind: &str, out: &mut Findings) -> Option<T> {
        let text = match &self.node.value {
            Value::Null => format!("{what} is empty; it should be {kind}"),
            Value::Bool(yes) => format!("{what} should be {kind}, and this is `{yes}`"),
            Value::Number(number) => format!("{what} should be {kind}, and this is the number {number}"),
            Value::Text(_) => format!("{what} should be {kind}, and this is a text"),
            Value::List(_) => format!("{what} should be {kind}, and this is a list"),
            Value::Map(_) => format!("{what} should be {kind}, and this is a mapping"),
        };
        self.error(out, text, None::<String>);
        None
    }
}

/// A field of a mapping.
#[derive(Debug)]
pub(crate) struct Field<'n> {
    pub(crate) key: &'n Place,
    pub(crate) value: At<'n>,
}

/// The known fields of a mapping.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    what: String,
    whole: At<'n>,
    refused: bool,
    meant: Vec<String>,
    known: BTreeMap<&'n str, Field<'n>>,
}

impl Field<'_> {
    /// Notes that the key itself is wrong.
    pub(crate) fn key_error(&self, out: &mut Findings, what: impl Into<String>, help: impl Into<String>) {
        out.push(Problem::new(Severity::Error, self.key, &self.value.pointer, what).with_help(Some(help)));
    }
}

impl<'n> Fields<'n> {
    /// The mapping itself.
    pub(crate) const fn whole(&self) -> &At<'n> {
        &self.whole
    }

    /// A field that may be left out.
    pub(crate) fn get(&self, name: &str) -> Option<&At<'n>> {
        self.known.get(name).map(|field| &field.value)
    }

    /// A field that must be there.
    pub(crate) fn require(&self, name: &str, example: &str, out: &mut Findings) -> Option<&At<'n>> {
        let found = self.get(name);
        // One slip of the pen is one error.
        let misspelt = self.meant.iter().any(|meant| meant == name);
        if found.is_none() && !misspelt {
            let help = Some(format!("write `{name}: {example}`"));
            self.whole.error(out, format!("{} needs `{name}`", self.what), help);
        }
        found
    }

    /// Whether some fields were refused: then others may be missing because of a slip of the pen.
    pub(crate) const fn was_refused(&self) -> bool {
        self.refused
    }

    /// Whether no field is there, known or not.
    pub(crate) fn is_bare(&self) -> bool {
        self.known.is_empty() && !self.refused
    }

    /// The names that are there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'n str> {
        self.known.keys().copied()
    }
}

/// A key as a part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Longest name that is compared with known ones: what is longer is none of them.
const NAME_MAX: usize = 64;

/// The known name that is likely meant, if one is near enough: at most one change in three characters.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let normal = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let plain = normal(name);
    if plain.len() > NAME_MAX {
        return None;
    }
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(&plain, &normal(known)), *known)).min()?;
    let allowed = near.1.chars().count().max(plain.chars().count()).div_ceil(3);
    (near.0 <= allowed).then_some(near.1)
}

/// `a`, `b` and `c`.
pub(crate) fn listed(names: &[&str], last: &str) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first @ .., end] => {
            let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} {last} `{end}`", first.join(", "))
        }
    }
}
