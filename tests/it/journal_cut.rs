//! The journal of a whole rollout is cut at every record, and a new controller goes on from what is left.
//!
//! The first controller dies at the cut: what comes behind it is lost, also of the same batch (which no store of ours
//! would do: a batch is kept whole or not at all), and either nothing or all of the decision was carried out. The second
//! finds the world as the first left it, some time later. It must go on with the plan or take everything back, write no
//! weight above the plan's next, and end as the uncut rollout does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use greenshift::clock::{Clock, ScaledClock};
use greenshift::controller::{self, Handle, Ports, Settings};
use greenshift::domain::event::{Event, NewEvent, Recorded};
use greenshift::domain::freeze::Freeze;
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::invariants;
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::Spec;
use greenshift::domain::replay::replay;
use greenshift::domain::time::Span;
use greenshift::domain::weight::Weight;
use greenshift::journal::memory::MemoryJournal;
use greenshift::journal::{Journal, JournalError};
use greenshift::simulation::{Scenario, World};
use greenshift::telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest life of a story, in simulated time.
const LIFE: Duration = Duration::from_hours(4);
/// For how long nobody is there after a cut.
const ABSENCE: Duration = Duration::from_secs(40);
/// Two steps and the rest, held as briefly as the judge can do with.
const STEPS: &str = "steps: [{weight: 10%, hold: 3m}, {weight: 50%, hold: 3m}, {weight: 100%}]";

/// What became of the last decision before the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// Nothing of it was carried out.
    BeforeApplying,
    /// All of it was carried out.
    AfterApplying,
}

/// A journal whose process dies with the record `at`.
struct Dying {
    inner: MemoryJournal,
    at: usize,
    dies: Dies,
    dead: Mutex<bool>,
    /// Whether the cut parts a batch.
    parts: Mutex<bool>,
}

impl Dying {
    fn new(at: usize, dies: Dies) -> Self {
        Self { inner: MemoryJournal::new(), at, dies, dead: Mutex::default(), parts: Mutex::default() }
    }

    fn superseded<T>() -> Result<T, JournalError> {
        Err(JournalError::Superseded { ours: 1, found: 2 })
    }
}

#[async_trait]
impl Journal for Dying {
    async fn create(
        &self,
        rollout: &RolloutName,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError> {
        *self.dead.lock().unwrap() = events.len() >= self.at;
        self.inner.create(rollout, rules, events).await
    }

    async fn append(
        &self,
        rollout: &RolloutName,
        after_seq: u64,
        rules: &[Arn],
        mut events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError> {
        if *self.dead.lock().unwrap() {
            return Self::superseded();
        }
        let left = self.at - usize::try_from(after_seq).unwrap();
        let (cut, whole) = (events.len() >= left, events.len() <= left);
        events.truncate(left);
        let recorded = self.inner.append(rollout, after_seq, rules, events).await?;
        *self.dead.lock().unwrap() = cut;
        *self.parts.lock().unwrap() = !whole;
        if cut && !(whole && self.dies == Dies::AfterApplying) {
            return Self::superseded();
        }
        Ok(recorded)
    }

    async fn load(&self, rollout: &RolloutName, after_seq: u64, limit: u32) -> Result<Vec<Recorded>, JournalError> {
        self.inner.load(rollout, after_seq, limit).await
    }

    async fn list(&self) -> Result<Vec<RolloutName>, JournalError> {
        self.inner.list().await
    }

    async fn delete(&self, rollout: &RolloutName) -> Result<(), JournalError> {
        self.inner.delete(rollout).await
    }

    async fn freeze(&self) -> Result<Option<Freeze>, JournalError> {
        self.inner.freeze().await
    }

    async fn set_freeze(&self, freeze: Option<Freeze>) -> Result<(), JournalError> {
        self.inner.set_freeze(freeze).await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        self.inner.ping().await
    }

    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What was seen of a story.
#[derive(Debug)]
struct Told {
    phase: Phase,
    /// Green's weights in the order in which they were written, 0 at first.
    written: Vec<Weight>,
    /// Those that the journal holds.
    intended: Vec<Weight>,
    records: usize,
    broken: Vec<String>,
}

/// A world that lives by itself, and the means to run controllers in it one after another.
struct Stage {
    spec: Spec,
    clock: Arc<dyn Clock>,
    world: Arc<Mutex<World>>,
    _living: JoinSet<()>,
}

impl Stage {
    fn new(scenario: &Scenario) -> Self {
        let spec = greenshift::config::rollout::parse("story", &scenario.document()).unwrap().spec;
        let clock: Arc<dyn Clock> = Arc::new(ScaledClock::new("2026-03-02T10:00:00Z".parse().unwrap(), 1));
        let mut world = World::new(&spec.route, Arc::clone(&clock), spec.plan.analysis.interval, scenario.script, 1);
        world.set_rate(scenario.rate);
        world.live_until(clock.now());
        let world = Arc::new(Mutex::new(world));
        let mut living = JoinSet::new();
        let (lives, time) = (Arc::clone(&world), Arc::clone(&clock));
        living.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                lives.lock().unwrap().live_until(time.now());
            }
        });
        Self { spec, clock, world, _living: living }
    }

    async fn controller(&self, journal: Arc<dyn Journal>, stop: &CancellationToken) -> Handle {
        let (router, metric_provider) = {
            let world = self.world.lock().unwrap();
            (Arc::new(world.router().clone()), Arc::new(world.metrics().clone()))
        };
        let metrics = Arc::new(Metrics::default());
        let ports = Ports { journal, router, metric_provider, clock: Arc::clone(&self.clock), metrics };
        let settings = Settings {
            tick_interval: Duration::from_secs(10),
            health_interval: Span::from_secs(30),
            owner: "greenshift".to_owned(),
            claim_rules: true,
            active_rollouts_max: 10,
        };
        controller::start(ports, settings, stop.clone()).await.unwrap()
    }

