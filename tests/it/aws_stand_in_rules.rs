//! The stand-in keeps Elastic Load Balancing's rules, seen through the real SDK.

use crate::aws_stand_in::typical::arn;
use crate::aws_stand_in::world::{Listener, LoadBalancer, Pairs, Rule, TargetGroup};
use crate::aws_stand_in::{AwsStandIn, BlueGreen, Edit, World, forward as json_forward};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, AuthenticateOidcActionConfig, FixedResponseActionConfig, ForwardActionConfig, Tag,
    TargetDescription, TargetGroupStickinessConfig, TargetGroupTuple, TargetHealthDescription,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::json;

/// SDK settings that point at the stand-in and never retry, so that a test sees every answer.
pub(crate) async fn sdk(aws: &AwsStandIn) -> aws_config::SdkConfig {
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region("eu-west-1")
        .endpoint_url(aws.endpoint())
        .credentials_provider(aws_sdk_sts::config::Credentials::new("AKIATEST", "secret", None, None, "test"))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .load()
        .await
}

async fn started_with(world: World) -> (AwsStandIn, Client) {
    let aws = AwsStandIn::start_at(world, 1_800_000_000_000).await;
    let elb = Client::new(&sdk(&aws).await);
    (aws, elb)
}

async fn started() -> (AwsStandIn, BlueGreen, Client) {
    let (world, app) = World::blue_green();
    let (aws, elb) = started_with(world).await;
    (aws, app, elb)
}

fn config(weights: &[(&str, i32)]) -> aws_sdk_elasticloadbalancingv2::types::builders::ForwardActionConfigBuilder {
    let tuple =
        |(arn, weight): &(&str, i32)| TargetGroupTuple::builder().target_group_arn(*arn).weight(*weight).build();
    ForwardActionConfig::builder().set_target_groups(Some(weights.iter().map(tuple).collect()))
}

fn action(config: ForwardActionConfig) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).order(1).forward_config(config).build()
}

/// A forward action over these target groups, in the SDK's types.
pub(crate) fn forward(weights: &[(&str, i32)]) -> Action {
    action(config(weights).build())
}

fn sticky(weights: &[(&str, i32)], enabled: bool, seconds: Option<i32>) -> Action {
    let stickiness = TargetGroupStickinessConfig::builder().enabled(enabled).set_duration_seconds(seconds).build();
    action(config(weights).target_group_stickiness_config(stickiness).build())
}

async fn modify(elb: &Client, rule: &str, actions: Vec<Action>) -> Result<(), String> {
    let sent = elb.modify_rule().rule_arn(rule).set_actions(Some(actions)).send().await;
    sent.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned())
}

async fn described(elb: &Client, rule: &str) -> Vec<Action> {
    let answer = elb.describe_rules().rule_arns(rule).send().await.unwrap();
    answer.rules()[0].actions().to_vec()
}

fn weights(actions: &[Action]) -> Vec<i32> {
    let config = actions.last().unwrap().forward_config().unwrap();
    config.target_groups().iter().map(|tuple| tuple.weight().unwrap()).collect()
}

/// A target group that no rule names yet.
fn group(name: &str) -> TargetGroup {
    TargetGroup {
        arn: arn(&format!("targetgroup/{name}/0123456789abcdef")),
        targets: Vec::new(),
        attributes: Pairs::new(),
        tags: Pairs::new(),
        in_use_since: None,
    }
}

#[tokio::test]
async fn a_modified_rule_is_described_with_its_new_weights() {
    let (aws, app, elb) = started().await;
    modify(&elb, &app.rule, vec![forward(&[(&app.blue, 90), (&app.green, 10)])]).await.unwrap();
    assert_eq!(weights(&described(&elb, &app.rule).await), [90, 10]);
    assert_eq!(aws.split(&app.rule, &app), (90, 10));
    assert_eq!(aws.split(&app.listener, &app), (100, 0));
    assert_eq!(aws.splits(&app.rule, &app), [(aws.now(), (100, 0)), (aws.now(), (90, 10))]);
}

