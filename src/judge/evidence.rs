//! The state of one check, and what one period does to it.

use serde::{Deserialize, Serialize};

use super::counts::{Counts, Noise, concurrent, historical, promotion};
use super::dispersion::{BlueNoise, SplitNoise};
use super::reading::{Conclusion, Reading, Reason, Thresholds, Window};
use super::settings::Settings;
use super::tilt::{decay, log_add_exp, log_mix_exp, log_sum_exp};

/// Bounds of a period's length, seconds: what lies outside is a mistake of the caller, taken as the nearest bound.
const PERIOD_S: (f64, f64) = (0.1, 1e6);

/// Layout of stored evidence. A new layout is a new variant, and keeps a decoder for the old ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvidenceVersion {
    /// The first.
    #[default]
    #[serde(rename = "1")]
    One,
}

/// Everything that the judge remembers about one check in one attempt: some 90 numbers, whatever the length.
///
/// Written with `serde_json` and read back it continues to the last bit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    #[serde(rename = "v")]
    version: EvidenceVersion,
    /// A: ln evidence of green against blue in the same periods, per alternative.
    #[serde(rename = "a", with = "super::stored::logs")]
    same_period: Vec<f64>,
    /// B: ln evidence of green against blue's past, per alternative.
    #[serde(rename = "b", with = "super::stored::logs")]
    past: Vec<f64>,
    /// Ln evidence of green against the ceiling, per alternative; empty without a ceiling.
    #[serde(rename = "c", with = "super::stored::logs")]
    ceiling: Vec<f64>,
    /// Second key: A since B began to rise.
    #[serde(rename = "q")]
    second_key: Vec<f64>,
    /// Sums that look for a change of green, and of blue, against blue's past.
    #[serde(rename = "hg")]
    green_change: Vec<f64>,
    #[serde(rename = "hb")]
    blue_change: Vec<f64>,
    /// ln of the suspicion in `green_change` after the last period.
    #[serde(rename = "sg")]
    green_suspicion: f64,
    /// Proof for promotion, per share bet; and its margin, `None` when there is no next step.
    #[serde(rename = "p")]
    proof: Vec<f64>,
    #[serde(rename = "pm")]
    proof_margin: Option<f64>,
    /// Blue's rate in the past: requests and bad ones, decayed.
    #[serde(rename = "ref")]
    reference: Counts,
    #[serde(rename = "nb")]
    blue_noise: BlueNoise,
    #[serde(rename = "ns")]
    split_noise: SplitNoise,
    /// Green's recent bad requests, decayed.
    #[serde(rename = "kr")]
    recent_bad: f64,
    /// Time since the first green period, seconds.
    #[serde(rename = "t")]
    elapsed_s: f64,
    #[serde(rename = "on")]
    started: bool,
    /// Steps since the first green period, and whether one was taken since the last period.
    #[serde(rename = "st")]
    steps: u32,
    #[serde(rename = "sp")]
    step_pending: bool,
    /// Green's weight, 0 to 1.
    #[serde(rename = "w")]
    weight: f64,
    /// Green requests that should have come since the last one came, and the periods without.
    #[serde(rename = "mi")]
    missing: f64,
    #[serde(rename = "mp")]
    missing_periods: u32,
    /// Sums for the explanation: since the step, and since the evidence against green began to grow.
    #[serde(rename = "ws")]
    since_step: Window,
    #[serde(rename = "wc")]
    since_change: Window,
    /// The sum that finds that beginning.
    #[serde(rename = "cs")]
    change: f64,
}

/// What is known before a period about the noise of its counts.
struct Expected {
    /// Blue's dispersion, the split's, and the latter at this period's size.
    blue: f64,
    split: super::dispersion::Scales,
    split_now: f64,
    /// Noise in the same-period comparison, and in the comparisons with the past.
    same: Noise,
    past: Noise,
    /// Upper bound of blue's usual rate, with the margin; `None` while too little is known.
    base: Option<f64>,
    usual_ratio: Option<f64>,
}

impl Evidence {
    /// No evidence at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a period before green had any traffic: feeds blue's usual rate and burstiness. Oldest first.
    pub fn history(&mut self, settings: &Settings, blue: Counts, period_s: f64) {
        self.learn_blue(settings, blue.cleaned(), clean_period(period_s));
    }

    /// Says that green's weight has been set to `weight_now` (0 to 1), also before the first green period, and that
    /// `weight_next` would be the next. The proof for promotion starts anew.
    pub fn step(&mut self, settings: &Settings, weight_now: f64, weight_next: Option<f64>) {
        self.weight = if weight_now > 0.0 { weight_now.min(1.0) } else { 0.0 };
        self.missing = 0.0;
        self.missing_periods = 0;
        if self.started {
            self.step_pending = true;
        }
        self.proof.clear();
        self.proof_margin =
            weight_next.filter(|next| *next > 0.0).map(|next| settings.delta_user / next.clamp(1e-4, 1.0));
        self.since_step = Window::default();
    }

