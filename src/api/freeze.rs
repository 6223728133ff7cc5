//! Stopping all forward moves of all rollouts. Rollbacks go on.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;

use super::ApiState;
use super::error::ApiError;
use super::model::{FreezeBody, FreezeView};
use super::requests::{actor, json, whole};

/// `GET /freeze`
pub(super) async fn show(State(state): State<ApiState>) -> Json<FreezeView> {
    Json(now(&state))
}

/// `POST /freeze`
pub(super) async fn on(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<FreezeView>, ApiError> {
    let FreezeBody { reason } = json(&headers, &whole(body)?)?;
    let reason = reason.trim();
    if reason.is_empty() {
        let detail = "a freeze needs a `reason`: it is shown on every rollout that it holds".to_owned();
        return Err(ApiError::Invalid { pointer: "/reason", detail });
    }
    let actor = actor(&headers)?;
    tracing::warn!(actor, reason, "all forward moves are frozen");
    state.handle.freeze(Some(format!("{actor}: {reason}")));
    Ok(Json(now(&state)))
}

/// `DELETE /freeze`
pub(super) async fn off(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<FreezeView>, ApiError> {
    let actor = actor(&headers)?;
    tracing::warn!(actor, "forward moves are allowed again");
    state.handle.freeze(None);
    Ok(Json(now(&state)))
}

fn now(state: &ApiState) -> FreezeView {
    let reason = state.handle.frozen();
    FreezeView { frozen: reason.is_some(), reason }
}
