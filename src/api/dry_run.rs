//! Looking at a route without moving anything.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::ApiState;
use super::error::ApiError;
use super::model::{FindingView, PreflightView, UndoView};
use super::requests::document;
use super::rollouts::find;
use crate::domain::advance::with_findings;
use crate::domain::observation::Seen;
use crate::domain::plan::{Question, Spec};
use crate::domain::preflight::Severity;
use crate::domain::rollout::Rollout;
use crate::domain::weight::Weight;

/// `POST /rollouts:preflight`: of a document.
pub(super) async fn preflight(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PreflightView>, ApiError> {
    let parsed = document(&headers, body)?;
    Ok(Json(inspect(&state, &parsed.spec, &BTreeSet::new()).await?))
}

/// `GET /rollouts/{name}/preflight`: of a rollout that is there.
pub(super) async fn preflight_of(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<PreflightView>, ApiError> {
    let snapshot = find(&state, &name)?;
    Ok(Json(inspect(&state, &snapshot.rollout.spec, &snapshot.rollout.waived).await?))
}

/// `GET /rollouts/{name}/undo`: how to put the route back by hand.
pub(super) async fn undo(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<UndoView>, ApiError> {
    let snapshot = find(&state, &name)?;
    let writes = state.handle.planned_writes(&snapshot.rollout.spec.route, &[Weight::ZERO]).await;
    let commands = writes.map_err(ApiError::Route)?.into_iter().map(|write| write.command).collect();
    Ok(Json(UndoView { commands }))
}

/// Everything that would stop the first shift of `spec`, as preflight itself would find it.
pub(super) async fn inspect(
    state: &ApiState,
    spec: &Spec,
    waived: &BTreeSet<String>,
) -> Result<PreflightView, ApiError> {
    let (handle, route) = (&state.handle, &spec.route);
    let names = alarm_names(spec);
    let alarms = async { if names.is_empty() { Seen::NotAsked } else { handle.alarms(&names).await } };
    let (inspection, rules, health, alarms) =
        tokio::join!(handle.inspect(route), handle.rules(route), handle.health(route), alarms);
    let inspection = inspection.map_err(ApiError::Route)?;
    let rules = rules.unwrap_or_default();
    let fresh = Rollout::new(spec.clone(), handle.now());
    let alarms = alarms.read().map_or(&[][..], Vec::as_slice);
    let inspection = with_findings(inspection, &fresh, &rules, alarms);
    let findings: Vec<FindingView> = inspection
        .findings
        .into_iter()
        .map(|finding| FindingView { waived: waived.contains(&finding.code), finding })
        .collect();
    let passed = findings.iter().all(|view| view.waived || view.finding.severity != Severity::Blocking);
    Ok(PreflightView { name: spec.name.to_string(), passed, findings, rules, health: health.ok() })
}

fn alarm_names(spec: &Spec) -> Vec<String> {
    let names = spec.plan.analysis.checks.iter().filter_map(|check| match &check.question {
        Question::Alarms { names } => Some(names.clone()),
        Question::Errors(_) | Question::ClientErrors(_) | Question::Latency(_) => None,
    });
    names.flatten().collect()
}
