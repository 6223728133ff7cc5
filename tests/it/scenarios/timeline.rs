//! A journal as an operator reads it.

use greenshift::domain::event::{Event, Recorded};
use greenshift::domain::hold::Hold;
use greenshift::domain::time::since;
use jiff::Timestamp;

/// `hh:mm:ss` since the beginning.
pub(super) fn clock(start: Timestamp, at: Timestamp) -> String {
    let seconds = since(at, start).as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// One line of the time line; `None` for what only machines read.
pub(super) fn line(start: Timestamp, recorded: &Recorded) -> Option<String> {
    let said = words(&recorded.event)?;
    Some(format!("{}  {said}\n", clock(start, recorded.at)))
}

fn words(event: &Event) -> Option<String> {
    match event {
        Event::Created(spec) => Some(format!("created `{}`", spec.name)),
        Event::Requested { ask, reason } => Some(format!("asked    {}: {reason}", ask.verb())),
        Event::PlanChanged(_) => Some("plan     changed".to_owned()),
        Event::AttemptStarted { attempt, phase } => Some(format!("attempt  {attempt} begins in {phase}")),
        Event::PhaseChanged { from, to, cause } => Some(format!("phase    {from} -> {to}: {}", cause.detail)),
        Event::Inspected(found) if found.findings.is_empty() => Some("inspect  nothing found".to_owned()),
        Event::Inspected(found) => {
            let found: Vec<&str> = found.findings.iter().map(|finding| finding.code.as_str()).collect();
            Some(format!("inspect  {}", found.join(", ")))
        }
        Event::BaselineTaken { .. } | Event::MetricsRead { .. } => None,
        Event::FindingWaived { code } => Some(format!("waived   {code}")),
        Event::WeightIntended { weight, cause, .. } => Some(format!("weight   {weight} intended: {}", cause.detail)),
        Event::WeightConfirmed { weight } => Some(format!("weight   {weight} confirmed")),
        Event::StepPassed { step, .. } => Some(format!("passed   step {}", step + 1)),
        Event::VerdictChanged { check, verdict, reason, .. } => {
            Some(format!("verdict  {check} {} ({reason})", verdict.as_str()))
        }
        Event::HealthChanged(health) => {
            Some(format!("health   blue {} green {}", health.blue.healthy, health.green.healthy))
        }
        Event::AlarmsChanged(alarms) => {
            let states: Vec<String> = alarms.iter().map(|alarm| format!("{} {:?}", alarm.name, alarm.state)).collect();
            Some(format!("alarms   {}", states.join(", ")))
        }
        Event::DriftFound { detail, .. } => Some(format!("drift    {}", short(detail))),
        Event::DriftCleared => Some("drift    cleared".to_owned()),
        Event::Reasserted { weight } => Some(format!("weight   {weight} written again")),
        Event::StickinessIntended { off: true, .. } => Some("sticky   off".to_owned()),
        Event::StickinessIntended { off: false, rules } if rules.is_empty() => Some("sticky   stands again".to_owned()),
        Event::StickinessIntended { off: false, .. } => Some("sticky   to be put back".to_owned()),
        Event::HoldChanged(None) => Some("hold     none".to_owned()),
        Event::HoldChanged(Some(Hold { reason, .. })) => Some(format!("hold     {reason}")),
        Event::NoticeRaised { level, text } => Some(format!("notice   {level:?}: {}", short(text))),
    }
}

/// Names of rules are long: their number says it.
fn short(text: &str) -> String {
    text.replace("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/", "rule ")
}
