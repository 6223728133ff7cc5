//! How the API and the demo speak to the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::worker::Message;
use super::{Published, Shared, Snapshot, StartError, WorkerRef, load};
use crate::domain::event::{Event, NewEvent, Recorded};
use crate::domain::freeze::Freeze;
use crate::domain::ids::{Arn, RolloutName};
use crate::domain::observation::{AlarmSeen, HealthSeen, MetricsSeen, RuleSeen, Seen, Trouble};
use crate::domain::plan::{Route, Spec};
use crate::domain::preflight::Inspection;
use crate::domain::request::{Ask, Refusal, Request};
use crate::domain::weight::Weight;
use crate::journal::JournalError;
use crate::metric_provider::Query;
use crate::traffic_router::PlannedWrite;

/// Longest time that somebody who asks waits for the answer; the request may still be taken after it.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How the API and the demo speak to the workers. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    next_id: Arc<AtomicU64>,
}

/// Why a rollout could not be created; nothing was.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is taken by a rollout with another document.
    #[error("a rollout named `{0}` exists already")]
    Exists(RolloutName),
    /// A rule belongs to another active rollout.
    #[error("{rule} belongs to the active rollout `{owner}`")]
    RuleTaken {
        /// The rule or listener.
        rule: Arn,
        /// The rollout that owns it.
        owner: RolloutName,
    },
    /// As many rollouts are active as the configuration allows.
    #[error("{0} rollouts are active, which is the limit of this controller (`limits.active_rollouts`)")]
    TooMany(usize),
    /// The journal failed.
    #[error("the rollout could not be recorded")]
    Journal(#[source] JournalError),
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No such rollout.
    #[error("no rollout is named `{0}`")]
    NotFound(RolloutName),
    /// The rules of the rollout refuse it.
    #[error(transparent)]
    Refused(Refusal),
    /// Too many requests wait for this rollout's next tick.
    #[error("too many requests wait for this rollout")]
    Busy,
    /// No answer in time; whether it was taken shows in the rollout.
    #[error("no answer in time: look at the rollout to see whether it was taken")]
    NoAnswer,
}

