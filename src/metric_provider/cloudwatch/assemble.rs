//! Series into periods: the arithmetic, and what may not be believed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::read::{Ending, Readouts};
use super::series::{Series, SideSeries, Wanted};
use crate::domain::observation::{LatencySeen, MetricsSeen, Period, Seen, SideCounts, Trouble, TroubleKind};
use crate::domain::time::{Span, after, since};
use crate::metric_provider::Query;

/// How long after its end a period may still wait for its answer counts. CloudWatch may need two minutes until the first
/// point of a new series can be read, and green's are new at the first step.
pub(super) const GRACE: Span = Span::from_mins(3);

/// Counts above this are no counts: it is what a float holds exactly.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// Response times above this are none: a day, and a load balancer gives up after an hour or so.
const SECONDS_MAX: f64 = 86_400.0;

/// Puts a query's answer together.
pub(super) fn assemble(query: &Query, wanted: &Wanted, readouts: &Readouts, now: Timestamp) -> Seen<MetricsSeen> {
    let reader = Reader { query, readouts };
    let mut known = Known { until: query.until, partial: false };
    let sides =
        reader.side(&wanted.blue, &mut known).and_then(|blue| Ok((blue, reader.side(&wanted.green, &mut known)?)));
    let (blue, green) = match sides {
        Ok(sides) => sides,
        Err(trouble) => return Seen::Unreadable(trouble),
    };
    let own_errors = reader.extra(&wanted.own_errors, count, &mut known);
    let sides = Sides { blue, green, own_errors };
    if let Some(waiting) = sides.first_waiting(query.interval, now) {
        known.until = known.until.min(waiting);
    }
    let periods = sides.starts().into_iter().filter(|start| *start < known.until).map(|start| Period {
        start,
        blue: sides.blue.counts(start),
        green: sides.green.counts(start),
        load_balancer_errors: sides.own_errors.get(&start).copied().unwrap_or(0),
    });
    let periods: Vec<Period> = periods.collect();
    // Answers without requests: the requests are missing, and with them those that nobody answered.
    let partial = known.partial || periods.iter().any(|period| sides.lacks_requests(period.start));
    Seen::Read(MetricsSeen { periods, until: Some(known.until), partial })
}

/// How far an answer reaches.
struct Known {
    /// Behind this, some series that everything rests on was not given.
    until: Timestamp,
    /// Whether anything at all was not given.
    partial: bool,
}

type Points<T> = BTreeMap<Timestamp, T>;

struct Reader<'a> {
    query: &'a Query,
    readouts: &'a Readouts,
}

impl Reader<'_> {
    /// A series that everything rests on: when it cannot be read, nor can the query.
    fn base(&self, series: &Series, known: &mut Known) -> Result<Points<u64>, Trouble> {
        let (points, ending) = self.points(series, count)?;
        if ending == Ending::Partial {
            let end = points.last_key_value().map(|(start, _)| after(*start, self.query.interval));
            known.until = known.until.min(end.unwrap_or(self.query.from));
            known.partial = true;
        }
        Ok(points)
    }

    /// A series that a part of the answer rests on: without it that part is missing, and nothing counts as good news.
    fn extra<T>(&self, series: &Series, value: fn(f64) -> Option<T>, known: &mut Known) -> Points<T> {
        match self.points(series, value) {
            Ok((points, ending)) => {
                known.partial |= ending == Ending::Partial;
                points
            }
            Err(_missing) => {
                known.partial = true;
                Points::new()
            }
        }
    }

    fn points<T>(&self, series: &Series, value: fn(f64) -> Option<T>) -> Result<(Points<T>, Ending), Trouble> {
        let about = |what: &str| format!("{}: {what}", series.describe());
        let transient = |what: &str| Trouble { kind: TroubleKind::Transient, message: about(what) };
        let readout = self.readouts.get(series).ok_or_else(|| transient("not in the answer"))?;
        if let Ending::Failed(trouble) = &readout.ending {
            return Err(Trouble { kind: trouble.kind, message: about(&trouble.message) });
        }
        let mut points = Points::new();
        for (at, number) in &readout.points {
            if *at < self.query.from || *at >= self.query.until {
                continue;
            }
            if !self.on_grid(*at) {
                return Err(transient(&format!("its data point at {at} begins no period")));
            }
            let Some(read) = value(*number) else {
                return Err(transient(&format!("its value at {at} is {number}, which cannot be")));
            };
            points.insert(*at, read);
        }
        Ok((points, readout.ending.clone()))
    }

    fn on_grid(&self, at: Timestamp) -> bool {
        let offset = at.duration_since(self.query.from);
        let interval = self.query.interval.as_secs();
        offset.subsec_nanos() == 0 && offset.as_secs().checked_rem(interval) == Some(0)
    }

    fn side(&self, series: &SideSeries, known: &mut Known) -> Result<Side, Trouble> {
        let [ok, moved, refused, failed] = &series.answers;
        let requests = self.base(&series.requests, known)?;
        let answers =
            [self.base(ok, known)?, self.base(moved, known)?, self.base(refused, known)?, self.base(failed, known)?];
        let latency = series.latency.as_ref().map(|series| {
            [0, 1, 2].map(|at: usize| series.get(at).map(|one| self.extra(one, seconds, known)).unwrap_or_default())
        });
        let healthy = self.extra(&series.healthy, targets, known);
        Ok(Side { requests, answers, latency, healthy })
    }
}

