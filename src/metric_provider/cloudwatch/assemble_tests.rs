use std::ops::Range;

use proptest::prelude::*;

use super::super::read::Readout;
use super::super::sample;
use super::super::series::Metric;
use super::*;
use crate::domain::time::before;

/// Series to put together, for a query over ten minutes from 12:00.
struct Case {
    query: Query,
    wanted: Wanted,
    readouts: Readouts,
    now: Timestamp,
}

#[derive(Clone, Copy)]
enum Whose {
    Blue,
    Green,
    LoadBalancer,
}
use Whose::{Blue, Green, LoadBalancer};

impl Case {
    /// Everything asked, nothing there, long after.
    fn new() -> Self {
        let query = Query { latency: true, ..sample::query() };
        let wanted = Wanted::of(&query).unwrap();
        let empty = |series: &Series| (series.clone(), Readout { points: Vec::new(), ending: Ending::Complete });
        let readouts = wanted.all().map(empty).collect();
        let now = after(query.until, Span::from_hours(1));
        Self { query, wanted, readouts, now }
    }

    /// A moment in minutes after 12:00.
    fn at(&self, minute: u32) -> Timestamp {
        after(self.query.from, Span::from_mins(minute))
    }

    /// What the clock shows, in seconds after the end of the minute that begins at `minute`.
    fn seen(mut self, minute: u32, seconds: u32) -> Self {
        self.now = after(self.at(minute + 1), Span::from_secs(seconds));
        self
    }

    fn readout(&mut self, whose: Whose, metric: Metric) -> &mut Readout {
        let side = match whose {
            Blue => self.wanted.blue.requests.target_group.clone(),
            Green => self.wanted.green.requests.target_group.clone(),
            LoadBalancer => None,
        };
        let found = self.readouts.iter_mut().find(|(key, _)| key.metric == metric && key.target_group == side);
        found.unwrap().1
    }

    /// A data point.
    fn with(mut self, whose: Whose, metric: Metric, minute: u32, value: f64) -> Self {
        let at = self.at(minute);
        self.readout(whose, metric).points.push((at, value));
        self
    }

    /// Requests that were all answered 2XX.
    fn served(mut self, whose: Whose, minutes: Range<u32>, requests: f64) -> Self {
        for minute in minutes {
            self = self.with(whose, Metric::Requests, minute, requests);
            self = self.with(whose, Metric::Answers2xx, minute, requests);
        }
        self
    }

    /// Requests without an answer.
    fn hung(mut self, whose: Whose, minutes: Range<u32>, requests: f64) -> Self {
        for minute in minutes {
            self = self.with(whose, Metric::Requests, minute, requests);
        }
        self
    }

    fn ending(mut self, whose: Whose, metric: Metric, ending: Ending) -> Self {
        self.readout(whose, metric).ending = ending;
        self
    }

    fn seen_answer(&self) -> Seen<MetricsSeen> {
        assemble(&self.query, &self.wanted, &self.readouts, self.now)
    }

