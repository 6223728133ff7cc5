//! The journal of a rollout, as it is shown.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::ApiState;
use super::error::ApiError;
use super::model::{EventPage, EventView};
use super::rollouts::find;
use super::story;
use crate::config::rollout::render;
use crate::domain::event::{Event, Recorded};
use crate::domain::plan::Spec;
use crate::domain::request::Ask;

/// Events on a page unless the caller says otherwise, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// `GET /rollouts/{name}/events?after=&limit=`: oldest first.
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<EventPage>, ApiError> {
    let snapshot = find(&state, &name)?;
    let (after, limit) = page(query.as_deref().unwrap_or(""))?;
    let spec = &snapshot.rollout.spec;
    let events = state.handle.events(&spec.name, after, limit).await?;
    let next_after = events.last().map_or(after, |event| event.seq);
    Ok(Json(EventPage { items: events.iter().map(|event| view(spec, event)).collect(), next_after }))
}

fn page(query: &str) -> Result<(u64, u32), ApiError> {
    let (mut after, mut limit) = (0, PAGE);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let bad = |detail: &str| ApiError::BadQuery { detail: detail.to_owned() };
        match key.as_ref() {
            "after" => after = value.parse().ok().ok_or_else(|| bad("`after` is the number of an event, or 0"))?,
            "limit" => {
                let read = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                limit = read.ok_or_else(|| bad("`limit` is a whole number from 1 to 1000"))?;
            }
            _ => return Err(bad("there are the parameters after and limit")),
        }
    }
    Ok((after, limit))
}

/// An event as it is shown: documents as people write them, steps counted from 1.
pub(super) fn view(spec: &Spec, recorded: &Recorded) -> EventView {
    let Recorded { seq, at, actor, event } = recorded;
    let whole = serde_json::to_value(event).unwrap_or_default();
    let kind = whole.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let data = data(spec, event, whole.get("data").cloned().unwrap_or(Value::Null));
    EventView { seq: *seq, at: *at, actor: actor.clone(), kind, text: story::sentence(event), data }
}

fn data(spec: &Spec, event: &Event, mut data: Value) -> Value {
    match event {
        Event::Created(spec) => render(spec),
        Event::PlanChanged(plan) => render(&Spec { plan: plan.as_ref().clone(), ..spec.clone() }),
        Event::Requested { ask: Ask::Change { .. }, reason } => json!({"ask": {"kind": "change"}, "reason": reason}),
        Event::WeightIntended { step, .. } => {
            set(&mut data, "step", json!(step.map_or(0, |step| step.saturating_add(1))));
            data
        }
        Event::StepPassed { step, .. } => {
            set(&mut data, "step", json!(step.saturating_add(1)));
            data
        }
        Event::Requested { .. }
        | Event::AttemptStarted { .. }
        | Event::PhaseChanged { .. }
        | Event::Inspected(_)
        | Event::BaselineTaken { .. }
        | Event::FindingWaived { .. }
        | Event::WeightConfirmed { .. }
        | Event::MetricsRead { .. }
        | Event::VerdictChanged { .. }
        | Event::HealthChanged(_)
        | Event::AlarmsChanged(_)
        | Event::DriftFound { .. }
        | Event::DriftCleared
        | Event::Reasserted { .. }
        | Event::StickinessIntended { .. }
        | Event::HoldChanged(_)
        | Event::NoticeRaised { .. } => data,
    }
}

fn set(data: &mut Value, key: &str, value: Value) {
    if let Some(field) = data.as_object_mut().and_then(|fields| fields.get_mut(key)) {
        *field = value;
    }
}
