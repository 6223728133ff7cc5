//! Does green get the share of the requests that its weight says?
//!
//! Sticky cookies, keep-alive connections and slow propagation make the observed share differ from the weight. The
//! split of the requests is judged like the split of errors: by bets whose stakes shrink with the burstiness that was
//! seen, with restarts, so it may be looked at after every period. A share within the tolerance is called off with a
//! probability of at most `alpha` per step; evidence is capped, so that a share that recovers is soon called right.

use serde::{Deserialize, Serialize};

use super::counts::{Counts, Noise, stakes};
use super::dispersion::BlueNoise;
use super::settings::Settings;
use super::tilt::{log_add_exp, log_sum_exp};

/// How far beyond the tolerance the share is, in the alternatives that are bet on.
const GRID: [f64; 3] = [1.2, 2.0, 10.0];
/// ln by which evidence may exceed its threshold: two or three clear periods undo it.
const CAP: f64 = 3.0;
/// Periods that only teach the burstiness: clients that send many requests each are not known before.
const LESSONS: f64 = 4.0;
/// By how much a burstiness learned from few periods is too small, times the number of periods: one client more or
/// less is most of what a small share sees.
const DOUBT: f64 = 20.0;

/// What can be set about the comparison of share and weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareSettings {
    /// Odds of a request to go to green may differ from the weight's by this factor − 1.
    pub tolerance: f64,
    /// Risk, per step, of calling a share within the tolerance off, and of calling one outside it right.
    pub alpha: f64,
}

impl Default for ShareSettings {
    fn default() -> Self {
        Self { tolerance: 0.2, alpha: 0.01 }
    }
}

/// What the share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareConclusion {
    /// Proven to be within the tolerance.
    AsSet,
    /// Green gets less than its weight.
    TooLow,
    /// Green gets more than its weight.
    TooHigh,
    /// Not known yet, or there is nothing to compare (weight 0 or 1, no requests).
    Undecided,
}

/// The answer to one period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShareReading {
    /// What the share is.
    pub conclusion: ShareConclusion,
    /// The share that was set.
    pub weight: f64,
    /// The share since the step began, or `None` without requests.
    pub observed: Option<f64>,
    /// Evidence that it is too low, and too high; ln.
    pub log_e_low: f64,
    /// See `log_e_low`.
    pub log_e_high: f64,
    /// Evidence that it is neither; ln.
    pub log_e_as_set: f64,
    /// What the evidence is compared with: ln(1/`alpha`).
    pub threshold: f64,
    /// Variance of the split over that of independent requests.
    pub dispersion: f64,
}

/// State of the comparison in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareEvidence {
    #[serde(rename = "v")]
    version: super::EvidenceVersion,
    #[serde(rename = "w")]
    weight: f64,
    #[serde(rename = "n")]
    noise: BlueNoise,
    #[serde(rename = "k")]
    lessons: f64,
    #[serde(rename = "t")]
    elapsed_s: f64,
    /// Processes that bet on a share too low and too high, and on one neither too high nor too low.
    #[serde(rename = "l", with = "super::stored::logs")]
    low: Vec<f64>,
    #[serde(rename = "h", with = "super::stored::logs")]
    high: Vec<f64>,
    #[serde(rename = "s", with = "super::stored::log")]
    not_high: f64,
    #[serde(rename = "r", with = "super::stored::log")]
    not_low: f64,
    #[serde(rename = "b")]
    blue_requests: f64,
    #[serde(rename = "g")]
    green_requests: f64,
}

impl Default for ShareEvidence {
    fn default() -> Self {
        Self {
            version: super::EvidenceVersion::default(),
            weight: 0.0,
            noise: BlueNoise::default(),
            lessons: 0.0,
            elapsed_s: 0.0,
            low: Vec::new(),
            high: Vec::new(),
            not_high: f64::NEG_INFINITY,
            not_low: f64::NEG_INFINITY,
            blue_requests: 0.0,
            green_requests: 0.0,
        }
    }
}

impl ShareEvidence {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that green's weight (0 to 1) has been set and is confirmed. What was learned of the burstiness stays.
    pub fn step(&mut self, weight: f64) {
        self.noise.interrupt();
        *self = Self {
            weight: if weight > 0.0 { weight.min(1.0) } else { 0.0 },
            noise: self.noise,
            lessons: self.lessons,
            ..Self::default()
        };
    }