/// Why a rollout was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// No such rollout.
    #[error("no rollout is named `{0}`")]
    NotFound(RolloutName),
    /// It has not ended.
    #[error("the rollout is still active: abort it first")]
    Active,
    /// The journal failed.
    #[error("the rollout could not be deleted")]
    Journal(#[from] JournalError),
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, next_id: Arc::new(AtomicU64::new(1)) }
    }

    /// Creates a rollout and starts it. Once this returns, it is on disk.
    pub async fn create(&self, spec: Spec, actor: &str) -> Result<Arc<Snapshot>, CreateError> {
        let limit = self.shared.settings.active_rollouts_max;
        if self.list().iter().filter(|snapshot| snapshot.rollout.is_active()).count() >= limit {
            return Err(CreateError::TooMany(limit));
        }
        let now = self.shared.ports.clock.now();
        let name = spec.name.clone();
        let rules = spec.route.rules().to_vec();
        let event = NewEvent { at: now, actor: actor.to_owned(), event: Event::Created(Box::new(spec)) };
        let journal = &self.shared.ports.journal;
        let created = journal.create(&name, &rules, vec![event]).await.map_err(|error| match error {
            JournalError::Exists(name) => CreateError::Exists(name),
            JournalError::RuleTaken { rule, owner } => CreateError::RuleTaken { rule, owner },
            other @ (JournalError::Conflict { .. }
            | JournalError::Superseded { .. }
            | JournalError::NotFound(_)
            | JournalError::Unwritable { .. }
            | JournalError::Unreadable(_)
            | JournalError::Unusable(_)
            | JournalError::Store(_)) => CreateError::Journal(other),
        })?;
        let rollout = load(journal.as_ref(), &name).await.map_err(|error| match error {
            StartError::Journal(error) => CreateError::Journal(error),
            StartError::Replay { source, .. } => CreateError::Journal(JournalError::Unreadable(source.to_string())),
        })?;
        let worker = self.shared.spawn(rollout);
        for event in created {
            let _listeners = self.shared.published.send(Published { rollout: name.clone(), event });
        }
        Ok(worker.snapshot.borrow().clone())
    }

    /// Asks something of a rollout and waits until it is on disk, or refused.
    pub async fn ask(
        &self,
        name: &RolloutName,
        ask: Ask,
        actor: &str,
        reason: &str,
    ) -> Result<Arc<Snapshot>, AskError> {
        let worker = self.worker(name).ok_or_else(|| AskError::NotFound(name.clone()))?;
        let request = Request {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            ask,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            at: self.shared.ports.clock.now(),
        };
        let (sender, receiver) = oneshot::channel();
        worker.inbox.try_send(Message::Ask(request, sender)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::NoAnswer,
        })?;
        let answer = tokio::time::timeout(ANSWER_MAX, receiver).await;
        let answer = answer.map_err(|_elapsed| AskError::NoAnswer)?.map_err(|_stopped| AskError::NoAnswer)?;
        answer.map_err(AskError::Refused)?;
        let now = worker.snapshot.borrow().clone();
        Ok(now)
    }

    /// What is known of a rollout right now.
    pub fn get(&self, name: &RolloutName) -> Option<Arc<Snapshot>> {
        self.worker(name).map(|worker| worker.snapshot.borrow().clone())
    }

    /// All rollouts, by name.
    pub fn list(&self) -> Vec<Arc<Snapshot>> {
        let workers = self.shared.workers.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        workers.values().map(|worker| worker.snapshot.borrow().clone()).collect()
    }

    /// A rollout's snapshot, and a wake-up whenever it changes.
    pub fn watch(&self, name: &RolloutName) -> Option<watch::Receiver<Arc<Snapshot>>> {
        self.worker(name).map(|worker| worker.snapshot)
    }

    /// Events of all rollouts as they are recorded; who falls behind reads the journal.
    pub fn subscribe(&self) -> broadcast::Receiver<Published> {
        self.shared.published.subscribe()
    }

    /// Events of one rollout behind `after`, oldest first.
    pub async fn events(&self, name: &RolloutName, after: u64, limit: u32) -> Result<Vec<Recorded>, JournalError> {
        self.shared.ports.journal.load(name, after, limit).await
    }

    /// Removes an ended rollout for ever.
    pub async fn delete(&self, name: &RolloutName) -> Result<(), DeleteError> {
        let worker = self.worker(name).ok_or_else(|| DeleteError::NotFound(name.clone()))?;
        if worker.snapshot.borrow().rollout.is_active() {
            return Err(DeleteError::Active);
        }
        worker.stop.cancel();
        self.shared.ports.journal.delete(name).await?;
        self.shared.workers.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
        self.shared.ports.metrics.forget(name.as_str());
        Ok(())
    }

    /// Stops (or allows again, with `None`) all forward moves of all rollouts; rollbacks go on. Once this returns
    /// without an error, it is on disk and in effect.
    ///
    /// After an error nothing moves forward: a freeze is in effect from the call on, though a restart may end it, and
    /// what is frozen goes on only when that is on disk. Dropping the future does not take the call back.
    pub async fn freeze(&self, freeze: Option<Freeze>) -> Result<(), JournalError> {
        if freeze.is_some() {
            self.shared.take_effect(freeze.clone());
        }
        let shared = Arc::clone(&self.shared);
        // A task of its own: whoever asked may go away, and then disk and memory must not part.
        let kept = self.shared.tasks.spawn(async move { shared.keep_freeze(freeze).await }).await;
        kept.unwrap_or_else(|lost| Err(JournalError::Store(format!("the write was lost: {lost}"))))
    }

    /// Since when, by whom and why all forward moves are frozen, if they are.
    pub fn frozen(&self) -> Option<Freeze> {
        self.shared.freeze.borrow().clone()
    }

    /// Inspects a route without moving anything: for dry runs.
    pub async fn inspect(&self, route: &Route) -> Result<Inspection, Trouble> {
        self.shared.ports.router.inspect(route, &self.shared.settings.owner).await
    }

    /// The rules of a route as they are now: for dry runs.
    pub async fn rules(&self, route: &Route) -> Result<Vec<RuleSeen>, Trouble> {
        self.shared.ports.router.read(route).await
    }

    /// The targets of a route: for dry runs.
    pub async fn health(&self, route: &Route) -> Result<HealthSeen, Trouble> {
        self.shared.ports.router.health(route).await
    }

    /// The writes that would take a route to each of the weights in turn.
    pub async fn planned_writes(&self, route: &Route, weights: &[Weight]) -> Result<Vec<PlannedWrite>, Trouble> {
        self.shared.ports.router.plan(route, weights).await
    }

    /// The states of named alarms: for dry runs.
    pub async fn alarms(&self, names: &[String]) -> Seen<Vec<AlarmSeen>> {
        self.shared.ports.metric_provider.alarms(names).await
    }

    /// Reads metrics without a rollout: for dry runs.
    pub async fn metrics(&self, query: Query) -> Seen<MetricsSeen> {
        let answers = self.shared.ports.metric_provider.fetch(std::slice::from_ref(&query)).await;
        answers.into_iter().next().unwrap_or_default()
    }

    /// Whether the journal answers.
    pub async fn ping(&self) -> Result<(), JournalError> {
        self.shared.ports.journal.ping().await
    }

    /// Our own metrics.
    pub fn own_metrics(&self) -> &Arc<crate::telemetry::Metrics> {
        &self.shared.ports.metrics
    }

    /// The time, as the rollouts see it.
    pub fn now(&self) -> jiff::Timestamp {
        self.shared.ports.clock.now()
    }

    /// Waits until every worker has finished its tick. Call after the stop token was cancelled.
    pub async fn stopped(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn worker(&self, name: &RolloutName) -> Option<WorkerRef> {
        self.shared.worker(name)
    }
}

impl Shared {
    async fn keep_freeze(&self, freeze: Option<Freeze>) -> Result<(), JournalError> {
        let _turn = self.freezing.lock().await;
        if freeze.is_some() {
            // Again: a call whose turn came first may have ended it since.
            self.take_effect(freeze.clone());
            return self.ports.journal.set_freeze(freeze).await;
        }
        self.ports.journal.set_freeze(None).await?;
        self.take_effect(None);
        Ok(())
    }

    fn take_effect(&self, freeze: Option<Freeze>) {
        self.freeze.send_replace(freeze);
        let workers = self.workers.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for worker in workers.values() {
            // A full inbox means that it ticks at once anyway.
            let _full = worker.inbox.try_send(Message::Wake);
        }
    }
}
