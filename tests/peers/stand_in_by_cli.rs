//! The stand-in, looked at and changed with the real AWS CLI, and started as a program.

use crate::aws_cli::{aws, weights};
use crate::aws_stand_in::{AwsStandIn, Edit, MetricKey, World, world::dimension};
use crate::program::{Program, free_port};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

fn forward(groups: &[(&str, i64)]) -> String {
    let groups: Vec<Value> =
        groups.iter().map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight})).collect();
    json!([{"Type": "forward", "Order": 1, "ForwardConfig": {"TargetGroups": groups}}]).to_string()
}

#[tokio::test]
async fn the_cli_changes_a_listener_and_a_rule_and_is_refused_what_aws_refuses() {
    let (world, app) = World::blue_green();
    let aws_stand_in = AwsStandIn::start(world).await;
    let endpoint = aws_stand_in.endpoint();
    let good = forward(&[(&app.blue, 90), (&app.green, 10)]);
    let bad = forward(&[(&app.blue, 1000), (&app.green, 0)]);
    let modify_rule =
        |actions: &str| aws(&endpoint, &["elbv2", "modify-rule", "--rule-arn", &app.rule, "--actions", actions]);

    let listener = ["elbv2", "modify-listener", "--listener-arn", &app.listener, "--default-actions", &good];
    let answer = aws(&endpoint, &listener).unwrap();
    assert_eq!(answer["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][1]["Weight"], 10);
    assert_eq!(weights(&endpoint, &app.listener), [90, 10]);
    assert_eq!(weights(&endpoint, &app.rule), [100, 0]);
    modify_rule(&good).unwrap();
    assert_eq!(weights(&endpoint, &app.rule), [90, 10]);

    let refused = modify_rule(&bad).unwrap_err();
    assert!(refused.contains("(ValidationError) when calling the ModifyRule operation"), "{refused}");
    let gone = format!("{}0", app.rule);
    let refused = aws(&endpoint, &["elbv2", "describe-rules", "--rule-arns", &gone]).unwrap_err();
    assert!(refused.contains("(RuleNotFound) when calling the DescribeRules operation"), "{refused}");
}

#[tokio::test]
async fn the_cli_reads_health_metrics_alarms_and_identity() {
    let (world, app) = World::blue_green();
    let aws_stand_in = AwsStandIn::start(world).await;
    let endpoint = aws_stand_in.endpoint();
    let health = ["elbv2", "describe-target-health", "--target-group-arn", &app.green];
    let answer = aws(&endpoint, &health).unwrap();
    assert_eq!(answer["TargetHealthDescriptions"][0]["TargetHealth"]["State"], "healthy");

    let minute = aws_stand_in.now() / 60_000 * 60_000;
    let key = MetricKey::alb("RequestCount", &[("LoadBalancer", dimension(&app.load_balancer))]);
    aws_stand_in.push(key, minute, 1.0, 42.0);
    let metric = json!({"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount",
        "Dimensions": [{"Name": "LoadBalancer", "Value": dimension(&app.load_balancer)}]});
    let queries = json!([{"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}]).to_string();
    let (start, end) = ((minute / 1000 - 300).to_string(), (minute / 1000 + 60).to_string());
    let data = ["cloudwatch", "get-metric-data", "--start-time", &start, "--end-time", &end];
    let data = aws(&endpoint, &[&data[..], &["--metric-data-queries", &queries]].concat()).unwrap();
    assert_eq!(data["MetricDataResults"][0]["Values"], json!([42.0]));
    assert_eq!(data["MetricDataResults"][0]["StatusCode"], "Complete");

    aws_stand_in.edit(&Edit::SetAlarm { name: "latency".to_owned(), state: "ALARM".to_owned() });
    let alarms = aws(&endpoint, &["cloudwatch", "describe-alarms", "--alarm-names", "latency", "none"]).unwrap();
    assert_eq!(alarms["MetricAlarms"].as_array().unwrap().len(), 1);
    assert_eq!(alarms["MetricAlarms"][0]["StateValue"], "ALARM");
    let identity = aws(&endpoint, &["sts", "get-caller-identity"]).unwrap();
    assert_eq!(identity["Account"], "123456789012");
}

/// The stand-in as a program; a whole `cargo test` builds it, a narrow one may find an old one or none.
fn stand_in_program() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/aws_stand_in");
    let built = std::fs::metadata(&path).and_then(|data| data.modified());
    let sources = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws_stand_in")).unwrap();
    let newest = sources.map(|file| file.unwrap().metadata().unwrap().modified().unwrap()).max();
    assert!(
        built.is_ok_and(|built| Some(built) >= newest),
        "the stand-in is not built from its present sources; run: cargo build --example aws_stand_in"
    );
    path
}

#[tokio::test]
async fn the_program_is_seeded_from_a_document_and_told_what_goes_wrong() {
    let (world, app) = World::blue_green();
    let folder = TempDir::new().unwrap();
    let (document, log) = (folder.path().join("world.json"), folder.path().join("log"));
    std::fs::write(&document, serde_json::to_vec(&world).unwrap()).unwrap();
    let port = free_port();
    let mut command = Command::new(stand_in_program());
    command.args(["--port", &port.to_string(), "--world"]).arg(&document);
    let mut program = Program::start("aws_stand_in", &mut command, &log);
    program.wait_for(port, &log);
    let endpoint = format!("http://127.0.0.1:{port}");
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let admin = |path: &str| format!("{endpoint}/_stand_in/{path}");

    let fault = json!({"operation": "DescribeRules", "fault": {"kind": "access_denied"}, "times": 1});
    assert!(http.post(admin("faults")).json(&fault).send().await.unwrap().status().is_success());
    let denied = aws(&endpoint, &["elbv2", "describe-rules", "--rule-arns", &app.rule]).unwrap_err();
    assert!(denied.contains("(AccessDenied)"), "{denied}");

    let edit = json!({"kind": "set_weights", "rule": app.rule, "weights": {&app.green: 7}});
    assert!(http.post(admin("before/DescribeRules")).json(&edit).send().await.unwrap().status().is_success());
    assert_eq!(weights(&endpoint, &app.rule), [100, 7]);

    let traffic = json!({"rule": app.listener, "requests_per_second": 50.0, "began_ms_ago": 600_000});
    assert!(http.post(admin("traffic")).json(&traffic).send().await.unwrap().status().is_success());
    let query = format!("weights?rule={}", app.rule);
    let seen: Value = http.get(admin(&query)).send().await.unwrap().json().await.unwrap();
    assert_eq!((&seen["live"][&app.green], seen["history"].as_array().map(Vec::len)), (&json!(7), Some(2)));
    let requests: Value = http.get(admin("requests?after=1")).send().await.unwrap().json().await.unwrap();
    assert_eq!(requests.as_array().unwrap().len(), 1);
    assert_eq!(requests[0]["outcome"], "answered");
    let odd = http.post(admin("settings")).json(&json!({"throttel": true})).send().await.unwrap();
    assert_eq!(odd.status(), 400, "a setting that does not exist");
    assert!(http.get(admin("world")).send().await.unwrap().json::<World>().await.is_ok());
}
