//! What an error of AWS means for an operator, and whether trying again can help.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_elasticloadbalancingv2::operation::RequestId;

use super::call::{Call, CallError, CallOutcome, SdkError, ServiceError};
use crate::domain::observation::Trouble;

/// An error of the SDK, reduced to what classification needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Failure {
    /// Where it failed.
    pub(super) stage: Stage,
    /// The service's code.
    pub(super) code: Option<String>,
    /// The service's message, or the chain of causes.
    pub(super) message: String,
    /// HTTP status of the answer.
    pub(super) status: Option<u16>,
    /// AWS request id, for the support case.
    pub(super) request_id: Option<String>,
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// It could not be built: our own mistake.
    Unbuilt,
    /// There were no usable credentials to sign it with, and there will be none.
    NoCredentials,
    /// It was not sent, or no answer came.
    #[default]
    Lost,
    /// The answer could not be understood: cut off, or not from AWS.
    Garbled,
    /// The service answered with an error.
    Answered,
}

impl Failure {
    /// Reduces an SDK error.
    pub(super) fn of<E: ServiceError>(error: &SdkError<E>) -> Self {
        let request_id = error.request_id().map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let chained = |stage| Self { stage, message: chain(error), status, request_id: request_id.clone(), code: None };
        let succeeded = status.is_some_and(|status| (200..300).contains(&status));
        match error {
            // A success that the SDK could not read, which it reports as an error of the service without a code.
            SdkError::ServiceError(answer) if succeeded && answer.err().meta().code().is_none() => {
                chained(Stage::Garbled)
            }
            SdkError::ServiceError(answer) => {
                let meta = answer.err().meta();
                Self {
                    stage: Stage::Answered,
                    code: meta.code().map(str::to_owned),
                    message: meta.message().unwrap_or_default().to_owned(),
                    status,
                    request_id: request_id.or_else(|| answer.err().request_id().map(str::to_owned)),
                }
            }
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) if lacks_credentials(error) => {
                chained(Stage::NoCredentials)
            }
            SdkError::ConstructionFailure(_) => chained(Stage::Unbuilt),
            SdkError::ResponseError(_) => chained(Stage::Garbled),
            // The SDK may add variants; what is not known may or may not have been carried out.
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | _ => chained(Stage::Lost),
        }
    }
}

/// The messages of an error and its causes, outermost first, without those that only repeat.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

/// Whether the cause is that there are no credentials, or that they are refused: waiting does not help.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return match credentials {
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => true,
                // Assuming a role was answered: what it said decides.
                CredentialsError::ProviderError(_) => DENIED.iter().any(|code| chain(error).contains(code)),
                CredentialsError::ProviderTimedOut(_) | CredentialsError::Unhandled(_) | _ => false,
            };
        }
        next = error.source();
    }
    false
}

/// The account's request rate is exceeded.
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "LimitExceededException",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
];

/// The service failed, whatever HTTP status it says so with.
const SERVER: &[&str] =
    &["InternalError", "InternalFailure", "InternalServiceError", "InternalServiceFault", "ServiceUnavailable"];

/// The service gave up waiting for us.
const LOST: &[&str] = &["RequestTimeout", "RequestTimeoutException"];

/// The caller may not do this.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "UnauthorizedAccess",
    "NotAuthorized",
    "OptInRequired",
];

/// The credentials are too old.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];

/// The machine's clock is wrong.
const SKEWED: &[&str] = &["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"];

/// The credentials are wrong.
const UNKNOWN_CALLER: &[&str] = &[
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
];

