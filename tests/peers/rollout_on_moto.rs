//! Whole rollouts: Elastic Load Balancing by moto, CloudWatch by our stand-in, looked at with the AWS CLI.
//!
//! moto moves no traffic, so a mirror copies its weights into the stand-in, whose traffic leaves the metrics.

use crate::aws_cli::{aws, weights};
use crate::aws_stand_in::{AwsStandIn, Behaviour, Edit, Publishing, Traffic, World};
use crate::greenshift::{Endpoints, Greenshift};
use crate::microburst::Microburst;
use crate::moto::Moto;
use crate::sdk_on_moto::client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Everything that a rollout needs.
struct Stage {
    moto: Moto,
    metrics: Arc<AwsStandIn>,
    _mirror: JoinSet<()>,
}

impl Stage {
    async fn set() -> Self {
        let moto = Moto::start();
        let mut world = World::around(&moto.app, 2);
        world.settings.high_resolution = true;
        let metrics = Arc::new(AwsStandIn::start(world).await);
        for (rule, rate, seed) in [(&moto.app.listener, 6000.0, 1), (&moto.app.rule, 2000.0, 2)] {
            let mut traffic = Traffic::steady(rule, rate, metrics.now() - 300_000);
            traffic.publishing = Publishing { period_ms: 1000, lag_ms: 300, ..Publishing::default() };
            traffic.seed = seed;
            metrics.traffic(traffic);
        }
        let mut mirror = JoinSet::new();
        mirror.spawn(copy_weights(moto.endpoint.clone(), moto.app.listener.clone(), Arc::clone(&metrics)));
        mirror.spawn(copy_weights(moto.endpoint.clone(), moto.app.rule.clone(), Arc::clone(&metrics)));
        Self { moto, metrics, _mirror: mirror }
    }

    fn greenshift(&self) -> Greenshift {
        self.greenshift_through(&self.moto.endpoint)
    }

    fn greenshift_through(&self, elbv2: &str) -> Greenshift {
        Greenshift::start(Endpoints { elbv2: elbv2.to_owned(), others: self.metrics.endpoint() })
    }

    fn document(&self) -> Value {
        let app = &self.moto.app;
        json!({
            "name": "web",
            "route": {"alb": {
                "rules": [app.listener, app.rule],
                "blue_target_group": app.blue,
                "green_target_group": app.green,
            }},
            "steps": [
                {"weight": "10%", "hold": "3s"},
                {"weight": "50%", "hold": "3s"},
                {"weight": "100%"},
            ],
            "bake": "3s",
            "analysis": {"interval": "1s", "settle": "2s"},
        })
    }

    /// The weights of both rules, by the CLI.
    fn weights(&self) -> [Vec<i64>; 2] {
        [weights(&self.moto.endpoint, &self.moto.app.listener), weights(&self.moto.endpoint, &self.moto.app.rule)]
    }

    /// Green's shares of the listener, in thousandths, one after the other, as the mirror saw them.
    fn shares(&self) -> Vec<i64> {
        let app = &self.moto.app;
        let share = |(_, (blue, green)): (i64, (i64, i64))| green * 1000 / (blue + green);
        let mut shares: Vec<i64> = self.metrics.splits(&app.listener, app).into_iter().map(share).collect();
        shares.dedup();
        shares
    }

    /// The group stickiness of the listener, by the CLI.
    fn stickiness(&self) -> Value {
        let arguments = ["elbv2", "describe-listeners", "--listener-arns", &self.moto.app.listener];
        let answer = aws(&self.moto.endpoint, &arguments).unwrap();
        answer["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"].clone()
    }
}

