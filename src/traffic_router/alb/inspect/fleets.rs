//! Findings about the two target groups and their targets: could green take the traffic, and blue take it back?

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetGroup, TargetTypeEnum};

use super::super::counted;
use super::{Facts, Group};
use crate::domain::ids::{Arn, Side};
use crate::domain::observation::FleetHealth;
use crate::domain::preflight::Finding;

/// Findings about groups and targets.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts.groups().into_iter().flat_map(|side| of_group(facts, side)).collect();
    if let (Ok(blue), Ok(green)) = (&facts.blue.described, &facts.green.described) {
        found.extend(differences(blue, green));
    }
    found.extend(targets(facts));
    found.extend(zones(facts));
    found
}

fn of_group(facts: &Facts, side: &Group) -> Vec<Finding> {
    let name = format!("{}'s target group {}", side.side, side.arn.resource());
    let group = match &side.described {
        Ok(group) => group,
        Err(error) => {
            return vec![Finding::blocking(
                "group_unreadable",
                format!("{name}: {}", error.trouble.message),
                "Name a target group that exists, and allow elasticloadbalancing:DescribeTargetGroups.",
            )];
        }
    };
    let mut found = Vec::new();
    let own = facts.load_balancers();
    let others: Vec<&String> =
        group.load_balancer_arns().iter().filter(|arn| !own.contains(&Arn::new(arn.as_str()))).collect();
    if let Some(other) = others.first() {
        found.push(Finding::blocking(
            "group_on_another_load_balancer",
            format!(
                "{name} is used by another load balancer ({}), and can serve only one",
                Arn::new(other.as_str()).resource()
            ),
            "Take it out of the other load balancer's rules, or use a group of its own here.",
        ));
    }
    if !matches!(group.protocol(), Some(ProtocolEnum::Http | ProtocolEnum::Https) | None) {
        let protocol = group.protocol().map_or("?", |protocol| protocol.as_str());
        found.push(Finding::blocking(
            "group_protocol_unsuitable",
            format!("{name} speaks {protocol}; an Application Load Balancer forwards to HTTP and HTTPS only"),
            "Use a target group with protocol HTTP or HTTPS.",
        ));
    }
    if group.health_check_enabled() == Some(false) {
        found.push(Finding::warning(
            "health_checks_off",
            format!("{name} has no health checks: a target that is down still gets its share"),
            "Switch health checks on.",
        ));
    }
    found
}

/// Ways in which the groups differ that decide whether they can stand in for one another.
fn differences(blue: &TargetGroup, green: &TargetGroup) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = |value: Option<&str>| value.unwrap_or("none").to_owned();
    if blue.vpc_id() != green.vpc_id() && blue.vpc_id().is_some() && green.vpc_id().is_some() {
        found.push(Finding::blocking(
            "vpcs_differ",
            format!("blue is in {}, green in {}", text(blue.vpc_id()), text(green.vpc_id())),
            "Make green's target group in blue's VPC; one rule cannot forward to two VPCs.",
        ));
    }
    let pairs = [
        ("protocols", blue.protocol().map(ProtocolEnum::as_str), green.protocol().map(ProtocolEnum::as_str)),
        ("protocol versions", blue.protocol_version(), green.protocol_version()),
        (
            "target types",
            blue.target_type().map(TargetTypeEnum::as_str),
            green.target_type().map(TargetTypeEnum::as_str),
        ),
    ];
    for (what, of_blue, of_green) in pairs {
        if of_blue != of_green {
            found.push(Finding::warning(
                "groups_differ",
                format!("{what} differ: blue {}, green {}", text(of_blue), text(of_green)),
                "Check that clients and metrics do not depend on it.",
            ));
        }
    }
    if blue.port() != green.port() {
        found.push(Finding::info(
            "ports_differ",
            format!("blue's port is {:?}, green's {:?}", blue.port().unwrap_or(0), green.port().unwrap_or(0)),
            "Nothing, if that is meant and the security groups allow it.",
        ));
    }
    found
}

