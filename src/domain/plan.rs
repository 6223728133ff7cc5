//! The plan of a rollout: valid by construction, with every default of the product.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{Arn, RolloutName};
use super::schedule::Schedule;
use super::time::Span;
use super::weight::Weight;

/// All that a person wrote: what to move, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The rollout's name.
    pub name: RolloutName,
    /// Free labels, for filters and limits.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where the weight lives.
    pub route: Route,
    /// How it moves.
    pub plan: Plan,
}

/// Where the weight lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Weighted target groups of an Application Load Balancer.
    Alb(AlbRoute),
}

/// ALB rules that move together between two target groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlbRoute {
    /// Listener ARNs (their default action) and listener rule ARNs; never empty, no duplicates.
    pub rules: Vec<Arn>,
    /// The target group that traffic leaves.
    pub blue_target_group: Arn,
    /// The target group that traffic moves to.
    pub green_target_group: Arn,
}

impl Route {
    /// The names of the rules that this route moves, each owned by at most one active rollout.
    pub fn rules(&self) -> &[Arn] {
        let Self::Alb(alb) = self;
        &alb.rules
    }
}

/// How the weight moves, and what must be true on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Weights in strictly rising order; the last is 100 %. Never empty.
    pub steps: Vec<Step>,
    /// How long green is watched after it took over, while blue is still warm.
    pub bake: Span,
    /// The weight at which the bake runs: 100 %, or a little less to keep a live blue to compare with.
    pub bake_at: Weight,
    /// How long after completion `rollback` is still offered.
    pub rollback_window: Span,
    /// What the fleets must have before a raise.
    pub health: HealthPolicy,
    /// How metrics are read and judged.
    pub analysis: Analysis,
    /// What a Failing verdict does.
    pub on_failure: Fallback,
    /// What happens when a step's longest hold is over without proof.
    pub on_inconclusive: Fallback,
    /// What happens when no data came for `no_data_timeout`.
    pub on_no_data: Fallback,
    /// How long data may stay away before `on_no_data`.
    pub no_data_timeout: Span,
    /// How long both sides may be sick together before `on_failure`.
    pub common_cause_timeout: Span,
    /// What to do about weights that somebody else wrote.
    pub on_drift: OnDrift,
    /// When weight may rise.
    pub schedule: Schedule,
    /// Longest active time (progressing or baking); then the rollout pauses.
    pub deadline: Span,
}

/// One weight to reach, and what must be true before the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Green's share.
    pub weight: Weight,
    /// Shortest time at this weight; the raise comes when it is over and green is proven.
    pub hold_min: Span,
    /// Longest time at this weight without proof; then `on_inconclusive`.
    pub hold_max: Span,
    /// Whether a person must approve before this step is left.
    pub approval: bool,
}

/// What the fleets must have before a raise (rule 3 of the decision).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPolicy {
    /// Fewest healthy targets in green's group.
    pub min_healthy_targets: u32,
    /// Smallest share of green's registered targets that must be healthy.
    pub min_healthy_ratio: Weight,
    /// Share of the healthy targets that blue had at the start, which it must keep.
    pub blue_floor: Weight,
}

/// How metrics are read and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Length of a metric period.
    pub interval: Span,
    /// A period is judged this long after its end.
    pub settle: Span,
    /// The questions asked of the metrics, by unique name; never empty.
    pub checks: Vec<Check>,
}

/// A question asked of metrics, under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Name, unique in the plan, as shown and as the metric label.
    pub name: String,
    /// What is asked.
    pub question: Question,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Are green's requests failing more often than blue's?
    Errors(Tolerance),
    /// Are green's requests refused (4xx) more often than blue's?
    ClientErrors(Tolerance),
    /// Is green slower than blue?
    Latency(Tolerance),
    /// Is any of these CloudWatch alarms in ALARM?
    Alarms {
        /// Alarm names.
        names: Vec<String>,
    },
}

/// How much worse green may be, and how sure the judge must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Relative margin ρ: green's ratio may be this many times blue's. At least 1.
    pub ratio: f64,
    /// Absolute margin δ, added on top, as a share of requests (0 to 1).
    pub extra: f64,
    /// Highest share of bad requests whatever blue does; `None` = no ceiling.
    pub ceiling: Option<f64>,
    /// Risk α of ever rolling back an acceptable green, over all checks of the rollout together.
    pub risk: f64,
    /// Smallest effect of interest: share of all requests that the next raise may hurt unnoticed (0 to 1). Proof means
    /// that it would hurt fewer.
    #[serde(default = "standard_effect")]
    pub effect: f64,
}

