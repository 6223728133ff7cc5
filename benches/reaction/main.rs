//! How fast a controller reacts, starts, and how much it takes: `cargo bench --bench reaction`.
//!
//! *Reaction*: from the moment at which the metric provider hands over the period that decides a rollback to the moment at
//! which the `ModifyListener` request that gives green 0 has arrived at the load balancer's API. In between lie the rest of
//! the tick's looks, the decision, the journal (SQLite on disk, `synchronous=FULL`), the router's own look and its write. The
//! controller and the ALB router are the real ones; metrics come from memory, and the API is a small server in this program
//! that answers from memory and notes when requests arrive.
//!
//! *Process*: the program itself, built as for a release.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench: it prints numbers, and fails by panicking"
)]

#[expect(dead_code, unused_imports, reason = "the bench needs less than tests do")]
#[path = "../../tests/aws_stand_in/mod.rs"]
mod aws_stand_in;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use greenshift::aws::{AwsClients, AwsSettings, Credentials, RateBudgets, Rates};
use greenshift::clock::{Clock, ScaledClock};
use greenshift::controller::{self, Handle, Ports, Settings};
use greenshift::domain::command::{SetWeight, WriteReport};
use greenshift::domain::observation::{
    AlarmSeen, FleetHealth, HealthSeen, MetricsSeen, Period, RuleSeen, Seen, SideCounts, Trouble,
};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{Route, Spec};
use greenshift::domain::preflight::Inspection;
use greenshift::domain::time::{Span, after};
use greenshift::domain::weight::Weight;
use greenshift::journal::sqlite::SqliteJournal;
use greenshift::metric_provider::{MetricProvider, Query};
use greenshift::telemetry::Metrics;
use greenshift::traffic_router::alb::AlbRouter;
use greenshift::traffic_router::{PlannedWrite, TrafficRouter};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The rollouts' clock runs this many times as fast as ours, so that periods of 10 s come every half second.
const SPEED: u32 = 20;
/// Rollbacks measured with one rollout in the process.
const SAMPLES: usize = 100;

