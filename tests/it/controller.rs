//! The controller with memory adapters, on tokio's paused time: hours pass in milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use greenshift::clock::Clock;
use greenshift::controller::{self, AskError, CreateError, Handle, Ports, Settings, Snapshot};
use greenshift::domain::command::{SetWeight, WriteReport};
use greenshift::domain::freeze::Freeze;
use greenshift::domain::hold::HoldReason;
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::observation::{HealthSeen, Period, RuleSeen, SideCounts, Trouble};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{AlbRoute, Plan, Route, Spec, Step};
use greenshift::domain::preflight::Inspection;
use greenshift::domain::replay::replay;
use greenshift::domain::request::Ask;
use greenshift::domain::time::{Span, after};
use greenshift::domain::weight::Weight;
use greenshift::journal::Journal;
use greenshift::journal::memory::{Fault, MemoryJournal};
use greenshift::metric_provider::memory::MemoryMetrics;
use greenshift::telemetry::Metrics;
use greenshift::traffic_router::memory::MemoryRouter;
use greenshift::traffic_router::{PlannedWrite, TrafficRouter};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shows the time of tokio's clock, which tests may pause.
struct TokioClock {
    start: Timestamp,
    origin: Instant,
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        after(self.start, Span::from(self.origin.elapsed()))
    }
}

/// A router whose calls can be made to hang for ever.
struct Hanging {
    inner: MemoryRouter,
    reads: AtomicBool,
    writes: AtomicBool,
}

