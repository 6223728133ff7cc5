//! AWS's rules for the actions of a rule or listener.

use super::wire::AwsError;
use super::world::{Rule, World, group_arns};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Who brings the actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The seed of a world or a foreign writer: a client secret may be left out.
    Seed,
    /// A request: secrets must be given or explicitly kept.
    Request,
}

/// The action types that may come last, and only last.
const FINAL: [&str; 3] = ["forward", "redirect", "fixed-response"];
/// The action types that may come before.
const EARLIER: [&str; 3] = ["authenticate-oidc", "authenticate-cognito", "jwt-validation"];
/// What AWS fills in for an OIDC or Cognito action.
const SESSION_COOKIE: &str = "AWSELBAuthSessionCookie";
/// Seven days, the longest cookie age and the default session time-out, in seconds.
const SEVEN_DAYS: i64 = 604_800;

fn bad_action(message: impl Into<String>) -> AwsError {
    AwsError::refused("InvalidLoadBalancerAction", message)
}

/// Checks actions that are to replace those of `rule`, and brings them into the form that AWS answers.
pub(crate) fn actions(world: &World, rule: &Rule, asked: &[Value], origin: Origin) -> Result<Vec<Value>, AwsError> {
    let listener = world
        .listener(&rule.listener)
        .ok_or_else(|| AwsError::refused("ListenerNotFound", "One or more listeners not found"))?;
    let mut result = Vec::new();
    for action in ordered(asked)? {
        let kind = action.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
        result.push(match kind.as_str() {
            "forward" => forward(world, rule, &listener.load_balancer, action)?,
            "authenticate-oidc" => {
                https_only(&listener.protocol)?;
                oidc(rule, action, origin)?
            }
            "authenticate-cognito" => {
                https_only(&listener.protocol)?;
                with_session_defaults(action, "AuthenticateCognitoConfig")
            }
            _ => Value::Object(action),
        });
    }
    Ok(result)
}

fn https_only(protocol: &str) -> Result<(), AwsError> {
    if protocol == "HTTPS" {
        return Ok(());
    }
    Err(bad_action("Authentication actions are only supported on HTTPS listeners"))
}

/// The actions by ascending order, with one final action at the end.
fn ordered(asked: &[Value]) -> Result<Vec<Map<String, Value>>, AwsError> {
    let mut orders = BTreeSet::new();
    let mut result: Vec<(i64, Map<String, Value>)> = Vec::new();
    for action in asked {
        let Value::Object(action) = action else {
            return Err(AwsError::validation("An action is a structure"));
        };
        let mut action = action.clone();
        let kind = action.get("Type").and_then(Value::as_str).unwrap_or_default();
        if !FINAL.contains(&kind) && !EARLIER.contains(&kind) {
            return Err(AwsError::validation(format!("'{kind}' at 'type' is not a known action type")));
        }
        let order = match action.get("Order").and_then(Value::as_i64) {
            Some(order) => order,
            None if asked.len() == 1 => 1,
            None => return Err(bad_action("You must specify the order of each action")),
        };
        if !(1..=50_000).contains(&order) {
            return Err(AwsError::validation(format!("The order '{order}' must be between 1 and 50000")));
        }
        if !orders.insert(order) {
            return Err(bad_action(format!("The order '{order}' is used by more than one action")));
        }
        action.insert("Order".to_owned(), json!(order));
        result.push((order, action));
    }
    result.sort_by_key(|(order, _)| *order);
    let finals: Vec<usize> = (0..result.len()).filter(|&at| is_final(&result[at].1)).collect();
    if finals != [result.len().wrapping_sub(1)] {
        return Err(bad_action(
            "Actions must hold exactly one forward, redirect or fixed-response action, and it must be the last",
        ));
    }
    Ok(result.into_iter().map(|(_, action)| action).collect())
}

fn is_final(action: &Map<String, Value>) -> bool {
    action.get("Type").and_then(Value::as_str).is_some_and(|kind| FINAL.contains(&kind))
}

