//! What the process tells Prometheus. Labels are bounded: names, never ARNs or ids; what a deleted rollout left goes.

use std::time::Duration;

use prometheus::{Registry, TextEncoder};

use super::families::Families;
use crate::domain::analysis::{Assessment, CheckAssessment};
use crate::domain::hold::Hold;
use crate::domain::observation::RuleSeen;
use crate::domain::phase::Phase;
use crate::domain::rollout::Rollout;

/// What one tick of one rollout did.
#[derive(Debug, Clone, Copy)]
pub struct TickReport<'a> {
    /// The state before.
    pub before: &'a Rollout,
    /// The state after.
    pub after: &'a Rollout,
    /// Why nothing moves.
    pub hold: Option<&'a Hold>,
    /// What each check says.
    pub assessment: &'a Assessment,
    /// The live rules, if they were read.
    pub route: Option<&'a [RuleSeen]>,
    /// How long the tick took, in seconds.
    pub took_s: f64,
    /// How much later than planned it began, in seconds.
    pub lag_s: f64,
}

/// Metrics could not be set up or printed.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be used")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metric families of the process, and the registry that `/metrics` prints.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Absent when they could not be registered: then nothing is told, and nothing else suffers.
    families: Option<Families>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new().unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "no metrics are told");
            Self { registry: Registry::default(), families: None }
        })
    }
}

impl Metrics {
    /// Registers every family with a registry of its own.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        Ok(Self { registry, families: Some(families) })
    }

    /// Adds what the operating system knows of this process: memory, processor time, open files.
    pub fn watch_process(&self) -> Result<(), MetricsError> {
        let collector = prometheus::process_collector::ProcessCollector::for_self();
        Ok(self.registry.register(Box::new(collector))?)
    }

    /// The registry that holds every family.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// Takes in which rollouts there are: ended ones do not tick, and are to be seen all the same.
    pub fn present<'a>(&self, rollouts: impl Iterator<Item = (&'a Rollout, Option<&'a Hold>)>) {
        let Some(families) = &self.families else { return };
        let mut counts = Phase::ALL.map(|phase| (phase, 0_i64));
        for (rollout, held) in rollouts {
            if let Some((_, count)) = counts.iter_mut().find(|(phase, _)| *phase == rollout.phase) {
                *count = count.saturating_add(1);
            }
            state(families, rollout);
            hold(families, rollout, held);
        }
        for (phase, count) in counts {
            families.rollouts.with_label_values(&[phase.as_str()]).set(count);
        }
    }

    /// Takes in one tick.
    pub fn ticked(&self, report: &TickReport<'_>) {
        let Some(families) = &self.families else { return };
        let TickReport { before, after, assessment, .. } = *report;
        families.tick_duration.observe(report.took_s);
        families.tick_lag.observe(report.lag_s);
        if before.plan().analysis.checks != after.plan().analysis.checks {
            families.forget_checks(name(after));
        }
        moved(families, before, after);
        state(families, after);
        hold(families, after, report.hold);
        observed(families, report);
        for (check, assessment) in assessment {
            judged(families, name(after), check, assessment);
        }
    }

    /// Takes in that a rollback reached every rule, `seconds` after the data that decided it arrived.
    pub fn rolled_back(&self, seconds: f64) {
        if let Some(families) = &self.families {
            families.rollback_reaction.observe(seconds);
        }
    }

    /// Takes in how long an append to the journal took.
    pub fn appended(&self, seconds: f64) {
        if let Some(families) = &self.families {
            families.journal_append.observe(seconds);
        }
    }

    /// Takes in a call to the API. `route` is the pattern, not the address.
    pub fn served(&self, method: &str, route: &str, status: u16, seconds: f64) {
        if let Some(families) = &self.families {
            families.http_requests.with_label_values(&[method, route, &status.to_string()]).inc();
            families.http_request_duration.with_label_values(&[method, route]).observe(seconds);
        }
    }

    /// Takes in one call of an AWS API: which, with what outcome, and how long it took with all its attempts.
    pub fn called_aws(&self, service: &str, operation: &str, outcome: &str, took: Duration) {
        if let Some(families) = &self.families {
            families.aws_requests.with_label_values(&[service, operation, outcome]).inc();
            families.aws_request_duration.with_label_values(&[service, operation]).observe(took.as_secs_f64());
        }
    }

    /// Forgets a rollout that was deleted.
    pub fn forget(&self, rollout: &str) {
        if let Some(families) = &self.families {
            families.forget(rollout);
        }
    }
}

