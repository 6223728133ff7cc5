//! Traffic that follows the live weights of a rule and leaves the metrics that an ALB would publish.
//!
//! Requests arrive as a Poisson process; each goes to a target group by the weights that are live in that
//! second, and ends as 2xx, 3xx, 4xx, 5xx, a failed connection, or without an answer. Thinning a Poisson
//! process gives independent Poisson counts, so every class is drawn by itself and the total is exact.

use super::clock::Millis;
use super::metric_store::{MetricKey, MetricStore, Point};
use super::random::{log_normal, poisson};
use super::world::{World, dimension, weights};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a target group serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// Share of requests answered with 5xx by a target.
    pub(crate) errors_5xx: f64,
    /// Share of requests answered with 4xx by a target.
    pub(crate) errors_4xx: f64,
    /// Share of requests answered with 3xx by a target.
    pub(crate) redirects_3xx: f64,
    /// Share of requests whose connection to the target fails (the load balancer answers 502).
    pub(crate) connection_errors: f64,
    /// Share of requests that the target never answers (the load balancer answers 504).
    pub(crate) unanswered: f64,
    /// Median response time in seconds.
    pub(crate) latency_s: f64,
    /// Standard deviation of the logarithm of the response time.
    pub(crate) latency_sigma: f64,
    /// Extra share of 5xx while the group gets more than a given share of the traffic.
    pub(crate) overload: Option<Overload>,
}

/// Trouble that only shows under load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overload {
    /// The share of the traffic (0 to 1) above which it shows.
    pub(crate) above: f64,
    /// Share of requests answered with 5xx then, in addition.
    pub(crate) errors_5xx: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            errors_5xx: 0.001,
            errors_4xx: 0.01,
            redirects_3xx: 0.0,
            connection_errors: 0.0,
            unanswered: 0.0,
            latency_s: 0.05,
            latency_sigma: 0.5,
            overload: None,
        }
    }
}

impl Behaviour {
    /// The default but for this share of 5xx.
    pub(crate) fn failing(errors_5xx: f64) -> Self {
        Self { errors_5xx, ..Self::default() }
    }
}

/// A time in which metrics are not published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Silence {
    /// From when on.
    pub(crate) from: Millis,
    /// Until when.
    pub(crate) to: Millis,
    /// Whether everything held back is published at the end, or lost.
    pub(crate) flood: bool,
    /// Only this metric, or all.
    #[serde(default)]
    pub(crate) metric: Option<String>,
    /// Only this target group, or all.
    #[serde(default)]
    pub(crate) group: Option<String>,
}

/// How metrics are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Publishing {
    /// The length of a datapoint: 60 000 for an ALB.
    pub(crate) period_ms: Millis,
    /// A datapoint can be read this long after its end.
    pub(crate) lag_ms: Millis,
    /// This share of every count is published late (0 to 1).
    pub(crate) late_share: f64,
    /// How much later.
    pub(crate) late_ms: Millis,
    /// When nothing is published.
    pub(crate) silences: Vec<Silence>,
}

impl Default for Publishing {
    fn default() -> Self {
        Self { period_ms: 60_000, lag_ms: 0, late_share: 0.0, late_ms: 0, silences: Vec::new() }
    }
}

/// Values that hold from some time on, in order of time.
type Schedule<T> = Vec<(Millis, T)>;

/// The value that holds at `at`.
fn in_force<T>(schedule: &Schedule<T>, at: Millis) -> Option<&T> {
    schedule.iter().filter(|(from, _)| *from <= at).max_by_key(|(from, _)| *from).map(|(_, value)| value)
}

/// Traffic through one rule or listener default action.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    /// The rule or listener whose live weights it follows.
    pub(crate) rule: String,
    /// Requests a second, from some time on.
    pub(crate) rate: Schedule<f64>,
    /// How each target group serves, from some time on; a group without entry serves by default.
    #[serde(default)]
    pub(crate) behaviours: BTreeMap<String, Schedule<Behaviour>>,
    /// Errors of the load balancer itself a second, whatever the groups do.
    #[serde(default)]
    pub(crate) elb_5xx_rate: Schedule<f64>,
    /// How metrics are published.
    #[serde(default)]
    pub(crate) publishing: Publishing,
    /// The share of clients whose cookie keeps them in their group, and for how long.
    #[serde(default)]
    pub(crate) sticky: Option<(f64, Millis)>,
    /// Seed of every draw: the same seed and weights give the same counts.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Everything before this has been generated.
    pub(crate) generated_to: Millis,
}

