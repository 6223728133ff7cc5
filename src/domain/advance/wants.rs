//! What the next tick should look at. Each look costs calls, so only what the decision can use is asked for.

use jiff::Timestamp;

use super::raise;
use crate::domain::phase::Phase;
use crate::domain::plan::Question;
use crate::domain::rollout::Rollout;

/// What the next tick should look at.
#[expect(clippy::struct_excessive_bools, reason = "each is a look of its own, and any set of them may be wanted")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// The live weights.
    pub route: bool,
    /// The targets.
    pub health: HealthNeed,
    /// New metric periods.
    pub metrics: bool,
    /// Response times among them.
    pub latency: bool,
    /// The named alarms.
    pub alarms: Vec<String>,
    /// An inspection before the first shift.
    pub inspection: bool,
}

/// How new the count of targets must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthNeed {
    /// Not needed.
    None,
    /// An old count will do.
    Recent,
    /// Counted in this very tick: a raise hangs on it.
    Fresh,
}

/// What the next tick should look at.
pub fn wants(rollout: &Rollout, now: Timestamp) -> Wants {
    let phase = rollout.phase;
    let running = !phase.is_terminal() && phase != Phase::Pending;
    let checks = &rollout.plan().analysis.checks;
    let latency = checks.iter().any(|check| matches!(check.question, Question::Latency(_)));
    let names = checks.iter().filter_map(|check| match &check.question {
        Question::Alarms { names } => Some(names.clone()),
        Question::Errors(_) | Question::ClientErrors(_) | Question::Latency(_) => None,
    });
    Wants {
        route: running || rollout.is_active() && phase.is_terminal(),
        health: health(rollout, now),
        metrics: running && phase != Phase::RollingBack || rollout.is_active() && phase.is_terminal(),
        latency,
        alarms: if running { names.flatten().collect() } else { Vec::new() },
        inspection: phase == Phase::Preflight,
    }
}

fn health(rollout: &Rollout, now: Timestamp) -> HealthNeed {
    match rollout.phase {
        Phase::Pending | Phase::RolledBack | Phase::Completed | Phase::Aborted => HealthNeed::None,
        Phase::Preflight | Phase::RollingBack | Phase::Halted => HealthNeed::Fresh,
        Phase::Paused | Phase::AwaitingApproval => HealthNeed::Recent,
        Phase::Progressing | Phase::Baking => {
            let raise_is_near = rollout.next_weight().is_some() && raise::obstacle_in_state(rollout, now).is_none();
            if raise_is_near { HealthNeed::Fresh } else { HealthNeed::Recent }
        }
    }
}
