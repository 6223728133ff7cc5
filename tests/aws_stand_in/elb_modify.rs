//! What Elastic Load Balancing lets one change.

use super::elb_describe::{Params, Read, listener, rule, tags_of};
use super::validate::{self, Origin};
use super::wire::{AwsError, list, text, texts};
use super::world::World;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a Modify request did to a rule (or to a listener's default rule).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The listener or rule that the request named.
    pub(crate) resource: String,
    /// Everything about it before: actions with secrets, conditions, transforms, port, protocol, …
    pub(crate) before: Value,
    /// Everything about it after.
    pub(crate) after: Value,
}

/// The outcome of a change: the answer, and what was changed.
pub(crate) type Changed = Result<(Value, Option<Change>), AwsError>;

/// Carries a change out; `None` when there is no such operation.
pub(crate) fn modify(world: &mut World, operation: &str, params: &Params, read: Read) -> Option<Changed> {
    Some(match operation {
        "ModifyListener" => modify_listener(world, params, read),
        "ModifyRule" => modify_rule(world, params, read),
        "AddTags" => add_tags(world, params),
        "RemoveTags" => remove_tags(world, params),
        _ => return None,
    })
}

/// Everything about a rule and, for a default rule, about its listener.
pub(crate) fn snapshot(world: &World, arn: &str) -> Value {
    let Some(rule) = world.rule(arn) else { return Value::Null };
    let listener = world
        .listener(arn)
        .map(|it| json!({"Port": it.port, "Protocol": it.protocol, "Extra": it.extra, "Tags": it.tags}));
    json!({
        "Actions": rule.actions,
        "Conditions": rule.conditions,
        "Transforms": rule.transforms,
        "Priority": rule.priority,
        "Tags": rule.tags,
        "Listener": listener,
    })
}

fn modify_listener(world: &mut World, params: &Params, read: Read) -> Changed {
    let arn = text(params, "ListenerArn").unwrap_or_default().to_owned();
    if world.listener(&arn).is_none() {
        return Err(AwsError::refused("ListenerNotFound", format!("One or more listeners '{arn}' not found")));
    }
    let before = snapshot(world, &arn);
    if let Some(asked) = list(params, "DefaultActions") {
        put_actions(world, &arn, &asked, read)?;
    }
    if let Some(it) = world.listeners.iter_mut().find(|it| it.arn == arn) {
        if let Some(port) = params.get("Port").and_then(Value::as_i64) {
            it.port = u16::try_from(port).map_err(|error| AwsError::validation(error.to_string()))?;
        }
        if let Some(protocol) = text(params, "Protocol") {
            protocol.clone_into(&mut it.protocol);
        }
        for other in ["SslPolicy", "Certificates", "AlpnPolicy", "MutualAuthentication"] {
            if let Some(value) = params.get(other) {
                it.extra.insert(other.to_owned(), value.clone());
            }
        }
    }
    let after = snapshot(world, &arn);
    let it = world.listener(&arn).cloned();
    // the answer to a change shows the change, whatever Describe shows at that moment
    let item = it.map(|it| {
        let mut item = listener(world, &it, read);
        item["DefaultActions"] = accepted(world, &arn);
        item
    });
    Ok((json!({"Listeners": [item]}), Some(Change { resource: arn, before, after })))
}

fn modify_rule(world: &mut World, params: &Params, read: Read) -> Changed {
    let arn = text(params, "RuleArn").unwrap_or_default().to_owned();
    let Some(found) = world.rules.iter().find(|rule| rule.arn == arn) else {
        return Err(AwsError::refused("RuleNotFound", format!("One or more rules '{arn}' not found")));
    };
    if found.priority == "default" {
        return Err(AwsError::refused("OperationNotPermitted", format!("Default rule '{arn}' cannot be modified")));
    }
    let before = snapshot(world, &arn);
    if let Some(asked) = list(params, "Actions") {
        put_actions(world, &arn, &asked, read)?;
    }
    let conditions = list(params, "Conditions");
    if conditions.as_ref().is_some_and(Vec::is_empty) {
        return Err(AwsError::validation("A rule must have at least one condition"));
    }
    if let Some(it) = world.rule_mut(&arn) {
        if let Some(conditions) = conditions {
            it.conditions = conditions;
        }
        if let Some(transforms) = list(params, "Transforms") {
            it.transforms = transforms;
        }
        if params.get("ResetTransforms") == Some(&Value::Bool(true)) {
            it.transforms.clear();
        }
    }
    let after = snapshot(world, &arn);
    let it = world.rule(&arn).cloned();
    let item = it.map(|it| {
        let mut item = rule(world, &it, read);
        item["Actions"] = accepted(world, &arn);
        item
    });
    Ok((json!({"Rules": [item]}), Some(Change { resource: arn, before, after })))
}

fn accepted(world: &World, arn: &str) -> Value {
    let actions = world.rule(arn).map(|rule| validate::without_secrets(&rule.actions));
    json!(actions.unwrap_or_default())
}

fn put_actions(world: &mut World, arn: &str, asked: &[Value], read: Read) -> Result<(), AwsError> {
    let Some(rule) = world.rule(arn) else { return Ok(()) };
    let actions = validate::actions(world, rule, asked, Origin::Request)?;
    if let Some(rule) = world.rule_mut(arn) {
        rule.accept(actions, read.now);
    }
    world.note_use(read.now);
    Ok(())
}

/// Tags that AWS keeps for itself cannot be written, and a policy may protect more.
fn check_key(world: &World, key: &str) -> Result<(), AwsError> {
    if key.starts_with("aws:") {
        return Err(AwsError::validation(format!("The tag key '{key}' has the reserved prefix 'aws:'")));
    }
    if world.settings.protected_tag_keys.contains(key) {
        return Err(AwsError::with_status(
            "AccessDenied",
            format!("The tag key '{key}' is protected by a policy: not authorized"),
            403,
        ));
    }
    Ok(())
}

fn add_tags(world: &mut World, params: &Params) -> Changed {
    let tags: Vec<(String, String)> = list(params, "Tags")
        .unwrap_or_default()
        .iter()
        .map(|tag| {
            let part = |name: &str| tag[name].as_str().unwrap_or_default().to_owned();
            (part("Key"), part("Value"))
        })
        .collect();
    let mut keys: Vec<&String> = tags.iter().map(|(key, _)| key).collect();
    keys.sort();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(AwsError::refused("DuplicateTagKeys", "A tag key was specified more than once"));
    }
    for (key, _) in &tags {
        check_key(world, key)?;
    }
    for arn in texts(params, "ResourceArns") {
        let own = tags_of(world, &arn)?;
        let more = tags.iter().filter(|(key, _)| !own.contains_key(key)).count();
        if own.len() + more > 50 {
            return Err(AwsError::refused("TooManyTags", "A resource can have at most 50 tags"));
        }
        own.extend(tags.iter().cloned());
    }
    Ok((json!({}), None))
}

fn remove_tags(world: &mut World, params: &Params) -> Changed {
    let keys = texts(params, "TagKeys");
    for key in &keys {
        check_key(world, key)?;
    }
    for arn in texts(params, "ResourceArns") {
        let own = tags_of(world, &arn)?;
        own.retain(|key, _| !keys.contains(key));
    }
    Ok((json!({}), None))
}