/// Everything outside: listeners, their green's state, and when what happened.
#[derive(Default)]
struct World {
    /// Green's written weight, by listener.
    green: BTreeMap<String, u32>,
    /// Since when green is bad, by listener.
    bad_from: BTreeMap<String, Timestamp>,
    /// When the first period that shows it was handed over.
    told: BTreeMap<String, Instant>,
    /// How long after that the write arrived.
    reactions: BTreeMap<String, Duration>,
    requests: u64,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

fn listener(index: usize) -> String {
    format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/{index:016x}")
}

fn group(side: &str, listener: &str) -> String {
    let id = listener.rsplit('/').next().unwrap();
    format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{side}/{id}")
}

/// The load balancer's API, as much as a rollout in progress needs.
async fn api(State(shared): State<Shared>, body: String) -> String {
    let arrived = Instant::now();
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
    let action = value("Action");
    let mut world = shared.lock();
    world.requests += 1;
    let inner = match action.as_str() {
        "DescribeListeners" => {
            let asked = form.iter().filter(|(key, _)| key.starts_with("ListenerArns.")).map(|(_, arn)| arn.clone());
            let members: String = asked.map(|arn| listener_xml(&world, &arn)).collect();
            format!("<Listeners>{members}</Listeners>")
        }
        "ModifyListener" => {
            let arn = value("ListenerArn");
            let to_green =
                |(key, value): &&(String, String)| key.ends_with(".TargetGroupArn") && *value == group("green", &arn);
            let green = form.iter().find(to_green).unwrap().0.replace(".TargetGroupArn", ".Weight");
            let green: u32 = value(&green).parse().unwrap();
            world.green.insert(arn.clone(), green);
            if green == 0
                && let Some(told) = world.told.get(&arn).copied()
            {
                world.reactions.entry(arn.clone()).or_insert(arrived - told);
            }
            format!("<Listeners>{}</Listeners>", listener_xml(&world, &arn))
        }
        "DescribeTargetHealth" => {
            let target = |id| {
                format!(
                    "<member><Target><Id>i-{id}</Id><Port>80</Port></Target><TargetHealth><State>healthy</State></TargetHealth></member>"
                )
            };
            let members: String = (0..4).map(target).collect();
            format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>")
        }
        other => unreachable!("{other} is not needed"),
    };
    format!(
        "<{action}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><{action}Result>{inner}\
         </{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
    )
}

fn listener_xml(world: &World, arn: &str) -> String {
    let green = world.green.get(arn).copied().unwrap_or(0);
    let mut groups = String::new();
    for (side, weight) in [("blue", 100 - green), ("green", green)] {
        let group = group(side, arn);
        write!(groups, "<member><TargetGroupArn>{group}</TargetGroupArn><Weight>{weight}</Weight></member>").unwrap();
    }
    format!(
        "<member><ListenerArn>{arn}</ListenerArn><Port>443</Port><Protocol>HTTPS</Protocol><DefaultActions><member>\
         <Type>forward</Type><Order>1</Order><ForwardConfig><TargetGroups>{groups}</TargetGroups></ForwardConfig>\
         </member></DefaultActions></member>"
    )
}

/// Metrics from memory: 1000 requests a period for green while it has weight, half of them failing once it is bad.
struct Feed {
    shared: Shared,
    clock: Arc<dyn Clock>,
}

impl Feed {
    fn periods(&self, query: &Query) -> Vec<Period> {
        let rule = query.route.rules()[0].as_str();
        let (now, mut world) = (self.clock.now(), self.shared.lock());
        let weight = world.green.get(rule).copied().unwrap_or(0);
        let bad_from = world.bad_from.get(rule).copied();
        let (mut periods, mut start, mut shows) = (Vec::new(), query.from, false);
        while after(start, query.interval) <= now.min(query.until) {
            let bad = bad_from.is_some_and(|from| start >= from);
            shows |= bad;
            let requests = if weight > 0 { 1000 } else { 0 };
            let errors = if bad { requests / 2 } else { requests / 500 };
            let blue = SideCounts { requests: 10_000, errors: 20, ..SideCounts::default() };
            let green = SideCounts { requests, errors, ..SideCounts::default() };
            periods.push(Period { start, blue, green, load_balancer_errors: 0 });
            start = after(start, query.interval);
        }
        if shows {
            world.told.entry(rule.to_owned()).or_insert_with(Instant::now);
        }
        periods
    }
}

#[async_trait]
impl MetricProvider for Feed {
    async fn fetch(&self, queries: &[Query]) -> Vec<Seen<MetricsSeen>> {
        let answer = |query: &Query| {
            let periods = self.periods(query);
            Seen::Read(MetricsSeen { periods, until: Some(query.until), partial: false })
        };
        queries.iter().map(answer).collect()
    }

    async fn alarms(&self, _names: &[String]) -> Seen<Vec<AlarmSeen>> {
        Seen::Read(Vec::new())
    }
}

/// The real router, but for the inspection before the first shift and, for a thousand rollouts, the counting of targets.
struct Alb {
    real: AlbRouter,
    counts_targets: bool,
}

#[async_trait]
impl TrafficRouter for Alb {
    async fn read(&self, route: &Route) -> Result<Vec<RuleSeen>, Trouble> {
        self.real.read(route).await
    }

    async fn write(&self, route: &Route, change: &SetWeight) -> Vec<WriteReport> {
        self.real.write(route, change).await
    }

    async fn health(&self, route: &Route) -> Result<HealthSeen, Trouble> {
        if self.counts_targets {
            return self.real.health(route).await;
        }
        let fleet = FleetHealth { healthy: 4, ..FleetHealth::default() };
        Ok(HealthSeen { blue: fleet, green: fleet })
    }

    async fn inspect(&self, _route: &Route, _owner: &str) -> Result<Inspection, Trouble> {
        Ok(Inspection::default())
    }

    async fn claim(&self, _route: &Route, _owner: &str) -> Result<(), Trouble> {
        Ok(())
    }

    async fn release(&self, _route: &Route, _owner: &str) -> Result<(), Trouble> {
        Ok(())
    }

