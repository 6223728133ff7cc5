//! The document as it is written: what a [`Spec`] is shown as, and what the JSON Schema is made from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::config::written::{Duration, Percent, Share};
use crate::domain::plan::{Analysis, HealthPolicy, Plan, Spec};

/// The document that says what `spec` says, with every default written out; reading it gives `spec` again.
pub fn render(spec: &Spec) -> Value {
    serde_json::to_value(RolloutDocument::from(spec)).unwrap_or_default()
}

/// The JSON Schema of the document, for editors and for other programs.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12();
    serde_json::to_value(settings.into_generator().into_root_schema_for::<RolloutDocument>()).unwrap_or_default()
}

/// One move of one route from blue to green: what to move, and how.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "greenshift rollout")]
pub(super) struct RolloutDocument {
    /// Name of the rollout: a DNS label.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub(super) name: String,
    /// Free labels, for filters and limits.
    #[schemars(default, extend("maxProperties" = 32))]
    pub(super) labels: BTreeMap<String, String>,
    /// Where the weight lives.
    pub(super) route: RouteDocument,
    /// Weights in rising order; the last is 100%.
    #[schemars(default = "standard::steps", length(min = 1, max = 100))]
    pub(super) steps: Vec<StepDocument>,
    /// How long green is watched after it took over, while blue is still warm.
    #[schemars(default = "standard::bake")]
    pub(super) bake: Duration,
    /// The weight at which the bake runs: 100%, or a little less to keep a live blue to compare with.
    #[schemars(default = "standard::bake_at")]
    pub(super) bake_at: Percent,
    /// How long after completion `rollback` is still offered.
    #[schemars(default = "standard::rollback_window")]
    pub(super) rollback_window: Duration,
    /// What the fleets must have before a raise.
    #[schemars(default)]
    pub(super) health: HealthDocument,
    /// How metrics are read and judged.
    #[schemars(default)]
    pub(super) analysis: AnalysisDocument,
    /// What a failing check does.
    #[schemars(default = "standard::on_failure")]
    pub(super) on_failure: FallbackWord,
    /// What happens when a step's longest hold is over without proof.
    #[schemars(default = "standard::on_inconclusive")]
    pub(super) on_inconclusive: FallbackWord,
    /// What happens when no data came for `no_data_timeout`.
    #[schemars(default = "standard::on_no_data")]
    pub(super) on_no_data: FallbackWord,
    /// How long data may stay away before `on_no_data`.
    #[schemars(default = "standard::no_data_timeout")]
    pub(super) no_data_timeout: Duration,
    /// How long both sides may be sick together before `on_failure`.
    #[schemars(default = "standard::common_cause_timeout")]
    pub(super) common_cause_timeout: Duration,
    /// What to do about weights that somebody else wrote.
    #[schemars(default = "standard::on_drift")]
    pub(super) on_drift: OnDriftWord,
    /// When weight may rise.
    #[schemars(default)]
    pub(super) schedule: ScheduleDocument,
    /// Longest active time; then the rollout pauses.
    #[schemars(default = "standard::deadline")]
    pub(super) deadline: Duration,
}

/// Where the weight lives.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RouteDocument {
    /// Weighted target groups of an Application Load Balancer.
    pub(super) alb: AlbDocument,
}

/// ALB rules that move together between two target groups.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct AlbDocument {
    /// Listener ARNs (their default action) and listener rule ARNs, all on one load balancer.
    #[schemars(length(min = 1, max = 100), extend("uniqueItems" = true), inner(regex(pattern = r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener(-rule)?/app/")))]
    pub(super) rules: Vec<String>,
    /// The target group that traffic leaves.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/"))]
    pub(super) blue_target_group: String,
    /// The target group that traffic moves to.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/"))]
    pub(super) green_target_group: String,
}

/// One weight to reach, and what must be true before the next.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct StepDocument {
    /// Green's share.
    pub(super) weight: Percent,
    /// Shortest and longest time at this weight; a single duration is the shortest. The last step has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "HoldDocument")]
    pub(super) hold: Option<HoldDocument>,
    /// Whether a person must approve before this step is left.
    #[schemars(default)]
    pub(super) approval: ApprovalWord,
}

/// Time at a weight.
#[derive(Serialize)]
pub(super) struct HoldDocument {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

#[derive(Serialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum ApprovalWord {
    /// A person must approve.
    Required,
    /// The step is left as soon as it is proven.
    #[default]
    None,
}

/// What the fleets must have before a raise.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub(super) struct HealthDocument {
    /// Fewest healthy targets in green's group.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) min_healthy_targets: u32,
    /// Smallest share of green's registered targets that must be healthy.
    pub(super) min_healthy_ratio: Share,
    /// Share of the healthy targets that blue had at the start, which it must keep.
    pub(super) blue_floor: Share,
}

/// How metrics are read and judged.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub(super) struct AnalysisDocument {
    /// Length of a metric period: 1s, 5s, 10s, 30s or whole minutes.
    pub(super) interval: Duration,
    /// A period is judged this long after its end.
    pub(super) settle: Duration,
    /// The questions asked of the metrics.
    #[schemars(length(min = 1, max = 20))]
    pub(super) checks: Vec<CheckDocument>,
}

