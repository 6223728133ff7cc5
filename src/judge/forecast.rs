//! How long a decision will take at the present traffic, or that it cannot be had at all.

use serde::{Deserialize, Serialize};

use super::counts::{Counts, concurrent, promotion};
use super::evidence::{Evidence, clean_period};
use super::reading::Reading;
use super::settings::Settings;
use super::tilt::log_sum_exp;

/// Normal quantile of nine cases in ten.
const NINE_IN_TEN: f64 = 1.2816;
/// Steps of the search for the time; halving an interval of 2⁴⁰ periods to less than one.
const SEARCH_STEPS: u32 = 60;

/// Requests of both sides per period, and what share of them is bad on a healthy side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Blue's requests in a period.
    pub blue_requests: f64,
    /// Green's requests in a period.
    pub green_requests: f64,
    /// Length of a period, seconds.
    pub period_s: f64,
    /// Usual share of bad requests.
    pub usual_ratio: f64,
}

impl Traffic {
    /// The same with everything impossible removed, as counts are cleaned.
    fn cleaned(&self) -> Self {
        let requests = |n: f64| Counts::new(n, 0.0).cleaned().requests;
        Self {
            blue_requests: requests(self.blue_requests),
            green_requests: requests(self.green_requests),
            period_s: clean_period(self.period_s),
            usual_ratio: if self.usual_ratio > 0.0 { self.usual_ratio.min(1.0) } else { 0.0 },
        }
    }

    /// The traffic of the present step as it was seen so far; `None` before the first period.
    pub fn seen(reading: &Reading, period_s: f64) -> Option<Self> {
        let periods = reading.step.seconds / period_s;
        if !(periods > 0.0 && periods.is_finite()) {
            return None;
        }
        let (blue, green) = (reading.step.blue, reading.step.green);
        let seen = (blue.bad + 0.5) / (blue.requests + 1.0);
        Some(Self {
            blue_requests: blue.requests / periods,
            green_requests: green.requests / periods,
            period_s,
            usual_ratio: reading.usual_ratio.unwrap_or(seen),
        })
    }
}

/// Why no decision can be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecidable {
    /// Blue has no traffic to compare with.
    NoBlueTraffic,
    /// Green has no traffic to judge.
    NoGreenTraffic,
    /// The noise outweighs the margin: evidence does not grow.
    NoGrowth,
    /// It would take longer than the caller is willing to wait.
    TooLong,
}

/// When a decision may be expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// The evidence is there already.
    Decided,
    /// Typically after `seconds`, in nine cases of ten within `cautious_seconds`.
    Expected {
        /// Half of the cases need less, about.
        seconds: f64,
        /// Nine in ten need less, about.
        cautious_seconds: f64,
        /// Requests to green in `seconds`.
        green_requests: f64,
    },
    /// Not at this traffic. `after_s` is the time it would take, when that is known.
    Undecidable {
        /// Why.
        why: Undecidable,
        /// Typical time, seconds, when evidence grows at all.
        after_s: Option<f64>,
    },
    /// There is no next step to prove anything for.
    NothingToProve,
}

/// Expected times at a given traffic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Until green is proven good enough for the next step, if it is as good as blue.
    pub proof: Outlook,
    /// Until a rollback, if green were from now on twice as bad as blue.
    pub twice_as_bad: Outlook,
    /// Until a rollback, if green were from now on ten times as bad as blue.
    pub ten_times_as_bad: Outlook,
}

/// One bet: what it has won so far, and the mean and variance of its growth per period.
struct Growth {
    sofar: f64,
    mean: f64,
    variance: f64,
}

/// Says how long the proof will take from `evidence` on, and a rollback if green were worse, within `horizon_s`.
///
/// For a plan that has not begun use a new [`Evidence`] on which [`Evidence::step`] was called. Means and variances
/// are those of the bets that [`Evidence::update`] will make; the time is where their mixture crosses its threshold.
pub fn forecast(settings: &Settings, evidence: &Evidence, traffic: &Traffic, horizon_s: f64) -> Forecast {
    let traffic = traffic.cleaned();
    Forecast {
        proof: proof(settings, evidence, &traffic, horizon_s),
        twice_as_bad: detection(settings, evidence, &traffic, 2.0, horizon_s),
        ten_times_as_bad: detection(settings, evidence, &traffic, 10.0, horizon_s),
    }
}

fn missing_side(traffic: &Traffic) -> Option<Outlook> {
    let has = |requests: f64| requests > 0.0;
    let why = match (has(traffic.blue_requests), has(traffic.green_requests)) {
        (true, true) => return None,
        (true, false) => Undecidable::NoGreenTraffic,
        (false, _) => Undecidable::NoBlueTraffic,
    };
    Some(Outlook::Undecidable { why, after_s: None })
}

/// A period as it will be on average, green being `factor` times as bad as usual.
fn typical(traffic: &Traffic, factor: f64) -> (Counts, Counts) {
    let ratio = traffic.usual_ratio;
    let side = |n: f64, p: f64| Counts::new(n, n * p.min(1.0)).cleaned();
    (side(traffic.blue_requests, ratio), side(traffic.green_requests, ratio * factor))
}

