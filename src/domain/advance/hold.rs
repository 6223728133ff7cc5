//! Why nothing moves: the most pressing reason, in words.

use super::{Draft, bake, preflight, raise};
use crate::domain::event::Event;
use crate::domain::hold::{Hold, HoldReason};
use crate::domain::observation::Seen;
use crate::domain::phase::Phase;
use crate::domain::rollout::Rollout;

/// Finds the reason, and records it when it became another.
pub(super) fn explain(draft: &mut Draft<'_>) -> Option<Hold> {
    let hold = find(draft);
    let reason = |hold: &Option<Hold>| hold.as_ref().map(|hold| (hold.reason, hold.until));
    if reason(&draft.rollout.hold) != reason(&hold) {
        draft.record(Event::HoldChanged(hold.clone()));
    }
    hold
}

fn find(draft: &Draft<'_>) -> Option<Hold> {
    let rollout = &draft.rollout;
    let because = |reason| Hold::new(reason, cause(rollout));
    match rollout.phase {
        Phase::RolledBack | Phase::Completed | Phase::Aborted => Some(because(HoldReason::Finished)),
        Phase::RollingBack => Some(rolling_back(draft)),
        Phase::Halted => Some(because(HoldReason::Halted)),
        Phase::Pending => rollout
            .plan()
            .schedule
            .start_at
            .map(|start| Hold::until(HoldReason::NotStarted, format!("begins at {start}"), start)),
        Phase::Preflight => Some(preflight_hold(draft)),
        Phase::Paused => Some(because(HoldReason::Paused)),
        Phase::Progressing => unreadable(draft).or_else(|| progressing(draft)),
        Phase::AwaitingApproval => unreadable(draft)
            .or_else(|| raise::obstacle_in_state(rollout, draft.now))
            .or_else(|| Some(because(HoldReason::AwaitingApproval))),
        Phase::Baking => unreadable(draft).or_else(|| bake::obstacle(draft)),
    }
}

fn cause(rollout: &Rollout) -> String {
    rollout.cause.as_ref().map_or_else(String::new, |cause| cause.detail.clone())
}

fn unreadable(draft: &Draft<'_>) -> Option<Hold> {
    match &draft.seen.route {
        Seen::Unreadable(trouble) => Some(Hold::new(HoldReason::RouteUnreadable, trouble.message.clone())),
        Seen::Read(_) | Seen::NotAsked => None,
    }
}

fn rolling_back(draft: &Draft<'_>) -> Hold {
    let failed = draft.seen.written.iter().find_map(|report| match &report.outcome {
        crate::domain::command::WriteOutcome::Failed(trouble) => Some(&trouble.message),
        crate::domain::command::WriteOutcome::Written
        | crate::domain::command::WriteOutcome::AlreadyThere
        | crate::domain::command::WriteOutcome::Foreign { .. }
        | crate::domain::command::WriteOutcome::StickinessRefused(_) => None,
    });
    let trouble = failed.or_else(|| draft.seen.route.trouble().map(|trouble| &trouble.message));
    let detail = trouble.map_or_else(
        || "blue gets everything back; waiting to see it on every rule".to_owned(),
        |message| format!("blue gets everything back; trying again: {message}"),
    );
    Hold::new(HoldReason::RollingBack, detail)
}

fn preflight_hold(draft: &Draft<'_>) -> Hold {
    let detail = preflight::obstacle(draft).unwrap_or_else(|| "preflight is through".to_owned());
    Hold::new(HoldReason::Preflight, detail)
}

fn progressing(draft: &Draft<'_>) -> Option<Hold> {
    let rollout = &draft.rollout;
    if !rollout.is_confirmed() && rollout.green_has_traffic() {
        let failed = draft.seen.written.iter().find_map(|report| match &report.outcome {
            crate::domain::command::WriteOutcome::Failed(trouble) => Some(trouble.message.clone()),
            crate::domain::command::WriteOutcome::Foreign { found } => Some(format!("somebody else wrote {found}")),
            crate::domain::command::WriteOutcome::Written
            | crate::domain::command::WriteOutcome::AlreadyThere
            | crate::domain::command::WriteOutcome::StickinessRefused(_) => None,
        });
        let detail = failed.unwrap_or_else(|| "waiting to see it on every rule".to_owned());
        return Some(Hold::new(HoldReason::Applying, format!("setting green to {}: {detail}", rollout.intended)));
    }
    let next = rollout.next_weight()?;
    raise::unseen(draft)
        .or_else(|| raise::obstacle_in_state(rollout, draft.now))
        .or_else(|| raise::health_obstacle(draft, next))
        .or_else(|| raise::gate(draft))
}
