//! New metric periods, targets and alarms, and what the checks say of them (rules 4, 5 and 7).

use super::Draft;
use crate::domain::check::Finding;
use crate::domain::event::{Event, Verdict};
use crate::domain::observation::{AlarmSeen, AlarmState};
use crate::domain::plan::Question;
use crate::judge::{Traffic, explain, forecast};

/// Takes in what was measured, and asks every check.
pub(super) fn take(draft: &mut Draft<'_>) {
    take_periods(draft);
    take_health(draft);
    take_alarms(draft);
    draft.assessment = draft.rollout.analysis.assess(draft.rollout.plan(), draft.now);
    if draft.rollout.phase.is_terminal() {
        return;
    }
    record_verdicts(draft);
    record_alarm_verdicts(draft);
}

fn take_periods(draft: &mut Draft<'_>) {
    let Some(seen) = draft.seen.metrics.read() else { return };
    let interval = draft.rollout.plan().analysis.interval;
    let (periods, unchanged) = draft.rollout.analysis.news(seen, interval, draft.now);
    if !periods.is_empty() || !unchanged.is_empty() {
        draft.record(Event::MetricsRead { periods, unchanged });
    }
}

fn take_health(draft: &mut Draft<'_>) {
    let Some(health) = draft.seen.health.read() else { return };
    if draft.rollout.health != Some(*health) {
        draft.record(Event::HealthChanged(*health));
    }
}

fn take_alarms(draft: &mut Draft<'_>) {
    let Some(alarms) = draft.seen.alarms.read() else { return };
    if draft.rollout.alarms != *alarms {
        draft.record(Event::AlarmsChanged(alarms.clone()));
    }
}

fn record_verdicts(draft: &mut Draft<'_>) {
    let said: Vec<_> = draft
        .assessment
        .iter()
        .filter(|(name, now)| {
            let known = draft.rollout.verdicts.get(*name);
            known.is_none_or(|known| known.verdict != now.verdict || known.reason != now.reason)
        })
        .map(|(name, now)| (name.clone(), now.verdict, now.reason, describe(draft, name)))
        .collect();
    for (check, verdict, reason, detail) in said {
        draft.record(Event::VerdictChanged { check, verdict, reason: reason.to_owned(), detail });
    }
}

/// What a check says, with its numbers and what is still needed.
pub(super) fn describe(draft: &Draft<'_>, check: &str) -> String {
    let Some(now) = draft.assessment.get(check) else { return String::new() };
    let (Some(Finding { reading, wording }), Some(terms)) = (&now.finding, &now.terms) else {
        return "No period with green's traffic has been read yet.".to_owned();
    };
    let rollout = &draft.rollout;
    let horizon_s = rollout
        .step
        .and_then(|step| rollout.plan().steps.get(step))
        .map_or(86_400.0, |step| step.hold_max.as_secs_f64());
    let outlook = now.judge.evidence().and_then(|evidence| {
        let traffic = Traffic::seen(reading, terms.period_s)?;
        Some(forecast(&terms.settings, evidence, &traffic, horizon_s))
    });
    explain(&terms.settings, reading, wording, outlook.as_ref()).to_string()
}

/// An alarm in ALARM is Failing; one that cannot be read or has no data proves nothing.
fn record_alarm_verdicts(draft: &mut Draft<'_>) {
    let checks: Vec<(String, Vec<String>)> = draft
        .rollout
        .plan()
        .analysis
        .checks
        .iter()
        .filter_map(|check| match &check.question {
            Question::Alarms { names } => Some((check.name.clone(), names.clone())),
            Question::Errors(_) | Question::ClientErrors(_) | Question::Latency(_) => None,
        })
        .collect();
    for (check, names) in checks {
        let (verdict, reason, detail) =
            alarm_verdict(&names, &draft.rollout.alarms, draft.seen.alarms.trouble().is_some());
        let known = draft.rollout.verdicts.get(&check);
        if known.is_none_or(|known| known.verdict != verdict || known.reason != reason || known.detail != detail) {
            draft.record(Event::VerdictChanged { check, verdict, reason: reason.to_owned(), detail });
        }
    }
}

fn alarm_verdict(names: &[String], alarms: &[AlarmSeen], unreadable: bool) -> (Verdict, &'static str, String) {
    let in_state = |state: AlarmState| -> Vec<&str> {
        let wanted = alarms.iter().filter(|alarm| names.contains(&alarm.name) && alarm.state == state);
        wanted.map(|alarm| alarm.name.as_str()).collect()
    };
    let firing = in_state(AlarmState::Alarm);
    if !firing.is_empty() {
        return (Verdict::Failing, "alarm", format!("In ALARM: {}.", firing.join(", ")));
    }
    if unreadable {
        return (Verdict::Inconclusive, "alarms_unreadable", "The alarms could not be read.".to_owned());
    }
    let ok = in_state(AlarmState::Ok);
    if ok.len() == names.len() {
        return (Verdict::Passing, "alarms_ok", format!("OK: {}.", ok.join(", ")));
    }
    let rest: Vec<&str> = names.iter().map(String::as_str).filter(|name| !ok.contains(name)).collect();
    (Verdict::Inconclusive, "alarms_without_answer", format!("Missing, or without enough data: {}.", rest.join(", ")))
}