/// Mean and variance of a bet that is linear in the bad requests of both sides.
fn growth(
    sofar: f64,
    bet: impl Fn(Counts, Counts) -> f64,
    (blue, green): (Counts, Counts),
    (noise_blue, noise_green): (f64, f64),
) -> Growth {
    let none = |side: Counts| Counts::new(side.requests, 0.0);
    let one = |side: Counts| Counts::new(side.requests, 1.0);
    let idle = bet(none(blue), none(green));
    let per_blue = bet(one(blue), none(green)) - idle;
    let per_green = bet(none(blue), one(green)) - idle;
    Growth {
        sofar,
        mean: idle + per_blue * blue.bad + per_green * green.bad,
        variance: per_blue * per_blue * blue.bad * (1.0 + noise_blue)
            + per_green * per_green * green.bad * (1.0 + noise_green),
    }
}

fn proof(s: &Settings, evidence: &Evidence, traffic: &Traffic, horizon_s: f64) -> Outlook {
    let Some((margin, sofar)) = evidence.proof() else { return Outlook::NothingToProve };
    if let Some(outlook) = missing_side(traffic) {
        return outlook;
    }
    let (blue, green) = typical(traffic, 1.0);
    let noise = evidence.noise(s, blue, green, traffic.period_s);
    let bets: Vec<Growth> = s
        .pgrid
        .iter()
        .zip(sofar.iter().copied().chain(std::iter::repeat(0.0)))
        .map(|(&a, sofar)| {
            let bet = |b: Counts, g: Counts| promotion(s, margin, a, b, g, noise);
            growth(sofar, bet, (blue, green), (noise.blue, noise.green))
        })
        .collect();
    outlook(&bets, -s.beta_p.ln(), 0.0, traffic, horizon_s)
}

fn detection(s: &Settings, evidence: &Evidence, traffic: &Traffic, factor: f64, horizon_s: f64) -> Outlook {
    if let Some(outlook) = missing_side(traffic) {
        return outlook;
    }
    let (blue, green) = typical(traffic, factor);
    let noise = evidence.noise(s, blue, green, traffic.period_s);
    #[expect(clippy::cast_precision_loss, reason = "grids have a few points")]
    let count = (s.grid.len() as f64).ln();
    let fresh = s.g_start.max(s.g_trickle * traffic.period_s / s.c_trickle).ln();
    let sofar = evidence.same_period().iter().copied().chain(std::iter::repeat(f64::NEG_INFINITY));
    let bets: Vec<Growth> = s
        .grid
        .iter()
        .zip(s.log_weights())
        .zip(sofar)
        .map(|((&m, weight), sofar)| {
            let bet = |b: Counts, g: Counts| concurrent(s, s.rho, m, b, g, noise);
            let sofar = if sofar == f64::NEG_INFINITY { fresh + weight } else { sofar };
            // `outlook` takes the mean of the bets, the evidence is their sum.
            growth(sofar + count, bet, (blue, green), (noise.blue, noise.green))
        })
        .collect();
    let periods_for_k_min = if green.bad > 0.0 { s.k_min / green.bad } else { f64::INFINITY };
    outlook(&bets, -s.alpha.ln(), periods_for_k_min, traffic, horizon_s)
}

/// The time at which the mean of the bets crosses `threshold`, not before `at_least` periods.
fn outlook(bets: &[Growth], threshold: f64, at_least: f64, traffic: &Traffic, horizon_s: f64) -> Outlook {
    let level = |periods: f64, z: f64| {
        let values: Vec<f64> =
            bets.iter().map(|b| b.sofar + b.mean * periods - z * (b.variance * periods).sqrt()).collect();
        #[expect(clippy::cast_precision_loss, reason = "grids have a few points")]
        let bets = values.len() as f64;
        log_sum_exp(&values) - bets.ln()
    };
    if level(0.0, 0.0) >= threshold {
        return Outlook::Decided;
    }
    let when = |z: f64| crossing(|periods| level(periods, z) >= threshold).map(|t| t.max(at_least).max(1.0));
    let Some(periods) = when(0.0).filter(|t| t.is_finite()) else {
        return Outlook::Undecidable { why: Undecidable::NoGrowth, after_s: None };
    };
    let seconds = periods.ceil() * traffic.period_s;
    if seconds > horizon_s {
        return Outlook::Undecidable { why: Undecidable::TooLong, after_s: Some(seconds) };
    }
    let cautious = when(NINE_IN_TEN).unwrap_or(periods).max(periods);
    Outlook::Expected {
        seconds,
        cautious_seconds: cautious.ceil() * traffic.period_s,
        green_requests: periods.ceil() * traffic.green_requests,
    }
}

/// The smallest time, in periods, from which on `reached` holds; it must be monotone after its last sign change.
fn crossing(reached: impl Fn(f64) -> bool) -> Option<f64> {
    let mut high = 1.0;
    let mut low = 0.0;
    for _ in 0..40 {
        if reached(high) {
            for _ in 0..SEARCH_STEPS {
                let middle = 0.5 * (low + high);
                if reached(middle) { high = middle } else { low = middle }
            }
            return Some(high);
        }
        low = high;
        high *= 2.0;
    }
    None
}
