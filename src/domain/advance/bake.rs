//! 100 % is not the end: green is watched while blue is still warm (rule 10).

use super::{Draft, raise, safety};
use crate::domain::event::{Cause, CauseCode, Event, Verdict};
use crate::domain::hold::{Hold, HoldReason};
use crate::domain::phase::Phase;
use crate::domain::time::after;
use crate::domain::weight::Weight;

/// Ends the bake when it is over and nothing speaks against green.
pub(super) fn go_on(draft: &mut Draft<'_>) {
    if obstacle(draft).is_some() {
        return;
    }
    let detail = format!("nothing spoke against green for {}", draft.rollout.plan().bake);
    let cause = Cause::new(CauseCode::BakeOver, detail);
    if draft.rollout.intended == Weight::FULL {
        draft.become_phase(Phase::Completed, cause);
        return;
    }
    let step = draft.rollout.step;
    if let Some(passed) = step {
        draft.record(Event::StepPassed { step: passed, cause: cause.clone() });
    }
    draft.intend(Weight::FULL, step, cause);
}

/// What keeps the bake from ending.
pub(super) fn obstacle(draft: &Draft<'_>) -> Option<Hold> {
    let rollout = &draft.rollout;
    if let Some(drift) = &rollout.drift {
        return Some(Hold::new(HoldReason::Drift, drift.detail.clone()));
    }
    if !rollout.is_confirmed() {
        let detail = format!("{} was written and is not yet seen on every rule", rollout.intended);
        return Some(Hold::new(HoldReason::Applying, detail));
    }
    let last_raise = rollout.intended == Weight::FULL && rollout.step.is_some() && rollout.proven == rollout.step;
    if last_raise {
        // The bake is behind us, and what followed is on every rule.
        return None;
    }
    let until = after(rollout.confirmed_at?, rollout.plan().bake);
    if draft.now < until && !rollout.is_promoted() {
        let detail = format!("green has {} and is watched for {}", rollout.intended, rollout.plan().bake);
        return Some(Hold::until(HoldReason::Baking, detail, until));
    }
    if rollout.intended < Weight::FULL {
        return raise::unseen(draft)
            .or_else(|| raise::obstacle_in_state(rollout, draft.now))
            .or_else(|| raise::health_obstacle(draft, Weight::FULL))
            .or_else(|| raise::gate(draft));
    }
    if let Some(short) =
        rollout.health.as_ref().and_then(|health| raise::fleets_are_short(rollout, health, Weight::FULL))
    {
        return Some(short);
    }
    if let Some(newest) = safety::silent_since(rollout, draft.now) {
        return Some(Hold::new(HoldReason::NoData, format!("no metric period with a request since {newest}")));
    }
    let doubtful = rollout
        .verdicts
        .values()
        .find(|seen| seen.verdict == Verdict::Failing || matches!(seen.reason.as_str(), "suspect" | "common_cause"));
    doubtful.map(|seen| Hold::new(HoldReason::Suspect, seen.detail.clone()))
}
