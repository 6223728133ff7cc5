//! Names and labels of the metrics: dashboards and alerts hang on them.

use std::time::Duration;

use greenshift::aws::{Call, CallObserver, CallOutcome};
use greenshift::client::Document;
use greenshift::domain::phase::Phase;
use greenshift::telemetry::Metrics;

use super::harness::{Server, document};

/// Every family with its type and the labels of its first series.
fn families(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            lines.push(kind.to_owned());
        } else if !line.starts_with('#')
            && let (Some(last), Some((_, labels))) = (lines.last_mut(), line.split_once('{'))
            && !last.contains('{')
        {
            let labels: Vec<&str> = labels
                .split(',')
                .filter_map(|label| label.split_once('=').map(|(name, _)| name))
                .filter(|name| *name != "le")
                .collect();
            *last += &format!(" {{{}}}", labels.join(","));
        }
    }
    lines.retain(|line| line.starts_with("greenshift_"));
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_labels_are_those_of_the_contract() {
    let server = Server::start().await;
    server.client().create(&Document { text: &document("payments") }).await.unwrap();
    server.until("payments", Phase::Progressing).await;
    let text = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    insta::assert_snapshot!("families", families(&text));
    server.stop().await;
}

#[test]
fn calls_to_aws_are_counted_by_how_they_ended() {
    let metrics = Metrics::new().unwrap();
    let call = Call::elb("ModifyRule");
    metrics.called(call, CallOutcome::Throttled, Duration::from_millis(20));
    metrics.called(call, CallOutcome::Throttled, Duration::from_millis(20));
    metrics.called(call, CallOutcome::Ok, Duration::from_millis(20));
    let text = metrics.render().unwrap();
    let labels = r#"operation="ModifyRule",outcome="throttled",service="elasticloadbalancing""#;
    assert!(text.contains(&format!("greenshift_aws_requests_total{{{labels}}} 2")), "{text}");
    assert!(text.contains("greenshift_aws_request_duration_seconds_count"), "{text}");
}

#[test]
fn two_sets_of_metrics_do_not_meet() {
    let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.rolled_back(1.0);
    assert!(one.render().unwrap().contains("greenshift_rollback_reaction_seconds_count 1"));
    assert!(other.render().unwrap().contains("greenshift_rollback_reaction_seconds_count 0"));
}
