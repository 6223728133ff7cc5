//! What would be written, without writing it: for dry runs, and for a person who must put things back by hand.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::described::Described;
use super::{actions, json};
use crate::domain::ids::Arn;
use crate::domain::observation::{Trouble, TroubleKind};
use crate::domain::plan::AlbRoute;
use crate::domain::weight::Weight;

/// One write that a step would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedChange {
    /// The rule or listener.
    pub rule: Arn,
    /// The weight that it would be brought to.
    pub weight: Weight,
    /// The API operation: `ModifyListener` or `ModifyRule`.
    pub operation: &'static str,
    /// The actions that would be sent, as the AWS CLI takes them.
    pub actions: Value,
}

impl PlannedChange {
    /// The AWS CLI command that makes this change, ready for a POSIX shell.
    pub fn command(&self) -> String {
        let (subcommand, name, list) = if self.rule.is_listener_rule() {
            ("modify-rule", "--rule-arn", "--actions")
        } else {
            ("modify-listener", "--listener-arn", "--default-actions")
        };
        format!(
            "aws elbv2 {subcommand} --region {} {name} {} {list} {}",
            quoted(self.rule.region()),
            quoted(self.rule.as_str()),
            quoted(&self.actions.to_string())
        )
    }
}

/// The writes that take the rules to each weight in turn, each from where the one before left them.
pub(super) fn changes(
    route: &AlbRoute,
    live: &BTreeMap<Arn, Described>,
    weights: &[Weight],
) -> Result<Vec<PlannedChange>, Trouble> {
    let mut changes = Vec::new();
    let mut now: Vec<Described> = route.rules.iter().filter_map(|rule| live.get(rule).cloned()).collect();
    for weight in weights {
        for rule in &mut now {
            let (wanted, _shares) = actions::with_weight(&rule.actions, route, *weight)
                .map_err(|unfit| Trouble { kind: TroubleKind::Refused, message: format!("{}: {unfit}", rule.arn) })?;
            changes.push(PlannedChange {
                rule: rule.arn.clone(),
                weight: *weight,
                operation: if rule.arn.is_listener_rule() { "ModifyRule" } else { "ModifyListener" },
                actions: json::actions(&wanted),
            });
            rule.actions = wanted;
        }
    }
    Ok(changes)
}

/// A word for a POSIX shell. In single quotes nothing is special but the quote itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_survives_the_shell() {
        let change = PlannedChange {
            rule: Arn::new("arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/w/1/2/3"),
            weight: Weight::ZERO,
            operation: "ModifyRule",
            actions: json!([{"Type": "fixed-response", "FixedResponseConfig": {"MessageBody": "it's $HOME `x`"}}]),
        };
        assert_eq!(
            change.command(),
            "aws elbv2 modify-rule --region 'eu-west-1' --rule-arn \
             'arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/w/1/2/3' --actions \
             '[{\"Type\":\"fixed-response\",\"FixedResponseConfig\":{\"MessageBody\":\"it'\\''s $HOME `x`\"}}]'"
        );
    }
}
