//! `GetMetricData` with all its pages, and what each series was answered.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::{
    Dimension, MessageData, Metric as MetricName, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode,
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use tracing::warn;

use super::CloudWatch;
use super::plan::Batch;
use super::series::{NAMESPACE, Series};
use crate::aws::{Call, CallError, CallOutcome};
use crate::domain::observation::{Trouble, TroubleKind};

/// Most pages of one answer: far more than CloudWatch needs for 500 series, and an end for a token that leads in circles.
const PAGES_MAX: usize = 100;

/// Longest part of CloudWatch's own messages that is shown.
const MESSAGE_MAX: usize = 400;

/// What was read of one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Readout {
    /// Data points, as they came.
    pub(super) points: Vec<(Timestamp, f64)>,
    /// Whether they are all.
    pub(super) ending: Ending,
}

/// Whether a series was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// These are all its data points.
    Complete,
    /// There are more that were not given. They come oldest first, so those missing are the newest.
    Partial,
    /// Nothing of it is to be used.
    Failed(Trouble),
}

impl Readout {
    fn failed(trouble: Trouble) -> Self {
        Self { points: Vec::new(), ending: Ending::Failed(trouble) }
    }
}

/// What was read, by series.
pub(super) type Readouts = BTreeMap<Series, Readout>;

impl CloudWatch {
    /// Reads a batch. `Err` when CloudWatch finds the request itself invalid, so that it can be asked in parts.
    pub(super) async fn read(&self, batch: &Batch<'_>) -> Result<Readouts, CallError> {
        // The order of the set gives each series its id.
        let series: Vec<&Series> = batch.series.iter().copied().collect();
        let queries: Vec<MetricDataQuery> = series.iter().enumerate().map(|(at, series)| ask(at, series)).collect();
        let mut answer = Answer::new(series.len());
        let mut token: Option<String> = None;
        let mut seen = BTreeSet::new();
        for _page in 0..PAGES_MAX {
            let page = match self.page(batch, queries.clone(), token.take()).await {
                Ok(page) => page,
                Err(error) if seen.is_empty() && error.outcome == CallOutcome::Rejected => return Err(error),
                Err(error) => {
                    answer.interrupted(&error.trouble);
                    return Ok(answer.by_series(&series));
                }
            };
            answer.add(&page);
            match page.next_token {
                None => return Ok(answer.by_series(&series)),
                Some(next) if seen.insert(next.clone()) => token = Some(next),
                Some(_) => break,
            }
        }
        answer.interrupted(&transient("cloudwatch:GetMetricData: the pages of the answer do not end".to_owned()));
        Ok(answer.by_series(&series))
    }

    async fn page(
        &self,
        batch: &Batch<'_>,
        queries: Vec<MetricDataQuery>,
        token: Option<String>,
    ) -> Result<GetMetricDataOutput, CallError> {
        const CALL: Call = Call::cloudwatch("GetMetricData");
        self.pace(batch.region).get_metric_data(CALL).await?;
        let sending = self
            .clients
            .in_region(batch.region)
            .cloudwatch
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(moment(batch.from))
            .end_time(moment(batch.until))
            // The default is newest first: a cut answer would then lack the oldest periods, of any series differently.
            .scan_by(ScanBy::TimestampAscending)
            .set_next_token(token)
            .send();
        self.clients.call(CALL, Box::pin(sending)).await
    }
}

/// The query for one series. No metric math: where a series has no points, math turns "absent" into numbers.
fn ask(at: usize, series: &Series) -> MetricDataQuery {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let group = series.target_group.as_deref().map(|group| dimension("TargetGroup", group));
    let metric = MetricName::builder()
        .namespace(NAMESPACE)
        .metric_name(series.metric.name())
        .set_dimensions(Some(group.into_iter().chain([dimension("LoadBalancer", &series.load_balancer)]).collect()))
        .build();
    let stat = MetricStat::builder().metric(metric).period(series.period).stat(series.metric.statistic()).build();
    MetricDataQuery::builder().id(id_of(at)).metric_stat(stat).return_data(true).build()
}

/// Ids must begin with a small letter.
fn id_of(at: usize) -> String {
    format!("m{at}")
}

fn index_of(id: &str) -> Option<usize> {
    id.strip_prefix('m')?.parse().ok()
}

fn moment(at: Timestamp) -> DateTime {
    // Between 0 and 999 999 999: subseconds are negative only before 1970, and no window lies there.
    DateTime::from_secs_and_nanos(at.as_second(), u32::try_from(at.subsec_nanosecond()).unwrap_or(0))
}

fn transient(message: String) -> Trouble {
    Trouble { kind: TroubleKind::Transient, message }
}

