//! Datapoints, when they become visible, and the statistics that CloudWatch makes of them.

use super::clock::Millis;
use super::wire::AwsError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What names a metric: namespace, name, and the exact set of dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricKey {
    /// Such as `AWS/ApplicationELB`.
    pub(crate) namespace: String,
    /// Such as `RequestCount`.
    pub(crate) name: String,
    /// Dimension names and values; a query must name exactly these.
    pub(crate) dimensions: BTreeMap<String, String>,
}

impl MetricKey {
    /// A metric of `AWS/ApplicationELB`.
    pub(crate) fn alb(name: &str, dimensions: &[(&str, &str)]) -> Self {
        let dimensions = dimensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self { namespace: "AWS/ApplicationELB".to_owned(), name: name.to_owned(), dimensions: dimensions.collect() }
    }

    /// The unit that the metric is published with.
    pub(crate) fn unit(&self) -> &'static str {
        match self.name.as_str() {
            "TargetResponseTime" => "Seconds",
            _ => "Count",
        }
    }
}

/// Values seen in one instant, and since when they can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    /// When it was measured.
    pub(crate) at: Millis,
    /// From when on queries see it.
    pub(crate) visible_from: Millis,
    /// Values, and how often each was seen.
    pub(crate) values: Vec<(f64, f64)>,
}

/// All datapoints.
#[derive(Debug, Default)]
pub(crate) struct MetricStore {
    series: BTreeMap<MetricKey, BTreeMap<Millis, Vec<Point>>>,
}

/// Datapoints older than this are forgotten, as CloudWatch forgets.
const RETENTION_MS: Millis = 15 * 24 * 3600 * 1000;

impl MetricStore {
    /// Adds a datapoint.
    pub(crate) fn push(&mut self, key: MetricKey, mut point: Point) {
        // percentiles sort again, which costs little once values are in order
        point.values.sort_by(|left, right| left.0.total_cmp(&right.0));
        let series = self.series.entry(key).or_default();
        let oldest = point.at - RETENTION_MS;
        while series.first_key_value().is_some_and(|(at, _)| *at < oldest) {
            series.pop_first();
        }
        series.entry(point.at).or_default().push(point);
    }

    /// Forgets everything about the metrics with this name, or about all.
    pub(crate) fn clear(&mut self, name: Option<&str>) {
        self.series.retain(|key, _| name.is_some_and(|name| key.name != name));
    }

    /// Values and counts measured in `[from, to)` that can be read at `now`; empty when there are none.
    fn values(&self, key: &MetricKey, from: Millis, to: Millis, now: Millis) -> Vec<(f64, f64)> {
        let Some(series) = self.series.get(key) else { return Vec::new() };
        let points = series.range(from..to).flat_map(|(_, points)| points);
        points.filter(|point| point.visible_from <= now).flat_map(|point| point.values.clone()).collect()
    }

    /// The statistic of every period that has data, oldest first.
    pub(crate) fn query(&self, key: &MetricKey, stat: Stat, span: Span, now: Millis) -> Vec<(Millis, f64)> {
        let mut found = Vec::new();
        let Some(series) = self.series.get(key) else { return found };
        let mut at = span.start;
        while at < span.end {
            // jump over the periods before the next datapoint
            let Some((next, _)) = series.range(at..).next() else { break };
            at += (next - at) / span.period * span.period;
            if at >= span.end {
                break;
            }
            let values = self.values(key, at, at + span.period, now);
            if let Some(value) = stat.of(values) {
                found.push((at, value));
            }
            at += span.period;
        }
        found
    }
}

/// The window and period of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first period starts here.
    pub(crate) start: Millis,
    /// No period starts at or after this.
    pub(crate) end: Millis,
    /// The length of a period.
    pub(crate) period: Millis,
}

/// A statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stat {
    /// Sum of the values.
    Sum,
    /// Mean of the values.
    Average,
    /// The smallest value.
    Minimum,
    /// The greatest value.
    Maximum,
    /// How many values.
    SampleCount,
    /// The value that this percentage of the values does not exceed.
    Percentile(f64),
}

impl Stat {
    /// Reads `Sum`, `p99`, `p99.9`, …
    pub(crate) fn parse(text: &str) -> Result<Self, AwsError> {
        let percentile = || {
            let digits = text.strip_prefix('p')?;
            let value = digits.parse::<f64>().ok()?;
            (digits.starts_with(|first: char| first.is_ascii_digit()) && value <= 100.0).then_some(value)
        };
        match text {
            "Sum" => Ok(Self::Sum),
            "Average" => Ok(Self::Average),
            "Minimum" => Ok(Self::Minimum),
            "Maximum" => Ok(Self::Maximum),
            "SampleCount" => Ok(Self::SampleCount),
            _ => percentile()
                .map(Self::Percentile)
                .ok_or_else(|| AwsError::validation(format!("The value {text} for parameter Stat is not supported."))),
        }
    }

    /// The statistic of some values; `None` when there are none.
    fn of(self, mut values: Vec<(f64, f64)>) -> Option<f64> {
        let count: f64 = values.iter().map(|(_, times)| times).sum();
        if count <= 0.0 {
            return None;
        }
        let sum: f64 = values.iter().map(|(value, times)| value * times).sum();
        Some(match self {
            Self::Sum => sum,
            Self::Average => sum / count,
            Self::Minimum => values.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min),
            Self::Maximum => values.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max),
            Self::SampleCount => count,
            Self::Percentile(percent) => {
                values.sort_by(|left, right| left.0.total_cmp(&right.0));
                let rank = percent / 100.0 * count;
                let mut seen = 0.0;
                let reached = values.iter().find(|(_, times)| {
                    seen += times;
                    seen >= rank
                });
                reached.or(values.last())?.0
            }
        })
    }
}
