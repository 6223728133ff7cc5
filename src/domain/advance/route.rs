//! The route against what we wrote: confirmed, ours but not there yet, or somebody else's (rules 1 and 2).

use jiff::Timestamp;

use super::safety::STEP_BACKS_MAX;
use super::{Draft, raise};
use crate::domain::command::WriteOutcome;
use crate::domain::event::{Cause, CauseCode, Event, NoticeLevel};
use crate::domain::observation::{RuleSeen, Seen};
use crate::domain::phase::Phase;
use crate::domain::plan::OnDrift;
use crate::domain::rollout::{RAISE_EXPIRES, REASSERTS_PER_HOUR, Rollout, StickinessState};
use crate::domain::time::{Span, since};
use crate::domain::weight::Weight;

/// Compares the live route with the state.
pub(super) fn compare(draft: &mut Draft<'_>) {
    let Seen::Read(rules) = &draft.seen.route else { return };
    let rollout = &draft.rollout;
    if rollout.phase.is_terminal() {
        restored(draft, rules);
        return;
    }
    if rules.is_empty() {
        return;
    }
    let there = rules.iter().all(|rule| rule.share() == Some(rollout.intended));
    if rollout.phase == Phase::RollingBack {
        // Whatever else was changed: blue has everything, and that was all we wanted.
        if there {
            if rollout.drift.is_some() {
                draft.record(Event::DriftCleared);
            }
            confirm(draft);
        }
        return;
    }
    if rollout.baseline.is_none() {
        return;
    }
    let foreign = foreign(rollout, rules, draft.now);
    if foreign.is_empty() {
        let fought_over = !there && rollout.is_confirmed() && reasserts_are_spent(rollout, draft.now);
        if rollout.drift.is_some() && !fought_over {
            draft.record(Event::DriftCleared);
        }
        if there {
            confirm(draft);
        } else {
            not_there(draft, rules);
        }
    } else {
        drifted(draft, rules, &foreign);
    }
}

fn confirm(draft: &mut Draft<'_>) {
    if !draft.rollout.is_confirmed() {
        let weight = draft.rollout.intended;
        draft.record(Event::WeightConfirmed { weight });
    }
}

/// Every rule is ours, but not where it should be: a write is under way, was lost, or came late.
fn not_there(draft: &mut Draft<'_>, rules: &[RuleSeen]) {
    let rollout = &draft.rollout;
    let below = rules.iter().any(|rule| rule.share() < Some(rollout.intended));
    if !rollout.is_confirmed() {
        // A raise that could not be finished in time must prove itself again.
        if below && rollout.intended > rollout.confirmed && since(draft.now, rollout.intended_at) >= RAISE_EXPIRES {
            expire_raise(draft);
        }
        return;
    }
    let weight = rollout.intended;
    if reasserts_are_spent(rollout, draft.now) {
        let detail = format!(
            "the route keeps returning to an older weight: {weight} was written {REASSERTS_PER_HOUR} times within the \
             last hour; look for another controller or a deployment tool that writes to the same rules"
        );
        find_drift(draft, rules, &detail);
    } else if !below || raise::may_reassert(draft) {
        draft.reassert = true;
        draft.record(Event::Reasserted { weight });
    }
}

/// Takes an unfinished raise back, and asks a person when it happened before: what refuses it will refuse it again.
fn expire_raise(draft: &mut Draft<'_>) {
    let (weight, from) = (draft.rollout.intended, draft.rollout.step);
    let refused = draft.seen.written.iter().find_map(|report| match &report.outcome {
        WriteOutcome::Failed(trouble) => Some(format!(" ({}: {})", report.rule, trouble.message)),
        WriteOutcome::Foreign { found } => Some(format!(" ({}: somebody else wrote {found})", report.rule)),
        WriteOutcome::Written | WriteOutcome::AlreadyThere | WriteOutcome::StickinessRefused(_) => None,
    });
    draft.give_up_raise();
    let times = from.and_then(|step| draft.rollout.step_backs.get(&step)).copied().unwrap_or(0);
    if times >= STEP_BACKS_MAX {
        let why = refused.unwrap_or_default();
        let detail = format!("a raise to {weight} was not seen on every rule within {RAISE_EXPIRES}{why}");
        draft.pause(CauseCode::Refused, detail);
    }
}

/// Whether older weights were written again as often as they may be: a fight with another writer is not ours to win.
fn reasserts_are_spent(rollout: &Rollout, now: Timestamp) -> bool {
    let recent = rollout.reasserted.iter().filter(|at| since(now, **at) < Span::from_hours(1));
    recent.count() >= REASSERTS_PER_HOUR
}

/// What is not ours, in words, one entry a rule.
fn foreign(rollout: &Rollout, rules: &[RuleSeen], now: Timestamp) -> Vec<String> {
    let ours = rollout.ours(now);
    let structures = rollout.structures();
    let known = |rule: &RuleSeen| structures.iter().find(|(arn, _)| *arn == rule.rule).map(|(_, s)| s.as_str());
    let describe = |rule: &RuleSeen| {
        let share = rule.share();
        if known(rule).is_some_and(|structure| structure != rule.structure) {
            Some(format!("{}: its actions were changed", rule.rule))
        } else if share.is_none_or(|share| !ours.contains(&share)) {
            let found = share.map_or_else(|| "no weight for either group".to_owned(), |share| share.to_string());
            Some(format!("{}: green has {found}, ours is {}", rule.rule, rollout.intended))
        } else {
            None
        }
    };
    rules.iter().filter_map(describe).collect()
}

