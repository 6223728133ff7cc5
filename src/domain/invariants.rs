//! What must hold for any rollout, whatever the world does, as code: for tests, the simulation, and whoever reads.
//!
//! Each function returns the broken invariants in words; an empty list is the good answer. I6 (nothing is applied
//! before it is recorded) and I7 (a superseded holder cannot append) are about the controller and the journal, not about
//! decisions, and are not here.

use jiff::Timestamp;

use super::advance::{Decision, advance};
use super::command::{Command, SetWeight, Urgency};
use super::event::{Cause, CauseCode, Event, NewEvent, Recorded, Verdict};
use super::observation::{HealthSeen, Observation, Seen};
use super::phase::Phase;
use super::plan::Fallback;
use super::replay::{ReplayError, replay};
use super::request::Ask;
use super::rollout::Rollout;
use super::weight::Weight;

/// Invariants of one decision: I1 to I5 and I10, and that a Failing check is never sat out.
pub fn of_decision(before: &Rollout, seen: &Observation, now: Timestamp, decision: &Decision) -> Vec<String> {
    let mut broken = Vec::new();
    shares_sum_to_whole(decision, &mut broken);
    weight_rises_by_the_plan(before, seen, decision, &mut broken);
    missing_data_never_raises(before, seen, decision, &mut broken);
    terminal_stays_terminal(before, decision, &mut broken);
    an_abort_is_never_sat_out(seen, decision, &mut broken);
    a_failing_check_is_never_sat_out(before, seen, decision, &mut broken);
    nothing_but_named_rules(before, seen, decision, &mut broken);
    if let Some(later) = decision.events.iter().find(|event| event.at != now) {
        broken.push(format!("an event of this tick bears another time: {later:?}"));
    }
    broken
}

/// I8: on a settled world `advance` is a fixed point. The world is settled when the live weights are the intended ones
/// and nobody asks anything; the second of two equal looks at it must then change nothing.
pub fn of_settled_world(decision: &Decision, seen: &Observation, now: Timestamp) -> Vec<String> {
    let rollout = &decision.rollout;
    let Seen::Read(rules) = &seen.route else { return Vec::new() };
    if !rules.iter().all(|rule| rule.share() == Some(rollout.intended)) {
        return Vec::new();
    }
    let quiet = Observation { requests: Vec::new(), written: Vec::new(), ..seen.clone() };
    // A first quiet look may still act on what the last one decided, as confirm a weight that was there already.
    let mut first = advance(rollout, &quiet, now);
    for _ in 0..SETTLING_LOOKS {
        if first.events.is_empty() {
            break;
        }
        first = advance(&first.rollout, &quiet, now);
    }
    let second = advance(&first.rollout, &quiet, now);
    let mut broken = Vec::new();
    if !first.events.is_empty() || !second.events.is_empty() {
        broken.push(format!("I8: a settled world still makes events: {:?} then {:?}", first.events, second.events));
    }
    if first.rollout != second.rollout || first.commands != second.commands || first.hold != second.hold {
        broken.push("I8: two looks at a settled world decide differently".to_owned());
    }
    broken
}

/// Looks after which a settled world must be quiet: confirm, judge, raise or end, and once more for what follows.
const SETTLING_LOOKS: usize = 6;

/// I4 and I9 over a whole journal: it replays, to `live` exactly, and ended attempts stay as they ended.
pub fn of_history(journal: &[Recorded], live: &Rollout) -> Vec<String> {
    let mut broken = Vec::new();
    match replay(journal) {
        Ok(replayed) if replayed == *live => {}
        Ok(_) => broken.push("I9: the replayed journal is not the live state".to_owned()),
        Err(error @ (ReplayError::NoBeginning | ReplayError::Gap { .. } | ReplayError::IllegalPhase { .. })) => {
            broken.push(format!("I9: the journal cannot be replayed: {error}"));
        }
    }
    let mut ended: Option<Phase> = None;
    for recorded in journal {
        match &recorded.event {
            Event::PhaseChanged { from, to, .. } => {
                if let Some(end) = ended {
                    broken.push(format!(
                        "I4: event {}: an attempt that ended {end} went from {from} to {to}",
                        recorded.seq
                    ));
                }
                ended = Some(*to).filter(|to| to.is_terminal());
            }
            Event::AttemptStarted { .. } => ended = None,
            Event::WeightIntended { weight, .. } if ended.is_some() => {
                broken.push(format!("I4: event {}: {weight} was intended after the end", recorded.seq));
            }
            Event::Created(_)
            | Event::Requested { .. }
            | Event::PlanChanged(_)
            | Event::Inspected(_)
            | Event::BaselineTaken { .. }
            | Event::FindingWaived { .. }
            | Event::WeightIntended { .. }
            | Event::WeightConfirmed { .. }
            | Event::StepPassed { .. }
            | Event::MetricsRead { .. }
            | Event::VerdictChanged { .. }
            | Event::HealthChanged(_)
            | Event::AlarmsChanged(_)
            | Event::DriftFound { .. }
            | Event::DriftCleared
            | Event::Reasserted { .. }
            | Event::StickinessIntended { .. }
            | Event::HoldChanged(_)
            | Event::NoticeRaised { .. } => {}
        }
    }
    broken
}

