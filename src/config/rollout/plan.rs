//! How a document moves its route: every default, every limit, and the rules between fields.

use crate::config::problem::Findings;
use crate::config::reader::{At, Fields};
use crate::domain::plan::{Analysis, Fallback, HealthPolicy, OnDrift, Plan, Question};
use crate::domain::time::Span;
use crate::domain::weight::Weight;

use super::checks::checks;
use super::schedule::schedule;
use super::steps::{steps, weight};

/// Longest duration of a document. A year is more than any rollout takes; what is longer is a slip of the pen.
pub(super) const LONGEST: Span = Span::from_hours(366 * 24);
/// Longest time that metrics may take to settle: CloudWatch is done in minutes.
const SETTLE_MAX: Span = Span::from_hours(1);
/// Periods longer than this would leave a bad green in place for too long.
const INTERVAL_MAX: Span = Span::from_hours(1);
/// Targets of a group: far above any quota of AWS.
const TARGETS_MAX: u32 = 100_000;

/// Reads a duration within limits.
pub(super) fn span(at: &At<'_>, what: &str, min: Span, max: Span, out: &mut Findings) -> Option<Span> {
    let read = at.parse(what, "a duration such as `10m`", out, Span::parse)?;
    if read < min {
        let limit = if min <= Span::from_secs(1) { "longer than 0s".to_owned() } else { format!("at least {min}") };
        at.error(out, format!("{what} must be {limit}, and this is {read}"), None::<String>);
        return None;
    }
    if read > max {
        at.error(out, format!("{what} must be at most {max}, and this is {read}"), None::<String>);
        return None;
    }
    Some(read)
}

/// The plan, with the defaults for all that is left out. What is wrong is noted, and its default stands in for it.
pub(super) fn plan(fields: &Fields<'_>, out: &mut Findings) -> Plan {
    let mut plan = Plan::standard();
    let duration = |name: &str, min: Span, slot: &mut Span, out: &mut Findings| {
        let read = fields.get(name).and_then(|at| span(at, &format!("`{name}`"), min, LONGEST, out));
        *slot = read.unwrap_or(*slot);
    };
    let moment = Span::from_secs(1);
    duration("bake", Span::ZERO, &mut plan.bake, out);
    duration("rollback_window", Span::ZERO, &mut plan.rollback_window, out);
    duration("no_data_timeout", moment, &mut plan.no_data_timeout, out);
    duration("common_cause_timeout", moment, &mut plan.common_cause_timeout, out);
    duration("deadline", moment, &mut plan.deadline, out);
    let fallback = |name: &str, slot: &mut Fallback, out: &mut Findings| {
        let words = [("rollback", Fallback::Rollback), ("pause", Fallback::Pause)];
        let read = fields.get(name).and_then(|at| at.word(&format!("`{name}`"), &words, out));
        *slot = read.unwrap_or(*slot);
    };
    fallback("on_failure", &mut plan.on_failure, out);
    fallback("on_inconclusive", &mut plan.on_inconclusive, out);
    fallback("on_no_data", &mut plan.on_no_data, out);
    if let Some(at) = fields.get("on_drift") {
        let words = [("hold", OnDrift::Hold), ("reassert", OnDrift::Reassert), ("adopt", OnDrift::Adopt)];
        plan.on_drift = at.word("`on_drift`", &words, out).unwrap_or(plan.on_drift);
    }
    plan.health = fields.get("health").map_or(plan.health, |at| health(at, plan.health, out));
    if let Some(at) = fields.get("analysis") {
        analysis(at, &mut plan.analysis, out);
    }
    plan.schedule = fields.get("schedule").map(|at| schedule(at, out)).unwrap_or_default();
    let read_steps = fields.get("steps").map(|at| steps(at, out));
    let steps_known = !matches!(read_steps, Some(None));
    if let Some(steps) = read_steps.flatten() {
        plan.steps = steps;
    }
    bake_at(fields, &mut plan, steps_known, out);
    if steps_known {
        deadline(fields, &plan, out);
    }
    no_data(fields, &plan, out);
    advice(fields, &plan, out);
    plan
}

/// The bake runs at the last step's weight or just below it, never as low as the step before.
fn bake_at(fields: &Fields<'_>, plan: &mut Plan, steps_known: bool, out: &mut Findings) {
    let Some(at) = fields.get("bake_at") else { return };
    let Some(read) = weight(at, "`bake_at`", out) else { return };
    plan.bake_at = read;
    let before = plan.last().checked_sub(1).and_then(|index| plan.weight(index)).unwrap_or(Weight::ZERO);
    if steps_known && read <= before {
        let what = format!("`bake_at` must be above {before}, the last step but one, and at most 100%; this is {read}");
        at.error(out, what, Some("write `99%` to keep a live blue to compare with, or leave it out"));
    }
}

