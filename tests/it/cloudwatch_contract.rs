//! What every source of metrics must do alike, tried on the one in memory and on CloudWatch.

use std::sync::Arc;

use async_trait::async_trait;
use greenshift::clock::ManualClock;
use greenshift::domain::observation::{AlarmState, Period, Seen, SideCounts, Trouble, TroubleKind};
use greenshift::domain::plan::Route;
use greenshift::domain::time::{Span, after};
use greenshift::metric_provider::memory::MemoryMetrics;
use greenshift::metric_provider::{MetricProvider, Query};

use crate::aws_stand_in::metric_store::Point;
use crate::aws_stand_in::world::{Alarm, dimension};
use crate::aws_stand_in::{Fault, MetricKey};
use crate::cloudwatch::{Bench, START, moment, read, route, unreadable};

const MINUTE: i64 = 60_000;

/// A source that can be told what to hold.
#[async_trait]
trait Source {
    fn provider(&self) -> &dyn MetricProvider;
    fn route(&self) -> Route;
    /// In a minute after the start: requests and errors of blue, then of green; read from `seen_from` on.
    fn put(&self, minute: i64, blue: Option<(u64, u64)>, green: Option<(u64, u64)>, seen_from: i64);
    fn advance(&self, millis: i64);
    fn set_alarm(&self, name: &str, state: AlarmState);
    fn break_off(&self);
    fn mend(&self);
}

struct InMemory {
    metrics: MemoryMetrics,
    clock: Arc<ManualClock>,
    route: Route,
}

impl InMemory {
    fn new() -> Self {
        let (_, app) = crate::aws_stand_in::World::blue_green();
        let clock = Arc::new(ManualClock::new(moment(START)));
        Self { metrics: MemoryMetrics::new(Arc::clone(&clock) as _), clock, route: route(&app) }
    }
}

#[async_trait]
impl Source for InMemory {
    fn provider(&self) -> &dyn MetricProvider {
        &self.metrics
    }

    fn route(&self) -> Route {
        self.route.clone()
    }

    fn put(&self, minute: i64, blue: Option<(u64, u64)>, green: Option<(u64, u64)>, seen_from: i64) {
        let start = moment(START + minute * MINUTE);
        let counts = |side: Option<(u64, u64)>| {
            let (requests, errors) = side.unwrap_or_default();
            SideCounts { requests, errors, ..SideCounts::default() }
        };
        let period = Period { start, blue: counts(blue), green: counts(green), load_balancer_errors: 0 };
        self.metrics.correct(&self.route, period, moment(seen_from));
    }

    fn advance(&self, millis: i64) {
        self.clock.advance(Span::from_millis(u32::try_from(millis).unwrap()));
    }

    fn set_alarm(&self, name: &str, state: AlarmState) {
        self.metrics.set_alarm(name, state);
    }

    fn break_off(&self) {
        let outage = Trouble { kind: TroubleKind::Transient, message: "broken off".to_owned() };
        self.metrics.set_outage(Some(outage.clone()));
        self.metrics.set_alarm_outage(Some(outage));
    }

    fn mend(&self) {
        self.metrics.set_outage(None);
        self.metrics.set_alarm_outage(None);
    }
}

#[async_trait]
impl Source for Bench {
    fn provider(&self) -> &dyn MetricProvider {
        &self.cloudwatch
    }

    fn route(&self) -> Route {
        route(&self.app)
    }

    fn put(&self, minute: i64, blue: Option<(u64, u64)>, green: Option<(u64, u64)>, seen_from: i64) {
        let at = START + minute * MINUTE;
        let balancer = dimension(&self.app.load_balancer);
        for (group, side) in [(&self.app.blue, blue), (&self.app.green, green)] {
            let Some((requests, errors)) = side else { continue };
            for (name, count) in [
                ("RequestCount", requests),
                ("HTTPCode_Target_2XX_Count", requests - errors),
                ("HTTPCode_Target_5XX_Count", errors),
            ] {
                let key = MetricKey::alb(name, &[("TargetGroup", dimension(group)), ("LoadBalancer", balancer)]);
                let point = Point { at, visible_from: seen_from, values: vec![(count as f64, 1.0)] };
                self.aws.with(|state| state.metrics.push(key, point));
            }
        }
    }

