//! Latency, judged as counts of slow requests.
//!
//! A request is slow when it takes longer than a threshold that was frozen from blue's history, at its p95, p99 and
//! three times its p99. Each threshold is a check of its own, with a third of the risk. Counts come from histograms
//! exactly (thresholds lie on bucket bounds), or are interpolated from percentiles, within their range only.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::evidence::Evidence;
use super::reading::{Conclusion, Reading};
use super::settings::Settings;

/// Shares of slow requests at which thresholds are frozen: beyond p95 and beyond p99.
const SLOW_SHARES: [f64; 2] = [0.05, 0.01];
/// The third threshold, in multiples of p99: it sees requests that hang.
const FAR: f64 = 3.0;
/// Shortest latency told apart from nothing, in the unit of the caller.
const LEAST: f64 = 1e-9;

/// Requests up to a latency: one bucket of a cumulative histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound (`le`), +∞ for the last.
    pub upper: f64,
    /// Requests that took at most that.
    pub cumulative: f64,
}

/// A percentile of the latency in one period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Which, 0 to 100 exclusive: 99 for p99.
    pub percent: f64,
    /// The latency that so many requests do not exceed.
    pub latency: f64,
}

/// Latency of one side in one period, as its source gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// Cumulative buckets, increase over the period (Prometheus).
    Histogram(Vec<Bucket>),
    /// Number of requests, and some percentiles (CloudWatch).
    Percentiles {
        /// Requests in the period.
        requests: f64,
        /// Percentiles in any order; at least two are needed.
        percentiles: Vec<Percentile>,
    },
    /// Requests over given thresholds, counted by the source itself (CloudWatch's `TC(threshold:)`): exact, and at
    /// these thresholds only.
    Counted {
        /// Requests in the period.
        requests: f64,
        /// Thresholds and the requests slower than each.
        over: Vec<Over>,
    },
}

/// Requests slower than a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Over {
    /// The threshold.
    pub threshold: f64,
    /// How many took longer.
    pub slow: f64,
}

/// The parts of a latency that make sense, in ascending order.
enum Clean {
    Histogram(Vec<Bucket>),
    Percentiles { requests: f64, points: Vec<(f64, f64)> },
    Counted { requests: f64 },
}

impl Latency {
    /// Requests of the period.
    pub fn requests(&self) -> f64 {
        match self.clean() {
            Clean::Histogram(buckets) => buckets.last().map_or(0.0, |last| last.cumulative),
            Clean::Percentiles { requests, .. } | Clean::Counted { requests } => requests,
        }
    }

    /// Requests and those slower than `threshold`.
    ///
    /// A histogram gives them exactly at a bucket bound, and by linear interpolation between bounds. Percentiles
    /// give them by interpolating the share of slower requests, log against log. `None` when the source says nothing
    /// about this threshold: fewer than two percentiles, or beyond the last bound.
    pub fn slow(&self, threshold: f64) -> Option<Counts> {
        if threshold.is_nan() || threshold <= 0.0 {
            return None;
        }
        match self.clean() {
            Clean::Histogram(buckets) => {
                let total = buckets.last().map_or(0.0, |last| last.cumulative);
                if total <= 0.0 {
                    return Some(Counts::NONE);
                }
                let fast = up_to(&buckets, threshold)?;
                Some(Counts::new(total, total - fast).cleaned())
            }
            Clean::Percentiles { requests, .. } | Clean::Counted { requests } if requests <= 0.0 => Some(Counts::NONE),
            Clean::Counted { requests } => {
                let Self::Counted { over, .. } = self else { return None };
                let same = |o: &&Over| (o.threshold - threshold).abs() <= 1e-9 * threshold;
                over.iter().find(same).map(|o| Counts::new(requests, o.slow).cleaned())
            }
            Clean::Percentiles { requests, points } => {
                Some(Counts::new(requests, requests * slower_share(&points, threshold)?).cleaned())
            }
        }
    }