    /// What [`update`](Self::update) would say, without remembering it: for periods that may still change.
    pub fn peek(&self, settings: &Settings, blue: Counts, green: Counts, period_s: f64) -> Reading {
        self.clone().update(settings, blue, green, period_s)
    }

    /// Takes in one period of both sides and judges. Periods come once each, oldest first.
    ///
    /// [`Counts::NONE`] says that a side *had* no requests; a green without any while blue has some will count as
    /// silent. A period that could not be read for either side is missing: pass `NONE` for both.
    ///
    /// Whatever is impossible in the counts is cleaned away first (see [`Counts::cleaned`]).
    pub fn update(&mut self, settings: &Settings, blue: Counts, green: Counts, period_s: f64) -> Reading {
        let (s, blue, green, period_s) = (settings, blue.cleaned(), green.cleaned(), clean_period(period_s));
        self.fit(s);
        let start = self.spend(s, period_s);
        let expected = self.expect(s, blue, green, period_s);
        let weights = s.log_weights();

        self.look_for_sick_blue(s, blue, &expected);
        let log_blue_sick = log_mix_exp(&self.blue_change, &weights);
        let margin = if log_blue_sick >= s.blue_alarm { s.rho_out.max(s.rho) } else { s.rho };

        let bets = Bets::new(s, blue, green, &expected, log_blue_sick >= s.blue_alarm);
        self.add_evidence(s, green, start, &weights, &bets);
        let log_second_key = self.turn_second_key(s, &weights, &bets);
        let log_e_proof = self.prove(s, blue, green, &expected);
        self.mark_change(log_mix_exp(&bets.same, &weights), blue, green, period_s);

        // Learning comes last, so that every bet above used the past only.
        self.split_noise.learn(s, blue, green, period_s, {
            let mut usual = expected.split;
            usual.period = usual.period.max(expected.blue);
            usual.block = usual.block.max(expected.blue);
            usual
        });
        self.recent_bad = self.recent_bad * decay(period_s, s.h_kmin) + green.bad;
        self.learn_blue(s, blue, period_s);
        self.listen(blue, green);

        let mut reading = Reading {
            conclusion: Conclusion::Continue,
            reason: Reason::Undecided,
            log_e_concurrent: log_sum_exp(&self.same_period),
            log_e_history: log_sum_exp(&self.past),
            log_e_ceiling: log_sum_exp(&self.ceiling),
            log_second_key,
            log_blue_sick,
            log_e_proof,
            blue_dispersion: expected.blue,
            split_dispersion: expected.split_now,
            thresholds: Thresholds {
                rollback: -s.alpha.ln(),
                second_key: -s.alpha_c.ln(),
                blue_sick: s.blue_alarm,
                proof: -s.beta_p.ln(),
                caution: s.caution,
            },
            margin,
            usual_ratio: expected.usual_ratio,
            recent_bad: self.recent_bad,
            missing: self.missing,
            step: self.since_step,
            suspicion: self.since_change,
        };
        (reading.conclusion, reading.reason) = self.conclude(s, &reading);
        reading
    }

    /// Brings the lists to the length of the grids: after `new`, `step`, or when the settings changed.
    fn fit(&mut self, s: &Settings) {
        let n = s.grid.len();
        self.same_period.resize(n, f64::NEG_INFINITY);
        self.past.resize(n, f64::NEG_INFINITY);
        self.ceiling.resize(if s.ceiling.is_some() { n } else { 0 }, f64::NEG_INFINITY);
        self.second_key.resize(n, 0.0);
        self.green_change.resize(n, 0.0);
        self.blue_change.resize(n, 0.0);
        self.proof.resize(s.pgrid.len(), 0.0);
    }

    /// ln of the part of the risk that a process started in this period may use. The parts sum to at most 1 over any
    /// number of periods and steps, so Ville's inequality holds for the sum of all processes.
    fn spend(&mut self, s: &Settings, period_s: f64) -> f64 {
        let left = |at: f64| s.c_trickle / (s.c_trickle + at);
        let mut part = s.g_trickle * (left(self.elapsed_s) - left(self.elapsed_s + period_s));
        if !self.started {
            part += s.g_start;
            self.started = true;
        } else if self.step_pending {
            self.steps = self.steps.saturating_add(1);
            part += s.g_step * (-f64::from(self.steps)).exp2();
            self.step_pending = false;
        }
        self.elapsed_s += period_s;
        part.ln()
    }

