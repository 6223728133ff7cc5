//! What stands in the way of the next raise. A raise needs all of it to be in order (rules 3 to 6).

use jiff::Timestamp;

use super::{Draft, safety};
use crate::domain::event::Verdict;
use crate::domain::hold::{Hold, HoldReason};
use crate::domain::observation::{FleetHealth, HealthSeen, Seen};
use crate::domain::phase::Phase;
use crate::domain::rollout::Rollout;
use crate::domain::time::after;
use crate::domain::weight::Weight;

/// What stands in the way as far as the state alone knows: all but fresh target health, which costs calls and is asked
/// for only when this is `None`; people and gates come after that.
pub(super) fn obstacle_in_state(rollout: &Rollout, now: Timestamp) -> Option<Hold> {
    if let Some(drift) = &rollout.drift {
        return Some(Hold::new(HoldReason::Drift, drift.detail.clone()));
    }
    if rollout.baseline.is_some() && rollout.green_has_traffic() && !rollout.is_confirmed() {
        let detail = format!("{} was written and is not yet seen on every rule", rollout.intended);
        return Some(Hold::new(HoldReason::Applying, detail));
    }
    if let Some(newest) = safety::silent_since(rollout, now) {
        let detail = format!("no metric period with a request since {newest}");
        return Some(Hold::new(HoldReason::NoData, detail));
    }
    if rollout.analysis.newest.is_none() {
        return Some(Hold::new(HoldReason::NoData, "no metric period with a request has been read yet"));
    }
    doubt(rollout).or_else(|| if rollout.green_has_traffic() { unproven(rollout, now) } else { None })
}

/// Reasons for doubt that nobody can skip.
fn doubt(rollout: &Rollout) -> Option<Hold> {
    let said = |reason: &str| rollout.verdicts.values().find(|seen| seen.reason == reason);
    if let Some(seen) = said("common_cause") {
        return Some(Hold::new(HoldReason::CommonCause, seen.detail.clone()));
    }
    if let Some(seen) = said("suspect") {
        return Some(Hold::new(HoldReason::Suspect, seen.detail.clone()));
    }
    let failing = rollout.verdicts.iter().find(|(_, seen)| seen.verdict == Verdict::Failing);
    if let Some((name, seen)) = failing {
        return Some(Hold::new(HoldReason::Suspect, format!("check `{name}` is Failing: {}", seen.detail)));
    }
    let raised = rollout.confirmed_at.filter(|_| rollout.green_has_traffic());
    if let Some((seen, usual)) = raised.and_then(|raised| rollout.analysis.balancer_rise(raised, Timestamp::MAX)) {
        let detail = format!(
            "the load balancer itself answered {seen:.0} errors since the last raise, {usual:.0} would be usual"
        );
        return Some(Hold::new(HoldReason::LoadBalancerErrors, detail));
    }
    said("alarms_unreadable").map(|seen| Hold::new(HoldReason::AlarmsUnreadable, seen.detail.clone()))
}

/// The hold and the proof of the present step, which a person's `promote` skips.
fn unproven(rollout: &Rollout, now: Timestamp) -> Option<Hold> {
    if rollout.is_promoted() {
        return None;
    }
    let step = rollout.plan().steps.get(rollout.step?)?;
    // The step before the bake was proven for all of the traffic (`Rollout::proof_for`): the raise that ends the bake
    // needs no proof of its own, only that nothing spoke against green meanwhile.
    if rollout.phase == Phase::Baking {
        return None;
    }
    if let Some(confirmed) = rollout.confirmed_at {
        let until = after(confirmed, step.hold_min);
        if now < until {
            let detail = format!("at least {} at {}", step.hold_min, rollout.intended);
            return Some(Hold::until(HoldReason::MinimumHold, detail, until));
        }
    }
    if rollout.verdict() == Verdict::Passing {
        return None;
    }
    let undecided = rollout.verdicts.iter().filter(|(_, seen)| seen.verdict != Verdict::Passing);
    let words: Vec<String> = undecided.map(|(name, seen)| format!("check `{name}`: {}", seen.detail)).collect();
    let detail = if words.is_empty() { "nothing has been judged yet".to_owned() } else { words.join(" ") };
    let until = after(rollout.hold_since, step.hold_max);
    Some(Hold::until(HoldReason::Inconclusive, detail, until))
}

