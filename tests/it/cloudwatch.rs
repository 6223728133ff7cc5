//! The CloudWatch adapter against the AWS stand-in.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenshift::aws::{AwsClients, AwsSettings, Call, CallObserver, CallOutcome, Credentials, Timeouts};
use greenshift::clock::ManualClock;
use greenshift::domain::ids::Arn;
use greenshift::domain::observation::{MetricsSeen, Seen, SideCounts, Trouble, TroubleKind};
use greenshift::domain::plan::{AlbRoute, Route};
use greenshift::domain::time::{Span, after};
use greenshift::metric_provider::cloudwatch::CloudWatch;
use greenshift::metric_provider::{MetricProvider, Query};
use jiff::Timestamp;

use crate::aws_stand_in::metric_store::Point;
use crate::aws_stand_in::world::dimension;
use crate::aws_stand_in::{AwsStandIn, Behaviour, BlueGreen, Fault, MetricKey, Publishing, Traffic, World};

/// When every test begins: a whole minute.
pub(crate) const START: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;

/// CloudWatch of the stand-in, and a clock that shows its time.
pub(crate) struct Bench {
    pub(crate) aws: AwsStandIn,
    pub(crate) app: BlueGreen,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) cloudwatch: CloudWatch,
    pub(crate) calls: Arc<Calls>,
}

