//! What exists in the stand-in's account: load balancers, listeners, rules, target groups, alarms, roles.
//!
//! Everything is kept and seeded in AWS's own words: an action is the JSON that `aws elbv2 describe-rules` prints.

use super::clock::Millis;
use super::validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The account that every ARN of the stand-in belongs to.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The region that every ARN of the stand-in lies in.
pub(crate) const REGION: &str = "eu-west-1";

/// Tags or attributes.
pub(crate) type Pairs = BTreeMap<String, String>;

/// An Application Load Balancer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadBalancer {
    /// Its ARN, `…:loadbalancer/app/NAME/ID`.
    pub(crate) arn: String,
    /// Attributes that differ from AWS's defaults.
    #[serde(default)]
    pub(crate) attributes: Pairs,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: Pairs,
}

/// A registered target and the state that its health checks have found while the group is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Instance id or IP address.
    pub(crate) id: String,
    /// The port that it listens on.
    pub(crate) port: u16,
    /// `initial`, `healthy`, `unhealthy`, `draining` or `unavailable`; `unused` is worked out.
    pub(crate) state: String,
}

impl Target {
    /// A healthy target.
    pub(crate) fn healthy(id: &str) -> Self {
        Self { id: id.to_owned(), port: 8443, state: "healthy".to_owned() }
    }
}

/// A target group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetGroup {
    /// Its ARN, `…:targetgroup/NAME/ID`.
    pub(crate) arn: String,
    /// Its registered targets.
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
    /// Attributes that differ from AWS's defaults, such as `stickiness.enabled`.
    #[serde(default)]
    pub(crate) attributes: Pairs,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: Pairs,
    /// Since when some rule names it; its targets are `initial` for a while from then on.
    #[serde(skip)]
    pub(crate) in_use_since: Option<Millis>,
}

/// A listener; its default actions live in its default rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Its ARN, `…:listener/app/NAME/ID/ID`.
    pub(crate) arn: String,
    /// The load balancer that it belongs to.
    pub(crate) load_balancer: String,
    /// `HTTP` or `HTTPS`.
    pub(crate) protocol: String,
    /// The port that it listens on.
    pub(crate) port: u16,
    /// Anything else that AWS answers about it, passed on as it is (`SslPolicy`, `Certificates`, …).
    #[serde(default)]
    pub(crate) extra: Map<String, Value>,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: Pairs,
    /// Its default actions, when seeded; afterwards they are read from its default rule.
    #[serde(default)]
    pub(crate) default_actions: Vec<Value>,
}

impl Listener {
    /// The ARN of its default rule.
    pub(crate) fn default_rule(&self) -> String {
        format!("{}/0000000000000000", self.arn.replacen(":listener/", ":listener-rule/", 1))
    }
}

/// One accepted state of a rule's actions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Version {
    /// When it was accepted.
    pub(crate) at: Millis,
    /// The actions, complete (with secrets).
    pub(crate) actions: Vec<Value>,
}

/// A rule of a listener, its default rule included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Its ARN, `…:listener-rule/app/NAME/ID/ID/ID`.
    pub(crate) arn: String,
    /// The listener that it belongs to.
    pub(crate) listener: String,
    /// `default` or a number.
    pub(crate) priority: String,
    /// Conditions in AWS's form.
    #[serde(default)]
    pub(crate) conditions: Vec<Value>,
    /// Transforms in AWS's form.
    #[serde(default)]
    pub(crate) transforms: Vec<Value>,
    /// The accepted actions in AWS's form.
    pub(crate) actions: Vec<Value>,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: Pairs,
    /// Every accepted state, oldest first.
    #[serde(skip)]
    pub(crate) history: Vec<Version>,
    /// How many times it was described, for alternating stale reads.
    #[serde(skip)]
    pub(crate) reads: u64,
}

impl Rule {
    /// Puts new actions in force.
    pub(crate) fn accept(&mut self, actions: Vec<Value>, at: Millis) {
        self.actions.clone_from(&actions);
        self.history.push(Version { at, actions });
    }

    /// The newest version accepted at or before `at`, and the oldest one if there is none so old.
    pub(crate) fn version_at(&self, at: Millis) -> Option<&Version> {
        self.history.iter().rev().find(|version| version.at <= at).or_else(|| self.history.first())
    }
}

/// A CloudWatch alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alarm {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(crate) state: String,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
    /// A composite alarm is answered in another list.
    #[serde(default)]
    pub(crate) composite: bool,
}

