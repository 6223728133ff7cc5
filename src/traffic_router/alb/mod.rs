//! Weighted target groups of an Application Load Balancer.
//!
//! A rule or listener is changed by sending all of its actions back with nothing but two weights changed. The API has no
//! compare-and-set: each rule is read again just before its write, and the caller reads after it.

mod actions;
mod api;
mod described;
pub mod iam;
mod inspect;
mod json;
mod plan;
mod reader;
mod shares;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum};
use futures::future::try_join;

use self::api::Api;
pub use self::plan::PlannedChange;
use self::reader::Reader;
use super::{PlannedWrite, TrafficRouter};
use crate::aws::AwsClients;
use crate::domain::command::{SetWeight, Urgency, WriteReport};
use crate::domain::ids::Arn;
use crate::domain::observation::{FleetHealth, HealthSeen, RuleSeen, Trouble, TroubleKind};
use crate::domain::plan::{AlbRoute, Route};
use crate::domain::preflight::Inspection;
use crate::domain::weight::Weight;

/// The tag that marks a rule or listener as moved by a controller; its value is the owner's name.
pub const OWNER_TAG: &str = "greenshift:owner";

/// Moves weights on Application Load Balancers.
pub struct AlbRouter {
    api: Api,
    reader: Reader,
    /// Rules that were last written by a rollback: reading them back does not wait for the budget either.
    going_back: Mutex<BTreeSet<Arn>>,
}

impl AlbRouter {
    /// A router that sends through these clients, each call in the region that the ARN names.
    pub fn new(aws: AwsClients) -> Self {
        let api = Api::new(aws);
        Self { reader: Reader::new(api.clone()), api, going_back: Mutex::default() }
    }

    /// The exact writes that each of the weights would take, from the rules as they are now: for a dry run.
    pub async fn plan_changes(&self, route: &AlbRoute, weights: &[Weight]) -> Result<Vec<PlannedChange>, Trouble> {
        let live = described::all(&self.api, &route.rules, Urgency::Forward).await?;
        plan::changes(route, &live, weights)
    }

    /// Shell commands that put everything back by hand: blue gets all, green nothing, and all else stays as it is now.
    pub async fn undo_commands(&self, route: &AlbRoute) -> Result<Vec<String>, Trouble> {
        let live = described::all(&self.api, &route.rules, Urgency::Forward).await?;
        let changes = plan::changes(route, &live, &[Weight::ZERO])?;
        Ok(changes.iter().map(PlannedChange::command).collect())
    }

    /// How a read of these rules is to be paced.
    fn pace(&self, route: &AlbRoute) -> Urgency {
        let going_back = self.going_back.lock().unwrap_or_else(PoisonError::into_inner);
        if route.rules.iter().any(|rule| going_back.contains(rule)) { Urgency::Back } else { Urgency::Forward }
    }

    fn note_pace(&self, route: &AlbRoute, urgency: Urgency) {
        let mut going_back = self.going_back.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in &route.rules {
            match urgency {
                Urgency::Back => going_back.insert(rule.clone()),
                Urgency::Forward => going_back.remove(rule),
            };
        }
    }
}

#[async_trait]
impl TrafficRouter for AlbRouter {
    async fn read(&self, route: &Route) -> Result<Vec<RuleSeen>, Trouble> {
        let Route::Alb(alb) = route;
        let found = match self.pace(alb) {
            Urgency::Forward => self.reader.read(&alb.rules).await?,
            Urgency::Back => described::all(&self.api, &alb.rules, Urgency::Back).await?,
        };
        let seen = alb.rules.iter().filter_map(|rule| found.get(rule));
        Ok(seen.map(|described| actions::seen(&described.arn, &described.actions, alb)).collect())
    }

    async fn write(&self, route: &Route, change: &SetWeight) -> Vec<WriteReport> {
        let Route::Alb(alb) = route;
        self.note_pace(alb, change.urgency);
        write::write(&self.api, alb, change).await
    }

    async fn health(&self, route: &Route) -> Result<HealthSeen, Trouble> {
        let Route::Alb(alb) = route;
        let pace = self.pace(alb);
        let (blue, green) = try_join(
            self.api.target_health(&alb.blue_target_group, pace),
            self.api.target_health(&alb.green_target_group, pace),
        )
        .await?;
        Ok(HealthSeen { blue: counted(&blue), green: counted(&green) })
    }

    async fn inspect(&self, route: &Route, owner: &str) -> Result<Inspection, Trouble> {
        let Route::Alb(alb) = route;
        inspect::inspect(&self.api, alb, owner).await
    }

    async fn claim(&self, route: &Route, owner: &str) -> Result<(), Trouble> {
        let Route::Alb(alb) = route;
        let rules: Vec<&Arn> = alb.rules.iter().collect();
        // Where tags may be set but not read, preflight has said so; setting ours is still worth something.
        let others = match self.api.tags(&rules).await {
            Ok(tags) => tags,
            Err(error) if error.trouble.kind == TroubleKind::Refused => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        let foreign = others
            .iter()
            .find_map(|(rule, tags)| tags.get(OWNER_TAG).filter(|found| *found != owner).map(|found| (rule, found)));
        if let Some((rule, found)) = foreign {
            let message = format!("{rule} is marked as owned by `{found}` (tag `{OWNER_TAG}`); the mark was left");
            return Err(Trouble { kind: TroubleKind::Refused, message });
        }
        Ok(self.api.add_tag(&rules, OWNER_TAG, owner).await?)
    }

    async fn release(&self, route: &Route, owner: &str) -> Result<(), Trouble> {
        let Route::Alb(alb) = route;
        let rules: Vec<&Arn> = alb.rules.iter().collect();
        let tags = self.api.tags(&rules).await?;
        let is_ours =
            |rule: &&Arn| tags.get(*rule).and_then(|tags| tags.get(OWNER_TAG)).is_some_and(|found| found == owner);
        let ours: Vec<&Arn> = rules.into_iter().filter(is_ours).collect();
        Ok(self.api.remove_tag(&ours, OWNER_TAG).await?)
    }

    async fn plan(&self, route: &Route, weights: &[Weight]) -> Result<Vec<PlannedWrite>, Trouble> {
        let Route::Alb(alb) = route;
        let changes = self.plan_changes(alb, weights).await?;
        let planned = |change: &PlannedChange| PlannedWrite {
            rule: change.rule.clone(),
            weight: change.weight,
            operation: change.operation,
            command: change.command(),
        };
        Ok(changes.iter().map(planned).collect())
    }
}

/// Targets by state.
fn counted(targets: &[TargetHealthDescription]) -> FleetHealth {
    let mut health = FleetHealth::default();
    for target in targets {
        let state = target.target_health().and_then(|health| health.state());
        let count = match state {
            Some(TargetHealthStateEnum::Healthy) => &mut health.healthy,
            Some(TargetHealthStateEnum::Unhealthy) => &mut health.unhealthy,
            Some(TargetHealthStateEnum::Initial) => &mut health.initial,
            Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => &mut health.draining,
            Some(TargetHealthStateEnum::Unused) => &mut health.unused,
            // A state that this version does not know is not good news.
            Some(TargetHealthStateEnum::Unavailable | _) | None => &mut health.unavailable,
        };
        *count = count.saturating_add(1);
    }
    health
}
