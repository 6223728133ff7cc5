//! What can be set per check, and the constants of the method with the reason for each value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Settings of one check. The defaults are those of `docs/judge.md`; the names are those of its formulas.
///
/// The first group is meant for operators, the rest are constants of the method, here so that a test can vary them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Margin, relative: green is acceptable while p(green) ≤ `rho`·p(blue) + `delta`.
    pub rho: f64,
    /// Margin, absolute: share of requests.
    pub delta: f64,
    /// Risk of ever rolling back an acceptable green in one attempt.
    pub alpha: f64,
    /// Largest share of bad requests that green may have whatever blue does; `None` for no ceiling.
    pub ceiling: Option<f64>,
    /// Smallest effect of interest, relative: a green up to `rho_p` times as bad as blue may be promoted.
    pub rho_p: f64,
    /// Smallest effect of interest, absolute: share of all users' requests that the next raise may hurt unnoticed.
    pub delta_user: f64,
    /// Risk of promoting a green that is worse by the smallest effect of interest, per step.
    pub beta_p: f64,
    /// How much of blue's burstiness may be green's own at first, 0 to 1. Set 1 when sessions are sticky.
    pub phi: f64,

    /// Second key: chance to be fooled by a common outage, given that one happens.
    pub alpha_c: f64,
    /// Bad requests of green, recent, without which nothing but silence rolls back.
    pub k_min: f64,
    /// Half-life of "recent" for `k_min`, seconds.
    pub h_kmin: f64,
    /// Alternatives bet on: green is m times as bad as the margin allows.
    pub grid: Vec<f64>,
    /// How the bet is spread over the alternatives, in any unit; empty for evenly.
    pub grid_weights: Vec<f64>,
    /// Part of the risk for a fault present from the first green period.
    pub g_start: f64,
    /// Part of the risk for faults that come with a step: halved at each.
    pub g_step: f64,
    /// Part of the risk for faults that come at any other time.
    pub g_trickle: f64,
    /// Time in which half of `g_trickle` is spent, seconds.
    pub c_trickle: f64,

    /// Half-life of blue's reference rate, seconds.
    pub h_ref: f64,
    /// Standard errors added to the reference rate.
    pub z_ref: f64,
    /// Requests of blue (decayed) before its past is used at all.
    pub n_ref_min: f64,
    /// Largest rate, in multiples of the reference, at which a period still enters the reference.
    pub k_cap: f64,

    /// Half-life of learned burstiness, seconds.
    pub h_disp: f64,
    /// Length of the longer scale of burstiness, seconds.
    pub block: f64,
    /// Weight of the prior "independent errors", in expected errors.
    pub c0: f64,
    /// Expected errors at which a period counts half in the burstiness.
    pub e0: f64,
    /// Weight of the prior of the split's burstiness, in periods.
    pub np1: f64,
    /// Weight of the priors at the scale of a block, in blocks.
    #[serde(rename = "npB")]
    pub np_block: f64,
    /// Largest single squared deviation at the scale of a period, in multiples of the usual.
    pub hub1: f64,
    /// The same at the scale of a block.
    #[serde(rename = "hubB")]
    pub hub_block: f64,
    /// Half-life of the usual ratio between the sides, seconds.
    pub h_ratio: f64,
    /// Prior weight of the ratio 1, in errors.
    pub r0: f64,
    /// Burstiness never learned away: β of a rate that varies by √`c60` (7 %) from minute to minute.
    pub c60: f64,

    /// Margin in place of `rho` in periods in which blue itself is sick.
    pub rho_out: f64,
    /// ln of the evidence at which blue counts as sick.
    pub blue_alarm: f64,
    /// How far evidence from the past may exceed its threshold, ln: a common cause raises it for nothing.
    pub cap_hist: f64,
    /// Largest value of the sums that look for a change, ln.
    pub cap_cusum: f64,
    /// ln of the historical suspicion below which the second key starts anew.
    pub q_reset: f64,
    /// Share of traffic left on blue under which the past alone may roll back.
    pub waive: f64,
    /// Expected green requests that did not come, for green to count as silent.
    pub silent_min: f64,
    /// Periods in a row without green requests, for green to count as silent.
    pub silent_periods: u32,
    /// Shares bet on in the proof for promotion.
    pub pgrid: Vec<f64>,
    /// ln of the evidence against green over which it is not promoted.
    pub caution: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rho: 1.10,
            delta: 0.0,
            alpha: 0.05,
            ceiling: None,
            rho_p: 1.25,
            delta_user: 0.001,
            beta_p: 0.05,
            phi: 0.15,
            alpha_c: 0.10,
            k_min: 3.0,
            h_kmin: 1800.0,
            grid: vec![1.3, 2.0, 4.0, 12.0, 80.0, 10_000.0],
            grid_weights: Vec::new(),
            g_start: 0.3,
            g_step: 0.3,
            g_trickle: 0.4,
            c_trickle: 4.0 * 3600.0,
            h_ref: 3600.0,
            z_ref: 2.0,
            n_ref_min: 100.0,
            k_cap: 3.0,
            h_disp: 10_800.0,
            block: 600.0,
            c0: 10.0,
            e0: 20.0,
            np1: 10.0,
            np_block: 6.0,
            hub1: 9.0,
            hub_block: 6.0,
            h_ratio: 1800.0,
            r0: 5.0,
            c60: 0.005,
            rho_out: 2.0,
            blue_alarm: 100.0_f64.ln(),
            cap_hist: 3.0,
            cap_cusum: 9.0,
            q_reset: std::f64::consts::LN_2,
            waive: 0.05,
            silent_min: 20.0,
            silent_periods: 2,
            pgrid: vec![0.1, 0.25, 0.5, 0.75, 0.9],
            caution: 5.0_f64.ln(),
        }
    }
}

