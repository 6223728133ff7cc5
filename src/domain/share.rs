//! Does green get the share of requests that its weight says? When it does not, the judge goes on with the real counts, and
//! this says why the numbers look odd (rule 2).

use jiff::Timestamp;

use super::analysis::AnalysisState;
use super::check::as_number;
use super::observation::Period;
use super::plan::Plan;
use super::rollout::Rollout;
use super::time::after;
use crate::judge::share::{ShareConclusion, ShareEvidence, ShareReading, ShareSettings};

impl AnalysisState {
    /// Takes a closed period into the evidence about the share; `marks` are the weights set since the one before.
    pub(super) fn close_share(&mut self, marks: impl Iterator<Item = f64>, period: &Period, period_s: f64) {
        for weight in marks {
            self.share.step(weight);
        }
        take(&mut self.share, period, period_s);
    }

    /// What the settled periods say of green's share since its weight was last confirmed; `None` while none does.
    pub fn share(&self, plan: &Plan, now: Timestamp) -> Option<ShareReading> {
        let interval = plan.analysis.interval;
        let period_s = interval.as_secs_f64();
        let mut evidence = self.share.clone();
        let mut marks = self.marks.iter().peekable();
        let mut reading = None;
        for (start, known) in &self.open {
            while let Some(mark) = marks.next_if(|mark| mark.at <= *start) {
                evidence.step(mark.now);
                reading = None;
            }
            let settled = known.alike && after(after(*start, interval), plan.analysis.settle) <= now;
            if !settled {
                break;
            }
            reading = Some(take(&mut evidence, &known.period, period_s));
        }
        // A weight that no settled period has followed yet.
        if marks.next().is_some() { None } else { reading }
    }
}

fn take(evidence: &mut ShareEvidence, period: &Period, period_s: f64) -> ShareReading {
    let (blue, green) = (as_number(period.blue.requests), as_number(period.green.requests));
    evidence.update(&ShareSettings::default(), blue, green, period_s)
}

/// What to tell an operator about the share, if anything: that it is off and why that may be, or that it cannot be
/// compared.
pub fn remark(rollout: &Rollout, now: Timestamp) -> Option<String> {
    let inspection = rollout.inspection.as_ref();
    if inspection.is_some_and(|inspection| inspection.shared_groups) {
        return Some("not compared with the weight: the target groups serve other rules too".to_owned());
    }
    let reading = rollout.analysis.share(rollout.plan(), now)?;
    let off = match reading.conclusion {
        ShareConclusion::TooLow => "less",
        ShareConclusion::TooHigh => "more",
        ShareConclusion::AsSet | ShareConclusion::Undecided => return None,
    };
    let observed = reading.observed? * 100.0;
    let why = if rollout.analysis.sticky {
        "clients with a sticky cookie stay with their fleet"
    } else {
        "long-lived connections, or a weight that has not reached every node"
    };
    Some(format!(
        "green gets {off} than its weight: {observed:.1}% of the requests instead of {} ({why}); the checks use the real counts",
        rollout.intended
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analysis::Mark;
    use crate::domain::observation::SideCounts;
    use crate::domain::time::{Span, before};

    fn periods(green: u64) -> (AnalysisState, Plan, Timestamp) {
        let plan = Plan::standard();
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let mut state =
            AnalysisState { first_write: Some(before(start, Span::from_secs(1))), ..AnalysisState::default() };
        state.marks.push(Mark { at: start, now: 0.1, next: Some(0.25) });
        let mut at = start;
        for _ in 0..20 {
            let side = |requests| SideCounts { requests, ..SideCounts::default() };
            let period = Period { start: at, blue: side(9_000), green: side(green), load_balancer_errors: 0 };
            state.take(&plan, &[period], &[], at);
            state.take(&plan, &[], &[at], at);
            at = after(at, plan.analysis.interval);
        }
        (state, plan, after(at, Span::from_mins(2)))
    }

    #[test]
    fn a_share_as_set_is_recognised_and_one_of_a_third_is_called_low() {
        let (state, plan, now) = periods(1_000);
        assert_eq!(state.share(&plan, now).unwrap().conclusion, ShareConclusion::AsSet);
        let (state, plan, now) = periods(300);
        assert_eq!(state.share(&plan, now).unwrap().conclusion, ShareConclusion::TooLow);
    }

    #[test]
    fn a_new_weight_has_no_share_yet() {
        let (mut state, plan, now) = periods(1_000);
        state.marks.push(Mark { at: now, now: 0.25, next: None });
        assert_eq!(state.share(&plan, now), None);
    }
}
