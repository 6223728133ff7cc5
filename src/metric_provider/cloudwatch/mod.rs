//! Metrics of Application Load Balancers from Amazon CloudWatch.
//!
//! # What is read
//!
//! For each of the two target groups, per period (`analysis.interval`), from namespace `AWS/ApplicationELB` with the
//! dimensions `TargetGroup` and `LoadBalancer`:
//!
//! | series | statistic | becomes |
//! |---|---|---|
//! | `RequestCount` | Sum | requests |
//! | `HTTPCode_Target_2XX_Count`, `…3XX…`, `…4XX…`, `…5XX…` | Sum | errors, refusals |
//! | `HealthyHostCount` | Minimum | fewest healthy targets that any node of the load balancer saw |
//! | `TargetResponseTime` | p50, p90, p99 | response times; only when a `latency` check asks for them |
//!
//! and once for their load balancer, with the dimension `LoadBalancer` alone: `HTTPCode_ELB_5XX_Count`, Sum. The
//! permissions needed are `cloudwatch:GetMetricData` and, for `alarms` checks, `cloudwatch:DescribeAlarms`.
//!
//! # What it costs
//!
//! A rollout asks for 13 series, 19 with response times. `GetMetricData` costs about 0.01 USD for 1,000 series asked for,
//! each time that they are asked for, however many data points come back. Read once a minute, a rollout with response
//! times costs 19 × 60 / 1,000 × 0.01 = 0.0114 USD an hour, 0.27 USD a day; every 5 s, twelve times as much. A series that
//! several rollouts want is asked for once. One call carries 500 series, so some 40 rollouts of one account and region
//! (26 with response times).
//!
//! # What counts as an error
//!
//! errors = `Target_5XX` + max(0, `RequestCount` − (`Target_2XX` + `Target_3XX` + `Target_4XX` + `Target_5XX`)),
//! for both sides alike. A target that hangs or refuses connections gives no answer of its own: the load balancer answers
//! 502 or 504, which CloudWatch counts for the load balancer only. The difference finds those requests.
//! `TargetConnectionErrorCount` counts some of them once more, so it is neither added nor read. Requests that a client gave
//! up (460) and connections upgraded by 101 (WebSocket) are in the difference too, on both sides alike.
//!
//! # Absent is not zero
//!
//! CloudWatch keeps no zeros: a series without a point in a period means that nothing of the kind happened, or that it is
//! not in yet. So:
//!
//! * a period of which neither side has requests or answers, nor the load balancer errors of its own, is absent;
//! * a side without requests, while the other has some, served none;
//! * requests with other answers and no 5XX point are zero 5XX;
//! * a young period in which a side has requests and no answers at all is held back, with all behind it, unless something
//!   shows that the side is silent in truth: the load balancer itself answered as many requests with 5XX, beyond what it
//!   did before; or answers of a later period are in; or the other side's answers are in and this side's series are not
//!   new. Three minutes after its end the silence counts as errors in any case. `until` says how far the answer reaches;
//! * answers without requests mean that `RequestCount` is late: the answers count as requests, and the whole reading is
//!   marked partial;
//! * the period that is still running is never read.
//!
//! A count that is not a number, negative or absurd, a data point off the grid, an unknown status: the series cannot be
//! read. If it is one of the five counts of a side, neither can the rollout's metrics in this reading; if it is another one,
//! the reading is marked partial, so that nothing in it counts as good news.

mod alarms;
mod assemble;
mod pace;
mod plan;
mod read;
mod series;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use jiff::Timestamp;

use self::assemble::assemble;
use self::pace::Pace;
use self::plan::{Asked, Batch, plan};
use self::series::Wanted;
use super::{MetricProvider, Query};
use crate::aws::AwsClients;
use crate::clock::Clock;
use crate::domain::observation::{AlarmSeen, MetricsSeen, Seen};
use crate::domain::time::{after, since};

/// Most calls of one reading that are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// Reads from CloudWatch with the credentials of one set of clients. Clones share everything.
#[derive(Clone)]
pub struct CloudWatch {
    clients: AwsClients,
    clock: Arc<dyn Clock>,
    paces: Arc<Mutex<BTreeMap<String, Arc<Pace>>>>,
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudWatch").finish_non_exhaustive()
    }
}