/// The pages of one answer, put together.
#[derive(Debug)]
struct Answer {
    /// By the number in the id; `None` = nothing came under that id.
    readouts: Vec<Option<Readout>>,
    /// What is wrong with a series for good: part of it was not understood, so no later page can make it whole.
    broken: BTreeMap<usize, Trouble>,
    /// CloudWatch said that it did not carry all of it out.
    reservation: bool,
}

impl Answer {
    fn new(series: usize) -> Self {
        Self { readouts: vec![None; series], broken: BTreeMap::new(), reservation: false }
    }

    /// Adds a page. A series may come in several: its points add up, and the newest status holds.
    fn add(&mut self, page: &GetMetricDataOutput) {
        if !page.messages().is_empty() {
            warn!(said = %joined(page.messages()), "CloudWatch has a reservation about the metrics that it gave");
            self.reservation = true;
        }
        for result in page.metric_data_results() {
            let Some(index) = result.id().and_then(index_of) else { continue };
            let Some(slot) = self.readouts.get_mut(index) else { continue };
            let mut points = slot.take().map(|readout| readout.points).unwrap_or_default();
            match points_of(result) {
                Ok(more) => points.extend(more),
                Err(what) => {
                    self.broken.insert(index, transient(format!("cloudwatch:GetMetricData gave {what}")));
                }
            }
            *slot = Some(Readout { points, ending: ending_of(result) });
        }
    }

    /// The rest did not come: whatever is not complete stays incomplete.
    fn interrupted(&mut self, trouble: &Trouble) {
        for slot in &mut self.readouts {
            match slot {
                Some(Readout { ending: Ending::Complete | Ending::Partial, .. }) => {}
                Some(Readout { ending: Ending::Failed(_), .. }) | None => {
                    *slot = Some(Readout::failed(trouble.clone()));
                }
            }
        }
    }

    fn by_series(self, series: &[&Series]) -> Readouts {
        let Self { readouts, mut broken, reservation } = self;
        let named = series.iter().zip(readouts).enumerate().map(|(index, (series, readout))| {
            let left_out =
                || Readout::failed(transient("cloudwatch:GetMetricData left it out of its answer".to_owned()));
            let mut readout = readout.unwrap_or_else(left_out);
            if reservation && readout.ending == Ending::Complete {
                readout.ending = Ending::Partial;
            }
            if let Some(trouble) = broken.remove(&index) {
                readout.ending = Ending::Failed(trouble);
            }
            ((*series).clone(), readout)
        });
        named.collect()
    }
}

/// The data points of a result, or what is wrong with them.
fn points_of(result: &MetricDataResult) -> Result<Vec<(Timestamp, f64)>, &'static str> {
    let (times, values) = (result.timestamps(), result.values());
    if times.len() != values.len() {
        return Err("not one time for each value");
    }
    let point = |(time, value): (&DateTime, &f64)| {
        let nanos = i32::try_from(time.subsec_nanos()).ok()?;
        Some((Timestamp::new(time.secs(), nanos).ok()?, *value))
    };
    times.iter().zip(values).map(point).collect::<Option<_>>().ok_or("a time that there is not")
}

/// What CloudWatch says of a result.
fn ending_of(result: &MetricDataResult) -> Ending {
    let failed = |kind, what: &str| {
        let said = joined(result.messages());
        let message = if said.is_empty() { what.to_owned() } else { format!("{what} ({said})") };
        Ending::Failed(Trouble { kind, message })
    };
    match result.status_code() {
        Some(StatusCode::Complete) => Ending::Complete,
        Some(StatusCode::PartialData) => Ending::Partial,
        Some(StatusCode::InternalError) => {
            failed(TroubleKind::Transient, "CloudWatch had an internal error; tried again later")
        }
        Some(StatusCode::Forbidden) => failed(
            TroubleKind::Refused,
            "CloudWatch forbids it; allow the IAM action `cloudwatch:GetMetricData` to this caller",
        ),
        Some(other) => failed(TroubleKind::Transient, &format!("CloudWatch gave it the unknown status {other}")),
        None => failed(TroubleKind::Transient, "CloudWatch gave it no status"),
    }
}