#[tokio::test]
async fn a_listeners_default_rule_follows_modify_listener() {
    let (aws, app, elb) = started().await;
    let action = forward(&[(&app.blue, 1), (&app.green, 3)]);
    let answer = elb.modify_listener().listener_arn(&app.listener).default_actions(action).send().await.unwrap();
    assert_eq!(weights(answer.listeners()[0].default_actions()), [1, 3]);
    let rules = elb.describe_rules().listener_arn(&app.listener).send().await.unwrap();
    let default = rules.rules().iter().find(|rule| rule.is_default() == Some(true)).unwrap();
    assert_eq!(weights(default.actions()), [1, 3]);
    assert_eq!(aws.split(default.rule_arn().unwrap(), &app), (1, 3));
}

#[tokio::test]
async fn a_default_rule_is_not_modified_as_a_rule() {
    let (aws, app, elb) = started().await;
    let default = aws.with(|state| state.world.listener(&app.listener).unwrap().default_rule());
    let refused = modify(&elb, &default, vec![forward(&[(&app.blue, 1)])]).await;
    assert_eq!(refused, Err("OperationNotPermitted".to_owned()));
}

#[tokio::test]
async fn weights_and_groups_out_of_range_are_refused() {
    let (mut world, app) = World::blue_green();
    let more: Vec<TargetGroup> = (0..4).map(|number| group(&format!("more-{number}"))).collect();
    let names: Vec<String> = more.iter().map(|group| group.arn.clone()).collect();
    world.target_groups.extend(more);
    let (aws, elb) = started_with(world).await;
    let (blue, green) = (app.blue.as_str(), app.green.as_str());
    let unknown = arn("targetgroup/none/0123456789abcdef");
    let mut six = vec![(blue, 1), (green, 1)];
    six.extend(names.iter().map(|name| (name.as_str(), 1)));
    let cases = [
        (forward(&[(blue, 1000), (green, 0)]), "ValidationError"),
        (forward(&[(blue, -1), (green, 1)]), "ValidationError"),
        (forward(&[(blue, 0), (green, 0)]), "InvalidLoadBalancerAction"),
        (forward(&[(blue, 1), (blue, 2)]), "InvalidLoadBalancerAction"),
        (forward(&[]), "InvalidLoadBalancerAction"),
        (forward(&six), "InvalidLoadBalancerAction"),
        (forward(&[(blue, 1), (&unknown, 1)]), "TargetGroupNotFound"),
        (sticky(&[(blue, 1), (green, 1)], true, Some(0)), "ValidationError"),
        (sticky(&[(blue, 1), (green, 1)], true, Some(604_801)), "ValidationError"),
        (sticky(&[(blue, 1), (green, 1)], true, None), "ValidationError"),
    ];
    for (action, code) in cases {
        assert_eq!(modify(&elb, &app.rule, vec![action.clone()]).await, Err(code.to_owned()), "{action:?}");
    }
    assert_eq!(aws.split(&app.rule, &app), (100, 0));
    six.pop();
    assert_eq!(modify(&elb, &app.rule, vec![forward(&six)]).await, Ok(()));
    assert_eq!(modify(&elb, &app.rule, vec![forward(&[(blue, 999), (green, 0)])]).await, Ok(()));
    assert_eq!(modify(&elb, &app.rule, vec![sticky(&[(blue, 0), (green, 1)], true, Some(604_800))]).await, Ok(()));
}

