//! What supervisors and Prometheus ask.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::error::ApiError;
use super::model::VersionView;

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz?verbose`: whether calls can be answered.
pub(super) async fn readyz(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Response {
    let verbose =
        query.is_some_and(|query| query.split('&').any(|key| key == "verbose" || key.starts_with("verbose=")));
    let journal = state.handle.ping().await;
    if let Err(error) = &journal {
        tracing::warn!(error = error as &dyn std::error::Error, "not ready: the journal does not answer");
    }
    let checks = [
        ("journal", journal.is_ok(), "does not answer; the server's log has the reason"),
        ("running", !state.stop.is_cancelled(), "the server is stopping"),
    ];
    let ready = checks.iter().all(|(_, good, _)| *good);
    let mut text = String::new();
    for (name, good, otherwise) in checks {
        if verbose || !good {
            let line = if good { format!("[+] {name}: ok") } else { format!("[-] {name}: {otherwise}") };
            text.push_str(&line);
            text.push('\n');
        }
    }
    let _infallible = writeln!(text, "{}", if ready { "ready" } else { "not ready" });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text).into_response()
}

/// `GET /version`
pub(super) async fn version() -> Json<VersionView> {
    Json(VersionView { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// `GET /metrics`
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let rollouts = state.handle.list();
    state.handle.own_metrics().present(rollouts.iter().map(|snapshot| (&snapshot.rollout, snapshot.hold.as_ref())));
    let text = state.handle.own_metrics().render().map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the metrics cannot be printed");
        ApiError::Internal
    })?;
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Every other address.
pub(super) async fn nothing_here() -> ApiError {
    ApiError::NoRoute
}

/// An address with another method.
pub(super) async fn wrong_method() -> ApiError {
    ApiError::Method
}
