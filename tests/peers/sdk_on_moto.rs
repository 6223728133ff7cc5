//! The SDK against an emulator and a fault proxy that others wrote.

use crate::aws_cli::weights;
use crate::microburst::Microburst;
use crate::moto::Moto;
use crate::program::REGION;
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::json;
use std::time::Duration;

/// A client that sends every request once.
pub(crate) async fn client(endpoint: &str) -> Client {
    let timeouts = aws_config::timeout::TimeoutConfig::builder().operation_timeout(Duration::from_secs(20)).build();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region(REGION)
        .endpoint_url(endpoint)
        .timeout_config(timeouts)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .credentials_provider(aws_sdk_sts::config::Credentials::new("AKIATEST", "secret", None, None, "test"))
        .load()
        .await;
    Client::new(&config)
}

fn forward(weights: &[(&str, i32)]) -> Action {
    let tuple =
        |(arn, weight): &(&str, i32)| TargetGroupTuple::builder().target_group_arn(*arn).weight(*weight).build();
    let config = ForwardActionConfig::builder().set_target_groups(Some(weights.iter().map(tuple).collect()));
    Action::builder().r#type(ActionTypeEnum::Forward).order(1).forward_config(config.build()).build()
}

#[tokio::test]
async fn weights_written_by_the_sdk_are_read_by_the_cli() {
    let moto = Moto::start();
    let elb = client(&moto.endpoint).await;
    let action = forward(&[(&moto.app.blue, 90), (&moto.app.green, 10)]);
    elb.modify_listener().listener_arn(&moto.app.listener).default_actions(action).send().await.unwrap();
    assert_eq!(weights(&moto.endpoint, &moto.app.listener), [90, 10]);
    assert_eq!(weights(&moto.endpoint, &moto.app.rule), [100, 0]);
    let action = forward(&[(&moto.app.blue, 0), (&moto.app.green, 100)]);
    elb.modify_rule().rule_arn(&moto.app.rule).actions(action).send().await.unwrap();
    assert_eq!(weights(&moto.endpoint, &moto.app.rule), [0, 100], "a weight of zero is sent as zero");
}

#[tokio::test]
async fn an_answer_lost_on_the_wire_leaves_the_change_made() {
    let moto = Moto::start();
    let proxy = Microburst::start(&moto.endpoint);
    let elb = client(&proxy.endpoint).await;
    let rules = json!([
        {"service": "elbv2", "operation": "ModifyRule", "times": 1, "error": {"code": "ThrottlingException"}},
        {"service": "elbv2", "operation": "ModifyListener", "times": 1, "response": {"abort_frac": 0.0}},
        {"service": "elbv2", "operation": "DescribeRules", "times": 1, "reset": true},
    ]);
    proxy.add(&rules).await;
    let action = || forward(&[(&moto.app.blue, 90), (&moto.app.green, 10)]);

    let throttled = elb.modify_rule().rule_arn(&moto.app.rule).actions(action()).send().await.unwrap_err();
    assert_eq!(throttled.code(), Some("ThrottlingException"));
    assert_eq!(weights(&moto.endpoint, &moto.app.rule), [100, 0]);

    let lost = elb.modify_listener().listener_arn(&moto.app.listener).default_actions(action()).send().await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(weights(&moto.endpoint, &moto.app.listener), [90, 10]);

    let reset = elb.describe_rules().rule_arns(&moto.app.rule).send().await;
    assert!(reset.is_err(), "{reset:?}");
    elb.describe_rules().rule_arns(&moto.app.rule).send().await.unwrap();
    let fired = proxy.fired().await.to_string();
    for operation in ["ModifyRule", "ModifyListener", "DescribeRules"] {
        assert!(fired.contains(operation), "{operation} did not strike: {fired}");
    }
}
