//! What surrounds every call: its id, who may call from where, limits, and what is measured and logged.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use super::ApiState;
use super::error::ApiError;
use super::model::Problem;

/// Longest time that a call may take: longer than a worker may take to answer.
const CALL_MAX: Duration = Duration::from_secs(30);

/// The id of a call, echoed to the caller.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts every layer around the routes. The last one is the outermost.
pub(super) fn around(routes: Router, state: ApiState) -> Router {
    routes
        .layer(DefaultBodyLimit::max(state.body_max))
        .layer(from_fn(in_time))
        .layer(from_fn(only_this_machine))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(state, measured))
}

#[expect(clippy::needless_pass_by_value, reason = "the layer calls it so")]
fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<&str>().map(ToString::to_string);
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = said, "a call to the API panicked");
    ApiError::Internal.into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(CALL_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => ApiError::TimedOut.into_response(),
    }
}

/// Without authentication the machine's own users are trusted, and nobody else: a page of another site that a browser
/// on this machine shows must reach nothing, whatever name it gives to this address.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = host(request.uri(), headers);
    if !host.is_some_and(is_this_machine) {
        return ApiError::WrongHost.into_response();
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && is_cross_site(host, headers) {
        return ApiError::CrossSite.into_response();
    }
    next.run(request).await
}

fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| uri.authority().map(http::uri::Authority::as_str))
}

/// Whether a `Host` names this machine, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    address || name.eq_ignore_ascii_case("localhost")
}

fn is_cross_site(host: Option<&str>, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let from_elsewhere = text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin = headers.contains_key(header::ORIGIN)
        && text("origin").and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority) != host;
    from_elsewhere || foreign_origin
}

/// Gives the call its id, measures it, and finishes problems with what only the call knows.
async fn measured(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&state, request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = finished(&response, problem, &id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, took) = (response.status().as_u16(), began.elapsed());
    let route = route.unwrap_or_else(|| "none".to_owned());
    state.handle.own_metrics().served(method_label(&method), &route, status, took.as_secs_f64());
    if method != Method::GET && method != Method::HEAD {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%method, route, status, request_id = id, took_ms, "call to the API");
    }
    response
}

/// The same response, its problem completed with the call's id.
fn finished(response: &Response, mut problem: Problem, id: &str) -> Response {
    problem.instance = format!("urn:greenshift:request:{id}");
    id.clone_into(&mut problem.request_id);
    let mut headers = response.headers().clone();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::TRANSFER_ENCODING);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    (response.status(), headers, body).into_response()
}

/// Methods as a bounded label.
const fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Longest id that is taken from a caller.
const REQUEST_ID_MAX: usize = 64;

/// The caller's id when it is a plain one, else a new one.
fn request_id(state: &ApiState, headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
    };
    given.filter(plain).map_or_else(|| new_id(state), ToOwned::to_owned)
}

fn new_id(state: &ApiState) -> String {
    let now = state.handle.now();
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:8080"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "10.0.0.1:8080", "[::]:80", "127.0.0.1.evil.example"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_told_by_its_origin() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
        };
        let host = Some("127.0.0.1:8080");
        assert!(!is_cross_site(host, &headers(&[])));
        assert!(!is_cross_site(host, &headers(&[("origin", "http://127.0.0.1:8080")])));
        assert!(!is_cross_site(host, &headers(&[("sec-fetch-site", "same-origin")])));
        assert!(is_cross_site(host, &headers(&[("origin", "http://evil.example")])));
        assert!(is_cross_site(host, &headers(&[("origin", "null")])));
        assert!(is_cross_site(host, &headers(&[("sec-fetch-site", "cross-site")])));
        assert!(is_cross_site(host, &headers(&[("sec-fetch-site", "same-site")])));
    }
}
