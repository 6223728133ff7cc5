//! From a [`Spec`] to the document that says the same, with every default written out.

use jiff::civil::Time;

use crate::config::written::{Duration, Percent, Share};
use crate::domain::plan::{
    Analysis, Check, Fallback, HealthPolicy, OnDrift, Plan, Question, Route, Spec, Step, Tolerance,
};
use crate::domain::schedule::{Schedule, Window};

use super::document::{
    AlbDocument, AnalysisDocument, ApprovalWord, CheckDocument, FallbackWord, HealthDocument, HoldDocument,
    MarginDocument, OnDriftWord, RolloutDocument, RouteDocument, ScheduleDocument, StepDocument, ToleranceDocument,
    WindowDocument,
};

impl From<&Spec> for RolloutDocument {
    fn from(spec: &Spec) -> Self {
        let Plan {
            steps: plan_steps,
            bake,
            bake_at,
            rollback_window,
            health,
            analysis,
            on_failure,
            on_inconclusive,
            on_no_data,
            no_data_timeout,
            common_cause_timeout,
            on_drift,
            schedule,
            deadline,
        } = &spec.plan;
        Self {
            name: spec.name.to_string(),
            labels: spec.labels.clone(),
            route: RouteDocument::from(&spec.route),
            steps: steps(plan_steps),
            bake: Duration::from(*bake),
            bake_at: Percent::from(*bake_at),
            rollback_window: Duration::from(*rollback_window),
            health: HealthDocument::from(health),
            analysis: AnalysisDocument::from(analysis),
            on_failure: FallbackWord::from(*on_failure),
            on_inconclusive: FallbackWord::from(*on_inconclusive),
            on_no_data: FallbackWord::from(*on_no_data),
            no_data_timeout: Duration::from(*no_data_timeout),
            common_cause_timeout: Duration::from(*common_cause_timeout),
            on_drift: OnDriftWord::from(*on_drift),
            schedule: ScheduleDocument::from(schedule),
            deadline: Duration::from(*deadline),
        }
    }
}

/// Every step with its hold, but for the last, which has none.
pub(super) fn steps(steps: &[Step]) -> Vec<StepDocument> {
    let last = steps.len().saturating_sub(1);
    let document = |(index, step): (usize, &Step)| StepDocument {
        weight: step.weight.into(),
        hold: (index != last).then(|| HoldDocument { min: step.hold_min.into(), max: step.hold_max.into() }),
        approval: if step.approval { ApprovalWord::Required } else { ApprovalWord::None },
    };
    steps.iter().enumerate().map(document).collect()
}

impl From<&Route> for RouteDocument {
    fn from(route: &Route) -> Self {
        let Route::Alb(alb) = route;
        Self {
            alb: AlbDocument {
                rules: alb.rules.iter().map(ToString::to_string).collect(),
                blue_target_group: alb.blue_target_group.to_string(),
                green_target_group: alb.green_target_group.to_string(),
            },
        }
    }
}

impl From<&HealthPolicy> for HealthDocument {
    fn from(policy: &HealthPolicy) -> Self {
        Self {
            min_healthy_targets: policy.min_healthy_targets,
            min_healthy_ratio: Share(policy.min_healthy_ratio.to_string()),
            blue_floor: Share(policy.blue_floor.to_string()),
        }
    }
}

impl From<&Analysis> for AnalysisDocument {
    fn from(analysis: &Analysis) -> Self {
        Self {
            interval: analysis.interval.into(),
            settle: analysis.settle.into(),
            checks: analysis.checks.iter().map(CheckDocument::from).collect(),
        }
    }
}

impl From<&Check> for CheckDocument {
    fn from(check: &Check) -> Self {
        let named = Self { name: Some(check.name.clone()), ..Self::default() };
        match &check.question {
            Question::Errors(tolerance) => Self { errors: Some(tolerance.into()), ..named },
            Question::ClientErrors(tolerance) => Self { client_errors: Some(tolerance.into()), ..named },
            Question::Latency(tolerance) => Self { latency: Some(tolerance.into()), ..named },
            Question::Alarms { names } => Self { alarms: Some(names.clone()), ..named },
        }
    }
}

impl From<&Tolerance> for ToleranceDocument {
    fn from(tolerance: &Tolerance) -> Self {
        Self {
            margin: Some(MarginDocument { ratio: Some(tolerance.ratio), extra: Some(tolerance.extra.into()) }),
            ceiling: tolerance.ceiling.map(Share::from),
            risk: Some(tolerance.risk.into()),
            effect: Some(tolerance.effect.into()),
        }
    }
}

impl From<&Schedule> for ScheduleDocument {
    fn from(schedule: &Schedule) -> Self {
        Self { start_at: schedule.start_at, windows: schedule.windows.iter().map(WindowDocument::from).collect() }
    }
}

impl From<&Window> for WindowDocument {
    fn from(window: &Window) -> Self {
        Self {
            days: window.days.iter().filter_map(|day| day_name(*day)).map(str::to_owned).collect(),
            from: clock(window.from),
            to: clock(window.to),
            tz: window.tz.clone(),
        }
    }
}

/// The name of a day, Monday = 1.
fn day_name(day: i8) -> Option<&'static str> {
    let index = usize::try_from(day).ok()?.checked_sub(1)?;
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].get(index).copied()
}

/// `09:00`, with seconds only where there are some.
fn clock(time: Time) -> String {
    let shown = time.to_string();
    shown.strip_suffix(":00").filter(|short| short.len() == 5).map_or(shown.clone(), str::to_owned)
}

impl From<Fallback> for FallbackWord {
    fn from(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Rollback => Self::Rollback,
            Fallback::Pause => Self::Pause,
        }
    }
}

impl From<OnDrift> for OnDriftWord {
    fn from(on_drift: OnDrift) -> Self {
        match on_drift {
            OnDrift::Hold => Self::Hold,
            OnDrift::Reassert => Self::Reassert,
            OnDrift::Adopt => Self::Adopt,
        }
    }
}
