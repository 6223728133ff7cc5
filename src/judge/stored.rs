//! How evidence is written down: JSON knows no infinity, and evidence starts at −∞.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NONE: &str = "-inf";

/// A logarithm, with "-inf" for −∞.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Log(f64);

impl Serialize for Log {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == f64::NEG_INFINITY { serializer.serialize_str(NONE) } else { serializer.serialize_f64(self.0) }
    }
}

struct LogVisitor;

impl Visitor<'_> for LogVisitor {
    type Value = Log;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number or \"{NONE}\"")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Log, E> {
        Ok(Log(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "no whole number that was written as a float is changed")]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Log, E> {
        Ok(Log(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "no whole number that was written as a float is changed")]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Log, E> {
        Ok(Log(value as f64))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Log, E> {
        if value == NONE {
            Ok(Log(f64::NEG_INFINITY))
        } else {
            Err(E::invalid_value(de::Unexpected::Str(value), &self))
        }
    }
}

impl<'de> Deserialize<'de> for Log {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LogVisitor)
    }
}

/// For `#[serde(with)]` on one logarithm.
pub(super) mod log {
    use super::{Deserialize, Deserializer, Log, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(in super::super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Log(*value).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Log::deserialize(deserializer).map(|log| log.0)
    }
}

/// For `#[serde(with)]` on a list of logarithms.
pub(super) mod logs {
    use super::{Deserialize, Deserializer, Log, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        values.iter().map(|&value| Log(value)).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Log>::deserialize(deserializer)?.into_iter().map(|log| log.0).collect())
    }
}
