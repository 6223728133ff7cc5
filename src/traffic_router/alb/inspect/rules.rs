//! Findings about the rules themselves, and about other rules that use the same groups.

use std::collections::BTreeSet;

use super::super::actions::{self, GROUPS_MAX, Unfit};
use super::super::described::{Described, load_balancer_of};
use super::{Facts, not_looked_at};
use crate::aws::CallError;
use crate::domain::ids::Arn;
use crate::domain::observation::RuleSeen;
use crate::domain::preflight::Finding;
use crate::domain::weight::Weight;

/// Findings about the route's own rules.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for (arn, looked) in &facts.rules {
        match looked {
            Ok(rule) => found.extend(of_rule(facts, rule)),
            Err(error) => found.push(unreadable(arn, error)),
        }
    }
    let seen = facts.seen();
    found.extend(weights_differ(&seen));
    found.extend(several_load_balancers(facts));
    found
}

fn unreadable(arn: &Arn, error: &CallError) -> Finding {
    let gone = error.code.as_deref().is_none_or(|code| code.ends_with("NotFound"));
    let (code, remedy) = if gone {
        ("rule_not_found", "Name a rule or listener that exists, in this account and region.")
    } else {
        ("rule_unreadable", "Do what the message says; without reading the rule it cannot be moved.")
    };
    Finding::blocking(code, format!("{arn}: {}", error.trouble.message), remedy)
}

fn of_rule(facts: &Facts, rule: &Described) -> Vec<Finding> {
    let name = rule.arn.resource();
    if rule.is_default_rule {
        return vec![Finding::blocking(
            "default_rule_named",
            format!("{name} is the default rule of its listener, which cannot be changed as a rule"),
            "Name the listener instead: that means its default action.",
        )];
    }
    match actions::forward_at(&rule.actions, &facts.route) {
        Err(unfit @ Unfit::NoForward) => {
            return vec![Finding::blocking(
                "rule_without_blue",
                format!("{name}: {unfit}"),
                "Let the rule forward to the blue group first, or take it out of the route.",
            )];
        }
        Err(unfit) => {
            let remedy = "Change the rule's actions as the message says.";
            return vec![Finding::blocking("rule_not_movable", format!("{name}: {unfit}"), remedy)];
        }
        Ok(_) => {}
    }
    let seen = actions::seen(&rule.arn, &rule.actions, &facts.route);
    let mut found = weights(name, &seen);
    found.extend(room(facts, rule, &seen));
    if let Some(seconds) = seen.sticky_seconds {
        found.push(Finding::warning(
            "group_stickiness",
            format!(
                "{name} keeps each client in its group for {seconds} s: clients with a cookie do not follow the weight"
            ),
            "Expect green's share of requests to lag behind the weight by that long, or switch group stickiness off.",
        ));
    }
    found
}

fn weights(name: &str, seen: &RuleSeen) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(share) = seen.share() else {
        return vec![Finding::blocking(
            "rule_without_blue",
            format!("{name}: blue and green both have weight 0 there"),
            "Give blue the weight that the two are to divide.",
        )];
    };
    if share > Weight::ZERO {
        found.push(Finding::warning(
            "green_has_traffic",
            format!("{name} already gives green {share} (weights {} to {})", seen.blue, seen.green),
            "If nobody else is moving this rule, the rollout goes on from there; else let the other finish.",
        ));
    }
    if share == Weight::FULL {
        found.push(Finding::blocking(
            "rule_without_blue",
            format!("{name} gives blue nothing: there is nothing to move, and nothing to compare green with"),
            "Check which group is blue and which is green.",
        ));
    }
    found
}

/// Whether green is in the action, or can be put there.
fn room(facts: &Facts, rule: &Described, seen: &RuleSeen) -> Option<Finding> {
    if seen.green_attached {
        return None;
    }
    let name = rule.arn.resource();
    let forward = rule.actions.iter().find(|action| actions::names_either(action, &facts.route));
    if forward.is_some_and(|forward| actions::groups(forward).len() >= GROUPS_MAX) {
        return Some(Finding::blocking(
            "no_room_for_green",
            format!("{name} forwards to {GROUPS_MAX} target groups already, the most there can be"),
            "Take a group out of the action that has no weight.",
        ));
    }
    Some(Finding::info(
        "green_not_attached",
        format!("{name} does not name green yet"),
        "Nothing: green is attached at weight 0 first, so that its targets are health-checked before they get requests.",
    ))
}

/// Rules that move together should stand together.
fn weights_differ(seen: &[RuleSeen]) -> Option<Finding> {
    let shares: BTreeSet<Weight> = seen.iter().filter_map(RuleSeen::share).collect();
    if shares.len() < 2 {
        return None;
    }
    let each = seen.iter().filter_map(|rule| Some(format!("{} gives green {}", rule.rule.resource(), rule.share()?)));
    Some(Finding::warning(
        "weights_differ",
        format!("the rules of the route stand at different weights: {}", each.collect::<Vec<_>>().join(", ")),
        "The first step brings all of them to one weight; check that this is meant.",
    ))
}

/// A target group serves one load balancer only, so a route has one.
fn several_load_balancers(facts: &Facts) -> Option<Finding> {
    let balancers: BTreeSet<Arn> = facts.route.rules.iter().map(load_balancer_of).collect();
    (balancers.len() > 1).then(|| {
        Finding::blocking(
            "several_load_balancers",
            format!("the rules lie on {} load balancers, and a target group can serve only one", balancers.len()),
            "Make one rollout per load balancer, each with its own target groups.",
        )
    })
}

/// Whether the groups serve rules that the route does not name, and the findings about it.
pub(super) fn shared_groups(facts: &Facts) -> (bool, Vec<Finding>) {
    let neighbours = match &facts.neighbours {
        Ok(neighbours) => neighbours,
        // Not knowing, the share check must not take requests of other rules for a wrong weight.
        Err(error) => {
            return (true, vec![not_looked_at("neighbours_unreadable", "other rules of the load balancer", error)]);
        }
    };
    let is_other = |rule: &&Described| {
        let forwards = rule.actions.iter().any(|action| actions::names_either(action, &facts.route));
        forwards && !facts.route.rules.contains(&rule.arn)
    };
    let others: Vec<&str> = neighbours.iter().filter(is_other).map(|rule| rule.arn.resource()).collect();
    if others.is_empty() {
        return (false, Vec::new());
    }
    let finding = Finding::warning(
        "groups_serve_other_rules",
        format!(
            "the groups serve {} more rules that the route does not name ({}): their requests are in the same metrics, so \
             green's share of requests cannot be compared with the weight",
            others.len(),
            others.iter().take(5).copied().collect::<Vec<_>>().join(", ")
        ),
        "Name those rules in the route if they are to move too.",
    );
    (true, vec![finding])
}