/// One target group's numbers.
struct Side {
    requests: Points<u64>,
    /// 2XX, 3XX, 4XX, 5XX.
    answers: [Points<u64>; 4],
    latency: Option<[Points<f64>; 3]>,
    healthy: Points<u32>,
}

impl Side {
    /// Times of all answers, whatever they were.
    fn answered_at(&self) -> impl Iterator<Item = Timestamp> {
        self.answers.iter().flat_map(|points| points.keys().copied())
    }

    fn has_answers(&self, start: Timestamp) -> bool {
        self.answers.iter().any(|points| points.contains_key(&start))
    }

    /// The first of the periods up to this one in which nothing was answered.
    fn silent_since(&self, start: Timestamp) -> Timestamp {
        let before = self.requests.range(..=start).rev().map(|(start, _)| *start);
        before.take_while(|start| !self.has_answers(*start)).last().unwrap_or(start)
    }

    /// Errors are the target's 5XX, and every request without an answer from the target. An answer is proof of a request,
    /// so there are never fewer requests than answers.
    fn counts(&self, start: Timestamp) -> SideCounts {
        let [ok, moved, refused, failed] = self.answers.each_ref().map(|points| at(points, start));
        let answered = ok.saturating_add(moved).saturating_add(refused).saturating_add(failed);
        let requests = at(&self.requests, start).max(answered);
        SideCounts {
            requests,
            errors: failed.saturating_add(requests.saturating_sub(answered)),
            client_errors: refused,
            latency: self.latency.as_ref().and_then(|latency| percentiles(latency, start)),
            healthy_min: self.healthy.get(&start).copied(),
        }
    }
}

/// Absent counts are zero here; that they are whole was checked before.
fn at(points: &Points<u64>, start: Timestamp) -> u64 {
    points.get(&start).copied().unwrap_or(0)
}

/// The percentiles of a period, when all three are there and in order.
fn percentiles(latency: &[Points<f64>; 3], start: Timestamp) -> Option<LatencySeen> {
    let [p50, p90, p99] = latency.each_ref().map(|points| points.get(&start).copied());
    let (p50, p90, p99) = (p50?, p90?, p99?);
    (p50 <= p90 && p90 <= p99).then_some(LatencySeen { p50, p90, p99 })
}

/// Both target groups, and their load balancer.
struct Sides {
    blue: Side,
    green: Side,
    own_errors: Points<u64>,
}

impl Sides {
    fn both(&self) -> [&Side; 2] {
        [&self.blue, &self.green]
    }

    /// Beginnings of the periods of which anything is known: requests, answers, or the load balancer's own errors.
    fn starts(&self) -> BTreeSet<Timestamp> {
        let requests = self.both().into_iter().flat_map(|side| side.requests.keys().copied());
        let answers = self.both().into_iter().flat_map(Side::answered_at);
        requests.chain(answers).chain(self.own_errors.keys().copied()).collect()
    }

    fn lacks_requests(&self, start: Timestamp) -> bool {
        self.both().into_iter().any(|side| side.has_answers(start) && !side.requests.contains_key(&start))
    }

    /// The first period whose answer counts seem not to be in yet: a side has requests and no answers at all, the period is
    /// young, and nothing says that the silence is the side's own.
    fn first_waiting(&self, interval: Span, now: Timestamp) -> Option<Timestamp> {
        let pairs = [(&self.blue, &self.green), (&self.green, &self.blue)];
        let waiting = pairs.into_iter().flat_map(|(side, other)| {
            let silent = side.requests.iter().filter(|(start, requests)| **requests > 0 && !side.has_answers(**start));
            let young = silent.filter(move |(start, _)| since(now, after(**start, interval)) < GRACE);
            young
                .filter(|(start, requests)| !self.is_silence(side, other, **start, **requests))
                .map(|(start, _)| *start)
        });
        waiting.min()
    }

    /// Whether a side's lack of answers is the truth, not lateness:
    /// * the load balancer itself answered at least as many requests with 5XX, beyond what it did before the silence began:
    ///   its other target groups have errors too;
    /// * or the side's answers of a later period are in;
    /// * or the other side's answers of this or a later period are in, and this side's series are not new.
    fn is_silence(&self, side: &Side, other: &Side, start: Timestamp, requests: u64) -> bool {
        let usual = self.own_errors.range(..side.silent_since(start)).map(|(_, errors)| *errors).max().unwrap_or(0);
        let answered_instead = at(&self.own_errors, start) >= requests.saturating_add(usual);
        let later = side.answered_at().any(|answer| answer > start);
        let earlier = side.answered_at().any(|answer| answer < start);
        let published = other.answered_at().any(|answer| answer >= start);
        answered_instead || later || (earlier && published)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number in range")]
fn count(number: f64) -> Option<u64> {
    (0.0..=COUNT_MAX).contains(&number).then(|| number.round() as u64)
}

fn targets(number: f64) -> Option<u32> {
    count(number).and_then(|count| u32::try_from(count).ok())
}

fn seconds(number: f64) -> Option<f64> {
    (0.0..=SECONDS_MAX).contains(&number).then_some(number)
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
