//! What people ask of a rollout: one path per verb. And what every writing call brings: an actor, and perhaps a document.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::ApiState;
use super::error::ApiError;
use super::model::RequestBody;
use super::rollouts::{find, shown};
use crate::config::rollout::{Parsed, parse_bytes};
use crate::domain::request::Ask;

/// Who asks, as the caller says; nobody checks it.
pub(super) const ACTOR: &str = "x-greenshift-actor";
/// Why a document is changed: its body has no place for it.
pub(super) const REASON: &str = "x-greenshift-reason";

/// Longest name of an actor.
const ACTOR_MAX: usize = 64;
/// Longest reason, in characters.
const REASON_MAX: usize = 1_000;

/// `POST /rollouts/{name}/pause` and the other verbs.
pub(super) async fn ask(
    State(state): State<ApiState>,
    Path((name, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = request_body(&headers, body)?;
    let ask = ask_of(&verb, &body)?;
    let snapshot = find(&state, &name)?;
    let actor = actor(&headers)?;
    if needs_reason(&ask) && body.reason.trim().is_empty() {
        let detail = format!("`{verb}` needs a `reason`: it stands in the history for those who come later");
        return Err(ApiError::Invalid { pointer: "/reason", detail });
    }
    if body.reason.chars().count() > REASON_MAX || body.reason.chars().any(|c| c.is_control() && c != '\n') {
        let detail = format!("a reason is plain text of at most {REASON_MAX} characters");
        return Err(ApiError::Invalid { pointer: "/reason", detail });
    }
    let name = &snapshot.rollout.spec.name;
    let after = state.handle.ask(name, ask, &actor, body.reason.trim()).await?;
    Ok(shown(&after, StatusCode::ACCEPTED))
}

/// What cannot be taken back, or goes over a rule, is told to those who come later.
const fn needs_reason(ask: &Ask) -> bool {
    match ask {
        Ask::Promote { .. } | Ask::Abort | Ask::Rollback { .. } | Ask::StepBack | Ask::Waive { .. } => true,
        Ask::Pause | Ask::Resume | Ask::Approve { .. } | Ask::Retry | Ask::Change { .. } => false,
    }
}

fn ask_of(verb: &str, body: &RequestBody) -> Result<Ask, ApiError> {
    let expected_step = body.expected_step;
    Ok(match verb {
        "pause" => Ask::Pause,
        "resume" => Ask::Resume,
        "promote" => Ask::Promote { expected_step, full: body.full },
        "approve" => Ask::Approve { expected_step },
        "abort" => Ask::Abort,
        "rollback" => Ask::Rollback { force: body.force },
        "retry" => Ask::Retry,
        "step-back" => Ask::StepBack,
        "waive" => {
            let missing = || ApiError::Invalid {
                pointer: "/finding",
                detail: "say which `finding` you waive: its code stands in the rollout's `findings`".to_owned(),
            };
            Ask::Waive { code: body.finding.clone().ok_or_else(missing)? }
        }
        _ => return Err(ApiError::NoRoute),
    })
}

fn request_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<RequestBody, ApiError> {
    let body = whole(body)?;
    if body.is_empty() {
        return Ok(RequestBody::default());
    }
    json(headers, &body)
}

/// Reads a JSON body. A browser cannot send this media type to another site without asking first, and is refused then.
pub(super) fn json<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ApiError> {
    if media_type(headers) != "application/json" {
        return Err(ApiError::UnsupportedMediaType("the body is JSON: send it with `Content-Type: application/json`"));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::BadBody(error.to_string()))
}

/// The whole body, or why it is not there.
pub(super) fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::BadBody(rejection.body_text()),
    })
}

/// Reads the document of a body, YAML or JSON.
pub(super) fn document(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Parsed, ApiError> {
    let body = whole(body)?;
    let name = match media_type(headers).as_str() {
        "application/json" => "document.json",
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => "document.yaml",
        _ => {
            return Err(ApiError::UnsupportedMediaType(
                "a document is YAML or JSON: send it with `Content-Type: application/yaml` or `application/json`",
            ));
        }
    };
    Ok(parse_bytes(name, &body)?)
}

fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    text.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Who acts: as the caller says, marked as unverified; who says nothing is somebody on this machine.
pub(super) fn actor(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(given) = headers.get(ACTOR) else { return Ok("local".to_owned()) };
    let plain = |name: &&str| {
        (1..=ACTOR_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b'+'))
    };
    match given.to_str().ok().filter(plain) {
        Some(name) => Ok(format!("{name} (unverified)")),
        None => Err(ApiError::BadHeader("`X-Greenshift-Actor` is a name of at most 64 letters, digits, or - _ . @ +")),
    }
}
