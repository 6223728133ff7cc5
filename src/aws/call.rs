//! One call to AWS: its name, how it ended, how long it took.

use std::fmt;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::error::ProvideErrorMetadata;
use aws_sdk_elasticloadbalancingv2::operation::RequestId;
use tokio::time::Instant;

use super::trouble;
use crate::domain::observation::{Trouble, TroubleKind};

/// The SDK's error of a call; the same type for every service.
pub type SdkError<E> = aws_sdk_elasticloadbalancingv2::error::SdkError<E, HttpResponse>;

/// What the modelled errors of every SDK operation have in common.
pub trait ServiceError: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static {}
impl<E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static> ServiceError for E {}

/// The name of an API operation, and of the IAM action that allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The service's IAM prefix.
    pub service: &'static str,
    /// The operation.
    pub operation: &'static str,
}

impl Call {
    /// An operation of Elastic Load Balancing v2.
    pub const fn elb(operation: &'static str) -> Self {
        Self { service: "elasticloadbalancing", operation }
    }

    /// An operation of CloudWatch.
    pub const fn cloudwatch(operation: &'static str) -> Self {
        Self { service: "cloudwatch", operation }
    }

    /// An operation of the Security Token Service.
    pub const fn sts(operation: &'static str) -> Self {
        Self { service: "sts", operation }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.operation)
    }
}

/// How a call ended, as the label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallOutcome {
    /// Answered.
    Ok,
    /// The account's request rate was exceeded, after all attempts.
    Throttled,
    /// No answer in time, or no connection: it may or may not have been carried out.
    Lost,
    /// The service failed.
    ServerError,
    /// Access denied, or no usable credentials.
    Denied,
    /// Not found, invalid, not possible.
    Rejected,
}

impl CallOutcome {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Lost => "lost",
            Self::ServerError => "server_error",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
        }
    }

    /// Whether trying again can help.
    pub(super) const fn kind(self) -> TroubleKind {
        match self {
            Self::Ok | Self::Throttled | Self::Lost | Self::ServerError => TroubleKind::Transient,
            Self::Denied | Self::Rejected => TroubleKind::Refused,
        }
    }
}

/// Told of every call, for metrics.
pub trait CallObserver: Send + Sync + 'static {
    /// A call ended; `took` covers all its attempts.
    fn called(&self, call: Call, outcome: CallOutcome, took: Duration);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl CallObserver for NoObserver {
    fn called(&self, _call: Call, _outcome: CallOutcome, _took: Duration) {}
}

impl CallObserver for crate::telemetry::Metrics {
    fn called(&self, call: Call, outcome: CallOutcome, took: Duration) {
        self.called_aws(call.service, call.operation, outcome.as_str(), took);
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", trouble.message)]
pub struct CallError {
    /// In an operator's words.
    pub trouble: Trouble,
    /// How it counts.
    pub outcome: CallOutcome,
    /// The service's own code, such as `RuleNotFound`.
    pub code: Option<String>,
}

impl CallError {
    /// Names what the call was about in front of the message.
    #[must_use]
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        self.trouble.message = format!("{what}: {}", self.trouble.message);
        self
    }

    /// Whether the service answered with this code.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        error.trouble
    }
}

/// Awaits one call, measures it, and classifies its error.
pub(super) async fn observe<T, E: ServiceError>(
    observer: &dyn CallObserver,
    call: Call,
    sending: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<T, CallError> {
    let begun = Instant::now();
    let result = sending.await.map_err(|error| trouble::explain(call, &trouble::Failure::of(&error)));
    let outcome = result.as_ref().err().map_or(CallOutcome::Ok, |error| error.outcome);
    observer.called(call, outcome, begun.elapsed());
    result
}
