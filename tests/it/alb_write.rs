//! What the ALB router sends, request by request, and what it leaves alone.

use greenshift::domain::command::{SetWeight, Stickiness, WriteOutcome};
use greenshift::domain::plan::Route;
use greenshift::domain::weight::Weight;
use greenshift::traffic_router::TrafficRouter;
use greenshift::traffic_router::alb::AlbRouter;
use serde_json::{Map, Value, json};

use crate::alb::{back, forward, outcomes, percent, route, route_over, router, written};
use crate::aws_stand_in::request_log::Entry;
use crate::aws_stand_in::world::{Pairs, Rule, Target, TargetGroup};
use crate::aws_stand_in::{Allowed, AwsStandIn, BlueGreen, Edit, World, assert_untouched_but_weights};
use crate::aws_stand_in::{forward as forward_json, typical::arn};

struct Setup {
    aws: AwsStandIn,
    app: BlueGreen,
    router: AlbRouter,
}

async fn started_with(edit: impl FnOnce(&mut World, &BlueGreen)) -> Setup {
    let (mut world, app) = World::blue_green();
    edit(&mut world, &app);
    let aws = AwsStandIn::start(world).await;
    let router = router(&aws).await;
    Setup { aws, app, router }
}

async fn started() -> Setup {
    started_with(|_, _| {}).await
}

fn group(arn: &str) -> TargetGroup {
    TargetGroup {
        arn: arn.to_owned(),
        targets: vec![Target::healthy("10.0.9.9")],
        attributes: Pairs::new(),
        tags: Pairs::new(),
        in_use_since: None,
    }
}

impl Setup {
    fn only_rule(&self) -> Route {
        route_over(&self.app, &[&self.app.rule])
    }

    fn actions(&self, rule: &str) -> Vec<Value> {
        self.aws.with(|state| state.world.rule(rule).unwrap().actions.clone())
    }

    fn sent(&self) -> Vec<Entry> {
        self.aws.modifications()
    }

    fn assert_untouched(&self, rules: &[&str], groups: &[&str], stickiness: bool) {
        let allowed = Allowed { resources: rules, groups, stickiness, tag_keys: &[] };
        assert_untouched_but_weights(&self.aws.requests(), &allowed);
    }
}

/// The parameters of a request but for what every request has.
fn params(entry: &Entry) -> Map<String, Value> {
    let mut params = entry.params.clone();
    params.retain(|key, _| !["Action", "Version"].contains(&key.as_str()));
    params
}

#[tokio::test]
async fn a_rule_is_changed_by_modify_rule_and_a_default_action_by_modify_listener() {
    let setup = started().await;
    written(&setup.router, &route(&setup.app), &forward(percent(10), &[Weight::ZERO])).await;
    let mut sent: Vec<(String, Value)> =
        setup.sent().iter().map(|entry| (entry.operation.clone(), Value::Object(params(entry)))).collect();
    sent.sort_by(|a, b| a.0.cmp(&b.0));
    let actions = json!([{
        "Type": "forward",
        "Order": 1,
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": setup.app.blue, "Weight": 90},
                {"TargetGroupArn": setup.app.green, "Weight": 10},
            ],
            "TargetGroupStickinessConfig": {"Enabled": false},
        },
    }]);
    let expected = [
        ("ModifyListener".to_owned(), json!({"ListenerArn": setup.app.listener, "DefaultActions": actions})),
        ("ModifyRule".to_owned(), json!({"RuleArn": setup.app.rule, "Actions": actions})),
    ];
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn zero_weight_is_sent_explicitly() {
    let setup = started().await;
    let route = setup.only_rule();
    written(&setup.router, &route, &forward(Weight::FULL, &[Weight::ZERO])).await;
    written(&setup.router, &route, &back(Weight::ZERO)).await;
    let groups = |entry: &Entry| entry.params["Actions"][0]["ForwardConfig"]["TargetGroups"].clone();
    let weights: Vec<Value> =
        setup.sent().iter().map(|entry| json!([groups(entry)[0]["Weight"], groups(entry)[1]["Weight"]])).collect();
    assert_eq!(weights, [json!([0, 100]), json!([100, 0])]);
}