impl Hanging {
    async fn stand(&self, hangs: &AtomicBool) {
        if hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl TrafficRouter for Hanging {
    async fn read(&self, route: &Route) -> Result<Vec<RuleSeen>, Trouble> {
        self.stand(&self.reads).await;
        self.inner.read(route).await
    }

    async fn write(&self, route: &Route, change: &SetWeight) -> Vec<WriteReport> {
        self.stand(&self.writes).await;
        self.inner.write(route, change).await
    }

    async fn health(&self, route: &Route) -> Result<HealthSeen, Trouble> {
        self.stand(&self.reads).await;
        self.inner.health(route).await
    }

    async fn inspect(&self, route: &Route, owner: &str) -> Result<Inspection, Trouble> {
        self.inner.inspect(route, owner).await
    }

    async fn claim(&self, route: &Route, owner: &str) -> Result<(), Trouble> {
        self.inner.claim(route, owner).await
    }

    async fn release(&self, route: &Route, owner: &str) -> Result<(), Trouble> {
        self.inner.release(route, owner).await
    }

    async fn plan(&self, route: &Route, weights: &[Weight]) -> Result<Vec<PlannedWrite>, Trouble> {
        self.inner.plan(route, weights).await
    }
}

fn route() -> Route {
    let arn = |resource: &str| Arn::new(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{resource}"));
    Route::Alb(AlbRoute {
        rules: vec![
            arn("listener/app/web/0011223344556677/8899aabbccddeeff"),
            arn("listener-rule/app/web/0011223344556677/8899aabbccddeeff/0123456789abcdef"),
        ],
        blue_target_group: arn("targetgroup/blue/0011223344556677"),
        green_target_group: arn("targetgroup/green/8899aabbccddeeff"),
    })
}

fn spec(name: &str) -> Spec {
    let steps = [10, 50, 100].into_iter().filter_map(Weight::from_percent).map(Step::new).collect();
    let plan = Plan { steps, ..Plan::standard() };
    Spec { name: RolloutName::parse(name).unwrap(), labels: [].into(), route: route(), plan }
}

/// Everything around a controller, which may be started several times over it.
struct World {
    journal: MemoryJournal,
    router: Arc<Hanging>,
    metrics: MemoryMetrics,
    clock: Arc<dyn Clock>,
    green_errors: Arc<std::sync::atomic::AtomicU64>,
}

/// Requests of the whole route in a minute.
const REQUESTS: f64 = 6_000.0;

impl World {
    fn new() -> Self {
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock { start, origin: Instant::now() });
        let inner = MemoryRouter::with_route(&route(), 4);
        let metrics = MemoryMetrics::new(Arc::clone(&clock));
        let green_errors = Arc::new(std::sync::atomic::AtomicU64::new(1));
        let (live, errors) = (inner.clone(), Arc::clone(&green_errors));
        let rule = route().rules()[0].clone();
        let weights = std::sync::Mutex::new(std::collections::BTreeMap::new());
        metrics.set_source(move |_: &Route, start: Timestamp, _: Span| {
            // A period keeps the weight and the errors that it was first asked with.
            let mut weights = weights.lock().unwrap();
            let now = || (live.live(&rule).unwrap().share().unwrap().ratio(), errors.load(Ordering::SeqCst));
            let (share, per_mille) = *weights.entry(start).or_insert_with(now);
            let side = |share: f64, per_mille: u64| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
                let requests = (REQUESTS * share).round() as u64;
                SideCounts { requests, errors: requests * per_mille / 1000, ..SideCounts::default() }
            };
            Some(Period { start, blue: side(1.0 - share, 1), green: side(share, per_mille), load_balancer_errors: 0 })
        });
        let router = Arc::new(Hanging { inner, reads: AtomicBool::new(false), writes: AtomicBool::new(false) });
        Self { journal: MemoryJournal::new(), router, metrics, clock, green_errors }
    }

    async fn start(&self) -> Running {
        let stop = CancellationToken::new();
        let ports = Ports {
            journal: Arc::new(self.journal.reopen()),
            router: Arc::clone(&self.router) as Arc<dyn TrafficRouter>,
            metric_provider: Arc::new(self.metrics.clone()),
            clock: Arc::clone(&self.clock),
            metrics: Arc::new(Metrics::default()),
        };
        let settings = Settings {
            tick_interval: Duration::from_secs(5),
            health_interval: Span::from_secs(30),
            owner: "greenshift".to_owned(),
            claim_rules: true,
            active_rollouts_max: 10,
        };
        let handle = controller::start(ports, settings, stop.clone()).await.unwrap();
        Running { handle, stop }
    }

    fn shares(&self) -> Vec<Weight> {
        route().rules().iter().map(|rule| self.router.inner.live(rule).unwrap().share().unwrap()).collect()
    }
}

struct Running {
    handle: Handle,
    stop: CancellationToken,
}

impl Running {
    async fn until(&self, name: &RolloutName, within: Duration, what: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut watch = self.handle.watch(name).unwrap();
        let found = tokio::time::timeout(within, watch.wait_for(|snapshot| what(snapshot))).await;
        if let Ok(snapshot) = found {
            return snapshot.unwrap().clone();
        }
        let now = self.handle.get(name).unwrap();
        panic!("still {}: {:?}, {:?}, {:?}", now.rollout.phase, now.rollout.cause, now.hold, now.troubles)
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.handle.stopped()).await.expect("stops within ten seconds");
    }
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

fn name() -> RolloutName {
    RolloutName::parse("payments").unwrap()
}

/// Without latency: the world above measures none.
fn plain() -> Spec {
    let mut spec = spec("payments");
    spec.plan.analysis.checks.retain(|check| check.name != "latency");
    spec
}

#[tokio::test(start_paused = true)]
async fn a_good_green_gets_everything_in_steps() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.until(&name(), hours(12), |s| s.rollout.phase == Phase::Completed).await;
    assert_eq!(world.shares(), [Weight::FULL, Weight::FULL]);
    let written: Vec<u32> = world.router.inner.writes().iter().map(|write| write.after.green).collect();
    assert_eq!(written, [10, 10, 50, 50, 100, 100]);
    assert_eq!(world.router.inner.owner(&route().rules()[0]), None, "the mark is taken away at the end");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_green_that_gets_worse_is_taken_back_and_the_journal_tells_all_of_it() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.until(&name(), hours(3), |s| s.rollout.confirmed == Weight::from_percent(50).unwrap()).await;
    world.green_errors.store(50, Ordering::SeqCst);
    let end = running.until(&name(), hours(1), |s| s.rollout.phase == Phase::RolledBack).await;
    assert_eq!(world.shares(), [Weight::ZERO, Weight::ZERO]);
    let events = world.journal.load(&name(), 0, 10_000).await.unwrap();
    assert_eq!(replay(&events).unwrap(), end.rollout, "I9: the replayed journal is the live state");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_waits_neither_for_a_hanging_read_nor_for_a_hanging_raise() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.until(&name(), hours(3), |s| s.rollout.confirmed == Weight::from_percent(10).unwrap()).await;
    world.router.writes.store(true, Ordering::SeqCst);
    running.until(&name(), hours(3), |s| s.rollout.intended == Weight::from_percent(50).unwrap()).await;
    world.router.reads.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    let snapshot = running.handle.ask(&name(), Ask::Abort, "bob", "smoke in the room").await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1), "answered after {:?}", asked.elapsed());
    assert_eq!(snapshot.rollout.phase, Phase::RollingBack);
    world.router.writes.store(false, Ordering::SeqCst);
    world.router.reads.store(false, Ordering::SeqCst);
    running.until(&name(), Duration::from_mins(1), |s| s.rollout.phase == Phase::Aborted).await;
    assert_eq!(world.shares(), [Weight::ZERO, Weight::ZERO]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn i6_nothing_is_applied_before_it_is_recorded() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.until(&name(), hours(3), |s| s.rollout.confirmed == Weight::from_percent(10).unwrap()).await;
    world.journal.set_answering(false);
    world.green_errors.store(500, Ordering::SeqCst);
    let before = world.router.inner.writes().len();
    tokio::time::sleep(hours(1)).await;
    assert_eq!(world.router.inner.writes().len(), before);
    world.journal.set_answering(true);
    running.until(&name(), hours(1), |s| s.rollout.phase == Phase::RolledBack).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_answer_was_lost_is_neither_repeated_nor_forgotten() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    for fault in [Fault::BeforeKept, Fault::AfterKept, Fault::BeforeKept, Fault::AfterKept] {
        world.journal.fail_next(fault);
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    running.until(&name(), hours(12), |s| s.rollout.phase == Phase::Completed).await;
    let events = world.journal.load(&name(), 0, 10_000).await.unwrap();
    replay(&events).unwrap();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_at_any_moment_goes_on_where_it_was() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.stop().await;
    for round in 0..200 {
        let running = world.start().await;
        let phase = || running.handle.get(&name()).unwrap().rollout.phase;
        tokio::time::sleep(Duration::from_secs(37 + round % 211)).await;
        let ended = phase() == Phase::Completed;
        running.stop().await;
        if ended {
            let written: Vec<u32> = world.router.inner.writes().iter().map(|write| write.after.green).collect();
            assert!(written.is_sorted(), "{written:?}");
            return;
        }
    }
    panic!("not completed after 200 restarts");
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_a_world_that_hangs() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.until(&name(), hours(3), |s| s.rollout.confirmed == Weight::from_percent(10).unwrap()).await;
    world.router.reads.store(true, Ordering::SeqCst);
    world.router.writes.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(7)).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_has_one_active_rollout() {
    let world = World::new();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    let second = Spec { name: RolloutName::parse("other").unwrap(), ..plain() };
    let error = running.handle.create(second.clone(), "bob").await.unwrap_err();
    assert!(matches!(error, CreateError::RuleTaken { .. }), "{error}");
    assert!(matches!(running.handle.create(plain(), "bob").await.unwrap_err(), CreateError::Exists(_)));
    running.handle.ask(&name(), Ask::Abort, "alice", "").await.unwrap();
    running.until(&name(), hours(1), |s| s.rollout.phase == Phase::Aborted).await;
    running.handle.create(second, "bob").await.unwrap();
    let refused = running.handle.ask(&name(), Ask::Retry, "alice", "again").await.unwrap_err();
    assert!(matches!(&refused, AskError::Refused(refusal) if refusal.code == "rule_taken"), "{refused}");
    running.stop().await;
}

fn holidays(world: &World) -> Freeze {
    Freeze { reason: "holidays".to_owned(), actor: "alice".to_owned(), at: world.clock.now() }
}

#[tokio::test(start_paused = true)]
async fn a_freeze_lasts_over_a_restart_until_it_is_turned_off() {
    let world = World::new();
    let ten = Weight::from_percent(10).unwrap();
    let running = world.start().await;
    running.handle.create(plain(), "alice").await.unwrap();
    running.until(&name(), hours(3), |s| s.rollout.confirmed == ten).await;
    let freeze = holidays(&world);
    running.handle.freeze(Some(freeze.clone())).await.unwrap();
    running.stop().await;

    let running = world.start().await;
    assert_eq!(running.handle.frozen(), Some(freeze));
    tokio::time::sleep(hours(12)).await;
    let held = running.handle.get(&name()).unwrap();
    assert_eq!((held.rollout.intended, world.shares()), (ten, vec![ten, ten]));
    let hold = held.hold.clone().unwrap();
    assert_eq!(hold.reason, HoldReason::Frozen);
    assert!(hold.detail.ends_with("alice: holidays"), "{}", hold.detail);

    running.handle.freeze(None).await.unwrap();
    running.stop().await;
    let running = world.start().await;
    assert_eq!(running.handle.frozen(), None);
    running.until(&name(), hours(12), |s| s.rollout.phase == Phase::Completed).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_freeze_that_cannot_be_recorded_is_in_effect_and_one_that_cannot_be_ended_stays() {
    let world = World::new();
    let running = world.start().await;
    let freeze = holidays(&world);
    world.journal.fail_next(Fault::BeforeKept);
    running.handle.freeze(Some(freeze.clone())).await.unwrap_err();
    assert_eq!(running.handle.frozen().as_ref(), Some(&freeze));
    assert_eq!(world.journal.freeze().await.unwrap(), None);
    running.handle.freeze(Some(freeze.clone())).await.unwrap();
    assert_eq!(world.journal.freeze().await.unwrap().as_ref(), Some(&freeze));
    for fault in [Fault::BeforeKept, Fault::AfterKept] {
        world.journal.fail_next(fault);
        running.handle.freeze(None).await.unwrap_err();
        assert_eq!(running.handle.frozen().as_ref(), Some(&freeze));
    }
    running.handle.freeze(None).await.unwrap();
    assert_eq!(running.handle.frozen(), None);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_freeze_of_somebody_who_does_not_wait_for_the_answer_is_kept() {
    let world = World::new();
    let running = world.start().await;
    let freeze = holidays(&world);
    {
        let mut asking = std::pin::pin!(running.handle.freeze(Some(freeze.clone())));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "{polled:?}");
    }
    running.stop().await;
    assert_eq!(world.journal.freeze().await.unwrap(), Some(freeze));
}