#[tokio::test]
async fn a_missing_weight_counts_as_one_and_a_plain_forward_is_answered_in_both_forms() {
    let (aws, app, elb) = started().await;
    let bare = |arn: &str| TargetGroupTuple::builder().target_group_arn(arn).build();
    let both = ForwardActionConfig::builder().target_groups(bare(&app.blue)).target_groups(bare(&app.green)).build();
    modify(&elb, &app.rule, vec![action(both)]).await.unwrap();
    assert_eq!(aws.split(&app.rule, &app), (1, 1));

    let plain = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&app.green).build();
    modify(&elb, &app.rule, vec![plain]).await.unwrap();
    let actions = described(&elb, &app.rule).await;
    assert_eq!(actions[0].target_group_arn(), Some(app.green.as_str()));
    let config = actions[0].forward_config().unwrap();
    assert_eq!(config.target_groups().len(), 1);
    assert_eq!(config.target_groups()[0].weight(), Some(1));
    assert_eq!(config.target_group_stickiness_config().unwrap().enabled(), Some(false));

    let other = config_with_arn(&app.blue, &app.green);
    assert_eq!(modify(&elb, &app.rule, vec![other]).await, Err("InvalidLoadBalancerAction".to_owned()));
}

fn config_with_arn(plain: &str, configured: &str) -> Action {
    let config = config(&[(configured, 1)]).build();
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(plain).forward_config(config).build()
}

#[tokio::test]
async fn actions_need_distinct_orders_and_one_final_action_at_the_end() {
    let (_aws, app, elb) = started().await;
    let to_green = || forward(&[(&app.green, 1)]);
    let fixed = |order: Option<i32>| {
        let config = FixedResponseActionConfig::builder().status_code("503").build();
        let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).set_order(order);
        action.fixed_response_config(config).build()
    };
    let refused = Err("InvalidLoadBalancerAction".to_owned());
    assert_eq!(modify(&elb, &app.rule, vec![to_green(), fixed(Some(1))]).await, refused, "same order");
    assert_eq!(modify(&elb, &app.rule, vec![to_green(), fixed(Some(2))]).await, refused, "two final actions");
    assert_eq!(modify(&elb, &app.rule, vec![to_green(), fixed(None)]).await, refused, "no order");
    assert_eq!(modify(&elb, &app.rule, vec![oidc(None, Some("s"))]).await, refused, "no final action");
    assert_eq!(modify(&elb, &app.rule, vec![fixed(None)]).await, Ok(()));
}

fn oidc(existing: Option<bool>, secret: Option<&str>) -> Action {
    let config = AuthenticateOidcActionConfig::builder()
        .issuer("https://id.example")
        .authorization_endpoint("https://id.example/authorize")
        .token_endpoint("https://id.example/token")
        .user_info_endpoint("https://id.example/userinfo")
        .client_id("app")
        .authentication_request_extra_params("Order", "last")
        .set_use_existing_client_secret(existing)
        .set_client_secret(secret.map(str::to_owned))
        .build();
    Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).authenticate_oidc_config(config).build()
}

#[tokio::test]
async fn a_client_secret_is_kept_but_never_answered() {
    let (aws, app, elb) = started().await;
    let last = || {
        let config = config(&[(&app.blue, 9), (&app.green, 1)]).build();
        Action::builder().r#type(ActionTypeEnum::Forward).order(2).forward_config(config).build()
    };
    let refused = Err("InvalidLoadBalancerAction".to_owned());
    assert_eq!(modify(&elb, &app.rule, vec![oidc(Some(true), None), last()]).await, refused, "nothing to keep");
    assert_eq!(modify(&elb, &app.rule, vec![oidc(None, Some("secret")), last()]).await, Ok(()));
    let actions = described(&elb, &app.rule).await;
    let shown = actions[0].authenticate_oidc_config().unwrap();
    assert_eq!(shown.client_secret(), None);
    assert_eq!(shown.session_timeout(), Some(604_800));
    assert_eq!(shown.authentication_request_extra_params().unwrap()["Order"], "last");
    assert_eq!(modify(&elb, &app.rule, vec![oidc(None, None), last()]).await, refused, "no secret");
    assert_eq!(modify(&elb, &app.rule, vec![oidc(Some(true), Some("s")), last()]).await, refused, "both");
    assert_eq!(modify(&elb, &app.rule, vec![oidc(Some(true), None), last()]).await, Ok(()));
    let kept = aws.with(|state| state.world.rule(&app.rule).unwrap().actions[0].clone());
    assert_eq!(kept["AuthenticateOidcConfig"]["ClientSecret"], "secret");
    assert_eq!(weights(&described(&elb, &app.rule).await), [9, 1]);
}