    async fn plan(&self, route: &Route, weights: &[Weight]) -> Result<Vec<PlannedWrite>, Trouble> {
        self.real.plan(route, weights).await
    }
}

/// A controller over that world.
struct Stage {
    shared: Shared,
    clock: Arc<dyn Clock>,
    handle: Handle,
    stop: CancellationToken,
    _server: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(tick_interval: Duration, rates: Option<Rates>, counts_targets: bool) -> Self {
        let shared = Shared::default();
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", tcp.local_addr().unwrap());
        let routes = Router::new().fallback(api).with_state(shared.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(tcp, routes).await.unwrap() });
        let aws = AwsSettings {
            region: Some("eu-west-1".to_owned()),
            endpoint: Some(endpoint),
            credentials: Some(Credentials::new("AKIATEST", "secret", None, None, "bench")),
            budgets: rates.map_or_else(RateBudgets::default, RateBudgets::new),
            ..AwsSettings::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(ScaledClock::new("2026-03-02T10:00:00Z".parse().unwrap(), SPEED));
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("bench.db")).await.unwrap();
        let ports = Ports {
            journal: Arc::new(journal),
            router: Arc::new(Alb { real: AlbRouter::new(AwsClients::connect(aws).await), counts_targets }),
            metric_provider: Arc::new(Feed { shared: shared.clone(), clock: Arc::clone(&clock) }),
            clock: Arc::clone(&clock),
            metrics: Arc::new(Metrics::new().unwrap()),
        };
        let settings = Settings {
            tick_interval,
            health_interval: Span::from_secs(600),
            owner: "greenshift".to_owned(),
            claim_rules: false,
            active_rollouts_max: 10_000,
        };
        let stop = CancellationToken::new();
        let handle = controller::start(ports, settings, stop.clone()).await.unwrap();
        Self { shared, clock, handle, stop, _server: server, _folder: folder }
    }

    fn spec(index: usize) -> Spec {
        let arn = listener(index);
        let text = format!(
            "name: r{index}\nroute: {{alb: {{rules: [\"{arn}\"], blue_target_group: \"{}\", green_target_group: \
             \"{}\"}}}}\nsteps: [{{weight: 10%, hold: 10h}}, {{weight: 100%}}]\ndeadline: 100h\nanalysis: {{interval: 10s, settle: 10s, checks: \
             [errors: {{}}]}}\n",
            group("blue", &arn),
            group("green", &arn)
        );
        greenshift::config::rollout::parse("bench", &text).unwrap().spec
    }

    /// Green of these rollouts is bad from now on.
    fn spoil(&self, rollouts: std::ops::Range<usize>) {
        let now = self.clock.now();
        self.shared.lock().bad_from.extend(rollouts.map(|index| (listener(index), now)));
    }

    /// Waits until all of these rollouts are in this phase, with this weight confirmed.
    async fn until(&self, rollouts: std::ops::Range<usize>, phase: Phase, weight: Weight) {
        for index in rollouts {
            let mut watch = self.handle.watch(&Self::spec(index).name).unwrap();
            let there = watch.wait_for(|snapshot| {
                let rollout = &snapshot.rollout;
                rollout.phase == phase && rollout.intended == weight && rollout.is_confirmed()
            });
            let there = tokio::time::timeout(Duration::from_mins(3), there).await.map(|seen| seen.is_ok());
            if there != Ok(true) {
                let snapshot = self.handle.get(&Self::spec(index).name).unwrap();
                let (rollout, hold) = (&snapshot.rollout, &snapshot.hold);
                panic!("r{index} is {} ({:?}), {hold:?}, {:?}", rollout.phase, rollout.cause, snapshot.troubles);
            }
        }
    }

    async fn end(self) -> Vec<Duration> {
        self.stop.cancel();
        self.handle.stopped().await;
        self.shared.lock().reactions.values().copied().collect()
    }
}

fn show(what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let quantile = |permille: usize| samples[(samples.len() - 1) * permille / 1000].as_secs_f64() * 1000.0;
    println!(
        "{what}: {} rollbacks, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        samples.len(),
        quantile(500),
        quantile(990),
        quantile(1000)
    );
}

