//! Changes that somebody else makes to the world: Terraform, a colleague, an autoscaling group.

use super::clock::Millis;
use super::validate::{self, Origin};
use super::world::{Alarm, Target, World};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One change by somebody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Edit {
    /// Sets weights in the forward action of a rule or listener and leaves the rest.
    SetWeights {
        /// The rule or listener.
        rule: String,
        /// Target group ARN and weight.
        weights: BTreeMap<String, i64>,
    },
    /// Replaces the actions of a rule or listener.
    SetActions {
        /// The rule or listener.
        rule: String,
        /// The new actions in AWS's form.
        actions: Vec<Value>,
    },
    /// Deletes a rule.
    DeleteRule {
        /// The rule.
        rule: String,
    },
    /// Sets the state of every target of a group.
    SetTargetStates {
        /// The target group.
        group: String,
        /// `healthy`, `unhealthy`, `initial`, `draining` or `unavailable`.
        state: String,
    },
    /// Replaces the registered targets of a group.
    SetTargets {
        /// The target group.
        group: String,
        /// The new targets.
        targets: Vec<Target>,
    },
    /// Sets an attribute of a target group.
    SetGroupAttribute {
        /// The target group.
        group: String,
        /// The attribute.
        key: String,
        /// Its value.
        value: String,
    },
    /// Sets a tag.
    SetTag {
        /// Load balancer, listener, rule or target group.
        resource: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Sets the state of an alarm, and makes it if there is none.
    SetAlarm {
        /// Its name.
        name: String,
        /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        state: String,
    },
}

impl Edit {
    /// Makes the change, or says why it cannot be made.
    pub(crate) fn apply(&self, world: &mut World, now: Millis) -> Result<(), String> {
        match self {
            Self::SetWeights { rule, weights } => {
                let mut actions = world.rule(rule).ok_or_else(|| no("rule", rule))?.actions.clone();
                for action in &mut actions {
                    set_weights(action, weights);
                }
                replace_actions(world, rule, &actions, now)
            }
            Self::SetActions { rule, actions } => replace_actions(world, rule, actions, now),
            Self::DeleteRule { rule } => {
                let before = world.rules.len();
                world.rules.retain(|it| it.arn != *rule);
                world.note_use(now);
                if world.rules.len() == before { Err(no("rule", rule)) } else { Ok(()) }
            }
            Self::SetTargetStates { group, state } => {
                let targets = &mut world.group_mut(group).ok_or_else(|| no("target group", group))?.targets;
                for target in targets {
                    target.state.clone_from(state);
                }
                Ok(())
            }
            Self::SetTargets { group, targets } => {
                let found = world.group_mut(group).ok_or_else(|| no("target group", group))?;
                found.targets.clone_from(targets);
                Ok(())
            }
            Self::SetGroupAttribute { group, key, value } => {
                let found = world.group_mut(group).ok_or_else(|| no("target group", group))?;
                found.attributes.insert(key.clone(), value.clone());
                Ok(())
            }
            Self::SetTag { resource, key, value } => {
                let tags = world.tags_mut(resource).ok_or_else(|| no("resource", resource))?;
                tags.insert(key.clone(), value.clone());
                Ok(())
            }
            Self::SetAlarm { name, state } => {
                let alarm = Alarm { state: state.clone(), reason: "set by hand".to_owned(), composite: false };
                world.alarms.entry(name.clone()).or_insert(alarm).state.clone_from(state);
                Ok(())
            }
        }
    }
}

fn no(what: &str, arn: &str) -> String {
    format!("there is no {what} {arn}")
}

fn set_weights(action: &mut Value, weights: &BTreeMap<String, i64>) {
    let groups = action.pointer_mut("/ForwardConfig/TargetGroups").and_then(Value::as_array_mut);
    for tuple in groups.into_iter().flatten() {
        let weight = tuple["TargetGroupArn"].as_str().and_then(|arn| weights.get(arn));
        if let Some(weight) = weight {
            tuple["Weight"] = json!(weight);
        }
    }
}

fn replace_actions(world: &mut World, arn: &str, actions: &[Value], now: Millis) -> Result<(), String> {
    let rule = world.rule(arn).ok_or_else(|| no("rule", arn))?;
    let actions = validate::actions(world, rule, actions, Origin::Seed)
        .map_err(|error| format!("{}: {}", error.code, error.message))?;
    if let Some(rule) = world.rule_mut(arn) {
        rule.accept(actions, now);
    }
    world.note_use(now);
    Ok(())
}
