//! What to do to the world, made anew from the state at each tick: wanted 25 %, saw 10 % → set 25 %.

use super::Draft;
use crate::domain::command::{Command, SetWeight, Stickiness, Urgency};
use crate::domain::observation::{RuleSeen, Seen};
use crate::domain::phase::Phase;
use crate::domain::rollout::StickinessState;
use crate::domain::weight::Weight;

/// The commands of this tick.
pub(super) fn from_state(draft: &Draft<'_>) -> Vec<Command> {
    let mut commands = Vec::new();
    commands.extend(weight_command(draft).map(Command::SetWeight));
    let before = draft.started_in;
    let now = draft.rollout.phase;
    if before == Phase::Preflight && now == Phase::Progressing {
        commands.push(Command::Claim);
    }
    if !before.is_terminal() && now.is_terminal() {
        commands.push(Command::Release);
    }
    commands
}

fn weight_command(draft: &Draft<'_>) -> Option<SetWeight> {
    match draft.rollout.phase {
        Phase::Pending | Phase::Halted => None,
        Phase::Preflight => attach(draft),
        Phase::RollingBack => Some(back(draft)),
        Phase::Progressing | Phase::AwaitingApproval | Phase::Paused | Phase::Baking => bring(draft),
        Phase::RolledBack | Phase::Completed | Phase::Aborted => restore(draft),
    }
}

/// Green must stand in every rule, at weight 0, before its targets are health-checked. Only when nothing else is wrong.
fn attach(draft: &Draft<'_>) -> Option<SetWeight> {
    let rules = draft.seen.route.read()?;
    let missing = rules.iter().any(|rule| !rule.green_attached);
    let at_zero = rules.iter().all(|rule| rule.share() == Some(Weight::ZERO));
    let inspected = draft.rollout.inspection.is_some() && draft.rollout.blocking_findings().next().is_none();
    let wanted = SetWeight {
        weight: Weight::ZERO,
        stickiness: Stickiness::Keep,
        ours: vec![Weight::ZERO],
        structures: rules.iter().map(|rule| (rule.rule.clone(), rule.structure.clone())).collect(),
        urgency: Urgency::Forward,
    };
    (missing && at_zero && inspected && draft.seen.frozen.is_none()).then_some(wanted)
}

/// Everything to blue: said again at every tick until every rule shows it, whether the route can be read or not.
fn back(draft: &Draft<'_>) -> SetWeight {
    let rollout = &draft.rollout;
    let stickiness = match &rollout.stickiness {
        StickinessState::Off(_) => Stickiness::Off,
        StickinessState::Untouched | StickinessState::Restoring(_) => Stickiness::Keep,
    };
    SetWeight { weight: Weight::ZERO, stickiness, urgency: Urgency::Back, ..template(draft) }
}

/// Brings the route to the intended weight, as far as that is allowed.
fn bring(draft: &Draft<'_>) -> Option<SetWeight> {
    let rollout = &draft.rollout;
    rollout.baseline.as_ref()?;
    let Seen::Read(rules) = &draft.seen.route else {
        // A lowering does not wait for a read: the router reads again just before it writes.
        let taken_back = rollout.intended == rollout.confirmed && rollout.drift.is_none();
        let lowers = rollout.intended < rollout.confirmed || taken_back && rollout.analysis.first_write.is_some();
        return (lowers && !rollout.is_confirmed()).then(|| SetWeight { urgency: Urgency::Back, ..template(draft) });
    };
    let wanted = Some(rollout.intended);
    if rules.iter().all(|rule| rule.share() == wanted) {
        return None;
    }
    let lowers = rules.iter().all(|rule| rule.share() >= wanted);
    let unfinished = !rollout.is_confirmed();
    // Nothing stops a lowering that was decided on, not even somebody else's weight above it.
    let decided = unfinished && (rollout.drift.is_none() || rollout.intended < rollout.confirmed);
    if lowers && (decided || draft.reassert) {
        return Some(SetWeight { urgency: Urgency::Back, ..template(draft) });
    }
    if rollout.drift.is_some() {
        return None;
    }
    let going_up = unfinished && rollout.intended > rollout.confirmed;
    let may_go_up = matches!(rollout.phase, Phase::Progressing | Phase::Baking) && draft.seen.frozen.is_none();
    // Neither all above nor a raise: a lowering that reached some rules only.
    let half_lowered = unfinished && rollout.intended <= rollout.confirmed;
    (going_up && may_go_up || half_lowered || draft.reassert).then(|| template(draft))
}

/// Behind a rollback: puts the stickiness back.
fn restore(draft: &Draft<'_>) -> Option<SetWeight> {
    let StickinessState::Restoring(rules) = &draft.rollout.stickiness else { return None };
    let live = draft.seen.route.read()?;
    // Weights are no longer ours to change.
    let weight = live.iter().map(RuleSeen::share).min()??;
    let same = live.iter().all(|rule| rule.share() == Some(weight));
    let stickiness = Stickiness::Restore(rules.clone());
    same.then(|| SetWeight {
        weight,
        stickiness,
        ours: vec![weight],
        structures: Vec::new(),
        urgency: Urgency::Forward,
    })
}

fn template(draft: &Draft<'_>) -> SetWeight {
    let rollout = &draft.rollout;
    SetWeight {
        weight: rollout.intended,
        stickiness: Stickiness::Keep,
        ours: rollout.ours(draft.now),
        structures: rollout.structures(),
        urgency: Urgency::Forward,
    }
}