fn forward(world: &World, rule: &Rule, balancer: &str, mut action: Map<String, Value>) -> Result<Value, AwsError> {
    let plain = action.get("TargetGroupArn").and_then(Value::as_str).map(str::to_owned);
    let config = action.get("ForwardConfig").cloned();
    let config = match (config, &plain) {
        (Some(config), _) => config,
        (None, Some(arn)) => json!({"TargetGroups": [{"TargetGroupArn": arn}]}),
        (None, None) => return Err(bad_action("A forward action needs at least one target group")),
    };
    let tuples = config.get("TargetGroups").and_then(Value::as_array).cloned().unwrap_or_default();
    let tuples = target_groups(world, rule, balancer, &tuples)?;
    let only = (tuples.len() == 1).then(|| tuples[0]["TargetGroupArn"].clone());
    if let Some(plain) = plain
        && only.as_ref().and_then(Value::as_str) != Some(&plain)
    {
        return Err(bad_action("TargetGroupArn and ForwardConfig must name the same single target group"));
    }
    let stickiness = stickiness(world, &config, &tuples)?;
    action.remove("TargetGroupArn");
    action.remove("ForwardConfig");
    if let Some(only) = only {
        action.insert("TargetGroupArn".to_owned(), only);
    }
    let config = json!({"TargetGroups": tuples, "TargetGroupStickinessConfig": stickiness});
    action.insert("ForwardConfig".to_owned(), config);
    Ok(Value::Object(action))
}

/// The target group tuples with every weight spelt out.
fn target_groups(world: &World, rule: &Rule, balancer: &str, tuples: &[Value]) -> Result<Vec<Value>, AwsError> {
    if tuples.is_empty() {
        return Err(bad_action("A forward action needs at least one target group"));
    }
    if tuples.len() > 5 {
        return Err(bad_action("A forward action can have at most 5 target groups"));
    }
    let mut seen = BTreeSet::new();
    let mut total = 0;
    let mut result = Vec::new();
    for tuple in tuples {
        let arn = tuple.get("TargetGroupArn").and_then(Value::as_str).unwrap_or_default();
        let weight = tuple.get("Weight").and_then(Value::as_i64).unwrap_or(1);
        if !(0..=999).contains(&weight) {
            return Err(AwsError::validation(format!(
                "The weight '{weight}' of target group '{arn}' must be between 0 and 999"
            )));
        }
        if world.group(arn).is_none() {
            return Err(AwsError::refused("TargetGroupNotFound", format!("Target groups '{arn}' not found")));
        }
        if !seen.insert(arn) {
            return Err(bad_action(format!("Target group '{arn}' is given more than once")));
        }
        if used_elsewhere(world, rule, balancer, arn) {
            return Err(AwsError::refused(
                "TargetGroupAssociationLimit",
                format!("The following target groups cannot be associated with more than one load balancer: {arn}"),
            ));
        }
        total += weight;
        result.push(json!({"TargetGroupArn": arn, "Weight": weight}));
    }
    if total == 0 {
        return Err(bad_action("At least one target group must have a weight greater than 0"));
    }
    Ok(result)
}

/// Whether a rule of another load balancer names this group.
fn used_elsewhere(world: &World, own: &Rule, balancer: &str, group: &str) -> bool {
    world.rules.iter().filter(|rule| rule.arn != own.arn).any(|rule| {
        let other = world.listener(&rule.listener).map(|listener| listener.load_balancer.as_str());
        other != Some(balancer) && group_arns(&rule.actions).iter().any(|arn| arn == group)
    })
}

