//! A whole controller in this process, over adapters in memory, on a port of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenshift::api::model::RolloutView;
use greenshift::app::App;
use greenshift::clock::{Clock, SystemClock};
use greenshift::config::controller;
use greenshift::controller::Ports;
use greenshift::domain::observation::{Period, SideCounts};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::Route;
use greenshift::domain::time::Span;
use greenshift::journal::memory::MemoryJournal;
use greenshift::metric_provider::memory::MemoryMetrics;
use greenshift::telemetry::Metrics;
use greenshift::traffic_router::memory::MemoryRouter;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use greenshift::client::Client;

/// A document over the rules that the world of [`Server`] has.
pub(crate) fn document(name: &str) -> String {
    document_on(name, 1)
}

/// The same on the rule of this number: a rule belongs to one active rollout.
pub(crate) fn document_on(name: &str, rule: u8) -> String {
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
    format!(
        "name: {name}\nlabels: {{team: payments}}\nroute:\n  alb:\n    rules: [{arn}:listener-rule/app/web/0011223344556677/8899aabbccddeeff/000000000000000{rule}]\n    \
         blue_target_group: {arn}:targetgroup/blue/0011223344556677\n    \
         green_target_group: {arn}:targetgroup/green/8899aabbccddeeff\n\
         steps:\n  - {{weight: 10%, hold: 1m}}\n  - {{weight: 50%, hold: 1m}}\n  - {{weight: 100%}}\n"
    )
}

fn route_of(document: &str) -> Route {
    greenshift::config::rollout::parse("test", document).unwrap().spec.route
}

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) router: MemoryRouter,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let text = "listen: 127.0.0.1:0\ndatabase: memory\ntraffic_router: memory\nmetric_provider: memory\n\
                    tick_interval: 100ms\n";
        let settings = controller::load(Some(("test.yaml", text)), &BTreeMap::new()).unwrap().settings;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let router = MemoryRouter::with_route(&route_of(&document("any")), 4);
        for rule in 2..=5 {
            for arn in route_of(&document_on("any", rule)).rules() {
                router.put(arn, greenshift::traffic_router::memory::MemoryRule::all_blue());
            }
        }
        let metrics = MemoryMetrics::new(Arc::clone(&clock));
        // Both sides have traffic, and nothing is wrong with either.
        metrics.set_source(|_: &Route, start: Timestamp, _: Span| {
            let side = |requests| SideCounts { requests, ..SideCounts::default() };
            Some(Period { start, blue: side(900), green: side(100), load_balancer_errors: 0 })
        });
        let ports = Ports {
            journal: Arc::new(MemoryJournal::new()),
            router: Arc::new(router.clone()),
            metric_provider: Arc::new(metrics),
            clock,
            metrics: Arc::new(Metrics::new().unwrap()),
        };
        let app = App::with_ports(&settings, ports).await.unwrap();
        let (url, stop, tasks) = (format!("http://{}", app.address()), app.stop().clone(), TaskTracker::new());
        tasks.spawn(app.run_until_stopped());
        Self { url, router, stop, tasks }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, Some("alice")).unwrap()
    }

    /// Waits until a rollout is in a phase.
    pub(crate) async fn until(&self, name: &str, phase: Phase) -> RolloutView {
        self.until_it(name, phase.as_str(), |rollout| rollout.phase == phase).await
    }

    /// Waits until the first step's weight is on every rule.
    pub(crate) async fn until_first_step(&self, name: &str) -> RolloutView {
        let there =
            |rollout: &RolloutView| rollout.step == 1 && rollout.weight.observed == Some(rollout.weight.desired);
        self.until_it(name, "at its first step", there).await
    }

    async fn until_it(&self, name: &str, what: &str, is: impl Fn(&RolloutView) -> bool) -> RolloutView {
        let (client, began) = (self.client(), Instant::now());
        loop {
            let rollout = client.get(name).await.unwrap();
            if is(&rollout) {
                return rollout;
            }
            // An end takes at least as long as the longest write of ours may be on its way: 20 s.
            assert!(began.elapsed() < Duration::from_mins(1), "{name} never was {what}: {rollout:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await.expect("it stops in time");
    }
}
