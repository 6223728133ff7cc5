//! One rollout's worker: the four verbs, and the waiting between them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::Applier;
use super::observe::Observer;
use super::{Published, Shared, Snapshot, load};
use crate::domain::advance::{Decision, advance};
use crate::domain::ids::Arn;
use crate::domain::observation::Observation;
use crate::domain::phase::Phase;
use crate::domain::request::{Answer, Refusal, Request};
use crate::domain::rollout::Rollout;
use crate::domain::weight::Weight;
use crate::journal::JournalError;
use crate::telemetry::TickReport;

/// What reaches a worker from outside.
pub(crate) enum Message {
    /// A person's request; the answer comes when it is on disk, or refused.
    Ask(Request, oneshot::Sender<Result<(), Refusal>>),
    /// Look again now: something that concerns everybody changed.
    Wake,
}

/// After a write the next look comes this soon, to see it on every rule; then after twice as long, and so on, up to the
/// usual time between ticks.
const READ_BACK: Duration = Duration::from_millis(250);

/// A journal that fails is tried again after this long.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// One rollout's worker. It alone writes this rollout's journal and route.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    rollout: Rollout,
    inbox: mpsc::Receiver<Message>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    observer: Observer,
    applier: Applier,
    /// Requests taken from the inbox, not yet answered.
    asked: Vec<(Request, oneshot::Sender<Result<(), Refusal>>)>,
    /// When the data arrived that decided the rollback under way.
    rollback_since: Option<Instant>,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        rollout: Rollout,
        inbox: mpsc::Receiver<Message>,
        snapshot: watch::Sender<Arc<Snapshot>>,
    ) -> Self {
        let (observer, applier) = (Observer::default(), Applier::default());
        Self { shared, rollout, inbox, snapshot, observer, applier, asked: Vec::new(), rollback_since: None }
    }

    /// Ticks until `stop`; a tick under way is finished first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut due = Instant::now() + self.first_wait();
        let mut unconfirmed = 0;
        while self.wait(due, &stop).await {
            let lag = Instant::now().saturating_duration_since(due);
            if let Err(error) = self.tick(lag).await {
                self.recover(error, &stop).await;
            }
            unconfirmed = if self.applier.wrote() { unconfirmed + 1 } else { 0 };
            due = Instant::now() + self.pause(unconfirmed);
        }
    }

    /// Time until the next tick, the writes of so many ticks in a row not being confirmed.
    fn pause(&self, unconfirmed: u32) -> Duration {
        let usual = self.shared.settings.tick_interval;
        match unconfirmed {
            0 => usual,
            ticks => READ_BACK.saturating_mul(2_u32.saturating_pow(ticks - 1)).min(usual),
        }
    }

    /// One tick: the whole of the controller.
    async fn tick(&mut self, lag: Duration) -> Result<(), JournalError> {
        let began = Instant::now();
        let seen = self.observe().await;
        let arrived = Instant::now();
        let decision = advance(&self.rollout, &seen, self.shared.ports.clock.now());
        self.record(&decision).await?; // on disk before anything is done
        self.note_rollback(&decision, arrived);
        self.tell(&seen, &decision, began.elapsed(), lag);
        self.answer(&decision.answers);
        self.rollout = decision.rollout;
        // A failure here is seen by the next look.
        self.applier.apply(&self.shared, &self.rollout, decision.commands, &mut self.inbox, &mut self.asked).await;
        Ok(())
    }

    async fn observe(&mut self) -> Observation {
        let mut seen = self.observer.observe(&self.shared, &self.rollout, &mut self.inbox, &mut self.asked).await;
        seen.requests = self.asked.iter().map(|(request, _)| request.clone()).collect();
        seen.written = self.applier.reports().to_vec();
        seen
    }

    async fn record(&mut self, decision: &Decision) -> Result<(), JournalError> {
        if !decision.events.is_empty() {
            let began = Instant::now();
            let name = &self.rollout.spec.name;
            let rules: &[Arn] =
                if decision.rollout.phase.is_terminal() { &[] } else { decision.rollout.spec.route.rules() };
            let journal = &self.shared.ports.journal;
            let result = journal.append(name, self.rollout.seq, rules, decision.events.clone()).await;
            let recorded = match result {
                Err(JournalError::RuleTaken { rule, owner }) => return Err(self.rule_taken(rule, owner)),
                other => other?,
            };
            self.shared.ports.metrics.appended(began.elapsed().as_secs_f64());
            for event in recorded {
                // Nobody listening is no error.
                let _listeners = self.shared.published.send(Published { rollout: name.clone(), event });
            }
        }
        Ok(())
    }

    /// A new attempt wants a rule that another rollout holds by now: who asked for it learns that.
    fn rule_taken(&mut self, rule: Arn, owner: crate::domain::ids::RolloutName) -> JournalError {
        let detail = format!("{rule} belongs to the active rollout `{owner}`: wait until that one ends");
        for (_, sender) in self.asked.drain(..) {
            let _gone = sender.send(Err(Refusal::new("rule_taken", detail.clone())));
        }
        JournalError::RuleTaken { rule, owner }
    }

    fn answer(&mut self, answers: &[Answer]) {
        for Answer { id, result } in answers {
            let place = self.asked.iter().position(|(request, _)| request.id == *id);
            if let Some(place) = place {
                let (_, sender) = self.asked.swap_remove(place);
                let _gone = sender.send(result.clone());
            }
        }
    }

    fn note_rollback(&mut self, decision: &Decision, arrived: Instant) {
        let now_back = decision.rollout.phase == Phase::RollingBack;
        if now_back && self.rollout.phase != Phase::RollingBack {
            self.rollback_since = Some(arrived);
        }
        let done = decision.rollout.intended == Weight::ZERO && decision.rollout.is_confirmed();
        if done && let Some(since) = self.rollback_since.take() {
            self.shared.ports.metrics.rolled_back(since.elapsed().as_secs_f64());
        }
    }

    fn tell(&self, seen: &Observation, decision: &Decision, took: Duration, lag: Duration) {
        let report = TickReport {
            before: &self.rollout,
            after: &decision.rollout,
            hold: decision.hold.as_ref(),
            assessment: &decision.assessment,
            route: seen.route.read().map(Vec::as_slice),
            took_s: took.as_secs_f64(),
            lag_s: lag.as_secs_f64(),
        };
        self.shared.ports.metrics.ticked(&report);
        log(&self.rollout, decision);
        let now = self.shared.ports.clock.now();
        self.snapshot.send_modify(|old| *old = Arc::new(Snapshot::after_tick(old, seen, decision, now)));
    }

    /// Waits for the next tick, or for something to do at once. `false`: it is time to stop.
    async fn wait(&mut self, due: Instant, stop: &CancellationToken) -> bool {
        if stop.is_cancelled() {
            return false;
        }
        if !self.asked.is_empty() {
            return true;
        }
        let idle = !self.rollout.is_active();
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            message = self.inbox.recv() => match message {
                Some(Message::Ask(request, answer)) => { self.asked.push((request, answer)); true }
                Some(Message::Wake) => true,
                None => false,
            },
            () = tokio::time::sleep_until(due), if !idle => true,
        }
    }

    /// Spreads the first ticks of many rollouts over the interval, by name, so that they do not call all at once.
    fn first_wait(&self) -> Duration {
        let sum: u32 =
            self.rollout.spec.name.as_str().bytes().fold(0, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        self.shared.settings.tick_interval.mul_f64(f64::from(sum % 100) / 400.0)
    }

    /// After a failed append nobody can know what is on disk: load again before deciding anything.
    async fn recover(&mut self, error: JournalError, stop: &CancellationToken) {
        let name = self.rollout.spec.name.clone();
        if let JournalError::Superseded { .. } = error {
            tracing::error!(rollout = %name, %error, "another process has taken over; this one stops");
            self.shared.stop.cancel();
            return;
        }
        tracing::error!(rollout = %name, %error, "nothing could be recorded, so nothing was done");
        loop {
            // Whoever asks waits meanwhile, so the next tick would come at once.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(JOURNAL_RETRY) => {}
            }
            match load(self.shared.ports.journal.as_ref(), &name).await {
                Ok(rollout) => {
                    self.rollout = rollout;
                    return;
                }
                Err(error) => {
                    tracing::error!(rollout = %name, error = &error as &dyn std::error::Error, "the journal cannot be read");
                }
            }
        }
    }
}

