//! Rollouts: create, list, look, change, delete.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::ApiState;
use super::error::ApiError;
use super::model::{Page, RolloutView};
use super::requests::{actor, document};
use super::view;
use crate::config::rollout::Parsed;
use crate::controller::{CreateError, Snapshot};
use crate::domain::ids::RolloutName;
use crate::domain::phase::Phase;
use crate::domain::request::Ask;

/// Rollouts on a page unless the caller says otherwise, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;

/// `POST /rollouts`. The same document again is the same rollout: 200 instead of 201.
pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ApiError> {
    let actor = actor(&headers)?;
    let Parsed { spec, .. } = document(&headers, body)?;
    let name = spec.name.clone();
    let (snapshot, status) = match state.handle.create(spec.clone(), &actor).await {
        Ok(snapshot) => (snapshot, StatusCode::CREATED),
        Err(CreateError::Exists(name)) => match state.handle.get(&name) {
            Some(there) if there.rollout.spec == spec => (there, StatusCode::OK),
            Some(_) | None => return Err(ApiError::Exists(name)),
        },
        Err(other) => return Err(other.into()),
    };
    let mut response = shown(&snapshot, status);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/rollouts/{name}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /rollouts/{name}`
pub(super) async fn one(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let snapshot = find(&state, &name)?;
    let response = shown(&snapshot, StatusCode::OK);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or("");
    let tag = response.headers().get(header::ETAG).cloned();
    let same = |tag: &HeaderValue| tag.to_str().is_ok_and(|tag| known.split(',').any(|known| known.trim() == tag));
    match tag {
        Some(tag) if known.trim() == "*" || same(&tag) => {
            Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response())
        }
        Some(_) | None => Ok(response),
    }
}

/// `PATCH /rollouts/{name}`: the whole document again, with what is to change changed.
pub(super) async fn change(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ApiError> {
    let snapshot = find(&state, &name)?;
    same_revision(&snapshot, &headers)?;
    let actor = actor(&headers)?;
    let Parsed { spec, .. } = document(&headers, body)?;
    let old = &snapshot.rollout.spec;
    let fixed = |pointer, what: &str| {
        let detail = format!("{what} of a rollout cannot change; begin another one under a new name");
        Err(ApiError::Invalid { pointer, detail })
    };
    if spec.name != old.name {
        return fixed("/name", "the name");
    }
    if spec.route != old.route {
        return fixed("/route", "the route");
    }
    if spec.labels != old.labels {
        return fixed("/labels", "the labels");
    }
    if spec.plan == old.plan {
        return Ok(shown(&snapshot, StatusCode::OK));
    }
    let reason = headers.get(super::requests::REASON).and_then(|reason| reason.to_str().ok()).unwrap_or("");
    let plan = Box::new(spec.plan);
    let snapshot = state.handle.ask(&old.name, Ask::Change { plan }, &actor, reason).await?;
    Ok(shown(&snapshot, StatusCode::OK))
}

/// `DELETE /rollouts/{name}`
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let snapshot = find(&state, &name)?;
    if headers.contains_key(header::IF_MATCH) {
        same_revision(&snapshot, &headers)?;
    }
    let actor = actor(&headers)?;
    state.handle.delete(&snapshot.rollout.spec.name).await?;
    tracing::info!(rollout = name, actor, "deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /rollouts?phase=&label=&limit=&cursor=`: by name.
pub(super) async fn list(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<RolloutView>>, ApiError> {
    let filter = Filter::parse(query.as_deref().unwrap_or(""))?;
    let mut found = state.handle.list();
    found.retain(|snapshot| filter.takes(snapshot));
    let more = found.len() > filter.limit;
    found.truncate(filter.limit);
    let last = found.last().filter(|_| more).map(|snapshot| cursor(&snapshot.rollout.spec.name));
    let items = found.iter().map(|snapshot| view::rollout(snapshot)).collect();
    Ok(Json(Page { items, next_cursor: last }))
}

struct Filter {
    phases: Vec<Phase>,
    labels: Vec<(String, String)>,
    limit: usize,
    after: Option<RolloutName>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut filter = Self { phases: Vec::new(), labels: Vec::new(), limit: PAGE, after: None };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            filter.take(&key, &value)?;
        }
        Ok(filter)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), ApiError> {
        let bad = |detail: String| Err(ApiError::BadQuery { detail });
        match key {
            "phase" => {
                let Some(phase) = Phase::ALL.iter().find(|phase| phase.as_str() == value) else {
                    let all: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
                    return bad(format!("`{value}` is no phase; there are {}", all.join(", ")));
                };
                self.phases.push(*phase);
            }
            "label" => match value.split_once('=') {
                Some((label, wanted)) => self.labels.push((label.to_owned(), wanted.to_owned())),
                None => return bad(format!("`{value}` is no label filter: write `label=team=payments`")),
            },
            "limit" => match value.parse() {
                Ok(limit) if (1..=PAGE_MAX).contains(&limit) => self.limit = limit,
                Ok(_) | Err(_) => return bad(format!("`limit` is a whole number from 1 to {PAGE_MAX}")),
            },
            "cursor" => match read_cursor(value) {
                Some(after) => self.after = Some(after),
                None => return bad("`cursor` is not one that this API gave out".to_owned()),
            },
            other => return bad(format!("`{other}` is no parameter here; there are phase, label, limit and cursor")),
        }
        Ok(())
    }

    fn takes(&self, snapshot: &Snapshot) -> bool {
        let rollout = &snapshot.rollout;
        let phase = self.phases.is_empty() || self.phases.contains(&rollout.phase);
        let labels = self.labels.iter().all(|(key, wanted)| rollout.spec.labels.get(key) == Some(wanted));
        let after = self.after.as_ref().is_none_or(|after| rollout.spec.name > *after);
        phase && labels && after
    }
}

