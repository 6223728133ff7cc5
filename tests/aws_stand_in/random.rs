//! Draws from the distributions that traffic follows.

use rand::Rng;
use rand::rngs::StdRng;

/// A Poisson count with this mean.
pub(crate) fn poisson(rng: &mut StdRng, mean: f64) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if mean >= 10.0 {
        return poisson_by_rejection(rng, mean);
    }
    // few events: multiply uniform draws until they fall below e^-mean
    let limit = (-mean).exp();
    let mut product: f64 = rng.random();
    let mut count = 0;
    while product > limit {
        product *= rng.random::<f64>();
        count += 1;
    }
    count
}

/// Transformed rejection with squeeze (W. Hörmann, 1993, algorithm PTRS): exact for means from 10 up.
fn poisson_by_rejection(rng: &mut StdRng, mean: f64) -> u64 {
    let log_mean = mean.ln();
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.024_83 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = rng.random::<f64>() - 0.5;
        let height: f64 = rng.random();
        let folded = 0.5 - u.abs();
        let k = ((2.0 * a / folded + b) * u + mean + 0.43).floor();
        if folded >= 0.07 && height <= squeeze {
            return k as u64;
        }
        if k < 0.0 || (folded < 0.013 && height > folded) {
            continue;
        }
        let left = height.ln() + inverse_alpha.ln() - (a / (folded * folded) + b).ln();
        if left <= k * log_mean - mean - ln_factorial(k) {
            return k as u64;
        }
    }
}

/// ln(k!), by the sum for small k and by Stirling's series for others.
fn ln_factorial(k: f64) -> f64 {
    if k < 10.0 {
        return (2..=k as u32).map(|factor| f64::from(factor).ln()).sum();
    }
    let half_ln_two_pi = 0.918_938_533_204_672_7;
    (k + 0.5) * k.ln() - k + half_ln_two_pi + 1.0 / (12.0 * k) - 1.0 / (360.0 * k.powi(3))
}

/// A log-normal value with this median; `sigma` is the standard deviation of its logarithm.
pub(crate) fn log_normal(rng: &mut StdRng, median: f64, sigma: f64) -> f64 {
    // 1 - u lies in (0, 1], so that its logarithm exists
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * rng.random::<f64>()).cos();
    median * (sigma * normal).exp()
}
