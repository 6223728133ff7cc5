//! Every metric family: its name, its labels, what it means. `docs/operating.md` lists the same.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Seconds from a millisecond to half a minute: calls and ticks.
const QUICK: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Seconds from a tenth to ten minutes: a rollback, to the last rule.
const REACTION: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Seconds from a minute to three days: a whole rollout.
const LONG: &[f64] = &[60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0, 172_800.0, 259_200.0];

/// Every family.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) rollouts: IntGaugeVec,
    pub(super) rollout_info: IntGaugeVec,
    pub(super) rollout_weight_ratio: GaugeVec,
    pub(super) rollout_step: IntGaugeVec,
    pub(super) rollout_hold: IntGaugeVec,
    pub(super) rollout_transitions: IntCounterVec,
    pub(super) rollouts_finished: IntCounterVec,
    pub(super) rollout_duration: Histogram,
    pub(super) check_value: GaugeVec,
    pub(super) check_threshold: GaugeVec,
    pub(super) check_evidence: GaugeVec,
    pub(super) check_proof: GaugeVec,
    pub(super) check_verdicts: IntCounterVec,
    pub(super) drift_detected: IntCounterVec,
    pub(super) rollback_reaction: Histogram,
    pub(super) aws_requests: IntCounterVec,
    pub(super) aws_request_duration: HistogramVec,
    pub(super) tick_duration: Histogram,
    pub(super) tick_lag: Histogram,
    pub(super) journal_append: Histogram,
    pub(super) http_requests: IntCounterVec,
    pub(super) http_request_duration: HistogramVec,
}

impl Families {
    /// Registers every family.
    #[expect(clippy::too_many_lines, reason = "a table: one entry for each family")]
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        let to = Registrar(registry);
        let build = to.int_gauges("build_info", "What runs here; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            rollouts: to.int_gauges("rollouts", "Rollouts in each phase.", &["phase"])?,
            rollout_info: to.int_gauges("rollout_info", "The phase of each rollout; 1.", &["rollout", "phase"])?,
            rollout_weight_ratio: to.gauges(
                "rollout_weight_ratio",
                "A side's share of the route, 0 to 1: as wanted, as the rules show it, and as requests arrive.",
                &["rollout", "side", "kind"],
            )?,
            rollout_step: to.int_gauges(
                "rollout_step",
                "The step whose weight is intended: 1 for the first, 0 before it.",
                &["rollout"],
            )?,
            rollout_hold: to.int_gauges("rollout_hold", "Why the weight does not rise; 1.", &["rollout", "reason"])?,
            rollout_transitions: to.counters(
                "rollout_transitions_total",
                "Changes of phase.",
                &["rollout", "from", "to"],
            )?,
            rollouts_finished: to.counters("rollouts_finished_total", "Attempts that ended.", &["outcome"])?,
            rollout_duration: to.histogram(
                "rollout_duration_seconds",
                "Active time (progressing or baking) of an attempt that ended.",
                LONG,
            )?,
            check_value: to.gauges(
                "check_value",
                "Share of bad requests, 0 to 1, in the time that the verdict speaks of.",
                &["rollout", "check", "side"],
            )?,
            check_threshold: to.gauges(
                "check_threshold",
                "Highest share of bad requests that is accepted of green, given blue's.",
                &["rollout", "check"],
            )?,
            check_evidence: to.gauges(
                "check_evidence",
                "Evidence that green is worse, as a part of what a rollback asks for: 1 rolls back.",
                &["rollout", "check"],
            )?,
            check_proof: to.gauges(
                "check_proof",
                "Evidence that green is good enough for the next step, as a part of what is asked for: 1 is proof.",
                &["rollout", "check"],
            )?,
            check_verdicts: to.counters(
                "check_verdicts_total",
                "Verdicts that a check came to, each counted when it began.",
                &["rollout", "check", "verdict"],
            )?,
            drift_detected: to.counters(
                "drift_detected_total",
                "Times that the route showed what this controller did not write.",
                &["rollout"],
            )?,
            rollback_reaction: to.histogram(
                "rollback_reaction_seconds",
                "From the arrival of the deciding data to weight 0 on every rule.",
                REACTION,
            )?,
            aws_requests: to.counters(
                "aws_requests_total",
                "Calls to AWS, each counted once with all its attempts.",
                &["service", "operation", "outcome"],
            )?,
            aws_request_duration: to.histograms(
                "aws_request_duration_seconds",
                "Time of a call to AWS with all its attempts.",
                &["service", "operation"],
            )?,
            tick_duration: to.histogram("tick_duration_seconds", "Time of one tick of one rollout.", QUICK)?,
            tick_lag: to.histogram("tick_lag_seconds", "How much later than planned a tick began.", QUICK)?,
            journal_append: to.histogram("journal_append_seconds", "Time until events were on disk.", QUICK)?,
            http_requests: to.counters("http_requests_total", "Calls to the API.", &["method", "route", "status"])?,
            http_request_duration: to.histograms(
                "http_request_duration_seconds",
                "Time of a call to the API.",
                &["method", "route"],
            )?,
        })
    }

    /// Removes every series of a rollout.
    pub(super) fn forget(&self, rollout: &str) {
        let of_it = |name: &str, value: &str| name == "rollout" && value == rollout;
        for vec in [&self.rollout_info, &self.rollout_step, &self.rollout_hold] {
            remove(vec, of_it);
        }
        remove(&self.rollout_weight_ratio, of_it);
        for vec in [&self.rollout_transitions, &self.check_verdicts, &self.drift_detected] {
            remove(vec, of_it);
        }
        self.forget_checks(rollout);
    }

    /// Removes what was said of a rollout's checks, as after a change of its plan.
    pub(super) fn forget_checks(&self, rollout: &str) {
        let of_it = |name: &str, value: &str| name == "rollout" && value == rollout;
        for vec in [&self.check_value, &self.check_threshold, &self.check_evidence, &self.check_proof] {
            remove(vec, of_it);
        }
    }
}

/// Removes the series of a family that have a label which `matches`.
fn remove<T: MetricVecBuilder>(vec: &MetricVec<T>, matches: impl Fn(&str, &str) -> bool) {
    for family in vec.collect() {
        for series in family.get_metric() {
            let labels: std::collections::HashMap<&str, &str> =
                series.get_label().iter().map(|label| (label.name(), label.value())).collect();
            let hit = series.get_label().iter().any(|label| matches(label.name(), label.value()));
            // A series that is gone already is gone.
            let _gone = hit.then(|| vec.remove(&labels));
        }
    }
}

struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        self.add(GaugeVec::new(opts(name, help), labels)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
        self.add(Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, Error> {
        self.add(HistogramVec::new(HistogramOpts::from(opts(name, help)).buckets(QUICK.to_vec()), labels)?)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("greenshift")
}
