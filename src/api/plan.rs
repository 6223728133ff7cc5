//! `POST /rollouts:plan`: what a document would do, without doing any of it.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;

use super::ApiState;
use super::dry_run::inspect;
use super::error::{ApiError, detail_of};
use super::model::{PlanView, PlannedChange, PlannedCheck, PlannedProof, PlannedStep};
use super::requests::document;
use super::view::kind;
use crate::config::rollout::{Parsed, render};
use crate::domain::analysis::terms;
use crate::domain::check::CheckJudge;
use crate::domain::observation::{MetricsSeen, Period, Trouble};
use crate::domain::plan::{Plan, Question, Spec, Tolerance};
use crate::domain::time::{Span, before};
use crate::domain::weight::Weight;
use crate::judge::{Outlook, Traffic, Undecidable, forecast};
use crate::metric_provider::Query;
use crate::traffic_router::PlannedWrite;

/// How much of the past tells the present traffic.
const PAST: Span = Span::from_hours(1);

/// The dry run.
pub(super) async fn plan(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PlanView>, ApiError> {
    let Parsed { spec, warnings } = document(&headers, body)?;
    let weights: Vec<Weight> = spec.plan.steps.iter().map(|step| step.weight).collect();
    let none_waived = BTreeSet::new();
    let (preflight, writes, metrics) = tokio::join!(
        inspect(&state, &spec, &none_waived),
        state.handle.planned_writes(&spec.route, &weights),
        past(&state, &spec),
    );
    let mut troubles: Vec<Trouble> = Vec::new();
    let preflight = match preflight {
        Ok(found) => Some(found),
        Err(ApiError::Route(trouble)) => {
            troubles.push(trouble);
            None
        }
        Err(other) => return Err(other),
    };
    let writes = writes.unwrap_or_else(|trouble| {
        troubles.push(trouble);
        Vec::new()
    });
    let metrics = metrics.unwrap_or_else(|trouble| {
        troubles.push(trouble);
        None
    });
    troubles.dedup();
    let periods = metrics.map(|seen| seen.periods).unwrap_or_default();
    Ok(Json(PlanView {
        name: spec.name.to_string(),
        document: render(&spec),
        warnings: warnings.iter().map(detail_of).collect(),
        steps: steps(&spec.plan, &writes, &periods),
        shortest: shortest(&spec.plan),
        requests_per_second: requests_per_second(&spec.plan, &periods),
        checks: spec.plan.analysis.checks.iter().map(planned_check).collect(),
        iam: state.iam.to_vec(),
        preflight,
        troubles,
    }))
}

async fn past(state: &ApiState, spec: &Spec) -> Result<Option<MetricsSeen>, Trouble> {
    let interval = spec.plan.analysis.interval;
    let length = interval.as_secs().max(1);
    let boundary = |moment: jiff::Timestamp| {
        let second = moment.as_second();
        jiff::Timestamp::from_second(second.saturating_sub(second.rem_euclid(length))).unwrap_or(moment)
    };
    let until = boundary(before(state.handle.now(), spec.plan.analysis.settle));
    let from = boundary(before(until, PAST.max(interval.times(10))));
    let latency = spec.plan.analysis.checks.iter().any(|check| matches!(check.question, Question::Latency(_)));
    let seen = state.handle.metrics(Query { route: spec.route.clone(), from, until, interval, latency }).await;
    match seen.trouble() {
        Some(trouble) => Err(trouble.clone()),
        None => Ok(seen.read().cloned()),
    }
}

fn steps(plan: &Plan, writes: &[PlannedWrite], periods: &[Period]) -> Vec<PlannedStep> {
    let mut earliest = Span::ZERO;
    let mut steps = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let next = plan.weight(index.saturating_add(1));
        let change = |write: &PlannedWrite| PlannedChange {
            rule: write.rule.clone(),
            operation: write.operation.to_owned(),
            command: write.command.clone(),
        };
        steps.push(PlannedStep {
            step: u32::try_from(index.saturating_add(1)).unwrap_or(u32::MAX),
            weight: step.weight,
            earliest,
            hold_min: step.hold_min,
            hold_max: step.hold_max,
            approval: step.approval,
            writes: writes.iter().filter(|write| write.weight == step.weight).map(change).collect(),
            proofs: next.map_or_else(Vec::new, |next| proofs(plan, periods, step.weight, next, step.hold_max)),
        });
        earliest = earliest.plus(step.hold_min);
    }
    steps
}

