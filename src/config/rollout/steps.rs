//! The steps of a document: weights that rise to 100 %, each with its hold.

use crate::config::problem::Findings;
use crate::config::reader::At;
use crate::domain::plan::{Plan, Step};
use crate::domain::time::Span;
use crate::domain::weight::Weight;

use super::plan::{LONGEST, span};

/// Reads a weight: a number of percents, or a text with or without the sign.
pub(super) fn weight(at: &At<'_>, what: &str, out: &mut Findings) -> Option<Weight> {
    at.parse(what, "a percentage such as `10%`", out, Weight::parse)
}

pub(super) fn steps(at: &At<'_>, out: &mut Findings) -> Option<Vec<Step>> {
    let items = at.list("`steps`", Plan::STEPS_MAX, out)?;
    let Some(end) = items.len().checked_sub(1) else {
        at.error(out, "`steps` is empty", Some("leave it out for 10% 25% 50% 75% 100%, or write `- {weight: 100%}`"));
        return None;
    };
    let mut steps: Vec<Step> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some((step, weight_at)) = step(item, index == end, out) else { continue };
        let before = steps.last().map_or(Weight::ZERO, |before: &Step| before.weight);
        if step.weight <= before {
            let (what, help) = if before == Weight::ZERO {
                ("a step's weight must be above 0%".to_owned(), "green is attached at 0% without a step for it")
            } else {
                (
                    format!("{} is not above the step before it, {before}", step.weight),
                    "weights must rise from step to step",
                )
            };
            weight_at.error(out, what, Some(help));
        }
        if index == end && step.weight != Weight::FULL {
            let what = format!("the last step is {}, not 100%", step.weight);
            weight_at.error(out, what, Some("add `- {weight: 100%}` as the last step"));
        }
        steps.push(step);
    }
    (steps.len() == items.len()).then_some(steps)
}

fn step<'n>(at: &At<'n>, last: bool, out: &mut Findings) -> Option<(Step, At<'n>)> {
    if !at.is_map() && at.is_scalar() {
        let help = "write `{weight: 10%}`";
        at.error(out, "a step is a mapping with a weight", Some(help));
        return None;
    }
    let fields = at.fields("a step", &["weight", "hold", "approval"], &[], out)?;
    let weight_at = fields.require("weight", "10%", out);
    let weight = weight_at.and_then(|at| weight(at, "`weight`", out));
    let mut step = Step::new(weight.unwrap_or(Weight::FULL));
    if let Some(at) = fields.get("approval") {
        let words = [("required", true), ("none", false)];
        step.approval = at.word("`approval`", &words, out).unwrap_or_default();
        if last && step.approval {
            let help = "ask at the step before: approval is asked before a step is left";
            at.error(out, "nobody is asked for approval at the last step", Some(help));
        }
    }
    match fields.get("hold") {
        Some(at) if last => {
            let help = "remove it: `bake` says how long green is watched at the end";
            at.error(out, "the last step has no hold", Some(help));
        }
        Some(at) => hold(at, &mut step, out),
        None => {}
    }
    let _weight: Weight = weight?;
    Some((step, weight_at?.clone()))
}

/// A hold is its minimum, or `{min, max}`.
fn hold(at: &At<'_>, step: &mut Step, out: &mut Findings) {
    let (mut max_at, mut min_at) = (None, Some(at.clone()));
    if at.is_map() {
        let Some(fields) = at.fields("a hold", &["min", "max"], &[], out) else { return };
        if fields.is_bare() {
            at.error(out, "the hold is empty", Some("write `hold: 10m` or `hold: {min: 10m, max: 4h}`"));
        }
        (min_at, max_at) = (fields.get("min").cloned(), fields.get("max").cloned());
    }
    let min = min_at.as_ref().map(|at| span(at, "the shortest hold", Span::ZERO, LONGEST, out));
    let max = max_at.as_ref().map(|at| span(at, "the longest hold", Span::from_secs(1), LONGEST, out));
    if matches!(min, Some(None)) || matches!(max, Some(None)) {
        return;
    }
    step.hold_min = min.flatten().unwrap_or(step.hold_min);
    step.hold_max = max.flatten().unwrap_or(step.hold_max);
    if step.hold_min > step.hold_max {
        let (at, shown) = match &max_at {
            Some(at) => (at, ""),
            None => (at, " (the default)"),
        };
        let what =
            format!("the shortest hold, {}, is longer than the longest, {}{shown}", step.hold_min, step.hold_max);
        let help = format!("write `hold: {{min: {}, max: {}}}`", step.hold_min, step.hold_min.times(2));
        at.error(out, what, Some(help));
    }
}
