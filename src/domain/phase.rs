//! Where a rollout stands, and which changes are legal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for its start time or window.
    Pending,
    /// Looking at everything that would stop the first shift.
    Preflight,
    /// Raising green's weight step by step.
    Progressing,
    /// Stopped by a person or by a rule of the plan; judged on.
    Paused,
    /// All is ready for the next step but a person's word.
    AwaitingApproval,
    /// Green has taken over and is watched while blue is warm.
    Baking,
    /// Taking everything back to blue.
    RollingBack,
    /// Ended: blue has all traffic, because a verdict or `rollback` said so.
    RolledBack,
    /// Ended: green has all traffic.
    Completed,
    /// The controller cannot make it safe by itself; judged on.
    Halted,
    /// Ended: blue has all traffic, because a person (or a foreign edit) said so.
    Aborted,
}

impl Phase {
    /// All phases, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Preflight,
        Self::Progressing,
        Self::AwaitingApproval,
        Self::Paused,
        Self::Halted,
        Self::Baking,
        Self::RollingBack,
        Self::RolledBack,
        Self::Aborted,
        Self::Completed,
    ];

    /// The name, as in JSON and in the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Preflight => "preflight",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Baking => "baking",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Completed => "completed",
            Self::Halted => "halted",
            Self::Aborted => "aborted",
        }
    }

    /// Whether the attempt has ended (invariant I4: it never changes again).
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::RolledBack | Self::Completed | Self::Aborted)
    }

    /// Whether an attempt may go from this phase to `to`.
    pub const fn may_become(self, to: Self) -> bool {
        match self {
            Self::Pending => {
                // Rolling back: a retry of a halted attempt begins with traffic on green.
                matches!(to, Self::Preflight | Self::Paused | Self::RollingBack | Self::Aborted)
            }
            Self::Preflight => {
                matches!(to, Self::Progressing | Self::Paused | Self::Halted | Self::RollingBack | Self::Aborted)
            }
            Self::Progressing => matches!(
                to,
                Self::AwaitingApproval
                    | Self::Paused
                    | Self::Halted
                    | Self::Baking
                    | Self::Completed
                    | Self::RollingBack
                    | Self::Aborted
            ),
            Self::AwaitingApproval => {
                matches!(to, Self::Progressing | Self::Paused | Self::Halted | Self::RollingBack | Self::Aborted)
            }
            Self::Paused => matches!(
                to,
                Self::Pending
                    | Self::Preflight
                    | Self::Progressing
                    | Self::AwaitingApproval
                    | Self::Baking
                    | Self::Halted
                    | Self::RollingBack
                    | Self::Aborted
            ),
            Self::Halted => matches!(
                to,
                Self::Preflight
                    | Self::Progressing
                    | Self::AwaitingApproval
                    | Self::Paused
                    | Self::Baking
                    | Self::RollingBack
                    | Self::Aborted
            ),
            Self::Baking => matches!(
                to,
                Self::Completed | Self::Progressing | Self::Paused | Self::Halted | Self::RollingBack | Self::Aborted
            ),
            Self::RollingBack => matches!(to, Self::RolledBack | Self::Aborted | Self::Halted),
            Self::RolledBack | Self::Completed | Self::Aborted => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