/// A role that may be assumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    /// Its ARN.
    pub(crate) arn: String,
    /// The external id that its trust policy wants.
    #[serde(default)]
    pub(crate) external_id: Option<String>,
}

/// How the account behaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// A change is described this long after it was accepted.
    pub(crate) describe_delay_ms: Millis,
    /// Requests follow a change this long after it was accepted.
    pub(crate) propagation_delay_ms: Millis,
    /// For this long after a change, every second Describe still answers the state before it.
    pub(crate) stale_reads_ms: Millis,
    /// Targets of a group that has just come into use are `initial` for this long.
    pub(crate) initial_ms: Millis,
    /// Whether requests are throttled by token buckets, as AWS does.
    pub(crate) throttle: bool,
    /// Describe operations: burst and refill a second.
    pub(crate) describe_bucket: (f64, f64),
    /// Modify operations: burst and refill a second.
    pub(crate) modify_bucket: (f64, f64),
    /// CloudWatch operations: burst and refill a second.
    pub(crate) cloudwatch_bucket: (f64, f64),
    /// Tag keys that a policy protects: adding or removing one is denied.
    pub(crate) protected_tag_keys: BTreeSet<String>,
    /// The IAM actions that the caller may take, such as `elasticloadbalancing:ModifyRule`; `None`: all.
    pub(crate) allowed_actions: Option<BTreeSet<String>>,
    /// Accept metric periods of 1, 5, 10 and 30 seconds.
    pub(crate) high_resolution: bool,
    /// The most datapoints in one answer of `GetMetricData`.
    pub(crate) max_datapoints: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            describe_delay_ms: 0,
            propagation_delay_ms: 0,
            stale_reads_ms: 0,
            initial_ms: 0,
            throttle: false,
            describe_bucket: (40.0, 10.0),
            modify_bucket: (20.0, 3.0),
            cloudwatch_bucket: (50.0, 50.0),
            protected_tag_keys: BTreeSet::new(),
            allowed_actions: None,
            high_resolution: false,
            max_datapoints: 100_800,
        }
    }
}

/// Everything in the account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct World {
    /// The load balancers.
    pub(crate) load_balancers: Vec<LoadBalancer>,
    /// The target groups.
    pub(crate) target_groups: Vec<TargetGroup>,
    /// The listeners.
    pub(crate) listeners: Vec<Listener>,
    /// The rules; default rules appear by themselves.
    pub(crate) rules: Vec<Rule>,
    /// CloudWatch alarms by name.
    pub(crate) alarms: BTreeMap<String, Alarm>,
    /// Roles that may be assumed.
    pub(crate) roles: Vec<Role>,
    /// How it behaves.
    pub(crate) settings: Settings,
}

impl World {
    /// An empty account.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Makes the default rules and brings every action into the form that AWS answers.
    ///
    /// Fails with the reason when a seeded action breaks AWS's rules.
    pub(crate) fn settle(&mut self, now: Millis) -> Result<(), String> {
        for listener in &mut self.listeners {
            let arn = listener.default_rule();
            if self.rules.iter().any(|rule| rule.arn == arn) {
                continue;
            }
            self.rules.push(Rule {
                arn,
                listener: listener.arn.clone(),
                priority: "default".to_owned(),
                conditions: Vec::new(),
                transforms: Vec::new(),
                actions: std::mem::take(&mut listener.default_actions),
                tags: Pairs::new(),
                history: Vec::new(),
                reads: 0,
            });
        }
        for index in 0..self.rules.len() {
            let rule = &self.rules[index];
            let actions = validate::actions(self, rule, &rule.actions, validate::Origin::Seed)
                .map_err(|error| format!("{}: {}: {}", rule.arn, error.code, error.message))?;
            self.rules[index].history.clear();
            self.rules[index].accept(actions, now);
        }
        self.note_use(now);
        for group in &mut self.target_groups {
            // what is in use from the start has had its first health checks
            group.in_use_since = group.in_use_since.map(|_| Millis::MIN / 2);
        }
        Ok(())
    }

    /// Notes which target groups have just come into use, and which are no longer.
    pub(crate) fn note_use(&mut self, now: Millis) {
        let used: BTreeSet<String> = self.rules.iter().flat_map(|rule| group_arns(&rule.actions)).collect();
        for group in &mut self.target_groups {
            group.in_use_since = if used.contains(&group.arn) { group.in_use_since.or(Some(now)) } else { None };
        }
    }