/// What the observer of calls was told.
#[derive(Default)]
pub(crate) struct Calls(Mutex<Vec<(&'static str, CallOutcome)>>);

impl CallObserver for Calls {
    fn called(&self, call: Call, outcome: CallOutcome, _took: Duration) {
        self.0.lock().unwrap().push((call.operation, outcome));
    }
}

pub(crate) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

/// The route of a ready-made world.
pub(crate) fn route(app: &BlueGreen) -> Route {
    Route::Alb(AlbRoute {
        rules: vec![Arn::new(&app.listener), Arn::new(&app.rule)],
        blue_target_group: Arn::new(&app.blue),
        green_target_group: Arn::new(&app.green),
    })
}

impl Bench {
    pub(crate) async fn of(world: World, app: BlueGreen) -> Self {
        Self::with_attempts(world, app, 1).await
    }

    async fn with_attempts(world: World, app: BlueGreen, attempts: u32) -> Self {
        let aws = AwsStandIn::start_at(world, START).await;
        let clock = Arc::new(ManualClock::new(moment(START)));
        let calls = Arc::new(Calls::default());
        let settings = AwsSettings {
            region: Some("eu-west-1".to_owned()),
            endpoint: Some(aws.endpoint()),
            credentials: Some(Credentials::new("AKIATEST", "secret", None, None, "test")),
            timeouts: Timeouts { attempt: Duration::from_millis(500), ..Timeouts::default() },
            attempts,
            observer: Arc::clone(&calls) as Arc<dyn CallObserver>,
            ..AwsSettings::default()
        };
        let cloudwatch = CloudWatch::new(AwsClients::connect(settings).await, Arc::clone(&clock) as _);
        Self { aws, app, clock, cloudwatch, calls }
    }

    pub(crate) async fn start() -> Self {
        let (world, app) = World::blue_green();
        Self::of(world, app).await
    }

    /// Lets time pass in both worlds.
    pub(crate) fn advance(&self, millis: i64) {
        self.aws.advance(millis);
        self.clock.set(moment(self.aws.now()));
    }

    /// The minutes from the start on.
    pub(crate) fn query(&self, minutes: u32) -> Query {
        let from = moment(START);
        let until = after(from, Span::from_mins(minutes));
        Query { route: route(&self.app), from, until, interval: Span::from_mins(1), latency: false }
    }

    fn key(&self, group: &str, name: &str) -> MetricKey {
        let balancer = dimension(&self.app.load_balancer);
        MetricKey::alb(name, &[("TargetGroup", dimension(group)), ("LoadBalancer", balancer)])
    }

    /// A count of `group` in the minute that begins `minute` minutes after the start.
    fn count(&self, group: &str, name: &str, minute: i64, count: f64) {
        self.count_seen_from(group, name, minute, count, i64::MIN);
    }

    fn count_seen_from(&self, group: &str, name: &str, minute: i64, count: f64, visible_from: i64) {
        let values = vec![(count, 1.0)];
        let point = Point { at: START + minute * MINUTE, visible_from, values };
        self.aws.with(|state| state.metrics.push(self.key(group, name), point));
    }

    /// A minute in which a group answers all with 2XX.
    fn served(&self, group: &str, minute: i64, requests: f64) {
        self.count(group, "RequestCount", minute, requests);
        self.count(group, "HTTPCode_Target_2XX_Count", minute, requests);
    }

    async fn one(&self, query: Query) -> Seen<MetricsSeen> {
        let mut answers = self.cloudwatch.fetch(&[query]).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    async fn read(&self, minutes: u32) -> MetricsSeen {
        read(self.one(self.query(minutes)).await)
    }

    async fn trouble(&self, minutes: u32) -> Trouble {
        unreadable(self.one(self.query(minutes)).await)
    }
}

#[track_caller]
pub(crate) fn read(seen: Seen<MetricsSeen>) -> MetricsSeen {
    match seen {
        Seen::Read(metrics) => metrics,
        other => panic!("not read: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn unreadable(seen: Seen<MetricsSeen>) -> Trouble {
    match seen {
        Seen::Unreadable(trouble) => trouble,
        other => panic!("not unreadable: {other:?}"),
    }
}

fn side(requests: u64, errors: u64) -> SideCounts {
    SideCounts { requests, errors, ..SideCounts::default() }
}

#[tokio::test]
async fn what_traffic_left_is_read_as_it_was() {
    let bench = Bench::start().await;
    bench.aws.traffic(Traffic::steady(&bench.app.listener, 50.0, START));
    bench.aws.behave(&bench.app.blue, &Behaviour { errors_4xx: 0.1, unanswered: 0.05, ..Behaviour::failing(0.2) });
    bench.advance(5 * MINUTE);
    let query = Query { latency: true, ..bench.query(5) };
    let seen = read(bench.one(query).await);
    assert_eq!((seen.periods.len(), seen.partial, seen.until), (5, false, Some(moment(START + 5 * MINUTE))));
    for period in &seen.periods {
        let blue = period.blue;
        assert!((2600..3400).contains(&blue.requests), "{blue:?}");
        let errors = blue.errors as f64 / blue.requests as f64;
        assert!((0.2..0.3).contains(&errors), "a fifth fails and a twentieth hangs: {errors}");
        let refused = blue.client_errors as f64 / blue.requests as f64;
        assert!((0.07..0.13).contains(&refused), "{refused}");
        let latency = blue.latency.unwrap();
        assert!(0.03 < latency.p50 && latency.p50 < latency.p90 && latency.p90 < latency.p99 && latency.p99 < 0.5);
        assert_eq!(blue.healthy_min, Some(2));
        assert!((100..200).contains(&period.load_balancer_errors), "{}", period.load_balancer_errors);
        assert_eq!((period.green.requests, period.green.errors, period.green.latency), (0, 0, None));
    }
    let asked = bench.aws.requests().pop().unwrap();
    assert_eq!(asked.params["ScanBy"], "TimestampAscending");
    assert_eq!(asked.params["MetricDataQueries"].as_array().unwrap().len(), 19);
    assert_eq!(*bench.calls.0.lock().unwrap(), [("GetMetricData", CallOutcome::Ok)]);
}

#[tokio::test]
async fn zero_and_absent_are_told_apart() {
    let bench = Bench::start().await;
    bench.count(&bench.app.blue, "RequestCount", 0, 0.0);
    bench.served(&bench.app.blue, 2, 10.0);
    bench.advance(10 * MINUTE);
    let seen = bench.read(4).await;
    let starts: Vec<i64> = seen.periods.iter().map(|period| period.start.as_millisecond()).collect();
    assert_eq!(starts, [START, START + 2 * MINUTE], "minutes 1 and 3 have nothing");
    assert_eq!(seen.periods[0].blue, side(0, 0));
    assert_eq!(seen.periods[1].blue, side(10, 0));
    assert_eq!(seen.until, Some(moment(START + 4 * MINUTE)));
}

#[tokio::test]
async fn the_minute_that_still_runs_is_not_read() {
    let bench = Bench::start().await;
    bench.served(&bench.app.blue, 0, 100.0);
    bench.served(&bench.app.blue, 1, 30.0);
    bench.advance(MINUTE + 30_000);
    let seen = bench.read(2).await;
    assert_eq!((seen.periods.len(), seen.until), (1, Some(moment(START + MINUTE))));
    bench.advance(30_000);
    assert_eq!(bench.read(2).await.periods.len(), 2);
}

#[tokio::test]
async fn nothing_is_asked_while_nothing_is_over() {
    let bench = Bench::start().await;
    bench.advance(59_000);
    let seen = bench.read(2).await;
    assert_eq!((seen.periods.len(), seen.until, seen.partial), (0, Some(moment(START)), false));
    assert_eq!(bench.aws.count("GetMetricData"), 0);
}

#[tokio::test]
async fn what_is_not_a_number_cannot_be_read() {
    let bench = Bench::start().await;
    bench.served(&bench.app.blue, 0, 100.0);
    bench.count(&bench.app.green, "HTTPCode_Target_5XX_Count", 0, f64::NAN);
    bench.advance(10 * MINUTE);
    let trouble = bench.trouble(1).await;
    assert_eq!(trouble.kind, TroubleKind::Transient);
    assert!(trouble.message.contains("HTTPCode_Target_5XX_Count") && trouble.message.contains("NaN"), "{trouble:?}");
    let bench = Bench::start().await;
    bench.served(&bench.app.blue, 0, -100.0);
    bench.advance(10 * MINUTE);
    assert!(bench.trouble(1).await.message.contains("RequestCount"));
}

#[tokio::test]
async fn many_rollouts_share_calls_of_500_series() {
    let (mut world, app) = World::blue_green();
    let mut routes = vec![route(&app)];
    for number in 1..60 {
        let (more, other) = World::blue_green_of(&format!("app{number}"), 1);
        world.load_balancers.extend(more.load_balancers);
        world.target_groups.extend(more.target_groups);
        world.listeners.extend(more.listeners);
        world.rules.extend(more.rules);
        routes.push(route(&other));
    }
    let bench = Bench::of(world, app).await;
    for (number, route) in routes.iter().enumerate() {
        let Route::Alb(alb) = route;
        let balancer = alb.rules[0].resource().split('/').skip(1).take(3).collect::<Vec<_>>().join("/");
        let dimensions = [("TargetGroup", alb.blue_target_group.resource()), ("LoadBalancer", balancer.as_str())];
        for name in ["RequestCount", "HTTPCode_Target_2XX_Count"] {
            bench.aws.push(MetricKey::alb(name, &dimensions), START, 1.0, 100.0 + number as f64);
        }
    }
    bench.advance(10 * MINUTE);
    let mut queries: Vec<Query> = routes.into_iter().map(|route| Query { route, ..bench.query(3) }).collect();
    queries.extend(queries.clone());
    let answers = bench.cloudwatch.fetch(&queries).await;
    for (index, answer) in answers.into_iter().enumerate() {
        assert_eq!(read(answer).periods[0].blue, side(100 + (index as u64 % 60), 0), "answers stay in order");
    }
    let sizes: Vec<usize> =
        bench.aws.requests().iter().map(|entry| entry.params["MetricDataQueries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 60 * 13, "each series once, though everybody asked twice");
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|size| *size <= 500), "{sizes:?}");
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let bench = Bench::start().await;
    for minute in 0..30 {
        bench.served(&bench.app.blue, minute, 100.0);
        bench.served(&bench.app.green, minute, 10.0);
        bench.count(&bench.app.green, "HTTPCode_Target_5XX_Count", minute, 1.0);
    }
    bench.advance(60 * MINUTE);
    let whole = bench.read(30).await;
    assert_eq!((whole.periods.len(), bench.aws.count("GetMetricData")), (30, 1));
    bench.aws.settings(|settings| settings.max_datapoints = 7);
    let paged = bench.read(30).await;
    assert_eq!(paged, whole, "pages that say PartialData and go on make a whole answer");
    assert!(bench.aws.count("GetMetricData") > 10);
}

#[tokio::test]
async fn a_page_that_fails_leaves_no_half_truth() {
    let bench = Bench::start().await;
    for minute in 0..30 {
        bench.served(&bench.app.blue, minute, 100.0);
    }
    bench.advance(60 * MINUTE);
    bench.aws.settings(|settings| settings.max_datapoints = 20);
    bench.aws.fault(crate::aws_stand_in::FaultRule::times("GetMetricData", Fault::InternalFailure, 1).after(1));
    let trouble = bench.trouble(30).await;
    assert_eq!(trouble.kind, TroubleKind::Transient);
    assert_eq!(bench.read(30).await.periods.len(), 30, "the next reading is whole");
}

#[tokio::test]
async fn partial_data_without_an_end_is_marked_and_cut_where_it_stops() {
    let bench = Bench::start().await;
    for minute in 0..10 {
        bench.served(&bench.app.blue, minute, 100.0);
        if minute < 6 {
            bench.served(&bench.app.green, minute, 10.0);
        }
    }
    bench.advance(60 * MINUTE);
    assert!(!bench.read(10).await.partial);
    bench.aws.set_status("RequestCount", "PartialData");
    let seen = bench.read(10).await;
    assert!(seen.partial);
    assert_eq!((seen.periods.len(), seen.until), (6, Some(moment(START + 6 * MINUTE))));
    bench.aws.with(|state| state.statuses.clear());
    let seen = bench.read(10).await;
    assert_eq!((seen.periods.len(), seen.partial), (10, false), "complete again");
}

#[tokio::test]
async fn an_internal_error_of_one_count_fails_the_reading_and_of_another_series_marks_it() {
    let bench = Bench::start().await;
    bench.served(&bench.app.blue, 0, 100.0);
    bench.advance(10 * MINUTE);
    bench.aws.set_status("HTTPCode_Target_2XX_Count", "InternalError");
    let trouble = bench.trouble(1).await;
    assert_eq!(trouble.kind, TroubleKind::Transient);
    assert!(trouble.message.contains("HTTPCode_Target_2XX_Count"), "{trouble:?}");
    bench.aws.with(|state| state.statuses.clear());
    for extra in ["HTTPCode_ELB_5XX_Count", "HealthyHostCount"] {
        bench.aws.set_status(extra, "InternalError");
        let seen = bench.read(1).await;
        assert!(seen.partial, "{extra}");
        assert_eq!(seen.periods[0].blue.requests, 100);
        bench.aws.with(|state| state.statuses.clear());
    }
    bench.aws.set_status("HTTPCode_Target_3XX_Count", "Forbidden");
    assert_eq!(bench.trouble(1).await.kind, TroubleKind::Refused);
}

#[tokio::test]
async fn throttling_is_transient_and_another_attempt_heals_it() {
    let (world, app) = World::blue_green();
    let bench = Bench::with_attempts(world, app, 3).await;
    bench.served(&bench.app.blue, 0, 100.0);
    bench.advance(10 * MINUTE);
    bench.aws.fault_times("GetMetricData", Fault::Throttle, 1);
    assert_eq!(bench.read(1).await.periods.len(), 1);
    bench.aws.set_fault("GetMetricData", Fault::Throttle);
    let trouble = bench.trouble(1).await;
    assert_eq!(trouble.kind, TroubleKind::Transient);
    assert!(trouble.message.contains("throttled"), "{trouble:?}");
    let calls = bench.calls.0.lock().unwrap().clone();
    assert_eq!(calls, [("GetMetricData", CallOutcome::Ok), ("GetMetricData", CallOutcome::Throttled)]);
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_within_the_attempts_time_out() {
    let bench = Bench::start().await;
    bench.advance(10 * MINUTE);
    bench.aws.set_fault("GetMetricData", Fault::Hang);
    let begun = Instant::now();
    let trouble = bench.trouble(1).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_millis(500), "it was waited for");
    assert_eq!(trouble.kind, TroubleKind::Transient);
    assert!(trouble.message.contains("no answer"), "{trouble:?}");
}

#[tokio::test]
async fn access_denied_is_for_a_person_and_names_the_action() {
    let bench = Bench::start().await;
    bench.advance(10 * MINUTE);
    bench.aws.set_fault("GetMetricData", Fault::AccessDenied);
    let trouble = bench.trouble(1).await;
    assert_eq!(trouble.kind, TroubleKind::Refused);
    assert!(trouble.message.contains("`cloudwatch:GetMetricData`"), "{trouble:?}");
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_is_asked_in_parts() {
    let bench = Bench::start().await;
    bench.served(&bench.app.blue, 0, 100.0);
    bench.advance(10 * MINUTE);
    let refused = Fault::Refuse { code: "ValidationError".to_owned(), status: 400 };
    // four in one call, then its halves, of which one is refused again, and then one of the single ones
    bench.aws.fault_times("GetMetricData", refused, 3);
    let answers = bench.cloudwatch.fetch(&vec![bench.query(1); 4]).await;
    let unreadable = answers.iter().filter(|answer| answer.trouble().is_some()).count();
    assert_eq!((answers.len(), unreadable), (4, 1), "{answers:?}");
    assert_eq!(answers.iter().find_map(Seen::trouble).unwrap().kind, TroubleKind::Refused);
    assert!(answers.iter().filter_map(Seen::read).all(|seen| seen.periods.len() == 1));
}

#[tokio::test]
async fn a_route_without_metrics_spoils_no_other() {
    let bench = Bench::start().await;
    bench.served(&bench.app.blue, 0, 100.0);
    bench.advance(10 * MINUTE);
    let odd = Query { interval: Span::from_secs(45), ..bench.query(1) };
    let mut answers = bench.cloudwatch.fetch(&[odd, bench.query(1)]).await;
    assert_eq!(read(answers.remove(1)).periods.len(), 1);
    assert_eq!(unreadable(answers.remove(0)).kind, TroubleKind::Refused);
}

#[tokio::test]
async fn corrections_upward_are_seen_at_the_next_reading() {
    let bench = Bench::start().await;
    let mut traffic = Traffic::steady(&bench.app.listener, 20.0, START);
    traffic.publishing = Publishing { late_share: 0.25, late_ms: 2 * MINUTE, ..Publishing::default() };
    bench.aws.traffic(traffic);
    bench.advance(MINUTE);
    let early = bench.read(1).await.periods[0].blue;
    bench.advance(2 * MINUTE);
    let late = bench.read(1).await.periods[0].blue;
    assert!(
        late.requests * 70 / 100 < early.requests && early.requests < late.requests * 80 / 100,
        "{early:?} {late:?}"
    );
    assert!(late.errors <= late.requests / 50, "{late:?}");
}

#[tokio::test]
async fn counts_that_lag_behind_the_requests_are_waited_for() {
    let bench = Bench::start().await;
    for (group, requests) in [(&bench.app.blue, 100.0), (&bench.app.green, 10.0)] {
        bench.count(group, "RequestCount", 0, requests);
        bench.count_seen_from(group, "HTTPCode_Target_2XX_Count", 0, requests, START + 2 * MINUTE);
    }
    bench.advance(MINUTE);
    let early = bench.read(1).await;
    assert_eq!((early.periods.len(), early.until), (0, Some(moment(START))), "no false alarm");
    bench.advance(MINUTE);
    let seen = bench.read(1).await;
    assert_eq!((seen.periods[0].blue, seen.periods[0].green), (side(100, 0), side(10, 0)));
}

#[tokio::test]
async fn a_green_of_which_every_request_hangs_has_nothing_but_errors() {
    let bench = Bench::start().await;
    let app = &bench.app;
    bench.aws.edit(&crate::aws_stand_in::Edit::SetWeights {
        rule: app.listener.clone(),
        weights: [(app.blue.clone(), 90), (app.green.clone(), 10)].into(),
    });
    bench.aws.traffic(Traffic::steady(&app.listener, 50.0, START));
    bench.aws.behave(&app.green, &Behaviour { unanswered: 1.0, errors_4xx: 0.0, ..Behaviour::failing(0.0) });
    bench.advance(MINUTE);
    let seen = bench.read(1).await;
    let green = seen.periods[0].green;
    assert!(green.requests > 200 && green.errors == green.requests, "{green:?}");
    assert!(seen.periods[0].blue.errors < 30);
    assert!(seen.periods[0].load_balancer_errors >= green.errors);
}

#[tokio::test]
async fn a_green_without_traffic_served_none() {
    let bench = Bench::start().await;
    bench.aws.traffic(Traffic::steady(&bench.app.listener, 50.0, START));
    bench.advance(3 * MINUTE);
    let seen = bench.read(3).await;
    assert_eq!(seen.periods.len(), 3);
    assert!(seen.periods.iter().all(|period| period.green.requests == 0 && period.blue.requests > 2000));
}

#[tokio::test]
async fn without_traffic_on_either_side_there_are_no_periods() {
    let bench = Bench::start().await;
    bench.aws.traffic(Traffic::steady(&bench.app.listener, 0.0, START));
    bench.advance(5 * MINUTE);
    let seen = bench.read(3).await;
    assert_eq!((seen.periods.len(), seen.partial, seen.until), (0, false, Some(moment(START + 3 * MINUTE))));
}

#[tokio::test]
async fn a_fleet_without_targets_shows_as_the_load_balancers_own_errors() {
    let (world, app) = World::blue_green_of("web", 0);
    let bench = Bench::of(world, app).await;
    bench.aws.traffic(Traffic::steady(&bench.app.listener, 10.0, START));
    bench.advance(2 * MINUTE);
    let seen = bench.read(2).await;
    assert_eq!(seen.periods.len(), 2);
    assert!(seen.periods.iter().all(|period| period.blue.requests == 0 && period.load_balancer_errors > 400));
}