impl CloudWatch {
    /// Reads through these clients; the clock tells which periods are over.
    pub fn new(clients: AwsClients, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock, paces: Arc::default() }
    }

    fn pace(&self, region: &str) -> Arc<Pace> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(paces.entry(region.to_owned()).or_default())
    }

    /// Answers of a batch's queries, with their places. A request that CloudWatch finds invalid as a whole is asked in
    /// halves, so that one bad query spoils no other.
    async fn answer(&self, batch: Batch<'_>, now: Timestamp) -> Vec<(usize, Seen<MetricsSeen>)> {
        let mut answers = Vec::new();
        let mut open = vec![batch];
        while let Some(batch) = open.pop() {
            match self.read(&batch).await {
                Ok(readouts) => answers.extend(
                    batch
                        .asked
                        .iter()
                        .map(|asked| (asked.index, assemble(&asked.query, &asked.wanted, &readouts, now))),
                ),
                Err(error) => match batch.halves() {
                    Some(halves) => open.extend(halves),
                    None => answers
                        .extend(batch.asked.iter().map(|asked| (asked.index, Seen::Unreadable(error.trouble.clone())))),
                },
            }
        }
        answers
    }
}

/// The part of a query's window that is over.
fn over(query: &Query, now: Timestamp) -> Query {
    let interval = query.interval.as_secs().max(1);
    let periods = since(now, query.from).as_secs() / interval;
    let end = query.interval.times(u32::try_from(periods).unwrap_or(u32::MAX));
    Query { until: query.until.min(after(query.from, end)), ..query.clone() }
}

#[async_trait]
impl MetricProvider for CloudWatch {
    async fn fetch(&self, queries: &[Query]) -> Vec<Seen<MetricsSeen>> {
        let now = self.clock.now();
        let mut asked = Vec::new();
        let mut answers: Vec<Seen<MetricsSeen>> = Vec::with_capacity(queries.len());
        for (index, query) in queries.iter().enumerate() {
            let query = over(query, now);
            let nothing = MetricsSeen { until: Some(query.until), ..MetricsSeen::default() };
            answers.push(Seen::Read(nothing));
            match Wanted::of(&query) {
                Ok(wanted) if query.until > query.from => asked.push(Asked { index, query, wanted }),
                Ok(_nothing_is_over_yet) => {}
                Err(trouble) => {
                    answers.pop();
                    answers.push(Seen::Unreadable(trouble));
                }
            }
        }
        let mut reading = Vec::new();
        for batch in plan(&asked) {
            reading.push(self.answer(batch, now));
        }
        let read: Vec<_> = futures::stream::iter(reading).buffer_unordered(CALLS_AT_ONCE).concat().await;
        for (index, answer) in read {
            if let Some(place) = answers.get_mut(index) {
                *place = answer;
            }
        }
        answers
    }

    async fn alarms(&self, names: &[String]) -> Seen<Vec<AlarmSeen>> {
        match self.describe(names).await {
            Ok(alarms) => Seen::Read(alarms),
            Err(trouble) => Seen::Unreadable(trouble),
        }
    }
}

#[cfg(test)]
mod sample {
    //! A query for the tests of this folder.

    use super::series::Wanted;
    use crate::domain::ids::Arn;
    use crate::domain::plan::{AlbRoute, Route};
    use crate::domain::time::{Span, after};
    use crate::metric_provider::Query;

    /// Ten minutes of a route.
    pub(super) fn query() -> Query {
        let arn = |tail: &str| Arn::new(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{tail}"));
        let from = "2026-03-01T12:00:00Z".parse().unwrap();
        Query {
            route: Route::Alb(AlbRoute {
                rules: vec![arn("listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2")],
                blue_target_group: arn("targetgroup/blue/73e2d6bc24d8a067"),
                green_target_group: arn("targetgroup/green/09966783158cda59"),
            }),
            from,
            until: after(from, Span::from_mins(10)),
            interval: Span::from_mins(1),
            latency: false,
        }
    }

    /// Its series.
    pub(super) fn wanted() -> Wanted {
        Wanted::of(&query()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Span;

    #[test]
    fn the_running_period_and_the_future_are_not_asked_for() {
        let query = sample::query();
        let at = |seconds| after(query.from, Span::from_secs(seconds));
        assert_eq!(over(&query, at(59)).until, at(0));
        assert_eq!(over(&query, at(60)).until, at(60));
        assert_eq!(over(&query, at(179)).until, at(120));
        assert_eq!(over(&query, at(86_400)).until, query.until);
        let early = crate::domain::time::before(query.from, Span::from_hours(1));
        assert_eq!(over(&query, early).until, query.from, "a clock that stepped back");
    }
}