/// Info: a phase changed. Warn: look today. Error: wake someone.
fn log(before: &Rollout, decision: &Decision) {
    use crate::domain::event::{Event, NoticeLevel};
    let name = before.spec.name.as_str();
    for event in &decision.events {
        match &event.event {
            Event::PhaseChanged { from, to, cause } => {
                tracing::info!(rollout = name, %from, %to, why = cause.detail, "phase changed");
            }
            Event::WeightIntended { weight, cause, .. } => {
                tracing::info!(rollout = name, %weight, why = cause.detail, "weight decided");
            }
            Event::NoticeRaised { level: NoticeLevel::Page, text } => tracing::error!(rollout = name, "{text}"),
            Event::NoticeRaised { level: NoticeLevel::Warning, text } => tracing::warn!(rollout = name, "{text}"),
            Event::NoticeRaised { level: NoticeLevel::Info, text } => tracing::info!(rollout = name, "{text}"),
            Event::Created(_)
            | Event::Requested { .. }
            | Event::PlanChanged(_)
            | Event::AttemptStarted { .. }
            | Event::Inspected(_)
            | Event::BaselineTaken { .. }
            | Event::FindingWaived { .. }
            | Event::WeightConfirmed { .. }
            | Event::StepPassed { .. }
            | Event::MetricsRead { .. }
            | Event::VerdictChanged { .. }
            | Event::HealthChanged(_)
            | Event::AlarmsChanged(_)
            | Event::DriftFound { .. }
            | Event::DriftCleared
            | Event::Reasserted { .. }
            | Event::StickinessIntended { .. }
            | Event::HoldChanged(_) => {}
        }
    }
}
