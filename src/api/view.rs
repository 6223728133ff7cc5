//! From what the controller knows of a rollout to what the API shows.

use serde_json::{Map, Value};

use super::model::{CheckView, DriftView, EvidenceView, FindingView, RolloutView, SideView, ThresholdView, WeightView};
use crate::config::rollout::render;
use crate::controller::Snapshot;
use crate::domain::analysis::CheckAssessment;
use crate::domain::check::{CheckJudge, Finding, Terms};
use crate::domain::event::Verdict;
use crate::domain::observation::AlarmState;
use crate::domain::plan::{Check, Question, Spec};
use crate::domain::rollout::Rollout;
use crate::domain::weight::Weight;
use crate::judge::{Conclusion, Counts, Reading, Traffic, explain, forecast};

/// The whole of a rollout.
pub(super) fn rollout(snapshot: &Snapshot) -> RolloutView {
    let Snapshot { rollout, hold, route, health, troubles, ticked_at, .. } = snapshot;
    let (route_document, plan_document) = documents(&rollout.spec);
    RolloutView {
        name: rollout.spec.name.to_string(),
        labels: rollout.spec.labels.clone(),
        phase: rollout.phase,
        phase_since: rollout.phase_since,
        cause: rollout.cause.clone(),
        step: shown_step(rollout),
        steps: u32::try_from(rollout.plan().steps.len()).unwrap_or(u32::MAX),
        weight: weight(snapshot),
        hold: hold.clone(),
        checks: rollout.plan().analysis.checks.iter().map(|each| check(snapshot, each)).collect(),
        rules: route.clone().unwrap_or_default(),
        health: *health,
        findings: findings(rollout),
        drift: rollout.drift.as_ref().map(|drift| DriftView {
            detail: drift.detail.clone(),
            found: drift.found.clone(),
            since: drift.since,
        }),
        troubles: troubles.clone(),
        route: route_document,
        plan: plan_document,
        attempt: rollout.attempt,
        created_at: rollout.created_at,
        updated_at: rollout.updated_at,
        looked_at: *ticked_at,
        revision: rollout.seq,
    }
}

/// The step as people count it: 1 for the first, 0 before it.
pub(super) fn shown_step(rollout: &Rollout) -> u32 {
    rollout.step.map_or(0, |step| u32::try_from(step.saturating_add(1)).unwrap_or(u32::MAX))
}

/// The document's route, and all of it that is neither name, labels nor route.
fn documents(spec: &Spec) -> (Value, Value) {
    let Value::Object(mut document) = render(spec) else { return (Value::Null, Value::Null) };
    let route = document.shift_remove("route").unwrap_or(Value::Null);
    let plan: Map<String, Value> = document.into_iter().filter(|(key, _)| key != "name" && key != "labels").collect();
    (route, Value::Object(plan))
}

fn weight(snapshot: &Snapshot) -> WeightView {
    let rollout = &snapshot.rollout;
    let share = rollout.confirmed_at.and_then(|at| rollout.analysis.share_seen(at));
    let now = snapshot.ticked_at.unwrap_or(rollout.updated_at);
    WeightView {
        desired: rollout.intended,
        observed: snapshot.observed(),
        traffic_share: share.and_then(of_ratio),
        remark: crate::domain::share::remark(rollout, now),
    }
}

/// A share from 0 to 1 to the nearest tenth of a percent.
fn of_ratio(ratio: f64) -> Option<Weight> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=1000, and `as` saturates"
    )]
    let tenths = (ratio * 1000.0).round().clamp(0.0, 1000.0) as u16;
    Weight::from_tenths(tenths)
}

fn findings(rollout: &Rollout) -> Vec<FindingView> {
    let found = rollout.inspection.iter().flat_map(|inspection| &inspection.findings);
    found
        .map(|finding| FindingView { finding: finding.clone(), waived: rollout.waived.contains(&finding.code) })
        .collect()
}

/// What a question is called.
pub(super) const fn kind(question: &Question) -> &'static str {
    match question {
        Question::Errors(_) => "errors",
        Question::ClientErrors(_) => "client_errors",
        Question::Latency(_) => "latency",
        Question::Alarms { .. } => "alarms",
    }
}

