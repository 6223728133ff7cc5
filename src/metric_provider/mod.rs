//! Where the metrics come from: the port, and one file per source.

pub mod batch;
pub mod cloudwatch;
pub mod memory;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::observation::{AlarmSeen, MetricsSeen, Seen};
use crate::domain::plan::Route;
use crate::domain::time::Span;

/// What one rollout wants to know of its route.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The route whose two sides are compared.
    pub route: Route,
    /// Beginning of the first period wanted, on a period boundary.
    pub from: Timestamp,
    /// End of the last period wanted (exclusive), on a period boundary.
    pub until: Timestamp,
    /// Length of a period.
    pub interval: Span,
    /// Whether response times are wanted (they cost extra series).
    pub latency: bool,
}

/// Reads metrics of many rollouts at once.
#[async_trait]
pub trait MetricProvider: Send + Sync + 'static {
    /// One answer per query, in their order. Periods of which the source holds nothing are absent, zero and absent are
    /// told apart, and an answer that is not whole is marked `partial`; a query without a usable answer is
    /// `Unreadable`. Never partly fails as a whole: each query has an answer of its own.
    async fn fetch(&self, queries: &[Query]) -> Vec<Seen<MetricsSeen>>;

    /// The states of the named alarms, in the order of the names, one each; an alarm that does not exist is `Missing`.
    async fn alarms(&self, names: &[String]) -> Seen<Vec<AlarmSeen>>;
}
