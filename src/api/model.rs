//! What the API speaks, in both directions. The command line and the page show exactly this.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::event::{Cause, Verdict};
use crate::domain::hold::Hold;
use crate::domain::ids::Arn;
use crate::domain::observation::{AlarmSeen, HealthSeen, RuleSeen, SideCounts, Trouble};
use crate::domain::phase::Phase;
use crate::domain::preflight::Finding;
use crate::domain::time::Span;
use crate::domain::weight::Weight;

/// A rollout as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutView {
    /// Its name.
    pub name: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Timestamp,
    /// Why it is in this phase; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The step whose weight is intended: 1 for the first, 0 before it.
    pub step: u32,
    /// How many steps the plan has.
    pub steps: u32,
    /// Green's share, as wanted, as the rules show it, and as requests arrive.
    pub weight: WeightView,
    /// Why the weight does not rise right now.
    pub hold: Option<Hold>,
    /// What each check of the plan says.
    pub checks: Vec<CheckView>,
    /// The rules, as the last look showed them; empty before the first look.
    pub rules: Vec<RuleSeen>,
    /// The targets, as last counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSeen>,
    /// What preflight found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingView>,
    /// What somebody else wrote to the route, while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftView>,
    /// What stood in the way of the last look at the world.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
    /// Where the weight lives, as in the document.
    pub route: Value,
    /// The plan, as in the document, with every default written out.
    pub plan: Value,
    /// Counted from 1; `retry` begins the next.
    pub attempt: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the last event happened.
    pub updated_at: Timestamp,
    /// When the world was last looked at; absent right after a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Timestamp>,
    /// Number of the last event.
    pub revision: u64,
}

/// Green's share of the route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightView {
    /// As the controller wants it.
    pub desired: Weight,
    /// The lowest that any rule shows; `null` before the first look.
    pub observed: Option<Weight>,
    /// Share of the requests that green got since the weight was confirmed; `null` while none were counted.
    pub traffic_share: Option<Weight>,
    /// Why the share is not what the weight says, or why it is not compared; `null` when there is nothing to say.
    #[serde(default)]
    pub remark: Option<String>,
}

/// What one check says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// Its name in the plan.
    pub name: String,
    /// What it asks: `errors`, `client_errors`, `latency` or `alarms`.
    pub kind: String,
    /// What it says.
    pub verdict: Verdict,
    /// Why, from the judge's fixed list.
    pub reason: String,
    /// Why, in words with numbers.
    pub detail: String,
    /// Since when the verdict stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Blue's requests in the time that the verdict speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue: Option<SideView>,
    /// Green's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub green: Option<SideView>,
    /// Green's rate may be this many times blue's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// What has been learned so far, as natural logarithms of odds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceView>,
    /// What the evidence is compared with, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdView>,
    /// The named alarms and their states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<AlarmSeen>,
}

/// Requests of one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SideView {
    /// How many came; a fraction where a count was interpolated.
    pub requests: f64,
    /// How many of them were bad.
    pub bad: f64,
    /// Bad ones among them, 0 to 1; `null` without requests.
    pub rate: Option<f64>,
}

/// Evidence of a check; `null` = none yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// That green is worse than blue, or over the ceiling.
    pub against: Option<f64>,
    /// That green is worse than blue used to be.
    pub history: Option<f64>,
    /// That green is good enough for the next step.
    pub proof: Option<f64>,
}

/// What evidence is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThresholdView {
    /// For `against` and `history`.
    pub against: f64,
    /// For `proof`.
    pub proof: f64,
}

/// A preflight finding, and whether somebody answers for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// A person waived it.
    #[serde(default)]
    pub waived: bool,
}

/// What somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftView {
    /// What is different, in words.
    pub detail: String,
    /// The rules as found.
    pub found: Vec<RuleSeen>,
    /// Since when.
    pub since: Timestamp,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The page.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// One event of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Place in the journal: 1, 2, 3 …
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What, from a fixed list.
    #[serde(rename = "type")]
    pub kind: String,
    /// What, in one sentence.
    pub text: String,
    /// The numbers.
    pub data: Value,
}

/// Events, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events.
    pub items: Vec<EventView>,
    /// Give it as `after` for what comes next.
    pub next_after: u64,
}

/// One metric period, and what each check said after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisPeriod {
    /// Beginning of the period.
    pub start: Timestamp,
    /// Its length.
    pub interval: Span,
    /// What blue served.
    pub blue: SideCounts,
    /// What green served.
    pub green: SideCounts,
    /// 5XX answers that the load balancer made itself.
    pub load_balancer_errors: u64,
    /// What each statistical check said; empty while blue alone was learned from.
    pub checks: Vec<PeriodVerdict>,
}

