//! The judge of response times: slow requests are counted against thresholds that blue's own past sets.

use serde::{Deserialize, Serialize};

use super::check::{Finding, Terms, as_number};
use super::observation::{Period, SideCounts};
use crate::judge::latency::{Latency, LatencyEvidence, Percentile, deciding};
use crate::judge::{Evidence, Wording};

/// Most periods of blue's past that set the thresholds: twelve hours of minutes. More would only make them older.
const PAST_MAX: usize = 720;

/// Without any past, blue's periods beside green set the thresholds, once there are this many.
const PAST_MIN: usize = 10;

/// What the judge has accumulated for a latency check.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencyJudge {
    /// Blue's past, until the thresholds are frozen.
    past: Vec<Latency>,
    /// Thresholds and evidence, from the first weight on.
    evidence: Option<LatencyEvidence>,
    /// The weights that were set before the thresholds were frozen: the last of them.
    step: Option<(f64, Option<f64>)>,
}

impl LatencyJudge {
    pub(super) fn history(&mut self, _terms: &Terms, period: &Period) {
        if self.evidence.is_none()
            && let Some(blue) = latency(&period.blue)
        {
            if self.past.len() >= PAST_MAX {
                self.past.remove(0);
            }
            self.past.push(blue);
        }
    }

    pub(super) fn step(&mut self, terms: &Terms, now: f64, next: Option<f64>) {
        self.step = Some((now, next));
        if self.evidence.is_none() && !self.past.is_empty() {
            // From green's first traffic on, blue may be touched by green.
            self.freeze(terms);
        } else if let Some(evidence) = &mut self.evidence {
            evidence.step(&terms.settings, now, next);
        }
    }

    /// A period in which green served nothing, or of which no response times are known, says nothing here: whether
    /// green answers at all is the question of the `errors` check.
    pub(super) fn update(&mut self, terms: &Terms, period: &Period) -> Option<Finding> {
        let green = latency(&period.green)?;
        if self.evidence.is_none() {
            self.history(terms, period);
            if self.past.len() >= PAST_MIN {
                self.freeze(terms);
            }
            return None;
        }
        let nothing = Latency::Percentiles { requests: 0.0, percentiles: Vec::new() };
        let blue = latency(&period.blue).unwrap_or(nothing);
        let evidence = self.evidence.as_mut()?;
        let readings = evidence.update(&terms.settings, &blue, &green, terms.period_s);
        let reading = deciding(&readings)?.clone();
        let place = readings.iter().position(|one| *one == reading)?;
        let threshold_s = evidence.checks().get(place)?.threshold;
        Some(Finding { reading, wording: Wording::slow(threshold_s * 1000.0) })
    }

    /// Evidence about the lowest threshold, which has the most data.
    pub(super) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()?.checks().first().map(|check| &check.evidence)
    }

    fn freeze(&mut self, terms: &Terms) {
        let past = std::mem::take(&mut self.past);
        let mut evidence = LatencyEvidence::freeze(&terms.settings, &past, terms.period_s);
        if let Some((now, next)) = self.step {
            evidence.step(&terms.settings, now, next);
        }
        self.evidence = Some(evidence);
    }
}

fn latency(side: &SideCounts) -> Option<Latency> {
    let seen = side.latency.filter(|_| side.requests > 0)?;
    let points = [(50.0, seen.p50), (90.0, seen.p90), (99.0, seen.p99)];
    let percentiles = points.into_iter().map(|(percent, latency)| Percentile { percent, latency }).collect();
    Some(Latency::Percentiles { requests: as_number(side.requests), percentiles })
}
