//! The actions of a rule or listener as values: what they say of blue and green, and the same actions with other weights.
//!
//! The API replaces the whole list, so everything that is not sent back as it was is lost.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::json;
use super::shares::{Shares, WEIGHT_MAX, divide};
use crate::domain::ids::Arn;
use crate::domain::observation::RuleSeen;
use crate::domain::plan::AlbRoute;
use crate::domain::weight::Weight;

/// What is written when the API tells no weight: it counts as 1 there.
const WEIGHT_UNTOLD: u32 = 1;

/// Most target groups of one forward action (a quota of the load balancer that cannot be raised).
pub(super) const GROUPS_MAX: usize = 5;

/// Why actions cannot be sent back with other weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// An action of a type that this version cannot read, and would lose.
    #[error(
        "it holds an action of type `{0}`, which this version of greenshift does not know and would lose; \
         take the action out or use a newer version"
    )]
    UnknownAction(String),
    /// No forward action names blue or green.
    #[error("none of its actions forwards to the blue or the green target group")]
    NoForward,
    /// More than one forward action: which one moves is not for us to guess.
    #[error("it holds {0} forward actions, and greenshift moves rules with one; merge them")]
    SeveralForwards(usize),
    /// Both have weight 0, so there is nothing to divide.
    #[error("blue and green both have weight 0 there: other target groups have everything")]
    NothingToDivide,
    /// No room for green.
    #[error(
        "its forward action has {GROUPS_MAX} target groups, the most there can be; take one out to make room for green"
    )]
    Full,
}

/// What a rule's actions say of blue and green.
pub(super) fn seen(rule: &Arn, actions: &[Action], route: &AlbRoute) -> RuleSeen {
    let forward = actions.iter().rev().find(|action| names_either(action, route));
    let weight = |group: &Arn| {
        let groups = forward.map(groups).unwrap_or_default();
        groups.into_iter().find(|(arn, _)| arn == group.as_str()).map(|(_, weight)| weight)
    };
    let green = weight(&route.green_target_group);
    RuleSeen {
        rule: rule.clone(),
        blue: weight(&route.blue_target_group).unwrap_or(0),
        green: green.unwrap_or(0),
        green_attached: green.is_some(),
        structure: structure(actions, route),
        sticky_seconds: forward.and_then(sticky_seconds),
    }
}

/// The same actions, bringing green to `weight` of blue and green together. Nothing else differs, but that the weights of
/// other groups may be other numbers for the same shares, and a group that is named without `ForwardConfig` gets one.
pub(super) fn with_weight(
    actions: &[Action],
    route: &AlbRoute,
    weight: Weight,
) -> Result<(Vec<Action>, Shares), Unfit> {
    let at = forward_at(actions, route)?;
    let mut tuples = actions.get(at).map(groups).unwrap_or_default();
    let (blue, green) = (route.blue_target_group.as_str(), route.green_target_group.as_str());
    let is_ours = |arn: &str| arn == blue || arn == green;
    let pair: u32 = tuples.iter().filter(|(arn, _)| is_ours(arn)).map(|(_, weight)| weight).sum();
    if pair == 0 {
        return Err(Unfit::NothingToDivide);
    }
    let others: Vec<u32> = tuples.iter().filter(|(arn, _)| !is_ours(arn)).map(|(_, weight)| *weight).collect();
    let shares = divide(weight, pair, &others);
    for missing in [blue, green] {
        if !tuples.iter().any(|(arn, _)| arn == missing) {
            tuples.push((missing.to_owned(), 0));
        }
    }
    if tuples.len() > GROUPS_MAX {
        return Err(Unfit::Full);
    }
    let mut rest = shares.others.iter().copied();
    let written = tuples.into_iter().map(|(arn, old)| {
        let weight = if arn == blue {
            shares.blue
        } else if arn == green {
            shares.green
        } else {
            rest.next().unwrap_or(old)
        };
        (arn, weight)
    });
    let written: Vec<TargetGroupTuple> = written.map(|(arn, weight)| tuple(arn, weight)).collect();
    let changed = edited(actions, at, |forward| {
        // With several groups this short form is refused.
        forward.target_group_arn = None;
        let config = forward.forward_config.get_or_insert_with(|| ForwardActionConfig::builder().build());
        config.target_groups = Some(written);
    });
    Ok((changed, shares))
}

/// The same actions with group stickiness for so many seconds, or without.
pub(super) fn with_stickiness(
    actions: &[Action],
    route: &AlbRoute,
    seconds: Option<u32>,
) -> Result<Vec<Action>, Unfit> {
    let at = forward_at(actions, route)?;
    let stickiness = TargetGroupStickinessConfig::builder()
        .enabled(seconds.is_some())
        .set_duration_seconds(seconds.and_then(|seconds| i32::try_from(seconds).ok()))
        .build();
    Ok(edited(actions, at, |forward| {
        let tuples = groups(forward);
        let config = forward.forward_config.get_or_insert_with(|| {
            let tuples = tuples.into_iter().map(|(arn, weight)| tuple(arn, weight)).collect();
            ForwardActionConfig::builder().set_target_groups(Some(tuples)).build()
        });
        config.target_group_stickiness_config = Some(stickiness);
    }))
}

