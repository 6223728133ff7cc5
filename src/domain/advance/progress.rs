//! What may go forward, one move a tick.

use super::{Draft, bake, preflight, raise};
use crate::domain::event::{Cause, CauseCode, Event, NoticeLevel};
use crate::domain::observation::{Seen, TroubleKind};
use crate::domain::phase::Phase;
use crate::domain::time::{Span, since};
use crate::domain::weight::Weight;

/// A tick makes at most this many moves that follow from each other; the longest chain is pending, preflight,
/// progressing, first raise.
const MOVES_MAX: usize = 4;

/// How long a write may take to arrive, with all its attempts.
const LONGEST_WRITE: Span = Span::from_secs(20);

/// A forced rollback whose route refuses to be read is tried for this long before it ends unverified.
const FORCED_END_AFTER: Span = Span::from_mins(1);

/// Goes on as far as this tick allows.
pub(super) fn go_on(draft: &mut Draft<'_>) {
    for _ in 0..MOVES_MAX {
        let before = draft.event_count();
        match draft.rollout.phase {
            Phase::Pending => begin(draft),
            Phase::Preflight => pass_preflight(draft),
            Phase::Progressing => progress(draft),
            Phase::AwaitingApproval => await_approval(draft),
            Phase::Baking => bake::go_on(draft),
            Phase::RollingBack => end_rollback(draft),
            Phase::Paused | Phase::Halted | Phase::RolledBack | Phase::Completed | Phase::Aborted => {}
        }
        if draft.event_count() == before {
            break;
        }
    }
}

fn begin(draft: &mut Draft<'_>) {
    let due = draft.rollout.plan().schedule.start_at.is_none_or(|start| start <= draft.now);
    if due {
        draft.become_phase(Phase::Preflight, Cause::new(CauseCode::Plan, "its time has come"));
    }
}

fn pass_preflight(draft: &mut Draft<'_>) {
    if preflight::obstacle(draft).is_some() {
        return;
    }
    let (Seen::Read(rules), Seen::Read(health)) = (&draft.seen.route, &draft.seen.health) else { return };
    let (rules, health) = (rules.clone(), *health);
    let live = rules.iter().filter_map(crate::domain::observation::RuleSeen::share).min().unwrap_or(Weight::ZERO);
    draft.record(Event::BaselineTaken { rules, health });
    // Green may have traffic already: from an attempt before this one, or by a finding that a person waived.
    let step = draft.rollout.plan().step_not_above(live).filter(|_| live > Weight::ZERO);
    let weight = step.and_then(|step| draft.rollout.plan().weight(step)).unwrap_or(Weight::ZERO);
    let cause = Cause::new(CauseCode::PreflightPassed, format!("begins with {weight} on green"));
    if draft.rollout.intended != weight || draft.rollout.step != step || weight > Weight::ZERO {
        draft.record(Event::WeightIntended { weight, step, cause: cause.clone() });
    }
    draft.become_phase(Phase::Progressing, cause);
}

fn progress(draft: &mut Draft<'_>) {
    let rollout = &draft.rollout;
    if rollout.step == Some(rollout.plan().last()) && rollout.is_confirmed() {
        let detail = format!("green has {}: watching it for {}", rollout.intended, rollout.plan().bake);
        draft.become_phase(Phase::Baking, Cause::new(CauseCode::Plan, detail));
        return;
    }
    let Some(next) = rollout.next_weight() else { return };
    let obstacle = raise::unseen(draft)
        .or_else(|| raise::obstacle_in_state(rollout, draft.now))
        .or_else(|| raise::health_obstacle(draft, next));
    if obstacle.is_some() {
        return;
    }
    if wants_approval(draft) {
        let detail = format!("all is ready to leave {} but a person's approval", draft.rollout.intended);
        draft.become_phase(Phase::AwaitingApproval, Cause::new(CauseCode::Plan, detail));
        return;
    }
    if raise::gate(draft).is_none() {
        raise_to(draft, next);
    }
}

fn wants_approval(draft: &Draft<'_>) -> bool {
    let rollout = &draft.rollout;
    let step = rollout.step.and_then(|step| rollout.plan().steps.get(step));
    step.is_some_and(|step| step.approval) && rollout.approved != rollout.step && !rollout.is_promoted()
}

/// Approval may no longer be wanted: the plan was changed.
fn await_approval(draft: &mut Draft<'_>) {
    if !wants_approval(draft) {
        draft.become_phase(Phase::Progressing, Cause::new(CauseCode::Plan, "no approval is needed any more"));
    }
}

fn raise_to(draft: &mut Draft<'_>, next: Weight) {
    let rollout = &draft.rollout;
    let Some(index) = rollout.next_step() else { return };
    let promoted = rollout.is_promoted();
    if let Some(step) = rollout.step {
        let cause = if promoted {
            Cause::new(CauseCode::Person, "promoted by a person")
        } else {
            Cause::new(CauseCode::Proven, proof(draft))
        };
        draft.record(Event::StepPassed { step, cause });
    }
    let number = index.saturating_add(1);
    let cause = Cause::new(CauseCode::Plan, format!("step {number} of {}", draft.rollout.plan().steps.len()));
    draft.intend(next, Some(index), cause);
}

fn proof(draft: &Draft<'_>) -> String {
    let words = draft.rollout.verdicts.iter().map(|(name, seen)| format!("check `{name}`: {}", seen.detail));
    words.collect::<Vec<_>>().join(" ")
}

/// A route that is gone for good would keep its rollout for ever: a person who forces the rollback may end it.
fn forced_end(draft: &Draft<'_>) -> bool {
    let forced = draft.rollout.rollback.is_some_and(|rollback| rollback.forced);
    let refused = draft.seen.route.trouble().is_some_and(|trouble| trouble.kind == TroubleKind::Refused);
    forced && refused && since(draft.now, draft.rollout.phase_since) >= FORCED_END_AFTER
}

fn end_rollback(draft: &mut Draft<'_>) {
    let rollout = &draft.rollout;
    if forced_end(draft) {
        let detail = "a person forced the end: the route refuses to be read, so nobody knows what it shows";
        draft.notice(NoticeLevel::Page, detail);
        let ends_in = draft.rollout.rollback.map_or(Phase::RolledBack, |rollback| rollback.ends_in);
        draft.become_phase(ends_in, Cause::new(CauseCode::Refused, detail));
        return;
    }
    if rollout.intended != Weight::ZERO || !rollout.is_confirmed() {
        return;
    }
    // A raise that was under way may still arrive; once the attempt has ended nobody would undo it.
    if !draft.sees_all_on_blue() || since(draft.now, rollout.intended_at) < LONGEST_WRITE {
        return;
    }
    let ends_in = rollout.rollback.map_or(Phase::RolledBack, |rollback| rollback.ends_in);
    draft.become_phase(ends_in, Cause::new(CauseCode::BackOnBlue, "every rule gives blue all traffic again"));
}
