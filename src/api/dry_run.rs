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
use crate::domain::plan::Spec;
use crate::domain::preflight::Severity;
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

/// Everything that would stop the first shift of `spec`.
pub(super) async fn inspect(
    state: &ApiState,
    spec: &Spec,
    waived: &BTreeSet<String>,
) -> Result<PreflightView, ApiError> {
    let looks = tokio::join!(state.handle.inspect(&spec.route), state.handle.health(&spec.route));
    let (inspection, rules) = looks.0.map_err(ApiError::Route)?;
    let findings: Vec<FindingView> = inspection
        .findings
        .into_iter()
        .map(|finding| FindingView { waived: waived.contains(&finding.code), finding })
        .collect();
    let passed = findings.iter().all(|view| view.waived || view.finding.severity != Severity::Blocking);
    Ok(PreflightView { name: spec.name.to_string(), passed, findings, rules, health: looks.1.ok() })
}
