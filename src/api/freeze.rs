//! Stopping all forward moves of all rollouts, over restarts too. Rollbacks go on.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;

use super::ApiState;
use super::error::ApiError;
use super::model::{FreezeBody, FreezeView};
use super::requests::{actor, json, whole};
use crate::domain::freeze::Freeze;

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
    let freeze = Freeze { reason: reason.to_owned(), actor, at: state.handle.now() };
    state.handle.freeze(Some(freeze)).await.map_err(ApiError::NotKept)?;
    Ok(Json(now(&state)))
}

/// `DELETE /freeze`
pub(super) async fn off(State(state): State<ApiState>, headers: HeaderMap) -> Result<Json<FreezeView>, ApiError> {
    let actor = actor(&headers)?;
    state.handle.freeze(None).await?;
    tracing::warn!(actor, "forward moves are allowed again");
    Ok(Json(now(&state)))
}

fn now(state: &ApiState) -> FreezeView {
    match state.handle.frozen() {
        Some(Freeze { reason, actor, at }) => {
            FreezeView { frozen: true, reason: Some(reason), actor: Some(actor), at: Some(at) }
        }
        None => FreezeView { frozen: false, reason: None, actor: None, at: None },
    }
}
