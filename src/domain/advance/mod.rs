//! The decision. [`advance`] is total and pure: (state, observation, now) → what happened, what to do, and why nothing
//! moves. All else in greenshift carries out what it says.
//!
//! Raising green's weight needs everything; lowering it needs one reason. The passes below run in the order of that
//! rule: first what the world shows, then what people ask, then what must be taken back, and last what may go forward.

mod bake;
mod commands;
mod hold;
mod metrics;
mod people;
mod preflight;
mod progress;
mod raise;
mod route;
mod safety;
mod wants;

use jiff::Timestamp;

use super::analysis::Assessment;
use super::command::Command;
use super::event::{Cause, CauseCode, Event, NewEvent, NoticeLevel, Recorded};
use super::hold::Hold;
use super::observation::Observation;
use super::phase::Phase;
use super::replay;
use super::request::Answer;
use super::rollout::Rollout;
use super::weight::Weight;

pub use preflight::with_findings;
pub use wants::{HealthNeed, Wants, wants};

/// Who acts when no person does.
pub const CONTROLLER: &str = "greenshift";

/// What one tick decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What happened, in order: to be journaled before anything is done.
    pub events: Vec<NewEvent>,
    /// The state with these events applied.
    pub rollout: Rollout,
    /// What to do to the world, once the events are on disk.
    pub commands: Vec<Command>,
    /// Why the weight does not rise right now.
    pub hold: Option<Hold>,
    /// What became of people's requests, once the events are on disk.
    pub answers: Vec<Answer>,
    /// What each check says, with its numbers.
    pub assessment: Assessment,
}

/// Decides what one tick should do. Total: there is no error to return.
pub fn advance(rollout: &Rollout, seen: &Observation, now: Timestamp) -> Decision {
    let mut draft = Draft::new(rollout, seen, now);
    route::compare(&mut draft);
    metrics::take(&mut draft);
    preflight::take(&mut draft);
    people::answer(&mut draft);
    safety::take_back(&mut draft);
    progress::go_on(&mut draft);
    let hold = hold::explain(&mut draft);
    let commands = commands::from_state(&draft);
    Draft::finish(draft, hold, commands)
}

/// A decision in the making: the state, and the events that made it.
pub(super) struct Draft<'a> {
    pub(super) rollout: Rollout,
    pub(super) seen: &'a Observation,
    pub(super) now: Timestamp,
    pub(super) assessment: Assessment,
    /// The phase at the beginning of the tick.
    pub(super) started_in: Phase,
    /// Whether live weights of ours that are below the intended one may be written again in this tick.
    pub(super) reassert: bool,
    events: Vec<NewEvent>,
    answers: Vec<Answer>,
}

impl<'a> Draft<'a> {
    fn new(rollout: &Rollout, seen: &'a Observation, now: Timestamp) -> Self {
        Self {
            started_in: rollout.phase,
            rollout: rollout.clone(),
            seen,
            now,
            assessment: Assessment::new(),
            reassert: false,
            events: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn finish(self, hold: Option<Hold>, commands: Vec<Command>) -> Decision {
        let Self { rollout, assessment, events, answers, .. } = self;
        Decision { events, rollout, commands, hold, answers, assessment }
    }

    /// Records an event of the controller's own and applies it.
    pub(super) fn record(&mut self, event: Event) {
        self.record_as(CONTROLLER, event);
    }

    /// Records an event that a person made happen and applies it.
    pub(super) fn record_as(&mut self, actor: &str, event: Event) {
        let seq = self.rollout.seq.saturating_add(1);
        let recorded = Recorded { seq, at: self.now, actor: actor.to_owned(), event };
        replay::apply(&mut self.rollout, &recorded);
        let Recorded { seq: _, at, actor, event } = recorded;
        self.events.push(NewEvent { at, actor, event });
    }

    /// Changes the phase, if that is legal; the table of [`Phase::may_become`] is the last word.
    pub(super) fn become_phase(&mut self, to: Phase, cause: Cause) -> bool {
        let from = self.rollout.phase;
        let legal = from.may_become(to);
        if legal {
            self.record(Event::PhaseChanged { from, to, cause });
        }
        legal
    }

    /// Decides on a weight.
    pub(super) fn intend(&mut self, weight: Weight, step: Option<usize>, cause: Cause) {
        if weight != self.rollout.intended || step != self.rollout.step {
            self.record(Event::WeightIntended { weight, step, cause });
        }
    }

    /// Tells a person.
    pub(super) fn notice(&mut self, level: NoticeLevel, text: impl Into<String>) {
        self.record(Event::NoticeRaised { level, text: text.into() });
    }

    /// Stops forward moves until a person resumes, and tells why.
    pub(super) fn pause(&mut self, code: CauseCode, detail: impl Into<String>) {
        let detail = detail.into();
        self.give_up_raise();
        if self.become_phase(Phase::Paused, Cause::new(code, detail.clone())) {
            self.notice(NoticeLevel::Warning, format!("paused: {detail}"));
        }
    }

    /// Stops, because the controller cannot make it safe by itself, and wakes someone.
    pub(super) fn halt(&mut self, code: CauseCode, detail: impl Into<String>) {
        let detail = detail.into();
        if self.become_phase(Phase::Halted, Cause::new(code, detail.clone())) {
            self.notice(NoticeLevel::Page, format!("halted: {detail}"));
        }
    }

    /// A raise that was not yet seen on every rule goes back to the weight that was.
    pub(super) fn give_up_raise(&mut self) {
        let rollout = &self.rollout;
        if !rollout.is_confirmed() && rollout.intended > rollout.confirmed && rollout.baseline.is_some() {
            let (weight, step) = (rollout.confirmed, rollout.confirmed_step);
            self.intend(weight, step, Cause::new(CauseCode::Plan, "the raise was not finished and is taken back"));
        }
    }

    /// Falls to a lower weight of the plan, and goes on from there: nothing waits for approval or bakes any more.
    pub(super) fn step_down(&mut self, weight: Weight, step: Option<usize>, cause: Cause) {
        self.intend(weight, step, cause.clone());
        if matches!(self.rollout.phase, Phase::Baking | Phase::AwaitingApproval) {
            self.become_phase(Phase::Progressing, cause);
        }
    }

    /// Answers a person's request.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Whether this very tick saw that every rule gives blue everything.
    pub(super) fn sees_all_on_blue(&self) -> bool {
        self.seen.route.read().is_some_and(|rules| rules.iter().all(|rule| rule.share() == Some(Weight::ZERO)))
    }

    /// Whether anything was decided so far in this tick.
    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }
}