#[tokio::test]
async fn stickiness_and_other_actions_are_preserved() {
    let oidc = json!({"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {
        "Issuer": "https://id.example", "AuthorizationEndpoint": "https://id.example/a",
        "TokenEndpoint": "https://id.example/t", "UserInfoEndpoint": "https://id.example/u", "ClientId": "web",
        "ClientSecret": "the-secret", "Scope": "openid email", "SessionTimeout": 3600,
        "AuthenticationRequestExtraParams": {"display": "page", "prompt": "login"},
        "OnUnauthenticatedRequest": "deny"}});
    let cognito = json!({"Type": "authenticate-cognito", "Order": 5, "AuthenticateCognitoConfig": {
        "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/p", "UserPoolClientId": "c",
        "UserPoolDomain": "d", "AuthenticationRequestExtraParams": {"a": "b"}}});
    let setup = started_with(|world, app| {
        let forward = |order: i64| {
            json!({"Type": "forward", "Order": order, "ForwardConfig": {
                "TargetGroups": [{"TargetGroupArn": app.green, "Weight": 0}, {"TargetGroupArn": app.blue, "Weight": 7}],
                "TargetGroupStickinessConfig": {"Enabled": true, "DurationSeconds": 4242}}})
        };
        world.rules[0].actions = vec![oidc.clone(), forward(3)];
        world.rules[0].transforms = vec![json!({"Type": "url-rewrite", "UrlRewriteConfig":
            {"Rewrites": [{"Regex": "^/sign", "Replace": "/"}]}})];
        world.listeners[0].default_actions = vec![cognito.clone(), forward(9)];
    })
    .await;
    let route = route(&setup.app);
    let before = setup.router.read(&route).await.unwrap();
    written(&setup.router, &route, &forward(percent(10), &[Weight::ZERO])).await;
    written(&setup.router, &route, &forward(percent(50), &[percent(10)])).await;
    written(&setup.router, &route, &back(Weight::ZERO)).await;
    let (blue, green) = (setup.app.blue.as_str(), setup.app.green.as_str());
    setup.assert_untouched(&[&setup.app.rule, &setup.app.listener], &[blue, green], false);
    let kept = setup.actions(&setup.app.rule);
    assert_eq!(kept[0]["AuthenticateOidcConfig"]["ClientSecret"], "the-secret", "AWS keeps it");
    let tells = |entry: &Entry| Value::Object(entry.params.clone()).to_string().contains("the-secret");
    assert!(!setup.sent().iter().any(tells));
    let after = setup.router.read(&route).await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.structure, before.sticky_seconds), (&after.structure, after.sticky_seconds));
        assert_eq!(after.sticky_seconds, Some(4242));
    }
}

#[tokio::test]
async fn only_the_named_rules_are_touched() {
    let other_rule = arn("listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/aaaaaaaaaaaaaaaa");
    let setup = started_with(|world, app| {
        let action = forward_json(&[(&app.blue, 100), (&app.green, 0)]);
        let path = json!({"Field": "path-pattern", "Values": ["/other/*"]});
        world.rules.push(Rule::seeded(&other_rule, &app.listener, "20", vec![path], vec![action]));
    })
    .await;
    let rule = setup.only_rule();
    written(&setup.router, &rule, &forward(percent(10), &[Weight::ZERO])).await;
    setup.router.claim(&rule, "us").await.unwrap();
    setup.router.release(&rule, "us").await.unwrap();
    assert_eq!(setup.aws.split(&other_rule, &setup.app), (100, 0), "although it names both groups");
    assert_eq!(setup.aws.split(&setup.app.listener, &setup.app), (100, 0));
    let allowed = Allowed {
        resources: &[&setup.app.rule],
        groups: &[&setup.app.blue, &setup.app.green],
        stickiness: false,
        tag_keys: &["greenshift:owner"],
    };
    assert_untouched_but_weights(&setup.aws.requests(), &allowed);
}

#[tokio::test]
async fn other_groups_of_the_same_action_keep_their_share() {
    let third = arn("targetgroup/third/aaaaaaaaaaaaaaaa");
    let setup = started_with(|world, app| {
        world.target_groups.push(group(&third));
        let action = forward_json(&[(&third, 1), (&app.blue, 3)]);
        world.rules[0].actions = vec![action];
    })
    .await;
    let route = setup.only_rule();
    let mut now = Weight::ZERO;
    for tenths in [100, 333, 5, 1000] {
        let weight = Weight::from_tenths(tenths).unwrap();
        written(&setup.router, &route, &forward(weight, &[now])).await;
        let weights = setup.aws.weights(&setup.app.rule);
        let total: i64 = weights.iter().map(|(_, weight)| weight).sum();
        let share = weights[0].1 as f64 / total as f64;
        assert!((share - 0.25).abs() < 0.002, "{weights:?}");
        assert_eq!(setup.router.read(&route).await.unwrap()[0].share(), Some(weight), "{weights:?}");
        now = weight;
    }
}

