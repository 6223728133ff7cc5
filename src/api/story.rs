//! Events in sentences: what the history and the page tell.

use crate::domain::event::{Event, NoticeLevel};
use crate::domain::observation::{AlarmState, FleetHealth};
use crate::domain::preflight::{Inspection, Severity};
use crate::domain::request::Ask;

/// What happened, in one sentence without a full stop.
pub(super) fn sentence(event: &Event) -> String {
    match event {
        Event::Created(spec) => format!("created with {}", counted(spec.plan.steps.len(), "step")),
        Event::Requested { ask, reason } if reason.is_empty() => asked(ask),
        Event::Requested { ask, reason } => format!("{}: {reason}", asked(ask)),
        Event::PlanChanged(plan) => format!("the plan was changed; it has {} now", counted(plan.steps.len(), "step")),
        Event::AttemptStarted { attempt, phase } => format!("attempt {attempt} began, {phase}"),
        Event::PhaseChanged { from, to, cause } => format!("{from} → {to}: {}", cause.detail),
        Event::Inspected(inspection) => inspected(inspection),
        Event::BaselineTaken { rules, health } => format!(
            "preflight passed: {}, {} healthy on blue, {} on green",
            counted(rules.len(), "rule"),
            health.blue.healthy,
            health.green.healthy
        ),
        Event::FindingWaived { code } => format!("finding {code} was waived"),
        Event::WeightIntended { weight, cause, .. } => format!("green is to get {weight}: {}", cause.detail),
        Event::WeightConfirmed { weight } => format!("every rule gives green {weight}"),
        Event::StepPassed { step, cause } => format!("step {} passed: {}", step.saturating_add(1), cause.detail),
        Event::MetricsRead { periods, unchanged } => metrics(periods, unchanged.len()),
        Event::VerdictChanged { check, verdict, detail, .. } => {
            format!("check {check} is {}: {detail}", verdict.as_str())
        }
        Event::HealthChanged(health) => {
            format!("healthy targets: blue {}, green {}", fleet(&health.blue), fleet(&health.green))
        }
        Event::AlarmsChanged(alarms) => {
            let each = alarms.iter().map(|alarm| format!("{} {}", alarm.name, alarm_state(alarm.state)));
            format!("alarms: {}", each.collect::<Vec<_>>().join(", "))
        }
        Event::DriftFound { detail, .. } => format!("somebody else changed the route: {detail}"),
        Event::DriftCleared => "the route is as this controller left it".to_owned(),
        Event::Reasserted { weight } => format!("a rule showed an older weight of ours; {weight} was written again"),
        Event::StickinessIntended { off: true, rules } => {
            format!("stickiness of {} is switched off", counted(rules.len(), "rule"))
        }
        Event::StickinessIntended { off: false, rules } => {
            format!("stickiness of {} is put back", counted(rules.len(), "rule"))
        }
        Event::HoldChanged(Some(hold)) => format!("holding ({}): {}", hold.reason, hold.detail),
        Event::HoldChanged(None) => "nothing holds".to_owned(),
        Event::NoticeRaised { level, text } => match level {
            NoticeLevel::Info => format!("notice: {text}"),
            NoticeLevel::Warning => format!("warning: {text}"),
            NoticeLevel::Page => format!("page: {text}"),
        },
    }
}

fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Promote { full: true, .. } => "asked to promote all steps".to_owned(),
        Ask::Promote { expected_step: Some(step), .. } => format!("asked to promote step {step}"),
        Ask::Approve { expected_step: Some(step) } => format!("approved step {step}"),
        Ask::Rollback { force: true } => "asked to roll back by force".to_owned(),
        Ask::Waive { code } => format!("asked to waive {code}"),
        Ask::StepBack => "asked to step back".to_owned(),
        Ask::Rollback { .. } => "asked to roll back".to_owned(),
        Ask::Change { .. } => "asked to change the plan".to_owned(),
        Ask::Pause | Ask::Resume | Ask::Promote { .. } | Ask::Approve { .. } | Ask::Abort | Ask::Retry => {
            format!("asked to {}", ask.verb())
        }
    }
}

fn inspected(inspection: &Inspection) -> String {
    let blocking: Vec<&str> = inspection
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Blocking)
        .map(|finding| finding.code.as_str())
        .collect();
    if blocking.is_empty() {
        format!("inspected: nothing stands in the way ({})", counted(inspection.findings.len(), "remark"))
    } else {
        format!("inspected: {} in the way: {}", counted(blocking.len(), "finding"), blocking.join(", "))
    }
}

fn metrics(periods: &[crate::domain::observation::Period], unchanged: usize) -> String {
    let (mut blue, mut green) = ((0_u64, 0_u64), (0_u64, 0_u64));
    for period in periods {
        blue = (blue.0.saturating_add(period.blue.requests), blue.1.saturating_add(period.blue.errors));
        green = (green.0.saturating_add(period.green.requests), green.1.saturating_add(period.green.errors));
    }
    if periods.is_empty() {
        return format!("{} read again, unchanged", counted(unchanged, "metric period"));
    }
    format!(
        "{} read: blue {} of {} failed, green {} of {}",
        counted(periods.len(), "metric period"),
        blue.1,
        blue.0,
        green.1,
        green.0
    )
}

fn fleet(health: &FleetHealth) -> String {
    format!("{} of {}", health.healthy, health.registered())
}

const fn alarm_state(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Ok => "in order",
        AlarmState::Alarm => "in ALARM",
        AlarmState::InsufficientData => "without data",
        AlarmState::Missing => "missing",
    }
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
