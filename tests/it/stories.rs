//! The demo's stories, told many times: the real controller over the simulated world, on tokio's paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenshift::clock::{Clock, ScaledClock};
use greenshift::controller::{self, Handle, Ports, Settings};
use greenshift::domain::phase::Phase;
use greenshift::domain::time::Span;
use greenshift::journal::memory::MemoryJournal;
use greenshift::simulation::{Felt, SCENARIOS, Scenario, World};
use greenshift::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

/// Longest life of a story, in simulated time.
const LIFE: Duration = Duration::from_hours(8);

/// Tells a story to its end; what users felt, the phase it ended in and why.
async fn tell(scenario: &Scenario, seed: u64) -> (Phase, Felt, String) {
    let spec = greenshift::config::rollout::parse("story", &scenario.document()).unwrap().spec;
    let clock: Arc<dyn Clock> = Arc::new(ScaledClock::new("2026-03-02T10:00:00Z".parse().unwrap(), 1));
    let interval = spec.plan.analysis.interval;
    let mut world = World::new(&spec.route, Arc::clone(&clock), interval, scenario.script, seed);
    world.set_rate(scenario.rate);
    world.live_until(clock.now());
    let stop = CancellationToken::new();
    let ports = Ports {
        journal: Arc::new(MemoryJournal::new()),
        router: Arc::new(world.router().clone()),
        metric_provider: Arc::new(world.metrics().clone()),
        clock: Arc::clone(&clock),
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
    let name = spec.name.clone();
    handle.create(spec, "demo").await.unwrap();
    let world = Arc::new(Mutex::new(world));
    let mut living = tokio::task::JoinSet::new();
    living.spawn(live(Arc::clone(&world), Arc::clone(&clock)));
    let over = until_over(&handle, &name);
    let why =
        tokio::time::timeout(LIFE, over).await.unwrap_or_else(|_| format!("{:?}", handle.get(&name).unwrap().hold));
    living.abort_all();
    let phase = handle.get(&name).unwrap().rollout.phase;
    stop.cancel();
    handle.stopped().await;
    let felt = world.lock().unwrap().felt();
    (phase, felt, why)
}

async fn live(world: Arc<Mutex<World>>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.lock().unwrap().live_until(clock.now());
    }
}

async fn until_over(handle: &Handle, name: &greenshift::domain::ids::RolloutName) -> String {
    let mut watch = handle.watch(name).unwrap();
    let over = |phase: Phase| phase.is_terminal() || matches!(phase, Phase::Paused | Phase::Halted);
    let end = watch.wait_for(|snapshot| over(snapshot.rollout.phase)).await.unwrap().clone();
    end.rollout.cause.clone().map_or_else(String::new, |cause| cause.detail)
}

#[tokio::test(start_paused = true)]
async fn every_story_ends_as_it_says() {
    let mut wrong = Vec::new();
    for scenario in SCENARIOS {
        for seed in 1..=5 {
            let (phase, _felt, why) = tell(scenario, seed).await;
            if phase != scenario.ends {
                wrong.push(format!("{} with seed {seed} ended {phase}, not {}: {why}", scenario.name, scenario.ends));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
