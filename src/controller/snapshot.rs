//! What is known of a rollout right now: what the API shows.

use jiff::Timestamp;

use crate::domain::advance::Decision;
use crate::domain::analysis::Assessment;
use crate::domain::hold::Hold;
use crate::domain::observation::{HealthSeen, Observation, RuleSeen, Trouble};
use crate::domain::rollout::Rollout;
use crate::domain::weight::Weight;

/// What is known of a rollout right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The journaled state.
    pub rollout: Rollout,
    /// Why the weight does not rise.
    pub hold: Option<Hold>,
    /// What each check says, with its numbers.
    pub assessment: Assessment,
    /// The live rules, as last read.
    pub route: Option<Vec<RuleSeen>>,
    /// The targets, as last counted.
    pub health: Option<HealthSeen>,
    /// What stood in the way of the last look at the world.
    pub troubles: Vec<Trouble>,
    /// When the world was last looked at.
    pub ticked_at: Option<Timestamp>,
}

impl Snapshot {
    /// What is known right after loading: the journal, and nothing of the world.
    pub(super) fn loaded(rollout: Rollout) -> Self {
        let hold = rollout.hold.clone();
        let health = rollout.health;
        Self {
            rollout,
            hold,
            assessment: Assessment::new(),
            route: None,
            health,
            troubles: Vec::new(),
            ticked_at: None,
        }
    }

    /// What is known after a tick.
    pub(super) fn after_tick(old: &Self, seen: &Observation, decision: &Decision, now: Timestamp) -> Self {
        let troubles = [seen.route.trouble(), seen.health.trouble(), seen.metrics.trouble(), seen.alarms.trouble()];
        Self {
            rollout: decision.rollout.clone(),
            hold: decision.hold.clone(),
            assessment: decision.assessment.clone(),
            route: seen.route.read().cloned().or_else(|| old.route.clone()),
            health: seen.health.read().copied().or(old.health),
            troubles: troubles.into_iter().flatten().cloned().collect(),
            ticked_at: Some(now),
        }
    }

    /// The lowest weight that any live rule shows; `None` before the first read.
    pub fn observed(&self) -> Option<Weight> {
        self.route.as_ref()?.iter().filter_map(RuleSeen::share).min()
    }
}