    fn clean(&self) -> Clean {
        match self {
            Self::Histogram(buckets) => {
                let mut buckets: Vec<Bucket> = buckets
                    .iter()
                    .filter(|b| b.upper > 0.0)
                    .map(|b| Bucket { upper: b.upper, cumulative: Counts::new(b.cumulative, 0.0).cleaned().requests })
                    .collect();
                buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
                let mut most = 0.0;
                for bucket in &mut buckets {
                    most = bucket.cumulative.max(most);
                    bucket.cumulative = most;
                }
                Clean::Histogram(buckets)
            }
            Self::Percentiles { requests, percentiles } => {
                // (latency, share of slower requests), the latency rising with the percentile.
                let mut points: Vec<(f64, f64)> = percentiles
                    .iter()
                    .filter(|p| p.percent > 0.0 && p.percent < 100.0 && p.latency > 0.0 && p.latency.is_finite())
                    .map(|p| (p.latency.max(LEAST), 1.0 - p.percent / 100.0))
                    .collect();
                points.sort_by(|a, b| b.1.total_cmp(&a.1));
                let mut longest = 0.0;
                for point in &mut points {
                    longest = point.0.max(longest);
                    point.0 = longest;
                }
                Clean::Percentiles { requests: Counts::new(*requests, 0.0).cleaned().requests, points }
            }
            Self::Counted { requests, .. } => {
                Clean::Counted { requests: Counts::new(*requests, 0.0).cleaned().requests }
            }
        }
    }
}

/// Requests up to `threshold`; `None` beyond the last finite bound, where nothing is known.
fn up_to(buckets: &[Bucket], threshold: f64) -> Option<f64> {
    let mut below = Bucket { upper: 0.0, cumulative: 0.0 };
    for bucket in buckets {
        if bucket.upper >= threshold {
            if bucket.upper.is_infinite() {
                return None;
            }
            let part = ((threshold - below.upper) / (bucket.upper - below.upper)).clamp(0.0, 1.0);
            return Some(below.cumulative + part * (bucket.cumulative - below.cumulative));
        }
        below = *bucket;
    }
    None
}

/// Share of requests slower than `threshold`: between two percentiles, and as far as the outer pairs reach, ln share
/// is taken as linear in ln latency.
fn slower_share(points: &[(f64, f64)], threshold: f64) -> Option<f64> {
    let at = threshold.ln();
    let mut share = None;
    for (low, high) in points.iter().zip(points.iter().skip(1)) {
        if share.is_some() && at < low.0.ln() {
            break;
        }
        let width = (high.0.ln() - low.0.ln()).max(1e-6);
        let slope = (high.1.ln() - low.1.ln()) / width;
        share = Some((low.1.ln() + (at - low.0.ln()) * slope).exp().clamp(0.0, 1.0));
    }
    share
}

/// The latency that a share of requests exceeds, from percentiles.
fn quantile(points: &[(f64, f64)], share: f64) -> Option<f64> {
    let at = share.ln();
    let mut latency = None;
    for (low, high) in points.iter().zip(points.iter().skip(1)) {
        if latency.is_some() && share > low.1 {
            break;
        }
        let width = (low.1.ln() - high.1.ln()).max(1e-9);
        let slope = (high.0.ln() - low.0.ln()) / width;
        latency = Some((low.0.ln() + (low.1.ln() - at) * slope).clamp(-700.0, 700.0).exp());
    }
    latency
}

/// Thresholds for a history of blue: what its p95, p99 and three times its p99 were. Empty when nothing is known.
///
/// On histograms they are moved up to the next bucket bound, where counts are exact, and dropped beyond the last.
/// From percentiles come the first two only: nothing is known beyond p99.
pub fn thresholds(history: &[Latency]) -> Vec<f64> {
    let mut found: Vec<f64> = SLOW_SHARES.iter().filter_map(|&share| threshold_at(history, share)).collect();
    if let (Some(buckets), Some(p99)) = (merged_histogram(history), found.last().copied()) {
        let far = finite(&buckets).find(|upper| *upper >= FAR * p99);
        found.extend(far);
    }
    found.sort_by(f64::total_cmp);
    found.dedup();
    found
}

/// The latency that a share of blue's requests exceeded in its history (0.05 for p95), or `None` when nothing is known.
///
/// From histograms the next bucket bound of the whole history, from percentiles the median of the periods.
pub fn threshold_at(history: &[Latency], share: f64) -> Option<f64> {
    if let Some(buckets) = merged_histogram(history) {
        let total = buckets.last().map_or(0.0, |last| last.cumulative);
        let enough = |bucket: &&Bucket| bucket.upper.is_finite() && bucket.cumulative >= (1.0 - share) * total;
        return buckets.iter().find(enough).map(|bucket| bucket.upper);
    }
    let mut seen: Vec<f64> = history
        .iter()
        .filter_map(|latency| match latency.clean() {
            Clean::Percentiles { requests, points } if requests > 0.0 => quantile(&points, share),
            Clean::Percentiles { .. } | Clean::Histogram(_) | Clean::Counted { .. } => None,
        })
        .filter(|latency| latency.is_finite())
        .collect();
    seen.sort_by(f64::total_cmp);
    seen.get(seen.len() / 2).copied()
}

