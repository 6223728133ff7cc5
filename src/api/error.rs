//! Errors as people and programs get them: one table from what went wrong to status, code and words.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::model::{Problem, ProblemDetail};
use crate::config::DocumentErrors;
use crate::controller::{AskError, CreateError, DeleteError};
use crate::domain::ids::{BadName, RolloutName};
use crate::domain::observation::{Trouble, TroubleKind};
use crate::journal::JournalError;

/// What went wrong with a call to the API.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("no rollout is named `{0}`; `GET /api/v1/rollouts` lists those there are")]
    NotFound(String),
    #[error("there is nothing at this address; the API begins at /api/v1/rollouts")]
    NoRoute,
    #[error("{0}")]
    BadName(#[from] BadName),
    #[error("{detail}")]
    BadQuery { detail: String },
    #[error("the body is not what this call takes: {0}")]
    BadBody(String),
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    #[error("the body is larger than this server takes (`limits.body`)")]
    TooLarge,
    #[error("the document has {} that must be mended", mistakes(.0))]
    Document(DocumentErrors),
    #[error("{detail}")]
    Invalid { pointer: &'static str, detail: String },
    #[error("a rollout named `{0}` exists already with another document; change it with PATCH, or choose another name")]
    Exists(RolloutName),
    #[error("{0}; wait until that one ends, or take the rule out of this document")]
    RuleTaken(String),
    #[error("{0}; wait until one of them ends, or raise the limit")]
    TooMany(String),
    #[error("{detail}")]
    Refused { code: String, detail: String },
    #[error("say which revision you mean: send `If-Match` with the `ETag` of the rollout that you read")]
    NoRevision,
    #[error("the rollout has changed since you read it (it is at revision {0} now): read it again before you decide")]
    Stale(u64),
    #[error("too many requests wait for this rollout; try again in a second")]
    Busy,
    #[error("no answer in time: look at the rollout to see whether the request was taken")]
    NoAnswer,
    #[error("the route could not be read: {}", .0.message)]
    Route(Trouble),
    #[error("the journal cannot be used right now; the server's log has the reason. Rollouts on their way hold")]
    Journal(#[source] JournalError),
    #[error(
        "all forward moves are frozen now, but that could not be recorded, and a restart may end it; the server's log has \
         the reason. Freeze once more"
    )]
    NotKept(#[source] JournalError),
    #[error("this server answers only to the names of this machine (localhost, 127.0.0.1, ::1)")]
    WrongHost,
    #[error("calls from pages of other sites are not taken")]
    CrossSite,
    #[error("{0}")]
    BadHeader(&'static str),
    #[error("the call took longer than the server gives it; look whether it was carried out before you repeat it")]
    TimedOut,
    #[error("something went wrong inside the server; its log has the reason under this request id")]
    Internal,
    #[error("this address does not take this method")]
    Method,
}

fn mistakes(errors: &DocumentErrors) -> String {
    match errors.errors().count() {
        1 => "one mistake".to_owned(),
        many => format!("{many} mistakes"),
    }
}

impl ApiError {
    /// The table: status, stable code, title.
    fn row(&self) -> (StatusCode, &str, &'static str) {
        match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "rollout_not_found", "No such rollout"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "not_found", "Nothing here"),
            Self::BadName(_) => (StatusCode::BAD_REQUEST, "bad_name", "Not a rollout name"),
            Self::BadQuery { .. } => (StatusCode::BAD_REQUEST, "bad_query", "Not a usable query"),
            Self::BadBody(_) => (StatusCode::BAD_REQUEST, "bad_body", "Not a usable body"),
            Self::BadHeader(_) => (StatusCode::BAD_REQUEST, "bad_header", "Not a usable header"),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large"),
            Self::Document(_) | Self::Invalid { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_document", "Invalid document")
            }
            Self::Exists(_) => (StatusCode::CONFLICT, "rollout_exists", "The name is taken"),
            Self::RuleTaken(_) => (StatusCode::CONFLICT, "rule_taken", "A rule has another owner"),
            Self::TooMany(_) => (StatusCode::CONFLICT, "too_many_rollouts", "Too many active rollouts"),
            Self::Refused { code, .. } => (StatusCode::CONFLICT, code, "The rollout refuses it"),
            Self::NoRevision => (StatusCode::PRECONDITION_REQUIRED, "revision_required", "Revision required"),
            Self::Stale(_) => (StatusCode::PRECONDITION_FAILED, "revision_stale", "The rollout has changed"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "Too many requests"),
            Self::NoAnswer | Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "no_answer", "No answer in time"),
            Self::Route(trouble) => match trouble.kind {
                TroubleKind::Transient => (StatusCode::SERVICE_UNAVAILABLE, "route_unreadable", "Route unreadable"),
                TroubleKind::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "route_refused", "Route unreadable"),
            },
            Self::Journal(_) => (StatusCode::SERVICE_UNAVAILABLE, "journal_unavailable", "Journal unavailable"),
            Self::NotKept(_) => (StatusCode::SERVICE_UNAVAILABLE, "freeze_not_kept", "Frozen until a restart"),
            Self::WrongHost => (StatusCode::MISDIRECTED_REQUEST, "wrong_host", "Wrong host"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site", "Cross-site call"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
        }
    }

    fn details(&self) -> Vec<ProblemDetail> {
        match self {
            Self::Document(errors) => errors.errors().map(detail_of).collect(),
            Self::Invalid { pointer, detail } => {
                vec![ProblemDetail { pointer: (*pointer).to_owned(), detail: detail.clone(), line: None, column: None }]
            }
            Self::NotFound(_)
            | Self::NoRoute
            | Self::BadName(_)
            | Self::BadQuery { .. }
            | Self::BadBody(_)
            | Self::UnsupportedMediaType(_)
            | Self::TooLarge
            | Self::Exists(_)
            | Self::RuleTaken(_)
            | Self::TooMany(_)
            | Self::Refused { .. }
            | Self::NoRevision
            | Self::Stale(_)
            | Self::Busy
            | Self::NoAnswer
            | Self::Route(_)
            | Self::Journal(_)
            | Self::NotKept(_)
            | Self::WrongHost
            | Self::CrossSite
            | Self::BadHeader(_)
            | Self::TimedOut
            | Self::Internal
            | Self::Method => Vec::new(),
        }
    }

    /// The problem without the parts that the request gives.
    fn problem(&self) -> Problem {
        let (status, code, title) = self.row();
        Problem {
            kind: format!("urn:greenshift:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            instance: String::new(),
            code: code.to_owned(),
            request_id: String::new(),
            errors: self.details(),
        }
    }
}