/// Group stickiness, with what AWS demands of it.
fn stickiness(world: &World, config: &Value, tuples: &[Value]) -> Result<Value, AwsError> {
    let asked = config.get("TargetGroupStickinessConfig").cloned().unwrap_or_else(|| json!({}));
    let enabled = asked.get("Enabled").and_then(Value::as_bool).unwrap_or(false);
    let duration = asked.get("DurationSeconds").and_then(Value::as_i64);
    match duration {
        None if enabled => {
            return Err(AwsError::validation("Stickiness DurationSeconds is required when it is enabled"));
        }
        Some(seconds) if !(1..=SEVEN_DAYS).contains(&seconds) => {
            return Err(AwsError::validation(format!(
                "Stickiness DurationSeconds '{seconds}' must be between 1 and {SEVEN_DAYS}"
            )));
        }
        Some(_) | None => {}
    }
    let sticky_targets = tuples.iter().any(|tuple| {
        let group = tuple["TargetGroupArn"].as_str().and_then(|arn| world.group(arn));
        group.is_some_and(|group| group.attributes.get("stickiness.enabled").is_some_and(|on| on == "true"))
    });
    if sticky_targets && !enabled && tuples.len() > 1 {
        return Err(bad_action(
            "You must enable group stickiness on a rule if you enabled target stickiness on one of its target groups",
        ));
    }
    let mut result = json!({"Enabled": enabled});
    if let Some(seconds) = duration {
        result["DurationSeconds"] = json!(seconds);
    }
    Ok(result)
}

fn oidc(rule: &Rule, mut action: Map<String, Value>, origin: Origin) -> Result<Value, AwsError> {
    let mut config = action.get("AuthenticateOidcConfig").and_then(Value::as_object).cloned().unwrap_or_default();
    for needed in ["Issuer", "AuthorizationEndpoint", "TokenEndpoint", "UserInfoEndpoint", "ClientId"] {
        if config.get(needed).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(bad_action(format!("AuthenticateOidcConfig needs {needed}")));
        }
    }
    let keep = config.remove("UseExistingClientSecret") == Some(Value::Bool(true));
    let given = config.get("ClientSecret").is_some();
    let kept = rule.actions.iter().find_map(|old| old.pointer("/AuthenticateOidcConfig/ClientSecret")).cloned();
    match (given, keep, origin, kept) {
        (true, true, _, _) => {
            return Err(bad_action("ClientSecret and UseExistingClientSecret cannot both be given"));
        }
        (false, true, Origin::Request, Some(secret)) => {
            config.insert("ClientSecret".to_owned(), secret);
        }
        (false, true, Origin::Request, None) => {
            return Err(bad_action("UseExistingClientSecret was given, but there is no client secret to keep"));
        }
        (false, false, Origin::Request, _) => {
            return Err(bad_action("You must specify a client secret or UseExistingClientSecret"));
        }
        (false, _, Origin::Seed, kept) => {
            config.insert("ClientSecret".to_owned(), kept.unwrap_or_else(|| json!("seeded-secret")));
        }
        (true, false, _, _) => {}
    }
    action.insert("AuthenticateOidcConfig".to_owned(), Value::Object(config));
    Ok(with_session_defaults(action, "AuthenticateOidcConfig"))
}

fn with_session_defaults(mut action: Map<String, Value>, config: &str) -> Value {
    if let Some(Value::Object(config)) = action.get_mut(config) {
        config.entry("SessionCookieName").or_insert_with(|| json!(SESSION_COOKIE));
        config.entry("Scope").or_insert_with(|| json!("openid"));
        config.entry("SessionTimeout").or_insert_with(|| json!(SEVEN_DAYS));
        config.entry("OnUnauthenticatedRequest").or_insert_with(|| json!("authenticate"));
    }
    Value::Object(action)
}

/// The actions as Describe answers them: without client secrets.
pub(crate) fn without_secrets(actions: &[Value]) -> Vec<Value> {
    let mut actions = actions.to_vec();
    for action in &mut actions {
        if let Some(Value::Object(config)) = action.get_mut("AuthenticateOidcConfig") {
            config.remove("ClientSecret");
        }
    }
    actions
}