/// One request in a thousand (judge specification, `delta_user`).
const EFFECT: f64 = 0.001;

const fn standard_effect() -> f64 {
    EFFECT
}

impl Tolerance {
    /// Default for `errors`: a tenth more than blue, 5 % risk (judge specification).
    pub const ERRORS: Self = Self { ratio: 1.1, extra: 0.0, ceiling: None, risk: 0.05, effect: EFFECT };
    /// Default for `client_errors`: clients differ more than servers, so a quarter more and one in a thousand on top.
    pub const CLIENT_ERRORS: Self = Self { ratio: 1.25, extra: 0.001, ceiling: None, risk: 0.05, effect: EFFECT };
    /// Default for `latency`: half as many slow requests more than blue (judge specification, section 3).
    pub const LATENCY: Self = Self { ratio: 1.5, extra: 0.0, ceiling: None, risk: 0.05, effect: EFFECT };
}

/// What to do when something does not come out well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Take the traffic back to blue.
    Rollback,
    /// Stay and ask for a person.
    Pause,
}

/// What to do about weights that this controller did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// Move nothing forward until they are back or a person decides.
    Hold,
    /// Write ours again where that lowers green's weight.
    Reassert,
    /// Take theirs: fall to the last step that is not above it.
    Adopt,
}

impl Plan {
    /// Longest number of steps: more would make no difference that a judge could see.
    pub const STEPS_MAX: usize = 100;

    /// The default plan: 10 % 25 % 50 % 75 % 100 %, ten minutes each, an hour of bake.
    pub fn standard() -> Self {
        let percents = [10, 25, 50, 75, 100];
        let steps = percents.into_iter().filter_map(Weight::from_percent).map(Step::new).collect();
        Self {
            steps,
            bake: Span::from_hours(1),
            bake_at: Weight::FULL,
            rollback_window: Span::from_hours(24),
            health: HealthPolicy::standard(),
            analysis: Analysis::standard(),
            on_failure: Fallback::Rollback,
            on_inconclusive: Fallback::Pause,
            on_no_data: Fallback::Pause,
            no_data_timeout: Span::from_mins(15),
            common_cause_timeout: Span::from_mins(15),
            on_drift: OnDrift::Hold,
            schedule: Schedule::default(),
            deadline: Span::from_hours(72),
        }
    }

    /// The weight of step `index`, or `None` behind the last.
    pub fn weight(&self, index: usize) -> Option<Weight> {
        self.steps.get(index).map(|step| step.weight)
    }

    /// Index of the last step (100 %).
    pub fn last(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// The last step whose weight is not above `weight`.
    pub fn step_not_above(&self, weight: Weight) -> Option<usize> {
        self.steps.iter().rposition(|step| step.weight <= weight)
    }
}

impl Step {
    /// Default shortest hold.
    pub const HOLD_MIN: Span = Span::from_mins(10);
    /// Default longest hold.
    pub const HOLD_MAX: Span = Span::from_hours(24);

    /// A step with the default hold and no approval.
    pub const fn new(weight: Weight) -> Self {
        Self { weight, hold_min: Self::HOLD_MIN, hold_max: Self::HOLD_MAX, approval: false }
    }
}

impl HealthPolicy {
    /// One healthy target, half of green's healthy, nine tenths of blue's kept.
    pub fn standard() -> Self {
        let percent = |p| Weight::from_percent(p).unwrap_or(Weight::FULL);
        Self { min_healthy_targets: 1, min_healthy_ratio: percent(50), blue_floor: percent(90) }
    }
}

impl Analysis {
    /// Errors, refusals and latency of the route's own metrics, per minute, judged 90 s after a period's end.
    pub fn standard() -> Self {
        let check = |name: &str, question| Check { name: name.to_owned(), question };
        Self {
            interval: Span::from_secs(60),
            settle: Span::from_secs(90),
            checks: vec![
                check("errors", Question::Errors(Tolerance::ERRORS)),
                check("client_errors", Question::ClientErrors(Tolerance::CLIENT_ERRORS)),
                check("latency", Question::Latency(Tolerance::LATENCY)),
            ],
        }
    }
}