fn check(snapshot: &Snapshot, check: &Check) -> CheckView {
    let rollout = &snapshot.rollout;
    let seen = rollout.verdicts.get(&check.name);
    let mut view = CheckView {
        name: check.name.clone(),
        kind: kind(&check.question).to_owned(),
        verdict: seen.map_or(Verdict::Inconclusive, |seen| seen.verdict),
        reason: seen.map_or_else(|| "no_period_yet".to_owned(), |seen| seen.reason.clone()),
        detail: seen.map_or_else(|| nothing_yet(rollout), |seen| seen.detail.clone()),
        since: seen.map(|seen| seen.since),
        blue: None,
        green: None,
        margin: None,
        evidence: None,
        threshold: None,
        alarms: Vec::new(),
    };
    if let Question::Alarms { names } = &check.question {
        view.alarms = rollout.alarms.iter().filter(|alarm| names.contains(&alarm.name)).cloned().collect();
        if seen.is_none() {
            (view.verdict, view.reason, view.detail) = alarms_in_words(names, &view.alarms);
        }
    }
    if let Some(assessment) = snapshot.assessment.get(&check.name) {
        take_assessment(&mut view, rollout, assessment);
    }
    view
}

fn nothing_yet(rollout: &Rollout) -> String {
    if rollout.green_has_traffic() {
        "No metric period with this weight has been read yet.".to_owned()
    } else {
        "Green has had no traffic to judge.".to_owned()
    }
}

fn alarms_in_words(names: &[String], seen: &[crate::domain::observation::AlarmSeen]) -> (Verdict, String, String) {
    let firing: Vec<&str> =
        seen.iter().filter(|alarm| alarm.state == AlarmState::Alarm).map(|alarm| alarm.name.as_str()).collect();
    if !firing.is_empty() {
        return (Verdict::Failing, "alarm".to_owned(), format!("In ALARM: {}.", firing.join(", ")));
    }
    let quiet = seen.len() == names.len() && seen.iter().all(|alarm| alarm.state == AlarmState::Ok);
    if quiet {
        (Verdict::Passing, "quiet".to_owned(), "No alarm is firing.".to_owned())
    } else {
        (Verdict::Inconclusive, "unreadable".to_owned(), "Not every alarm has been read with enough data.".to_owned())
    }
}

fn take_assessment(view: &mut CheckView, rollout: &Rollout, assessment: &CheckAssessment) {
    view.verdict = assessment.verdict;
    assessment.reason.clone_into(&mut view.reason);
    let (Some(finding), Some(terms)) = (&assessment.finding, &assessment.terms) else {
        view.detail = nothing_yet(rollout);
        return;
    };
    view.detail = in_words(&assessment.judge, finding, terms);
    let reading = &finding.reading;
    let window = reading.spoken_of();
    (view.blue, view.green) = (Some(side(window.blue)), Some(side(window.green)));
    view.margin = Some(reading.margin);
    view.evidence = Some(evidence(reading));
    view.threshold = Some(threshold(reading));
}

/// How far ahead a forecast looks before it says "not decidable".
const HORIZON_S: f64 = 3.0 * 86_400.0;

fn in_words(judge: &CheckJudge, finding: &Finding, terms: &Terms) -> String {
    let reading = &finding.reading;
    let outlook = match reading.conclusion {
        Conclusion::Continue => judge.evidence().zip(Traffic::seen(reading, terms.period_s)),
        Conclusion::Rollback | Conclusion::Hold | Conclusion::Advance => None,
    };
    let outlook = outlook.map(|(evidence, traffic)| forecast(&terms.settings, evidence, &traffic, HORIZON_S));
    explain(&terms.settings, reading, &finding.wording, outlook.as_ref()).to_string()
}

/// Requests of one side.
pub(super) fn side(counts: Counts) -> SideView {
    SideView { requests: counts.requests, bad: counts.bad, rate: counts.ratio() }
}

/// The evidence of a reading; what JSON cannot say (no evidence at all is minus infinity) is `null`.
pub(super) fn evidence(reading: &Reading) -> EvidenceView {
    let finite = |log: f64| log.is_finite().then_some(log);
    EvidenceView {
        against: finite(reading.log_e_concurrent.max(reading.log_e_ceiling)),
        history: finite(reading.log_e_history),
        proof: finite(reading.log_e_proof),
    }
}

/// What the evidence of a reading was compared with.
pub(super) const fn threshold(reading: &Reading) -> ThresholdView {
    ThresholdView { against: reading.thresholds.rollback, proof: reading.thresholds.proof }
}
