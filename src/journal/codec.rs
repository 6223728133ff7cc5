//! How events are written down: a type, a version of its form, and a JSON body. An event that was written once can be
//! read by every later version of greenshift.
//!
//! To change the form of an event (a new field counts): raise its version in [`version_written`], keep reading the old
//! form in [`decode`], and commit a sample of the new one under `tests/it/journal_samples/`.

use std::borrow::Cow;

use jiff::Timestamp;

use super::JournalError;
use crate::domain::event::{Event, NewEvent, Recorded};
use crate::domain::ids::RolloutName;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which event it is, as `phase_changed`.
    pub kind: Cow<'static, str>,
    /// The version of the body's form: 1, 2, 3 …
    pub version: u32,
    /// JSON: the event's data, `null` when it has none.
    pub body: String,
}

/// Why a stored event cannot be read; `Display` says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// No event of this program has this name.
    #[error(
        "is a `{kind}`, which greenshift {} does not know: a newer version wrote it; run that version or a later one",
        env!("CARGO_PKG_VERSION")
    )]
    UnknownKind {
        /// The stored type.
        kind: String,
    },
    /// The form is newer than this program.
    #[error(
        "is a `{kind}` of version {found}, and greenshift {} reads up to version {newest}: a newer version wrote it; run \
         that version or a later one",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The stored type.
        kind: String,
        /// The stored version.
        found: u32,
        /// The newest version that this program reads.
        newest: u32,
    },
    /// The body is not what its type and version promise.
    #[error("is a `{kind}` (version {version}) that is damaged: {source}; restore the database from a backup")]
    Damaged {
        /// The stored type.
        kind: String,
        /// The stored version.
        version: u32,
        /// What JSON says.
        source: serde_json::Error,
    },
}

/// The type's name as it is stored.
pub const fn kind(event: &Event) -> &'static str {
    match event {
        Event::Created(_) => "created",
        Event::Requested { .. } => "requested",
        Event::PlanChanged(_) => "plan_changed",
        Event::AttemptStarted { .. } => "attempt_started",
        Event::PhaseChanged { .. } => "phase_changed",
        Event::Inspected(_) => "inspected",
        Event::BaselineTaken { .. } => "baseline_taken",
        Event::FindingWaived { .. } => "finding_waived",
        Event::WeightIntended { .. } => "weight_intended",
        Event::WeightConfirmed { .. } => "weight_confirmed",
        Event::StepPassed { .. } => "step_passed",
        Event::MetricsRead { .. } => "metrics_read",
        Event::VerdictChanged { .. } => "verdict_changed",
        Event::HealthChanged(_) => "health_changed",
        Event::AlarmsChanged(_) => "alarms_changed",
        Event::DriftFound { .. } => "drift_found",
        Event::DriftCleared => "drift_cleared",
        Event::Reasserted { .. } => "reasserted",
        Event::StickinessIntended { .. } => "stickiness_intended",
        Event::HoldChanged(_) => "hold_changed",
        Event::NoticeRaised { .. } => "notice_raised",
    }
}

/// The version in which events of this type are written, which is also the newest that can be read; `None` for a type
/// that this program does not know.
pub fn version_written(kind: &str) -> Option<u32> {
    match kind {
        "created"
        | "requested"
        | "plan_changed"
        | "attempt_started"
        | "phase_changed"
        | "inspected"
        | "baseline_taken"
        | "finding_waived"
        | "weight_intended"
        | "weight_confirmed"
        | "step_passed"
        | "metrics_read"
        | "verdict_changed"
        | "health_changed"
        | "alarms_changed"
        | "drift_found"
        | "drift_cleared"
        | "reasserted"
        | "stickiness_intended"
        | "hold_changed"
        | "notice_raised" => Some(1),
        _ => None,
    }
}

/// Writes an event down. Refuses one that would not read back as itself, so that nothing unreadable is ever kept; the
/// error says why.
pub fn encode(event: &Event) -> Result<Stored, String> {
    let kind = kind(event);
    let version = version_written(kind).ok_or_else(|| "its type has no version".to_owned())?;
    let mut tagged = serde_json::to_value(event).map_err(|error| error.to_string())?;
    let data = tagged.get_mut("data").map(serde_json::Value::take).unwrap_or_default();
    let stored = Stored { kind: Cow::Borrowed(kind), version, body: data.to_string() };
    match decode(&stored) {
        Ok(read) if read == *event => Ok(stored),
        Ok(_) => Err("it reads back as something else".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads an event.
pub fn decode(stored: &Stored) -> Result<Event, Undecodable> {
    let Stored { kind, version, body } = stored;
    let Some(newest) = version_written(kind) else {
        return Err(Undecodable::UnknownKind { kind: kind.to_string() });
    };
    if *version > newest {
        return Err(Undecodable::Newer { kind: kind.to_string(), found: *version, newest });
    }
    // The known names need no escaping. The tag comes first, so that serde reads the data in one pass.
    serde_json::from_str(&format!(r#"{{"type":"{kind}","data":{body}}}"#)).map_err(|source| Undecodable::Damaged {
        kind: kind.to_string(),
        version: *version,
        source,
    })
}

/// An event ready to be kept, with its place.
pub(super) struct Numbered {
    pub(super) recorded: Recorded,
    pub(super) stored: Stored,
}

/// Gives events their places behind `after_seq` and writes them down, all or none.
pub(super) fn number(
    rollout: &RolloutName,
    after_seq: u64,
    events: Vec<NewEvent>,
) -> Result<Vec<Numbered>, JournalError> {
    let mut seq = after_seq;
    let mut numbered = Vec::with_capacity(events.len());
    for NewEvent { at, actor, event } in events {
        let stored = encode(&event).map_err(|problem| JournalError::Unwritable {
            rollout: rollout.clone(),
            kind: kind(&event),
            problem,
        })?;
        seq = seq.saturating_add(1);
        numbered.push(Numbered { recorded: Recorded { seq, at: to_microsecond(at), actor, event }, stored });
    }
    Ok(numbered)
}

/// The moment as the journal keeps it.
pub(super) fn to_microsecond(at: Timestamp) -> Timestamp {
    from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// The moment so many microseconds after the epoch, over the whole range of [`Timestamp`]: its own conversion leaves
/// the last second out. `None` outside.
pub(super) fn from_microsecond(microsecond: i64) -> Option<Timestamp> {
    let second = microsecond.div_euclid(1_000_000);
    let nanosecond = i32::try_from(microsecond.rem_euclid(1_000_000).saturating_mul(1000)).ok()?;
    Timestamp::new(second, nanosecond).ok()
}

/// The error for an event that cannot be read.
pub(super) fn unreadable(rollout: &str, seq: i64, problem: &impl std::fmt::Display) -> JournalError {
    JournalError::Unreadable(format!("event {seq} of `{rollout}` {problem}"))
}
