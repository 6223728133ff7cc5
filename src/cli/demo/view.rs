//! Where the rollout stands right now: a few lines that are drawn again and again in the same place.

use anstyle::AnsiColor;
use jiff::Timestamp;

use super::numbers;
use crate::api::model::{CheckView, RolloutView, SideView};
use crate::cli::{output, words};
use crate::domain::time::since;
use crate::simulation::Felt;

/// Columns of the bar that shows the weight.
const WEIGHT_BAR: u16 = 50;

/// Columns of a bar that shows evidence.
const EVIDENCE_BAR: u16 = 8;

/// What stays the same while a story is told.
pub(super) struct Frame {
    /// When it began.
    pub(super) start: Timestamp,
    /// Address of the API.
    pub(super) address: String,
    /// Simulated time over real time.
    pub(super) speed: u32,
}

/// The block.
pub(super) fn lines(frame: &Frame, rollout: &RolloutView, felt: &Felt, now: Timestamp) -> Vec<String> {
    let mut lines = vec![String::new(), head(frame, rollout, now)];
    let mut field = |name: &str, text: String| lines.push(format!("  {}  {text}", output::dim(format!("{name:<8}"))));
    field("traffic", traffic(rollout));
    let errors = rollout.checks.iter().find(|check| check.kind == "errors");
    field("blue", side(errors.and_then(|check| check.blue.as_ref())));
    field("green", side(errors.and_then(|check| check.green.as_ref())));
    field("checks", output::dim(format!("{:<29}{:<28}odds for green", "", "odds against green")));
    for check in &rollout.checks {
        field("", evidence(check));
    }
    field("holding", hold(rollout, now));
    field("users", users(felt));
    lines
}

fn head(frame: &Frame, rollout: &RolloutView, now: Timestamp) -> String {
    format!(
        "  {}  {}  {} {}  step {} of {}  {}",
        output::bold(&rollout.name),
        output::bold(numbers::elapsed(now, frame.start)),
        output::phase(rollout.phase),
        output::dim(format!("for {}", words::length(since(now, rollout.phase_since)))),
        rollout.step,
        rollout.steps,
        output::dim(format!("{}x  {}", frame.speed, frame.address)),
    )
}

/// Green's share as a bar: light is blue, solid is green, so that it can be read without colours.
fn traffic(rollout: &RolloutView) -> String {
    let shown = rollout.weight.observed.unwrap_or(rollout.weight.desired);
    let green = numbers::places(shown.ratio(), WEIGHT_BAR);
    let blue = usize::from(WEIGHT_BAR).saturating_sub(green);
    format!(
        "blue {}{} green {}",
        output::coloured(AnsiColor::Blue, "░".repeat(blue)),
        output::coloured(AnsiColor::Green, "█".repeat(green)),
        output::bold(words::weight(rollout)),
    )
}

fn side(side: Option<&SideView>) -> String {
    let Some(side) = side else { return output::dim("      - nothing to compare yet") };
    let Some(rate) = side.rate else { return output::dim("      - no requests") };
    format!(
        "{:>7} failed  {}",
        numbers::percent(rate),
        output::dim(format!("{} of {} requests", numbers::count(side.bad), numbers::count(side.requests)))
    )
}

/// What a check says, and how far the evidence is on its way to each threshold.
fn evidence(check: &CheckView) -> String {
    let verdict = output::coloured(output::verdict_colour(check.verdict), format!("{:<12}", check.verdict.as_str()));
    let name = format!("{:<14} {verdict}", check.name);
    let (Some(evidence), Some(threshold)) = (check.evidence, check.threshold) else {
        return format!("{name}  {}", output::dim("no evidence yet"));
    };
    format!(
        "{name}  {}  {}",
        meter(evidence.against, threshold.against, AnsiColor::Red),
        meter(evidence.proof, threshold.proof, AnsiColor::Green)
    )
}

/// Evidence (the logarithm of odds) on its way to a threshold.
fn meter(log: Option<f64>, threshold: f64, colour: AnsiColor) -> String {
    let part = log.map_or(0.0, |log| if threshold > 0.0 { log / threshold } else { 0.0 });
    let full = numbers::places(part, EVIDENCE_BAR);
    let empty = usize::from(EVIDENCE_BAR).saturating_sub(full);
    let bar = format!("{}{}", output::coloured(colour, "■".repeat(full)), output::dim("·".repeat(empty)));
    let odds = format!("{} of {}", numbers::odds(log), numbers::odds(Some(threshold)));
    format!("{bar} {odds:<17}")
}

fn hold(rollout: &RolloutView, now: Timestamp) -> String {
    match &rollout.hold {
        None => output::dim("nothing holds"),
        Some(hold) => match hold.until.filter(|until| *until > now) {
            Some(until) => {
                format!("{} {} {}", left(since(until, now)), hold.reason, output::dim(&hold.detail))
            }
            None => format!("{} {}", hold.reason, output::dim(&hold.detail)),
        },
    }
}

fn left(span: crate::domain::time::Span) -> String {
    output::bold(words::length(span))
}

#[expect(clippy::cast_precision_loss, reason = "a simulated world serves far fewer than 2^53 requests")]
fn users(felt: &Felt) -> String {
    let extra = if felt.is_chance() {
        output::dim("no more than on blue alone")
    } else {
        format!("about {} more than on blue alone", numbers::count(felt.hurt()))
    };
    format!("{} requests, {} failed: {extra}", numbers::count(felt.requests as f64), numbers::count(felt.failed as f64))
}
