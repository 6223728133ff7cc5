//! Stopping all forward moves of all rollouts, for as long as a person wants it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why, by whom and since when no rollout moves forward. Rollbacks go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub actor: String,
    /// Since when.
    pub at: Timestamp,
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, actor, at: _ } = self;
        write!(f, "{actor}: {reason}")
    }
}
