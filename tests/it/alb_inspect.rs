//! What the ALB router finds when it looks at a route through the real API shapes. Every finding by itself is tested
//! beside the code that judges it.

use greenshift::domain::observation::TroubleKind;
use greenshift::domain::preflight::{Inspection, Severity};
use greenshift::traffic_router::TrafficRouter;
use serde_json::json;

use crate::alb::{route, route_over, router};
use crate::aws_stand_in::world::Rule;
use crate::aws_stand_in::{AwsStandIn, BlueGreen, Fault, World, forward as forward_json, typical::arn};

async fn inspect(world: World, app: &BlueGreen) -> (AwsStandIn, Inspection) {
    let aws = AwsStandIn::start(world).await;
    let inspection = router(&aws).await.inspect(&route(app), "us").await.unwrap();
    (aws, inspection)
}

fn codes(inspection: &Inspection, severity: Severity) -> Vec<&str> {
    let of = inspection.findings.iter().filter(|finding| finding.severity == severity);
    of.map(|finding| finding.code.as_str()).collect()
}

fn other_rule(app: &BlueGreen, number: usize) -> Rule {
    let name = arn(&format!("listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/{number:016x}"));
    let path = json!({"Field": "path-pattern", "Values": [format!("/{number}/*")]});
    let fixed = json!({"Type": "fixed-response", "Order": 1, "FixedResponseConfig": {"StatusCode": "404"}});
    Rule::seeded(&name, &app.listener, &(100 + number).to_string(), vec![path], vec![fixed])
}

#[tokio::test]
async fn a_healthy_route_has_no_findings() {
    let (world, app) = World::blue_green();
    let (aws, inspection) = inspect(world, &app).await;
    assert_eq!(inspection, Inspection::default());
    assert_eq!(aws.modifications().len(), 0, "looking changes nothing");
}

#[tokio::test]
async fn green_unused_empty_or_unhealthy_at_zero_percent() {
    let (mut world, app) = World::blue_green();
    let plain = json!({"Type": "forward", "TargetGroupArn": app.blue});
    world.rules[0].actions = vec![plain.clone()];
    world.listeners[0].default_actions = vec![plain];
    let (_aws, inspection) = inspect(world, &app).await;
    assert_eq!(codes(&inspection, Severity::Blocking), [""; 0]);
    assert!(codes(&inspection, Severity::Info).contains(&"green_not_checked_yet"));

    let (mut world, app) = World::blue_green();
    world.group_mut(&app.green).unwrap().targets.clear();
    assert_eq!(codes(&inspect(world, &app).await.1, Severity::Blocking), ["no_green_targets"]);

    for state in ["unhealthy", "initial", "unavailable"] {
        let (mut world, app) = World::blue_green();
        for target in &mut world.group_mut(&app.green).unwrap().targets {
            state.clone_into(&mut target.state);
        }
        assert_eq!(codes(&inspect(world, &app).await.1, Severity::Blocking), ["no_healthy_green_targets"], "{state}");
    }
}

#[tokio::test]
async fn a_rule_beyond_the_first_page_that_uses_the_groups_is_found() {
    let (mut world, app) = World::blue_green();
    for number in 1..=450 {
        world.rules.push(other_rule(&app, number));
    }
    let mut last = other_rule(&app, 900);
    last.actions = vec![forward_json(&[(&app.green, 1)])];
    world.rules.push(last);
    let (aws, inspection) = inspect(world, &app).await;
    assert!(inspection.shared_groups);
    assert_eq!(codes(&inspection, Severity::Warning), ["groups_serve_other_rules"], "{inspection:#?}");
    let pages = aws.requests().iter().filter(|entry| entry.params.contains_key("Marker")).count();
    assert_eq!(pages, 1, "the 452 rules of the listener fill two pages of 400");
}