#[tokio::test]
async fn a_step_that_would_move_the_share_of_other_groups_is_refused_but_not_a_rollback() {
    let third = arn("targetgroup/third/aaaaaaaaaaaaaaaa");
    let setup = started_with(|world, app| {
        world.target_groups.push(group(&third));
        world.rules[0].actions = vec![forward_json(&[(&third, 999), (&app.blue, 1), (&app.green, 1)])];
    })
    .await;
    let route = setup.only_rule();
    let reports = setup.router.write(&route, &forward(percent(1), &[percent(50)])).await;
    let [WriteOutcome::Failed(trouble)] = outcomes(&reports)[..] else { panic!("{reports:?}") };
    assert!(trouble.message.contains("larger step"), "{}", trouble.message);
    assert_eq!(setup.sent().len(), 0);
    written(&setup.router, &route, &back(Weight::ZERO)).await;
    let weights = setup.aws.weights(&setup.app.rule);
    assert_eq!(weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [999, 2, 0]);
}

#[tokio::test]
async fn green_unused_at_first_is_attached_at_weight_zero() {
    let setup = started_with(|world, app| {
        let plain = json!({"Type": "forward", "TargetGroupArn": app.blue});
        world.rules[0].actions = vec![plain.clone()];
        world.listeners[0].default_actions = vec![plain];
    })
    .await;
    let route = route(&setup.app);
    let seen = setup.router.read(&route).await.unwrap();
    assert!(seen.iter().all(|rule| !rule.green_attached && rule.share() == Some(Weight::ZERO)));
    let health = setup.router.health(&route).await.unwrap();
    assert_eq!((health.green.unused, health.green.healthy), (2, 0));
    written(&setup.router, &route, &forward(Weight::ZERO, &[Weight::ZERO])).await;
    let after = setup.router.read(&route).await.unwrap();
    assert!(after.iter().all(|rule| rule.green_attached && rule.share() == Some(Weight::ZERO)));
    assert_eq!(after.iter().map(|rule| &rule.structure).collect::<Vec<_>>(), [&seen[0].structure, &seen[1].structure]);
    assert_eq!(setup.router.health(&route).await.unwrap().green.healthy, 2, "its targets are checked now");
}

#[tokio::test]
async fn a_rule_that_no_longer_names_the_groups_is_reported_and_left() {
    let third = arn("targetgroup/third/aaaaaaaaaaaaaaaa");
    let setup = started_with(|world, _| world.target_groups.push(group(&third))).await;
    let route = setup.only_rule();
    setup.aws.edit(&Edit::SetActions { rule: setup.app.rule.clone(), actions: vec![forward_json(&[(&third, 1)])] });
    let seen = setup.router.read(&route).await.unwrap();
    assert_eq!((seen[0].blue, seen[0].green, seen[0].green_attached, seen[0].share()), (0, 0, false, None));
    for change in [forward(percent(10), &[Weight::ZERO]), back(Weight::ZERO)] {
        let reports = setup.router.write(&route, &change).await;
        assert!(matches!(outcomes(&reports)[..], [WriteOutcome::Foreign { .. }]), "{reports:?}");
    }
    assert_eq!(setup.sent().len(), 0);
}

#[tokio::test]
async fn a_second_writer_before_the_write_is_seen_by_the_second_look() {
    let setup = started().await;
    let route = setup.only_rule();
    assert_eq!(setup.router.read(&route).await.unwrap()[0].share(), Some(Weight::ZERO));
    let weights = [(setup.app.blue.clone(), 70), (setup.app.green.clone(), 30)];
    // Between our tick's read and our write.
    setup.aws.before_next("DescribeRules", Edit::SetWeights { rule: setup.app.rule.clone(), weights: weights.into() });
    let reports = setup.router.write(&route, &forward(percent(10), &[Weight::ZERO])).await;
    let [WriteOutcome::Foreign { found }] = outcomes(&reports)[..] else { panic!("{reports:?}") };
    assert!(found.contains("30%"), "{found}");
    assert_eq!(setup.sent().len(), 0);
}

