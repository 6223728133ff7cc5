use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, ProtocolEnum, TargetDescription, TargetGroup,
    TargetGroupStickinessConfig, TargetGroupTuple, TargetHealth, TargetHealthDescription, TargetHealthStateEnum,
    TargetTypeEnum,
};

use super::*;
use crate::aws::CallOutcome;
use crate::domain::preflight::Severity;

const PREFIX: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:";

fn arn(tail: &str) -> Arn {
    Arn::new(format!("{PREFIX}{tail}"))
}

fn rule_arn() -> Arn {
    arn("listener-rule/app/web/50dc/f2f7/9683")
}

fn forward(weights: &[(&str, i32)], sticky: Option<i32>) -> Action {
    let tuple = |(group, weight): &(&str, i32)| {
        TargetGroupTuple::builder().target_group_arn(arn(group).as_str()).weight(*weight).build()
    };
    let stickiness =
        TargetGroupStickinessConfig::builder().enabled(sticky.is_some()).set_duration_seconds(sticky).build();
    let config = ForwardActionConfig::builder()
        .set_target_groups(Some(weights.iter().map(tuple).collect()))
        .target_group_stickiness_config(stickiness)
        .build();
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
}

const BLUE: &str = "targetgroup/blue/1";
const GREEN: &str = "targetgroup/green/2";

fn target(state: TargetHealthStateEnum, zone: Option<&str>) -> TargetHealthDescription {
    let target = TargetDescription::builder().id("i").set_availability_zone(zone.map(str::to_owned)).build();
    let health = TargetHealth::builder().state(state).build();
    TargetHealthDescription::builder().target(target).target_health(health).build()
}

