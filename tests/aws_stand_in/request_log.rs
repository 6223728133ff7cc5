//! What was asked of the stand-in, in order.

use super::clock::Millis;
use super::elb_modify::Change;
use super::protocol::{Protocol, Service};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// How a request ended, as the client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Answered with success.
    Answered,
    /// Answered with this error code.
    Refused(String),
    /// Carried out, but the client got no (whole) answer.
    AnswerLost,
    /// Neither carried out nor answered.
    NeverArrived,
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Its place in the order of arrival, from 1.
    pub(crate) number: u64,
    /// When it was carried out or refused.
    pub(crate) at: Millis,
    /// The service.
    pub(crate) service: Service,
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// The operation.
    pub(crate) operation: String,
    /// Its name in IAM policies.
    pub(crate) action: String,
    /// Its parameters.
    pub(crate) params: Map<String, Value>,
    /// The access key that signed it.
    pub(crate) access_key: String,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What it changed.
    pub(crate) change: Option<Change>,
}

impl Entry {
    /// Whether it was asked to change something.
    pub(crate) fn is_modify(&self) -> bool {
        ["ModifyRule", "ModifyListener", "AddTags", "RemoveTags"].contains(&self.operation.as_str())
    }
}

/// The newest requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: VecDeque<Entry>,
    count: u64,
}

/// Older entries are forgotten.
const MOST_ENTRIES: usize = 100_000;

impl RequestLog {
    /// Adds a request; its number is given here.
    pub(crate) fn add(&mut self, mut entry: Entry) {
        self.count += 1;
        entry.number = self.count;
        self.entries.push_back(entry);
        if self.entries.len() > MOST_ENTRIES {
            self.entries.pop_front();
        }
    }

    /// The requests after this number.
    pub(crate) fn after(&self, number: u64) -> Vec<Entry> {
        self.entries.iter().filter(|entry| entry.number > number).cloned().collect()
    }

    /// Forgets all; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