/// Actions as they may be sent back: secrets that the API does not tell are kept by it.
pub(super) fn sendable(actions: &[Action]) -> Vec<Action> {
    let mut actions = actions.to_vec();
    for action in &mut actions {
        if let Some(oidc) = &mut action.authenticate_oidc_config {
            oidc.client_secret = None;
            oidc.use_existing_client_secret = Some(true);
        }
    }
    actions
}

fn edited(actions: &[Action], at: usize, edit: impl FnOnce(&mut Action)) -> Vec<Action> {
    let mut actions = sendable(actions);
    if let Some(action) = actions.get_mut(at) {
        edit(action);
    }
    actions
}

/// Where the one forward action stands that names blue or green.
pub(super) fn forward_at(actions: &[Action], route: &AlbRoute) -> Result<usize, Unfit> {
    if let Some(unknown) = actions.iter().find_map(unknown_type) {
        return Err(Unfit::UnknownAction(unknown));
    }
    let forwards = actions.iter().filter(|action| is_forward(action)).count();
    let at = actions.iter().position(|action| names_either(action, route)).ok_or(Unfit::NoForward)?;
    if forwards == 1 { Ok(at) } else { Err(Unfit::SeveralForwards(forwards)) }
}

/// The name of an action type that this version cannot send back.
fn unknown_type(action: &Action) -> Option<String> {
    match action.r#type() {
        Some(
            ActionTypeEnum::AuthenticateCognito
            | ActionTypeEnum::AuthenticateOidc
            | ActionTypeEnum::FixedResponse
            | ActionTypeEnum::Forward
            | ActionTypeEnum::JwtValidation
            | ActionTypeEnum::Redirect,
        ) => None,
        Some(other) => Some(other.as_str().to_owned()),
        None => Some("(none)".to_owned()),
    }
}

fn is_forward(action: &Action) -> bool {
    action.r#type() == Some(&ActionTypeEnum::Forward)
}

/// Whether it is a forward action that names blue or green.
pub(super) fn names_either(action: &Action, route: &AlbRoute) -> bool {
    let ours = [route.blue_target_group.as_str(), route.green_target_group.as_str()];
    is_forward(action) && groups(action).iter().any(|(arn, _)| ours.contains(&arn.as_str()))
}

/// The target groups of a forward action with their weights, however it names them.
pub(super) fn groups(action: &Action) -> Vec<(String, u32)> {
    let listed = action.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
    if listed.is_empty() {
        let only = action.target_group_arn().map(|arn| (arn.to_owned(), WEIGHT_UNTOLD));
        return only.into_iter().collect();
    }
    let read = |tuple: &TargetGroupTuple| {
        let weight = tuple.weight().map_or(WEIGHT_UNTOLD, |weight| u32::try_from(weight).unwrap_or(0));
        Some((tuple.target_group_arn()?.to_owned(), weight.min(WEIGHT_MAX)))
    };
    listed.iter().filter_map(read).collect()
}

/// Group stickiness of a forward action, in seconds; `None` when it is off.
fn sticky_seconds(action: &Action) -> Option<u32> {
    let config = action.forward_config()?.target_group_stickiness_config()?;
    let seconds = config.duration_seconds().and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0);
    config.enabled().unwrap_or(false).then_some(seconds)
}

fn tuple(arn: String, weight: u32) -> TargetGroupTuple {
    // At most 999 here, so the conversion cannot fail. Zero is said, not left out: left out, it counts as 1.
    let weight = i32::try_from(weight).unwrap_or(0);
    TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build()
}

/// A digest of all of a rule's actions that greenshift never changes. It is kept in the journal, so its definition must
/// stay: SHA-256 over the JSON of the actions, in which a forward action holds only its order and its other groups, by
/// name, each with whether it is on.
///
/// Left out are the two weights, whether green is attached, group stickiness, and the numbers of the other groups, which
/// are scaled when whole numbers ask for it.
fn structure(actions: &[Action], route: &AlbRoute) -> String {
    let fixed: Value = actions.iter().map(|action| fixed_part(action, route)).collect();
    let digest = Sha256::digest(fixed.to_string().as_bytes());
    format!("{:x}", bytes::Bytes::copy_from_slice(&digest))
}

fn fixed_part(action: &Action, route: &AlbRoute) -> Value {
    if !names_either(action, route) {
        let mut value = json::action(action);
        if let Some(Value::Object(oidc)) = value.get_mut("AuthenticateOidcConfig") {
            oidc.shift_remove("UseExistingClientSecret");
        }
        return value;
    }
    let ours = [route.blue_target_group.as_str(), route.green_target_group.as_str()];
    let mut others: Vec<(String, bool)> = groups(action).into_iter().map(|(arn, weight)| (arn, weight > 0)).collect();
    others.retain(|(arn, _)| !ours.contains(&arn.as_str()));
    others.sort();
    json!({"Type": "forward", "Order": action.order(), "Others": others})
}

#[cfg(test)]
#[path = "actions_tests.rs"]
mod tests;