    /// The rule with this ARN, or the default rule of the listener with this ARN.
    pub(crate) fn rule(&self, arn: &str) -> Option<&Rule> {
        let arn = self.listener(arn).map_or_else(|| arn.to_owned(), Listener::default_rule);
        self.rules.iter().find(|rule| rule.arn == arn)
    }

    /// As [`Self::rule`], to change it.
    pub(crate) fn rule_mut(&mut self, arn: &str) -> Option<&mut Rule> {
        let arn = self.listener(arn).map_or_else(|| arn.to_owned(), Listener::default_rule);
        self.rules.iter_mut().find(|rule| rule.arn == arn)
    }

    /// The listener with this ARN.
    pub(crate) fn listener(&self, arn: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.arn == arn)
    }

    /// The target group with this ARN.
    pub(crate) fn group(&self, arn: &str) -> Option<&TargetGroup> {
        self.target_groups.iter().find(|group| group.arn == arn)
    }

    /// As [`Self::group`], to change it.
    pub(crate) fn group_mut(&mut self, arn: &str) -> Option<&mut TargetGroup> {
        self.target_groups.iter_mut().find(|group| group.arn == arn)
    }

    /// The load balancers whose rules name this target group.
    pub(crate) fn balancers_of(&self, group: &str) -> BTreeSet<String> {
        self.rules
            .iter()
            .filter(|rule| group_arns(&rule.actions).iter().any(|arn| arn == group))
            .filter_map(|rule| self.listener(&rule.listener))
            .map(|listener| listener.load_balancer.clone())
            .collect()
    }

    /// The state and reason of a target as `DescribeTargetHealth` answers them.
    pub(crate) fn target_state(&self, group: &TargetGroup, target: &Target, now: Millis) -> (String, &'static str) {
        let Some(since) = group.in_use_since else {
            return ("unused".to_owned(), "Target.NotInUse");
        };
        if target.state == "healthy" && now < since + self.settings.initial_ms {
            return ("initial".to_owned(), "Elb.InitialHealthChecking");
        }
        let reason = match target.state.as_str() {
            "initial" => "Elb.RegistrationInProgress",
            "unhealthy" => "Target.FailedHealthChecks",
            "draining" => "Target.DeregistrationInProgress",
            "unavailable" => "Target.HealthCheckDisabled",
            _ => "",
        };
        (target.state.clone(), reason)
    }

    /// Whether anything has this ARN.
    pub(crate) fn tags_mut(&mut self, arn: &str) -> Option<&mut Pairs> {
        let Self { load_balancers, target_groups, listeners, rules, .. } = self;
        let balancers = load_balancers.iter_mut().map(|it| (&it.arn, &mut it.tags));
        let groups = target_groups.iter_mut().map(|it| (&it.arn, &mut it.tags));
        let listeners = listeners.iter_mut().map(|it| (&it.arn, &mut it.tags));
        let rules = rules.iter_mut().map(|it| (&it.arn, &mut it.tags));
        balancers.chain(groups).chain(listeners).chain(rules).find(|(own, _)| *own == arn).map(|(_, tags)| tags)
    }
}

/// The target groups that forward actions name, in order.
pub(crate) fn group_arns(actions: &[Value]) -> Vec<String> {
    weights(actions).into_iter().map(|(arn, _)| arn).collect()
}

/// The target groups and weights of the forward action, in order.
pub(crate) fn weights(actions: &[Value]) -> Vec<(String, i64)> {
    let tuples = actions.iter().filter_map(|action| {
        let plain = action.get("TargetGroupArn").map(|arn| json!([{"TargetGroupArn": arn}]));
        action.pointer("/ForwardConfig/TargetGroups").cloned().or(plain)
    });
    let tuples: Vec<Value> = tuples.flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect();
    tuples
        .iter()
        .filter_map(|tuple| {
            let weight = tuple.get("Weight").and_then(Value::as_i64).unwrap_or(1);
            Some((tuple.get("TargetGroupArn")?.as_str()?.to_owned(), weight))
        })
        .collect()
}

/// The part of an ARN after its account: what CloudWatch uses as a dimension.
pub(crate) fn dimension(arn: &str) -> &str {
    let tail = arn.rsplit(':').next().unwrap_or(arn);
    tail.strip_prefix("loadbalancer/").unwrap_or(tail)
}