/// A rollout that proves every step at once must be able to end before its deadline.
fn deadline(fields: &Fields<'_>, plan: &Plan, out: &mut Findings) {
    let holds = plan.steps.iter().rev().skip(1).fold(Span::ZERO, |sum, step| sum.plus(step.hold_min));
    let shortest = holds.plus(plan.bake);
    if shortest >= plan.deadline {
        let what = format!(
            "the deadline, {}, passes before the shortest holds and the bake are over: they take {shortest} together",
            plan.deadline
        );
        let at = fields.get("deadline").or_else(|| fields.get("steps")).unwrap_or_else(|| fields.whole());
        at.error(out, what, Some("raise `deadline`, or shorten the holds or the bake"));
    }
}

/// A time-out that ends before the first data can be there would always strike.
fn no_data(fields: &Fields<'_>, plan: &Plan, out: &mut Findings) {
    let first = plan.analysis.interval.plus(plan.analysis.settle);
    if plan.no_data_timeout <= first {
        let what = format!(
            "`no_data_timeout`, {}, is over before a period can be judged: interval and settle are {first} together",
            plan.no_data_timeout
        );
        let at = fields.get("no_data_timeout").or_else(|| fields.get("analysis")).unwrap_or_else(|| fields.whole());
        at.error(out, what, Some(format!("write at least {}", first.times(2))));
    }
}

/// What is allowed and still worth a word.
fn advice(fields: &Fields<'_>, plan: &Plan, out: &mut Findings) {
    if let (Some(at), Span::ZERO) = (fields.get("bake"), plan.bake) {
        let what = "without a bake nothing watches green once it has all of the traffic";
        at.warn(out, what, Some("leave `bake` out for 1h"));
    }
    if let (Some(at), [_]) = (fields.get("steps"), plan.steps.as_slice()) {
        let what = "the only step gives green all of the traffic at once, before anything is proven";
        at.warn(out, what, Some("begin with a small weight, as `- {weight: 5%}`"));
    }
}

fn health(at: &At<'_>, standard: HealthPolicy, out: &mut Findings) -> HealthPolicy {
    let known = ["min_healthy_targets", "min_healthy_ratio", "blue_floor"];
    let Some(fields) = at.fields("`health`", &known, &[], out) else { return standard };
    let targets = fields.get("min_healthy_targets");
    let share = |name: &str, standard: Weight, out: &mut Findings| {
        let read = fields.get(name).and_then(|at| {
            at.parse(&format!("`{name}`"), "a percentage such as `50%`", out, |text| {
                if text.trim().ends_with('%') {
                    Weight::parse(text).map_err(|error| error.to_string())
                } else {
                    Err(format!("`{text}` has no percent sign: write it as `50%`"))
                }
            })
        });
        read.unwrap_or(standard)
    };
    HealthPolicy {
        min_healthy_targets: targets
            .and_then(|at| at.count("`min_healthy_targets`", 1..=TARGETS_MAX, out))
            .unwrap_or(standard.min_healthy_targets),
        min_healthy_ratio: share("min_healthy_ratio", standard.min_healthy_ratio, out),
        blue_floor: share("blue_floor", standard.blue_floor, out),
    }
}

fn analysis(at: &At<'_>, analysis: &mut Analysis, out: &mut Findings) {
    let Some(fields) = at.fields("`analysis`", &["interval", "settle", "checks"], &[], out) else { return };
    if let Some(at) = fields.get("interval") {
        analysis.interval = interval(at, out).unwrap_or(analysis.interval);
    }
    if let Some(at) = fields.get("settle") {
        analysis.settle = span(at, "`settle`", Span::ZERO, SETTLE_MAX, out).unwrap_or(analysis.settle);
    }
    if let Some(at) = fields.get("checks") {
        analysis.checks = checks(at, out).unwrap_or_else(|| std::mem::take(&mut analysis.checks));
        let compares = |question: &Question| match question {
            Question::Errors(_) | Question::ClientErrors(_) | Question::Latency(_) => true,
            Question::Alarms { .. } => false,
        };
        if !analysis.checks.is_empty() && !analysis.checks.iter().any(|check| compares(&check.question)) {
            let what = "no check compares green with blue: alarms alone can stop a bad green, not prove a good one";
            at.warn(out, what, Some("add `- errors: {}`"));
        }
    }
}

/// CloudWatch keeps periods of 1, 5, 10 and 30 seconds and whole minutes.
fn interval(at: &At<'_>, out: &mut Findings) -> Option<Span> {
    let read = span(at, "`interval`", Span::from_secs(1), INTERVAL_MAX, out)?;
    let seconds = read.as_secs();
    let whole = Span::from_secs(u32::try_from(seconds).unwrap_or(u32::MAX)) == read;
    let minute = 60;
    if !whole || !(matches!(seconds, 1 | 5 | 10 | 30) || seconds % minute == 0) {
        let what = format!("metrics have no periods of {read}");
        at.error(out, what, Some("write `1s`, `5s`, `10s`, `30s` or whole minutes"));
        return None;
    }
    if seconds < minute {
        let what =
            format!("AWS publishes the metrics of load balancers once a minute: most periods of {read} stay empty");
        at.warn(out, what, Some("write `60s` unless the metrics come from something faster"));
    }
    Some(read)
}
