//! What can go wrong between a client and AWS, and AWS's request rate limits.

use super::clock::Millis;
use super::wire::AwsError;
use super::world::Settings;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// The request is carried out at once, the answer comes this much later.
    AnswerLate {
        /// Milliseconds of real time.
        ms: u64,
    },
    /// The request is carried out this much later.
    ArriveLate {
        /// Milliseconds of real time.
        ms: u64,
    },
    /// The request is not carried out and never answered; the connection stays open.
    Hang,
    /// The request is carried out and never answered; the connection stays open.
    ApplyThenHang,
    /// The connection is reset before the request is carried out.
    Reset,
    /// The request is carried out, then the connection is closed without an answer.
    LoseAnswer,
    /// The request is carried out, then the connection is closed after some bytes of the answer.
    CutAnswer {
        /// How many bytes, headers included, get through.
        bytes: usize,
    },
    /// The request is carried out twice, as when the network repeats it.
    ApplyTwice,
    /// Refused by a rate limit.
    Throttle,
    /// HTTP 500.
    InternalFailure,
    /// HTTP 503.
    Unavailable,
    /// Not allowed by a policy.
    AccessDenied,
    /// Any other refusal.
    Refuse {
        /// The error code.
        code: String,
        /// The HTTP status.
        status: u16,
    },
    /// A Describe answers the state before the last change.
    StaleRead,
}

impl Fault {
    /// The refusal that it stands for, if it is one.
    pub(crate) fn refusal(&self, operation: &str) -> Option<AwsError> {
        Some(match self {
            Self::Throttle => throttled(),
            Self::InternalFailure => AwsError::with_status("InternalFailure", "Service failure", 500),
            Self::Unavailable => AwsError::with_status("ServiceUnavailable", "Service unavailable", 503),
            Self::AccessDenied => denied(operation),
            Self::Refuse { code, status } => AwsError::with_status(code, "Refused by the stand-in", *status),
            Self::AnswerLate { .. }
            | Self::ArriveLate { .. }
            | Self::Hang
            | Self::ApplyThenHang
            | Self::Reset
            | Self::LoseAnswer
            | Self::CutAnswer { .. }
            | Self::ApplyTwice
            | Self::StaleRead => return None,
        })
    }
}

/// What AWS answers when a rate limit is exceeded.
pub(crate) fn throttled() -> AwsError {
    AwsError::refused("ThrottlingException", "Rate exceeded")
}

/// What AWS answers when no policy allows an action.
pub(crate) fn denied(action: &str) -> AwsError {
    let who = "arn:aws:sts::123456789012:assumed-role/greenshift/controller";
    let why = "because no identity-based policy allows the action";
    let message = format!("User: {who} is not authorized to perform: {action} {why}");
    AwsError::with_status("AccessDenied", message, 403)
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultRule {
    /// An operation, a prefix with a star (`Describe*`), or `*`.
    pub(crate) operation: String,
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// How often it strikes; `None`: until it is cleared.
    #[serde(default)]
    pub(crate) times: Option<u32>,
    /// How many requests it lets pass first.
    #[serde(default)]
    pub(crate) after: u32,
    /// With what probability it strikes.
    #[serde(default = "certain")]
    pub(crate) probability: f64,
}

fn certain() -> f64 {
    1.0
}

impl FaultRule {
    /// Strikes every time until it is cleared.
    pub(crate) fn always(operation: &str, fault: Fault) -> Self {
        Self { operation: operation.to_owned(), fault, times: None, after: 0, probability: 1.0 }
    }

    /// Strikes the next so many times.
    pub(crate) fn times(operation: &str, fault: Fault, times: u32) -> Self {
        Self { times: Some(times), ..Self::always(operation, fault) }
    }

    /// Lets so many requests pass first.
    pub(crate) fn after(self, requests: u32) -> Self {
        Self { after: requests, ..self }
    }

    /// Strikes with this probability.
    pub(crate) fn with_probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    fn concerns(&self, operation: &str) -> bool {
        match self.operation.strip_suffix('*') {
            Some(prefix) => operation.starts_with(prefix),
            None => self.operation == operation,
        }
    }
}

/// Every fault that is set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<FaultRule>,
}

impl Faults {
    /// Sets one more.
    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// Clears all.
    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What is set now.
    pub(crate) fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// The faults that strike this request.
    pub(crate) fn strike(&mut self, operation: &str, rng: &mut StdRng) -> Vec<Fault> {
        let mut struck = Vec::new();
        for rule in &mut self.rules {
            if !rule.concerns(operation) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            if rule.times == Some(0) || rng.random::<f64>() >= rule.probability {
                continue;
            }
            rule.times = rule.times.map(|times| times - 1);
            struck.push(rule.fault.clone());
        }
        self.rules.retain(|rule| rule.times != Some(0));
        struck
    }
}

/// Token buckets by kind of operation.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    levels: BTreeMap<&'static str, (f64, Millis)>,
}

impl Buckets {
    /// Takes a token, or says that there is none.
    pub(crate) fn take(&mut self, settings: &Settings, operation: &str, now: Millis) -> Result<(), AwsError> {
        if !settings.throttle {
            return Ok(());
        }
        let (kind, (burst, refill)) = match operation {
            "GetMetricData" | "DescribeAlarms" => ("cloudwatch", settings.cloudwatch_bucket),
            "GetCallerIdentity" | "AssumeRole" => return Ok(()),
            _ if operation.starts_with("Describe") => ("describe", settings.describe_bucket),
            _ => ("modify", settings.modify_bucket),
        };
        let (level, since) = self.levels.entry(kind).or_insert((burst, now));
        *level = (*level + (now - *since) as f64 / 1000.0 * refill).min(burst);
        *since = now;
        if *level < 1.0 {
            return Err(throttled());
        }
        *level -= 1.0;
        Ok(())
    }
}
