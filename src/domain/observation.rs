//! What was seen at one tick. "Could not be read" is a value here, never an error to bubble up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::WriteReport;
use super::ids::Arn;
use super::preflight::Inspection;
use super::request::Request;
use super::weight::Weight;

/// Everything that one tick saw of the world.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// The live weights of the route's rules.
    pub route: Seen<Vec<RuleSeen>>,
    /// The targets of both groups.
    pub health: Seen<HealthSeen>,
    /// Whether they were counted in this very tick: a raise needs that.
    pub health_is_fresh: bool,
    /// New or changed metric periods.
    pub metrics: Seen<MetricsSeen>,
    /// The alarms that the plan names.
    pub alarms: Seen<Vec<AlarmSeen>>,
    /// What an inspection of the route before the first shift found.
    pub inspection: Seen<Inspection>,
    /// What became of the writes of the last tick.
    pub written: Vec<WriteReport>,
    /// What people asked since the last tick, oldest first.
    pub requests: Vec<Request>,
    /// Why all forward moves are frozen, if they are.
    pub frozen: Option<String>,
}

/// Something that may have been looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Seen<T> {
    /// Not looked at in this tick: says nothing.
    #[default]
    NotAsked,
    /// Read whole.
    Read(T),
    /// Asked, and no usable answer came.
    Unreadable(Trouble),
}

impl<T> Seen<T> {
    /// The value, if it was read.
    pub const fn read(&self) -> Option<&T> {
        match self {
            Self::Read(value) => Some(value),
            Self::NotAsked | Self::Unreadable(_) => None,
        }
    }

    /// What stood in the way, if anything did.
    pub const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Unreadable(trouble) => Some(trouble),
            Self::NotAsked | Self::Read(_) => None,
        }
    }
}

/// Why something could not be read or written, classified once where it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Whether trying again can help.
    pub kind: TroubleKind,
    /// What happened and what to do, for an operator; no secrets.
    pub message: String,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// Throttling, time-outs, server errors: try again.
    Transient,
    /// Access denied, not found, invalid: a person must act.
    Refused,
}

/// One rule of the route as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSeen {
    /// The rule, or the listener whose default action it is.
    pub rule: Arn,
    /// Written weight of blue's target group; 0 when it is not in the action.
    pub blue: u32,
    /// Written weight of green's target group; 0 when it is not in the action.
    pub green: u32,
    /// Whether green's group stands in the action at all (only then are its targets health-checked).
    pub green_attached: bool,
    /// A digest of all of the rule that greenshift never changes: other actions, other groups, order, targets. The two
    /// weights and the group stickiness are left out.
    pub structure: String,
    /// Group stickiness: clients keep their target group for this many seconds; `None` = off.
    pub sticky_seconds: Option<u32>,
}

impl RuleSeen {
    /// Green's share of blue and green together; `None` when both are 0 or neither group is there.
    pub fn share(&self) -> Option<Weight> {
        Weight::of_written(self.blue, self.green)
    }
}

/// The targets of both groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSeen {
    /// Blue's targets.
    pub blue: FleetHealth,
    /// Green's targets.
    pub green: FleetHealth,
}

/// How many targets of a group are in which state (the load balancer's own words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FleetHealth {
    /// Passing their health checks.
    pub healthy: u32,
    /// Failing their health checks.
    pub unhealthy: u32,
    /// Just registered, not yet decided.
    pub initial: u32,
    /// Leaving; finishing what they have.
    pub draining: u32,
    /// In a group that no rule uses, or in a zone that is off.
    pub unused: u32,
    /// Health checks are off or cannot be made.
    pub unavailable: u32,
}

impl FleetHealth {
    /// Targets that are registered to stay: all but the draining ones.
    pub const fn registered(&self) -> u32 {
        self.healthy
            .saturating_add(self.unhealthy)
            .saturating_add(self.initial)
            .saturating_add(self.unused)
            .saturating_add(self.unavailable)
    }
}

/// A batch of metric periods, read in one go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsSeen {
    /// Periods with any data, oldest first, each at most once. A period of which the provider holds nothing is absent.
    pub periods: Vec<Period>,
    /// Up to when the source was asked: a period that ended before it and is absent has no data.
    pub until: Option<Timestamp>,
    /// The source said that its answer is not whole (`PartialData`): nothing in it may count as good news.
    pub partial: bool,
}

/// What one metric period says of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Its beginning; its length is the plan's `analysis.interval`.
    pub start: Timestamp,
    /// Blue's requests.
    pub blue: SideCounts,
    /// Green's requests.
    pub green: SideCounts,
    /// 5XX answers that the load balancer made itself, for any of its target groups; absent = none were reported.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub load_balancer_errors: u64,
}

/// What one side served in one period.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SideCounts {
    /// Requests; 0 when the source reported none.
    pub requests: u64,
    /// Requests that the side failed: target 5XX, and requests to which no target answered at all.
    pub errors: u64,
    /// Requests answered 4XX.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub client_errors: u64,
    /// Response times, when the source has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySeen>,
    /// Fewest healthy targets during the period, when the source has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_min: Option<u32>,
}

/// Percentiles of a period's response times, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencySeen {
    /// Half of the requests were faster.
    pub p50: f64,
    /// Nine tenths were faster.
    pub p90: f64,
    /// All but one in a hundred were faster.
    pub p99: f64,
}

/// An alarm that the plan names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmSeen {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: AlarmState,
}

/// An alarm's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// In order.
    Ok,
    /// Firing.
    Alarm,
    /// It has too little data to say.
    InsufficientData,
    /// No alarm of this name exists.
    Missing,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