    fn advance(&self, millis: i64) {
        Self::advance(self, millis);
    }

    fn set_alarm(&self, name: &str, state: AlarmState) {
        let state = match state {
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
            AlarmState::Missing => panic!("an alarm that is missing is not set"),
        };
        let alarm = Alarm { state: state.to_owned(), reason: String::new(), composite: false };
        self.aws.with(|inside| inside.world.alarms.insert(name.to_owned(), alarm));
    }

    fn break_off(&self) {
        self.aws.set_fault("*", Fault::InternalFailure);
    }

    fn mend(&self) {
        self.aws.clear_faults();
    }
}

fn query(source: &dyn Source, from: u32, until: u32) -> Query {
    let at = |minutes| after(moment(START), Span::from_mins(minutes));
    Query { route: source.route(), from: at(from), until: at(until), interval: Span::from_mins(1), latency: false }
}

async fn minutes(source: &dyn Source, from: u32, until: u32) -> Vec<(i64, u64, u64)> {
    let mut answers = source.provider().fetch(&[query(source, from, until)]).await;
    assert_eq!(answers.len(), 1);
    let seen = read(answers.remove(0));
    let minute = |period: &Period| (period.start.as_millisecond() - START) / MINUTE;
    seen.periods.iter().map(|period| (minute(period), period.blue.requests, period.green.errors)).collect()
}

async fn only_what_is_over_and_asked_for_is_given(source: &dyn Source) {
    for minute in 0..6 {
        source.put(minute, Some((100 + u64::try_from(minute).unwrap(), 0)), Some((10, 1)), i64::MIN / 1_000_000);
    }
    source.advance(4 * MINUTE + 1);
    assert_eq!(minutes(source, 1, 3).await, [(1, 101, 1), (2, 102, 1)], "the end is exclusive");
    assert_eq!(minutes(source, 3, 6).await, [(3, 103, 1)], "minute 4 still runs");
    let answers = source.provider().fetch(&[query(source, 3, 6)]).await;
    assert_eq!(answers[0].read().unwrap().until, Some(moment(START + 4 * MINUTE)));
}

async fn what_is_not_there_is_absent_and_zero_is_there(source: &dyn Source) {
    source.put(0, Some((0, 0)), None, i64::MIN / 1_000_000);
    source.put(2, Some((50, 0)), None, i64::MIN / 1_000_000);
    source.advance(10 * MINUTE);
    assert_eq!(minutes(source, 0, 4).await, [(0, 0, 0), (2, 50, 0)]);
}

async fn what_comes_late_is_absent_until_it_is_there(source: &dyn Source) {
    source.put(0, Some((100, 0)), Some((10, 3)), START + 3 * MINUTE);
    source.advance(2 * MINUTE);
    assert_eq!(minutes(source, 0, 1).await, []);
    source.advance(MINUTE);
    assert_eq!(minutes(source, 0, 1).await, [(0, 100, 3)]);
}

async fn every_query_has_its_answer_in_order(source: &dyn Source) {
    source.put(0, Some((100, 0)), None, i64::MIN / 1_000_000);
    source.put(1, Some((200, 0)), None, i64::MIN / 1_000_000);
    source.advance(10 * MINUTE);
    let queries =
        [query(source, 1, 2), query(source, 0, 1), query(source, 5, 6), query(source, 0, 2), query(source, 1, 1)];
    let answers = source.provider().fetch(&queries).await;
    let counts: Vec<Vec<u64>> = answers
        .into_iter()
        .map(|answer| read(answer).periods.iter().map(|period| period.blue.requests).collect())
        .collect();
    assert_eq!(counts, [vec![200], vec![100], vec![], vec![100, 200], vec![]]);
    assert_eq!(source.provider().fetch(&[]).await, []);
}

