//! Synthetic traffic: seeded, so that every run sees the same.

use greenshift::judge::{Counts, Evidence, Settings};
use rand::Rng;

/// Blue alone before the rollout.
pub(crate) struct History {
    pub(crate) rate_per_s: f64,
    pub(crate) ratio: f64,
    pub(crate) periods: u32,
    pub(crate) period_s: f64,
}

/// A Poisson variate: by inversion when the mean is small, else by the normal approximation with a correction.
pub(crate) fn poisson(rng: &mut impl Rng, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(rng) + 0.5).floor().max(0.0);
    }
    let (mut k, mut p, mut u) = (0.0, (-mean).exp(), rng.random::<f64>());
    while u > p && k < 500.0 {
        u -= p;
        k += 1.0;
        p *= mean / k;
    }
    k
}

/// A standard normal variate (Box and Muller).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A side's counts in a period: about `mean` requests of which a share `ratio` is bad.
pub(crate) fn counts(rng: &mut impl Rng, mean: f64, ratio: f64) -> Counts {
    let requests = poisson(rng, mean);
    Counts::new(requests, poisson(rng, requests * ratio.min(1.0)).min(requests))
}

/// Evidence that has seen this history.
pub(crate) fn warmed_up(rng: &mut impl Rng, settings: &Settings, past: &History) -> Evidence {
    let mut evidence = Evidence::new();
    for _ in 0..past.periods {
        evidence.history(settings, counts(rng, past.rate_per_s * past.period_s, past.ratio), past.period_s);
    }
    evidence
}
