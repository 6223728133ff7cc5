//! Metric period by metric period: what was counted, and what each check said after it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use jiff::Timestamp;

use super::ApiState;
use super::error::ApiError;
use super::model::{AnalysisPage, AnalysisPeriod, PeriodVerdict};
use super::rollouts::find;
use super::view;
use crate::domain::analysis::terms;
use crate::domain::check::{self, CheckJudge, Finding};
use crate::domain::event::{Event, Recorded};
use crate::domain::observation::Period;
use crate::domain::plan::Plan;
use crate::domain::rollout::Rollout;
use crate::domain::time::after;
use crate::domain::weight::Weight;

/// Periods on a page unless the caller says otherwise, and at most.
const PAGE: usize = 200;
const PAGE_MAX: usize = 2_000;

/// Events that are read at a time.
const EVENTS: u32 = 1_000;

/// `GET /rollouts/{name}/analysis?after=&limit=`: the present attempt, oldest first. `after` is the beginning of a
/// period.
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<AnalysisPage>, ApiError> {
    let snapshot = find(&state, &name)?;
    let (behind, limit) = page(query.as_deref().unwrap_or(""))?;
    let rollout = &snapshot.rollout;
    let mut record = Record::default();
    let mut last = 0;
    loop {
        let events = state.handle.events(&rollout.spec.name, last, EVENTS).await?;
        let Some(newest) = events.last() else { break };
        last = newest.seq;
        for event in &events {
            record.take(event);
        }
    }
    let judged = record.judged(rollout);
    let items: Vec<AnalysisPeriod> =
        judged.into_iter().filter(|period| behind.is_none_or(|behind| period.start > behind)).take(limit).collect();
    let next_after = items.last().map(|period| period.start);
    Ok(Json(AnalysisPage { attempt: rollout.attempt, items, next_after }))
}

fn page(query: &str) -> Result<(Option<Timestamp>, usize), ApiError> {
    let (mut behind, mut limit) = (None, PAGE);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let bad = |detail: String| ApiError::BadQuery { detail };
        match key.as_ref() {
            "after" => {
                let read = value.parse().ok();
                behind = Some(read.ok_or_else(|| bad("`after` is a moment, as 2026-01-31T09:00:00Z".to_owned()))?);
            }
            "limit" => {
                let read = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                limit = read.ok_or_else(|| bad(format!("`limit` is a whole number from 1 to {PAGE_MAX}")))?;
            }
            _ => return Err(bad("there are the parameters after and limit".to_owned())),
        }
    }
    Ok((behind, limit))
}

/// What the journal tells of the metrics of one attempt.
#[derive(Default)]
struct Record {
    periods: BTreeMap<Timestamp, Period>,
    /// When a weight was on every rule.
    weights: Vec<(Timestamp, Weight)>,
    first_write: Option<Timestamp>,
}

impl Record {
    fn take(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::AttemptStarted { .. } => *self = Self::default(),
            Event::MetricsRead { periods, .. } => {
                self.periods.extend(periods.iter().map(|period| (period.start, period.clone())));
            }
            Event::WeightConfirmed { weight } => self.weights.push((recorded.at, *weight)),
            Event::WeightIntended { weight, .. } if *weight > Weight::ZERO && self.first_write.is_none() => {
                self.first_write = Some(recorded.at);
            }
            Event::Created(_)
            | Event::Requested { .. }
            | Event::PlanChanged(_)
            | Event::PhaseChanged { .. }
            | Event::Inspected(_)
            | Event::BaselineTaken { .. }
            | Event::FindingWaived { .. }
            | Event::WeightIntended { .. }
            | Event::StepPassed { .. }
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

    /// Judges every period again, in order, by the present plan.
    fn judged(self, rollout: &Rollout) -> Vec<AnalysisPeriod> {
        let plan = rollout.plan();
        let terms = terms(plan, rollout.analysis.sticky);
        let mut judges: Vec<(&str, CheckJudge)> = plan
            .analysis
            .checks
            .iter()
            .filter_map(|check| Some((check.name.as_str(), CheckJudge::new(&check.question)?)))
            .collect();
        let mut weights = self.weights.iter().peekable();
        let mut shown = Vec::new();
        for (start, period) in &self.periods {
            let mut due = Vec::new();
            while let Some((_, weight)) = weights.next_if(|(at, _)| at <= start) {
                due.push(*weight);
            }
            let end = after(*start, plan.analysis.interval);
            let is_history = self.first_write.is_none_or(|write| end <= write);
            let mut checks = Vec::new();
            for (name, judge) in &mut judges {
                let Some(terms) = terms.get(name) else { continue };
                for weight in &due {
                    judge.step(terms, weight.ratio(), next(plan, *weight));
                }
                if is_history {
                    judge.history(terms, period);
                } else if let Some(finding) = judge.update(terms, period) {
                    checks.push(verdict(name, &finding));
                }
            }
            shown.push(AnalysisPeriod {
                start: *start,
                interval: plan.analysis.interval,
                blue: period.blue,
                green: period.green,
                load_balancer_errors: period.load_balancer_errors,
                checks,
            });
        }
        shown
    }
}

/// The share that proof at this weight leads to.
fn next(plan: &Plan, weight: Weight) -> Option<f64> {
    plan.steps.iter().map(|step| step.weight).find(|next| *next > weight).map(Weight::ratio)
}

fn verdict(check: &str, finding: &Finding) -> PeriodVerdict {
    let reading = &finding.reading;
    let window = reading.spoken_of();
    PeriodVerdict {
        check: check.to_owned(),
        verdict: check::verdict(reading.conclusion),
        reason: check::reason(reading.reason).to_owned(),
        blue: view::side(window.blue),
        green: view::side(window.green),
        margin: reading.margin,
        evidence: view::evidence(reading),
        threshold: view::threshold(reading),
    }
}