fn drifted(draft: &mut Draft<'_>, rules: &[RuleSeen], foreign: &[String]) {
    let rollout = &draft.rollout;
    let brake = rules.iter().any(|rule| is_foreign_zero(rollout, rule));
    if !brake && rollout.drift.is_none() && is_being_adopted(rollout, rules) {
        return;
    }
    find_drift(draft, rules, &foreign.join("; "));
    let rollout = &draft.rollout;
    if brake {
        let detail = "somebody else set green to 0: taken as an abort";
        draft.record(Event::DriftCleared);
        super::safety::begin_rollback(draft, Phase::Aborted, &Cause::new(CauseCode::External, detail));
        return;
    }
    if !same_structure(rollout, rules) {
        return;
    }
    match rollout.plan().on_drift {
        OnDrift::Hold => {}
        OnDrift::Reassert => reassert(draft, rules),
        OnDrift::Adopt => adopt(draft, rules),
    }
}

fn same_structure(rollout: &Rollout, rules: &[RuleSeen]) -> bool {
    let structures = rollout.structures();
    rules.iter().all(|rule| structures.iter().any(|(arn, s)| *arn == rule.rule && *s == rule.structure))
}

/// Whether these weights were adopted before and the write that makes a step of them is still under way.
fn is_being_adopted(rollout: &Rollout, rules: &[RuleSeen]) -> bool {
    let adopted = adoptable(rollout, rules)
        .is_some_and(|(weight, step, _)| weight == rollout.intended && step == rollout.step && !rollout.is_confirmed());
    rollout.plan().on_drift == OnDrift::Adopt && adopted && same_structure(rollout, rules)
}

/// The weight and step to adopt, and the lowest live weight that they come from.
fn adoptable(rollout: &Rollout, rules: &[RuleSeen]) -> Option<(Weight, Option<usize>, Weight)> {
    let lowest = rules.iter().filter_map(RuleSeen::share).min()?;
    let step = rollout.plan().step_not_above(lowest);
    let weight = step.and_then(|step| rollout.plan().weight(step)).unwrap_or(Weight::ZERO);
    // Taking a higher weight would be a raise without proof.
    (weight <= rollout.intended).then_some((weight, step, lowest))
}

/// Whether a rule shows a 0 that this controller did not write.
fn is_foreign_zero(rollout: &Rollout, rule: &RuleSeen) -> bool {
    rule.share() == Some(Weight::ZERO) && rollout.intended > Weight::ZERO && rollout.confirmed > Weight::ZERO
}

fn find_drift(draft: &mut Draft<'_>, rules: &[RuleSeen], detail: &str) {
    let known = draft.rollout.drift.as_ref().is_some_and(|drift| drift.found == rules && drift.detail == detail);
    if known {
        return;
    }
    let first = draft.rollout.drift.is_none();
    draft.record(Event::DriftFound { found: rules.to_vec(), detail: detail.to_owned() });
    if first {
        draft.notice(NoticeLevel::Warning, format!("the route was changed by somebody else: {detail}"));
    }
}

/// Writes ours again where that lowers green; a foreign lowering is never overwritten upward.
fn reassert(draft: &mut Draft<'_>, rules: &[RuleSeen]) {
    let weight = draft.rollout.intended;
    let lowers = rules.iter().all(|rule| rule.share() >= Some(weight));
    if lowers && !reasserts_are_spent(&draft.rollout, draft.now) {
        draft.reassert = true;
        draft.record(Event::Reasserted { weight });
    }
}

/// Takes what was found: the last step that is not above the lowest live weight.
fn adopt(draft: &mut Draft<'_>, rules: &[RuleSeen]) {
    let Some((weight, step, lowest)) = adoptable(&draft.rollout, rules) else { return };
    let detail = format!("somebody else wrote {lowest}: adopted as {weight}");
    draft.record(Event::DriftCleared);
    let cause = Cause::new(CauseCode::Adopted, detail);
    if weight == draft.rollout.intended && step == draft.rollout.step {
        // The weight stays, and has to be written and seen again.
        draft.record(Event::WeightIntended { weight, step, cause });
    } else {
        draft.step_down(weight, step, cause);
    }
}

/// Behind a rollback: whether the stickiness stands again as it was.
fn restored(draft: &mut Draft<'_>, rules: &[RuleSeen]) {
    let StickinessState::Restoring(wanted) = &draft.rollout.stickiness else { return };
    let stands = |(arn, seconds): &(crate::domain::ids::Arn, u32)| {
        rules.iter().any(|rule| rule.rule == *arn && rule.sticky_seconds == Some(*seconds))
    };
    if wanted.iter().all(stands) {
        draft.record(Event::StickinessIntended { off: false, rules: Vec::new() });
    }
}
