//! What takes traffic back, and what stops forward moves: one reason is enough (rules 4, 7, 8, 9, 13).

use jiff::Timestamp;

use super::Draft;
use crate::domain::event::{Cause, CauseCode, Event, NoticeLevel, Verdict};
use crate::domain::hold::HoldReason;
use crate::domain::ids::Arn;
use crate::domain::observation::{HealthSeen, Seen, TroubleKind};
use crate::domain::phase::Phase;
use crate::domain::plan::Fallback;
use crate::domain::rollout::{Rollout, StickinessState};
use crate::domain::time::{Span, after, before, since};
use crate::domain::weight::Weight;

/// How long the route may refuse to be read (gone, access denied) before the rollout halts: long enough for a policy
/// that is just being changed.
const REFUSED_FOR: Span = Span::from_mins(1);

/// How often a step is tried again after its weight was stepped back from, before a person is asked.
pub(super) const STEP_BACKS_MAX: u32 = 2;

/// Takes back what must be taken back.
pub(super) fn take_back(draft: &mut Draft<'_>) {
    match draft.rollout.phase {
        Phase::Pending | Phase::Preflight => watch_before_start(draft),
        Phase::RolledBack | Phase::Completed | Phase::Aborted => {}
        Phase::RollingBack => keep_rolling_back(draft),
        Phase::Halted => watch_halted(draft),
        Phase::Progressing | Phase::AwaitingApproval | Phase::Baking | Phase::Paused => watch(draft),
    }
    restore_stickiness(draft);
}

fn watch(draft: &mut Draft<'_>) {
    if draft.rollout.green_has_traffic() {
        if let Some(cause) = failing(draft) {
            return fall_back(draft, draft.rollout.plan().on_failure, cause);
        }
        if draft.seen.health.read().is_some_and(only_green_lives) {
            let detail = "blue has no healthy target while green has: nothing could take the traffic back, and the \
                          weights stay as they are; bring blue back, then `resume`";
            return draft.halt(CauseCode::BlueUnhealthy, detail);
        }
        if let Some(cause) = green_is_dead(draft) {
            return begin_rollback(draft, Phase::RolledBack, &cause);
        }
        if let Some(cause) = common_cause(draft) {
            return cause.carry_out(draft);
        }
        if let Some((fallback, cause)) = no_data(draft) {
            return fall_back(draft, fallback, cause);
        }
        if balancer_errors(draft) {
            return;
        }
    }
    if let Some(detail) = refused(draft) {
        return draft.halt(CauseCode::Refused, detail);
    }
    if draft.rollout.phase != Phase::Paused {
        limits(draft);
    }
}

/// A retry of a halted attempt begins with traffic on green, which is judged from the first moment.
fn watch_before_start(draft: &mut Draft<'_>) {
    if draft.rollout.green_has_traffic()
        && let Some(cause) = failing(draft)
    {
        fall_back(draft, draft.rollout.plan().on_failure, cause);
    }
}

/// Failing checks, in words.
fn failing(draft: &Draft<'_>) -> Option<Cause> {
    let failing = draft.rollout.verdicts.iter().filter(|(_, seen)| seen.verdict == Verdict::Failing);
    let words: Vec<String> = failing.map(|(name, seen)| format!("check `{name}`: {}", seen.detail)).collect();
    (!words.is_empty()).then(|| Cause::new(CauseCode::Failing, words.join(" ")))
}

/// Green without one healthy target fails every request it gets, while blue could serve them.
fn green_is_dead(draft: &Draft<'_>) -> Option<Cause> {
    let health = draft.seen.health.read()?;
    let dead = health.green.healthy == 0 && health.blue.healthy > 0;
    let detail =
        format!("green has no healthy target of {}; blue has {}", health.green.registered(), health.blue.healthy);
    dead.then(|| Cause::new(CauseCode::Failing, detail))
}