#[tokio::test]
async fn group_stickiness_stays_on_while_targets_are_sticky() {
    let (aws, app, elb) = started().await;
    let tuples = [(app.blue.as_str(), 1), (app.green.as_str(), 1)];
    modify(&elb, &app.rule, vec![sticky(&tuples, true, Some(60))]).await.unwrap();
    let attribute = Edit::SetGroupAttribute {
        group: app.green.clone(),
        key: "stickiness.enabled".to_owned(),
        value: "true".to_owned(),
    };
    aws.edit(&attribute);
    let off = elb.modify_rule().rule_arn(&app.rule).actions(sticky(&tuples, false, None)).send().await.unwrap_err();
    assert_eq!(off.code(), Some("InvalidLoadBalancerAction"));
    assert!(off.message().unwrap().starts_with("You must enable group stickiness on a rule"));
    assert_eq!(modify(&elb, &app.rule, vec![sticky(&tuples, true, Some(90))]).await, Ok(()));
}

#[tokio::test]
async fn a_target_group_belongs_to_one_load_balancer() {
    let (mut world, app) = World::blue_green();
    let other = arn("loadbalancer/app/other/1111111111111111");
    let listener = arn("listener/app/other/1111111111111111/2222222222222222");
    let theirs = group("theirs");
    world.load_balancers.push(LoadBalancer { arn: other.clone(), attributes: Pairs::new(), tags: Pairs::new() });
    world.listeners.push(Listener {
        arn: listener.clone(),
        load_balancer: other.clone(),
        protocol: "HTTP".to_owned(),
        port: 80,
        extra: serde_json::Map::new(),
        tags: Pairs::new(),
        default_actions: vec![json_forward(&[(&theirs.arn, 1)])],
    });
    world.target_groups.push(theirs.clone());
    let (_aws, elb) = started_with(world).await;
    let refused = modify(&elb, &app.rule, vec![forward(&[(&app.blue, 1), (&theirs.arn, 1)])]).await;
    assert_eq!(refused, Err("TargetGroupAssociationLimit".to_owned()));
    let http = elb.modify_listener().listener_arn(&listener);
    let refused = http.default_actions(oidc(None, Some("s"))).default_actions({
        Action::builder().r#type(ActionTypeEnum::Forward).order(2).target_group_arn(&theirs.arn).build()
    });
    assert_eq!(refused.send().await.unwrap_err().code(), Some("InvalidLoadBalancerAction"));
    let groups = elb.describe_target_groups().load_balancer_arn(&other).send().await.unwrap();
    assert_eq!(groups.target_groups().len(), 1);
    assert_eq!(groups.target_groups()[0].load_balancer_arns(), [other]);
}

#[tokio::test]
async fn conditions_and_transforms_outlive_a_change_of_actions() {
    let (mut world, app) = World::blue_green();
    let transform = json!({"Type": "url-rewrite",
        "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/sign/(.*)$", "Replace": "/$1"}]}});
    world.rules[0].transforms.push(transform.clone());
    let (aws, elb) = started_with(world).await;
    modify(&elb, &app.rule, vec![forward(&[(&app.green, 1)])]).await.unwrap();
    let rules = elb.describe_rules().rule_arns(&app.rule).send().await.unwrap();
    let rule = &rules.rules()[0];
    assert_eq!(rule.priority(), Some("10"));
    assert_eq!(rule.conditions()[0].path_pattern_config().unwrap().values(), ["/sign/*"]);
    assert_eq!(rule.transforms().len(), 1);
    assert_eq!(aws.with(|state| state.world.rule(&app.rule).unwrap().transforms.clone()), [transform]);
}

