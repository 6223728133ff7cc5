//! What to do to the world: made anew from the state at each tick, safe to do twice.

use serde::{Deserialize, Serialize};

use super::ids::Arn;
use super::observation::Trouble;
use super::weight::Weight;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Bring every rule of the route to a weight.
    SetWeight(SetWeight),
    /// Mark the rules as ours, so that another controller keeps off. May be refused without harm.
    Claim,
    /// Take our mark away again. May be refused without harm.
    Release,
}

/// Bring every rule of the route to `weight`, each by one write that changes nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWeight {
    /// Green's share.
    pub weight: Weight,
    /// What to do about group stickiness, after the weights and in a write of its own.
    pub stickiness: Stickiness,
    /// Weights that this controller wrote lately: a rule that shows one of them is ours. Any other is somebody else's,
    /// and is left alone unless `urgency` says otherwise.
    pub ours: Vec<Weight>,
    /// The `structure` that each rule had at preflight: another one is a foreign edit.
    pub structures: Vec<(Arn, String)>,
    /// Whether this is a raise, or a lowering that nothing may delay.
    pub urgency: Urgency,
}

/// Whether a write may wait, and over what it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Waits for the rate budget; never overwrites what somebody else wrote.
    Forward,
    /// Lowers green's weight: waits for nothing, and goes over foreign weights that are higher.
    Back,
}

/// What to do about a rule's group stickiness.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stickiness {
    /// Send it back as it is.
    #[default]
    Keep,
    /// Switch it off, so that clients with a cookie leave green too. May be refused (target stickiness needs it).
    Off,
    /// Put it back to what it was: seconds by rule.
    Restore(Vec<(Arn, u32)>),
}

/// What became of one write to one rule. A report is a hint for people: the next read is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReport {
    /// The rule.
    pub rule: Arn,
    /// What was to be reached.
    pub weight: Weight,
    /// What happened.
    pub outcome: WriteOutcome,
}

/// What happened to one write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOutcome {
    /// The API took it.
    Written,
    /// The rule already was as wanted: nothing was sent.
    AlreadyThere,
    /// Somebody else had changed the rule since: nothing was sent.
    Foreign {
        /// What was found there.
        found: String,
    },
    /// No usable answer: it may or may not have been applied.
    Failed(Trouble),
    /// The weight was written, but the stickiness could not be changed.
    StickinessRefused(Trouble),
}