/// Does what the plan says: take the traffic back, or stay and ask a person.
fn fall_back(draft: &mut Draft<'_>, fallback: Fallback, cause: Cause) {
    match fallback {
        Fallback::Rollback => begin_rollback(draft, Phase::RolledBack, &cause),
        Fallback::Pause => {
            if draft.rollout.phase != Phase::Paused {
                draft.pause(cause.code, cause.detail);
            }
        }
    }
}

enum CommonCause {
    StepBack(Cause),
    FallBack(Fallback, Cause),
}

impl CommonCause {
    fn carry_out(self, draft: &mut Draft<'_>) {
        match self {
            Self::StepBack(cause) => step_back(draft, &cause),
            Self::FallBack(fallback, cause) => fall_back(draft, fallback, cause),
        }
    }
}

/// Both sides sick together: if it came with our raise, green may be the common cause (a shared database, the HSM
/// itself), so step back; else wait, and after a time do as the plan says (rule 7).
fn common_cause(draft: &Draft<'_>) -> Option<CommonCause> {
    let rollout = &draft.rollout;
    let began = rollout.reason_since("common_cause")?;
    let analysis = &rollout.plan().analysis;
    // Two periods of the raise, and until a period is read at all: its own length and the settling.
    let with_raise = analysis.interval.times(4).plus(analysis.settle);
    let came_with_raise =
        rollout.confirmed_at.is_some_and(|raised| began >= raised && since(began, raised) <= with_raise);
    let first_of_this_weight = rollout.proven < rollout.step;
    if came_with_raise && first_of_this_weight {
        let detail = format!("both sides became sick after the raise to {}: green may be the cause", rollout.intended);
        return Some(CommonCause::StepBack(Cause::new(CauseCode::CommonCause, detail)));
    }
    let timeout = rollout.plan().common_cause_timeout;
    let over = since(draft.now, began) >= timeout;
    let detail = format!("both sides have been sick together for {timeout}");
    over.then(|| CommonCause::FallBack(rollout.plan().on_failure, Cause::new(CauseCode::CommonCause, detail)))
}

/// Since when no data has come, if for longer than metrics usually take.
pub(super) fn silent_since(rollout: &Rollout, now: Timestamp) -> Option<Timestamp> {
    let analysis = &rollout.plan().analysis;
    // A period is whole after its own length, and readable about as long after as it takes to settle; two more may be late.
    let usual = analysis.interval.times(3).plus(analysis.settle);
    let newest = rollout.analysis.newest.unwrap_or(rollout.phase_since);
    (since(now, newest) > usual).then_some(newest)
}

fn no_data(draft: &Draft<'_>) -> Option<(Fallback, Cause)> {
    let since_when = silent_since(&draft.rollout, draft.now)?;
    let plan = draft.rollout.plan();
    let over = since(draft.now, since_when) >= plan.no_data_timeout;
    let why = draft.seen.metrics.trouble().map_or(String::new(), |trouble| format!(" ({})", trouble.message));
    let detail = format!("no metric period with a request since {since_when}{why}");
    over.then(|| (plan.on_no_data, Cause::new(CauseCode::NoData, detail)))
}

/// The load balancer's own errors: hold first, step back when it goes on. Returns whether it stepped back.
fn balancer_errors(draft: &mut Draft<'_>) -> bool {
    let rollout = &draft.rollout;
    let (Some(raised), true) = (rollout.confirmed_at, rollout.proven < rollout.step) else { return false };
    let Some((seen, usual)) = rollout.analysis.balancer_rise(raised, Timestamp::MAX) else { return false };
    // It goes on when it was to be seen two periods ago already.
    let interval = rollout.plan().analysis.interval;
    let newest = rollout.analysis.newest.unwrap_or(raised);
    if rollout.analysis.balancer_rise(raised, before(newest, interval.times(2))).is_none() {
        return false;
    }
    let detail =
        format!("the load balancer itself answered {seen:.0} errors since the raise, {usual:.0} would be usual");
    step_back(draft, &Cause::new(CauseCode::LoadBalancerErrors, detail));
    true
}

