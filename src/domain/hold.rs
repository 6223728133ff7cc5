//! Why nothing moves right now, as data: the API, the CLI, the page and the metrics all show it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why the weight does not rise right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The reason, from a fixed list.
    pub reason: HoldReason,
    /// The reason in words, with numbers.
    pub detail: String,
    /// When it ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

/// The fixed list of reasons, most pressing first where several hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The rollout has ended.
    Finished,
    /// Traffic goes back to blue.
    RollingBack,
    /// The controller cannot make it safe by itself.
    Halted,
    /// The route could not be read.
    RouteUnreadable,
    /// Somebody else changed the route.
    Drift,
    /// A person paused it, or a rule of the plan did.
    Paused,
    /// The plan's start time has not come.
    NotStarted,
    /// A preflight finding stands in the way.
    Preflight,
    /// A write is under way, or not yet seen on every rule.
    Applying,
    /// Green has too few healthy targets, or they could not be counted.
    GreenUnhealthy,
    /// Blue has lost targets, so it could not take the traffic back.
    BlueUnhealthy,
    /// No usable metrics.
    NoData,
    /// Both sides are sick together.
    CommonCause,
    /// Green looks bad against blue's past, and the comparison in the same period has not decided.
    Suspect,
    /// The load balancer itself answers more errors since the last raise.
    LoadBalancerErrors,
    /// A named alarm cannot be read.
    AlarmsUnreadable,
    /// The shortest time at this weight is not over.
    MinimumHold,
    /// Green is neither proven nor refuted yet.
    Inconclusive,
    /// A person is asked.
    AwaitingApproval,
    /// Outside the plan's change windows.
    Window,
    /// All forward moves are frozen.
    Frozen,
    /// Green has taken over and is watched.
    Baking,
}

impl HoldReason {
    /// All reasons, most pressing first.
    pub const ALL: [Self; 22] = [
        Self::Finished,
        Self::RollingBack,
        Self::Halted,
        Self::RouteUnreadable,
        Self::Drift,
        Self::Paused,
        Self::NotStarted,
        Self::Preflight,
        Self::Applying,
        Self::GreenUnhealthy,
        Self::BlueUnhealthy,
        Self::NoData,
        Self::CommonCause,
        Self::Suspect,
        Self::LoadBalancerErrors,
        Self::AlarmsUnreadable,
        Self::MinimumHold,
        Self::Inconclusive,
        Self::AwaitingApproval,
        Self::Window,
        Self::Frozen,
        Self::Baking,
    ];

    /// The name, as in JSON and in the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::RollingBack => "rolling_back",
            Self::Halted => "halted",
            Self::RouteUnreadable => "route_unreadable",
            Self::Drift => "drift",
            Self::Paused => "paused",
            Self::NotStarted => "not_started",
            Self::Preflight => "preflight",
            Self::Applying => "applying",
            Self::GreenUnhealthy => "green_unhealthy",
            Self::BlueUnhealthy => "blue_unhealthy",
            Self::NoData => "no_data",
            Self::CommonCause => "common_cause",
            Self::Suspect => "suspect",
            Self::LoadBalancerErrors => "load_balancer_errors",
            Self::AlarmsUnreadable => "alarms_unreadable",
            Self::MinimumHold => "minimum_hold",
            Self::Inconclusive => "inconclusive",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Window => "window",
            Self::Frozen => "frozen",
            Self::Baking => "baking",
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Hold {
    /// A hold without a known end.
    pub fn new(reason: HoldReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), until: None }
    }

    /// A hold that ends by itself.
    pub fn until(reason: HoldReason, detail: impl Into<String>, until: Timestamp) -> Self {
        Self { reason, detail: detail.into(), until: Some(until) }
    }
}
