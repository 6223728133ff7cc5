//! The route against what we wrote: confirmed, ours but not there yet, or somebody else's (rules 1 and 2).

use super::{Draft, raise};
use crate::domain::event::{Cause, CauseCode, Event, NoticeLevel};
use crate::domain::observation::{RuleSeen, Seen};
use crate::domain::phase::Phase;
use crate::domain::plan::OnDrift;
use crate::domain::rollout::{RAISE_EXPIRES, REASSERTS_PER_HOUR, Rollout, StickinessState};
use crate::domain::time::since;
use crate::domain::weight::Weight;

/// Compares the live route with the state.
pub(super) fn compare(draft: &mut Draft<'_>) {
    let Seen::Read(rules) = &draft.seen.route else { return };
    let rollout = &draft.rollout;
    if rollout.phase.is_terminal() {
        restored(draft, rules);
        return;
    }
    if rollout.baseline.is_none() || rules.is_empty() {
        return;
    }
    let there = rules.iter().all(|rule| rule.share() == Some(rollout.intended));
    if rollout.phase == Phase::RollingBack {
        // Whatever else was changed: blue has everything, and that was all we wanted.
        if there {
            confirm(draft);
        }
        return;
    }
    let foreign = foreign(rollout, rules, draft.now);
    if foreign.is_empty() {
        if rollout.drift.is_some() {
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
            draft.give_up_raise();
        }
        return;
    }
    let weight = rollout.intended;
    let mut recent = rollout.clone();
    recent.forget_old_weights(draft.now);
    if recent.reasserted.len() >= REASSERTS_PER_HOUR {
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

/// What is not ours, in words, one entry a rule.
fn foreign(rollout: &Rollout, rules: &[RuleSeen], now: jiff::Timestamp) -> Vec<String> {
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
    find_drift(draft, rules, &foreign.join("; "));
    let rollout = &draft.rollout;
    let brake = rollout.green_has_traffic() && rules.iter().any(|rule| is_foreign_zero(rollout, rule));
    if brake {
        let detail = "somebody else set green to 0: taken as an abort";
        draft.record(Event::DriftCleared);
        super::safety::begin_rollback(draft, Phase::Aborted, &Cause::new(CauseCode::External, detail));
        return;
    }
    let same_structure = {
        let structures = rollout.structures();
        rules.iter().all(|rule| structures.iter().any(|(arn, s)| *arn == rule.rule && *s == rule.structure))
    };
    if !same_structure {
        return;
    }
    match rollout.plan().on_drift {
        OnDrift::Hold => {}
        OnDrift::Reassert => reassert(draft, rules),
        OnDrift::Adopt => adopt(draft, rules),
    }
}

/// Whether a rule shows a 0 that this controller did not write.
fn is_foreign_zero(rollout: &Rollout, rule: &RuleSeen) -> bool {
    rule.share() == Some(Weight::ZERO) && rollout.intended > Weight::ZERO && rollout.is_confirmed()
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
    let mut recent = draft.rollout.clone();
    recent.forget_old_weights(draft.now);
    let lowers = rules.iter().all(|rule| rule.share() >= Some(weight));
    if lowers && recent.reasserted.len() < REASSERTS_PER_HOUR {
        draft.reassert = true;
        draft.record(Event::Reasserted { weight });
    }
}

/// Takes what was found: the last step that is not above the lowest live weight.
fn adopt(draft: &mut Draft<'_>, rules: &[RuleSeen]) {
    let Some(lowest) = rules.iter().filter_map(RuleSeen::share).min() else { return };
    let step = draft.rollout.plan().step_not_above(lowest);
    let weight = step.and_then(|step| draft.rollout.plan().weight(step)).unwrap_or(Weight::ZERO);
    if weight > draft.rollout.intended {
        // Taking a higher weight would be a raise without proof.
        return;
    }
    let detail = format!("somebody else wrote {lowest}: adopted as {weight}");
    draft.record(Event::DriftCleared);
    draft.record(Event::WeightIntended { weight, step, cause: Cause::new(CauseCode::Adopted, detail) });
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
