//! The ALB router against the stand-in: what the test modules beside it share.

use std::time::Duration;

use greenshift::aws::{AwsClients, AwsSettings, Credentials, Timeouts};
use greenshift::domain::command::{SetWeight, Stickiness, Urgency, WriteOutcome, WriteReport};
use greenshift::domain::ids::Arn;
use greenshift::domain::plan::{AlbRoute, Route};
use greenshift::domain::weight::Weight;
use greenshift::traffic_router::TrafficRouter;
use greenshift::traffic_router::alb::AlbRouter;

use crate::aws_stand_in::{AwsStandIn, BlueGreen};

/// Settings that point at the stand-in. One attempt a call, so that a test sees every answer.
pub(crate) fn settings(aws: &AwsStandIn) -> AwsSettings {
    AwsSettings {
        region: Some("eu-west-1".to_owned()),
        endpoint: Some(aws.endpoint()),
        credentials: Some(Credentials::new("AKIATEST", "secret", None, None, "test")),
        attempts: 1,
        ..AwsSettings::default()
    }
}

/// As [`settings`], with time-outs short enough to wait for.
pub(crate) fn impatient(aws: &AwsStandIn) -> AwsSettings {
    let timeouts = Timeouts {
        connect: Duration::from_millis(400),
        read: Duration::from_millis(400),
        attempt: Duration::from_millis(500),
        operation: Duration::from_millis(900),
    };
    AwsSettings { timeouts, ..settings(aws) }
}

pub(crate) async fn router(aws: &AwsStandIn) -> AlbRouter {
    AlbRouter::new(AwsClients::connect(settings(aws)).await)
}

/// A route over these rules or listeners of the application.
pub(crate) fn route_over(app: &BlueGreen, rules: &[&str]) -> Route {
    Route::Alb(AlbRoute {
        rules: rules.iter().copied().map(Arn::new).collect(),
        blue_target_group: Arn::new(&app.blue),
        green_target_group: Arn::new(&app.green),
    })
}

/// A route over the application's listener and rule.
pub(crate) fn route(app: &BlueGreen) -> Route {
    route_over(app, &[&app.listener, &app.rule])
}

pub(crate) fn percent(percent: u16) -> Weight {
    Weight::from_percent(percent).unwrap()
}

/// A raise to a weight, over rules that stand at one of ours.
pub(crate) fn forward(to: Weight, ours: &[Weight]) -> SetWeight {
    SetWeight {
        weight: to,
        stickiness: Stickiness::Keep,
        ours: ours.to_vec(),
        structures: Vec::new(),
        urgency: Urgency::Forward,
    }
}

/// A lowering to a weight.
pub(crate) fn back(to: Weight) -> SetWeight {
    SetWeight { urgency: Urgency::Back, ..forward(to, &[]) }
}

/// Writes, and expects every rule to be written.
pub(crate) async fn written(router: &dyn TrafficRouter, route: &Route, change: &SetWeight) {
    let reports = router.write(route, change).await;
    assert_eq!(outcomes(&reports), vec![&WriteOutcome::Written; route.rules().len()]);
}

pub(crate) fn outcomes(reports: &[WriteReport]) -> Vec<&WriteOutcome> {
    reports.iter().map(|report| &report.outcome).collect()
}
