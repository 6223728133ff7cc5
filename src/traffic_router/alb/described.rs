//! Rules and listeners as they are now, under the names by which a route knows them.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::Action;
use futures::future::{BoxFuture, join};

use super::api::{Api, absent};
use crate::aws::{Call, CallError, CallOutcome};
use crate::domain::command::Urgency;
use crate::domain::ids::Arn;

/// A rule, or a listener whose default action is meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    /// Its ARN.
    pub(super) arn: Arn,
    /// Its actions, as the API told them.
    pub(super) actions: Vec<Action>,
    /// For a rule: whether it is the default rule of its listener, which only `ModifyListener` can change.
    pub(super) is_default_rule: bool,
}

/// All of `rules`, or the first error.
pub(super) async fn all(api: &Api, rules: &[Arn], urgency: Urgency) -> Result<BTreeMap<Arn, Described>, CallError> {
    let (rule_arns, listener_arns): (Vec<&Arn>, Vec<&Arn>) = rules.iter().partition(|arn| arn.is_listener_rule());
    let (found_rules, found_listeners) =
        join(api.rules(&rule_arns, urgency), api.listeners(&listener_arns, urgency)).await;
    let rules_seen = found_rules?.into_iter().map(|rule| Described {
        arn: Arn::new(rule.rule_arn.unwrap_or_default()),
        actions: rule.actions.unwrap_or_default(),
        is_default_rule: rule.is_default.unwrap_or(false),
    });
    let listeners_seen = found_listeners?.into_iter().map(|listener| Described {
        arn: Arn::new(listener.listener_arn.unwrap_or_default()),
        actions: listener.default_actions.unwrap_or_default(),
        is_default_rule: false,
    });
    let found: BTreeMap<Arn, Described> =
        rules_seen.chain(listeners_seen).map(|described| (described.arn.clone(), described)).collect();
    match rules.iter().find(|arn| !found.contains_key(arn)) {
        None => Ok(found),
        Some(missing) if missing.is_listener_rule() => Err(absent(Call::elb("DescribeRules"), missing)),
        Some(missing) => Err(absent(Call::elb("DescribeListeners"), missing)),
    }
}

/// What became of each rule.
pub(super) type Each = BTreeMap<Arn, Result<Described, CallError>>;

/// Each of `rules`, whatever becomes of the others: one that was deleted makes the API refuse the whole batch, and must
/// not keep the rest from a rollback. Such a batch is halved until the rest is read.
pub(super) fn each<'a>(api: &'a Api, rules: &'a [Arn], urgency: Urgency) -> BoxFuture<'a, Each> {
    Box::pin(async move {
        let error = match all(api, rules, urgency).await {
            Ok(found) => return found.into_iter().map(|(arn, described)| (arn, Ok(described))).collect(),
            Err(error) => error,
        };
        let one_is_wrong = error.outcome == CallOutcome::Rejected;
        if rules.len() < 2 || !one_is_wrong {
            return rules.iter().map(|arn| (arn.clone(), Err(error.clone()))).collect();
        }
        let (left, right) = rules.split_at(rules.len() / 2);
        let (mut found, more) = join(each(api, left, urgency), each(api, right, urgency)).await;
        found.extend(more);
        found
    })
}

/// The listener of a rule: `…:listener-rule/app/NAME/LB/LISTENER/RULE` lies in `…:listener/app/NAME/LB/LISTENER`. A
/// listener is its own.
pub(super) fn listener_of(arn: &Arn) -> Arn {
    if !arn.is_listener_rule() {
        return arn.clone();
    }
    let text = arn.as_str().replacen(":listener-rule/", ":listener/", 1);
    Arn::new(text.rsplit_once('/').map_or(text.as_str(), |(listener, _rule)| listener))
}

/// The load balancer of a rule or listener: `…:listener/app/NAME/LB/LISTENER` lies on `…:loadbalancer/app/NAME/LB`.
pub(super) fn load_balancer_of(arn: &Arn) -> Arn {
    let listener = listener_of(arn);
    let text = listener.as_str().replacen(":listener/", ":loadbalancer/", 1);
    Arn::new(text.rsplit_once('/').map_or(text.as_str(), |(balancer, _listener)| balancer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_tells_its_listener_and_load_balancer() {
        let arn = |tail: &str| Arn::new(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{tail}"));
        let rule = arn("listener-rule/app/web/50dc/f2f7/9683");
        assert_eq!(listener_of(&rule), arn("listener/app/web/50dc/f2f7"));
        assert_eq!(load_balancer_of(&rule), arn("loadbalancer/app/web/50dc"));
        assert_eq!(listener_of(&listener_of(&rule)), listener_of(&rule));
        assert_eq!(load_balancer_of(&listener_of(&rule)), load_balancer_of(&rule));
    }
}
