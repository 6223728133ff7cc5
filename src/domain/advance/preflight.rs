//! Before the first shift: what an inspection found, and what the domain itself adds to it.

use super::Draft;
use crate::domain::event::Event;
use crate::domain::forecast::{self, StepForecast};
use crate::domain::observation::{AlarmSeen, AlarmState, RuleSeen, Seen};
use crate::domain::phase::Phase;
use crate::domain::preflight::{Finding, Inspection};
use crate::domain::rollout::Rollout;
use crate::domain::weight::Weight;

/// Takes in what an inspection found, with the findings that only the state can give.
pub(super) fn take(draft: &mut Draft<'_>) {
    if draft.rollout.phase != Phase::Preflight {
        return;
    }
    let Seen::Read(inspection) = &draft.seen.inspection else { return };
    let mut inspection = inspection.clone();
    let rules = draft.seen.route.read().map_or(&[][..], Vec::as_slice);
    let alarms = draft.seen.alarms.read().unwrap_or(&draft.rollout.alarms);
    inspection = with_findings(inspection, &draft.rollout, rules, alarms);
    if draft.rollout.inspection.as_ref() != Some(&inspection) {
        draft.record(Event::Inspected(inspection));
    }
}

/// An inspection with the findings that only the state can give: dry runs show the same as preflight does.
pub fn with_findings(
    mut inspection: Inspection,
    rollout: &Rollout,
    rules: &[RuleSeen],
    alarms: &[AlarmSeen],
) -> Inspection {
    inspection.findings.extend(weight_findings(rollout, rules));
    inspection.findings.extend(alarm_findings(alarms));
    inspection.findings.extend(forecast_finding(rollout));
    inspection.findings.sort_by_key(|finding| finding.severity);
    inspection
}

/// Code of the finding that green has traffic already; waived, the rollout begins at the step below.
pub(super) const GREEN_HAS_TRAFFIC: &str = "green_has_traffic_already";

fn weight_findings(rollout: &Rollout, rules: &[RuleSeen]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shares: Vec<Option<Weight>> = rules.iter().map(RuleSeen::share).collect();
    let differ = shares.windows(2).any(|pair| matches!(pair, [a, b] if a != b));
    if differ {
        let list: Vec<String> = rules.iter().map(|rule| format!("{} {}", rule.rule, describe_share(rule))).collect();
        findings.push(Finding::blocking(
            "rules_differ",
            format!("the rules of the route have different weights: {}", list.join(", ")),
            "bring them to the same weights, or move them by rollouts of their own",
        ));
    }
    let highest = shares.iter().flatten().max().copied().unwrap_or(Weight::ZERO);
    if highest > Weight::ZERO && highest != rollout.intended {
        findings.push(Finding::blocking(
            GREEN_HAS_TRAFFIC,
            format!("green has {highest} of the route already, and this controller did not give it"),
            "set green to 0, or waive this finding: the rollout then begins at the last step that is not above it",
        ));
    }
    findings
}

fn describe_share(rule: &RuleSeen) -> String {
    rule.share().map_or_else(|| "names neither group".to_owned(), |share| format!("gives green {share}"))
}

fn alarm_findings(alarms: &[AlarmSeen]) -> Vec<Finding> {
    let remedy =
        "mend what it reports, or take it out of the plan: a rollout that begins with a firing alarm would end at once";
    let finding = |name: &str, state: AlarmState| match state {
        AlarmState::Ok => None,
        AlarmState::Alarm => Some(Finding::blocking("alarm_firing", format!("alarm `{name}` is in ALARM"), remedy)),
        AlarmState::InsufficientData => Some(Finding::warning(
            "alarm_without_data",
            format!("alarm `{name}` has too little data to say anything"),
            "without data it proves nothing, and no weight rises; check its metric and period",
        )),
        AlarmState::Missing => Some(Finding::blocking(
            "alarm_missing",
            format!("no alarm is named `{name}`"),
            "create it, or correct the name in the plan (names are case-sensitive, per account and region)",
        )),
    };
    alarms.iter().filter_map(|alarm| finding(&alarm.name, alarm.state)).collect()
}

const FORECAST: &str = "proof_forecast";
const FORECAST_TOO_LONG: &str = "proof_takes_too_long";

/// How long the proof will take, said before anybody waits for it. Said once: traffic changes from minute to minute, and
/// a new number at every look would fill the journal.
fn forecast_finding(rollout: &Rollout) -> Option<Finding> {
    let mut said = rollout.inspection.iter().flat_map(|inspection| &inspection.findings);
    let known = said.rfind(|finding| finding.code == FORECAST || finding.code == FORECAST_TOO_LONG);
    if known.is_some() {
        return known.cloned();
    }
    let steps = forecast::of_plan(rollout.plan(), &rollout.analysis);
    if steps.is_empty() {
        return None;
    }
    let words = |step: &StepForecast| {
        let StepForecast { step: number, weight, typical, cautious, check } = step;
        match (typical, cautious) {
            (Some(typical), Some(cautious)) => {
                format!("step {number} ({weight}) about {typical}, in nine of ten cases within {cautious}")
            }
            _ => format!("step {number} ({weight}) cannot be proven within its longest hold (check `{check}`)"),
        }
    };
    let what = format!("proof at the present traffic: {}", steps.iter().map(words).collect::<Vec<_>>().join("; "));
    Some(if steps.iter().any(|step| step.typical.is_none()) {
        let remedy = "begin with a larger step, widen the margins of the check, lengthen the hold, or expect to `promote` by hand";
        Finding::warning(FORECAST_TOO_LONG, what, remedy)
    } else {
        Finding::info(FORECAST, what, "nothing to do: this is what to expect")
    })
}

/// Whether preflight is through, and if not, in what words.
pub(super) fn obstacle(draft: &Draft<'_>) -> Option<String> {
    let rollout = &draft.rollout;
    let Some(Inspection { .. }) = &rollout.inspection else {
        let trouble = draft.seen.inspection.trouble().or_else(|| draft.seen.route.trouble());
        return Some(trouble.map_or_else(|| "the route is being inspected".to_owned(), |t| t.message.clone()));
    };
    let blocking: Vec<String> =
        rollout.blocking_findings().map(|f| format!("{}: {} ({})", f.code, f.what, f.remedy)).collect();
    if !blocking.is_empty() {
        return Some(blocking.join("; "));
    }
    match (&draft.seen.route, &draft.seen.health) {
        (Seen::Unreadable(trouble), _) | (_, Seen::Unreadable(trouble)) => Some(trouble.message.clone()),
        (Seen::Read(rules), Seen::Read(health)) => {
            if rules.iter().any(|rule| !rule.green_attached) {
                Some("green is being added to the rules at weight 0, so that its health checks start".to_owned())
            } else if health.green.healthy == 0 {
                Some("no target of green is healthy yet".to_owned())
            } else if health.blue.healthy == 0 {
                Some("no target of blue is healthy: nothing could take the traffic back".to_owned())
            } else {
                None
            }
        }
        (Seen::NotAsked, _) | (_, Seen::NotAsked) => Some("the route is being read".to_owned()),
    }
}