    #[track_caller]
    fn read(&self) -> MetricsSeen {
        match self.seen_answer() {
            Seen::Read(metrics) => metrics,
            other @ (Seen::NotAsked | Seen::Unreadable(_)) => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn unreadable(&self) -> Trouble {
        match self.seen_answer() {
            Seen::Unreadable(trouble) => trouble,
            other @ (Seen::NotAsked | Seen::Read(_)) => panic!("{other:?}"),
        }
    }
}

fn side(requests: u64, errors: u64) -> SideCounts {
    SideCounts { requests, errors, ..SideCounts::default() }
}

#[test]
fn nothing_at_all_is_no_period_and_a_reported_zero_is_one() {
    let none = Case::new().read();
    assert_eq!((none.periods.len(), none.partial, none.until), (0, false, Some(sample::query().until)));
    let zero = Case::new().with(Blue, Metric::Requests, 3, 0.0).read();
    assert_eq!((zero.periods.len(), zero.periods[0].blue), (1, side(0, 0)));
}

#[test]
fn a_side_without_traffic_served_none_while_the_other_served() {
    let seen = Case::new().served(Blue, 0..10, 100.0).read();
    assert_eq!(seen.periods.len(), 10);
    assert!(seen.periods.iter().all(|period| period.blue == side(100, 0) && period.green == side(0, 0)));
}

#[test]
fn requests_with_answers_and_no_5xx_are_zero_errors() {
    let seen = Case::new()
        .with(Green, Metric::Requests, 0, 100.0)
        .with(Green, Metric::Answers2xx, 0, 80.0)
        .with(Green, Metric::Answers3xx, 0, 15.0)
        .with(Green, Metric::Answers4xx, 0, 5.0)
        .read();
    assert_eq!(seen.periods[0].green, SideCounts { client_errors: 5, ..side(100, 0) });
}

#[test]
fn errors_are_5xx_and_what_nobody_answered() {
    let seen = Case::new()
        .with(Green, Metric::Requests, 0, 100.0)
        .with(Green, Metric::Answers2xx, 0, 80.0)
        .with(Green, Metric::Answers5xx, 0, 7.0)
        .read();
    assert_eq!(seen.periods[0].green, side(100, 20));
}

#[test]
fn more_answers_than_requests_make_no_errors_and_no_overflow() {
    let seen = Case::new().with(Blue, Metric::Requests, 0, 10.0).with(Blue, Metric::Answers2xx, 0, 12.0).read();
    assert_eq!(seen.periods[0].blue, side(12, 0));
}

#[test]
fn answers_without_requests_count_and_are_no_good_news() {
    let seen = Case::new().with(Green, Metric::Answers5xx, 0, 12.0).served(Blue, 0..1, 100.0).read();
    assert_eq!(seen.periods[0].green, side(12, 12));
    assert!(seen.partial);
}

#[test]
fn the_load_balancers_own_errors_are_seen_when_no_target_could_be_chosen() {
    let seen = Case::new().with(LoadBalancer, Metric::OwnErrors, 4, 50.0).read();
    assert_eq!(seen.periods.len(), 1);
    assert_eq!((seen.periods[0].start, seen.periods[0].load_balancer_errors), (Case::new().at(4), 50));
}

#[test]
fn a_young_period_whose_answers_are_not_in_is_held_back() {
    let case = Case::new().served(Blue, 0..4, 100.0).served(Green, 0..4, 10.0);
    let case = case.hung(Blue, 4..5, 100.0).hung(Green, 4..5, 10.0).seen(4, 30);
    let seen = case.read();
    assert_eq!(seen.periods.len(), 4);
    assert!(seen.periods.iter().all(|period| period.green.errors == 0));
    assert_eq!(seen.until, Some(case.at(4)));
    assert!(!seen.partial, "what is there is whole");
}

#[test]
fn a_side_that_answers_nothing_has_errors_once_the_grace_is_over() {
    let case = Case::new().hung(Green, 0..1, 10.0);
    assert_eq!(case.read().periods[0].green, side(10, 10));
    let almost = Case::new().hung(Green, 0..1, 10.0).seen(0, 179);
    assert_eq!(almost.read().periods, []);
    let over = Case::new().hung(Green, 0..1, 10.0).seen(0, 180);
    assert_eq!(over.read().periods[0].green, side(10, 10));
}

#[test]
fn a_green_that_hangs_has_errors_at_once_when_it_answered_before_and_blue_still_does() {
    let case = Case::new().served(Blue, 0..5, 100.0).served(Green, 0..4, 10.0).hung(Green, 4..5, 10.0).seen(4, 1);
    let seen = case.read();
    assert_eq!(seen.periods.last().unwrap().green, side(10, 10));
    assert_eq!(seen.periods.last().unwrap().blue, side(100, 0));
    assert_eq!(seen.until, Some(case.query.until));
}

#[test]
fn a_green_that_never_answered_has_errors_at_once_when_the_load_balancer_answered_for_it() {
    let case = Case::new().served(Blue, 0..1, 100.0).hung(Green, 0..1, 10.0);
    let too_few = case.with(LoadBalancer, Metric::OwnErrors, 0, 9.0).seen(0, 1);
    assert_eq!(too_few.read().periods, [], "its series may be new");
    let case = Case::new().served(Blue, 0..1, 100.0).hung(Green, 0..1, 10.0);
    let seen = case.with(LoadBalancer, Metric::OwnErrors, 0, 10.0).seen(0, 1).read();
    assert_eq!(seen.periods[0].green, side(10, 10));
}

#[test]
fn errors_that_the_load_balancer_has_anyway_do_not_explain_a_silence() {
    let case = |own: f64| {
        let mut case = Case::new().served(Blue, 0..8, 100.0).hung(Green, 5..8, 10.0);
        for minute in 0..5 {
            case = case.with(LoadBalancer, Metric::OwnErrors, minute, 40.0 + f64::from(minute));
        }
        for minute in 5..8 {
            case = case.with(LoadBalancer, Metric::OwnErrors, minute, own);
        }
        case.seen(7, 1).read()
    };
    let anyway = case(53.0);
    assert_eq!(anyway.until, Some(Case::new().at(5)), "44 before and 10 of green make 54");
    assert!(anyway.periods.iter().all(|period| period.green.requests == 0));
    let more = case(54.0);
    let green: Vec<SideCounts> = more.periods.iter().skip(5).map(|period| period.green).collect();
    assert_eq!(green, [side(10, 10); 3], "however long the silence lasts");
}

#[test]
fn later_answers_of_the_same_side_show_that_the_silence_was_true() {
    let seen = Case::new().hung(Green, 0..1, 10.0).served(Green, 1..2, 10.0).seen(1, 1).read();
    assert_eq!(seen.periods[0].green, side(10, 10));
}

#[test]
fn what_is_not_a_number_is_never_good_news() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        for metric in [Metric::Requests, Metric::Answers2xx, Metric::Answers4xx, Metric::Answers5xx] {
            let trouble = Case::new().served(Blue, 0..1, 100.0).with(Green, metric, 0, bad).unreadable();
            assert_eq!(trouble.kind, TroubleKind::Transient);
            assert!(trouble.message.contains(metric.name()) && trouble.message.contains("green"), "{trouble:?}");
        }
        for metric in [Metric::LatencyP50, Metric::LatencyP90, Metric::LatencyP99, Metric::HealthyTargets] {
            let seen = Case::new().served(Blue, 0..1, 100.0).with(Green, metric, 0, bad).read();
            assert!(seen.partial, "{bad} {metric:?}");
            assert_eq!((seen.periods[0].green.latency, seen.periods[0].green.healthy_min), (None, None));
        }
        let seen = Case::new().served(Blue, 0..1, 100.0).with(LoadBalancer, Metric::OwnErrors, 0, bad).read();
        assert!(seen.partial);
    }
}

