//! What must be in order before the first shift: findings, each with its remedy.

use serde::{Deserialize, Serialize};

/// What an inspection of the route found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspection {
    /// Findings, worst first.
    pub findings: Vec<Finding>,
    /// Whether the two groups serve rules that the route does not name: then their request counts say nothing about
    /// the weight, and the share check is off.
    pub shared_groups: bool,
    /// Longest stickiness of any rule or group, in seconds: clients that hold a cookie do not follow the weight.
    pub sticky_seconds: Option<u32>,
}

/// One thing that preflight found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, as `no_healthy_green_targets`, by which a person waives it.
    pub code: String,
    /// What it means for the rollout.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a finding means for the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Holds in preflight until it is mended or waived with a reason.
    Blocking,
    /// Worth knowing; does not hold.
    Warning,
    /// For the record.
    Info,
}

impl Finding {
    /// A finding that holds the rollout in preflight.
    pub fn blocking(code: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Blocking, code, what, remedy)
    }

    /// A finding that is worth knowing.
    pub fn warning(code: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, what, remedy)
    }

    /// A finding for the record.
    pub fn info(code: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, what, remedy)
    }

    fn new(severity: Severity, code: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity, what: what.into(), remedy: remedy.into() }
    }
}
