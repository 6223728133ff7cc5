//! Everything about a route that could make the first shift unsafe. Gathering is here; judging is pure, one file per
//! subject.

mod attributes;
mod fleets;
mod owners;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{TargetGroup, TargetHealthDescription};
use futures::future::{join, join_all, join3};

use super::actions;
use super::api::{Api, Pairs};
use super::described::{self, Described, listener_of, load_balancer_of};
use crate::aws::CallError;
use crate::domain::command::Urgency;
use crate::domain::ids::{Arn, Side};
use crate::domain::observation::{RuleSeen, Trouble, TroubleKind};
use crate::domain::plan::AlbRoute;
use crate::domain::preflight::{Finding, Inspection};

/// Something that was looked at, or why it could not be.
type Looked<T> = Result<T, CallError>;

/// All that an inspection looks at.
#[derive(Debug, Clone)]
struct Facts {
    route: AlbRoute,
    /// The route's rules, in its order.
    rules: Vec<(Arn, Looked<Described>)>,
    blue: Group,
    green: Group,
    /// Every rule of the load balancers on which the route lies, default actions under their listener's name.
    neighbours: Looked<Vec<Described>>,
    /// Tags of the rules, their listeners and load balancers, and both groups.
    tags: Looked<BTreeMap<Arn, Pairs>>,
}

/// All about one side's target group.
#[derive(Debug, Clone)]
struct Group {
    side: Side,
    arn: Arn,
    described: Looked<TargetGroup>,
    attributes: Looked<Pairs>,
    targets: Looked<Vec<TargetHealthDescription>>,
}

impl Facts {
    /// What the readable rules say of blue and green.
    fn seen(&self) -> Vec<RuleSeen> {
        let readable = self.rules.iter().filter_map(|(_, looked)| looked.as_ref().ok());
        readable.map(|rule| actions::seen(&rule.arn, &rule.actions, &self.route)).collect()
    }

    /// The load balancers on which the route's rules lie.
    fn load_balancers(&self) -> BTreeSet<Arn> {
        self.route.rules.iter().map(load_balancer_of).collect()
    }

    fn groups(&self) -> [&Group; 2] {
        [&self.blue, &self.green]
    }

    /// The first thing that failed in a way that passes.
    fn transient(&self) -> Option<Trouble> {
        let groups = self.groups();
        let looked = self.rules.iter().map(|(_, looked)| looked.as_ref().err());
        let looked = looked.chain(groups.iter().map(|side| side.described.as_ref().err()));
        let looked = looked.chain(groups.iter().map(|side| side.attributes.as_ref().err()));
        let looked = looked.chain(groups.iter().map(|side| side.targets.as_ref().err()));
        let mut looked = looked.chain([self.neighbours.as_ref().err(), self.tags.as_ref().err()]).flatten();
        looked.find(|error| error.trouble.kind == TroubleKind::Transient).map(|error| error.trouble.clone())
    }
}

impl Group {
    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.as_ref().ok()?.get(key).map(String::as_str)
    }

    /// An attribute that holds a number, when it is there and above zero.
    fn seconds(&self, key: &str) -> Option<u32> {
        self.attribute(key)?.parse().ok().filter(|seconds| *seconds > 0)
    }
}

/// Looks at everything and says what was found. An error means that looking failed in a way that passes; what is refused
/// becomes a finding.
pub(super) async fn inspect(api: &Api, route: &AlbRoute, owner: &str) -> Result<Inspection, Trouble> {
    let facts = gather(api, route).await;
    match facts.transient() {
        Some(trouble) => Err(trouble),
        None => Ok(judge(&facts, owner)),
    }
}

async fn gather(api: &Api, route: &AlbRoute) -> Facts {
    let (rules, groups, around) = join3(
        described::each(api, &route.rules, Urgency::Forward),
        join(
            look_at_group(api, Side::Blue, &route.blue_target_group),
            look_at_group(api, Side::Green, &route.green_target_group),
        ),
        join(neighbours(api, route), tags(api, route)),
    )
    .await;
    let in_order = route.rules.iter().filter_map(|arn| Some((arn.clone(), rules.get(arn)?.clone())));
    Facts {
        route: route.clone(),
        rules: in_order.collect(),
        blue: groups.0,
        green: groups.1,
        neighbours: around.0,
        tags: around.1,
    }
}

async fn look_at_group(api: &Api, side: Side, arn: &Arn) -> Group {
    let (described, attributes, targets) =
        join3(api.target_group(arn), api.group_attributes(arn), api.target_health(arn, Urgency::Forward)).await;
    Group { side, arn: arn.clone(), described, attributes, targets }
}

/// Every rule of every listener of the route's load balancers.
async fn neighbours(api: &Api, route: &AlbRoute) -> Looked<Vec<Described>> {
    let mut found = Vec::new();
    let load_balancers: BTreeSet<Arn> = route.rules.iter().map(load_balancer_of).collect();
    for load_balancer in &load_balancers {
        let listeners = api.listeners_of(load_balancer).await?;
        let listeners: Vec<Arn> = listeners.into_iter().filter_map(|it| it.listener_arn.map(Arn::new)).collect();
        for (listener, rules) in join_all(listeners.iter().map(|it| async move { (it, api.rules_of(it).await) })).await
        {
            found.extend(rules?.into_iter().map(|rule| {
                let is_default_rule = rule.is_default.unwrap_or(false);
                let own = Arn::new(rule.rule_arn.unwrap_or_default());
                let arn = if is_default_rule { listener.clone() } else { own };
                Described { arn, actions: rule.actions.unwrap_or_default(), is_default_rule }
            }));
        }
    }
    Ok(found)
}

async fn tags(api: &Api, route: &AlbRoute) -> Looked<BTreeMap<Arn, Pairs>> {
    let mut arns: BTreeSet<Arn> = route.rules.iter().cloned().collect();
    arns.extend(route.rules.iter().map(listener_of));
    arns.extend(route.rules.iter().map(load_balancer_of));
    arns.extend([route.blue_target_group.clone(), route.green_target_group.clone()]);
    let arns: Vec<&Arn> = arns.iter().collect();
    let gone = |error: &CallError| error.code.as_deref().is_some_and(|code| code.ends_with("NotFound"));
    match api.tags(&arns).await {
        // One that does not exist makes the API refuse all; that it is missing is told elsewhere.
        Err(error) if gone(&error) => {
            let mut found = BTreeMap::new();
            for arn in arns {
                match api.tags(&[arn]).await {
                    Err(error) if gone(&error) => {}
                    other => found.extend(other?),
                }
            }
            Ok(found)
        }
        other => other,
    }
}

fn judge(facts: &Facts, owner: &str) -> Inspection {
    let mut findings = rules::findings(facts);
    let (shared_groups, shared) = rules::shared_groups(facts);
    findings.extend(shared);
    findings.extend(fleets::findings(facts));
    findings.extend(attributes::findings(facts));
    findings.extend(owners::findings(facts, owner));
    findings.sort_by(|a, b| (a.severity, &a.code, &a.what).cmp(&(b.severity, &b.code, &b.what)));
    Inspection { findings, shared_groups, sticky_seconds: attributes::sticky_seconds(facts) }
}

/// The finding for a look that was refused although the rollout can do without it.
fn not_looked_at(code: &str, what: &str, error: &CallError) -> Finding {
    Finding::warning(
        code,
        format!("{what} could not be looked at: {}", error.trouble.message),
        "Allow the named IAM action, or check it yourself; the rollout works without it.",
    )
}