    /// Takes in the requests of both sides in one period.
    pub fn update(&mut self, settings: &ShareSettings, blue: f64, green: f64, period_s: f64) -> ShareReading {
        let requests = |n: f64| Counts::new(n, 0.0).cleaned().requests;
        let (blue, green) = (requests(blue), requests(green));
        let period_s = if period_s.is_nan() { 1.0 } else { period_s.clamp(0.1, 1e6) };
        let tolerance = if settings.tolerance > 0.0 { settings.tolerance.min(9.0) } else { 0.0 };
        let alpha = if settings.alpha > 0.0 { settings.alpha.min(0.5) } else { 1e-12 };
        let threshold = -alpha.ln();
        let comparable = self.weight > 0.0 && self.weight < 1.0 && blue + green > 0.0;
        let dispersion = if comparable { self.bet(tolerance, threshold, blue, green, period_s) } else { 1.0 };
        self.blue_requests += blue;
        self.green_requests += green;
        let log_e_low = log_sum_exp(&self.low);
        let log_e_high = log_sum_exp(&self.high);
        let log_e_as_set = self.not_high.min(self.not_low);
        let conclusion = if log_e_low.max(log_e_high) >= threshold {
            if log_e_low >= log_e_high { ShareConclusion::TooLow } else { ShareConclusion::TooHigh }
        } else if log_e_as_set >= threshold {
            ShareConclusion::AsSet
        } else {
            ShareConclusion::Undecided
        };
        let total = self.blue_requests + self.green_requests;
        ShareReading {
            conclusion,
            weight: self.weight,
            observed: (total > 0.0).then(|| self.green_requests / total),
            log_e_low,
            log_e_high,
            log_e_as_set,
            threshold,
            dispersion,
        }
    }

    /// Places the period's bets and learns from it; the burstiness that was assumed.
    fn bet(&mut self, tolerance: f64, threshold: f64, blue: f64, green: f64, period_s: f64) -> f64 {
        let s = Settings { c0: 1.0, np_block: 1.0, hub1: 50.0, hub_block: 50.0, ..Settings::default() };
        // Successive differences of the smaller side's share: a share that is steadily off is no burstiness.
        let smaller = Counts::new(blue + green, if self.weight > 0.5 { blue } else { green });
        let expected = self.weight.min(1.0 - self.weight);
        // They are compared with a Poisson count; that of a split has less variance.
        let learned = self.noise.scales(&s).worst() / (1.0 - expected);
        let lessons = self.lessons.max(1.0);
        let dispersion = 1.0 + (learned - 1.0).max(0.0) * (1.0 + DOUBT / lessons);
        let expected_green = (blue + green) * self.weight;
        let expected_blue = (blue + green) - expected_green;
        // As in the comparison of errors, a share that wanders by 7 % from minute to minute is always allowed for.
        let beta = |expected: f64| (dispersion - 1.0).max(s.c60 * 60.0 / period_s * expected);
        let noise = Noise { green: beta(expected_green), blue: beta(expected_blue) };
        let mirrored = Noise { green: noise.blue, blue: noise.green };
        let odds = self.weight / (1.0 - self.weight);
        let rho = 1.0 + tolerance;

        self.noise.learn(&s, smaller, period_s);
        // A period in which the smaller side got nothing says little about how its requests cluster.
        self.lessons += if smaller.bad > 0.0 { 1.0 } else { 0.25 };
        if self.lessons <= LESSONS {
            return dispersion;
        }
        let start = self.spend(s.c_trickle, period_s);
        let cap = threshold + CAP;
        let grow = |sum: &mut f64, start: f64, bet: f64| *sum = (log_add_exp(*sum, start) + bet).min(cap);
        let alternatives = start - 3.0_f64.ln();
        for ((high, low), m) in self.high.iter_mut().zip(&mut self.low).zip(GRID) {
            let up = stakes(rho * odds, m, noise);
            grow(high, alternatives, up.win * green - up.loss * blue);
            let down = stakes(rho / odds, m, mirrored);
            grow(low, alternatives, down.win * blue - down.loss * green);
        }
        // The reverse: the hypothesis is that the odds are off by the tolerance, the bet that they are as set.
        let not_high = stakes(1.0 / (rho * odds), rho, mirrored);
        grow(&mut self.not_high, start, not_high.win * blue - not_high.loss * green);
        let not_low = stakes(odds / rho, rho, noise);
        grow(&mut self.not_low, start, not_low.win * green - not_low.loss * blue);
        dispersion
    }

    /// ln of the part of the risk of the processes that start in this period: a half at the first, the rest over time,
    /// and of each half for either direction.
    fn spend(&mut self, scale_s: f64, period_s: f64) -> f64 {
        let left = |at: f64| scale_s / (scale_s + at);
        let mut part = 0.5 * (left(self.elapsed_s) - left(self.elapsed_s + period_s));
        if self.low.is_empty() {
            part += 0.5;
            self.low = vec![f64::NEG_INFINITY; GRID.len()];
            self.high = vec![f64::NEG_INFINITY; GRID.len()];
        }
        self.elapsed_s += period_s;
        (0.5 * part).ln()
    }
}