    /// Waits until the rollout stands still.
    async fn still(&self, handle: &Handle) -> Phase {
        let mut watch = handle.watch(&self.spec.name).unwrap();
        let still = |phase: Phase| phase.is_terminal() || matches!(phase, Phase::Paused | Phase::Halted);
        let wait = watch.wait_for(|snapshot| still(snapshot.rollout.phase));
        match tokio::time::timeout(LIFE, wait).await {
            Ok(snapshot) => snapshot.unwrap().rollout.phase,
            Err(_late) => handle.get(&self.spec.name).unwrap().rollout.phase,
        }
    }

    async fn told(&self, phase: Phase, journal: &dyn Journal) -> Told {
        let events = journal.load(&self.spec.name, 0, 1_000_000).await.unwrap();
        let rollout = replay(&events).unwrap();
        let mut broken = invariants::of_history(&events, &rollout);
        if rollout.phase != phase {
            broken.push(format!("the journal says {}, the controller {phase}", rollout.phase));
        }
        let world = self.world.lock().unwrap();
        let rules = self.spec.route.rules();
        let shares = world.router().writes().into_iter().map(|write| write.after.share().unwrap());
        let mut written = vec![Weight::ZERO];
        written.extend(shares);
        written.dedup();
        if rules.iter().any(|rule| world.router().live(rule).unwrap().share() != written.last().copied()) {
            broken.push("the rules are not where they were brought".to_owned());
        }
        let mut intended = vec![Weight::ZERO];
        intended.extend(events.iter().filter_map(|recorded| match &recorded.event {
            Event::WeightIntended { weight, .. } => Some(*weight),
            _ => None,
        }));
        Told { phase, written, intended, records: events.len(), broken }
    }
}

/// The whole story, uncut.
async fn whole(scenario: &Scenario) -> Told {
    let stage = Stage::new(scenario);
    let (journal, stop) = (Arc::new(MemoryJournal::new()), CancellationToken::new());
    let handle = stage.controller(Arc::clone(&journal) as _, &stop).await;
    handle.create(stage.spec.clone(), "alice").await.unwrap();
    let phase = stage.still(&handle).await;
    stop.cancel();
    handle.stopped().await;
    stage.told(phase, journal.as_ref()).await
}

/// The story, cut behind the record `at`, and how it went on; and whether that cut parted a batch.
async fn cut(scenario: &Scenario, at: usize, dies: Dies) -> (Told, bool) {
    let stage = Stage::new(scenario);
    let (journal, stop) = (Arc::new(Dying::new(at, dies)), CancellationToken::new());
    let first = stage.controller(Arc::clone(&journal) as _, &stop).await;
    first.create(stage.spec.clone(), "alice").await.unwrap();
    // It stops by itself when it learns that it may not write any more; not, when that was its last record.
    let _over = tokio::time::timeout(LIFE, async { tokio::join!(stop.cancelled(), first.stopped()) }).await;
    stop.cancel();
    first.stopped().await;
    let left = journal.inner.reopen();
    assert_eq!(left.load(&stage.spec.name, 0, 1_000_000).await.unwrap().len(), at);
    tokio::time::sleep(ABSENCE).await;
    let (left, stop) = (Arc::new(left), CancellationToken::new());
    let second = stage.controller(Arc::clone(&left) as _, &stop).await;
    let phase = stage.still(&second).await;
    stop.cancel();
    second.stopped().await;
    let parts = *journal.parts.lock().unwrap();
    (stage.told(phase, left.as_ref()).await, parts)
}

/// What is wrong with how a cut story went on.
fn wrong(spec: &Spec, whole: &Told, told: &Told) -> Vec<String> {
    let mut wrong = told.broken.clone();
    if told.phase != whole.phase {
        wrong.push(format!("it ended {}", told.phase));
    }
    let plan: Vec<Weight> = std::iter::once(Weight::ZERO).chain(spec.plan.steps.iter().map(|s| s.weight)).collect();
    for line in [&told.written, &told.intended] {
        let raises = match line.split_last() {
            Some((last, raises)) if *last == Weight::ZERO && !raises.is_empty() => raises,
            Some(_) | None => line,
        };
        let ends = line.last() == whole.written.last();
        if !plan.starts_with(raises) || !ends {
            wrong.push(format!("green was given {line:?}"));
        }
    }
    wrong
}

async fn every_cut(name: &str) {
    let scenario = Scenario { plan: STEPS, ..*Scenario::named(name).unwrap() };
    let spec = Stage::new(&scenario).spec;
    let uncut = whole(&scenario).await;
    assert_eq!(uncut.phase, scenario.ends, "{uncut:?}");
    assert_eq!(wrong(&spec, &uncut, &uncut), [""; 0]);
    let mut failed = Vec::new();
    for at in 1..=uncut.records {
        for dies in [Dies::BeforeApplying, Dies::AfterApplying] {
            let (told, parts) = cut(&scenario, at, dies).await;
            for wrong in wrong(&spec, &uncut, &told) {
                failed.push(format!("{name} cut behind record {at} of {}, {dies:?}: {wrong}", uncut.records));
            }
            if parts {
                // Nothing of half a decision can have been carried out.
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_good_rollout_goes_on_from_a_journal_cut_at_any_record() {
    every_cut("healthy").await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_goes_on_from_a_journal_cut_at_any_record() {
    every_cut("bad-green").await;
}
