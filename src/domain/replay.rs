//! From events to state. The live state is made by the very same function, so a replayed journal equals it (I9).

use jiff::Timestamp;

use super::analysis::{AnalysisState, Mark};
use super::event::{Cause, CauseCode, Event, Recorded};
use super::observation::RuleSeen;
use super::phase::Phase;
use super::plan::Plan;
use super::request::Ask;
use super::rollout::{Baseline, Drift, Promotion, Rollback, Rollout, StickinessState, VerdictSeen, is_active_phase};
use super::time::{Span, since};
use super::weight::Weight;

/// Why a journal cannot be replayed. A journal that this program wrote never gives one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is no event at all, or the first is not `created`.
    #[error("the journal does not begin with `created`")]
    NoBeginning,
    /// A number is missing or double.
    #[error("event {found} follows event {after}")]
    Gap {
        /// The last good number.
        after: u64,
        /// The number that follows.
        found: u64,
    },
    /// A change of phase that can never happen.
    #[error("event {seq} changes the phase from {from} to {to} while the rollout was {was}")]
    IllegalPhase {
        /// The event.
        seq: u64,
        /// The phase that it names as the old one.
        from: Phase,
        /// The new one.
        to: Phase,
        /// The phase that the rollout was in.
        was: Phase,
    },
}

/// Makes the state from a whole journal.
pub fn replay(events: &[Recorded]) -> Result<Rollout, ReplayError> {
    let mut events = events.iter();
    let first = events.next().ok_or(ReplayError::NoBeginning)?;
    let Event::Created(spec) = &first.event else { return Err(ReplayError::NoBeginning) };
    let mut rollout = Rollout::new((**spec).clone(), first.at);
    rollout.seq = first.seq;
    for recorded in events {
        check(&rollout, recorded)?;
        apply(&mut rollout, recorded);
    }
    Ok(rollout)
}

fn check(rollout: &Rollout, recorded: &Recorded) -> Result<(), ReplayError> {
    if recorded.seq != rollout.seq.saturating_add(1) {
        return Err(ReplayError::Gap { after: rollout.seq, found: recorded.seq });
    }
    if let Event::PhaseChanged { from, to, .. } = &recorded.event
        && (*from != rollout.phase || !from.may_become(*to))
    {
        let (seq, from, to) = (recorded.seq, *from, *to);
        return Err(ReplayError::IllegalPhase { seq, from, to, was: rollout.phase });
    }
    Ok(())
}

/// Applies one event to the state.
pub(super) fn apply(rollout: &mut Rollout, recorded: &Recorded) {
    rollout.seq = recorded.seq;
    rollout.updated_at = recorded.at;
    let at = recorded.at;
    match &recorded.event {
        Event::Created(_) | Event::NoticeRaised { .. } => {}
        Event::Requested { ask, .. } => apply_request(rollout, ask),
        Event::PlanChanged(plan) => change_plan(rollout, plan, at),
        Event::AttemptStarted { attempt, phase } => start_attempt(rollout, *attempt, *phase, at),
        Event::PhaseChanged { from, to, cause } => {
            change_phase(rollout, *from, *to, cause, at);
            rollout.cause = Some(cause.clone());
        }
        Event::Inspected(inspection) => {
            rollout.analysis.sticky = inspection.sticky_seconds.is_some();
            rollout.inspection = Some(inspection.clone());
        }
        Event::BaselineTaken { rules, health } => {
            rollout.analysis.sticky |= rules.iter().any(|rule| rule.sticky_seconds.is_some());
            // Where a person let green begin with traffic, its weights are known and no drift.
            let found = rules.iter().filter_map(RuleSeen::share).filter(|share| *share > Weight::ZERO);
            rollout.lately.extend(found.map(|share| (share, at)));
            rollout.baseline = Some(Baseline { rules: rules.clone(), health: *health });
        }
        Event::FindingWaived { code } => {
            rollout.waived.insert(code.clone());
        }
        Event::WeightIntended { weight, step, .. } => intend(rollout, *weight, *step, at),
        Event::WeightConfirmed { weight } => confirm(rollout, *weight, at),
        Event::StepPassed { step, .. } => {
            rollout.proven = Some(*step);
            rollout.approved = None;
        }
        Event::MetricsRead { periods, unchanged } => {
            rollout.analysis.take(&rollout.spec.plan, periods, unchanged, at);
        }
        Event::VerdictChanged { check, verdict, reason, detail } => {
            let (reason, detail) = (reason.clone(), detail.clone());
            rollout.verdicts.insert(check.clone(), VerdictSeen { verdict: *verdict, reason, detail, since: at });
        }
        Event::HealthChanged(health) => rollout.health = Some(*health),
        Event::AlarmsChanged(alarms) => rollout.alarms.clone_from(alarms),
        Event::DriftFound { found, detail } => {
            let since = rollout.drift.as_ref().map_or(at, |drift| drift.since);
            rollout.drift = Some(Drift { found: found.clone(), detail: detail.clone(), since });
        }
        Event::DriftCleared => rollout.drift = None,
        Event::Reasserted { .. } => {
            rollout.forget_old_weights(at);
            rollout.reasserted.push(at);
        }
        Event::StickinessIntended { off, rules } => {
            rollout.stickiness = match (off, rules.is_empty()) {
                (_, true) => StickinessState::Untouched,
                (true, false) => StickinessState::Off(rules.clone()),
                (false, false) => StickinessState::Restoring(rules.clone()),
            };
        }
        Event::HoldChanged(hold) => {
            let reason = |hold: &Option<super::hold::Hold>| hold.as_ref().map(|hold| hold.reason);
            if reason(&rollout.hold) != reason(hold) {
                rollout.hold_reason_since = at;
            }
            rollout.hold.clone_from(hold);
        }
    }
}