#[tokio::test]
async fn unknown_arns_are_named_by_their_kind() {
    let (_aws, app, elb) = started().await;
    let odd = |kind: &str| arn(&format!("{kind}/app/none/1111111111111111"));
    let group = arn("targetgroup/none/1111111111111111");
    let code = |error: &dyn ProvideErrorMetadata| error.code().unwrap_or_default().to_owned();
    let rules = elb.describe_rules().rule_arns(odd("listener-rule")).send().await;
    assert_eq!(code(&rules.unwrap_err()), "RuleNotFound");
    let listeners = elb.describe_listeners().listener_arns(odd("listener")).send().await;
    assert_eq!(code(&listeners.unwrap_err()), "ListenerNotFound");
    let balancers = elb.describe_load_balancers().load_balancer_arns(odd("loadbalancer")).send().await;
    assert_eq!(code(&balancers.unwrap_err()), "LoadBalancerNotFound");
    let groups = elb.describe_target_groups().target_group_arns(&group).send().await;
    assert_eq!(code(&groups.unwrap_err()), "TargetGroupNotFound");
    let health = elb.describe_target_health().target_group_arn(&group).send().await;
    assert_eq!(code(&health.unwrap_err()), "TargetGroupNotFound");
    let attributes = elb.describe_target_group_attributes().target_group_arn(&group).send().await;
    assert_eq!(code(&attributes.unwrap_err()), "TargetGroupNotFound");
    let listener = elb.modify_listener().listener_arn(odd("listener")).default_actions(forward(&[(&app.blue, 1)]));
    assert_eq!(code(&listener.send().await.unwrap_err()), "ListenerNotFound");
    let gone = modify(&elb, &odd("listener-rule"), vec![forward(&[(&app.blue, 1)])]).await;
    assert_eq!(gone, Err("RuleNotFound".to_owned()));
    let both = elb.describe_rules().send().await;
    assert_eq!(code(&both.unwrap_err()), "ValidationError");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let (mut world, app) = World::blue_green();
    for priority in 11..111 {
        let rule = format!("{}{priority:04}", &app.rule[..app.rule.len() - 4]);
        let host = json!({"Field": "host-header", "HostHeaderConfig": {"Values": [format!("h{priority}")]}});
        world.rules.push(Rule::seeded(
            &rule,
            &app.listener,
            &priority.to_string(),
            vec![host],
            vec![json_forward(&[(&app.blue, 1)])],
        ));
    }
    let (aws, elb) = started_with(world).await;
    let all = elb.describe_rules().listener_arn(&app.listener).page_size(40).into_paginator().items().send();
    let all = all.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(all.len(), 102);
    assert_eq!(all.last().unwrap().is_default(), Some(true));
    assert_eq!(aws.count("DescribeRules"), 3);
    let first = elb.describe_rules().listener_arn(&app.listener).page_size(40).send().await.unwrap();
    assert_eq!(first.rules().len(), 40);
    let wide = elb.describe_rules().listener_arn(&app.listener).page_size(401).send().await.unwrap_err();
    assert_eq!(wide.code(), Some("ValidationError"));
    let odd = elb.describe_rules().listener_arn(&app.listener).marker("odd").send().await.unwrap_err();
    assert_eq!(odd.code(), Some("ValidationError"));
}

#[tokio::test]
async fn tags_have_limits_and_protected_keys() {
    let (aws, app, elb) = started().await;
    aws.settings(|settings| settings.protected_tag_keys = ["team".to_owned()].into());
    let tag = |key: &str| Tag::builder().key(key).value("x").build();
    let add = |key: &str| elb.add_tags().resource_arns(&app.rule).tags(tag(key)).send();
    add("greenshift:owner").await.unwrap();
    assert_eq!(add("aws:owner").await.unwrap_err().code(), Some("ValidationError"));
    assert_eq!(add("team").await.unwrap_err().code(), Some("AccessDenied"));
    let answer = elb.describe_tags().resource_arns(&app.rule).resource_arns(&app.listener).send().await.unwrap();
    assert_eq!(answer.tag_descriptions()[0].tags()[0].key(), Some("greenshift:owner"));
    assert!(answer.tag_descriptions()[1].tags().is_empty());
    elb.remove_tags().resource_arns(&app.rule).tag_keys("greenshift:owner").send().await.unwrap();
    let answer = elb.describe_tags().resource_arns(&app.rule).send().await.unwrap();
    assert!(answer.tag_descriptions()[0].tags().is_empty());
    let many = elb.describe_tags().set_resource_arns(Some(vec![app.rule.clone(); 21])).send().await.unwrap_err();
    assert_eq!(many.code(), Some("ValidationError"));
}

