//! The rules of the other tools, each as a statistic that is compared with a threshold after every period: so that
//! their own setting and one tuned to any rate of false rollbacks are both one comparison.

use std::collections::VecDeque;

use greenshift::judge::{Counts, Evidence, Settings};

use crate::mann_whitney::{Deviation, kayenta_is_high, pipecd_p};

/// One rule watching one rollout.
pub(crate) trait Rule {
    /// Takes in a period; the larger the answer, the worse green looks.
    fn see(&mut self, blue: Counts, green: Counts) -> f64;
}

/// Error ratio; a side without traffic counts as healthy, as the queries of these tools are usually written.
fn ratio(side: Counts) -> f64 {
    side.ratio().unwrap_or(0.0)
}

/// Argo Rollouts and Flagger: failed measurements are counted over the whole run and never forgotten. The rule fires
/// at the n-th failure, so its statistic is the n-th largest error ratio so far.
pub(crate) struct Counter {
    largest: Vec<f64>,
    delay: VecDeque<f64>,
}

impl Counter {
    /// An Argo metric: aborted by more failures than `failure_limit`.
    pub(crate) fn argo(failure_limit: usize) -> Self {
        Self { largest: vec![-1.0; failure_limit + 1], delay: VecDeque::new() }
    }

    /// Flagger: failed checks are compared with the threshold at the start of the next interval.
    pub(crate) fn flagger(threshold: usize) -> Self {
        Self { largest: vec![-1.0; threshold], delay: VecDeque::from([-1.0]) }
    }
}

impl Rule for Counter {
    fn see(&mut self, _blue: Counts, green: Counts) -> f64 {
        let now = ratio(green);
        if let Some(least) = self.largest.first_mut()
            && now > *least
        {
            *least = now;
            self.largest.sort_by(f64::total_cmp);
        }
        self.delay.push_back(self.largest[0]);
        self.delay.pop_front().unwrap_or(-1.0)
    }
}

/// An alarm: the value is over the threshold in `m` of the last `n` periods.
pub(crate) struct Alarm {
    m: usize,
    last: VecDeque<f64>,
    relative: bool,
}

impl Alarm {
    /// On green's error ratio.
    pub(crate) fn absolute(m: usize, n: usize) -> Self {
        Self { m, last: VecDeque::from(vec![-1.0; n]), relative: false }
    }

    /// On green's error ratio over blue's, which is taken from one error on.
    pub(crate) fn relative(m: usize, n: usize) -> Self {
        Self { relative: true, ..Self::absolute(m, n) }
    }
}

impl Rule for Alarm {
    fn see(&mut self, blue: Counts, green: Counts) -> f64 {
        let base = if self.relative { blue.bad.max(1.0) / blue.requests.max(1.0) } else { 1.0 };
        self.last.pop_front();
        self.last.push_back(ratio(green) / base);
        let mut sorted: Vec<f64> = self.last.iter().copied().collect();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted[self.m - 1]
    }
}

/// `PipeCD`: every `points` periods Mann and Whitney's test on them, no correction for looking again.
pub(crate) struct PipeCd {
    deviation: Deviation,
    points: usize,
    blue: Vec<f64>,
    green: Vec<f64>,
}

impl PipeCd {
    pub(crate) fn new(deviation: Deviation) -> Self {
        Self { deviation, points: 5, blue: Vec::new(), green: Vec::new() }
    }
}

impl Rule for PipeCd {
    fn see(&mut self, blue: Counts, green: Counts) -> f64 {
        self.blue.extend(blue.ratio());
        self.green.extend(green.ratio());
        self.points -= 1;
        if self.points > 0 {
            return f64::NEG_INFINITY;
        }
        self.points = 5;
        let (blue, green) = (std::mem::take(&mut self.blue), std::mem::take(&mut self.green));
        match (blue.is_empty(), green.is_empty()) {
            (true, true) => f64::NEG_INFINITY,
            (false, false) => -pipecd_p(&green, &blue, self.deviation).max(1e-300).ln(),
            // No data on one side is a failure.
            (true, false) | (false, true) => f64::INFINITY,
        }
    }
}

