//! Where the weight lives: the port, and one file per kind of router.

pub mod alb;
mod course;
pub mod memory;

use async_trait::async_trait;

use crate::domain::command::{SetWeight, WriteReport};
use crate::domain::ids::Arn;
use crate::domain::observation::{HealthSeen, RuleSeen, Trouble};
use crate::domain::plan::Route;
use crate::domain::preflight::Inspection;
use crate::domain::weight::Weight;

/// Reads and writes the weights of routes.
///
/// No method panics or blocks without a deadline of its own. After any error the caller reads again before it decides.
#[async_trait]
pub trait TrafficRouter: Send + Sync + 'static {
    /// The live state of every rule of the route, in the route's order; all of them or an error.
    async fn read(&self, route: &Route) -> Result<Vec<RuleSeen>, Trouble>;

    /// Brings every rule to the weight, all writes at once, one per rule, each sending back unchanged all else that the
    /// rule holds. Reads each rule again just before its write. One report per rule (and one more for a stickiness that
    /// could not be changed). Doing it twice is the same as once.
    async fn write(&self, route: &Route, change: &SetWeight) -> Vec<WriteReport>;

    /// The targets of both groups, counted by state.
    async fn health(&self, route: &Route) -> Result<HealthSeen, Trouble>;

    /// Everything about the route that could make the first shift unsafe, each finding with its remedy. `owner` is the
    /// name under which this controller marks the rules.
    async fn inspect(&self, route: &Route, owner: &str) -> Result<Inspection, Trouble>;

    /// Marks the rules as owned by `owner`. A router without marks does nothing.
    async fn claim(&self, route: &Route, owner: &str) -> Result<(), Trouble>;

    /// Takes the mark of `owner` away; other marks stay.
    async fn release(&self, route: &Route, owner: &str) -> Result<(), Trouble>;

    /// The writes that would take the route to each of the weights in turn, from the rules as they are now, without
    /// sending any: for dry runs, and for a person who must put things back by hand.
    async fn plan(&self, route: &Route, weights: &[Weight]) -> Result<Vec<PlannedWrite>, Trouble>;
}

/// One write that would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWrite {
    /// The rule or listener.
    pub rule: Arn,
    /// Green's share after it.
    pub weight: Weight,
    /// The operation, as `ModifyRule`.
    pub operation: &'static str,
    /// The same as a command that a person can run.
    pub command: String,
}