async fn an_outage_is_unreadable_and_passes(source: &dyn Source) {
    source.put(0, Some((100, 0)), None, i64::MIN / 1_000_000);
    source.set_alarm("errors", AlarmState::Ok);
    source.advance(10 * MINUTE);
    source.break_off();
    for answer in source.provider().fetch(&[query(source, 0, 1), query(source, 0, 2)]).await {
        assert_eq!(unreadable(answer).kind, TroubleKind::Transient);
    }
    assert!(source.provider().alarms(&["errors".to_owned()]).await.trouble().is_some());
    source.mend();
    assert_eq!(minutes(source, 0, 1).await, [(0, 100, 0)]);
    assert!(source.provider().alarms(&["errors".to_owned()]).await.read().is_some());
}

async fn alarms_are_answered_in_order_and_may_be_missing(source: &dyn Source) {
    source.set_alarm("a", AlarmState::Ok);
    source.set_alarm("b", AlarmState::Alarm);
    source.set_alarm("c", AlarmState::InsufficientData);
    let names: Vec<String> = ["c", "x", "a", "b", "a"].map(str::to_owned).into();
    let Seen::Read(alarms) = source.provider().alarms(&names).await else { panic!("not read") };
    assert!(alarms.iter().map(|alarm| &alarm.name).eq(&names));
    let states: Vec<AlarmState> = alarms.iter().map(|alarm| alarm.state).collect();
    let [ok, alarm, new] = [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData];
    assert_eq!(states, [new, AlarmState::Missing, ok, alarm, ok]);
    assert_eq!(source.provider().alarms(&[]).await, Seen::Read(Vec::new()));
}

macro_rules! contract {
    ($($clause:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $clause() { super::$clause(&super::InMemory::new()).await; })*
        }
        mod cloudwatch {
            $(#[tokio::test] async fn $clause() { super::$clause(&super::Bench::start().await).await; })*
        }
    };
}

contract! {
    only_what_is_over_and_asked_for_is_given
    what_is_not_there_is_absent_and_zero_is_there
    what_comes_late_is_absent_until_it_is_there
    every_query_has_its_answer_in_order
    an_outage_is_unreadable_and_passes
    alarms_are_answered_in_order_and_may_be_missing
}

#[tokio::test]
async fn memory_lags_corrects_and_makes_periods_as_it_is_told() {
    let source = InMemory::new();
    let made = |_: &Route, start, _: Span| {
        let blue = SideCounts { requests: 7, ..SideCounts::default() };
        Some(Period { start, blue, green: SideCounts::default(), load_balancer_errors: 0 })
    };
    let other = source.metrics.clone();
    other.set_source(made);
    other.set_lag(Span::from_secs(90));
    source.put(0, Some((100, 0)), None, START);
    source.put(0, Some((120, 0)), Some((10, 1)), START + 5 * MINUTE);
    source.advance(2 * MINUTE);
    assert_eq!(minutes(&source, 0, 5).await, [], "a minute after its end, with 90 s of lag");
    source.advance(MINUTE);
    assert_eq!(minutes(&source, 0, 5).await, [(0, 100, 0)]);
    source.advance(MINUTE);
    assert_eq!(minutes(&source, 0, 5).await, [(0, 100, 0), (1, 7, 0)], "pushed ones before made ones");
    source.advance(MINUTE);
    assert_eq!(minutes(&source, 0, 1).await, [(0, 120, 1)], "corrected");
    other.set_partial(true);
    let answers = source.metrics.fetch(&[query(&source, 0, 1)]).await;
    assert!(answers[0].read().unwrap().partial);
}

#[tokio::test]
async fn memory_forgets_an_alarm_and_breaks_one_route_alone() {
    let source = InMemory::new();
    source.set_alarm("a", AlarmState::Alarm);
    source.set_alarm("a", AlarmState::Missing);
    let alarms = source.metrics.alarms(&["a".to_owned()]).await;
    assert_eq!(alarms.read().unwrap()[0].state, AlarmState::Missing);
    let (_, app) = crate::aws_stand_in::World::blue_green_of("other", 1);
    let other = Query { route: route(&app), ..query(&source, 0, 1) };
    let outage = Trouble { kind: TroubleKind::Refused, message: "gone".to_owned() };
    source.metrics.set_route_outage(&other.route, Some(outage.clone()));
    source.advance(5 * MINUTE);
    let answers = source.metrics.fetch(&[query(&source, 0, 1), other]).await;
    assert!(answers[0].read().is_some());
    assert_eq!(answers[1].trouble(), Some(&outage));
}