fn apply_request(rollout: &mut Rollout, ask: &Ask) {
    match ask {
        Ask::Promote { full, .. } => {
            rollout.promoted = Some(Promotion { step: rollout.step, full: *full });
            renew_deadline(rollout);
        }
        Ask::Approve { .. } => rollout.approved = rollout.step,
        Ask::Abort => set_rollback(rollout, Phase::Aborted, false),
        Ask::Rollback { force } => set_rollback(rollout, Phase::RolledBack, *force),
        Ask::Resume => renew_deadline(rollout),
        Ask::Pause | Ask::Retry | Ask::StepBack | Ask::Waive { .. } | Ask::Change { .. } => {}
    }
}

/// A rollout that its deadline paused gets the whole time again, else it would pause again at once.
fn renew_deadline(rollout: &mut Rollout) {
    if rollout.phase == Phase::Paused && rollout.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::Deadline) {
        rollout.active_before = Span::ZERO;
    }
}

fn set_rollback(rollout: &mut Rollout, ends_in: Phase, force: bool) {
    let forced = force || rollout.rollback.is_some_and(|rollback| rollback.forced);
    rollout.rollback = Some(Rollback { ends_in, forced });
}

fn change_plan(rollout: &mut Rollout, plan: &Plan, at: Timestamp) {
    let leads_to = rollout.proof_for();
    let old = std::mem::replace(&mut rollout.spec.plan, plan.clone());
    if old.analysis.checks != plan.analysis.checks {
        let asks = |plan: &Plan, name: &str| {
            let check = plan.analysis.checks.iter().find(|check| check.name == name);
            check.map(|check| std::mem::discriminant(&check.question))
        };
        // A check that is gone says nothing any more; one that asks something else begins anew.
        let stays = |name: &str| asks(plan, name).is_some() && asks(plan, name) == asks(&old, name);
        rollout.verdicts.retain(|name, _| stays(name));
        rollout.analysis.judges.retain(|name, _| stays(name));
    } else if leads_to == rollout.proof_for() {
        return;
    }
    // Proof that was gathered for another question or another next weight is not proof of this one.
    mark_weight(rollout, at);
}

