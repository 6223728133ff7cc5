//! Burstiness, learned from the past and paid for in evidence.
//!
//! Errors come in clusters. Taken for independent, a burst on green looks like proof. So the variance of the counts
//! over what independent errors would give is learned at two scales, a period and a block of ten minutes: for blue
//! from its own successive differences, for green from how the errors split between the sides.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::settings::Settings;
use super::tilt::decay;

/// Two readings of an over-dispersion: variance over its Poisson value, at least 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scales {
    pub period: f64,
    pub block: f64,
}

impl Scales {
    pub(super) fn worst(self) -> f64 {
        self.period.max(self.block)
    }
}

/// One accumulated ratio of squared deviation to its Poisson expectation, and how many were added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Spread {
    d: f64,
    e: f64,
    n: f64,
}

impl Spread {
    /// Forgets by `keep`, then adds one squared deviation whose Poisson expectation is `expected`. A single
    /// deviation is limited to `limit` (`hub` times what is usual) and large counts weigh less, so that neither one
    /// outage nor the busy hours own the estimate.
    fn add(&mut self, keep: f64, deviation: f64, expected: f64, limit: f64, e0: f64) {
        let weight = 1.0 / (1.0 + expected / e0);
        self.d = self.d * keep + weight * deviation.min(limit * expected.max(0.25));
        self.e = self.e * keep + weight * expected;
        self.n = self.n * keep + 1.0;
    }

    fn forget(&mut self, keep: f64) {
        self.d *= keep;
        self.e *= keep;
        self.n *= keep;
    }
}

/// Squared successive difference of two counts and its Poisson expectation; nothing without requests in both.
fn difference(before: Counts, now: Counts) -> Option<(f64, f64)> {
    if before.requests <= 0.0 || now.requests <= 0.0 {
        return None;
    }
    let scale = now.requests / before.requests;
    let gap = now.bad - scale * before.bad;
    let expected = now.requests * (before.bad + now.bad) / (before.requests + now.requests);
    Some((gap * gap / (1.0 + scale), expected))
}

/// Blue's own burstiness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct BlueNoise {
    /// Previous period with requests.
    last: Counts,
    period: Spread,
    /// Sum of requests and number of periods, both decayed: the mean period.
    volume: (f64, f64),
    /// The block being filled, its length so far, and the block before it.
    block: Counts,
    block_s: f64,
    last_block: Counts,
    blocks: Spread,
}

impl BlueNoise {
    /// Variance over Poisson variance at both scales, shrunk to 1.
    pub(super) fn scales(&self, s: &Settings) -> Scales {
        let prior = s.c0 + s.np_block * self.blocks.e / self.blocks.n.max(1.0);
        Scales {
            period: ((self.period.d + s.c0) / (self.period.e + s.c0)).max(1.0),
            block: ((self.blocks.d + prior) / (self.blocks.e + prior)).max(1.0),
        }
    }

    /// Mean requests of a period, 0 before the first.
    pub(super) fn mean_requests(&self) -> f64 {
        if self.volume.1 > 0.0 { self.volume.0 / self.volume.1 } else { 0.0 }
    }

    /// Says that the rate may jump now, for a known reason: what comes is not compared with what was.
    pub(super) fn interrupt(&mut self) {
        self.last = Counts::NONE;
        self.last_block = Counts::NONE;
        self.block = Counts::NONE;
        self.block_s = 0.0;
    }

    pub(super) fn learn(&mut self, s: &Settings, blue: Counts, period_s: f64) {
        let now = self.scales(s);
        if blue.requests > 0.0 {
            let keep = decay(period_s, s.h_disp);
            match difference(self.last, blue) {
                Some((d, e)) => self.period.add(keep, d, e, s.hub1 * now.period, s.e0),
                None => self.period.forget(keep),
            }
            self.volume = (self.volume.0 * keep + blue.requests, self.volume.1 * keep + 1.0);
            self.last = blue;
        }
        self.block.add(blue);
        self.block_s += period_s;
        if self.block_s < s.block - 1e-9 {
            return;
        }
        if self.block.requests > 0.0 {
            let keep = decay(self.block_s, s.h_disp);
            match difference(self.last_block, self.block) {
                Some((d, e)) => self.blocks.add(keep, d, e, s.hub_block * now.block, s.e0),
                None => self.blocks.forget(keep),
            }
            self.last_block = self.block;
        }
        self.block = Counts::NONE;
        self.block_s = 0.0;
    }
}