/// Puts a failure into words, with what to do.
pub(super) fn explain(call: Call, failure: &Failure) -> CallError {
    let (outcome, said) = match failure.stage {
        Stage::Answered => answered(call, failure),
        Stage::Unbuilt => {
            (CallOutcome::Rejected, "could not be built; this is a fault of greenshift, please report it".to_owned())
        }
        Stage::NoCredentials => (
            CallOutcome::Denied,
            "no usable AWS credentials; give the task or instance a role, or set AWS_PROFILE".to_owned(),
        ),
        Stage::Lost => (CallOutcome::Lost, "no answer, so it may or may not have been carried out".to_owned()),
        Stage::Garbled => {
            (CallOutcome::Lost, "the answer was cut off or unreadable, so it may have been carried out".to_owned())
        }
    };
    let mut message = format!("{call}: {said}");
    let detail = detail(failure);
    if !detail.is_empty() {
        message.push_str(" (");
        message.push_str(&detail);
        message.push(')');
    }
    CallError { trouble: Trouble { kind: outcome.kind(), message }, outcome, code: failure.code.clone() }
}

/// What a service's answer means.
fn answered(call: Call, failure: &Failure) -> (CallOutcome, String) {
    let code = failure.code.as_deref().unwrap_or_default();
    let is = |codes: &[&str]| codes.contains(&code);
    let status = failure.status.unwrap_or_default();
    let owned = str::to_owned;
    if is(THROTTLED) || status == 429 {
        (
            CallOutcome::Throttled,
            owned("throttled: the account's request rate in this region is exceeded; tried again later"),
        )
    } else if is(SERVER) || status >= 500 {
        (CallOutcome::ServerError, owned("AWS had an error of its own; tried again later"))
    } else if is(LOST) || status == 408 {
        (CallOutcome::Lost, owned("AWS gave up waiting for the request; tried again later"))
    } else if is(EXPIRED) {
        (
            CallOutcome::Denied,
            owned("the AWS credentials have expired; renew them, or give the task or instance a role"),
        )
    } else if is(SKEWED) || (is(UNKNOWN_CALLER) && failure.message.contains("expired")) {
        (CallOutcome::Denied, owned("AWS found the request's time wrong; set this machine's clock (NTP)"))
    } else if is(UNKNOWN_CALLER) {
        (CallOutcome::Denied, owned("AWS does not accept the credentials; check the role, profile or keys"))
    } else if is(DENIED) || status == 401 || status == 403 {
        (CallOutcome::Denied, format!("access denied; allow the IAM action `{call}` to this caller"))
    } else if code.ends_with("NotFound") || code.ends_with("NotFoundException") || status == 404 {
        (
            CallOutcome::Rejected,
            owned("not found; check the ARN, the account and the region, and whether it was deleted"),
        )
    } else {
        (CallOutcome::Rejected, owned("refused as invalid; what AWS says is the remedy"))
    }
}

/// Longest part of a service's own message that is shown: encoded authorisation failures run to kilobytes.
const DETAIL_MAX: usize = 400;