/// A setting out of its range.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsError {
    /// Name of the setting.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// What would be right, in words.
    pub range: &'static str,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, it must be {}", self.name, self.value, self.range)
    }
}

impl std::error::Error for SettingsError {}

const RISK: (f64, f64, &str) = (1e-12, 0.5, "between 1e-12 and 0.5");
const SHARE: (f64, f64, &str) = (0.0, 1.0, "between 0 and 1");
const TIME: (f64, f64, &str) = (1.0, 1e8, "between 1 and 1e8 seconds");
const RATIO: (f64, f64, &str) = (0.1, 100.0, "between 0.1 and 100");
const WEIGHT: (f64, f64, &str) = (1e-3, 1e6, "between 0.001 and 1e6");
const LOG: (f64, f64, &str) = (0.0, 100.0, "between 0 and 100");

impl Settings {
    /// Defaults for a check of answers with 4xx: clients cause most of them and their mix differs between the sides,
    /// so the margins are wider than for errors.
    pub fn client_errors() -> Self {
        Self { rho: 1.25, rho_p: 1.45, ..Self::default() }
    }

    /// Defaults for one check of slow requests: a load common to both sides does not cancel as exactly as errors do.
    pub fn latency() -> Self {
        Self { rho: 1.5, rho_p: 1.7, ..Self::default() }
    }

    /// A judge with the same guarantee that finds faults of 1.5 to 2 times blue's rate a seventh sooner and bears sticky
    /// sessions, for a little more of the risk being used: most of the bet is on small faults, more of it on a fault
    /// from the start, and all of blue's burstiness may be green's own.
    #[must_use]
    pub fn prompt(self) -> Self {
        let default = Self::default();
        Self {
            grid: default.grid,
            grid_weights: vec![4.0, 3.0, 2.0, 1.5, 1.0, 1.0],
            g_start: 0.5,
            g_step: 0.1,
            g_trickle: 0.4,
            phi: 1.0,
            ..self
        }
    }

    /// Settings for one of `checks` checks that share this risk: by Bonferroni's inequality each gets its part.
    #[must_use]
    pub fn shared_by(mut self, checks: u32) -> Self {
        self.alpha /= f64::from(checks.max(1));
        self
    }