/// What a cursor begins with, so that its meaning can change.
const CURSOR: &str = "n1.";

fn cursor(name: &RolloutName) -> String {
    name.as_str().bytes().fold(CURSOR.to_owned(), |cursor, byte| cursor + &format!("{byte:02x}"))
}

fn read_cursor(text: &str) -> Option<RolloutName> {
    let digits = text.strip_prefix(CURSOR)?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let name: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    RolloutName::parse(&String::from_utf8(name?).ok()?).ok()
}

/// The rollout of a path, or the error that says there is none.
pub(super) fn find(state: &ApiState, name: &str) -> Result<std::sync::Arc<Snapshot>, ApiError> {
    let name = RolloutName::parse(name)?;
    state.handle.get(&name).ok_or_else(|| ApiError::NotFound(name.to_string()))
}

/// A rollout as the answer to a call, with its tag: the revision, and a digest of what is shown, since live weights and
/// metrics change without a revision.
pub(super) fn shown(snapshot: &Snapshot, status: StatusCode) -> Response {
    let Ok(body) = serde_json::to_vec(&view::rollout(snapshot)) else { return ApiError::Internal.into_response() };
    let digest = Sha256::digest(&body);
    let digest = digest.iter().take(6).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let tag = format!("\"{}.{digest}\"", snapshot.rollout.seq);
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, tag)];
    (status, headers, body).into_response()
}

/// `If-Match` must name the present revision. What follows the revision in a tag does not matter here: the live weight
/// may move while somebody writes, and that is no conflict.
fn same_revision(snapshot: &Snapshot, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(tags) = headers.get(header::IF_MATCH) else { return Err(ApiError::NoRevision) };
    let tags = tags.to_str().unwrap_or("");
    let revision = snapshot.rollout.seq;
    let is_now = |tag: &str| {
        let inner = tag.trim().trim_matches('"');
        inner == "*" || inner.split('.').next().and_then(|number| number.parse().ok()) == Some(revision)
    };
    if tags.split(',').any(is_now) { Ok(()) } else { Err(ApiError::Stale(revision)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let name = RolloutName::parse("payments-hsm").unwrap();
        assert_eq!(read_cursor(&cursor(&name)), Some(name));
        for bad in ["", "n1.", "n1.zz", "n1.7", "7061", "n1.2e2e2f"] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }
}
