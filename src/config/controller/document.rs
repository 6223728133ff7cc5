//! The controller's file as it is written: what its JSON Schema is made from.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::config::written::Duration;

/// The JSON Schema of the file, for editors. Its defaults are those of the compiled-in file.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<ControllerDocument>();
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    let defaults: Value = serde_saphyr::from_str(super::DEFAULTS).unwrap_or_default();
    add_defaults(&mut schema, &defaults);
    schema
}

fn add_defaults(schema: &mut Value, defaults: &Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties {
        let Some(default) = defaults.get(name) else { continue };
        if default.is_object() {
            add_defaults(property, default);
        } else if let Some(property) = property.as_object_mut() {
            property.insert("default".to_owned(), default.clone());
        }
    }
}

/// Every key has a default.
fn nothing_required(schema: &mut Schema) {
    schema.remove("required");
}

/// The controller's settings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "greenshift controller", transform = nothing_required)]
#[expect(dead_code, reason = "only its shape is used: the file is read from a tree that knows its lines")]
struct ControllerDocument {
    /// Where the API and the page are served: a loopback address and a port.
    listen: String,
    /// Where the journal is kept: `sqlite:PATH` or `memory`.
    #[schemars(regex(pattern = "^(memory|sqlite:.+)$"))]
    database: String,
    /// How often every active rollout is looked at, 100ms to 1m.
    tick_interval: Duration,
    /// How often targets are counted when no raise is due, 1s to 1h.
    health_interval: Duration,
    /// What carries the weights.
    traffic_router: TrafficRouterWord,
    /// Where metrics and alarms come from.
    metric_provider: MetricProviderWord,
    /// Name of this controller in the owner tag of load balancer rules.
    #[schemars(length(min = 1, max = 256))]
    owner: String,
    /// Whether rules are tagged with the owner while a rollout has them.
    claim_rules: bool,
    /// How AWS is called.
    aws: AwsDocument,
    /// What one controller takes on at most.
    limits: LimitsDocument,
    /// What is logged, and how.
    log: LogDocument,
    /// How long open requests and running ticks may take to end at shutdown, 1s to 5m.
    shutdown_timeout: Duration,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its shape is used")]
enum TrafficRouterWord {
    /// Application Load Balancers.
    Alb,
    /// A world in memory, for trying things out.
    Memory,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its shape is used")]
enum MetricProviderWord {
    /// Amazon CloudWatch.
    Cloudwatch,
    /// A world in memory, for trying things out.
    Memory,
}

/// How AWS is called.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = nothing_required)]
#[expect(dead_code, reason = "only its shape is used")]
struct AwsDocument {
    /// Until a connection stands, at most.
    connect_timeout: Duration,
    /// Until the first byte of an answer comes, at most.
    read_timeout: Duration,
    /// One attempt of a call, at most.
    attempt_timeout: Duration,
    /// A call with all of its attempts, at most.
    operation_timeout: Duration,
    /// Changing calls a second, for each account and region.
    #[schemars(range(min = 1, max = 1000))]
    modify_per_second: u32,
    /// Changing calls that may come at once.
    #[schemars(range(min = 1, max = 1000))]
    modify_burst: u32,
    /// Reading calls a second, for each account and region.
    #[schemars(range(min = 1, max = 1000))]
    describe_per_second: u32,
    /// Reading calls that may come at once.
    #[schemars(range(min = 1, max = 1000))]
    describe_burst: u32,
}

/// What one controller takes on at most.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = nothing_required)]
#[expect(dead_code, reason = "only its shape is used")]
struct LimitsDocument {
    /// Rollouts that are not finished.
    #[schemars(range(min = 1, max = 10_000))]
    active_rollouts: u32,
    /// Largest request body: `64KiB` up to `1MiB`.
    #[schemars(regex(pattern = "^[0-9]+ *[KM]iB$"))]
    body: String,
}

/// What is logged, and how.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = nothing_required)]
#[expect(dead_code, reason = "only its shape is used")]
struct LogDocument {
    /// How lines look.
    format: LogFormatWord,
    /// From which level on.
    level: LogLevelWord,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its shape is used")]
enum LogFormatWord {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its shape is used")]
enum LogLevelWord {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