/// From the first shift to completion: every shortest hold but the last step's, which is the bake.
fn shortest(plan: &Plan) -> Span {
    let holds = plan.steps.iter().take(plan.last()).map(|step| step.hold_min);
    holds.fold(plan.bake, Span::plus)
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
fn requests_per_second(plan: &Plan, periods: &[Period]) -> Option<f64> {
    let all: u64 = periods.iter().map(|period| period.blue.requests.saturating_add(period.green.requests)).sum();
    let seconds = plan.analysis.interval.as_secs_f64() * periods.len() as f64;
    (seconds > 0.0).then(|| all as f64 / seconds)
}

/// How long each check's proof will take at one weight, from what the past teaches of blue.
fn proofs(plan: &Plan, periods: &[Period], weight: Weight, next: Weight, horizon: Span) -> Vec<PlannedProof> {
    let Some(per_second) = requests_per_second(plan, periods) else { return Vec::new() };
    let per_period = per_second * plan.analysis.interval.as_secs_f64();
    let terms = terms(plan, false);
    let mut proofs = Vec::new();
    for check in &plan.analysis.checks {
        let (Some(mut judge), Some(terms)) = (CheckJudge::new(&check.question), terms.get(check.name.as_str())) else {
            continue;
        };
        for period in periods {
            judge.history(terms, period);
        }
        judge.step(terms, weight.ratio(), Some(next.ratio()));
        let (Some(evidence), Some(usual_ratio)) = (judge.evidence(), usual(&check.question, periods)) else { continue };
        let traffic = Traffic {
            blue_requests: per_period * (1.0 - weight.ratio()),
            green_requests: per_period * weight.ratio(),
            period_s: terms.period_s,
            usual_ratio,
        };
        let outlook = forecast(&terms.settings, evidence, &traffic, horizon.as_secs_f64()).proof;
        proofs.push(PlannedProof { check: check.name.clone(), outlook, text: in_words(&outlook) });
    }
    proofs
}

/// Share of bad requests in the past; `None` where the metrics do not tell it directly.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
fn usual(question: &Question, periods: &[Period]) -> Option<f64> {
    let bad: fn(&Period) -> u64 = match question {
        Question::Errors(_) => |period| period.blue.errors.saturating_add(period.green.errors),
        Question::ClientErrors(_) => |period| period.blue.client_errors.saturating_add(period.green.client_errors),
        Question::Latency(_) | Question::Alarms { .. } => return None,
    };
    let requests: u64 = periods.iter().map(|period| period.blue.requests.saturating_add(period.green.requests)).sum();
    let bad: u64 = periods.iter().map(bad).sum();
    (requests > 0).then(|| (bad as f64 + 0.5) / (requests as f64 + 1.0))
}

fn in_words(outlook: &Outlook) -> String {
    match *outlook {
        Outlook::Decided => "there already".to_owned(),
        Outlook::NothingToProve => "nothing to prove".to_owned(),
        Outlook::Expected { seconds, cautious_seconds, green_requests } => format!(
            "about {} ({green_requests:.0} requests to green), in nine cases of ten under {}",
            span(seconds),
            span(cautious_seconds)
        ),
        Outlook::Undecidable { why, after_s } => {
            let time = after_s.map_or_else(String::new, |seconds| format!("; it would take about {}", span(seconds)));
            let why = match why {
                Undecidable::NoBlueTraffic => "blue would have no traffic to compare with",
                Undecidable::NoGreenTraffic => "green would have no traffic",
                Undecidable::NoGrowth => "the noise outweighs the margin",
                Undecidable::TooLong => "too few requests or errors within the longest hold",
            };
            format!("not decidable at this traffic: {why}{time}")
        }
    }
}

/// Whole minutes, or seconds where that would be none.
fn span(seconds: f64) -> Span {
    let seconds = if seconds >= 120.0 { (seconds / 60.0).ceil() * 60.0 } else { seconds.ceil() };
    Span::from(std::time::Duration::try_from_secs_f64(seconds).unwrap_or(std::time::Duration::MAX))
}

fn planned_check(check: &crate::domain::plan::Check) -> PlannedCheck {
    let text = match &check.question {
        Question::Errors(tolerance) => tolerated("green may fail", tolerance),
        Question::ClientErrors(tolerance) => tolerated("green may refuse (4xx)", tolerance),
        Question::Latency(tolerance) => tolerated("green may be slow for", tolerance),
        Question::Alarms { names } => format!("none of these alarms may fire: {}", names.join(", ")),
    };
    PlannedCheck { name: check.name.clone(), kind: kind(&check.question).to_owned(), text }
}

fn tolerated(what: &str, tolerance: &Tolerance) -> String {
    let percent = |ratio: f64| format!("{}%", (ratio * 1e6).round() / 1e4);
    let extra = if tolerance.extra > 0.0 { format!(" plus {}", percent(tolerance.extra)) } else { String::new() };
    let ceiling = tolerance.ceiling.map_or_else(String::new, |most| format!(", never more than {}", percent(most)));
    format!(
        "{what} up to {} times as many requests as blue{extra}{ceiling}; a good green is rolled back with a risk of {} at most",
        tolerance.ratio,
        percent(tolerance.risk)
    )
}