#[tokio::test]
async fn stickiness_tags_and_attributes_are_looked_at() {
    let (mut world, app) = World::blue_green();
    let mut sticky = forward_json(&[(&app.blue, 100), (&app.green, 0)]);
    sticky["ForwardConfig"]["TargetGroupStickinessConfig"] = json!({"Enabled": true, "DurationSeconds": 3600});
    world.rules[0].actions = vec![sticky.clone()];
    world.listeners[0].default_actions = vec![sticky];
    let attributes = &mut world.group_mut(&app.green).unwrap().attributes;
    attributes.insert("stickiness.enabled".to_owned(), "true".to_owned());
    attributes.insert("deregistration_delay.timeout_seconds".to_owned(), "10".to_owned());
    world.rules[0].tags.insert("aws:cloudformation:stack-name".to_owned(), "web".to_owned());
    world.listeners[0].tags.insert("elbv2.k8s.aws/cluster".to_owned(), "prod".to_owned());
    let (_aws, inspection) = inspect(world, &app).await;
    assert_eq!(inspection.sticky_seconds, Some(86_400));
    assert_eq!(codes(&inspection, Severity::Blocking), ["rewritten_by_controller"; 2], "the listener's rules too");
    assert_eq!(
        codes(&inspection, Severity::Warning),
        ["attributes_differ", "cloudformation_stack", "group_stickiness", "group_stickiness", "target_stickiness"]
    );
}

#[tokio::test]
async fn a_green_group_of_another_load_balancer_blocks() {
    let (mut world, app) = World::blue_green();
    let (other_world, other) = World::blue_green_of("shop", 2);
    world.load_balancers.extend(other_world.load_balancers);
    world.target_groups.extend(other_world.target_groups);
    world.listeners.extend(other_world.listeners);
    world.rules.extend(other_world.rules);
    let aws = AwsStandIn::start(world).await;
    let mixed = BlueGreen { green: other.green.clone(), ..app.clone() };
    let inspection = router(&aws).await.inspect(&route(&mixed), "us").await.unwrap();
    assert_eq!(codes(&inspection, Severity::Blocking), ["group_on_another_load_balancer"]);
}

#[tokio::test]
async fn a_rule_that_does_not_exist_is_a_finding_and_the_others_are_judged() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    let gone = app.rule.replace("9683b2d02a6cabee", "0000000000000001");
    let inspection = router(&aws).await.inspect(&route_over(&app, &[&gone, &app.listener]), "us").await.unwrap();
    assert_eq!(codes(&inspection, Severity::Blocking), ["rule_not_found"]);
    assert_eq!(codes(&inspection, Severity::Warning), ["groups_serve_other_rules"]);
}

#[tokio::test]
async fn the_default_rule_of_a_listener_is_named_by_the_listener() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    let default = aws.with(|state| state.world.listeners[0].default_rule());
    let inspection = router(&aws).await.inspect(&route_over(&app, &[&default]), "us").await.unwrap();
    assert_eq!(codes(&inspection, Severity::Blocking), ["default_rule_named"]);
}

#[tokio::test]
async fn refused_optional_calls_are_warnings_and_no_stop() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    aws.set_fault("DescribeTags", Fault::AccessDenied);
    aws.set_fault("DescribeTargetGroupAttributes", Fault::AccessDenied);
    aws.set_fault("AddTags", Fault::AccessDenied);
    let router = router(&aws).await;
    let inspection = router.inspect(&route(&app), "us").await.unwrap();
    assert_eq!(codes(&inspection, Severity::Blocking), [""; 0]);
    let warnings = codes(&inspection, Severity::Warning);
    assert_eq!(warnings, ["attributes_unreadable", "attributes_unreadable", "tags_unreadable"]);
    assert!(inspection.findings[0].what.contains("elasticloadbalancing:DescribeTargetGroupAttributes"));
    let trouble = router.claim(&route(&app), "us").await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Refused);
    assert!(trouble.message.contains("elasticloadbalancing:AddTags"), "{}", trouble.message);
}

#[tokio::test]
async fn an_inspection_that_was_throttled_is_no_verdict() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    aws.fault_times("DescribeTags", Fault::Throttle, 1);
    let router = router(&aws).await;
    assert_eq!(router.inspect(&route(&app), "us").await.unwrap_err().kind, TroubleKind::Transient);
    assert!(router.inspect(&route(&app), "us").await.is_ok());
}

#[tokio::test]
async fn claiming_works_where_tags_may_be_set_but_not_read() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    aws.set_fault("DescribeTags", Fault::AccessDenied);
    router(&aws).await.claim(&route(&app), "us").await.unwrap();
    let owner = |arn: &str| aws.with(|state| state.world.tags_mut(arn).unwrap().get("greenshift:owner").cloned());
    assert_eq!((owner(&app.rule), owner(&app.listener)), (Some("us".to_owned()), Some("us".to_owned())));
}
