//! The stand-in goes wrong in the ways that a test asks for, and its log proves what was asked of it.

use crate::aws_stand_in::untouched::violations;
use crate::aws_stand_in::world::Role;
use crate::aws_stand_in::{
    Allowed, AwsStandIn, BlueGreen, Edit, Fault, FaultRule, Outcome, World, assert_untouched_but_weights,
};
use crate::aws_stand_in_rules::{forward, sdk};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::timeout::TimeoutConfig;
use aws_sdk_elasticloadbalancingv2::error::SdkError;
use aws_sdk_elasticloadbalancingv2::types::{RuleCondition, Tag};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::time::{Duration, Instant};

struct Setup {
    aws: AwsStandIn,
    app: BlueGreen,
    elb: Client,
}

async fn started() -> Setup {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start_at(world, 1_800_000_000_000).await;
    let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_millis(700)).build();
    let config = sdk(&aws).await.into_builder().timeout_config(timeouts).build();
    let elb = Client::new(&config);
    Setup { aws, app, elb }
}

impl Setup {
    /// Sets the rule to blue/green; the error is its code, or what became of the connection.
    async fn set(&self, blue: i32, green: i32) -> Result<(), String> {
        let action = forward(&[(&self.app.blue, blue), (&self.app.green, green)]);
        let sent = self.elb.modify_rule().rule_arn(&self.app.rule).actions(action).send().await;
        sent.map(drop).map_err(|error| {
            let text = format!("{error:?}");
            if matches!(error, SdkError::TimeoutError(_)) {
                "timed out".to_owned()
            } else if matches!(error, SdkError::DispatchFailure(_)) {
                if text.contains("ConnectionReset") { "reset".to_owned() } else { "closed".to_owned() }
            } else if matches!(error, SdkError::ResponseError(_)) {
                "cut".to_owned()
            } else {
                error.code().unwrap_or_default().to_owned()
            }
        })
    }

    async fn seen(&self) -> Result<Vec<i32>, String> {
        let answer = self.elb.describe_rules().rule_arns(&self.app.rule).send().await;
        let answer = answer.map_err(|error| error.code().unwrap_or_default().to_owned())?;
        let config = answer.rules()[0].actions()[0].forward_config().unwrap();
        Ok(config.target_groups().iter().map(|tuple| tuple.weight().unwrap()).collect())
    }

    fn split(&self) -> (i64, i64) {
        self.aws.split(&self.app.rule, &self.app)
    }

    fn last_outcome(&self) -> Outcome {
        self.aws.requests().last().unwrap().outcome.clone()
    }
}

#[tokio::test]
async fn a_request_can_be_lost_on_the_way_there() {
    for (fault, seen) in [(Fault::Reset, "reset"), (Fault::Hang, "timed out")] {
        let setup = started().await;
        setup.aws.fault_times("ModifyRule", fault.clone(), 1);
        assert_eq!(setup.set(90, 10).await, Err(seen.to_owned()), "{fault:?}");
        assert_eq!(setup.last_outcome(), Outcome::NeverArrived);
        assert_eq!(setup.split(), (100, 0));
        assert_eq!(setup.set(90, 10).await, Ok(()), "only once");
    }
}

#[tokio::test]
async fn a_request_can_be_carried_out_and_its_answer_lost() {
    let cases = [
        (Fault::LoseAnswer, "closed"),
        (Fault::ApplyThenHang, "timed out"),
        (Fault::CutAnswer { bytes: 20 }, "closed"),
        (Fault::CutAnswer { bytes: 400 }, "cut"),
    ];
    for (fault, seen) in cases {
        let setup = started().await;
        setup.aws.fault_times("Modify*", fault.clone(), 1);
        assert_eq!(setup.set(90, 10).await, Err(seen.to_owned()), "{fault:?}");
        assert_eq!(setup.last_outcome(), Outcome::AnswerLost);
        assert_eq!(setup.split(), (90, 10));
        assert_eq!(setup.seen().await, Ok(vec![90, 10]));
    }
}

