//! A typical world, ready to start.

use super::world::{ACCOUNT, Listener, LoadBalancer, Pairs, REGION, Rule, Target, TargetGroup, World};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The ARNs of a typical blue/green set-up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct BlueGreen {
    /// The load balancer.
    pub(crate) load_balancer: String,
    /// Its HTTPS listener, whose default action forwards to both groups.
    pub(crate) listener: String,
    /// A rule of the listener (priority 10, path `/sign/*`) that forwards to both groups.
    pub(crate) rule: String,
    /// The group that has the traffic at first.
    pub(crate) blue: String,
    /// The group that is to get it.
    pub(crate) green: String,
}

/// An ARN of Elastic Load Balancing in the stand-in's account.
pub(crate) fn arn(tail: &str) -> String {
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{tail}")
}

/// A forward action over some target groups, in AWS's form, without stickiness.
pub(crate) fn forward(weights: &[(&str, i64)]) -> Value {
    let groups: Vec<Value> =
        weights.iter().map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight})).collect();
    json!({"Type": "forward", "Order": 1, "ForwardConfig": {"TargetGroups": groups}})
}

impl World {
    /// [`World::around`] an application with this name.
    pub(crate) fn blue_green_of(name: &str, targets: usize) -> (Self, BlueGreen) {
        let arns = BlueGreen {
            load_balancer: arn(&format!("loadbalancer/app/{name}/50dc6c495c0c9188")),
            listener: arn(&format!("listener/app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2")),
            rule: arn(&format!("listener-rule/app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee")),
            blue: arn(&format!("targetgroup/{name}-blue/73e2d6bc24d8a067")),
            green: arn(&format!("targetgroup/{name}-green/09966783158cda59")),
        };
        (Self::around(&arns, targets), arns)
    }

    /// One load balancer with an HTTPS listener; its default action and one rule forward 100/0 to blue and
    /// green; `targets` healthy targets in each group.
    pub(crate) fn around(arns: &BlueGreen, targets: usize) -> Self {
        let mut world = Self::new();
        world.load_balancers.push(LoadBalancer {
            arn: arns.load_balancer.clone(),
            attributes: Pairs::new(),
            tags: Pairs::new(),
        });
        for (group, net) in [(&arns.blue, 1), (&arns.green, 2)] {
            world.target_groups.push(TargetGroup {
                arn: group.clone(),
                targets: (0..targets).map(|host| Target::healthy(&format!("10.0.{net}.{}", host + 10))).collect(),
                attributes: Pairs::new(),
                tags: Pairs::new(),
                in_use_since: None,
            });
        }
        let action = forward(&[(&arns.blue, 100), (&arns.green, 0)]);
        world.listeners.push(Listener {
            arn: arns.listener.clone(),
            load_balancer: arns.load_balancer.clone(),
            protocol: "HTTPS".to_owned(),
            port: 443,
            extra: Map::from_iter([("SslPolicy".to_owned(), json!("ELBSecurityPolicy-TLS13-1-2-2021-06"))]),
            tags: Pairs::new(),
            default_actions: vec![action.clone()],
        });
        let path = json!({"Field": "path-pattern", "Values": ["/sign/*"],
            "PathPatternConfig": {"Values": ["/sign/*"]}});
        world.rules.push(Rule::seeded(&arns.rule, &arns.listener, "10", vec![path], vec![action]));
        world
    }

    /// [`World::blue_green_of`] an application named `web` with two targets in each group.
    pub(crate) fn blue_green() -> (Self, BlueGreen) {
        Self::blue_green_of("web", 2)
    }
}

impl Rule {
    /// A rule to seed a world with.
    pub(crate) fn seeded(
        arn: &str,
        listener: &str,
        priority: &str,
        conditions: Vec<Value>,
        actions: Vec<Value>,
    ) -> Self {
        Self {
            arn: arn.to_owned(),
            listener: listener.to_owned(),
            priority: priority.to_owned(),
            conditions,
            transforms: Vec::new(),
            actions,
            tags: Pairs::new(),
            history: Vec::new(),
            reads: 0,
        }
    }
}
