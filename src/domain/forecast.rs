//! How long the proof of each step will take at the present traffic, before anything is moved.

use super::analysis::{AnalysisState, terms};
use super::check::{CheckJudge, as_number};
use super::plan::{Plan, Question};
use super::time::Span;
use super::weight::Weight;
use crate::judge::{Evidence, Outlook, Traffic, forecast};

/// What to expect of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepForecast {
    /// The step, counted from 1.
    pub step: usize,
    /// Its weight.
    pub weight: Weight,
    /// How long its proof will typically take; `None` when it cannot be expected within the longest hold.
    pub typical: Option<Span>,
    /// In nine of ten cases it takes no longer than this.
    pub cautious: Option<Span>,
    /// The check that takes longest, or that cannot be proven.
    pub check: String,
}

/// Blue's traffic of late: requests per second, and the share of them that is bad for a check.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Past {
    requests_per_s: f64,
    errors: f64,
    client_errors: f64,
}

/// What to expect of every step but the last, from the periods that were read before the first shift. Latency is left
/// out: its thresholds are set by the same past, and slow requests are frequent enough to be proven before errors are.
/// Empty while nothing is known of blue's traffic.
pub fn of_plan(plan: &Plan, analysis: &AnalysisState) -> Vec<StepForecast> {
    let Some(past) = past(plan, analysis) else { return Vec::new() };
    let steps = plan.steps.iter().enumerate().take(plan.last());
    steps.filter_map(|(index, _)| of_step(plan, index, past)).collect()
}

fn past(plan: &Plan, analysis: &AnalysisState) -> Option<Past> {
    let (mut requests, mut errors, mut client_errors, mut periods) = (0.0, 0.0, 0.0, 0.0);
    for known in analysis.open.values() {
        let blue = &known.period.blue;
        requests += as_number(blue.requests);
        errors += as_number(blue.errors);
        client_errors += as_number(blue.client_errors);
        periods += 1.0;
    }
    let seconds = periods * plan.analysis.interval.as_secs_f64();
    let all = requests + 1.0;
    // Half an error: none in ten minutes does not mean that there are none.
    let share = |bad: f64| (bad + 0.5) / all;
    (seconds > 0.0 && requests > 0.0).then(|| Past {
        requests_per_s: requests / seconds,
        errors: share(errors),
        client_errors: share(client_errors),
    })
}

fn of_step(plan: &Plan, index: usize, past: Past) -> Option<StepForecast> {
    let step = plan.steps.get(index)?;
    let next = plan.weight(index.saturating_add(1))?;
    let next = if next >= plan.bake_at { Weight::FULL } else { next };
    let mut worst = StepForecast {
        step: index.saturating_add(1),
        weight: step.weight,
        typical: Some(Span::ZERO),
        cautious: Some(Span::ZERO),
        check: String::new(),
    };
    let terms = terms(plan, false);
    for check in &plan.analysis.checks {
        let usual_ratio = match &check.question {
            Question::Errors(_) => past.errors,
            Question::ClientErrors(_) => past.client_errors,
            Question::Latency(_) | Question::Alarms { .. } => continue,
        };
        let (Some(terms), Some(_)) = (terms.get(check.name.as_str()), CheckJudge::new(&check.question)) else {
            continue;
        };
        let per_period = past.requests_per_s * terms.period_s;
        let traffic = Traffic {
            blue_requests: per_period * (1.0 - step.weight.ratio()),
            green_requests: per_period * step.weight.ratio(),
            period_s: terms.period_s,
            usual_ratio,
        };
        let mut evidence = Evidence::new();
        evidence.step(&terms.settings, step.weight.ratio(), Some(next.ratio()));
        let outlook = forecast(&terms.settings, &evidence, &traffic, step.hold_max.as_secs_f64()).proof;
        take(&mut worst, &check.name, outlook);
    }
    Some(worst)
}

fn take(worst: &mut StepForecast, check: &str, outlook: Outlook) {
    match outlook {
        Outlook::Decided | Outlook::NothingToProve => {}
        Outlook::Expected { seconds, cautious_seconds, .. } => {
            let typical = span(seconds);
            if worst.typical.is_some_and(|known| typical > known) {
                worst.typical = Some(typical);
                worst.cautious = Some(span(cautious_seconds));
                check.clone_into(&mut worst.check);
            }
        }
        Outlook::Undecidable { .. } => {
            worst.typical = None;
            worst.cautious = None;
            check.clone_into(&mut worst.check);
        }
    }
}

/// Whole minutes, rounded up: nobody plans by seconds that are a forecast.
fn span(seconds: f64) -> Span {
    let minutes = (seconds / 60.0).ceil().clamp(0.0, 1e6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a range that fits")]
    Span::from_mins(minutes as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analysis::OpenPeriod;
    use crate::domain::observation::{Period, SideCounts};
    use crate::domain::time::after;

    fn with_traffic(requests: u64, errors: u64) -> AnalysisState {
        let mut state = AnalysisState::default();
        let mut start: jiff::Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        for _ in 0..10 {
            let blue = SideCounts { requests, errors, client_errors: requests / 100, ..SideCounts::default() };
            let period = Period { start, blue, green: SideCounts::default(), load_balancer_errors: 0 };
            state.open.insert(start, OpenPeriod { period, alike: true });
            start = after(start, Span::from_secs(60));
        }
        state
    }

    #[test]
    fn more_traffic_proves_sooner() {
        let plan = Plan::standard();
        let busy = of_plan(&plan, &with_traffic(60_000, 60));
        let quiet = of_plan(&plan, &with_traffic(6_000, 6));
        assert_eq!(busy.len(), plan.steps.len() - 1);
        let first = |forecast: &[StepForecast]| forecast.first().and_then(|step| step.typical).unwrap();
        assert!(first(&busy) < first(&quiet), "{busy:?} {quiet:?}");
    }

    #[test]
    fn too_little_traffic_is_said_to_be_undecidable_and_none_says_nothing() {
        let plan = Plan::standard();
        let trickle = of_plan(&plan, &with_traffic(1, 0));
        assert!(trickle.iter().all(|step| step.typical.is_none()), "{trickle:?}");
        assert!(of_plan(&plan, &AnalysisState::default()).is_empty());
    }
}
