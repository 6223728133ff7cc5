//! One decision over full evidence, and one whole tick of the controller around it.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use greenshift::clock::{Clock, ManualClock};
use greenshift::config::controller;
use greenshift::config::rollout::parse;
use greenshift::controller::{Handle, Ports, Settings, Snapshot, start};
use greenshift::domain::advance::advance;
use greenshift::domain::analysis::OPEN_FOR;
use greenshift::domain::ids::RolloutName;
use greenshift::domain::observation::{Observation, Seen};
use greenshift::domain::time::{Span, after, before};
use greenshift::journal::memory::MemoryJournal;
use greenshift::metric_provider::{MetricProvider, Query};
use greenshift::simulation::{Scenario, World};
use greenshift::telemetry::Metrics;
use greenshift::traffic_router::TrafficRouter;
use tokio_util::sync::CancellationToken;

/// A long hold: the rollout stays at its first step, with all its evidence.
const HOLD: &str = "steps: [{weight: 10%, hold: 6h}, {weight: 100%}]\n";

/// Simulated time before anything is measured.
const SETTLED: Span = Span::from_mins(40);

/// A controller with one settled rollout.
struct Settled {
    world: World,
    clock: Arc<ManualClock>,
    handle: Handle,
    name: RolloutName,
}

impl Settled {
    async fn new() -> Self {
        let story = Scenario { plan: HOLD, ..*Scenario::named("healthy").unwrap() };
        let spec = parse("bench", &story.document()).unwrap().spec;
        let clock = Arc::new(ManualClock::new("2026-03-02T10:00:00Z".parse().unwrap()));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let mut world = World::new(&spec.route, Arc::clone(&shared), spec.plan.analysis.interval, &[], 1);
        world.live_until(clock.now());
        let ports = Ports {
            journal: Arc::new(MemoryJournal::new()),
            router: Arc::new(world.router().clone()),
            metric_provider: Arc::new(world.metrics().clone()),
            clock: shared,
            metrics: Arc::new(Metrics::default()),
        };
        let defaults = controller::load(None, &BTreeMap::new()).unwrap().settings;
        let settings = Settings {
            // Ticks come when they are asked for.
            tick_interval: Duration::from_hours(1),
            health_interval: defaults.health_interval,
            owner: defaults.owner,
            claim_rules: defaults.claim_rules,
            active_rollouts_max: 1,
        };
        let handle = start(ports, settings, CancellationToken::new()).await.unwrap();
        let name = spec.name.clone();
        handle.create(spec, "bench").await.unwrap();
        let mut settled = Self { world, clock, handle, name };
        let end = after(settled.clock.now(), SETTLED);
        while settled.clock.now() < end {
            let next = after(settled.clock.now(), Span::from_secs(5));
            settled.world.live_until(next);
            settled.clock.set(next);
            tick(&settled.handle, &settled.name).await;
        }
        settled
    }

    /// What a tick with news of metrics sees.
    async fn look(&self, snapshot: &Snapshot) -> Observation {
        let rollout = &snapshot.rollout;
        let route = &rollout.spec.route;
        let now = self.clock.now();
        let interval = rollout.plan().analysis.interval;
        let query = Query {
            route: route.clone(),
            from: before(now, OPEN_FOR.plus(interval.times(2))),
            until: now,
            interval,
            latency: true,
        };
        let metrics = self.world.metrics().fetch(std::slice::from_ref(&query)).await.pop();
        Observation {
            route: Seen::Read(self.world.router().read(route).await.unwrap()),
            health: Seen::Read(self.world.router().health(route).await.unwrap()),
            health_is_fresh: true,
            metrics: metrics.unwrap_or_default(),
            ..Observation::default()
        }
    }
}

/// Lets the rollout tick once, and waits until it has.
async fn tick(handle: &Handle, name: &RolloutName) {
    let mut watch = handle.watch(name).unwrap();
    watch.mark_unchanged();
    // Wakes every worker; nothing is frozen before or after it.
    handle.freeze(None).await.unwrap();
    watch.changed().await.unwrap();
}

fn controller_tick(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settled = runtime.block_on(Settled::new());
    let snapshot = settled.handle.get(&settled.name).unwrap();
    let open = snapshot.rollout.analysis.open.len();
    let checks = snapshot.assessment.values().filter(|check| check.finding.is_some()).count();
    assert!(open >= 8 && checks == 3, "not settled: {open} open periods, {checks} checks with a finding");
    #[expect(clippy::print_stderr, reason = "what was measured belongs to the figures of this bench")]
    {
        eprintln!("{open} open periods, {checks} checks, {}", snapshot.rollout.phase);
    }
    let seen = runtime.block_on(settled.look(&snapshot));
    let now = settled.clock.now();
    c.bench_function("controller/advance", |b| {
        b.iter_batched(|| (), |()| advance(black_box(&snapshot.rollout), black_box(&seen), now), BatchSize::SmallInput);
    });
    c.bench_function("controller/tick on memory adapters", |b| {
        b.iter(|| runtime.block_on(tick(&settled.handle, &settled.name)));
    });
}

criterion_group!(benches, controller_tick);
criterion_main!(benches);
