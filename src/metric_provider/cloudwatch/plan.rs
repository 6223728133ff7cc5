//! Queries into calls: as few as CloudWatch's limit allows, each series asked once per window.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::series::{Series, Wanted};
use crate::domain::time::since;
use crate::metric_provider::Query;

/// Most series that one `GetMetricData` may ask for.
pub(super) const SERIES_MAX: usize = 500;

/// A query with the series that answer it, and its place in the caller's list.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) index: usize,
    pub(super) query: Query,
    pub(super) wanted: Wanted,
}

/// One `GetMetricData`, with all its pages.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) region: &'a str,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// The queries that it answers, each whole: both sides of a comparison are read at the same moment.
    pub(super) asked: Vec<&'a Asked>,
    /// What it asks for, no series twice.
    pub(super) series: BTreeSet<&'a Series>,
}

impl<'a> Batch<'a> {
    /// A batch for the first of its queries.
    fn of(asked: &'a Asked) -> Self {
        Self {
            region: &asked.wanted.region,
            from: asked.query.from,
            until: asked.query.until,
            asked: vec![asked],
            series: asked.wanted.all().collect(),
        }
    }

    /// How many series more it would ask for with this query; `None` when that is too many.
    fn growth(&self, asked: &Asked) -> Option<usize> {
        let new = asked.wanted.all().filter(|series| !self.series.contains(series)).count();
        (self.series.len() + new <= SERIES_MAX).then_some(new)
    }

    fn add(&mut self, asked: &'a Asked) {
        self.from = self.from.min(asked.query.from);
        self.series.extend(asked.wanted.all());
        self.asked.push(asked);
    }

    /// Two batches that together ask the same; `None` when there is only one query.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let half = |asked: &[&'a Asked]| {
            let (first, rest) = asked.split_first()?;
            let mut batch = Self::of(first);
            for asked in rest {
                batch.add(asked);
            }
            Some(batch)
        };
        let (left, right) = self.asked.split_at(self.asked.len() / 2);
        Some([half(left)?, half(right)?])
    }
}

/// Windows of at most this many periods are joined, whenever they begin: CloudWatch charges for series, not for data points,
/// so a rollout may as well be given some minutes that another one asked for. Longer ones, into the past, are for those
/// who need them.
const SHORT: i64 = 60;

/// Joins queries of the same account, region, interval and end.
pub(super) fn plan(asked: &[Asked]) -> Vec<Batch<'_>> {
    let mut places: BTreeMap<_, Vec<Batch<'_>>> = BTreeMap::new();
    for asked in asked {
        let query = &asked.query;
        let is_long = since(query.until, query.from).as_secs() > query.interval.as_secs().saturating_mul(SHORT);
        let begin = is_long.then_some(query.from);
        let place = (&asked.wanted.account, &asked.wanted.region, query.interval, query.until, begin);
        let batches = places.entry(place).or_default();
        let fits = batches.iter_mut().filter_map(|batch| Some((batch.growth(asked)?, batch)));
        match fits.min_by_key(|(growth, _)| *growth) {
            Some((_, batch)) => batch.add(asked),
            None => batches.push(Batch::of(asked)),
        }
    }
    places.into_values().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Arn;
    use crate::domain::plan::Route;
    use crate::domain::time::{Span, after, before};
    use crate::metric_provider::cloudwatch::sample;

    fn asked(queries: Vec<Query>) -> Vec<Asked> {
        let with_series = |(index, query)| {
            let wanted = Wanted::of(&query).unwrap();
            Asked { index, query, wanted }
        };
        queries.into_iter().enumerate().map(with_series).collect()
    }

    fn numbered(number: usize) -> Query {
        let mut query = sample::query();
        let Route::Alb(route) = &mut query.route;
        let group = |side| format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{side}/{number}");
        route.blue_target_group = Arn::new(group("blue"));
        route.green_target_group = Arn::new(group("green"));
        query
    }

    #[test]
    fn one_call_serves_41_rollouts_of_one_load_balancer_and_42_need_two() {
        let many = asked((0..41).map(numbered).collect());
        let batches = plan(&many);
        // 12 per route, and the load balancer's own errors once for all
        assert_eq!(batches.iter().map(|batch| batch.series.len()).collect::<Vec<_>>(), [493]);
        let more = asked((0..42).map(numbered).collect());
        let batches = plan(&more);
        assert_eq!(batches.iter().map(|batch| batch.asked.len()).collect::<Vec<_>>(), [41, 1]);
        assert!(batches.iter().all(|batch| batch.series.len() <= SERIES_MAX));
    }

    #[test]
    fn a_series_that_two_rollouts_want_is_asked_once() {
        let twice = asked(vec![sample::query(), sample::query(), Query { latency: true, ..sample::query() }]);
        let batches = plan(&twice);
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0].asked.len(), batches[0].series.len()), (3, 19));
    }

    #[test]
    fn other_ends_regions_and_accounts_are_other_calls() {
        let mut elsewhere = sample::query();
        let Route::Alb(route) = &mut elsewhere.route;
        for arn in route.rules.iter_mut().chain([&mut route.blue_target_group, &mut route.green_target_group]) {
            *arn = Arn::new(arn.as_str().replace("eu-west-1", "eu-west-2"));
        }
        let mut foreign = sample::query();
        let Route::Alb(route) = &mut foreign.route;
        route.blue_target_group = Arn::new(route.blue_target_group.as_str().replace("123456789012", "210987654321"));
        let longer = Query { until: after(sample::query().until, Span::from_mins(1)), ..sample::query() };
        let all = asked(vec![sample::query(), elsewhere, foreign, longer]);
        let batches = plan(&all);
        assert_eq!(batches.len(), 4);
        assert!(batches.iter().all(|batch| batch.asked.len() == 1));
    }

    #[test]
    fn short_windows_are_joined_and_long_ones_are_not() {
        let begun = |minutes| Query { from: before(sample::query().from, Span::from_mins(minutes)), ..sample::query() };
        let all = asked(vec![begun(0), begun(2), begun(50), begun(51), begun(120)]);
        let batches = plan(&all);
        let spans: Vec<_> = batches.iter().map(|batch| (batch.asked.len(), batch.from)).collect();
        assert_eq!(spans, [(3, begun(50).from), (1, begun(120).from), (1, begun(51).from)]);
    }

    #[test]
    fn a_batch_halves_down_to_single_queries_and_loses_none() {
        let many = asked((0..7).map(numbered).collect());
        let mut open = plan(&many);
        let mut single = Vec::new();
        while let Some(batch) = open.pop() {
            match batch.halves() {
                Some(halves) => open.extend(halves),
                None => single.push(batch),
            }
        }
        let mut seen: Vec<usize> = single.iter().flat_map(|batch| &batch.asked).map(|asked| asked.index).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        assert!(single.iter().all(|batch| batch.series.len() == 13));
    }
}