    /// Whether every number is one with which the guarantees hold and no arithmetic overflows.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let single = [
            ("rho", self.rho, RATIO),
            ("delta", self.delta, SHARE),
            ("alpha", self.alpha, RISK),
            ("rho_p", self.rho_p, RATIO),
            ("delta_user", self.delta_user, SHARE),
            ("beta_p", self.beta_p, RISK),
            ("phi", self.phi, SHARE),
            ("alpha_c", self.alpha_c, RISK),
            ("k_min", self.k_min, (0.0, 1e9, "between 0 and 1e9")),
            ("h_kmin", self.h_kmin, TIME),
            ("g_start", self.g_start, SHARE),
            ("g_step", self.g_step, SHARE),
            ("g_trickle", self.g_trickle, SHARE),
            ("c_trickle", self.c_trickle, TIME),
            ("h_ref", self.h_ref, TIME),
            ("z_ref", self.z_ref, (0.0, 20.0, "between 0 and 20")),
            ("n_ref_min", self.n_ref_min, (1.0, 1e9, "between 1 and 1e9")),
            ("k_cap", self.k_cap, (1.0, 1e6, "between 1 and 1e6")),
            ("h_disp", self.h_disp, TIME),
            ("block", self.block, TIME),
            ("c0", self.c0, WEIGHT),
            ("e0", self.e0, WEIGHT),
            ("np1", self.np1, WEIGHT),
            ("npB", self.np_block, WEIGHT),
            ("hub1", self.hub1, (1.0, 1e6, "between 1 and 1e6")),
            ("hubB", self.hub_block, (1.0, 1e6, "between 1 and 1e6")),
            ("h_ratio", self.h_ratio, TIME),
            ("r0", self.r0, WEIGHT),
            ("c60", self.c60, (0.0, 100.0, "between 0 and 100")),
            ("rho_out", self.rho_out, RATIO),
            ("blue_alarm", self.blue_alarm, LOG),
            ("cap_hist", self.cap_hist, LOG),
            ("cap_cusum", self.cap_cusum, LOG),
            ("q_reset", self.q_reset, LOG),
            ("waive", self.waive, SHARE),
            ("silent_min", self.silent_min, (0.0, 1e12, "between 0 and 1e12")),
            ("caution", self.caution, LOG),
            ("ceiling", self.ceiling.unwrap_or(1.0), (1e-9, 1.0, "above 0 and at most 1")),
            (
                "g_start + g_step + g_trickle",
                self.g_start + self.g_step + self.g_trickle,
                (1e-6, 1.0 + 1e-9, "above 0 and at most 1: it is a budget"),
            ),
        ];
        let grid = self.grid.iter().map(|&m| ("grid", m, (1.0 + 1e-6, 1e6, "above 1 and at most 1e6")));
        let pgrid = self.pgrid.iter().map(|&a| ("pgrid", a, (1e-6, 1.0 - 1e-6, "between 0 and 1")));
        let weights = self.grid_weights.iter().map(|&w| ("grid_weights", w, (1e-6, 1e6, "between 1e-6 and 1e6")));
        for (name, value, (least, most, range)) in single.into_iter().chain(grid).chain(pgrid).chain(weights) {
            if !(least..=most).contains(&value) {
                return Err(SettingsError { name, value, range });
            }
        }
        for (name, grid) in [("grid", &self.grid), ("pgrid", &self.pgrid)] {
            if grid.is_empty() || grid.len() > 64 {
                let value = f64::from(u32::try_from(grid.len()).unwrap_or(u32::MAX));
                return Err(SettingsError { name, value, range: "a list of 1 to 64 numbers" });
            }
        }
        if !self.grid_weights.is_empty() && self.grid_weights.len() != self.grid.len() {
            let value = f64::from(u32::try_from(self.grid_weights.len()).unwrap_or(u32::MAX));
            return Err(SettingsError { name: "grid_weights", value, range: "as many as `grid` has, or none" });
        }
        Ok(())
    }

    /// ln of the part of the bet on each alternative.
    #[expect(clippy::cast_precision_loss, reason = "grids have a few points")]
    pub(super) fn log_weights(&self) -> Vec<f64> {
        let total: f64 = self.grid_weights.iter().sum();
        let even = -(self.grid.len() as f64).ln();
        let weights = self.grid_weights.iter().map(|w| (w / total).ln());
        weights.chain(std::iter::repeat(even)).take(self.grid.len()).collect()
    }
}