/// The route refuses to be read, and trying again does not help.
fn refused(draft: &Draft<'_>) -> Option<String> {
    let Seen::Unreadable(trouble) = &draft.seen.route else { return None };
    let from = draft.rollout.held_for(HoldReason::RouteUnreadable)?;
    let long = trouble.kind == TroubleKind::Refused && since(draft.now, from) >= REFUSED_FOR;
    long.then(|| trouble.message.clone())
}

fn limits(draft: &mut Draft<'_>) {
    let (deadline, active) = (draft.rollout.plan().deadline, draft.rollout.active(draft.now));
    if active >= deadline {
        let detail = format!("the deadline of {deadline} active time is over; `resume` gives it the same time again");
        return draft.pause(CauseCode::Deadline, detail);
    }
    if draft.rollout.phase != Phase::Progressing || draft.rollout.verdict() == Verdict::Passing {
        return;
    }
    let Some(step) = draft.rollout.step else { return };
    let Some(hold_max) = draft.rollout.plan().steps.get(step).map(|step| step.hold_max) else { return };
    let over = draft.rollout.is_confirmed() && draft.now >= after(draft.rollout.hold_since, hold_max);
    if over && !draft.rollout.is_promoted() {
        let detail = format!("green is still unproven after {hold_max} at {}", draft.rollout.intended);
        let fallback = draft.rollout.plan().on_inconclusive;
        fall_back(draft, fallback, Cause::new(CauseCode::Inconclusive, detail));
    }
}

/// Begins to take everything back to blue. Before green had anything, an abort ends at once.
pub(super) fn begin_rollback(draft: &mut Draft<'_>, ends_in: Phase, cause: &Cause) {
    let rollout = &draft.rollout;
    // What somebody else gave green on a route that is ours by now is taken back too.
    // Before preflight passed nothing is ours yet; after it, only a look at the route tells that nothing was given.
    let untouched = rollout.baseline.is_none() || draft.sees_all_on_blue();
    let nothing_moved = !rollout.green_has_traffic() && rollout.drift.is_none() && untouched;
    if ends_in == Phase::Aborted && nothing_moved && draft.become_phase(Phase::Aborted, cause.clone()) {
        return;
    }
    let person = cause.code == CauseCode::Person;
    if draft.rollout.phase != Phase::RollingBack && !draft.become_phase(Phase::RollingBack, cause.clone()) {
        return;
    }
    go_back(draft, cause.clone());
    if !person {
        draft.notice(NoticeLevel::Page, format!("rolling back: {}", cause.detail));
    }
}

/// What every rollback does once it is decided.
pub(super) fn go_back(draft: &mut Draft<'_>, cause: Cause) {
    let unfinished = !draft.rollout.is_confirmed() && draft.rollout.intended == Weight::ZERO;
    if draft.rollout.drift.is_some() && !unfinished {
        // What was confirmed is no longer there: it has to be seen again.
        draft.record(Event::WeightIntended { weight: Weight::ZERO, step: None, cause });
    } else {
        draft.intend(Weight::ZERO, None, cause);
    }
    switch_stickiness_off(draft);
    watch_rollback(draft);
}

fn switch_stickiness_off(draft: &mut Draft<'_>) {
    if draft.rollout.stickiness != StickinessState::Untouched {
        return;
    }
    let rules = draft.rollout.baseline.iter().flat_map(|baseline| &baseline.rules);
    let sticky: Vec<(Arn, u32)> =
        rules.filter_map(|rule| rule.sticky_seconds.map(|seconds| (rule.rule.clone(), seconds))).collect();
    if !sticky.is_empty() {
        draft.record(Event::StickinessIntended { off: true, rules: sticky });
    }
}

/// Whether blue could not serve a single request while green can.
fn only_green_lives(health: &HealthSeen) -> bool {
    health.blue.healthy == 0 && health.green.healthy > 0
}

