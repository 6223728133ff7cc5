//! What people ask of a rollout.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing that a person (or a program for him) asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Unique; the answer bears it.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it came in.
    pub at: Timestamp,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Ask {
    /// Move nothing forward until `resume`; the judge goes on.
    Pause,
    /// Return to the phase that was left.
    Resume,
    /// Skip hold, approval and Inconclusive of the present step, or of all.
    Promote {
        /// The step (counted from 1) that the person saw.
        expected_step: Option<u32>,
        /// For all steps, not just this one.
        full: bool,
    },
    /// Answer the pending approval.
    Approve {
        /// The step (counted from 1) that the person saw.
        expected_step: Option<u32>,
    },
    /// Take everything back to blue and end as `aborted`.
    Abort,
    /// Take everything back to blue and end as `rolled_back`.
    Rollback {
        /// Even when blue has no healthy target.
        force: bool,
    },
    /// Begin a new attempt with fresh evidence.
    Retry,
    /// Go back to the last proven weight and pause there.
    StepBack,
    /// Go on in spite of a preflight finding.
    Waive {
        /// The finding's code.
        code: String,
    },
    /// Change steps not yet reached, and the rest of the plan.
    Change {
        /// The whole new plan.
        plan: Box<super::plan::Plan>,
    },
}

impl Ask {
    /// The verb, as in the API's path and the CLI's command.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote { .. } => "promote",
            Self::Approve { .. } => "approve",
            Self::Abort => "abort",
            Self::Rollback { .. } => "rollback",
            Self::Retry => "retry",
            Self::StepBack => "step-back",
            Self::Waive { .. } => "waive",
            Self::Change { .. } => "change",
        }
    }
}

/// Why a request was not taken; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Stable name, as `wrong_phase`, `wrong_step`, `nothing_to_approve`.
    pub code: String,
    /// What stands in the way and what to do instead.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its stable name and its words.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request's id.
    pub id: u64,
    /// Taken, or why not.
    pub result: Result<(), Refusal>,
}