/// Kayenta: every ten minutes over the last hour.
pub(crate) struct Kayenta {
    blue: VecDeque<f64>,
    green: VecDeque<f64>,
    periods: usize,
}

impl Kayenta {
    pub(crate) fn new() -> Self {
        Self { blue: VecDeque::new(), green: VecDeque::new(), periods: 0 }
    }
}

impl Rule for Kayenta {
    fn see(&mut self, blue: Counts, green: Counts) -> f64 {
        for (series, side) in [(&mut self.blue, blue), (&mut self.green, green)] {
            series.extend(side.ratio());
            while series.len() > 60 {
                series.pop_front();
            }
        }
        self.periods += 1;
        let high = self.periods.is_multiple_of(10)
            && kayenta_is_high(self.blue.make_contiguous(), self.green.make_contiguous());
        f64::from(u8::from(high))
    }
}

/// Ours: the evidence that decides, as [`Evidence::update`] weighs it.
pub(crate) struct Ours {
    pub(crate) settings: Settings,
    pub(crate) evidence: Evidence,
    pub(crate) period_s: f64,
}

impl Rule for Ours {
    fn see(&mut self, blue: Counts, green: Counts) -> f64 {
        let r = self.evidence.update(&self.settings, blue, green, self.period_s);
        if r.recent_bad < self.settings.k_min - 0.5 {
            return f64::NEG_INFINITY;
        }
        let second = r.log_second_key + r.thresholds.rollback - r.thresholds.second_key;
        r.log_e_concurrent.max(r.log_e_history.min(second)).max(r.log_e_ceiling)
    }
}

/// Who knows both rates beforehand: Wald's test from the start, Page's when the fault comes later.
pub(crate) struct Oracle {
    blue: f64,
    green: f64,
    sum: f64,
    restarts: bool,
}

impl Oracle {
    pub(crate) fn new(blue: f64, green: f64, restarts: bool) -> Self {
        Self { blue, green: green.min(1.0 - 1e-12), sum: 0.0, restarts }
    }
}

impl Rule for Oracle {
    fn see(&mut self, _blue: Counts, green: Counts) -> f64 {
        if self.restarts {
            self.sum = self.sum.max(0.0);
        }
        self.sum += green.bad * (self.green / self.blue).ln()
            + (green.requests - green.bad) * ((1.0 - self.green) / (1.0 - self.blue)).ln();
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarm, Counter, Rule};
    use greenshift::judge::Counts;

    /// First period, from 1, at which a rule at this threshold fires on green's error ratios.
    fn fires(mut rule: impl Rule, threshold: f64, ratios: &[f64]) -> Option<usize> {
        let blue = Counts::new(1000.0, 1.0);
        ratios.iter().position(|r| rule.see(blue, Counts::new(1000.0, 1000.0 * r)) > threshold).map(|at| at + 1)
    }

    #[test]
    fn argo_aborts_at_the_failure_after_its_limit_and_never_forgets_one() {
        let ratios = [0.1, 0.0, 0.1, 0.0, 0.0, 0.1, 0.05, 0.1];
        assert_eq!(fires(Counter::argo(0), 0.05, &ratios), Some(1));
        assert_eq!(fires(Counter::argo(3), 0.05, &ratios), Some(8), "the fourth failure; 0.05 is none");
    }

    #[test]
    fn flagger_rolls_back_one_interval_after_its_threshold() {
        let ratios = [0.02, 0.0, 0.02, 0.0, 0.0];
        assert_eq!(fires(Counter::flagger(1), 0.01, &ratios), Some(2), "like failureLimit 0, one interval later");
        assert_eq!(fires(Counter::flagger(2), 0.01, &ratios), Some(4));
    }

    #[test]
    fn an_alarm_needs_two_of_the_last_three_periods() {
        assert_eq!(fires(Alarm::absolute(2, 3), 0.01, &[0.02, 0.0, 0.0, 0.02, 0.0, 0.02]), Some(6));
        assert_eq!(fires(Alarm::absolute(2, 3), 0.01, &[0.02, 0.0, 0.0, 0.02, 0.0, 0.0]), None);
        assert_eq!(fires(Alarm::relative(2, 3), 2.0, &[0.003, 0.002, 0.0021, 0.0]), Some(3));
    }
}
