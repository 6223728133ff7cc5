//! What the judge says after a period.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// What the evidence asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Green is worse: take the traffic back.
    Rollback,
    /// Green looks worse than blue used to be, but not than blue is now: do not move.
    Hold,
    /// Green is proven good enough for the next step.
    Advance,
    /// Neither proven good nor bad yet.
    Continue,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Rollback: green should have had traffic for several periods and reported none.
    Silent,
    /// Rollback: green is worse than blue in the same periods.
    Concurrent,
    /// Rollback: green is worse than blue's past, and also than blue meanwhile.
    TwoKey,
    /// Rollback: green is worse than blue's past, and blue has too little traffic to compare with.
    Historical,
    /// Rollback: green is over the absolute ceiling.
    Ceiling,
    /// Hold: both sides are worse than blue's past.
    CommonCause,
    /// Hold: green is worse than blue's past; the comparison with blue meanwhile does not confirm it yet.
    Suspect,
    /// Advance: green is within the margin for promotion.
    Proven,
    /// Continue: more data is needed.
    Undecided,
}

/// The levels that the evidence is compared with, all as natural logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// For `log_e_concurrent`, `log_e_history` and `log_e_ceiling`: ln(1/α).
    pub rollback: f64,
    /// For `log_second_key`: ln(1/`alpha_c`).
    pub second_key: f64,
    /// For `log_blue_sick`.
    pub blue_sick: f64,
    /// For `log_e_proof`: ln(1/`beta_p`).
    pub proof: f64,
    /// Evidence against green over which it is not promoted.
    pub caution: f64,
}

/// Sums over some periods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Blue's counts.
    #[serde(rename = "b")]
    pub blue: Counts,
    /// Green's counts.
    #[serde(rename = "g")]
    pub green: Counts,
    /// Length of the periods, seconds.
    #[serde(rename = "s")]
    pub seconds: f64,
}

impl Window {
    pub(super) fn add(&mut self, blue: Counts, green: Counts, period_s: f64) {
        self.blue.add(blue);
        self.green.add(green);
        self.seconds += period_s;
    }
}

/// The judge's answer to one period. Evidence is in natural logarithms; −∞ is none yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What to do.
    pub conclusion: Conclusion,
    /// Why.
    pub reason: Reason,
    /// Evidence that green is worse than blue in the same periods.
    #[serde(with = "super::stored::log")]
    pub log_e_concurrent: f64,
    /// Evidence that green is worse than blue's past.
    #[serde(with = "super::stored::log")]
    pub log_e_history: f64,
    /// Evidence that green is over the ceiling; −∞ without a ceiling.
    #[serde(with = "super::stored::log")]
    pub log_e_ceiling: f64,
    /// Evidence of the same-period comparison since green began to look worse than blue's past.
    #[serde(with = "super::stored::log")]
    pub log_second_key: f64,
    /// Evidence that blue itself is worse than its past.
    #[serde(with = "super::stored::log")]
    pub log_blue_sick: f64,
    /// Evidence for promotion.
    #[serde(with = "super::stored::log")]
    pub log_e_proof: f64,
    /// Variance of blue's counts over what independent requests would give.
    pub blue_dispersion: f64,
    /// The same for the split of the bad requests between the sides.
    pub split_dispersion: f64,
    /// What the evidence was compared with.
    pub thresholds: Thresholds,
    /// The relative margin used in this period: `rho`, or `rho_out` while blue is sick.
    pub margin: f64,
    /// Blue's usual rate before this period, or `None` when too little is known.
    pub usual_ratio: Option<f64>,
    /// Green's recent bad requests, decayed; a rollback needs `k_min` of them.
    pub recent_bad: f64,
    /// Green requests that should have come since the last one came.
    pub missing: f64,
    /// Everything since the step began.
    pub step: Window,
    /// Everything since the evidence against green began to grow: the likeliest start of a fault.
    pub suspicion: Window,
}

impl Reading {
    /// The periods that the verdict speaks of: since the likeliest start of the fault when green is accused.
    pub const fn spoken_of(&self) -> &Window {
        match self.conclusion {
            Conclusion::Rollback | Conclusion::Hold => &self.suspicion,
            Conclusion::Advance | Conclusion::Continue => &self.step,
        }
    }

    /// Whether blue itself is worse than its past.
    pub fn blue_is_sick(&self) -> bool {
        self.log_blue_sick >= self.thresholds.blue_sick
    }
}