/// A question asked of metrics: exactly one of `errors`, `client_errors`, `latency` and `alarms`.
#[derive(Serialize, JsonSchema, Default)]
#[schemars(deny_unknown_fields, transform = exactly_one_question)]
pub(super) struct CheckDocument {
    /// Name, unique in the plan; what is asked when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        default,
        with = "String",
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$")
    )]
    pub(super) name: Option<String>,
    /// Are green's requests failing more often than blue's?
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "ToleranceDocument")]
    pub(super) errors: Option<ToleranceDocument>,
    /// Are green's requests refused (4xx) more often than blue's?
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "ToleranceDocument")]
    pub(super) client_errors: Option<ToleranceDocument>,
    /// Is green slower than blue?
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "ToleranceDocument")]
    pub(super) latency: Option<ToleranceDocument>,
    /// Is any of these CloudWatch alarms in ALARM?
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Vec<String>", length(min = 1, max = 100), inner(length(min = 1, max = 255)))]
    pub(super) alarms: Option<Vec<String>>,
}

/// How much worse green may be, and how sure the judge must be. What is left out depends on the question.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ToleranceDocument {
    /// How much worse than blue green may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "MarginDocument")]
    pub(super) margin: Option<MarginDocument>,
    /// Highest share of bad requests whatever blue does; no ceiling when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Share")]
    pub(super) ceiling: Option<Share>,
    /// Risk of ever rolling back an acceptable green, over all checks together: above 0% and at most 50%.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Share")]
    pub(super) risk: Option<Share>,
    /// Smallest effect of interest: share of all requests that the next raise may hurt unnoticed, above 0% and at most
    /// 10%. Smaller needs longer to prove.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Share")]
    pub(super) effect: Option<Share>,
}

/// How much worse than blue green may be.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct MarginDocument {
    /// Green's share of bad requests may be this many times blue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "f64", range(min = 1.0, max = 100.0))]
    pub(super) ratio: Option<f64>,
    /// Added on top, as a share of all requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Share")]
    pub(super) extra: Option<Share>,
}

/// When weight may rise. Lowering is never scheduled.
#[derive(Serialize, JsonSchema, Default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ScheduleDocument {
    /// Not before this moment (RFC 3339, with its offset).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Timestamp")]
    pub(super) start_at: Option<Timestamp>,
    /// Raises only inside one of these; at any time when there is none.
    #[schemars(default, length(max = 20))]
    pub(super) windows: Vec<WindowDocument>,
}

/// A weekly window in wall-clock time.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct WindowDocument {
    /// Days on which it opens: `mon` to `sun`, or ranges as `mon-fri`.
    #[schemars(length(min = 1, max = 14), inner(regex(pattern = r"^[A-Za-z]{3}( *- *[A-Za-z]{3})?$")))]
    pub(super) days: Vec<String>,
    /// Opens at.
    #[schemars(regex(pattern = r"^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$"))]
    pub(super) from: String,
    /// Closes at; when not after `from`, on the next day.
    #[schemars(regex(pattern = r"^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$"))]
    pub(super) to: String,
    /// IANA name of the time zone.
    pub(super) tz: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FallbackWord {
    /// Take the traffic back to blue.
    Rollback,
    /// Stay and ask for a person.
    Pause,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnDriftWord {
    /// Move nothing forward until they are back or a person decides.
    Hold,
    /// Write ours again where that lowers green's weight.
    Reassert,
    /// Take theirs: fall to the last step that is not above it.
    Adopt,
}

impl JsonSchema for HoldDocument {
    fn schema_name() -> Cow<'static, str> {
        "Hold".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let duration = generator.subschema_for::<Duration>();
        json_schema!({
            "description": "Time at a weight: the shortest, or both ends.",
            "anyOf": [
                duration,
                {
                    "type": "object",
                    "properties": {"min": duration, "max": duration},
                    "minProperties": 1,
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// Adds to the schema of a check that it asks exactly one thing.
fn exactly_one_question(schema: &mut Schema) {
    let kinds = ["errors", "client_errors", "latency", "alarms"];
    let one: Vec<Value> = kinds.iter().map(|kind| serde_json::json!({"required": [kind]})).collect();
    schema.insert("oneOf".to_owned(), Value::Array(one));
}

/// The defaults that the schema shows: those of [`Plan::standard`].
mod standard {
    use super::{Duration, FallbackWord, OnDriftWord, Percent, Plan, StepDocument};

    pub(super) fn steps() -> Vec<StepDocument> {
        super::super::render::steps(&Plan::standard().steps)
    }

    pub(super) fn bake() -> Duration {
        Plan::standard().bake.into()
    }

    pub(super) fn bake_at() -> Percent {
        Plan::standard().bake_at.into()
    }

    pub(super) fn rollback_window() -> Duration {
        Plan::standard().rollback_window.into()
    }

    pub(super) fn on_failure() -> FallbackWord {
        Plan::standard().on_failure.into()
    }

    pub(super) fn on_inconclusive() -> FallbackWord {
        Plan::standard().on_inconclusive.into()
    }

    pub(super) fn on_no_data() -> FallbackWord {
        Plan::standard().on_no_data.into()
    }

    pub(super) fn no_data_timeout() -> Duration {
        Plan::standard().no_data_timeout.into()
    }

    pub(super) fn common_cause_timeout() -> Duration {
        Plan::standard().common_cause_timeout.into()
    }

    pub(super) fn on_drift() -> OnDriftWord {
        Plan::standard().on_drift.into()
    }

    pub(super) fn deadline() -> Duration {
        Plan::standard().deadline.into()
    }
}

impl Default for HealthDocument {
    fn default() -> Self {
        Self::from(&HealthPolicy::standard())
    }
}

impl Default for AnalysisDocument {
    fn default() -> Self {
        Self::from(&Analysis::standard())
    }
}