fn states(answer: &[TargetHealthDescription]) -> Vec<(String, String)> {
    let state = |it: &TargetHealthDescription| {
        let health = it.target_health().unwrap();
        let reason = health.reason().map_or("", |reason| reason.as_str());
        (health.state().unwrap().as_str().to_owned(), reason.to_owned())
    };
    answer.iter().map(state).collect()
}

#[tokio::test]
async fn targets_are_unused_until_a_rule_names_their_group() {
    let (mut world, app) = World::blue_green();
    let mut spare = group("spare");
    spare.targets.clone_from(&world.target_groups[0].targets);
    spare.targets.truncate(1);
    world.target_groups.push(spare.clone());
    world.settings.initial_ms = 30_000;
    let (aws, elb) = started_with(world).await;
    let health = || async {
        let answer = elb.describe_target_health().target_group_arn(&spare.arn).send().await.unwrap();
        states(answer.target_health_descriptions())[0].clone()
    };
    let pair = |state: &str, reason: &str| (state.to_owned(), reason.to_owned());
    assert_eq!(health().await, pair("unused", "Target.NotInUse"));
    modify(&elb, &app.rule, vec![forward(&[(&app.blue, 1), (&spare.arn, 0)])]).await.unwrap();
    assert_eq!(health().await, pair("initial", "Elb.InitialHealthChecking"));
    aws.advance(30_000);
    assert_eq!(health().await, pair("healthy", ""));
    for (state, reason) in [("unhealthy", "Target.FailedHealthChecks"), ("draining", "Target.DeregistrationInProgress")]
    {
        aws.edit(&Edit::SetTargetStates { group: spare.arn.clone(), state: state.to_owned() });
        assert_eq!(health().await, pair(state, reason));
    }
    let stranger = TargetDescription::builder().id("10.9.9.9").build();
    let asked = elb.describe_target_health().target_group_arn(&spare.arn).targets(stranger).send().await.unwrap();
    assert_eq!(states(asked.target_health_descriptions()), [pair("unused", "Target.NotRegistered")]);
}

#[tokio::test]
async fn attributes_are_answered_with_their_defaults() {
    let (mut world, app) = World::blue_green();
    world.load_balancers[0].attributes.insert("idle_timeout.timeout_seconds".to_owned(), "120".to_owned());
    let (_aws, elb) = started_with(world).await;
    let group = elb.describe_target_group_attributes().target_group_arn(&app.blue).send().await.unwrap();
    let delay = group.attributes().iter().find(|it| it.key() == Some("deregistration_delay.timeout_seconds"));
    assert_eq!(delay.unwrap().value(), Some("300"));
    let balancer = elb.describe_load_balancer_attributes().load_balancer_arn(&app.load_balancer).send().await.unwrap();
    let idle = balancer.attributes().iter().find(|it| it.key() == Some("idle_timeout.timeout_seconds"));
    assert_eq!(idle.unwrap().value(), Some("120"));
    let balancers = elb.describe_load_balancers().names("web").send().await.unwrap();
    assert_eq!(balancers.load_balancers()[0].load_balancer_arn(), Some(app.load_balancer.as_str()));
    let listeners = elb.describe_listeners().load_balancer_arn(&app.load_balancer).send().await.unwrap();
    assert_eq!(listeners.listeners()[0].port(), Some(443));
    assert!(listeners.listeners()[0].ssl_policy().is_some());
}
