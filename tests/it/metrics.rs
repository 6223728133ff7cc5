//! Names and labels of the metrics: dashboards and alerts hang on them.

use std::time::Duration;

use greenshift::aws::{Call, CallObserver, CallOutcome};
use greenshift::config::rollout::parse;
use greenshift::domain::analysis::CheckAssessment;
use greenshift::domain::check::{CheckJudge, Terms};
use greenshift::domain::event::Verdict;
use greenshift::domain::hold::{Hold, HoldReason};
use greenshift::domain::observation::{Period, RuleSeen, SideCounts};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{Question, Tolerance};
use greenshift::domain::rollout::{Drift, Rollout, VerdictSeen};
use greenshift::telemetry::{Metrics, TickReport};

use super::harness::document;

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
            *last = format!("{last} {{{}}}", labels.join(","));
        }
    }
    lines.retain(|line| line.starts_with("greenshift_"));
    lines.join("\n")
}

#[test]
fn names_and_labels_are_those_of_the_contract() {
    let (metrics, now) = (Metrics::new().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
    let before = Rollout::new(parse("test", &document("payments")).unwrap().spec, now);
    let mut after = before.clone();
    after.phase = Phase::Aborted;
    after.drift = Some(Drift { found: Vec::new(), detail: "theirs".to_owned(), since: now });
    let verdict = Verdict::Failing;
    let seen = VerdictSeen { verdict, reason: "concurrent".to_owned(), detail: "worse".to_owned(), since: now };
    after.verdicts.insert("errors".to_owned(), seen);
    let hold = Hold::new(HoldReason::Finished, "it has ended");
    let assessment = [("errors".to_owned(), worse_than_blue())].into();
    let rule = RuleSeen {
        rule: before.spec.route.rules()[0].clone(),
        blue: 90,
        green: 10,
        green_attached: true,
        structure: String::new(),
        sticky_seconds: None,
    };
    metrics.ticked(&TickReport {
        before: &before,
        after: &after,
        hold: Some(&hold),
        assessment: &assessment,
        route: Some(&[rule]),
        took_s: 0.1,
        lag_s: 0.0,
    });
    metrics.called(Call::elb("ModifyRule"), CallOutcome::Ok, Duration::from_millis(20));
    metrics.served("GET", "/livez", 200, 0.001);
    metrics.present([(&after, Some(&hold))].into_iter());
    let text = metrics.render().unwrap();
    insta::assert_snapshot!("families", families(&text));
    for line in [
        r#"greenshift_check_value{check="errors",rollout="payments",side="green"} 0.1"#,
        r#"greenshift_rollout_weight_ratio{kind="observed",rollout="payments",side="green"} 0.1"#,
        r#"greenshift_rollout_hold{reason="finished",rollout="payments"} 1"#,
        r#"greenshift_rollout_transitions_total{from="pending",rollout="payments",to="aborted"} 1"#,
        r#"greenshift_rollouts{phase="aborted"} 1"#,
        r#"greenshift_drift_detected_total{rollout="payments"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    metrics.forget("payments");
    assert!(!metrics.render().unwrap().contains("payments"), "what was deleted leaves no series");
}

/// What the judge says after one period in which green failed a tenth of its requests and blue none of many.
fn worse_than_blue() -> CheckAssessment {
    let mut judge = CheckJudge::new(&Question::Errors(Tolerance::ERRORS)).unwrap();
    let terms = Terms::new(&Tolerance::ERRORS, 1, 60.0, false);
    let side = |requests, errors| SideCounts { requests, errors, ..SideCounts::default() };
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    let period = Period { start, blue: side(9000, 9), green: side(1000, 100), load_balancer_errors: 0 };
    judge.step(&terms, 0.1, Some(0.5));
    let finding = judge.update(&terms, &period);
    CheckAssessment { verdict: Verdict::Failing, reason: "concurrent", finding, judge, terms: Some(terms) }
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
