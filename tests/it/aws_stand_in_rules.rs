//! The stand-in keeps AWS's rules, seen through the real SDKs.

use crate::aws_stand_in::{AwsStandIn, Behaviour, BlueGreen, MetricKey, Traffic, World, world::dimension};
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

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

async fn started() -> (AwsStandIn, BlueGreen, aws_sdk_elasticloadbalancingv2::Client) {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&sdk(&aws).await);
    (aws, app, elb)
}

pub(crate) fn forward(weights: &[(&str, i32)]) -> Action {
    let mut config = ForwardActionConfig::builder();
    for (arn, weight) in weights {
        config = config.target_groups(TargetGroupTuple::builder().target_group_arn(*arn).weight(*weight).build());
    }
    Action::builder().r#type(ActionTypeEnum::Forward).order(1).forward_config(config.build()).build()
}

#[tokio::test]
async fn a_modified_rule_is_described_with_its_new_weights() {
    let (aws, app, elb) = started().await;
    let action = forward(&[(&app.blue, 90), (&app.green, 10)]);
    elb.modify_rule().rule_arn(&app.rule).actions(action).send().await.unwrap();
    let rules = elb.describe_rules().listener_arn(&app.listener).send().await.unwrap();
    assert_eq!(rules.rules().len(), 2);
    let config = rules.rules()[0].actions()[0].forward_config().unwrap();
    let weights: Vec<Option<i32>> = config.target_groups().iter().map(TargetGroupTuple::weight).collect();
    assert_eq!(weights, [Some(90), Some(10)]);
    assert_eq!(aws.split(&app.rule, &app), (90, 10));
    assert_eq!(aws.split(&app.listener, &app), (100, 0));
}

#[tokio::test]
async fn a_weight_of_1000_is_refused() {
    let (aws, app, elb) = started().await;
    let action = forward(&[(&app.blue, 1000), (&app.green, 10)]);
    let refused = elb.modify_rule().rule_arn(&app.rule).actions(action).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("ValidationError"));
    assert_eq!(aws.split(&app.rule, &app), (100, 0));
}

#[tokio::test]
async fn traffic_follows_the_weights_and_leaves_metrics() {
    let (world, app) = World::blue_green();
    let start = 1_800_000_000_000;
    let aws = AwsStandIn::start_at(world, start).await;
    aws.traffic(Traffic::steady(&app.listener, 100.0, start));
    aws.behave(&app.blue, &Behaviour::failing(0.5));
    aws.advance(120_000);
    let client = aws_sdk_cloudwatch::Client::new(&sdk(&aws).await);
    let metric = |name: &str, group: &str| {
        let dimension = |name: &str, arn: &str| Dimension::builder().name(name).value(dimension(arn)).build();
        let metric = Metric::builder()
            .namespace("AWS/ApplicationELB")
            .metric_name(name)
            .dimensions(dimension("TargetGroup", group))
            .dimensions(dimension("LoadBalancer", &app.load_balancer))
            .build();
        MetricStat::builder().metric(metric).period(60).stat("Sum").build()
    };
    let query = |id: &str, stat| MetricDataQuery::builder().id(id).metric_stat(stat).build();
    let answer = client
        .get_metric_data()
        .metric_data_queries(query("b", metric("RequestCount", &app.blue)))
        .metric_data_queries(query("e", metric("HTTPCode_Target_5XX_Count", &app.blue)))
        .metric_data_queries(query("g", metric("RequestCount", &app.green)))
        .start_time(DateTime::from_millis(start))
        .end_time(DateTime::from_millis(start + 120_000))
        .scan_by(ScanBy::TimestampAscending)
        .send()
        .await
        .unwrap();
    let results = answer.metric_data_results();
    assert_eq!(results[0].timestamps(), [DateTime::from_millis(start), DateTime::from_millis(start + 60_000)]);
    assert!((results[0].values()[0] - 6000.0).abs() < 500.0, "{:?}", results[0].values());
    assert!((results[1].values()[0] - 3000.0).abs() < 400.0, "{:?}", results[1].values());
    assert!(results[2].values().is_empty());
    aws.push(MetricKey::alb("RequestCount", &[]), start, 1.0, 1.0);
}