#[tokio::test]
async fn a_request_can_be_refused() {
    let setup = started().await;
    let cases = [
        (Fault::Throttle, "ThrottlingException"),
        (Fault::AccessDenied, "AccessDenied"),
        (Fault::InternalFailure, "InternalFailure"),
        (Fault::Unavailable, "ServiceUnavailable"),
        (Fault::Refuse { code: "TooManyActions".to_owned(), status: 400 }, "TooManyActions"),
    ];
    for (fault, code) in cases {
        setup.aws.fault_times("ModifyRule", fault, 1);
        assert_eq!(setup.set(90, 10).await, Err(code.to_owned()));
        assert_eq!(setup.last_outcome(), Outcome::Refused(code.to_owned()));
    }
    assert_eq!(setup.split(), (100, 0));
    setup.aws.set_fault("*", Fault::Throttle);
    assert_eq!(setup.seen().await, Err("ThrottlingException".to_owned()));
    setup.aws.clear_faults();
    assert_eq!(setup.seen().await, Ok(vec![100, 0]));
}

#[tokio::test]
async fn a_fault_can_wait_and_can_be_a_matter_of_chance() {
    let setup = started().await;
    setup.aws.fault(FaultRule::times("DescribeRules", Fault::Unavailable, 1).after(2));
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(setup.seen().await.is_ok());
    }
    assert_eq!(answers, [true, true, false, true]);
    setup.aws.fault(FaultRule::always("DescribeRules", Fault::Unavailable).with_probability(0.5));
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(setup.seen().await.is_err());
    }
    assert!((8..=32).contains(&failed), "{failed} of 40");
}

