//! The bets: how much evidence one period's counts carry, for one alternative.
//!
//! Each function returns the logarithm of an e-value: a non-negative number whose expectation is at most 1 while the
//! hypothesis it bets against holds. Products of e-values are test martingales (Ville 1939; Shafer 2021; Grünwald, de
//! Heide and Koolen 2024), so evidence may be looked at after every period.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::tilt::{is_poisson, reference_gain, tilt, untilt};

/// More requests than any load balancer serves in a period; keeps sums and squares finite for ever.
const MOST_REQUESTS: f64 = 1e12;
/// Interpolated counts may be fractions, but a fraction this small is no traffic.
const LEAST_REQUESTS: f64 = 1e-6;

/// Requests of one side in one period, and how many of them were bad. May be fractions when interpolated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were answered, or should have been.
    #[serde(rename = "n")]
    pub requests: f64,
    /// Those that were bad: errors, 4xx or slow ones, whatever the check counts.
    #[serde(rename = "k")]
    pub bad: f64,
}

impl Counts {
    /// A side that got no requests, or of which nothing is known.
    pub const NONE: Self = Self { requests: 0.0, bad: 0.0 };

    /// Counts as they were read; [`Evidence`](super::Evidence) cleans them before use.
    pub fn new(requests: f64, bad: f64) -> Self {
        Self { requests, bad }
    }

    /// Share of bad requests, or `None` without requests.
    pub fn ratio(self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.bad / self.requests)
    }

    /// The same with everything impossible removed: not-a-number and negative become 0, bad is at most requests.
    #[must_use]
    pub fn cleaned(self) -> Self {
        let requests = if self.requests >= LEAST_REQUESTS { self.requests.min(MOST_REQUESTS) } else { 0.0 };
        let bad = if self.bad > 0.0 { self.bad.min(requests) } else { 0.0 };
        Self { requests, bad }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.bad += other.bad;
    }
}

/// Variance of the two sides' counts beyond Poisson, as β = variance/mean − 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Noise {
    /// β of green's bad requests.
    pub green: f64,
    /// β of blue's.
    pub blue: f64,
}

/// The stakes of one bet on the split of bad requests between the sides.
pub(super) struct Stakes {
    /// Won per bad request of green.
    pub win: f64,
    /// Lost per bad request of blue.
    pub loss: f64,
    /// Expected gain per bad request that green may have: what an absolute margin costs.
    pub gain: f64,
}

/// The stakes that win most when green's odds are `m` times `odds`, and nothing on average when they are `odds`.
pub(super) fn stakes(odds: f64, m: f64, noise: Noise) -> Stakes {
    let full = ((m * odds + 1.0) / (odds + 1.0)).ln();
    let loss = if is_poisson(noise.blue) {
        full
    } else {
        let stake = m.powf(1.0 / (1.0 + noise.green / (noise.blue * odds))) - 1.0;
        1.0 / (1.0 / full + noise.blue / stake)
    };
    let gain = untilt(loss, noise.blue) / odds;
    Stakes { win: tilt(gain, noise.green), loss, gain }
}

/// Evidence that green is worse than `rho`·blue + δ in this period, betting on `m` times that rate.
///
/// With Poisson noise this is the likelihood ratio of the split of the bad requests between the sides given their
/// sum (Przyborowski and Wilenski 1940), so whatever moves both sides alike cancels. Blue must have requests.
pub fn concurrent(settings: &Settings, rho: f64, m: f64, blue: Counts, green: Counts, noise: Noise) -> f64 {
    let stakes = stakes(rho * green.requests / blue.requests, m, noise);
    stakes.win * green.bad - stakes.loss * blue.bad - settings.delta * green.requests * stakes.gain
}

/// Evidence that a side's rate is above `base` (a known reference), betting on `m` times that rate.
pub fn historical(base: f64, m: f64, side: Counts, beta: f64) -> f64 {
    let gain = reference_gain(m, beta);
    tilt(gain, beta) * side.bad - side.requests * base * gain
}

/// Evidence that green is better than `rho_p`·blue + `margin`, betting a share `a` in (0, 1). Blue must have requests.
pub fn promotion(settings: &Settings, margin: f64, a: f64, blue: Counts, green: Counts, noise: Noise) -> f64 {
    let t = -(-a).ln_1p() / (1.0 + noise.green);
    let gain = untilt(t, noise.green);
    -t * green.bad
        + tilt(settings.rho_p * green.requests / blue.requests * gain, noise.blue) * blue.bad
        + gain * green.requests * margin
}