impl Traffic {
    /// Steady traffic from `start` on.
    pub(crate) fn steady(rule: &str, requests_per_second: f64, start: Millis) -> Self {
        Self {
            rule: rule.to_owned(),
            rate: vec![(Millis::MIN, requests_per_second)],
            behaviours: BTreeMap::new(),
            elb_5xx_rate: Vec::new(),
            publishing: Publishing::default(),
            sticky: None,
            seed: 1,
            generated_to: start,
        }
    }

    /// A group serves in this way from `from` on.
    pub(crate) fn behave(&mut self, group: &str, from: Millis, behaviour: Behaviour) {
        self.behaviours.entry(group.to_owned()).or_default().push((from, behaviour));
    }

    /// Publishes every period that has ended by `now`.
    pub(crate) fn generate(&mut self, world: &World, metrics: &mut MetricStore, now: Millis) {
        let period = self.publishing.period_ms.max(1);
        let mut start = self.generated_to.div_euclid(period) * period;
        if start < self.generated_to {
            start += period;
        }
        while start + period <= now {
            self.publish(world, metrics, start);
            start += period;
        }
        self.generated_to = self.generated_to.max(start);
    }

    /// Each group's share of the traffic at `at` (0 to 1).
    fn shares(&self, world: &World, at: Millis) -> Vec<(String, f64)> {
        let live = |at: Millis| -> Vec<(String, f64)> {
            let version =
                world.rule(&self.rule).and_then(|rule| rule.version_at(at - world.settings.propagation_delay_ms));
            let weights = version.map(|version| weights(&version.actions)).unwrap_or_default();
            let total: i64 = weights.iter().map(|(_, weight)| weight).sum();
            let share = |weight: i64| if total == 0 { 0.0 } else { weight as f64 / total as f64 };
            weights.into_iter().map(|(arn, weight)| (arn, share(weight))).collect()
        };
        let mut shares = live(at);
        if let Some((sticky, age)) = self.sticky {
            let before: BTreeMap<String, f64> = live(at - age).into_iter().collect();
            for (arn, share) in &mut shares {
                *share = *share * (1.0 - sticky) + before.get(arn).copied().unwrap_or(0.0) * sticky;
            }
        }
        shares
    }

    /// Expected requests of each group in the period that starts at `start`.
    fn expected(&self, world: &World, start: Millis) -> BTreeMap<String, f64> {
        let step = self.publishing.period_ms.clamp(1, 1000);
        let mut expected = BTreeMap::new();
        let mut at = start;
        while at < start + self.publishing.period_ms {
            let rate = in_force(&self.rate, at).copied().unwrap_or(0.0);
            for (arn, share) in self.shares(world, at) {
                *expected.entry(arn).or_insert(0.0) += rate * share * step as f64 / 1000.0;
            }
            at += step;
        }
        expected
    }

    fn publish(&self, world: &World, metrics: &mut MetricStore, start: Millis) {
        let expected = self.expected(world, start);
        let total: f64 = expected.values().sum();
        let balancer = world
            .rule(&self.rule)
            .and_then(|rule| world.listener(&rule.listener))
            .map(|listener| dimension(&listener.load_balancer).to_owned())
            .unwrap_or_default();
        let mut publisher = Publisher { traffic: self, metrics, start, balancer, requests: 0, elb_5xx: 0 };
        for (index, (arn, mean)) in expected.iter().enumerate() {
            let draw = (start as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
            let mut rng = StdRng::seed_from_u64(self.seed ^ draw);
            let share = if total > 0.0 { mean / total } else { 0.0 };
            publisher.group(world, &mut rng, arn, *mean, share);
        }
        let own = in_force(&self.elb_5xx_rate, start).copied().unwrap_or(0.0);
        let mut rng = StdRng::seed_from_u64(self.seed ^ (start as u64).rotate_left(17));
        publisher.elb_5xx += poisson(&mut rng, own * self.publishing.period_ms as f64 / 1000.0);
        publisher.balancer();
    }
}

/// Publishes the metrics of one period.
struct Publisher<'a> {
    traffic: &'a Traffic,
    metrics: &'a mut MetricStore,
    start: Millis,
    balancer: String,
    requests: u64,
    elb_5xx: u64,
}

/// At most so many response times are drawn for a period; each then stands for several requests.
const MOST_LATENCIES: u64 = 2000;