/// The finite bounds of a histogram.
fn finite(buckets: &[Bucket]) -> impl Iterator<Item = f64> {
    buckets.iter().map(|bucket| bucket.upper).filter(|upper| upper.is_finite())
}

/// The sum of all histograms of a history, or `None` when it holds none with requests.
fn merged_histogram(history: &[Latency]) -> Option<Vec<Bucket>> {
    let mut sum: Vec<Bucket> = Vec::new();
    for latency in history {
        let Clean::Histogram(buckets) = latency.clean() else { continue };
        // Buckets may be reconfigured under way: the newest layout counts.
        let same =
            sum.len() == buckets.len() && sum.iter().zip(&buckets).all(|(a, b)| a.upper.to_bits() == b.upper.to_bits());
        if !same {
            sum = buckets;
            continue;
        }
        for (total, bucket) in sum.iter_mut().zip(buckets) {
            total.cumulative += bucket.cumulative;
        }
    }
    sum.last().is_some_and(|last| last.cumulative > 0.0).then_some(sum)
}

/// The checks of one latency: a threshold and its evidence each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyEvidence {
    checks: Vec<LatencyCheck>,
}

/// One threshold and what is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyCheck {
    /// A request is slow when it takes longer; unit of the caller.
    pub threshold: f64,
    /// The evidence about slow requests.
    pub evidence: Evidence,
}

impl LatencyEvidence {
    /// Freezes the thresholds from blue's history, oldest first, and learns from it.
    pub fn freeze(settings: &Settings, history: &[Latency], period_s: f64) -> Self {
        Self::freeze_at(settings, &thresholds(history), history, period_s)
    }

    /// The same at thresholds of the caller's choice; ones that are no latency are left out.
    pub fn freeze_at(settings: &Settings, thresholds: &[f64], history: &[Latency], period_s: f64) -> Self {
        let sound = thresholds.iter().copied().filter(|threshold| *threshold > 0.0 && threshold.is_finite());
        let checks = sound.map(|threshold| LatencyCheck { threshold, evidence: Evidence::new() }).collect();
        let mut evidence = Self { checks };
        let own = evidence.share_risk(settings);
        for latency in history {
            for check in &mut evidence.checks {
                if let Some(blue) = latency.slow(check.threshold) {
                    check.evidence.history(&own, blue, period_s);
                }
            }
        }
        evidence
    }

    /// The frozen thresholds; none when the history said nothing.
    pub fn checks(&self) -> &[LatencyCheck] {
        &self.checks
    }

    /// As [`Evidence::step`].
    pub fn step(&mut self, settings: &Settings, weight_now: f64, weight_next: Option<f64>) {
        let own = self.share_risk(settings);
        for check in &mut self.checks {
            check.evidence.step(&own, weight_now, weight_next);
        }
    }

    /// As [`Evidence::update`], one reading per threshold. When either side says nothing about a threshold, the period
    /// counts as missing for it: silence of a metric is not silence of a fleet.
    pub fn update(&mut self, settings: &Settings, blue: &Latency, green: &Latency, period_s: f64) -> Vec<Reading> {
        let own = self.share_risk(settings);
        self.checks
            .iter_mut()
            .map(|check| {
                let (blue, green) = match (blue.slow(check.threshold), green.slow(check.threshold)) {
                    (Some(blue), Some(green)) => (blue, green),
                    (Some(_), None) | (None, _) => (Counts::NONE, Counts::NONE),
                };
                check.evidence.update(&own, blue, green, period_s)
            })
            .collect()
    }

    fn share_risk(&self, settings: &Settings) -> Settings {
        settings.clone().shared_by(u32::try_from(self.checks.len()).unwrap_or(u32::MAX))
    }
}

/// The reading that decides for several of one check: the worst; for an advance all must agree.
pub fn deciding(readings: &[Reading]) -> Option<&Reading> {
    let rank = |reading: &Reading| match reading.conclusion {
        Conclusion::Rollback => 3,
        Conclusion::Hold => 2,
        Conclusion::Continue => 1,
        Conclusion::Advance => 0,
    };
    // Of equals the first: the lowest threshold has the most data.
    readings.iter().rev().max_by_key(|reading| rank(reading))
}
