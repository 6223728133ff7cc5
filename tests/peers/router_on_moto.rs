//! The ALB router against moto, looked at with the AWS CLI and disturbed by microburst.

use crate::aws_cli::{aws, weights};
use crate::aws_stand_in::BlueGreen;
use crate::microburst::Microburst;
use crate::moto::Moto;
use crate::program::REGION;
use greenshift::aws::{AwsClients, AwsSettings, Credentials};
use greenshift::domain::command::{SetWeight, Stickiness, Urgency, WriteOutcome};
use greenshift::domain::ids::Arn;
use greenshift::domain::observation::RuleSeen;
use greenshift::domain::plan::{AlbRoute, Route};
use greenshift::domain::preflight::Severity;
use greenshift::domain::weight::Weight;
use greenshift::traffic_router::TrafficRouter;
use greenshift::traffic_router::alb::AlbRouter;
use serde_json::{Value, json};

async fn router(endpoint: &str) -> AlbRouter {
    let settings = AwsSettings {
        region: Some(REGION.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        credentials: Some(Credentials::new("AKIATEST", "secret", None, None, "test")),
        ..AwsSettings::default()
    };
    AlbRouter::new(AwsClients::connect(settings).await)
}

fn route(app: &BlueGreen) -> Route {
    Route::Alb(AlbRoute {
        rules: vec![Arn::new(&app.listener), Arn::new(&app.rule)],
        blue_target_group: Arn::new(&app.blue),
        green_target_group: Arn::new(&app.green),
    })
}

fn to(weight: Weight, urgency: Urgency, ours: &[Weight]) -> SetWeight {
    SetWeight { weight, stickiness: Stickiness::Keep, ours: ours.to_vec(), structures: Vec::new(), urgency }
}

async fn outcomes(router: &AlbRouter, route: &Route, change: &SetWeight) -> Vec<WriteOutcome> {
    router.write(route, change).await.into_iter().map(|report| report.outcome).collect()
}

/// All rules of the listener as the CLI prints them, with the weights blanked out.
fn all_but_weights(moto: &Moto) -> Value {
    let mut answer = aws(&moto.endpoint, &["elbv2", "describe-rules", "--listener-arn", &moto.app.listener]).unwrap();
    for rule in answer["Rules"].as_array_mut().unwrap() {
        for group in rule["Actions"][0]["ForwardConfig"]["TargetGroups"].as_array_mut().unwrap() {
            group["Weight"] = json!("any");
        }
    }
    answer
}

#[tokio::test]
async fn every_raise_and_the_way_back_are_seen_by_the_cli_and_change_nothing_else() {
    let moto = Moto::start();
    let (router, route) = (router(&moto.endpoint).await, route(&moto.app));
    let before = all_but_weights(&moto);
    let tenth = Weight::from_percent(10).unwrap();
    let raises = [(Weight::ZERO, tenth, [90, 10]), (tenth, Weight::FULL, [0, 100])];
    for (from, weight, expected) in raises {
        let outcomes = outcomes(&router, &route, &to(weight, Urgency::Forward, &[from])).await;
        assert_eq!(outcomes, [WriteOutcome::Written, WriteOutcome::Written]);
        assert_eq!(weights(&moto.endpoint, &moto.app.listener), expected);
        assert_eq!(weights(&moto.endpoint, &moto.app.rule), expected);
    }
    let back = to(Weight::ZERO, Urgency::Back, &[]);
    assert_eq!(outcomes(&router, &route, &back).await, [WriteOutcome::Written, WriteOutcome::Written]);
    assert_eq!(outcomes(&router, &route, &back).await, [WriteOutcome::AlreadyThere, WriteOutcome::AlreadyThere]);
    let seen: Vec<Option<Weight>> = router.read(&route).await.unwrap().iter().map(RuleSeen::share).collect();
    assert_eq!(seen, [Some(Weight::ZERO), Some(Weight::ZERO)]);
    assert_eq!(all_but_weights(&moto), before);
}

#[tokio::test]
async fn health_inspection_and_the_owners_mark_work_on_an_emulator_that_others_wrote() {
    let moto = Moto::start();
    let (router, route) = (router(&moto.endpoint).await, route(&moto.app));
    let health = router.health(&route).await.unwrap();
    assert_eq!((health.blue.healthy, health.green.healthy), (2, 2));
    let inspection = router.inspect(&route, "peers").await.unwrap();
    let blocking: Vec<_> =
        inspection.findings.iter().filter(|finding| finding.severity == Severity::Blocking).collect();
    assert!(blocking.is_empty(), "{blocking:?}");
    assert_eq!(inspection.sticky_seconds, Some(5));

    let tags = || {
        let answer = aws(&moto.endpoint, &["elbv2", "describe-tags", "--resource-arns", &moto.app.rule]).unwrap();
        answer["TagDescriptions"][0]["Tags"].clone()
    };
    router.claim(&route, "peers").await.unwrap();
    assert_eq!(tags()[0]["Value"], "peers");
    router.release(&route, "peers").await.unwrap();
    assert_eq!(tags(), json!([]));
}

#[tokio::test]
async fn throttled_reset_and_lost_answers_end_in_the_wanted_weights() {
    let moto = Moto::start();
    let proxy = Microburst::start(&moto.endpoint);
    let (router, route) = (router(&proxy.endpoint).await, route(&moto.app));
    let rules = json!([
        {"service": "elbv2", "operation": "ModifyRule", "times": 2, "error": {"code": "ThrottlingException"}},
        {"service": "elbv2", "operation": "ModifyListener", "times": 1, "response": {"abort_frac": 0.0}},
        {"service": "elbv2", "operation": "DescribeRules", "times": 1, "reset": true},
    ]);
    proxy.add(&rules).await;
    let change = to(Weight::from_percent(10).unwrap(), Urgency::Forward, &[Weight::ZERO]);
    // a lost answer may be reported as a failure: the next round finds out, as a controller's next tick would
    for _ in 0..3 {
        let done = |it: &WriteOutcome| matches!(it, WriteOutcome::Written | WriteOutcome::AlreadyThere);
        if outcomes(&router, &route, &change).await.iter().all(done) {
            break;
        }
    }
    assert_eq!(weights(&moto.endpoint, &moto.app.listener), [90, 10]);
    assert_eq!(weights(&moto.endpoint, &moto.app.rule), [90, 10]);
    let fired = proxy.fired().await.to_string();
    for operation in ["ModifyRule", "ModifyListener", "DescribeRules"] {
        assert!(fired.contains(operation), "{operation} did not strike: {fired}");
    }
}
