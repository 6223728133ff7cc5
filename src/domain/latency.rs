//! The judge of response times. (Its body follows with the judge's latency rule.)

use serde::{Deserialize, Serialize};

use super::check::{Finding, Terms};
use super::observation::Period;
use crate::judge::Evidence;

/// What the judge has accumulated for a latency check.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencyJudge {}

impl LatencyJudge {
    pub(super) fn history(&mut self, _terms: &Terms, _period: &Period) {}
    pub(super) fn step(&mut self, _terms: &Terms, _now: f64, _next: Option<f64>) {}
    pub(super) fn update(&mut self, _terms: &Terms, _period: &Period) -> Option<Finding> {
        None
    }
    pub(super) fn evidence(&self) -> Option<&Evidence> {
        None
    }
}