/// What this very tick could not see: a raise is decided on nothing old.
pub(super) fn unseen(draft: &Draft<'_>) -> Option<Hold> {
    match &draft.seen.route {
        Seen::Unreadable(trouble) => return Some(Hold::new(HoldReason::RouteUnreadable, trouble.message.clone())),
        Seen::NotAsked => return Some(Hold::new(HoldReason::Applying, "the route is being read")),
        Seen::Read(_) => {}
    }
    match &draft.seen.metrics {
        Seen::Unreadable(trouble) => {
            Some(Hold::new(HoldReason::NoData, format!("the metrics could not be read: {}", trouble.message)))
        }
        Seen::Read(metrics) if metrics.partial => {
            Some(Hold::new(HoldReason::NoData, "the source of the metrics said that its answer is not whole"))
        }
        Seen::Read(_) | Seen::NotAsked => None,
    }
}

/// Whether the fleets can take `next`, and take it back: counted in this very tick.
pub(super) fn health_obstacle(draft: &Draft<'_>, next: Weight) -> Option<Hold> {
    match &draft.seen.health {
        Seen::Unreadable(trouble) => {
            let detail = format!("the targets could not be counted: {}", trouble.message);
            Some(Hold::new(HoldReason::GreenUnhealthy, detail))
        }
        Seen::Read(health) if draft.seen.health_is_fresh => fleets_are_short(&draft.rollout, health, next),
        Seen::Read(_) | Seen::NotAsked => {
            Some(Hold::new(HoldReason::Applying, "the targets are being counted before the raise"))
        }
    }
}

/// Why green could not take `next`, or blue could not take everything back.
pub(super) fn fleets_are_short(rollout: &Rollout, health: &HealthSeen, next: Weight) -> Option<Hold> {
    green_is_short(rollout, health, next).or_else(|| blue_is_short(rollout, health))
}

/// Smallest whole number that is at least `share` of `count`.
fn at_least(count: u32, share: Weight) -> u32 {
    let tenths = u64::from(count).saturating_mul(u64::from(share.tenths()));
    u32::try_from(tenths.div_ceil(1000)).unwrap_or(u32::MAX)
}

fn green_is_short(rollout: &Rollout, health: &HealthSeen, next: Weight) -> Option<Hold> {
    let policy = rollout.plan().health;
    let FleetHealth { healthy, .. } = health.green;
    let registered = health.green.registered();
    let short = |detail: String| Some(Hold::new(HoldReason::GreenUnhealthy, detail));
    if healthy < policy.min_healthy_targets {
        return short(format!("green has {healthy} healthy targets, {} are needed", policy.min_healthy_targets));
    }
    if healthy < at_least(registered, policy.min_healthy_ratio) {
        return short(format!(
            "{healthy} of green's {registered} targets are healthy, {} are needed",
            policy.min_healthy_ratio
        ));
    }
    let blue = rollout.baseline.as_ref().map_or(0, |baseline| baseline.health.blue.healthy);
    let wanted = at_least(at_least(blue, next), policy.min_healthy_ratio);
    (healthy < wanted).then(|| {
        let detail = format!(
            "green has {healthy} healthy targets; for {next} of what blue's {blue} served, {wanted} are needed \
             (min_healthy_ratio {})",
            policy.min_healthy_ratio
        );
        Hold::new(HoldReason::GreenUnhealthy, detail)
    })
}

fn blue_is_short(rollout: &Rollout, health: &HealthSeen) -> Option<Hold> {
    let start = rollout.baseline.as_ref()?.health.blue.healthy;
    let floor = at_least(start, rollout.plan().health.blue_floor);
    (health.blue.healthy < floor).then(|| {
        let detail = format!(
            "blue has {} healthy targets of the {start} it had at the start: it could not take the traffic back \
             (blue_floor {}); an autoscaling policy may be shrinking it",
            health.blue.healthy,
            rollout.plan().health.blue_floor
        );
        Hold::new(HoldReason::BlueUnhealthy, detail)
    })
}

/// Gates that hold a raise though everything is proven: freeze and change windows.
pub(super) fn gate(draft: &Draft<'_>) -> Option<Hold> {
    if let Some(reason) = &draft.seen.frozen {
        return Some(Hold::new(HoldReason::Frozen, format!("all forward moves are frozen: {reason}")));
    }
    let schedule = &draft.rollout.plan().schedule;
    let opens = schedule.opens_at(draft.now).filter(|at| *at > draft.now)?;
    Some(Hold::until(HoldReason::Window, format!("outside the change windows; the next opens at {opens}"), opens))
}

/// Whether an older weight of ours may be written again upward: it is a raise, if only back to what was proven, so it
/// waits like one for all but the proof.
pub(super) fn may_reassert(draft: &Draft<'_>) -> bool {
    let rollout = &draft.rollout;
    matches!(rollout.phase, Phase::Progressing | Phase::Baking)
        && rollout.verdicts.values().all(|seen| seen.verdict != Verdict::Failing)
        && gate(draft).is_none()
        && draft.seen.health.read().is_some_and(|health| green_is_short(rollout, health, rollout.intended).is_none())
}