/// What the service said, its code, and the request id.
fn detail(failure: &Failure) -> String {
    let code = failure.code.as_deref();
    // A refused signature is answered with the canonical request, session token included.
    let said = if code.is_some_and(|code| UNKNOWN_CALLER.contains(&code)) { "" } else { failure.message.trim() };
    let said: String = said.chars().take(DETAIL_MAX).collect();
    let id = failure.request_id.as_deref().map(|id| format!("request id {id}"));
    let parts = [code.map(str::to_owned), Some(said).filter(|said| !said.is_empty()), id];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::TroubleKind;

    const MODIFY: Call = Call::elb("ModifyRule");

    fn answer(code: &str, status: u16, message: &str) -> CallError {
        let failure = Failure {
            stage: Stage::Answered,
            code: Some(code.to_owned()),
            message: message.to_owned(),
            status: Some(status),
            request_id: Some("0e4f-11".to_owned()),
        };
        explain(MODIFY, &failure)
    }

    #[test]
    fn what_passes_by_itself_is_transient() {
        for (code, status) in [
            ("Throttling", 400),
            ("ThrottlingException", 400),
            ("RequestLimitExceeded", 503),
            ("InternalFailure", 500),
            ("ServiceUnavailable", 503),
            ("Whatever", 502),
            ("Whatever", 429),
            ("RequestTimeout", 400),
        ] {
            assert_eq!(answer(code, status, "").trouble.kind, TroubleKind::Transient, "{code} {status}");
        }
    }

    #[test]
    fn what_needs_a_person_is_refused() {
        for (code, status) in [
            ("AccessDenied", 403),
            ("ExpiredToken", 403),
            ("InvalidClientTokenId", 403),
            ("RuleNotFound", 400),
            ("ValidationError", 400),
            ("InvalidLoadBalancerAction", 400),
            ("TooManyTargetGroups", 400),
            ("Novelty", 400),
        ] {
            assert_eq!(answer(code, status, "").trouble.kind, TroubleKind::Refused, "{code} {status}");
        }
    }

    #[test]
    fn access_denied_names_the_action_to_allow() {
        let error = answer("AccessDenied", 403, "User is not authorized to perform this");
        assert!(error.trouble.message.contains("allow the IAM action `elasticloadbalancing:ModifyRule`"), "{error}");
        assert!(error.trouble.message.contains("request id 0e4f-11"), "{error}");
        assert_eq!(error.outcome, CallOutcome::Denied);
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (code, message, remedy) in [
            ("RuleNotFound", "no such rule", "check the ARN"),
            ("ExpiredToken", "expired", "renew them"),
            ("RequestExpired", "", "clock"),
            ("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z", "clock"),
            ("InvalidClientTokenId", "", "check the role"),
            ("ValidationError", "weight must be at most 999", "weight must be at most 999"),
        ] {
            let error = answer(code, 400, message);
            assert!(error.trouble.message.contains(remedy), "{code}: {error}");
        }
    }

    #[test]
    fn a_refused_signature_does_not_show_the_session_token() {
        let error = answer("SignatureDoesNotMatch", 403, "canonical: x-amz-security-token:SECRET");
        assert!(!error.trouble.message.contains("SECRET"), "{error}");
    }

    #[test]
    fn a_long_message_is_cut() {
        let error = answer("AccessDenied", 403, &"é".repeat(5000));
        assert!(error.trouble.message.chars().count() < 700, "{}", error.trouble.message.len());
    }

    #[test]
    fn an_answer_that_never_came_may_have_been_carried_out() {
        let lost =
            explain(MODIFY, &Failure { stage: Stage::Lost, message: "timed out".to_owned(), ..Failure::default() });
        assert_eq!(lost.trouble.kind, TroubleKind::Transient);
        assert!(lost.trouble.message.contains("may or may not have been carried out"), "{lost}");
        let garbled = explain(MODIFY, &Failure { stage: Stage::Garbled, ..Failure::default() });
        assert_eq!(garbled.trouble.kind, TroubleKind::Transient);
    }

    #[test]
    fn a_success_that_cannot_be_read_may_have_been_carried_out() {
        use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
        use aws_sdk_elasticloadbalancingv2::operation::modify_rule::ModifyRuleError;
        use aws_smithy_types::body::SdkBody;
        let answer = |status: u16| {
            let raw = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            let error: SdkError<ModifyRuleError> = SdkError::service_error(ModifyRuleError::unhandled("not XML"), raw);
            explain(MODIFY, &Failure::of(&error))
        };
        let success = answer(200);
        assert_eq!((success.trouble.kind, success.outcome), (TroubleKind::Transient, CallOutcome::Lost));
        assert_eq!(answer(400).trouble.kind, TroubleKind::Refused);
    }

    #[test]
    fn no_credentials_is_for_a_person() {
        let none = explain(MODIFY, &Failure { stage: Stage::NoCredentials, ..Failure::default() });
        assert_eq!((none.trouble.kind, none.outcome), (TroubleKind::Refused, CallOutcome::Denied));
    }
}
