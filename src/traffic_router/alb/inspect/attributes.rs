//! Findings about the attributes of the groups: stickiness, and what makes them behave differently under load.

use super::{Facts, Group, not_looked_at};
use crate::domain::preflight::Finding;

/// What may differ between the groups without harm to correctness, but not without effect on what is compared.
const COMPARED: [(&str, &str); 4] = [
    ("deregistration_delay.timeout_seconds", "targets that leave are drained for different times"),
    ("slow_start.duration_seconds", "new targets are warmed up differently, so latencies differ at first"),
    ("load_balancing.algorithm.type", "requests are spread differently over the targets"),
    ("load_balancing.algorithm.anomaly_mitigation", "sick targets are avoided on one side only"),
];

/// Findings about attributes.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for side in facts.groups() {
        match &side.attributes {
            Ok(_) => found.extend(stickiness(facts, side)),
            Err(error) => {
                let what = format!("the attributes of {}'s group", side.side);
                found.push(not_looked_at("attributes_unreadable", &what, error));
            }
        }
    }
    found.extend(COMPARED.iter().filter_map(|(key, effect)| difference(facts, key, effect)));
    if let Some(seconds) = facts.green.seconds("slow_start.duration_seconds") {
        found.push(Finding::info(
            "slow_start",
            format!("green has a slow start of {seconds} s"),
            "Nothing: it applies to targets that join a group with healthy ones, so a fresh green starts at full speed.",
        ));
    }
    found
}

fn difference(facts: &Facts, key: &str, effect: &str) -> Option<Finding> {
    let (blue, green) = (facts.blue.attribute(key)?, facts.green.attribute(key)?);
    (blue != green).then(|| {
        Finding::warning(
            "attributes_differ",
            format!("`{key}` is {blue} for blue and {green} for green: {effect}"),
            "Set both alike, unless that is what is being moved to.",
        )
    })
}

/// How long target stickiness holds a client; `None` when it is off.
fn target_stickiness(side: &Group) -> Option<u32> {
    if side.attribute("stickiness.enabled") != Some("true") {
        return None;
    }
    let key = format!("stickiness.{}.duration_seconds", side.attribute("stickiness.type").unwrap_or("lb_cookie"));
    Some(side.seconds(&key).unwrap_or(0))
}

fn stickiness(facts: &Facts, side: &Group) -> Vec<Finding> {
    let Some(seconds) = target_stickiness(side) else { return Vec::new() };
    if side.attribute("stickiness.type") == Some("app_cookie") {
        return vec![Finding::blocking(
            "app_cookie_stickiness",
            format!(
                "{}'s group has application-cookie stickiness, which does not work with weighted target groups",
                side.side
            ),
            "Use load balancer cookies (`stickiness.type` = `lb_cookie`), or switch target stickiness off.",
        )];
    }
    let mut found = vec![Finding::warning(
        "target_stickiness",
        format!("{}'s group keeps each client at its target for {seconds} s", side.side),
        "Expect clients with a cookie to stay where they are for that long, whatever the weight.",
    )];
    let without: Vec<String> = facts
        .seen()
        .into_iter()
        .filter(|rule| rule.sticky_seconds.is_none())
        .map(|rule| rule.rule.resource().to_owned())
        .collect();
    if !without.is_empty() {
        found.push(Finding::blocking(
            "target_stickiness_needs_group_stickiness",
            format!(
                "{}'s group has target stickiness, so AWS refuses to forward to two groups without group stickiness on the \
                 rule, which is off on {}",
                side.side,
                without.join(", ")
            ),
            "Switch group stickiness on for those rules, or target stickiness off for the group.",
        ));
    }
    found
}

/// Longest time that any cookie holds a client.
pub(super) fn sticky_seconds(facts: &Facts) -> Option<u32> {
    let rules = facts.seen().into_iter().filter_map(|rule| rule.sticky_seconds).max();
    rules.max(target_stickiness(&facts.blue)).max(target_stickiness(&facts.green))
}