#[test]
fn fractions_round_to_whole_counts() {
    let seen = Case::new().with(Blue, Metric::Requests, 0, 99.6).with(Blue, Metric::Answers2xx, 0, 100.4).read();
    assert_eq!(seen.periods[0].blue, side(100, 0));
}

#[test]
fn a_data_point_off_the_grid_makes_its_series_unreadable() {
    let mut case = Case::new().served(Blue, 0..1, 100.0);
    let off = after(case.at(1), Span::from_secs(30));
    case.readout(Green, Metric::Requests).points.push((off, 5.0));
    assert!(case.unreadable().message.contains("begins no period"));
}

#[test]
fn data_points_outside_the_window_are_left_out() {
    let mut case = Case::new().served(Blue, 0..1, 100.0);
    let early = before(case.query.from, Span::from_mins(1));
    let late = case.query.until;
    case.readout(Green, Metric::Requests).points.extend([(early, 5.0), (late, 5.0)]);
    assert_eq!(case.read().periods.len(), 1);
}

#[test]
fn a_count_that_was_not_given_to_the_end_shortens_the_answer() {
    let case = Case::new().served(Blue, 0..10, 100.0).served(Green, 0..10, 10.0);
    let mut case = case.ending(Green, Metric::Answers2xx, Ending::Partial);
    case.readout(Green, Metric::Answers2xx).points.truncate(6);
    let seen = case.read();
    assert!(seen.partial);
    assert_eq!((seen.periods.len(), seen.until), (6, Some(case.at(6))));
    assert!(seen.periods.iter().all(|period| period.green.errors == 0), "what was not given is no error");
    let none = Case::new().served(Blue, 0..10, 100.0).ending(Blue, Metric::Answers5xx, Ending::Partial).read();
    assert_eq!((none.periods.len(), none.until, none.partial), (0, Some(sample::query().from), true));
}