impl Publisher<'_> {
    fn group(&mut self, world: &World, rng: &mut StdRng, arn: &str, mean: f64, share: f64) {
        let Some(group) = world.group(arn) else { return };
        let states: Vec<String> = group
            .targets
            .iter()
            .map(|target| world.target_state(group, target, self.start).0)
            .filter(|state| state != "draining")
            .collect();
        let healthy = states.iter().filter(|state| *state == "healthy").count();
        self.value(arn, "HealthyHostCount", healthy as f64);
        self.value(arn, "UnHealthyHostCount", (states.len() - healthy) as f64);
        if states.is_empty() {
            // nowhere to send the requests: the load balancer answers 503, and no target group counts them
            self.elb_5xx += poisson(rng, mean);
            return;
        }
        let schedule = self.traffic.behaviours.get(arn);
        let behaviour = schedule.and_then(|schedule| in_force(schedule, self.start)).cloned().unwrap_or_default();
        let overload = behaviour.overload.as_ref().filter(|overload| share > overload.above);
        let bad = behaviour.errors_5xx + overload.map_or(0.0, |overload| overload.errors_5xx);
        let parts = [
            behaviour.redirects_3xx,
            behaviour.errors_4xx,
            bad.min(1.0),
            behaviour.connection_errors,
            behaviour.unanswered,
        ];
        let good = (1.0 - parts.iter().sum::<f64>()).max(0.0);
        let [redirects, client, server, unconnected, unanswered] = parts.map(|part| poisson(rng, mean * part));
        let fine = poisson(rng, mean * good);
        let answered = fine + redirects + client + server;
        let counts = [
            ("HTTPCode_Target_2XX_Count", fine),
            ("HTTPCode_Target_3XX_Count", redirects),
            ("HTTPCode_Target_4XX_Count", client),
            ("HTTPCode_Target_5XX_Count", server),
            ("TargetConnectionErrorCount", unconnected),
            ("RequestCount", answered + unconnected + unanswered),
        ];
        for (name, count) in counts {
            self.count(Some(arn), name, count);
        }
        self.requests += answered + unconnected + unanswered;
        self.elb_5xx += unconnected + unanswered;
        self.latencies(rng, arn, answered, &behaviour);
    }

    fn latencies(&mut self, rng: &mut StdRng, arn: &str, answered: u64, behaviour: &Behaviour) {
        let draws = answered.min(MOST_LATENCIES);
        if draws == 0 {
            return;
        }
        let times = answered as f64 / draws as f64;
        let values: Vec<(f64, f64)> =
            (0..draws).map(|_| (log_normal(rng, behaviour.latency_s, behaviour.latency_sigma), times)).collect();
        let late = (draws as f64 * self.traffic.publishing.late_share) as usize;
        let (late, early) = values.split_at(late);
        self.push(Some(arn), "TargetResponseTime", early.to_vec(), 0);
        self.push(Some(arn), "TargetResponseTime", late.to_vec(), self.traffic.publishing.late_ms);
    }

    fn balancer(&mut self) {
        let (requests, errors) = (self.requests, self.elb_5xx);
        self.count(None, "RequestCount", requests);
        self.count(None, "HTTPCode_ELB_5XX_Count", errors);
    }

    fn value(&mut self, arn: &str, name: &str, value: f64) {
        self.push(Some(arn), name, vec![(value, 1.0)], 0);
    }

    /// A count: absent, not zero, when nothing happened.
    fn count(&mut self, arn: Option<&str>, name: &str, count: u64) {
        let late = (count as f64 * self.traffic.publishing.late_share).round();
        self.push(arn, name, vec![(1.0, count as f64 - late)], 0);
        self.push(arn, name, vec![(1.0, late)], self.traffic.publishing.late_ms);
    }

    fn push(&mut self, arn: Option<&str>, name: &str, values: Vec<(f64, f64)>, later: Millis) {
        if values.iter().map(|(_, times)| times).sum::<f64>() <= 0.0 {
            return;
        }
        let publishing = &self.traffic.publishing;
        let mut visible_from = self.start + publishing.period_ms + publishing.lag_ms + later;
        for silence in &publishing.silences {
            let concerned = silence.metric.as_deref().is_none_or(|metric| metric == name)
                && silence.group.as_deref().is_none_or(|group| Some(group) == arn);
            if concerned && (silence.from..silence.to).contains(&self.start) {
                if !silence.flood {
                    return;
                }
                visible_from = visible_from.max(silence.to);
            }
        }
        let mut dimensions = vec![("LoadBalancer", self.balancer.as_str())];
        dimensions.extend(arn.map(|arn| ("TargetGroup", dimension(arn))));
        let key = MetricKey::alb(name, &dimensions);
        self.metrics.push(key, Point { at: self.start, visible_from, values });
    }
}
