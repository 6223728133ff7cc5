//! The state of one rollout: the sum of its events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::analysis::AnalysisState;
use super::event::{Cause, Verdict};
use super::hold::{Hold, HoldReason};
use super::ids::Arn;
use super::observation::{AlarmSeen, HealthSeen, RuleSeen};
use super::phase::Phase;
use super::plan::{Plan, Spec};
use super::preflight::{Finding, Inspection, Severity};
use super::time::{Span, since};
use super::weight::Weight;

/// One rollout, as its journal tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// What a person wrote.
    pub spec: Spec,
    /// Sequence number of the last event: the revision.
    pub seq: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the last event happened.
    pub updated_at: Timestamp,
    /// Counted from 1.
    pub attempt: u32,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Timestamp,
    /// Why.
    pub cause: Option<Cause>,
    /// The phase that a pause or halt left, to which `resume` returns.
    pub left: Option<Phase>,
    /// The step whose weight is intended, counted from 0; `None` before the first.
    pub step: Option<usize>,
    /// The weight that the route is to have.
    pub intended: Weight,
    /// Since when.
    pub intended_at: Timestamp,
    /// The last weight that every rule of the route showed.
    pub confirmed: Weight,
    /// Its step.
    pub confirmed_step: Option<usize>,
    /// Since when the intended weight is confirmed; `None` while it is not.
    pub confirmed_at: Option<Timestamp>,
    /// Weights that were intended lately, with the moment: a rule that shows one of them is ours.
    pub lately: Vec<(Weight, Timestamp)>,
    /// The last step that was proven (or promoted by a person); `None` = nothing but blue alone is proven.
    pub proven: Option<usize>,
    /// Since when the present step's longest hold runs.
    pub hold_since: Timestamp,
    /// How often a step was stepped back from, by step.
    pub step_backs: BTreeMap<usize, u32>,
    /// A person's word that skips holds.
    pub promoted: Option<Promotion>,
    /// The step whose approval was given.
    pub approved: Option<usize>,
    /// How the rollback under way will end.
    pub rollback: Option<Rollback>,
    /// The route as it stood when preflight passed.
    pub baseline: Option<Baseline>,
    /// What the last inspection found.
    pub inspection: Option<Inspection>,
    /// Findings that a person answers for.
    pub waived: BTreeSet<String>,
    /// Metrics and evidence.
    pub analysis: AnalysisState,
    /// The last verdict of each check.
    pub verdicts: BTreeMap<String, VerdictSeen>,
    /// The last counted targets.
    pub health: Option<HealthSeen>,
    /// The last state of the named alarms.
    pub alarms: Vec<AlarmSeen>,
    /// What somebody else wrote, while it stands.
    pub drift: Option<Drift>,
    /// When older weights of ours were written again, within the last hour.
    pub reasserted: Vec<Timestamp>,
    /// Stickiness that a rollback switched off and that is to be put back.
    pub stickiness: StickinessState,
    /// Time spent in active phases of this attempt before the present one.
    pub active_before: Span,
    /// Why nothing moves, as last recorded.
    pub hold: Option<Hold>,
    /// Since when for this reason.
    pub hold_reason_since: Timestamp,
}

/// A person's word that skips hold, approval and Inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The step that is skipped out of; `None` = before the first.
    pub step: Option<usize>,
    /// All steps.
    pub full: bool,
}

/// A rollback under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// `RolledBack` or `Aborted`.
    pub ends_in: Phase,
    /// Even when blue has no healthy target.
    pub forced: bool,
}

/// The route as it stood when preflight passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Every rule.
    pub rules: Vec<RuleSeen>,
    /// Both fleets.
    pub health: HealthSeen,
}

/// A check's verdict, with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictSeen {
    /// The verdict.
    pub verdict: Verdict,
    /// The judge's reason, from its fixed list.
    pub reason: String,
    /// In words, with the numbers at that time.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// What somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The rules as found.
    pub found: Vec<RuleSeen>,
    /// What is different, in words.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// Stickiness of the route's rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickinessState {
    /// As it was found.
    #[default]
    Untouched,
    /// Switched off, or to be switched off: seconds at the start, by rule.
    Off(Vec<(Arn, u32)>),
    /// To be put back.
    Restoring(Vec<(Arn, u32)>),
}

/// How long a weight that was intended stays "ours" while it is above the intended one: far longer than a request with
/// all its attempts may take to arrive, since writing over it only lowers.
const LATELY: Span = Span::from_mins(15);

/// The same for weights below the intended one: six times the longest operation (20 s with all attempts). Short, since
/// a person may mean them.
const LATELY_BELOW: Span = Span::from_mins(2);

/// An unfinished raise is given up after this time: what spoke for it may no longer be true, for instance after a crash.
pub const RAISE_EXPIRES: Span = Span::from_mins(2);

/// How often within an hour an older weight of ours is written again before it counts as somebody else's.
pub const REASSERTS_PER_HOUR: usize = 5;

impl Rollout {
    /// A rollout that was just created.
    pub fn new(spec: Spec, at: Timestamp) -> Self {
        Self {
            spec,
            seq: 0,
            created_at: at,
            updated_at: at,
            attempt: 1,
            phase: Phase::Pending,
            phase_since: at,
            cause: None,
            left: None,
            step: None,
            intended: Weight::ZERO,
            intended_at: at,
            confirmed: Weight::ZERO,
            confirmed_step: None,
            confirmed_at: None,
            lately: Vec::new(),
            proven: None,
            hold_since: at,
            step_backs: BTreeMap::new(),
            promoted: None,
            approved: None,
            rollback: None,
            baseline: None,
            inspection: None,
            waived: BTreeSet::new(),
            analysis: AnalysisState::default(),
            verdicts: BTreeMap::new(),
            health: None,
            alarms: Vec::new(),
            drift: None,
            reasserted: Vec::new(),
            stickiness: StickinessState::Untouched,
            active_before: Span::ZERO,
            hold: None,
            hold_reason_since: at,
        }
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.spec.plan
    }