    /// Noise of the same-period comparison in a period like these.
    pub(super) fn noise(&self, s: &Settings, blue: Counts, green: Counts, period_s: f64) -> Noise {
        self.expect(s, blue, green, period_s).same
    }

    /// The proof for promotion so far per share bet, and its margin; `None` when there is no next step.
    pub(super) fn proof(&self) -> Option<(f64, &[f64])> {
        self.proof_margin.map(|margin| (margin, self.proof.as_slice()))
    }

    /// A so far, per alternative; empty before the first period.
    pub(super) fn same_period(&self) -> &[f64] {
        &self.same_period
    }

    fn expect(&self, s: &Settings, blue: Counts, green: Counts, period_s: f64) -> Expected {
        let dispersion = self.blue_noise.scales(s).worst();
        let blue_mean = self.blue_noise.mean_requests();
        let split = self.split_noise.scales(s, green.requests, blue_mean, dispersion);
        let green_mean = self.split_noise.mean_requests(green.requests);
        let larger = if green_mean > 0.0 { (green.requests / green_mean).max(1.0) } else { 1.0 };
        let split_now = 1.0 + (split.worst() - 1.0) * larger;

        let known = self.reference.requests >= s.n_ref_min;
        let rate = if known { (self.reference.bad + 0.5) / (self.reference.requests + 1.0) } else { 0.0 };
        // Part of the variance that no amount of quiet history may unlearn.
        let floor = |requests: f64| s.c60 * 60.0 / period_s * requests * rate;
        let same_green = (split_now - 1.0).max(floor(green.requests));
        let share = (green.requests + blue.requests) / (2.0 * green.requests).max(1.0);
        let own = dispersion - 1.0;
        let mean = blue_mean.max(1.0);
        let bad = self.reference.bad + 1.0;
        let bound = (bad + s.z_ref * (bad * dispersion).sqrt()) / self.reference.requests.max(1.0);
        Expected {
            blue: dispersion,
            split,
            split_now,
            same: Noise { green: same_green, blue: same_green * share.max(1.0) },
            past: Noise {
                green: (own * (green.requests / mean).max(1.0)).max(floor(green.requests)),
                blue: (own * blue.requests / mean).max(floor(blue.requests)),
            },
            base: known.then_some(s.rho * bound + s.delta),
            usual_ratio: known.then_some(rate),
        }
    }

    /// Blue against its own past, as a sum that never falls below nothing (Page 1954).
    fn look_for_sick_blue(&mut self, s: &Settings, blue: Counts, expected: &Expected) {
        for (sum, m) in self.blue_change.iter_mut().zip(&s.grid) {
            *sum = sum.clamp(0.0, s.cap_cusum);
            if let Some(base) = expected.base {
                *sum += historical(base, *m, blue, expected.past.blue);
            }
        }
    }

    /// Adds the period's bets. `start` is ln of the part of the risk that the processes started now get, `weights` how
    /// it is spread over the alternatives.
    fn add_evidence(&mut self, s: &Settings, green: Counts, start: f64, weights: &[f64], bets: &Bets) {
        if green.requests <= 0.0 {
            return;
        }
        let cap = -s.alpha.ln() + s.cap_hist;
        let grow = |sums: &mut [f64], bets: &[f64], cap: f64| {
            for ((sum, bet), weight) in sums.iter_mut().zip(bets).zip(weights) {
                *sum = (log_add_exp(*sum, start + weight) + bet).min(cap);
            }
        };
        grow(&mut self.same_period, &bets.same, f64::INFINITY);
        grow(&mut self.past, &bets.past, cap);
        grow(&mut self.ceiling, &bets.ceiling, f64::INFINITY);
    }

    fn turn_second_key(&mut self, s: &Settings, weights: &[f64], bets: &Bets) -> f64 {
        if self.green_suspicion <= s.q_reset {
            self.second_key.fill(0.0);
        }
        for (sum, bet) in self.second_key.iter_mut().zip(&bets.same) {
            *sum += bet;
        }
        for (sum, bet) in self.green_change.iter_mut().zip(&bets.past) {
            *sum = sum.clamp(0.0, s.cap_cusum) + bet;
        }
        self.green_suspicion = log_mix_exp(&self.green_change, weights);
        log_mix_exp(&self.second_key, weights)
    }

    fn prove(&mut self, s: &Settings, blue: Counts, green: Counts, expected: &Expected) -> f64 {
        if let Some(margin) = self.proof_margin
            && blue.requests > 0.0
            && green.requests > 0.0
        {
            for (sum, a) in self.proof.iter_mut().zip(&s.pgrid) {
                *sum += promotion(s, margin, *a, blue, green, expected.same);
            }
        }
        log_sum_exp(&self.proof) - log_count(&s.pgrid)
    }