/// A rollback whose weight is not on record (the rest of its decision was lost) is decided on again.
fn keep_rolling_back(draft: &mut Draft<'_>) {
    if draft.rollout.intended == Weight::ZERO {
        return watch_rollback(draft);
    }
    let cause = draft.rollout.cause.clone();
    go_back(draft, cause.unwrap_or_else(|| Cause::new(CauseCode::Plan, "a rollback gives blue all traffic")));
}

/// A running rollback goes on for ever, unless it would hand every user to a dead fleet.
fn watch_rollback(draft: &mut Draft<'_>) {
    let forced = draft.rollout.rollback.is_some_and(|rollback| rollback.forced);
    let dead = draft.seen.health.read().is_some_and(only_green_lives);
    let back_already = draft.rollout.is_confirmed() && draft.rollout.intended == Weight::ZERO;
    if dead && !forced && !back_already {
        let detail = "blue has no healthy target while green has: the weights stay as they are; bring blue back (the \
                      rollback then goes on by itself), or `rollback --force`";
        draft.halt(CauseCode::BlueUnhealthy, detail);
    }
}

/// A halted rollout is judged on: when the way back is open again, a rollback that was stopped goes on, and a Failing
/// check begins one.
fn watch_halted(draft: &mut Draft<'_>) {
    // What cannot be counted is what it was when a rollback waits for blue, and no excuse when a check is Failing.
    let known = draft.seen.health.read().or(draft.rollout.health.as_ref());
    if draft.seen.health.read().is_some_and(only_green_lives) {
        return;
    }
    if draft.rollout.rollback.is_some() {
        if known.is_none_or(only_green_lives) {
            return;
        }
        let cause = Cause::new(CauseCode::Plan, "blue has healthy targets again: the rollback goes on");
        draft.become_phase(Phase::RollingBack, cause);
    } else if draft.rollout.green_has_traffic()
        && let Some(cause) = failing(draft)
    {
        fall_back(draft, draft.rollout.plan().on_failure, cause);
    }
}

/// Back to the last proven weight; to a person after the second time from the same step, or when nothing was proven.
pub(super) fn step_back(draft: &mut Draft<'_>, cause: &Cause) {
    let from = draft.rollout.step;
    // A step that is proven itself proves all below it, so there is one to go back to unless it is the first.
    let proven = match (draft.rollout.proven, from) {
        (Some(proven), Some(from)) => Some(proven).filter(|proven| *proven < from).or_else(|| from.checked_sub(1)),
        (_, None) | (None, Some(_)) => None,
    };
    let weight = proven.and_then(|step| draft.rollout.plan().weight(step)).unwrap_or(Weight::ZERO);
    let detail = cause.detail.clone();
    let person = cause.code == CauseCode::Person;
    draft.step_down(weight, proven, cause.clone());
    if person {
        return;
    }
    draft.notice(NoticeLevel::Warning, format!("stepped back to {weight}: {detail}"));
    let again = from.and_then(|step| draft.rollout.step_backs.get(&step)).is_some_and(|n| *n >= STEP_BACKS_MAX);
    if proven.is_none() || again {
        draft.become_phase(Phase::Paused, cause.clone());
    }
}

/// After a rollback: stickiness comes back once green has had no request for as long as a cookie lives.
fn restore_stickiness(draft: &mut Draft<'_>) {
    let rollout = &draft.rollout;
    let StickinessState::Off(rules) = &rollout.stickiness else { return };
    if !rollout.phase.is_terminal() {
        return;
    }
    let refused = draft
        .seen
        .written
        .iter()
        .any(|report| matches!(report.outcome, crate::domain::command::WriteOutcome::StickinessRefused(_)));
    let age = rules.iter().map(|(_, seconds)| *seconds).max().map_or(Span::ZERO, Span::from_secs);
    let last = rollout.analysis.newest_green.unwrap_or(rollout.phase_since).max(rollout.phase_since);
    // Where green keeps everything there is nobody to be drawn back to it.
    let stays = rollout.phase == Phase::Completed;
    if refused || stays || since(draft.now, last) >= age {
        let rules = rules.clone();
        draft.record(Event::StickinessIntended { off: false, rules });
    }
}