    /// Whether the world still has to be watched for it: it is not terminal, or stickiness is to be put back.
    pub fn is_active(&self) -> bool {
        !self.phase.is_terminal() || self.stickiness != StickinessState::Untouched
    }

    /// Whether the intended weight has been seen on every rule.
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }

    /// Whether green has, may have, or is about to have any traffic. A write towards green that was taken back may have
    /// reached some rules: only a zero that was seen on every rule ends it.
    pub fn green_has_traffic(&self) -> bool {
        let may_have = self.analysis.first_write.is_some() && !self.is_confirmed();
        self.intended > Weight::ZERO || self.confirmed > Weight::ZERO || may_have
    }

    /// Time spent in active phases (progressing, baking) of this attempt.
    pub fn active(&self, now: Timestamp) -> Span {
        let running = is_active_phase(self.phase);
        if running { self.active_before.plus(since(now, self.phase_since)) } else { self.active_before }
    }

    /// Weights that a rule may show and still be ours: intended, confirmed, and what was intended lately.
    pub fn ours(&self, now: Timestamp) -> Vec<Weight> {
        let mut ours = vec![self.intended, self.confirmed];
        for (weight, at) in &self.lately {
            let within = if *weight < self.intended { LATELY_BELOW } else { LATELY };
            // A zero that is neither intended nor confirmed is somebody's emergency brake, never ours.
            let brake = *weight == Weight::ZERO;
            let late = self.confirmed_at.is_none() || since(now, *at) < within;
            if !ours.contains(weight) && late && !brake {
                ours.push(*weight);
            }
        }
        ours
    }

    /// Forgets weights that can no longer arrive late.
    pub(super) fn forget_old_weights(&mut self, now: Timestamp) {
        self.lately.retain(|(_, at)| since(now, *at) < LATELY);
        self.reasserted.retain(|at| since(now, *at) < Span::from_hours(1));
    }

    /// The structure that each rule must still have.
    pub fn structures(&self) -> Vec<(Arn, String)> {
        let rules = self.baseline.iter().flat_map(|baseline| &baseline.rules);
        rules.map(|rule| (rule.rule.clone(), rule.structure.clone())).collect()
    }

    /// Findings that hold the rollout in preflight.
    pub fn blocking_findings(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.inspection.iter().flat_map(|inspection| &inspection.findings);
        findings.filter(|f| f.severity == Severity::Blocking && !self.waived.contains(&f.code))
    }

    /// The step that comes after the present one, if any.
    pub fn next_step(&self) -> Option<usize> {
        let next = self.step.map_or(0, |step| step.saturating_add(1));
        (next < self.plan().steps.len()).then_some(next)
    }

    /// The weight that proof at the present step would lead to.
    pub fn next_weight(&self) -> Option<Weight> {
        let Some(next) = self.next_step() else {
            // The bake below 100 % proves the last raise.
            return (self.intended < Weight::FULL).then_some(Weight::FULL);
        };
        let weight = self.plan().weight(next)?;
        let to_bake = next == self.plan().last() && self.intended < self.plan().bake_at;
        Some(if to_bake { self.plan().bake_at } else { weight })
    }

    /// The weight for which the present step must be proven: the next one, and all of the traffic for the raise into the
    /// bake, so that the bake below 100 % need not prove with blue's last percent what it was given for.
    pub fn proof_for(&self) -> Option<Weight> {
        let next = self.next_weight()?;
        Some(if next >= self.plan().bake_at { Weight::FULL } else { next })
    }

    /// Whether a person's word skips hold, approval and Inconclusive now.
    pub fn is_promoted(&self) -> bool {
        self.promoted.is_some_and(|promotion| promotion.full || promotion.step == self.step)
    }

    /// Whether the named verdict stands, and since when, on any check.
    pub fn reason_since(&self, reason: &str) -> Option<Timestamp> {
        self.verdicts.values().filter(|seen| seen.reason == reason).map(|seen| seen.since).min()
    }

    /// The worst verdict of all checks: Failing before Inconclusive before Passing; Inconclusive while any check of the
    /// plan has said nothing.
    pub fn verdict(&self) -> Verdict {
        let checks = &self.plan().analysis.checks;
        let passes = |name: &String| self.verdicts.get(name).is_some_and(|seen| seen.verdict == Verdict::Passing);
        if self.verdicts.values().any(|seen| seen.verdict == Verdict::Failing) {
            Verdict::Failing
        } else if !checks.is_empty() && checks.iter().all(|check| passes(&check.name)) {
            Verdict::Passing
        } else {
            Verdict::Inconclusive
        }
    }

    /// Since when the hold reason is `reason`, if it is that now.
    pub fn held_for(&self, reason: HoldReason) -> Option<Timestamp> {
        self.hold.as_ref().filter(|hold| hold.reason == reason).map(|_| self.hold_reason_since)
    }
}

/// Whether time in this phase counts against the deadline.
pub(super) const fn is_active_phase(phase: Phase) -> bool {
    matches!(phase, Phase::Progressing | Phase::Baking)
}
