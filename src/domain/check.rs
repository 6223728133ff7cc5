//! The judge of one check: from metric periods to readings.

use serde::{Deserialize, Serialize};

use super::event::Verdict;
use super::observation::{Period, SideCounts};
use super::plan::{Question, Tolerance};
use crate::judge::{Conclusion, Counts, Evidence, Reading, Reason, Settings, Wording};

/// Proof for a raise allows this much more than the margin itself, relative: at the margin exactly it could never be
/// had. It is the ratio of the judge's own defaults, 1.25 to 1.10.
const PROOF_OVER_MARGIN: f64 = 1.25 / 1.10;

/// What the judge has accumulated for one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckJudge {
    /// Bad requests are counted as they come.
    Counts {
        /// Which requests are bad.
        bad: Bad,
        /// The evidence so far.
        evidence: Box<Evidence>,
    },
    /// Slow requests are estimated from percentiles, at thresholds that blue's own past sets.
    Latency(Box<super::latency::LatencyJudge>),
}

/// Which requests a counting check calls bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// Those that the side failed.
    Errors,
    /// Those that were answered 4XX.
    ClientErrors,
}

/// How one check is to be judged: the plan's tolerance in the judge's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The judge's settings; the risk is this check's part of the whole.
    pub settings: Settings,
    /// Length of a period, in seconds.
    pub period_s: f64,
}

impl Terms {
    /// The terms of a check with this tolerance, one of `checks` that share the risk. `sticky`: clients keep their
    /// fleet, so bursts may hit one side alone.
    pub fn new(tolerance: &Tolerance, checks: u32, period_s: f64, sticky: bool) -> Self {
        let standard = Settings::default();
        let settings = Settings {
            rho: tolerance.ratio,
            delta: tolerance.extra,
            alpha: tolerance.risk,
            ceiling: tolerance.ceiling,
            rho_p: standard.rho_p.max(tolerance.ratio * PROOF_OVER_MARGIN),
            delta_user: tolerance.effect + tolerance.extra,
            phi: if sticky { 1.0 } else { standard.phi },
            ..standard
        };
        Self { settings: settings.shared_by(checks), period_s }
    }
}

impl Bad {
    /// This check's counts of one side.
    fn counts(self, side: &SideCounts) -> Counts {
        let bad = match self {
            Self::Errors => side.errors,
            Self::ClientErrors => side.client_errors,
        };
        Counts::new(as_number(side.requests), as_number(bad))
    }

    /// How to speak of it.
    pub fn wording(self) -> Wording {
        match self {
            Self::Errors => Wording::errors(),
            Self::ClientErrors => Wording::client_errors(),
        }
    }
}

impl CheckJudge {
    /// A judge without evidence for a check that asks `question`; `None` when the question is not one of statistics.
    pub fn new(question: &Question) -> Option<Self> {
        let counts = |bad| Some(Self::Counts { bad, evidence: Box::default() });
        match question {
            Question::Errors(_) => counts(Bad::Errors),
            Question::ClientErrors(_) => counts(Bad::ClientErrors),
            Question::Latency(_) => Some(Self::Latency(Box::default())),
            Question::Alarms { .. } => None,
        }
    }

    /// Takes in a period from before green's first traffic.
    pub fn history(&mut self, terms: &Terms, period: &Period) {
        match self {
            Self::Counts { bad, evidence } => {
                evidence.history(&terms.settings, bad.counts(&period.blue), terms.period_s);
            }
            Self::Latency(latency) => latency.history(terms, period),
        }
    }

    /// Says that green's weight was set; `next` is the weight that proof would lead to.
    pub fn step(&mut self, terms: &Terms, now: f64, next: Option<f64>) {
        match self {
            Self::Counts { evidence, .. } => evidence.step(&terms.settings, now, next),
            Self::Latency(latency) => latency.step(terms, now, next),
        }
    }

    /// Takes in a period with both sides, and judges; `None` when the period says nothing to this check.
    pub fn update(&mut self, terms: &Terms, period: &Period) -> Option<Finding> {
        match self {
            Self::Counts { bad, evidence } => {
                let (blue, green) = (bad.counts(&period.blue), bad.counts(&period.green));
                let reading = evidence.update(&terms.settings, blue, green, terms.period_s);
                Some(Finding { reading, wording: bad.wording() })
            }
            Self::Latency(latency) => latency.update(terms, period),
        }
    }

    /// The evidence that a forecast starts from.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Counts { evidence, .. } => Some(evidence),
            Self::Latency(latency) => latency.evidence(),
        }
    }
}

/// A reading with the words to speak of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What the judge says.
    pub reading: Reading,
    /// How to speak of it.
    pub wording: Wording,
}

/// The three-valued verdict that a conclusion means.
pub const fn verdict(conclusion: Conclusion) -> Verdict {
    match conclusion {
        Conclusion::Rollback => Verdict::Failing,
        Conclusion::Advance => Verdict::Passing,
        Conclusion::Hold | Conclusion::Continue => Verdict::Inconclusive,
    }
}

/// The name of a reason, as in events, the API and metrics.
pub const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Silent => "silent",
        Reason::Concurrent => "concurrent",
        Reason::TwoKey => "two_key",
        Reason::Historical => "historical",
        Reason::Ceiling => "ceiling",
        Reason::CommonCause => "common_cause",
        Reason::Suspect => "suspect",
        Reason::Proven => "proven",
        Reason::Undecided => "undecided",
    }
}

/// A count as the judge takes it. Counts above 2^53 lose their last digits, which no load balancer reaches.
#[expect(clippy::cast_precision_loss, reason = "counts of requests in one period are far below 2^53")]
pub(super) const fn as_number(count: u64) -> f64 {
    count as f64
}
