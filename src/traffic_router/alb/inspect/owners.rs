//! Findings about others who may write to the same rules: tags tell who made or moves them.

use super::super::OWNER_TAG;
use super::super::api::Pairs;
use super::super::described::{listener_of, load_balancer_of};
use super::{Facts, not_looked_at};
use crate::domain::ids::Arn;
use crate::domain::preflight::Finding;

/// Findings about other owners.
pub(super) fn findings(facts: &Facts, owner: &str) -> Vec<Finding> {
    let tags = match &facts.tags {
        Ok(tags) => tags,
        Err(error) => return vec![not_looked_at("tags_unreadable", "tags that tell of other owners", error)],
    };
    let none = Pairs::new();
    let of = |arn: &Arn| tags.get(arn).unwrap_or(&none);
    let mut found = Vec::new();
    for rule in &facts.route.rules {
        found.extend(other_controller(rule, of(rule), owner));
        // A controller that made the listener or the load balancer writes its rules too.
        let (listener, balancer) = (listener_of(rule), load_balancer_of(rule));
        let above = [(rule, of(rule)), (&listener, of(&listener)), (&balancer, of(&balancer))];
        found.extend(above.iter().find_map(|(arn, tags)| rewriter(rule, arn, tags)));
        found.extend(cloudformation(rule, of(rule)));
        found.extend(terraform(rule, of(rule)));
    }
    for group in facts.groups() {
        found.extend(service(&group.arn, of(&group.arn)));
    }
    found
}

fn other_controller(rule: &Arn, tags: &Pairs, owner: &str) -> Option<Finding> {
    let found = tags.get(OWNER_TAG).filter(|found| *found != owner)?;
    Some(Finding::blocking(
        "foreign_owner",
        format!("{} is owned by `{found}` (tag `{OWNER_TAG}`); this controller is `{owner}`", rule.resource()),
        format!("Let the rollout there end; if that controller is gone, take the tag `{OWNER_TAG}` off."),
    ))
}

/// Controllers that set a rule back to what they think it should be.
fn rewriter(rule: &Arn, arn: &Arn, tags: &Pairs) -> Option<Finding> {
    let (key, who) = tags.keys().find_map(|key| Some((key, controller(key)?)))?;
    Some(Finding::blocking(
        "rewritten_by_controller",
        format!(
            "{} is managed by {who} (tag `{key}` on {}), which puts its own weights back",
            rule.resource(),
            arn.resource()
        ),
        "Use a rule or listener that this controller does not manage, or stop it from managing this one.",
    ))
}

fn controller(key: &str) -> Option<&'static str> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if starts(&["elbv2.k8s.aws/", "ingress.k8s.aws/", "service.k8s.aws/", "gateway.k8s.aws/"]) {
        Some("the AWS Load Balancer Controller of a Kubernetes cluster")
    } else if starts(&["services.k8s.aws/"]) {
        Some("AWS Controllers for Kubernetes")
    } else if key == "AmazonECSManaged" || starts(&["aws:ecs:"]) {
        Some("Amazon ECS")
    } else if starts(&["elasticbeanstalk:"]) {
        Some("AWS Elastic Beanstalk")
    } else if starts(&["aws:codedeploy:"]) {
        Some("AWS CodeDeploy")
    } else {
        None
    }
}

fn cloudformation(rule: &Arn, tags: &Pairs) -> Option<Finding> {
    let stack = tags.get("aws:cloudformation:stack-name")?;
    Some(Finding::warning(
        "cloudformation_stack",
        format!(
            "{} belongs to the CloudFormation stack `{stack}`: any update of it may put its own weights back",
            rule.resource()
        ),
        "Do not update that stack during the rollout, and write the final weights into its template before the next update.",
    ))
}

fn terraform(rule: &Arn, tags: &Pairs) -> Option<Finding> {
    let says = |key: &str, value: &str| {
        let (key, value) = (key.to_ascii_lowercase(), value.to_ascii_lowercase());
        let tool = |text: &str| text.contains("terraform") || text.contains("opentofu");
        let managed = ["managedby", "managed-by", "managed_by", "provisioner", "createdby", "created-by", "created_by"];
        (tool(&key) && value != "false") || (managed.contains(&key.as_str()) && tool(&value))
    };
    let (key, value) = tags.iter().find(|(key, value)| says(key, value))?;
    let (resource, member) = if rule.is_listener_rule() {
        ("aws_lb_listener_rule", "action")
    } else {
        ("aws_lb_listener", "default_action")
    };
    Some(Finding::warning(
        "terraform_managed",
        format!(
            "{} seems to be made by Terraform (tag `{key}` = `{value}`): the next apply puts its own weights back",
            rule.resource()
        ),
        format!("Put `lifecycle {{ ignore_changes = [{member}] }}` into its `{resource}` resource."),
    ))
}

/// A service that registers targets in a group is no harm, unless it also swings the rules.
fn service(group: &Arn, tags: &Pairs) -> Option<Finding> {
    let (key, who) = tags.keys().find_map(|key| Some((key, controller(key)?)))?;
    Some(Finding::warning(
        "group_managed_by_service",
        format!("{} is managed by {who} (tag `{key}`)", group.resource()),
        "Make sure that it only registers targets there and uses no blue/green or canary deployment of its own.",
    ))
}
