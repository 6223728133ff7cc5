//! The ALB router when AWS is slow, silent, throttled or unwilling.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenshift::aws::{AwsClients, AwsSettings, Call, CallObserver, CallOutcome, Quota, Role};
use greenshift::domain::command::WriteOutcome;
use greenshift::domain::observation::{Trouble, TroubleKind};
use greenshift::domain::plan::Route;
use greenshift::domain::weight::Weight;
use greenshift::traffic_router::TrafficRouter;
use greenshift::traffic_router::alb::AlbRouter;
use serde_json::json;

use crate::alb::{back, forward, impatient, outcomes, percent, route, route_over, settings, written};
use crate::aws_stand_in::world::{ACCOUNT, REGION, Role as StandInRole, Rule as StandInRule};
use crate::aws_stand_in::{AwsStandIn, BlueGreen, Edit, Fault, World, forward as forward_json};

async fn started() -> (AwsStandIn, BlueGreen) {
    let (world, app) = World::blue_green();
    (AwsStandIn::start(world).await, app)
}

async fn router_with(settings: AwsSettings) -> AlbRouter {
    AlbRouter::new(AwsClients::connect(settings).await)
}

async fn failure(router: &AlbRouter, route: &Route) -> Trouble {
    router.read(route).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_that_never_comes_costs_no_more_than_the_time_out() {
    let (aws, app) = started().await;
    let router = router_with(impatient(&aws)).await;
    let route = route(&app);
    aws.set_fault("*", Fault::Hang);
    let begun = Instant::now();
    let trouble = failure(&router, &route).await;
    assert_eq!(trouble.kind, TroubleKind::Transient, "{trouble:?}");
    let reports = router.write(&route, &back(Weight::ZERO)).await;
    assert!(outcomes(&reports).iter().all(|outcome| matches!(outcome, WriteOutcome::Failed(_))));
    assert!(router.health(&route).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn modify_succeeded_but_the_response_was_lost() {
    for fault in [Fault::LoseAnswer, Fault::ApplyThenHang, Fault::CutAnswer { bytes: 40 }] {
        let (aws, app) = started().await;
        let router = router_with(impatient(&aws)).await;
        let route = route_over(&app, &[&app.rule]);
        aws.fault_times("ModifyRule", fault.clone(), 1);
        let change = forward(percent(10), &[Weight::ZERO]);
        let reports = router.write(&route, &change).await;
        let [WriteOutcome::Failed(trouble)] = outcomes(&reports)[..] else { panic!("{fault:?}: {reports:?}") };
        assert_eq!(trouble.kind, TroubleKind::Transient, "{fault:?}");
        assert!(trouble.message.contains("may"), "{}", trouble.message);
        assert_eq!(router.read(&route).await.unwrap()[0].share(), Some(percent(10)), "{fault:?}: read it again");
        let again = router.write(&route, &change).await;
        assert_eq!(outcomes(&again), [&WriteOutcome::AlreadyThere], "{fault:?}");
        assert_eq!(aws.count("ModifyRule"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_retry_inside_the_sdk_that_finds_its_work_done_does_no_harm() {
    let (aws, app) = started().await;
    let router = router_with(AwsSettings { attempts: 3, ..settings(&aws) }).await;
    aws.fault_times("ModifyRule", Fault::LoseAnswer, 1);
    written(&router, &route_over(&app, &[&app.rule]), &forward(percent(10), &[Weight::ZERO])).await;
    assert_eq!(aws.split(&app.rule, &app), (90, 10));
}

#[tokio::test]
async fn errors_say_whether_waiting_helps_and_what_to_do() {
    let refuse = |code: &str, status| Fault::Refuse { code: code.to_owned(), status };
    for (fault, kind, words) in [
        (Fault::Throttle, TroubleKind::Transient, "throttled"),
        (Fault::InternalFailure, TroubleKind::Transient, "error of its own"),
        (Fault::Unavailable, TroubleKind::Transient, "error of its own"),
        (Fault::Reset, TroubleKind::Transient, "no answer"),
        (Fault::AccessDenied, TroubleKind::Refused, "allow the IAM action `elasticloadbalancing:DescribeRules`"),
        (refuse("ExpiredToken", 403), TroubleKind::Refused, "have expired"),
        (refuse("InvalidClientTokenId", 403), TroubleKind::Refused, "does not accept the credentials"),
        (refuse("ValidationError", 400), TroubleKind::Refused, "invalid"),
    ] {
        let (aws, app) = started().await;
        let router = router_with(settings(&aws)).await;
        aws.set_fault("DescribeRules", fault.clone());
        let trouble = failure(&router, &route_over(&app, &[&app.rule])).await;
        assert_eq!(trouble.kind, kind, "{fault:?}: {trouble:?}");
        assert!(trouble.message.contains(words), "{fault:?}: {}", trouble.message);
        if fault.refusal("").is_some() {
            assert!(trouble.message.contains("request id"), "{fault:?}: {}", trouble.message);
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_is_refused_by_name() {
    let (aws, app) = started().await;
    let router = router_with(settings(&aws)).await;
    let gone = app.rule.replace("9683b2d02a6cabee", "0000000000000001");
    let trouble = failure(&router, &route_over(&app, &[&gone])).await;
    assert_eq!(trouble.kind, TroubleKind::Refused);
    assert!(trouble.message.contains("not found") && trouble.message.contains(&gone), "{}", trouble.message);
}

#[tokio::test]
async fn without_a_connection_nothing_is_known() {
    let (aws, app) = started().await;
    let settings = AwsSettings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..impatient(&aws) };
    let trouble = failure(&router_with(settings).await, &route(&app)).await;
    assert_eq!(trouble.kind, TroubleKind::Transient, "{trouble:?}");
}

#[tokio::test]
async fn a_throttle_storm_does_not_use_up_the_retries_of_a_rollback() {
    let (aws, app) = started().await;
    let clients = AwsClients::connect(AwsSettings { attempts: 2, ..settings(&aws) }).await;
    let regional = clients.in_region(REGION);
    aws.set_fault("DescribeTargetGroups", Fault::Throttle);
    // Enough failures to use up any quota: a retry costs 5 of 500.
    let storm = (0..130).map(|_| regional.elb.describe_target_groups().send());
    futures::future::join_all(storm).await;
    let before = aws.count("DescribeTargetGroups");
    assert!(regional.elb.describe_target_groups().send().await.is_err());
    assert_eq!(aws.count("DescribeTargetGroups") - before, 1, "forward calls have no retries left");
    aws.fault_times("ModifyRule", Fault::Throttle, 1);
    let router = AlbRouter::new(clients);
    let route = route_over(&app, &[&app.rule]);
    let half = [(app.blue.clone(), 50), (app.green.clone(), 50)];
    aws.edit(&Edit::SetWeights { rule: app.rule.clone(), weights: half.into() });
    written(&router, &route, &back(Weight::ZERO)).await;
    assert_eq!(aws.split(&app.rule, &app), (100, 0));
    assert_eq!(aws.count("ModifyRule"), 2, "throttled once, and sent again");
}

#[tokio::test]
async fn a_rollback_does_not_wait_for_the_budget_and_a_raise_does() {
    let (aws, app) = started().await;
    let clients = AwsClients::connect(settings(&aws)).await;
    let router = AlbRouter::new(clients.clone());
    let route = route(&app);
    written(&router, &route, &forward(percent(50), &[Weight::ZERO])).await;
    let budget = clients.budget(ACCOUNT, REGION);
    for _ in 0..1000 {
        budget.take(Quota::Modify);
        budget.take(Quota::Describe);
    }
    let begun = Instant::now();
    let reports = router.write(&route, &forward(percent(75), &[percent(50)])).await;
    for outcome in outcomes(&reports) {
        let WriteOutcome::Failed(trouble) = outcome else { panic!("{outcome:?}") };
        assert!(trouble.message.contains("budget"), "{}", trouble.message);
        assert_eq!(trouble.kind, TroubleKind::Transient);
    }
    assert_eq!(router.read(&route).await.unwrap_err().kind, TroubleKind::Transient);
    assert_eq!(aws.count("ModifyRule"), 1, "the raise was not sent");
    written(&router, &route, &back(Weight::ZERO)).await;
    let seen = router.read(&route).await.unwrap();
    assert!(seen.iter().all(|rule| rule.share() == Some(Weight::ZERO)), "nor does reading it back wait");
    assert!(router.health(&route).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[derive(Default)]
struct Noted(Mutex<Vec<(String, &'static str)>>);

impl CallObserver for Noted {
    fn called(&self, call: Call, outcome: CallOutcome, took: Duration) {
        assert!(took > Duration::ZERO);
        self.0.lock().unwrap().push((call.to_string(), outcome.as_str()));
    }
}

#[tokio::test]
async fn every_call_is_observed_with_its_outcome() {
    let (aws, app) = started().await;
    let noted = Arc::new(Noted::default());
    let router = router_with(AwsSettings { observer: Arc::<Noted>::clone(&noted), ..settings(&aws) }).await;
    let route = route_over(&app, &[&app.rule]);
    written(&router, &route, &forward(percent(10), &[Weight::ZERO])).await;
    aws.set_fault("DescribeRules", Fault::Throttle);
    failure(&router, &route).await;
    let noted = noted.0.lock().unwrap().clone();
    let call = |operation: &str| format!("elasticloadbalancing:{operation}");
    assert_eq!(
        noted,
        [(call("DescribeRules"), "ok"), (call("ModifyRule"), "ok"), (call("DescribeRules"), "throttled")]
    );
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id() {
    let (mut world, app) = World::blue_green();
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/mover");
    world.roles.push(StandInRole { arn: arn.clone(), external_id: Some("x-1".to_owned()) });
    let aws = AwsStandIn::start(world).await;
    let with = |external_id: Option<&str>| AwsSettings {
        role: Some(Role { arn: arn.clone(), external_id: external_id.map(str::to_owned) }),
        ..settings(&aws)
    };
    let route = route(&app);
    assert!(router_with(with(Some("x-1"))).await.read(&route).await.is_ok());
    assert_ne!(aws.requests().last().unwrap().access_key, "AKIATEST", "signed with the role's credentials");
    let trouble = failure(&router_with(with(None)).await, &route).await;
    assert_eq!(trouble.kind, TroubleKind::Refused, "{trouble:?}");
}

/// A world with so many applications on one load balancer, each with a rule of its own, and a route per rule.
fn many(count: usize) -> (World, Vec<Route>) {
    let (mut world, app) = World::blue_green();
    let routes = (1..=count).map(|number| {
        let name = app.rule.replace("9683b2d02a6cabee", &format!("{number:016x}"));
        let action = forward_json(&[(&app.blue, 100), (&app.green, 0)]);
        let path = json!({"Field": "path-pattern", "Values": [format!("/{number}/*")]});
        let priority = (100 + number).to_string();
        world.rules.push(StandInRule::seeded(&name, &app.listener, &priority, vec![path], vec![action]));
        route_over(&app, &[&name])
    });
    let routes = routes.collect();
    (world, routes)
}

#[tokio::test]
async fn reads_of_many_rollouts_share_calls_when_the_budget_is_spent() {
    let (world, routes) = many(100);
    let aws = AwsStandIn::start(world).await;
    let clients = AwsClients::connect(settings(&aws)).await;
    let router = AlbRouter::new(clients.clone());
    // Room for one call, and 100 rollouts that ask at once.
    (0..39).for_each(|_| clients.budget(ACCOUNT, REGION).take(Quota::Describe));
    let reads = futures::future::join_all(routes.iter().map(|route| router.read(route))).await;
    for (route, read) in routes.iter().zip(&reads) {
        let rules: Vec<&str> = read.as_ref().unwrap().iter().map(|seen| seen.rule.as_str()).collect();
        assert_eq!(rules, [route.rules()[0].as_str()], "everybody gets their own");
    }
    let calls = aws.count("DescribeRules");
    assert!(calls <= 6, "{calls} calls for 100 rules");
}

#[tokio::test]
async fn a_deleted_rule_does_not_spoil_the_reads_of_others() {
    let (world, routes) = many(20);
    let aws = AwsStandIn::start(world).await;
    let clients = AwsClients::connect(settings(&aws)).await;
    let router = AlbRouter::new(clients.clone());
    aws.edit(&Edit::DeleteRule { rule: routes[7].rules()[0].as_str().to_owned() });
    let mut calls = Vec::new();
    for _ in 0..2 {
        let before = aws.count("DescribeRules");
        (0..40).for_each(|_| clients.budget(ACCOUNT, REGION).take(Quota::Describe));
        let reads = futures::future::join_all(routes.iter().map(|route| router.read(route))).await;
        for (number, read) in reads.iter().enumerate() {
            assert_eq!(read.is_err(), number == 7, "{read:?}");
        }
        calls.push(aws.count("DescribeRules") - before);
    }
    assert!(calls[0] <= 11, "halving finds it: {calls:?}");
    assert_eq!(calls[1], 2, "then it is read alone");
}