/// One rollout at a time, rolled back, again and again.
async fn one_rollout() {
    let stage = Stage::new(Duration::from_millis(200), None, true).await;
    let tenth = Weight::from_percent(10).unwrap();
    for index in 0..SAMPLES {
        stage.handle.create(Stage::spec(index), "bench").await.unwrap();
        stage.until(index..index + 1, Phase::Progressing, tenth).await;
        stage.spoil(index..index + 1);
        stage.until(index..index + 1, Phase::RolledBack, Weight::ZERO).await;
    }
    show("reaction, 1 rollout", stage.end().await);
}

/// Many rollouts whose greens all turn bad at the same moment. The budgets are out of the way, because otherwise the
/// raises before that take minutes; a rollback does not wait for them.
async fn many_rollouts(count: usize) {
    let wide = Rates { modify: (1000.0, 1000.0), describe: (1000.0, 1000.0) };
    let stage = Stage::new(Duration::from_secs(5), Some(wide), false).await;
    let tenth = Weight::from_percent(10).unwrap();
    for index in 0..count {
        stage.handle.create(Stage::spec(index), "bench").await.unwrap();
    }
    stage.until(0..count, Phase::Progressing, tenth).await;
    stage.spoil(0..count);
    let begun = Instant::now();
    stage.until(0..count, Phase::RolledBack, Weight::ZERO).await;
    let all = begun.elapsed();
    let requests = stage.shared.lock().requests;
    show(&format!("reaction, {count} rollouts at once"), stage.end().await);
    println!("  all rolled back and confirmed after {:.1} s; {requests} requests in the whole run", all.as_secs_f64());
}

/// The program itself, killed by its id in the end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Program {
    fn memory_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

/// Starts the program on an empty database and waits for `/readyz`; how long that took.
async fn start(folder: &std::path::Path, port: u16, endpoint: &str) -> (Program, Duration) {
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_greenshift"))
        .arg("serve")
        .env("GREENSHIFT_LISTEN", format!("127.0.0.1:{port}"))
        .env("GREENSHIFT_DATABASE", format!("sqlite:{}", folder.join("greenshift.db").display()))
        .envs([("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-west-1")])
        .env("AWS_ENDPOINT_URL", endpoint)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let program = Program(child);
    let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build().unwrap();
    while !http.get(format!("http://127.0.0.1:{port}/readyz")).send().await.is_ok_and(|it| it.status() == 200) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not get ready");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (program, begun.elapsed())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn process(endpoint: &str, document: &str) {
    let mut starts = Vec::new();
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let (_program, took) = start(folder.path(), free_port(), endpoint).await;
        starts.push(took.as_secs_f64() * 1000.0);
    }
    starts.sort_unstable_by(f64::total_cmp);
    println!("start to ready: 20 starts, median {:.0} ms, slowest {:.0} ms", starts[10], starts[19]);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (program, _) = start(folder.path(), port, endpoint).await;
    println!("memory when ready: {:.1} MiB", program.memory_mib());
    let client = greenshift::client::Client::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
    client.create(&greenshift::client::Document { text: document }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let phase = client.get("web").await.unwrap().phase;
    println!("memory with one rollout ({phase}) after 30 s: {:.1} MiB", program.memory_mib());
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_greenshift")).unwrap().len();
    println!("size of the program: {:.1} MiB", size as f64 / 1024.0 / 1024.0);
}

#[tokio::main]
async fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("run it with `cargo bench --bench reaction`");
        return;
    }
    let (world, app) = aws_stand_in::World::blue_green();
    let aws = aws_stand_in::AwsStandIn::start(world).await;
    aws.traffic(aws_stand_in::Traffic::steady(&app.listener, 100.0, aws.now() - 3_600_000));
    let document = format!(
        "name: web\nroute: {{alb: {{rules: [\"{}\"], blue_target_group: \"{}\", green_target_group: \"{}\"}}}}\n",
        app.listener, app.blue, app.green
    );
    process(&aws.endpoint(), &document).await;
    one_rollout().await;
    many_rollouts(1000).await;
}