    /// Keeps the sums since the likeliest start of a fault: the last time the evidence against green was at its low.
    fn mark_change(&mut self, bet: f64, blue: Counts, green: Counts, period_s: f64) {
        if self.change <= 0.0 {
            self.change = 0.0;
            self.since_change = Window::default();
        }
        self.change += bet;
        self.since_change.add(blue, green, period_s);
        self.since_step.add(blue, green, period_s);
    }

    fn learn_blue(&mut self, s: &Settings, blue: Counts, period_s: f64) {
        self.blue_noise.learn(s, blue, period_s);
        if blue.requests <= 0.0 {
            return;
        }
        let bad = self.reference.bad + 1.0;
        let bound = (bad + s.z_ref * bad.sqrt()) / self.reference.requests.max(1.0);
        // A sick blue must not become the new normal: its bad periods enter only in part.
        let usual = if self.reference.requests >= s.n_ref_min {
            blue.bad.min(s.k_cap * bound * blue.requests + 1.0)
        } else {
            blue.bad
        };
        let keep = decay(period_s, s.h_ref);
        self.reference.requests = self.reference.requests * keep + blue.requests;
        self.reference.bad = self.reference.bad * keep + usual;
    }

    /// Counts what green should have received when it received nothing.
    fn listen(&mut self, blue: Counts, green: Counts) {
        if green.requests > 0.0 {
            self.missing = 0.0;
            self.missing_periods = 0;
        } else if blue.requests > 0.0 && self.weight > 0.0 && self.weight < 1.0 {
            self.missing += blue.requests * self.weight / (1.0 - self.weight);
            self.missing_periods = self.missing_periods.saturating_add(1);
        }
    }

    fn conclude(&self, s: &Settings, r: &Reading) -> (Conclusion, Reason) {
        let enough = self.recent_bad >= s.k_min - 0.5;
        let worse_than_past = r.log_e_history >= r.thresholds.rollback;
        if self.missing >= s.silent_min && self.missing_periods >= s.silent_periods {
            (Conclusion::Rollback, Reason::Silent)
        } else if r.log_e_concurrent >= r.thresholds.rollback && enough {
            (Conclusion::Rollback, Reason::Concurrent)
        } else if worse_than_past && enough && r.log_second_key >= r.thresholds.second_key {
            (Conclusion::Rollback, Reason::TwoKey)
        } else if worse_than_past && enough && self.weight > 1.0 - s.waive {
            (Conclusion::Rollback, Reason::Historical)
        } else if r.log_e_ceiling >= r.thresholds.rollback && enough {
            (Conclusion::Rollback, Reason::Ceiling)
        } else if worse_than_past && r.blue_is_sick() {
            (Conclusion::Hold, Reason::CommonCause)
        } else if worse_than_past {
            (Conclusion::Hold, Reason::Suspect)
        } else if r.log_e_proof >= r.thresholds.proof && r.log_e_concurrent.max(r.log_e_history) < s.caution {
            (Conclusion::Advance, Reason::Proven)
        } else {
            (Conclusion::Continue, Reason::Undecided)
        }
    }
}

/// One period's bets against green, per alternative.
struct Bets {
    /// Against blue in the same period. While blue is sick the wider margin is bet against too, and the smaller
    /// evidence counts.
    same: Vec<f64>,
    /// Against blue's past; nothing while too little is known of it.
    past: Vec<f64>,
    /// Against the ceiling; empty without one.
    ceiling: Vec<f64>,
}

impl Bets {
    fn new(s: &Settings, blue: Counts, green: Counts, expected: &Expected, blue_is_sick: bool) -> Self {
        let nothing = || vec![0.0; s.grid.len()];
        let against = |base: f64, beta: f64| s.grid.iter().map(|&m| historical(base, m, green, beta)).collect();
        let bet = |rho: f64, m: f64| concurrent(s, rho, m, blue, green, expected.same);
        let same = if blue.requests <= 0.0 || green.requests <= 0.0 {
            nothing()
        } else if blue_is_sick {
            s.grid.iter().map(|&m| bet(s.rho, m).min(bet(s.rho_out, m))).collect()
        } else {
            s.grid.iter().map(|&m| bet(s.rho, m)).collect()
        };
        Self {
            same,
            past: expected.base.map_or_else(nothing, |base| against(base, expected.past.green)),
            ceiling: s.ceiling.map_or_else(Vec::new, |ceiling| against(ceiling, expected.same.green)),
        }
    }
}

/// A period's length within its bounds.
pub(super) fn clean_period(period_s: f64) -> f64 {
    if period_s.is_nan() { PERIOD_S.0 } else { period_s.clamp(PERIOD_S.0, PERIOD_S.1) }
}

#[expect(clippy::cast_precision_loss, reason = "grids have a few points")]
fn log_count(list: &[f64]) -> f64 {
    (list.len() as f64).ln()
}