#[tokio::test]
async fn answers_and_requests_can_be_late() {
    let setup = started().await;
    for fault in [Fault::AnswerLate { ms: 200 }, Fault::ArriveLate { ms: 200 }] {
        setup.aws.fault_times("DescribeRules", fault, 1);
        let before = Instant::now();
        assert_eq!(setup.seen().await, Ok(vec![100, 0]));
        assert!(before.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn a_request_can_arrive_twice() {
    let setup = started().await;
    setup.aws.fault_times("ModifyRule", Fault::ApplyTwice, 1);
    assert_eq!(setup.set(90, 10).await, Ok(()));
    assert_eq!(setup.aws.count("ModifyRule"), 2);
    assert_eq!(setup.aws.splits(&setup.app.rule, &setup.app).len(), 3);
}

#[tokio::test]
async fn a_change_is_seen_and_followed_later_than_it_is_accepted() {
    let setup = started().await;
    setup.aws.settings(|settings| {
        settings.describe_delay_ms = 1_000;
        settings.stale_reads_ms = 5_000;
    });
    setup.aws.advance(10_000);
    assert_eq!(setup.set(90, 10).await, Ok(()));
    setup.aws.advance(500);
    assert_eq!(setup.seen().await, Ok(vec![100, 0]));
    setup.aws.advance(1_000);
    let reads = [setup.seen().await, setup.seen().await, setup.seen().await];
    assert!(reads.contains(&Ok(vec![90, 10])) && reads.contains(&Ok(vec![100, 0])), "{reads:?}");
    setup.aws.advance(5_000);
    assert_eq!(setup.seen().await, Ok(vec![90, 10]));
    setup.aws.fault_times("DescribeRules", Fault::StaleRead, 1);
    assert_eq!(setup.seen().await, Ok(vec![100, 0]));
}

#[tokio::test]
async fn an_action_that_no_policy_allows_is_denied() {
    let setup = started().await;
    let policy = ["elasticloadbalancing:DescribeRules".to_owned()];
    setup.aws.settings(|settings| settings.allowed_actions = Some(policy.into()));
    assert_eq!(setup.seen().await, Ok(vec![100, 0]));
    assert_eq!(setup.set(90, 10).await, Err("AccessDenied".to_owned()));
    assert_eq!(setup.split(), (100, 0));
    let sts = aws_sdk_sts::Client::new(&sdk(&setup.aws).await);
    assert!(sts.get_caller_identity().send().await.is_ok());
    let asked: Vec<String> = setup.aws.actions().into_iter().collect();
    let expected = ["elasticloadbalancing:DescribeRules", "elasticloadbalancing:ModifyRule", "sts:GetCallerIdentity"];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn token_buckets_throttle_and_refill() {
    let setup = started().await;
    setup.aws.settings(|settings| settings.throttle = true);
    assert_eq!(setup.set(90, 10).await, Ok(()));
    setup.aws.advance(60_000);
    for number in 0..20 {
        assert_eq!(setup.set(90, 10).await, Ok(()), "{number}");
    }
    assert_eq!(setup.set(90, 10).await, Err("ThrottlingException".to_owned()));
    assert_eq!(setup.seen().await, Ok(vec![90, 10]), "reading has a bucket of its own");
    setup.aws.advance(1_000);
    let mut passed = 0;
    for _ in 0..6 {
        passed += usize::from(setup.set(80, 20).await.is_ok());
    }
    assert_eq!(passed, 3);
}

#[tokio::test]
async fn somebody_else_can_write_between_a_read_and_a_write() {
    let setup = started().await;
    let weights = [(setup.app.blue.clone(), 70), (setup.app.green.clone(), 30)].into();
    setup.aws.before_next("ModifyRule", Edit::SetWeights { rule: setup.app.rule.clone(), weights });
    assert_eq!(setup.seen().await, Ok(vec![100, 0]));
    assert_eq!(setup.set(90, 10).await, Ok(()));
    let splits: Vec<_> = setup.aws.splits(&setup.app.rule, &setup.app).into_iter().map(|(_, split)| split).collect();
    assert_eq!(splits, [(100, 0), (70, 30), (90, 10)]);
    let change = setup.aws.modifications()[0].change.clone().unwrap();
    assert_eq!(change.before["Actions"][0]["ForwardConfig"]["TargetGroups"][1]["Weight"], 30);
    setup.aws.before_next("ModifyRule", Edit::DeleteRule { rule: setup.app.rule.clone() });
    assert_eq!(setup.set(90, 10).await, Err("RuleNotFound".to_owned()));
}

#[tokio::test]
async fn the_log_tells_who_asked_for_what() {
    let (mut world, _) = World::blue_green();
    let role = |name: &str, external_id: Option<&str>| Role {
        arn: format!("arn:aws:iam::123456789012:role/{name}"),
        external_id: external_id.map(str::to_owned),
    };
    world.roles.extend([role("open", None), role("guarded", Some("abc"))]);
    let aws = AwsStandIn::start(world).await;
    let sts = aws_sdk_sts::Client::new(&sdk(&aws).await);
    let identity = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("123456789012"));
    let assume = |name: &str| sts.assume_role().role_arn(role(name, None).arn).role_session_name("greenshift");
    let given = assume("open").send().await.unwrap();
    assert_eq!(given.credentials().unwrap().access_key_id(), "ASIAOPEN");
    assert!(given.credentials().unwrap().expiration().as_secs_f64() * 1000.0 > aws.now() as f64);
    assert!(assume("guarded").external_id("abc").send().await.is_ok());
    for denied in [assume("guarded"), assume("guarded").external_id("x"), assume("none")] {
        assert_eq!(denied.send().await.unwrap_err().code(), Some("AccessDenied"));
    }
    let requests = aws.requests();
    assert_eq!(requests[1].operation, "AssumeRole");
    assert_eq!(requests[1].params["RoleSessionName"], "greenshift");
    assert_eq!(requests[1].access_key, "AKIATEST");
    assert_eq!(requests.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn the_log_proves_that_only_weights_were_changed() {
    let setup = started().await;
    let resources = [setup.app.rule.as_str(), setup.app.listener.as_str()];
    let groups = [setup.app.blue.as_str(), setup.app.green.as_str()];
    let allowed =
        Allowed { resources: &resources, groups: &groups, stickiness: false, tag_keys: &["greenshift:owner"] };
    setup.set(90, 10).await.unwrap();
    let tag = Tag::builder().key("greenshift:owner").value("a").build();
    setup.elb.add_tags().resource_arns(&setup.app.rule).tags(tag).send().await.unwrap();
    assert_untouched_but_weights(&setup.aws.modifications(), &allowed);

    let only_blue = Allowed { groups: &groups[..1], ..allowed.clone() };
    assert_eq!(violations(&setup.aws.modifications(), &only_blue).len(), 1);
    let elsewhere = Allowed { resources: &resources[1..], ..allowed.clone() };
    assert_eq!(violations(&setup.aws.modifications(), &elsewhere).len(), 2);
    let no_tags = Allowed { tag_keys: &[], ..allowed.clone() };
    assert_eq!(violations(&setup.aws.modifications(), &no_tags).len(), 1);

    let host = RuleCondition::builder().field("host-header").values("example").build();
    let action = forward(&[(&setup.app.green, 10)]);
    setup.elb.modify_rule().rule_arn(&setup.app.rule).conditions(host).actions(action).send().await.unwrap();
    let found = violations(&setup.aws.modifications(), &allowed).join("\n");
    assert!(found.contains("sends Conditions"), "{found}");
    assert!(found.contains("/Conditions/0/Field was \"path-pattern\", is \"host-header\""), "{found}");
    assert!(found.contains("/Actions/0/ForwardConfig/TargetGroups was"), "{found}");
}