#[tokio::test]
async fn stickiness_is_switched_off_in_a_second_write_after_the_weights() {
    let setup = started_with(|world, app| {
        let mut action = forward_json(&[(&app.blue, 50), (&app.green, 50)]);
        action["ForwardConfig"]["TargetGroupStickinessConfig"] = json!({"Enabled": true, "DurationSeconds": 60});
        world.rules[0].actions = vec![action];
    })
    .await;
    let route = setup.only_rule();
    let off = SetWeight { stickiness: Stickiness::Off, ..back(Weight::ZERO) };
    written(&setup.router, &route, &off).await;
    let config = |entry: &Entry| entry.params["Actions"][0]["ForwardConfig"].clone();
    let sent: Vec<Value> = setup.sent().iter().map(config).collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0]["TargetGroups"][1]["Weight"], 0);
    assert_eq!(sent[0]["TargetGroupStickinessConfig"], json!({"Enabled": true, "DurationSeconds": 60}));
    assert_eq!(sent[1]["TargetGroups"], sent[0]["TargetGroups"]);
    assert_eq!(sent[1]["TargetGroupStickinessConfig"], json!({"Enabled": false}));
    setup.assert_untouched(&[&setup.app.rule], &[&setup.app.blue, &setup.app.green], true);
}

#[tokio::test]
async fn a_route_of_many_rules_is_described_in_batches() {
    let mut names = Vec::new();
    let setup = started_with(|world, app| {
        for number in 0..45 {
            let name = arn(&format!("listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/{number:016x}"));
            let path = json!({"Field": "path-pattern", "Values": [format!("/{number}/*")]});
            let action = forward_json(&[(&app.blue, 100), (&app.green, 0)]);
            let priority = (100 + number).to_string();
            world.rules.push(Rule::seeded(&name, &app.listener, &priority, vec![path], vec![action]));
            names.push(name);
        }
    })
    .await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let route = route_over(&setup.app, &names);
    let seen = setup.router.read(&route).await.unwrap();
    assert_eq!(seen.iter().map(|rule| rule.rule.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(setup.aws.count("DescribeRules"), 3, "20 at a time");
    let reports = setup.router.write(&route, &back(Weight::ZERO)).await;
    assert_eq!(reports.len(), 45);
    assert!(reports.iter().all(|report| report.outcome == WriteOutcome::AlreadyThere));
    written(&setup.router, &route, &SetWeight { ours: vec![Weight::ZERO], ..back(percent(10)) }).await;
    assert!(names.iter().all(|name| setup.aws.split(name, &setup.app) == (90, 10)));
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_shows_what_the_rollout_then_sends() {
    let setup = started_with(|world, app| {
        let plain = json!({"Type": "forward", "TargetGroupArn": app.blue});
        world.listeners[0].default_actions = vec![plain];
    })
    .await;
    let route = route(&setup.app);
    let Route::Alb(alb) = &route;
    let planned = setup.router.plan_changes(alb, &[percent(10), Weight::FULL]).await.unwrap();
    assert_eq!(setup.sent().len(), 0);
    written(&setup.router, &route, &forward(percent(10), &[Weight::ZERO])).await;
    written(&setup.router, &route, &forward(Weight::FULL, &[percent(10)])).await;
    let mut sent: Vec<(String, Value)> = Vec::new();
    for entry in setup.sent() {
        let actions = entry.params.get("Actions").or_else(|| entry.params.get("DefaultActions")).unwrap();
        sent.push((entry.operation.clone(), actions.clone()));
    }
    let mut expected: Vec<(String, Value)> =
        planned.iter().map(|change| (change.operation.to_owned(), change.actions.clone())).collect();
    // Rules of one step are sent at once, in any order.
    for list in [&mut sent, &mut expected] {
        list[..2].sort_by(|a, b| a.0.cmp(&b.0));
        list[2..].sort_by(|a, b| a.0.cmp(&b.0));
    }
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn the_undo_commands_name_every_rule_and_give_blue_everything() {
    let setup = started().await;
    let route = route(&setup.app);
    written(&setup.router, &route, &forward(percent(50), &[Weight::ZERO])).await;
    let Route::Alb(alb) = &route;
    let commands = setup.router.undo_commands(alb).await.unwrap();
    assert_eq!(commands.len(), 2);
    assert!(commands[0].starts_with("aws elbv2 modify-listener --region 'eu-west-1' --listener-arn "), "{commands:?}");
    assert!(commands[1].starts_with("aws elbv2 modify-rule --region 'eu-west-1' --rule-arn "), "{commands:?}");
    for (command, rule) in commands.iter().zip(route.rules()) {
        assert!(command.contains(&format!("'{rule}'")));
        let json: Value = serde_json::from_str(command.rsplit_once(" '").unwrap().1.trim_end_matches('\'')).unwrap();
        // Put back by somebody who pastes it.
        setup.aws.edit(&Edit::SetActions { rule: rule.as_str().to_owned(), actions: json.as_array().unwrap().clone() });
        assert_eq!(setup.aws.split(rule.as_str(), &setup.app), (100, 0));
    }
}