/// What a check said after a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodVerdict {
    /// The check.
    pub check: String,
    /// What it said.
    pub verdict: Verdict,
    /// Why, from the judge's fixed list.
    pub reason: String,
    /// Blue's requests in the time that the verdict speaks of.
    pub blue: SideView,
    /// Green's.
    pub green: SideView,
    /// Green's rate may be this many times blue's.
    pub margin: f64,
    /// The evidence after it.
    pub evidence: EvidenceView,
    /// What the evidence is compared with.
    pub threshold: ThresholdView,
}

/// Metric periods of an attempt, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisPage {
    /// Which attempt.
    pub attempt: u32,
    /// The periods.
    pub items: Vec<AnalysisPeriod>,
    /// Give it as `after` for what comes next; `null` when there was nothing.
    pub next_after: Option<Timestamp>,
}

/// What a person asks, beside the verb in the path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestBody {
    /// Why: shown in the history.
    pub reason: String,
    /// The step that the person saw; required by `promote` and `approve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_step: Option<u32>,
    /// `promote`: for all steps.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// `rollback`: even when blue has no healthy target.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// `waive`: the finding's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}

/// How to put a route back by hand, should this controller not be there to do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoView {
    /// Shell commands, one for each rule: blue gets all, green nothing, and all else stays as it is now.
    pub commands: Vec<String>,
}

/// Whether all forward moves are stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeView {
    /// Whether they are.
    pub frozen: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// What to freeze for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeBody {
    /// Why.
    pub reason: String,
}

/// What an inspection of a route found, without a rollout or for one that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreflightView {
    /// The rollout.
    pub name: String,
    /// Whether nothing stands in the way of the first shift.
    pub passed: bool,
    /// Worst first.
    pub findings: Vec<FindingView>,
    /// The rules as they are.
    pub rules: Vec<RuleSeen>,
    /// The targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSeen>,
}

/// What a document would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// The rollout.
    pub name: String,
    /// The document with every default written out.
    pub document: Value,
    /// What its author should know.
    pub warnings: Vec<ProblemDetail>,
    /// Every step, in order.
    pub steps: Vec<PlannedStep>,
    /// Shortest time from the first shift to completion, the bake included, when every proof comes in time.
    pub shortest: Span,
    /// Requests a second over both sides in the last hour; absent when they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// The questions asked of the metrics.
    pub checks: Vec<PlannedCheck>,
    /// IAM actions that are used.
    pub iam: Vec<IamView>,
    /// The live route and what an inspection of it found; absent when it could not be inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightView>,
    /// Why something could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// One step of a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Counted from 1.
    pub step: u32,
    /// Green's share.
    pub weight: Weight,
    /// Shortest time after the first shift at which it is reached.
    pub earliest: Span,
    /// Shortest hold.
    pub hold_min: Span,
    /// Longest hold; then `on_inconclusive`.
    pub hold_max: Span,
    /// Whether a person must approve before it is left.
    pub approval: bool,
    /// The writes to the rules; empty when the route could not be read.
    pub writes: Vec<PlannedChange>,
    /// How long each proof will take at the present traffic; empty when that could not be read, or for the last step.
    pub proofs: Vec<PlannedProof>,
}

/// One write of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// The rule or listener.
    pub rule: Arn,
    /// The API operation.
    pub operation: String,
    /// The same as a command.
    pub command: String,
}

/// How long the proof of a check will take at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedProof {
    /// The check.
    pub check: String,
    /// The numbers.
    pub outlook: crate::judge::Outlook,
    /// In words.
    pub text: String,
}

/// One check of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCheck {
    /// Its name.
    pub name: String,
    /// What it asks.
    pub kind: String,
    /// The same in words.
    pub text: String,
}

/// An IAM action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamView {
    /// Its name.
    pub action: String,
    /// What it is for.
    pub purpose: String,
    /// Whether greenshift does without when it is refused.
    pub optional: bool,
    /// Whether it can be limited to the rules of the route; `*` is needed for the others.
    pub scoped: bool,
}

/// What runs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// Name of the program.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An error as RFC 9457 has it, with what greenshift adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stands for the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// This very occurrence.
    #[serde(default)]
    pub instance: String,
    /// Stable name of the kind.
    #[serde(default)]
    pub code: String,
    /// As in `X-Request-Id`.
    #[serde(default)]
    pub request_id: String,
    /// Each mistake of a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemDetail>,
}

/// One mistake of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetail {
    /// Where: a JSON pointer (RFC 6901), empty for the whole document.
    pub pointer: String,
    /// What is wrong and what to write instead.
    pub detail: String,
    /// The line, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}