fn weight_commands(decision: &Decision) -> impl Iterator<Item = &SetWeight> {
    decision.commands.iter().filter_map(|command| match command {
        Command::SetWeight(set) => Some(set),
        Command::Claim | Command::Release => None,
    })
}

fn shares_sum_to_whole(decision: &Decision, broken: &mut Vec<String>) {
    for set in weight_commands(decision) {
        let (blue, green) = set.weight.written();
        if !matches!(blue.saturating_add(green), 100 | 1000) || Weight::of_written(blue, green) != Some(set.weight) {
            broken.push(format!("I1: {} is written as {blue}/{green}", set.weight));
        }
    }
}

/// An upward decision: old weight, new weight, step before, step after, and why.
type Raise<'a> = (Weight, Weight, Option<usize>, Option<usize>, &'a Cause);

/// The upward decisions of this tick: old weight, new weight, step before, step after, and why.
fn raises<'a>(before: &Rollout, events: &'a [NewEvent]) -> Vec<Raise<'a>> {
    let (mut weight, mut step) = (before.intended, before.step);
    let mut found = Vec::new();
    for event in events {
        if let Event::WeightIntended { weight: to, step: to_step, cause } = &event.event {
            if *to > weight {
                found.push((weight, *to, step, *to_step, cause));
            }
            (weight, step) = (*to, *to_step);
        }
    }
    found
}

fn weight_rises_by_the_plan(before: &Rollout, seen: &Observation, decision: &Decision, broken: &mut Vec<String>) {
    let plan = decision.rollout.plan();
    let raises = raises(before, &decision.events);
    if raises.len() > 1 {
        broken.push(format!("I2: two raises in one tick: {raises:?}"));
    }
    let passed = decision
        .events
        .iter()
        .find_map(|event| if let Event::StepPassed { step, .. } = &event.event { Some(*step) } else { None });
    for (old, new, from, to, cause) in raises {
        let next = from.map_or(0, |step| step.saturating_add(1));
        let by_step = to == Some(next) && (plan.weight(next) == Some(new) || new == plan.bake_at);
        let last_raise = to == from && from == Some(plan.last()) && new == Weight::FULL;
        let proven = from.is_none() || passed == from;
        let live =
            seen.route.read().and_then(|rules| rules.iter().filter_map(super::observation::RuleSeen::share).min());
        let found_there = cause.code == CauseCode::PreflightPassed && live >= Some(new);
        if !((by_step || last_raise) && proven || found_there) {
            broken.push(format!("I2: {old} became {new} (step {from:?} to {to:?}) for {cause:?}"));
        }
    }
    // A live weight below the intended one is written up only where the intended weight was decided on before.
    for set in weight_commands(decision) {
        if set.weight > decision.rollout.intended && !decision.rollout.phase.is_terminal() {
            broken.push(format!("I2: {} is written while {} is intended", set.weight, decision.rollout.intended));
        }
    }
}

