//! What happened: the only thing that is ever journaled. Events are facts in the past tense and never change meaning.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hold::Hold;
use super::ids::Arn;
use super::observation::{AlarmSeen, HealthSeen, Period, RuleSeen};
use super::phase::Phase;
use super::plan::{Plan, Spec};
use super::preflight::Inspection;
use super::request::Ask;
use super::weight::Weight;

/// An event with its place in the rollout's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Place in the journal: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When it happened, by the controller's clock.
    pub at: Timestamp,
    /// Who made it happen: a person's name, or `greenshift`.
    pub actor: String,
    /// What happened.
    pub event: Event,
}

/// An event on its way into the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// Who made it happen.
    pub actor: String,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "data")]
pub enum Event {
    /// The rollout was created.
    Created(Box<Spec>),
    /// A person's request was taken.
    Requested {
        /// What was asked.
        ask: Ask,
        /// Why.
        reason: String,
    },
    /// The plan was changed.
    PlanChanged(Box<Plan>),
    /// A new attempt began, with fresh evidence.
    AttemptStarted {
        /// Counted from 1.
        attempt: u32,
        /// The phase it begins in.
        phase: Phase,
    },
    /// The phase changed.
    PhaseChanged {
        /// From.
        from: Phase,
        /// To.
        to: Phase,
        /// Why, as data and in words.
        cause: Cause,
    },
    /// The route was inspected before the first shift.
    Inspected(Inspection),
    /// The route as it stood when preflight passed: what greenshift never changes, and what it puts back.
    BaselineTaken {
        /// Every rule.
        rules: Vec<RuleSeen>,
        /// Both fleets.
        health: HealthSeen,
    },
    /// A person takes the responsibility for a finding.
    FindingWaived {
        /// The finding.
        code: String,
    },
    /// A weight was decided on; the writes follow.
    WeightIntended {
        /// Green's share.
        weight: Weight,
        /// The step it belongs to (counted from 0); `None` before the first.
        step: Option<usize>,
        /// Why.
        cause: Cause,
    },
    /// Every rule of the route shows the intended weight.
    WeightConfirmed {
        /// Green's share.
        weight: Weight,
    },
    /// The present step is proven, or a person promoted it.
    StepPassed {
        /// Counted from 0.
        step: usize,
        /// Proof, or whose word.
        cause: Cause,
    },
    /// Metric periods were read: new ones, corrected ones, and those that were read a second time alike.
    MetricsRead {
        /// New or changed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        periods: Vec<Period>,
        /// Beginnings of periods that were read again without a change.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unchanged: Vec<Timestamp>,
    },
    /// A check's verdict changed.
    VerdictChanged {
        /// The check.
        check: String,
        /// The verdict.
        verdict: Verdict,
        /// The judge's reason, from its fixed list.
        reason: String,
        /// The reason in words, with numbers.
        detail: String,
    },
    /// The counted targets changed.
    HealthChanged(HealthSeen),
    /// The named alarms changed.
    AlarmsChanged(Vec<AlarmSeen>),
    /// The route shows what this controller did not write.
    DriftFound {
        /// The rules as found.
        found: Vec<RuleSeen>,
        /// What is different, in words.
        detail: String,
    },
    /// The route is as this controller left it again, or what was found was adopted.
    DriftCleared,
    /// A rule that showed an older weight of ours was written again.
    Reasserted {
        /// The weight written.
        weight: Weight,
    },
    /// Stickiness of the route's rules was switched off for a rollback, or is to be put back.
    StickinessIntended {
        /// Off, or as at the start.
        off: bool,
        /// The seconds at the start, by rule.
        rules: Vec<(Arn, u32)>,
    },
    /// Why nothing moves changed.
    HoldChanged(Option<Hold>),
    /// Something that a person should know now.
    NoticeRaised {
        /// How pressing.
        level: NoticeLevel,
        /// What, and what to do.
        text: String,
    },
}

/// Why something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// From a fixed list.
    pub code: CauseCode,
    /// In words, with numbers.
    pub detail: String,
}

impl Cause {
    /// A cause with its words.
    pub fn new(code: CauseCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Why something happened, from a fixed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseCode {
    /// The plan says so and its conditions are met.
    Plan,
    /// The step was proven.
    Proven,
    /// A person asked.
    Person,
    /// A check is Failing.
    Failing,
    /// The step's longest hold is over without proof.
    Inconclusive,
    /// No data for too long.
    NoData,
    /// Both sides sick for too long, or since our raise.
    CommonCause,
    /// The load balancer's own errors rose since our raise.
    LoadBalancerErrors,
    /// Somebody else wrote to the route.
    External,
    /// Blue lost its targets.
    BlueUnhealthy,
    /// The route or a group is gone, or access is denied.
    Refused,
    /// The deadline is over.
    Deadline,
    /// Preflight passed.
    PreflightPassed,
    /// The bake is over.
    BakeOver,
    /// Every rule is back on blue.
    BackOnBlue,
    /// Drift was adopted.
    Adopted,
}

/// What the judge says of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Proven good enough for the next step.
    Passing,
    /// Proven worse.
    Failing,
    /// Neither, yet.
    Inconclusive,
}

impl Verdict {
    /// The name, as in JSON and in the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Failing => "failing",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// How pressing a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Look today.
    Warning,
    /// Wake someone.
    Page,
}