fn name(rollout: &Rollout) -> &str {
    rollout.spec.name.as_str()
}

/// Sets the series of the present value, and removes those of the others.
fn only(vec: &prometheus::IntGaugeVec, rollout: &str, values: impl Iterator<Item = &'static str>, now: Option<&str>) {
    for value in values {
        if Some(value) == now {
            vec.with_label_values(&[rollout, value]).set(1);
        } else {
            // Most were never set.
            let _absent = vec.remove_label_values(&[rollout, value]);
        }
    }
}

fn state(families: &Families, rollout: &Rollout) {
    let phases = Phase::ALL.iter().map(|phase| phase.as_str());
    only(&families.rollout_info, name(rollout), phases, Some(rollout.phase.as_str()));
    let step = rollout.step.map_or(0, |step| i64::try_from(step.saturating_add(1)).unwrap_or(i64::MAX));
    families.rollout_step.with_label_values(&[name(rollout)]).set(step);
    weight(families, name(rollout), "desired", rollout.intended.ratio());
    let share = rollout.confirmed_at.and_then(|at| rollout.analysis.share_seen(at));
    if let Some(share) = share {
        weight(families, name(rollout), "traffic", share);
    }
}

fn hold(families: &Families, rollout: &Rollout, hold: Option<&Hold>) {
    let reasons = crate::domain::hold::HoldReason::ALL.iter().map(|reason| reason.as_str());
    only(&families.rollout_hold, name(rollout), reasons, hold.map(|hold| hold.reason.as_str()));
}

fn weight(families: &Families, rollout: &str, kind: &str, green: f64) {
    families.rollout_weight_ratio.with_label_values(&[rollout, "green", kind]).set(green);
    families.rollout_weight_ratio.with_label_values(&[rollout, "blue", kind]).set(1.0 - green);
}

fn observed(families: &Families, report: &TickReport<'_>) {
    let lowest = report.route.and_then(|rules| rules.iter().filter_map(RuleSeen::share).min());
    if let Some(lowest) = lowest {
        weight(families, name(report.after), "observed", lowest.ratio());
    }
}

fn moved(families: &Families, before: &Rollout, after: &Rollout) {
    let rollout = name(after);
    if before.phase != after.phase {
        let labels = [rollout, before.phase.as_str(), after.phase.as_str()];
        families.rollout_transitions.with_label_values(&labels).inc();
        if after.phase.is_terminal() {
            families.rollouts_finished.with_label_values(&[after.phase.as_str()]).inc();
            families.rollout_duration.observe(after.active(after.updated_at).as_secs_f64());
        }
    }
    if before.drift.is_none() && after.drift.is_some() {
        families.drift_detected.with_label_values(&[rollout]).inc();
    }
    for (check, seen) in &after.verdicts {
        let known = before.verdicts.get(check).map(|known| known.verdict);
        if known != Some(seen.verdict) {
            families.check_verdicts.with_label_values(&[rollout, check, seen.verdict.as_str()]).inc();
        }
    }
}

fn judged(families: &Families, rollout: &str, check: &str, assessment: &CheckAssessment) {
    let (Some(finding), Some(terms)) = (&assessment.finding, &assessment.terms) else { return };
    let (reading, settings) = (&finding.reading, &terms.settings);
    let window = reading.spoken_of();
    for (side, counts) in [("blue", window.blue), ("green", window.green)] {
        if let Some(rate) = counts.ratio() {
            families.check_value.with_label_values(&[rollout, check, side]).set(rate);
        }
    }
    if let Some(blue) = window.blue.ratio() {
        let margin = reading.margin * blue + settings.delta;
        let accepted = settings.ceiling.map_or(margin, |ceiling| margin.min(ceiling)).min(1.0);
        families.check_threshold.with_label_values(&[rollout, check]).set(accepted);
    }
    let part = |log: f64, asked: f64| if log.is_finite() && asked > 0.0 { (log / asked).max(0.0) } else { 0.0 };
    let against = part(reading.log_e_concurrent.max(reading.log_e_ceiling), reading.thresholds.rollback);
    families.check_evidence.with_label_values(&[rollout, check]).set(against);
    let proof = part(reading.log_e_proof, reading.thresholds.proof);
    families.check_proof.with_label_values(&[rollout, check]).set(proof);
}