fn missing_data_never_raises(before: &Rollout, seen: &Observation, decision: &Decision, broken: &mut Vec<String>) {
    for (old, new, _, _, cause) in raises(before, &decision.events) {
        if cause.code == CauseCode::PreflightPassed {
            continue;
        }
        let mut missing = Vec::new();
        if seen.route.read().is_none() {
            missing.push("the route was not read");
        }
        if seen.health.read().is_none() || !seen.health_is_fresh {
            missing.push("the targets were not counted");
        }
        if seen.metrics.trouble().is_some() {
            missing.push("the metrics were unreadable");
        }
        if seen.metrics.read().is_some_and(|metrics| metrics.partial) {
            missing.push("the metrics were partial");
        }
        if decision.rollout.analysis.newest.is_none() {
            missing.push("no metric was ever read");
        }
        if !missing.is_empty() {
            broken.push(format!("I3: {old} became {new} although {}", missing.join(" and ")));
        }
    }
    let up_blindly =
        weight_commands(decision).any(|set| set.urgency == Urgency::Forward) && seen.route.read().is_none();
    if up_blindly {
        broken.push("I3: a forward write without a read of the route".to_owned());
    }
}

fn terminal_stays_terminal(before: &Rollout, decision: &Decision, broken: &mut Vec<String>) {
    let new_attempt = decision.rollout.attempt > before.attempt;
    if before.phase.is_terminal() && !new_attempt && decision.rollout.phase != before.phase {
        broken.push(format!("I4: {} became {} in the same attempt", before.phase, decision.rollout.phase));
    }
    if before.phase.is_terminal() && !new_attempt {
        for set in weight_commands(decision) {
            let live = |weight: Weight| set.ours == vec![weight];
            if !live(set.weight) {
                broken.push(format!("I4: {} is written after the end", set.weight));
            }
        }
    }
}

fn only_green_lives(health: &HealthSeen) -> bool {
    health.blue.healthy == 0 && health.green.healthy > 0
}

/// Whether the traffic goes back, or has gone, or cannot go because blue is dead.
fn goes_back(seen: &Observation, decision: &Decision) -> bool {
    let rollout = &decision.rollout;
    match rollout.phase {
        Phase::RollingBack => {
            let back = |set: &SetWeight| set.weight == Weight::ZERO && set.urgency == Urgency::Back;
            weight_commands(decision).any(back)
        }
        Phase::RolledBack | Phase::Aborted => true,
        Phase::Halted => seen.health.read().or(rollout.health.as_ref()).is_some_and(only_green_lives),
        Phase::Pending
        | Phase::Preflight
        | Phase::Progressing
        | Phase::AwaitingApproval
        | Phase::Paused
        | Phase::Baking
        | Phase::Completed => false,
    }
}

fn an_abort_is_never_sat_out(seen: &Observation, decision: &Decision, broken: &mut Vec<String>) {
    let taken = |id: u64| decision.answers.iter().any(|answer| answer.id == id && answer.result.is_ok());
    let last = seen.requests.iter().rev().find(|request| taken(request.id));
    if last.is_some_and(|request| matches!(request.ask, Ask::Abort | Ask::Rollback { .. }))
        && !goes_back(seen, decision)
    {
        broken.push(format!("I5: an abort was taken and the rollout is {}", decision.rollout.phase));
    }
}

fn a_failing_check_is_never_sat_out(
    before: &Rollout,
    seen: &Observation,
    decision: &Decision,
    broken: &mut Vec<String>,
) {
    let rollout = &decision.rollout;
    let fails = rollout.verdict() == Verdict::Failing && rollout.plan().on_failure == Fallback::Rollback;
    let on_the_way = before.green_has_traffic() && rollout.green_has_traffic() && !before.phase.is_terminal();
    if fails && on_the_way && rollout.attempt == before.attempt && !goes_back(seen, decision) {
        broken.push(format!("a check is Failing and the rollout is {}", rollout.phase));
    }
}

fn nothing_but_named_rules(before: &Rollout, seen: &Observation, decision: &Decision, broken: &mut Vec<String>) {
    let named = before.spec.route.rules();
    for set in weight_commands(decision) {
        let foreign = set.structures.iter().find(|(rule, _)| !named.contains(rule));
        if let Some((rule, _)) = foreign {
            broken.push(format!("I10: a write names {rule}, which the route does not"));
        }
        let known = set.structures.len() == named.len();
        if set.urgency == Urgency::Forward && !known && !before.phase.is_terminal() && seen.route.read().is_some() {
            broken.push("I10: a forward write does not say what the rules must look like".to_owned());
        }
    }
}