#[test]
fn a_count_that_failed_fails_the_reading_and_says_which() {
    let trouble = Trouble { kind: TroubleKind::Refused, message: "forbidden".to_owned() };
    let case = Case::new().served(Blue, 0..1, 100.0).ending(Green, Metric::Answers5xx, Ending::Failed(trouble));
    let said = case.unreadable();
    assert_eq!(said.kind, TroubleKind::Refused);
    assert_eq!(said.message, "HTTPCode_Target_5XX_Count (Sum) of targetgroup/green/09966783158cda59: forbidden");
}

#[test]
fn anything_else_that_failed_is_missing_and_nothing_is_good_news() {
    let trouble = Trouble { kind: TroubleKind::Transient, message: "internal".to_owned() };
    for (whose, metric) in
        [(Blue, Metric::LatencyP99), (Green, Metric::HealthyTargets), (LoadBalancer, Metric::OwnErrors)]
    {
        let case = Case::new().served(Blue, 0..1, 100.0).ending(whose, metric, Ending::Failed(trouble.clone()));
        let seen = case.read();
        assert!(seen.partial, "{metric:?}");
        assert_eq!(seen.periods[0].blue, side(100, 0));
    }
}

#[test]
fn response_times_come_whole_and_in_order_or_not_at_all() {
    let latency = |p50, p90, p99| {
        let case = Case::new().served(Green, 0..1, 10.0);
        let case = case.with(Green, Metric::LatencyP50, 0, p50).with(Green, Metric::LatencyP90, 0, p90);
        case.with(Green, Metric::LatencyP99, 0, p99).read().periods[0].green.latency
    };
    assert_eq!(latency(0.1, 0.2, 0.3), Some(LatencySeen { p50: 0.1, p90: 0.2, p99: 0.3 }));
    assert_eq!(latency(0.2, 0.1, 0.3), None);
    let two = Case::new().served(Green, 0..1, 10.0).with(Green, Metric::LatencyP50, 0, 0.1);
    assert_eq!(two.with(Green, Metric::LatencyP90, 0, 0.2).read().periods[0].green.latency, None);
}

/// Mostly counts, so that most cases can be read.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        2000 => (0_u32..500).prop_map(f64::from),
        20 => 0.0..1e15_f64,
        1 => any::<f64>(),
    ]
}

fn readout() -> impl Strategy<Value = (Vec<(u32, f64)>, bool)> {
    (proptest::collection::vec((0_u32..12, value()), 0..8), proptest::bool::weighted(0.02))
}

proptest! {
    #[test]
    fn whatever_the_series_hold_errors_are_requests_and_periods_are_in_order(
        readouts in proptest::collection::vec(readout(), 19),
        age in 0_u32..1000,
    ) {
        let mut case = Case::new();
        case.now = after(case.at(0), Span::from_secs(age));
        let start = case.query.from;
        for ((_, slot), (points, partial)) in case.readouts.iter_mut().zip(readouts) {
            slot.points = points.iter().map(|(minute, value)| (after(start, Span::from_mins(*minute)), *value)).collect();
            slot.ending = if partial { Ending::Partial } else { Ending::Complete };
        }
        if let Seen::Read(seen) = case.seen_answer() {
            let until = seen.until.unwrap();
            prop_assert!(until >= start && until <= case.query.until);
            prop_assert!(seen.periods.is_sorted_by(|left, right| left.start < right.start));
            for period in &seen.periods {
                prop_assert!(period.start >= start && period.start < until);
                for side in [period.blue, period.green] {
                    prop_assert!(side.errors <= side.requests, "{side:?}");
                    prop_assert!(side.client_errors <= side.requests - side.errors, "{side:?}");
                }
            }
        }
    }
}