fn group(side: Side, name: &str) -> Group {
    let described = TargetGroup::builder()
        .target_group_arn(arn(name).as_str())
        .protocol(ProtocolEnum::Https)
        .protocol_version("HTTP1")
        .port(8443)
        .vpc_id("vpc-1")
        .target_type(TargetTypeEnum::Ip)
        .health_check_enabled(true)
        .load_balancer_arns(arn("loadbalancer/app/web/50dc").as_str())
        .build();
    let attributes = [
        ("deregistration_delay.timeout_seconds", "300"),
        ("load_balancing.algorithm.type", "round_robin"),
        ("slow_start.duration_seconds", "0"),
        ("stickiness.enabled", "false"),
        ("stickiness.type", "lb_cookie"),
        ("stickiness.lb_cookie.duration_seconds", "86400"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
    ];
    Group {
        side,
        arn: arn(name),
        described: Ok(described),
        attributes: Ok(attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
        targets: Ok(vec![target(TargetHealthStateEnum::Healthy, None); 2]),
    }
}

/// A route in which nothing is wrong.
fn good() -> Facts {
    let route = AlbRoute { rules: vec![rule_arn()], blue_target_group: arn(BLUE), green_target_group: arn(GREEN) };
    let rule =
        Described { arn: rule_arn(), actions: vec![forward(&[(BLUE, 100), (GREEN, 0)], None)], is_default_rule: false };
    Facts {
        route,
        rules: vec![(rule_arn(), Ok(rule.clone()))],
        blue: group(Side::Blue, BLUE),
        green: group(Side::Green, GREEN),
        neighbours: Ok(vec![rule]),
        tags: Ok(BTreeMap::new()),
    }
}

fn error(code: &str) -> CallError {
    let trouble = Trouble { kind: TroubleKind::Refused, message: format!("said {code}") };
    CallError { trouble, outcome: CallOutcome::Denied, code: Some(code.to_owned()) }
}

fn set_actions(facts: &mut Facts, action: Action) {
    facts.rules[0].1.as_mut().unwrap().actions = vec![action];
}

fn described(side: &mut Group) -> &mut TargetGroup {
    side.described.as_mut().unwrap()
}

fn set_attribute(side: &mut Group, key: &str, value: &str) {
    side.attributes.as_mut().unwrap().insert(key.to_owned(), value.to_owned());
}

fn tag(facts: &mut Facts, on: &Arn, key: &str, value: &str) {
    let tags = facts.tags.as_mut().unwrap();
    tags.entry(on.clone()).or_default().insert(key.to_owned(), value.to_owned());
}

fn zoned(zones: &[&str]) -> Vec<TargetHealthDescription> {
    zones.iter().map(|zone| target(TargetHealthStateEnum::Healthy, Some(zone))).collect()
}

/// What an edit of good facts must be answered with.
#[track_caller]
fn expect(severity: Severity, code: &str, edit: impl FnOnce(&mut Facts)) -> Inspection {
    let mut facts = good();
    edit(&mut facts);
    let inspection = judge(&facts, "us");
    let found = inspection.findings.iter().find(|finding| finding.code == code);
    let found = found.unwrap_or_else(|| panic!("no `{code}` in {:#?}", inspection.findings));
    assert_eq!(found.severity, severity, "{found:?}");
    assert!(!found.what.is_empty() && !found.remedy.is_empty());
    inspection
}

use Severity::{Blocking, Info, Warning};

#[test]
fn a_good_route_has_no_findings() {
    assert_eq!(judge(&good(), "us"), Inspection::default());
}

#[test]
fn rules_that_cannot_be_moved_block() {
    expect(Blocking, "rule_not_found", |facts| facts.rules[0].1 = Err(error("RuleNotFound")));
    expect(Blocking, "rule_unreadable", |facts| facts.rules[0].1 = Err(error("AccessDenied")));
    expect(Blocking, "rule_without_blue", |facts| set_actions(facts, forward(&[("targetgroup/c/3", 1)], None)));
    expect(Blocking, "rule_without_blue", |facts| set_actions(facts, forward(&[(BLUE, 0), (GREEN, 100)], None)));
    expect(Blocking, "rule_without_blue", |facts| {
        set_actions(facts, forward(&[(BLUE, 0), (GREEN, 0), ("targetgroup/c/3", 1)], None));
    });
    expect(Blocking, "rule_not_movable", |facts| {
        let unknown = Action::builder().r#type(ActionTypeEnum::from("telepathy")).build();
        facts.rules[0].1.as_mut().unwrap().actions.insert(0, unknown);
    });
    expect(Blocking, "default_rule_named", |facts| facts.rules[0].1.as_mut().unwrap().is_default_rule = true);
    expect(Blocking, "no_room_for_green", |facts| {
        set_actions(facts, forward(&[(BLUE, 1), ("a", 0), ("b", 0), ("c", 0), ("d", 0)], None));
    });
    expect(Blocking, "several_load_balancers", |facts| {
        facts.route.rules.push(arn("listener-rule/app/other/51dc/f2f7/9683"));
    });
}

#[test]
fn green_that_is_not_attached_yet_is_no_obstacle() {
    let inspection = expect(Info, "green_not_attached", |facts| {
        set_actions(facts, forward(&[(BLUE, 1)], None));
        facts.green.targets = Ok(vec![target(TargetHealthStateEnum::Unused, None); 2]);
        described(&mut facts.green).load_balancer_arns = None;
    });
    let codes: Vec<&str> = inspection.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["green_not_attached", "green_not_checked_yet"]);
}

#[test]
fn live_weight_of_green_is_told_with_its_number() {
    let inspection = expect(Warning, "green_has_traffic", |facts| {
        set_actions(facts, forward(&[(BLUE, 90), (GREEN, 10)], None));
    });
    assert!(inspection.findings[0].what.contains("10%"), "{inspection:?}");
}

#[test]
fn rules_that_stand_apart_are_told() {
    expect(Warning, "weights_differ", |facts| {
        let other = arn("listener-rule/app/web/50dc/f2f7/1111");
        let mut rule = facts.rules[0].1.clone().unwrap();
        rule.arn = other.clone();
        rule.actions = vec![forward(&[(BLUE, 3), (GREEN, 1)], None)];
        facts.route.rules.push(other.clone());
        facts.rules.push((other, Ok(rule)));
    });
}

#[test]
fn fleets_that_cannot_serve_block() {
    let all = |state: &str| Ok(vec![target(TargetHealthStateEnum::from(state), None); 2]);
    expect(Blocking, "no_healthy_blue_targets", |facts| facts.blue.targets = all("unhealthy"));
    expect(Blocking, "no_healthy_green_targets", |facts| facts.green.targets = all("unhealthy"));
    expect(Blocking, "no_healthy_green_targets", |facts| facts.green.targets = all("initial"));
    expect(Blocking, "no_healthy_green_targets", |facts| facts.green.targets = all("unused"));
    expect(Blocking, "no_green_targets", |facts| facts.green.targets = Ok(vec![]));
    expect(Blocking, "no_green_targets", |facts| facts.green.targets = all("draining"));
    expect(Blocking, "health_unreadable", |facts| facts.green.targets = Err(error("AccessDenied")));
    expect(Warning, "green_is_smaller", |facts| facts.green.targets.as_mut().unwrap().truncate(1));
}

#[test]
fn groups_that_cannot_stand_in_for_one_another_block() {
    expect(Blocking, "group_unreadable", |facts| facts.green.described = Err(error("TargetGroupNotFound")));
    expect(Blocking, "group_on_another_load_balancer", |facts| {
        let other = arn("loadbalancer/app/other/51dc").as_str().to_owned();
        described(&mut facts.green).load_balancer_arns = Some(vec![other]);
    });
    expect(Blocking, "vpcs_differ", |facts| described(&mut facts.green).vpc_id = Some("vpc-2".to_owned()));
    expect(Blocking, "group_protocol_unsuitable", |facts| {
        described(&mut facts.green).protocol = Some(ProtocolEnum::Tcp);
    });
    expect(Warning, "groups_differ", |facts| described(&mut facts.green).protocol = Some(ProtocolEnum::Http));
    expect(Warning, "groups_differ", |facts| described(&mut facts.green).protocol_version = Some("GRPC".to_owned()));
    expect(Warning, "groups_differ", |facts| described(&mut facts.green).target_type = Some(TargetTypeEnum::Instance));
    expect(Warning, "health_checks_off", |facts| described(&mut facts.green).health_check_enabled = Some(false));
    expect(Info, "ports_differ", |facts| described(&mut facts.green).port = Some(80));
}

#[test]
fn zones_matter_when_cross_zone_balancing_is_off() {
    const KEY: &str = "load_balancing.cross_zone.enabled";
    expect(Blocking, "green_misses_zones", |facts| {
        set_attribute(&mut facts.green, KEY, "false");
        facts.blue.targets = Ok(zoned(&["a", "b"]));
        facts.green.targets = Ok(zoned(&["a", "a"]));
    });
    expect(Warning, "zones_unknown", |facts| set_attribute(&mut facts.green, KEY, "false"));
    let mut facts = good();
    facts.blue.targets = Ok(zoned(&["a", "b"]));
    facts.green.targets = Ok(zoned(&["a", "a"]));
    assert_eq!(judge(&facts, "us").findings, [], "with cross-zone balancing it does not matter");
}

#[test]
fn stickiness_is_told_with_its_duration() {
    let inspection = expect(Warning, "group_stickiness", |facts| {
        set_actions(facts, forward(&[(BLUE, 100), (GREEN, 0)], Some(600)));
    });
    assert_eq!(inspection.sticky_seconds, Some(600));
    let inspection = expect(Warning, "target_stickiness", |facts| {
        set_actions(facts, forward(&[(BLUE, 100), (GREEN, 0)], Some(600)));
        set_attribute(&mut facts.green, "stickiness.enabled", "true");
    });
    assert_eq!(inspection.sticky_seconds, Some(86_400), "the longest of all");
    expect(Blocking, "target_stickiness_needs_group_stickiness", |facts| {
        set_attribute(&mut facts.blue, "stickiness.enabled", "true");
    });
    expect(Blocking, "app_cookie_stickiness", |facts| {
        set_attribute(&mut facts.blue, "stickiness.enabled", "true");
        set_attribute(&mut facts.blue, "stickiness.type", "app_cookie");
    });
}

#[test]
fn attributes_that_differ_are_told() {
    for (key, value) in [
        ("deregistration_delay.timeout_seconds", "30"),
        ("slow_start.duration_seconds", "60"),
        ("load_balancing.algorithm.type", "least_outstanding_requests"),
    ] {
        expect(Warning, "attributes_differ", |facts| set_attribute(&mut facts.green, key, value));
    }
    expect(Info, "slow_start", |facts| set_attribute(&mut facts.green, "slow_start.duration_seconds", "60"));
}

#[test]
fn groups_that_serve_other_rules_switch_the_share_check_off() {
    let inspection = expect(Warning, "groups_serve_other_rules", |facts| {
        let mut other = facts.rules[0].1.clone().unwrap();
        other.arn = arn("listener/app/web/50dc/aaaa");
        facts.neighbours.as_mut().unwrap().push(other);
    });
    assert!(inspection.shared_groups);
    let inspection = expect(Warning, "neighbours_unreadable", |facts| facts.neighbours = Err(error("AccessDenied")));
    assert!(inspection.shared_groups, "what is not known is not compared");
}

#[test]
fn refused_optional_looks_are_warnings() {
    expect(Warning, "tags_unreadable", |facts| facts.tags = Err(error("AccessDenied")));
    expect(Warning, "attributes_unreadable", |facts| facts.green.attributes = Err(error("AccessDenied")));
}

#[test]
fn other_owners_are_found_by_their_tags() {
    let (rule, listener) = (rule_arn(), arn("listener/app/web/50dc/f2f7"));
    let (balancer, green) = (arn("loadbalancer/app/web/50dc"), arn(GREEN));
    for (severity, code, on, key, value) in [
        (Blocking, "foreign_owner", &rule, "greenshift:owner", "them"),
        (Blocking, "rewritten_by_controller", &rule, "ingress.k8s.aws/resource", "r"),
        (Blocking, "rewritten_by_controller", &listener, "elbv2.k8s.aws/cluster", "c"),
        (Blocking, "rewritten_by_controller", &balancer, "elbv2.k8s.aws/cluster", "c"),
        (Blocking, "rewritten_by_controller", &balancer, "AmazonECSManaged", "true"),
        (Warning, "group_managed_by_service", &green, "elbv2.k8s.aws/cluster", "c"),
        (Warning, "cloudformation_stack", &rule, "aws:cloudformation:stack-name", "s"),
        (Warning, "terraform_managed", &rule, "ManagedBy", "Terraform"),
        (Warning, "terraform_managed", &rule, "terraform", "true"),
    ] {
        expect(severity, code, |facts| tag(facts, on, key, value));
    }
    let mut facts = good();
    tag(&mut facts, &rule, "greenshift:owner", "us");
    tag(&mut facts, &rule, "team", "payments");
    tag(&mut facts, &listener, "greenshift:owner", "them");
    assert_eq!(judge(&facts, "us").findings, [], "our own mark, a stranger's tag, and the mark of a default action");
}

#[test]
fn terraform_is_told_what_to_ignore() {
    let inspection = expect(Warning, "terraform_managed", |facts| tag(facts, &rule_arn(), "ManagedBy", "terraform"));
    assert!(inspection.findings[0].remedy.contains("lifecycle { ignore_changes = [action] }"), "{inspection:?}");
}

#[test]
fn the_worst_comes_first() {
    let inspection = expect(Blocking, "vpcs_differ", |facts| {
        described(&mut facts.green).vpc_id = Some("vpc-2".to_owned());
        described(&mut facts.green).port = Some(80);
        described(&mut facts.green).health_check_enabled = Some(false);
    });
    let severities: Vec<Severity> = inspection.findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Blocking, Warning, Info]);
}
