//! The stage: the real controller with its journal and its API, and around it a world in memory whose time runs faster.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use jiff::{Timestamp, Unit};
use tempfile::TempDir;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::config::controller::{self, Database, Settings};
use crate::controller::{Handle, Ports};
use crate::domain::ids::RolloutName;
use crate::domain::time::{Span, after, since};
use crate::journal::sqlite::SqliteJournal;
use crate::simulation::{Change, Felt, Scenario, World};
use crate::telemetry::Metrics;

/// The controller's usual time between two ticks, in simulated time.
const TICK: Duration = Duration::from_secs(5);

/// Ticks never come more often than this, whatever the speed: each waits for the disk.
const TICK_MIN: Duration = Duration::from_millis(20);

/// So many steps the world may be ahead of the controller's last look: on a busy machine the world waits.
const AHEAD_MAX: u32 = 3;

/// How fast time runs, and in which steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Real time between two steps, and between two ticks.
    every: Duration,
    /// Simulated time of a step.
    step: Span,
}

impl Pace {
    /// So many times as fast as the machine's clock.
    pub(super) fn new(speed: u32) -> Self {
        let every = TICK.checked_div(speed).unwrap_or(TICK).max(TICK_MIN);
        Self { every, step: Span::from(every.saturating_mul(speed)) }
    }
}

/// A world whose time somebody moves, as everybody sees it.
#[derive(Clone)]
pub(super) struct Living {
    world: Arc<Mutex<World>>,
    clock: Arc<ManualClock>,
    start: Timestamp,
}

impl Living {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The simulated time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When the story began.
    pub(super) const fn start(&self) -> Timestamp {
        self.start
    }

    /// What happened since this was last asked.
    pub(super) fn take_happened(&self) -> Vec<(Timestamp, Change)> {
        self.world().take_happened()
    }

    /// What users felt so far.
    pub(super) fn felt(&self) -> Felt {
        self.world().felt()
    }

    /// Moves time on, step by step, for ever. It stands still while the controller has yet to look at what there is.
    pub(super) async fn run(&self, pace: Pace, handle: &Handle, name: &RolloutName) {
        let mut beat = tokio::time::interval(pace.every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let now = self.now();
            let seen = handle.get(name).filter(|rollout| {
                let fresh = |at| since(now, at) <= pace.step.times(AHEAD_MAX);
                !rollout.rollout.is_active() || rollout.ticked_at.is_some_and(fresh)
            });
            if seen.is_some() {
                let next = after(now, pace.step);
                self.world().live_until(next);
                self.clock.set(next);
            }
        }
    }
}

/// Everything that a story needs.
pub(super) struct Stage {
    pub(super) app: App,
    pub(super) living: Living,
    pub(super) name: RolloutName,
    /// The journal's folder: it goes when the stage goes.
    pub(super) folder: TempDir,
}

impl Stage {
    /// Builds the world of a scenario and the controller in it, listening on this port of the loopback address (0: on
    /// any).
    pub(super) async fn build(scenario: &Scenario, seed: u64, pace: Pace, port: u16) -> anyhow::Result<Self> {
        let spec = crate::config::rollout::parse(scenario.name, &scenario.document())?.spec;
        // Metric periods begin with whole minutes.
        let start = SystemClock.now().round(Unit::Minute).context("the clock shows no time that can be used")?;
        let clock = Arc::new(ManualClock::new(start));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let interval = spec.plan.analysis.interval;
        let mut world = World::new(&spec.route, Arc::clone(&shared), interval, scenario.script, seed);
        world.set_rate(scenario.rate);
        world.live_until(start);
        let folder = tempfile::Builder::new().prefix("greenshift-demo-").tempdir();
        let folder = folder.context("no temporary folder can be made for the journal")?;
        let settings = settings(pace, port, folder.path())?;
        let ports = Ports {
            journal: Arc::new(SqliteJournal::open(&folder.path().join("journal.db")).await?),
            router: Arc::new(world.router().clone()),
            metric_provider: Arc::new(world.metrics().clone()),
            clock: shared,
            metrics: Arc::new(Metrics::new()?),
        };
        let app = App::with_ports(&settings, ports).await?;
        let living = Living { world: Arc::new(Mutex::new(world)), clock, start };
        Ok(Self { app, living, name: spec.name, folder })
    }
}

fn settings(pace: Pace, port: u16, folder: &std::path::Path) -> anyhow::Result<Settings> {
    // The operator's own variables are for the operator's own controller.
    let defaults = controller::load(None, &BTreeMap::new())?.settings;
    Ok(Settings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        database: Database::Sqlite(folder.join("journal.db")),
        tick_interval: Span::from(pace.every),
        shutdown_timeout: Span::from_secs(2),
        ..defaults
    })
}