/// Burstiness of green's share of the bad requests, given their sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct SplitNoise {
    /// Green's bad requests and what blue's rate would have given, decayed: the usual ratio of the rates.
    ratio: (f64, f64),
    period: Spread,
    /// Green's requests, decayed like `period.n`.
    volume: f64,
    blue: Counts,
    green: Counts,
    block_s: f64,
    /// The ratio at the start of the block: the split is judged against what was known before.
    block_ratio: f64,
    blocks: Spread,
}

impl Default for SplitNoise {
    fn default() -> Self {
        Self {
            ratio: (0.0, 0.0),
            period: Spread::default(),
            volume: 0.0,
            blue: Counts::NONE,
            green: Counts::NONE,
            block_s: 0.0,
            block_ratio: 1.0,
            blocks: Spread::default(),
        }
    }
}

/// Squared deviation of green's bad requests from its share, and the binomial variance of that share.
fn deviation(ratio: f64, blue: Counts, green: Counts) -> (f64, f64) {
    let share = ratio * green.requests / (ratio * green.requests + blue.requests);
    let total = blue.bad + green.bad;
    let gap = green.bad - share * total;
    (gap * gap, total * share * (1.0 - share))
}

impl SplitNoise {
    /// Variance over Poisson variance at both scales. The prior is the part of blue's burstiness (`blue_worst`) that
    /// may be green's own: what moves both sides alike does not move the split.
    pub(super) fn scales(&self, s: &Settings, green_requests: f64, blue_mean: f64, blue_worst: f64) -> Scales {
        let own = if blue_mean > 0.0 {
            (2.0 * self.mean_requests(green_requests) / blue_mean.max(1.0)).max(s.phi).min(1.0)
        } else {
            1.0
        };
        let expected = 1.0 + (blue_worst - 1.0) * own;
        let p1 = s.c0 + s.np1 * self.period.e / self.period.n.max(1.0);
        let pb = s.c0 + s.np_block * self.blocks.e / self.blocks.n.max(1.0);
        Scales {
            period: ((self.period.d + p1 * expected) / (self.period.e + p1)).max(1.0),
            block: ((self.blocks.d + pb * expected) / (self.blocks.e + pb)).max(1.0),
        }
    }

    /// Green's mean requests in a period with traffic on both sides; `otherwise` before the first.
    pub(super) fn mean_requests(&self, otherwise: f64) -> f64 {
        if self.period.n > 0.0 { self.volume / self.period.n } else { otherwise }
    }

    fn usual_ratio(&self, s: &Settings) -> f64 {
        (self.ratio.0 + s.r0) / (self.ratio.1 + s.r0)
    }

    pub(super) fn learn(&mut self, s: &Settings, blue: Counts, green: Counts, period_s: f64, usual: Scales) {
        if blue.requests > 0.0 && green.requests > 0.0 {
            let (d, e) = deviation(self.usual_ratio(s), blue, green);
            let keep = decay(period_s, s.h_disp);
            self.period.add(keep, d, e, s.hub1 * usual.period, s.e0);
            self.volume = self.volume * keep + green.requests;
            self.green.add(green);
            self.blue.add(blue);
            let keep = decay(period_s, s.h_ratio);
            self.ratio.0 = self.ratio.0 * keep + green.bad;
            self.ratio.1 = self.ratio.1 * keep + blue.bad * green.requests / blue.requests.max(1.0);
        }
        self.block_s += period_s;
        if self.block_s < s.block - 1e-9 {
            return;
        }
        if self.green.requests > 0.0 && self.blue.requests > 0.0 {
            let (d, e) = deviation(self.block_ratio, self.blue, self.green);
            self.blocks.add(decay(self.block_s, s.h_disp), d, e, s.hub_block * usual.block, s.e0);
        }
        self.green = Counts::NONE;
        self.blue = Counts::NONE;
        self.block_s = 0.0;
        self.block_ratio = self.usual_ratio(s);
    }
}
