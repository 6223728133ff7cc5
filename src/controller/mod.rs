//! Effects: one worker per rollout, each observing, deciding, recording and applying; and the handle by which the API
//! speaks to them.

mod apply;
mod handle;
mod observe;
mod snapshot;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::domain::event::Recorded;
use crate::domain::freeze::Freeze;
use crate::domain::ids::RolloutName;
use crate::domain::replay::{ReplayError, replay};
use crate::domain::rollout::Rollout;
use crate::domain::time::Span;
use crate::journal::{Journal, JournalError};
use crate::metric_provider::MetricProvider;
use crate::telemetry::Metrics;
use crate::traffic_router::TrafficRouter;

pub use handle::{AskError, CreateError, DeleteError, Handle};
pub use snapshot::Snapshot;
use worker::{Message, Worker};

/// Everything outside that the controller works with.
#[derive(Clone)]
pub struct Ports {
    /// Where events are kept.
    pub journal: Arc<dyn Journal>,
    /// Where weights live.
    pub router: Arc<dyn TrafficRouter>,
    /// Where metrics come from.
    pub metric_provider: Arc<dyn MetricProvider>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Our own metrics.
    pub metrics: Arc<Metrics>,
}

/// How the controller runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time between two ticks of a rollout.
    pub tick_interval: Duration,
    /// How old a count of targets may be (by the ports' clock) where an old one will do.
    pub health_interval: Span,
    /// The name under which rules are marked as ours.
    pub owner: String,
    /// Whether rules are marked at all.
    pub claim_rules: bool,
    /// Most rollouts that may be active at once.
    pub active_rollouts_max: usize,
}

/// Why the controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal could not be read.
    #[error("could not load the rollouts")]
    Journal(#[from] JournalError),
    /// A rollout's journal makes no sense.
    #[error("the journal of `{rollout}` cannot be replayed")]
    Replay {
        /// The rollout.
        rollout: RolloutName,
        /// What is wrong with it.
        source: ReplayError,
    },
}

/// An event of some rollout, as subscribers get it.
#[derive(Debug, Clone)]
pub struct Published {
    /// The rollout.
    pub rollout: RolloutName,
    /// The event.
    pub event: Recorded,
}

/// Events that a slow subscriber may fall behind before it loses some (it can read them from the journal).
const PUBLISHED_MAX: usize = 1024;

/// Requests that may wait for one rollout's next tick.
const INBOX_MAX: usize = 64;

/// How many events are loaded at a time.
const LOAD_MAX: u32 = 5_000;

/// What workers and handle share.
pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) published: broadcast::Sender<Published>,
    /// In effect now.
    pub(crate) freeze: watch::Sender<Option<Freeze>>,
    /// Held while a freeze is kept or taken away, so that what is in effect and what is on disk change in one order.
    pub(crate) freezing: tokio::sync::Mutex<()>,
    pub(crate) workers: RwLock<BTreeMap<RolloutName, WorkerRef>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// How the handle reaches a worker.
#[derive(Clone)]
pub(crate) struct WorkerRef {
    pub(crate) inbox: mpsc::Sender<Message>,
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Ends this worker alone.
    pub(crate) stop: CancellationToken,
}

/// Loads every rollout and starts its worker; what was frozen before is frozen still. `stop` ends them all: each finishes its tick first.
pub async fn start(ports: Ports, settings: Settings, stop: CancellationToken) -> Result<Handle, StartError> {
    // Before any worker ticks: none may move forward on the assumption that nothing is frozen.
    let freeze = ports.journal.freeze().await?;
    if let Some(Freeze { reason, actor, at }) = &freeze {
        tracing::warn!(actor, reason, since = %at, "all forward moves are still frozen");
    }
    let (published, _) = broadcast::channel(PUBLISHED_MAX);
    let shared = Arc::new(Shared {
        ports,
        settings,
        published,
        freeze: watch::Sender::new(freeze),
        freezing: tokio::sync::Mutex::default(),
        workers: RwLock::new(BTreeMap::new()),
        tasks: TaskTracker::new(),
        stop,
    });
    for name in shared.ports.journal.list().await? {
        let rollout = load(shared.ports.journal.as_ref(), &name).await?;
        shared.spawn(rollout);
    }
    Ok(Handle::new(shared))
}

/// Loads one rollout's whole journal and replays it.
pub(crate) async fn load(journal: &dyn Journal, name: &RolloutName) -> Result<Rollout, StartError> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let page = journal.load(name, after, LOAD_MAX).await?;
        let whole = u32::try_from(page.len()).unwrap_or(u32::MAX) < LOAD_MAX;
        events.extend(page);
        if whole {
            break;
        }
    }
    replay(&events).map_err(|source| StartError::Replay { rollout: name.clone(), source })
}

impl Shared {
    /// Starts the worker of a rollout.
    pub(crate) fn spawn(self: &Arc<Self>, rollout: Rollout) -> WorkerRef {
        let name = rollout.spec.name.clone();
        let (inbox, receiver) = mpsc::channel(INBOX_MAX);
        let (sender, snapshot) = watch::channel(Arc::new(Snapshot::loaded(rollout.clone())));
        let stop = self.stop.child_token();
        let reference = WorkerRef { inbox, snapshot, stop: stop.clone() };
        let worker = Worker::new(Arc::clone(self), rollout, receiver, sender);
        self.tasks.spawn(worker.run(stop));
        let mut workers = self.workers.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        workers.insert(name, reference.clone());
        reference
    }

    /// The worker of a rollout.
    pub(crate) fn worker(&self, name: &RolloutName) -> Option<WorkerRef> {
        self.workers.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }
}
