//! Texts of documents that JSON Schema has no type for.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::domain::time::Span;
use crate::domain::weight::Weight;

use super::share;

/// A length of time as it is written.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Duration(pub(crate) String);

/// A weight as it is written.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Percent(pub(crate) String);

/// A share as it is written: a percentage with its sign.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Share(pub(crate) String);

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: `90s`, `10m`, `1h30m` or ISO 8601 such as `PT10M`.",
            "type": "string",
            "pattern": "^[Pp0-9]",
        })
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A percentage in tenths: `10`, `10%` or `0.5%`.",
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 100},
                {"type": "string", "pattern": "^[0-9]{1,3}([.][0-9]0*)? ?%?$"},
            ],
        })
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A percentage with its sign: `5%` or `0.1%`.",
            "type": "string",
            "pattern": "^[0-9]+([.][0-9]+)? ?%$",
        })
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self(span.to_string())
    }
}

impl From<Weight> for Percent {
    fn from(weight: Weight) -> Self {
        Self(weight.to_string())
    }
}

impl From<f64> for Share {
    fn from(share: f64) -> Self {
        Self(share::written(share))
    }
}