fn start_attempt(rollout: &mut Rollout, attempt: u32, phase: Phase, at: Timestamp) {
    let mut fresh = Rollout::new(rollout.spec.clone(), at);
    if rollout.green_has_traffic() {
        // A halted attempt left traffic on green: what green does with it counts against it from the beginning.
        fresh.analysis.first_write = Some(at);
    }
    let rolls_back = phase == Phase::RollingBack;
    *rollout = Rollout {
        seq: rollout.seq,
        created_at: rollout.created_at,
        attempt,
        phase,
        step: rollout.step,
        intended: rollout.intended,
        intended_at: rollout.intended_at,
        confirmed: rollout.confirmed,
        confirmed_step: rollout.confirmed_step,
        confirmed_at: rollout.confirmed_at,
        lately: std::mem::take(&mut rollout.lately),
        rollback: if rolls_back { rollout.rollback } else { None },
        baseline: if rolls_back { rollout.baseline.take() } else { None },
        stickiness: std::mem::take(&mut rollout.stickiness),
        waived: std::mem::take(&mut rollout.waived),
        health: rollout.health,
        ..fresh
    };
}

fn change_phase(rollout: &mut Rollout, from: Phase, to: Phase, cause: &Cause, at: Timestamp) {
    if is_active_phase(from) {
        rollout.active_before = rollout.active_before.plus(since(at, rollout.phase_since));
    }
    match to {
        Phase::Paused | Phase::Halted => {
            if !matches!(from, Phase::Paused | Phase::Halted) {
                rollout.left = Some(from);
            }
        }
        Phase::RollingBack => {
            // A foreign edit that puts green to 0 counts as somebody's abort.
            let ends_in = if cause.code == CauseCode::External { Phase::Aborted } else { Phase::RolledBack };
            rollout.rollback = Some(rollout.rollback.unwrap_or(Rollback { ends_in, forced: false }));
        }
        Phase::Pending
        | Phase::Preflight
        | Phase::Progressing
        | Phase::AwaitingApproval
        | Phase::Baking
        | Phase::RolledBack
        | Phase::Completed
        | Phase::Aborted => {
            if matches!(from, Phase::Paused | Phase::Halted) {
                // The longest hold starts anew: else it would pause again at once.
                rollout.hold_since = at;
                rollout.left = None;
            }
        }
    }
    rollout.phase = to;
    rollout.phase_since = at;
}

fn intend(rollout: &mut Rollout, weight: Weight, step: Option<usize>, at: Timestamp) {
    rollout.forget_old_weights(at);
    let old = rollout.intended;
    rollout.lately.push((old, at));
    if rollout.lately.iter().all(|(known, _)| *known != weight) {
        rollout.lately.push((weight, at));
    }
    if weight < old
        && let Some(left) = rollout.step
        && Some(left) != step
    {
        let count = rollout.step_backs.entry(left).or_insert(0);
        *count = count.saturating_add(1);
    }
    if step < rollout.step && matches!(rollout.left, Some(Phase::Baking | Phase::AwaitingApproval)) {
        // What was left when the rollout was stopped is not there to return to.
        rollout.left = Some(Phase::Progressing);
    }
    if step != rollout.step {
        rollout.approved = None;
        if rollout.promoted.is_some_and(|promotion| !promotion.full || weight < old) {
            rollout.promoted = None;
        }
    }
    rollout.proven = rollout.proven.filter(|proven| Some(*proven) <= step);
    rollout.step = step;
    rollout.intended = weight;
    rollout.intended_at = at;
    rollout.confirmed_at = None;
    rollout.hold_since = at;
    if weight > Weight::ZERO && rollout.analysis.first_write.is_none() {
        rollout.analysis.first_write = Some(at);
    }
}

fn confirm(rollout: &mut Rollout, weight: Weight, at: Timestamp) {
    rollout.confirmed = weight;
    rollout.confirmed_step = rollout.step;
    if weight != rollout.intended {
        return;
    }
    rollout.confirmed_at = Some(at);
    rollout.hold_since = at;
    mark_weight(rollout, at);
}

/// Proof begins anew from here; before green ever had traffic there is nothing to judge.
fn mark_weight(rollout: &mut Rollout, at: Timestamp) {
    if rollout.analysis.first_write.is_some() && rollout.is_confirmed() {
        let next = rollout.proof_for().map(Weight::ratio);
        rollout.analysis.marks.push(Mark { at, now: rollout.intended.ratio(), next });
    }
}

impl AnalysisState {
    /// Whether any period was ever read.
    pub fn is_empty(&self) -> bool {
        self.closed_until.is_none() && self.open.is_empty()
    }
}
