//! Every metric family, declared once. Labels are bounded: names, never ARNs or ids.

use prometheus::Registry;

use crate::domain::analysis::Assessment;
use crate::domain::hold::Hold;
use crate::domain::observation::RuleSeen;
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

/// All metric families of the process, and the registry that `/metrics` prints.
#[derive(Debug, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// The registry that holds every family.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes in one tick.
    pub fn ticked(&self, _report: &TickReport<'_>) {}

    /// Takes in that a rollback reached every rule, `seconds` after the data that decided it arrived.
    pub fn rolled_back(&self, _seconds: f64) {}

    /// Takes in how long an append to the journal took.
    pub fn appended(&self, _seconds: f64) {}

    /// Forgets a rollout that was deleted.
    pub fn forget(&self, _rollout: &str) {}
}
