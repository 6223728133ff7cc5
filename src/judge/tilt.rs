//! Exponential tilts of over-dispersed counts, and sums of numbers kept as logarithms.
//!
//! A count with variance (1 + β) times its mean has, at worst, the moment generating function of a negative
//! binomial: E\[exp(s·k)\] = (1 − β(eˢ − 1))^(−µ/β). [`tilt`] and [`untilt`] solve that for a bet of a given size.

/// Below this over-dispersion a count is taken as Poisson: the formulas with β in a denominator lose all digits.
const POISSON: f64 = 1e-9;

/// Whether an over-dispersion is too small to matter.
pub(super) fn is_poisson(beta: f64) -> bool {
    beta < POISSON
}

/// The exponent s on a count for which E\[exp(s·k)\] ≤ exp(u·µ), the count having over-dispersion `beta`.
pub(super) fn tilt(u: f64, beta: f64) -> f64 {
    if is_poisson(beta) { u.ln_1p() } else { (-(-beta * u).exp_m1() / beta).ln_1p() }
}

/// The gain u for which E\[exp(−t·k)\] ≤ exp(−u·µ), the count having over-dispersion `beta`.
pub(super) fn untilt(t: f64, beta: f64) -> f64 {
    let gain = -(-t).exp_m1();
    if is_poisson(beta) { gain } else { (beta * gain).ln_1p() / beta }
}

/// The gain u at which a known reference is tilted most profitably against a rate `m` times as high.
pub(super) fn reference_gain(m: f64, beta: f64) -> f64 {
    if is_poisson(beta) { m - 1.0 } else { ((m - 1.0) * beta / (1.0 + beta)).ln_1p() / beta }
}

/// ln Σ exp(x), without overflow; −∞ for nothing.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + values.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// ln Σ w·exp(x), the weights given as logarithms.
pub(super) fn log_mix_exp(values: &[f64], log_weights: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + values.iter().zip(log_weights).map(|(x, w)| (x - largest + w).exp()).sum::<f64>().ln()
}

/// ln(eᵃ + eᵇ), without overflow.
pub(super) fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// What remains of a quantity after `elapsed_s` when half is forgotten every `half_life_s`.
pub(super) fn decay(elapsed_s: f64, half_life_s: f64) -> f64 {
    (-elapsed_s / half_life_s).exp2()
}