/// Copies the weights of a rule or listener in moto into the stand-in, for ever.
async fn copy_weights(endpoint: String, arn: String, to: Arc<AwsStandIn>) {
    let elb = client(&endpoint).await;
    let mut last = Vec::new();
    loop {
        let actions = if arn.contains(":listener/") {
            let answer = elb.describe_listeners().listener_arns(&arn).send().await;
            answer.ok().map(|answer| answer.listeners()[0].default_actions().to_vec())
        } else {
            let answer = elb.describe_rules().rule_arns(&arn).send().await;
            answer.ok().map(|answer| answer.rules()[0].actions().to_vec())
        };
        let config = actions.iter().flatten().find_map(|action| action.forward_config());
        let seen: Vec<(String, i64)> = config
            .iter()
            .flat_map(|config| config.target_groups())
            .map(|it| (it.target_group_arn().unwrap().to_owned(), i64::from(it.weight().unwrap())))
            .collect();
        if !seen.is_empty() && seen != last {
            last.clone_from(&seen);
            to.edit(&Edit::SetWeights { rule: arn.clone(), weights: seen.into_iter().collect() });
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_green_gets_all_traffic() {
    let stage = Stage::set().await;
    let greenshift = stage.greenshift();
    greenshift.apply(&stage.document());
    greenshift.wait_for("web", "completed").await;
    assert_eq!(stage.weights(), [[0, 100], [0, 100]]);
    assert_eq!(stage.shares(), [0, 100, 500, 1000], "every step, once, in order");
    assert_eq!(stage.stickiness(), json!({"Enabled": true, "DurationSeconds": 5}));
    let watched = greenshift.cli(&["watch", "web", "--for", "completed", "--timeout", "10s"]);
    assert_eq!(watched.status.code(), Some(0), "{watched:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_green_loses_its_traffic() {
    let stage = Stage::set().await;
    stage.metrics.behave(&stage.moto.app.green, &Behaviour::failing(0.2));
    let greenshift = stage.greenshift();
    greenshift.apply(&stage.document());
    greenshift.wait_for("web", "rolled_back").await;
    assert_eq!(stage.weights(), [[100, 0], [100, 0]]);
    assert_eq!(stage.shares(), [0, 100, 0], "it never got more than the first step");
    let watched = greenshift.cli(&["watch", "web", "--for", "completed", "--timeout", "10s"]);
    assert_eq!(watched.status.code(), Some(3), "{watched:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_reset_and_lost_answers_delay_a_rollout_but_do_not_mislead_it() {
    let stage = Stage::set().await;
    let proxy = Microburst::start(&stage.moto.endpoint);
    let rules = json!([
        {"service": "elbv2", "operation": "ModifyListener", "times": 1, "response": {"abort_frac": 0.0}},
        {"service": "elbv2", "operation": "ModifyRule", "times": 4, "error": {"code": "ThrottlingException"}},
        {"service": "elbv2", "operation": "DescribeRules", "times": 3, "reset": true},
    ]);
    proxy.add(&rules).await;
    let greenshift = stage.greenshift_through(&proxy.endpoint);
    greenshift.apply(&stage.document());
    greenshift.wait_for("web", "completed").await;
    assert_eq!(stage.weights(), [[0, 100], [0, 100]]);
    assert_eq!(stage.shares(), [0, 100, 500, 1000], "a lost answer is no reason to write anything else");
    let fired = proxy.fired().await.to_string();
    for operation in ["ModifyRule", "ModifyListener", "DescribeRules"] {
        assert!(fired.contains(operation), "{operation} did not strike: {fired}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_on_after_its_controller_was_killed() {
    let stage = Stage::set().await;
    let mut greenshift = stage.greenshift();
    greenshift.apply(&stage.document());
    let limit = Duration::from_mins(1);
    greenshift.wait("web", limit, |rollout| rollout["step"] == 1 && rollout["phase"] == "progressing").await;
    greenshift.lose_and_restart();
    greenshift.wait_for("web", "completed").await;
    assert_eq!(stage.shares(), [0, 100, 500, 1000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_made_with_the_cli_is_noticed_and_not_overwritten() {
    let stage = Stage::set().await;
    let mut document = stage.document();
    document["steps"][0]["hold"] = json!("1h");
    let greenshift = stage.greenshift();
    greenshift.apply(&document);
    let limit = Duration::from_mins(1);
    while stage.shares() != [0, 100] {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let app = &stage.moto.app;
    let tuples = json!([{"TargetGroupArn": app.blue, "Weight": 70}, {"TargetGroupArn": app.green, "Weight": 30}]);
    let actions = json!([{"Type": "forward", "Order": 1, "ForwardConfig": {"TargetGroups": tuples}}]).to_string();
    let change = ["elbv2", "modify-rule", "--rule-arn", &app.rule, "--actions", &actions];
    aws(&stage.moto.endpoint, &change).unwrap();
    greenshift.wait("web", limit, |rollout| rollout["hold"]["reason"] == "drift").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.weights()[1], [70, 30]);

    greenshift.ask("web", "abort").await;
    greenshift.wait_for("web", "aborted").await;
    assert_eq!(stage.weights(), [[100, 0], [100, 0]]);
}