fn targets(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for side in facts.groups() {
        if let Err(error) = &side.targets {
            found.push(Finding::blocking(
                "health_unreadable",
                format!("{}'s targets: {}", side.side, error.trouble.message),
                "Allow elasticloadbalancing:DescribeTargetHealth; nothing is raised without knowing that green can take it.",
            ));
        }
    }
    let health = |side: &Group| side.targets.as_ref().ok().map(|targets| counted(targets));
    let (blue, green) = (health(&facts.blue), health(&facts.green));
    if let Some(blue) = blue.filter(|blue| blue.healthy == 0) {
        found.push(Finding::blocking(
            "no_healthy_blue_targets",
            format!("none of blue's targets is healthy ({})", shown(blue)),
            "Mend blue first: without it there is nothing to compare with and nowhere to go back to.",
        ));
    }
    if let Some(green) = green {
        found.extend(green_health(facts, green));
    }
    if let (Some(blue), Some(green)) = (blue, green)
        && (1..blue.healthy).contains(&green.healthy)
    {
        found.push(Finding::warning(
            "green_is_smaller",
            format!("green has {} healthy targets, blue {}", green.healthy, blue.healthy),
            "Make sure that green grows with its share; each raise is held until its targets are in proportion.",
        ));
    }
    found
}

fn green_health(facts: &Facts, green: FleetHealth) -> Option<Finding> {
    if green.healthy > 0 {
        return None;
    }
    if green.registered() == 0 {
        return Some(Finding::blocking(
            "no_green_targets",
            format!("no target is registered in green's group ({})", shown(green)),
            "Register green's targets: an empty group answers its share with 503.",
        ));
    }
    let attached = facts.seen().iter().any(|rule| rule.green_attached);
    if !attached && green.unused == green.registered() {
        return Some(Finding::info(
            "green_not_checked_yet",
            format!("green's {} targets are `unused`, because no rule names their group", green.unused),
            "Nothing: green is attached at weight 0 first, and no weight is given before its targets are healthy.",
        ));
    }
    Some(Finding::blocking(
        "no_healthy_green_targets",
        format!("none of green's targets is healthy ({})", shown(green)),
        "Wait for the health checks, or mend green; requests to a group without healthy targets fail.",
    ))
}

fn shown(health: FleetHealth) -> String {
    let FleetHealth { healthy, unhealthy, initial, draining, unused, unavailable } = health;
    let states = [
        (healthy, "healthy"),
        (unhealthy, "unhealthy"),
        (initial, "initial"),
        (draining, "draining"),
        (unused, "unused"),
        (unavailable, "unavailable"),
    ];
    let there: Vec<String> =
        states.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
    if there.is_empty() { "none registered".to_owned() } else { there.join(", ") }
}

/// With cross-zone balancing off, a zone's node uses only the targets of its zone. (An ALB has it on unless the target
/// group says otherwise.)
fn zones(facts: &Facts) -> Option<Finding> {
    if facts.green.attribute("load_balancing.cross_zone.enabled") != Some("false") {
        return None;
    }
    let (blue, green) = (zones_of(&facts.blue), zones_of(&facts.green));
    let (Some(blue), Some(green)) = (blue, green) else {
        return Some(Finding::warning(
            "zones_unknown",
            "green has cross-zone balancing off, and the zones of the targets are not told",
            "Check that green has healthy targets in every zone in which blue has some.",
        ));
    };
    let missing: Vec<&str> = blue.difference(&green).map(String::as_str).collect();
    (!missing.is_empty()).then(|| {
        Finding::blocking(
            "green_misses_zones",
            format!("green has cross-zone balancing off and no target in {}, where blue has some", missing.join(", ")),
            format!(
                "Add targets there, or switch cross-zone balancing on; {} would fail its share there.",
                Side::Green
            ),
        )
    })
}

/// The zones of a group's targets; `None` when any target's zone is not told.
fn zones_of(side: &Group) -> Option<BTreeSet<String>> {
    let targets = side.targets.as_ref().ok()?;
    targets.iter().map(|it| Some(it.target()?.availability_zone()?.to_owned())).collect()
}