/// A document's problem, one to one.
pub(super) fn detail_of(problem: &crate::config::Problem) -> ProblemDetail {
    ProblemDetail {
        pointer: problem.pointer().to_owned(),
        detail: problem.detail(),
        line: Some(problem.line()),
        column: Some(problem.column()),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Journal(error) | Self::NotKept(error) = &self {
            tracing::error!(error = error as &dyn std::error::Error, "the journal failed a call to the API");
        }
        let problem = self.problem();
        let (status, _, _) = self.row();
        let mut response = (status, Json(&problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if matches!(self, Self::Busy | Self::Journal(_) | Self::NotKept(_)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The request's id is filled in on the way out, where it is known.
        response.extensions_mut().insert(problem);
        response
    }
}

impl From<DocumentErrors> for ApiError {
    fn from(errors: DocumentErrors) -> Self {
        Self::Document(errors)
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists(name) => Self::Exists(name),
            CreateError::RuleTaken { .. } => Self::RuleTaken(error.to_string()),
            CreateError::TooMany(_) => Self::TooMany(error.to_string()),
            CreateError::Journal(error) => Self::Journal(error),
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NotFound(name) => Self::NotFound(name.to_string()),
            AskError::Refused(refusal) => Self::Refused { code: refusal.code, detail: refusal.detail },
            AskError::Busy => Self::Busy,
            AskError::NoAnswer => Self::NoAnswer,
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound(name) => Self::NotFound(name.to_string()),
            DeleteError::Active => Self::Refused {
                code: "still_active".to_owned(),
                detail: "the rollout has not ended: abort it first".to_owned(),
            },
            DeleteError::Journal(error) => Self::Journal(error),
        }
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::NotFound(name) => Self::NotFound(name.to_string()),
            other @ (JournalError::Conflict { .. }
            | JournalError::Superseded { .. }
            | JournalError::Exists(_)
            | JournalError::RuleTaken { .. }
            | JournalError::Unwritable { .. }
            | JournalError::Unreadable(_)
            | JournalError::Unusable(_)
            | JournalError::Store(_)) => Self::Journal(other),
        }
    }
}