fn joined(messages: &[MessageData]) -> String {
    let one = |message: &MessageData| {
        let parts = [message.code(), message.value()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    messages.iter().map(one).collect::<Vec<_>>().join("; ").chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, status: Option<&str>, points: &[(i64, f64)]) -> MetricDataResult {
        MetricDataResult::builder()
            .id(id)
            .set_status_code(status.map(StatusCode::from))
            .set_timestamps(Some(points.iter().map(|(at, _)| DateTime::from_secs(*at)).collect()))
            .set_values(Some(points.iter().map(|(_, value)| *value).collect()))
            .build()
    }

    fn page(results: Vec<MetricDataResult>) -> GetMetricDataOutput {
        GetMetricDataOutput::builder().set_metric_data_results(Some(results)).build()
    }

    #[test]
    fn pages_add_up_and_the_newest_status_holds() {
        let mut answer = Answer::new(1);
        answer.add(&page(vec![result("m0", Some("PartialData"), &[(0, 1.0)])]));
        assert_eq!(answer.readouts[0].as_ref().unwrap().ending, Ending::Partial);
        answer.add(&page(vec![result("m0", Some("Complete"), &[(60, 2.0)])]));
        let readout = answer.readouts[0].as_ref().unwrap();
        assert_eq!((readout.points.len(), &readout.ending), (2, &Ending::Complete));
    }

    #[test]
    fn anything_but_complete_or_partial_fails_the_series_and_no_other() {
        for status in [Some("InternalError"), Some("Forbidden"), Some("Novelty"), None] {
            let mut answer = Answer::new(2);
            answer.add(&page(vec![result("m0", status, &[(0, 1.0)]), result("m1", Some("Complete"), &[])]));
            assert!(matches!(answer.readouts[0].as_ref().unwrap().ending, Ending::Failed(_)), "{status:?}");
            assert_eq!(answer.readouts[1].as_ref().unwrap().ending, Ending::Complete);
        }
    }

    #[test]
    fn a_result_that_was_not_understood_is_not_healed_by_a_later_page() {
        let mut odd = result("m0", Some("PartialData"), &[(0, 1.0), (60, 2.0)]);
        odd.values = Some(vec![1.0]);
        let never = result("m1", Some("PartialData"), &[(i64::MAX, 1.0)]);
        let mut answer = Answer::new(2);
        answer.add(&page(vec![odd, never]));
        answer.add(&page(vec![result("m0", Some("Complete"), &[]), result("m1", Some("Complete"), &[])]));
        let wanted = super::super::sample::wanted();
        let readouts = answer.by_series(&[&wanted.own_errors, &wanted.blue.requests]);
        assert!(readouts.values().all(|readout| matches!(readout.ending, Ending::Failed(_))), "{readouts:?}");
        assert_eq!(readouts.len(), 2);
    }

    #[test]
    fn an_internal_error_on_the_way_loses_no_points() {
        let mut answer = Answer::new(1);
        for (status, at) in [("PartialData", 0), ("InternalError", 60), ("Complete", 120)] {
            answer.add(&page(vec![result("m0", Some(status), &[(at, 1.0)])]));
        }
        let readout = answer.readouts[0].as_ref().unwrap();
        assert_eq!((readout.points.len(), &readout.ending), (3, &Ending::Complete));
    }

    #[test]
    fn results_under_ids_that_nobody_asked_for_are_ignored() {
        let mut answer = Answer::new(1);
        answer.add(&page(["m1", "x", "", "m-1"].map(|id| result(id, Some("Complete"), &[(0, 1.0)])).into()));
        assert_eq!(answer.readouts, [None]);
    }

    #[test]
    fn a_reservation_about_the_whole_answer_makes_every_series_partial() {
        let message = MessageData::builder().code("MaxMetricsExceeded").value("Maximum number exceeded").build();
        let mut whole = page(vec![result("m0", Some("Complete"), &[(0, 1.0)])]);
        whole.messages = Some(vec![message]);
        let mut answer = Answer::new(1);
        answer.add(&whole);
        let series = super::super::sample::wanted().own_errors;
        assert_eq!(answer.by_series(&[&series])[&series].ending, Ending::Partial);
    }

    #[test]
    fn what_had_not_come_when_a_page_failed_is_unreadable() {
        let trouble = transient("throttled".to_owned());
        let mut answer = Answer::new(3);
        answer.add(&page(vec![result("m0", Some("Complete"), &[]), result("m1", Some("PartialData"), &[(0, 1.0)])]));
        answer.interrupted(&trouble);
        let endings: Vec<_> = answer.readouts.iter().flatten().map(|readout| readout.ending.clone()).collect();
        assert_eq!(endings, [Ending::Complete, Ending::Partial, Ending::Failed(trouble)]);
    }

    #[test]
    fn a_series_that_the_answer_leaves_out_is_unreadable() {
        let series = super::super::sample::wanted().own_errors;
        let readouts = Answer::new(1).by_series(&[&series]);
        assert!(matches!(readouts[&series].ending, Ending::Failed(_)));
    }
}
