//! Rollouts in words that more than one command uses.

use jiff::Timestamp;

use crate::api::model::RolloutView;
use crate::clock::{Clock, SystemClock};
use crate::domain::hold::Hold;
use crate::domain::time::{Span, since};

/// The time by this machine's clock: for ages only.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// A length of time, in its two largest units: `3d4h`, `5m10s`, `12s`.
pub(super) fn length(span: Span) -> String {
    let seconds = span.as_secs().max(0);
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let mut shown: Vec<String> = parts
        .iter()
        .skip_while(|(number, _)| *number == 0)
        .take(2)
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if shown.is_empty() {
        shown.push("0s".to_owned());
    }
    shown.concat()
}

/// How long ago a moment was.
pub(super) fn ago(moment: Timestamp, now: Timestamp) -> String {
    length(since(now, moment))
}

/// A moment to the second, UTC.
pub(super) fn clock(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The step, as `2/5`.
pub(super) fn step(rollout: &RolloutView) -> String {
    format!("{}/{}", rollout.step, rollout.steps)
}

/// Green's share, as `25%`, or `10% → 25%` while the rules do not show what is wanted.
pub(super) fn weight(rollout: &RolloutView) -> String {
    let desired = rollout.weight.desired;
    match rollout.weight.observed {
        Some(observed) if observed != desired => format!("{observed} → {desired}"),
        Some(_) | None => desired.to_string(),
    }
}

/// Green's share of the requests, or a dash.
pub(super) fn traffic(rollout: &RolloutView) -> String {
    rollout.weight.traffic_share.map_or_else(|| "-".to_owned(), |share| share.to_string())
}

/// Why nothing moves, with when that ends.
pub(super) fn hold(hold: &Hold, now: Timestamp) -> String {
    match hold.until {
        Some(until) if until > now => {
            format!("{}: {} (until {}, in {})", hold.reason, hold.detail, clock(until), length(since(until, now)))
        }
        Some(_) | None => format!("{}: {}", hold.reason, hold.detail),
    }
}

/// One line that says where a rollout stands.
pub(super) fn line(rollout: &RolloutView) -> String {
    let head = format!("{} {} · step {} · green {}", rollout.name, rollout.phase, step(rollout), weight(rollout));
    match &rollout.hold {
        Some(hold) => format!("{head} · {}", hold.reason),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_show_their_two_largest_units() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (60, "1m"), (310, "5m10s"), (3600, "1h"), (273_600, "3d4h")] {
            assert_eq!(length(Span::from_secs(seconds)), shown);
        }
        assert_eq!(length(Span::from_secs(86_400 + 61)), "1d", "units between are not skipped");
    }
}
