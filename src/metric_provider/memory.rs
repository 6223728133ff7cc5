//! Metrics kept in memory: for the demo, simulations and tests.
//!
//! Behaves as a real source does: periods appear some time after their end, may be corrected later, may be cut off or
//! unreadable, and the period that is still running is never there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MetricProvider, Query};
use crate::clock::Clock;
use crate::domain::ids::Arn;
use crate::domain::observation::{AlarmSeen, AlarmState, MetricsSeen, Period, Seen, Trouble};
use crate::domain::plan::Route;
use crate::domain::time::{Span, after};

/// Makes periods when they are asked for, instead of having them pushed.
pub trait PeriodSource: Send + Sync + 'static {
    /// The period of this route that begins at `start`; `None` when there is no data of it. Asked several times, it says
    /// the same, unless it means a correction. It must not call the provider that asks it.
    fn period(&self, route: &Route, start: Timestamp, interval: Span) -> Option<Period>;
}

impl<F> PeriodSource for F
where
    F: Fn(&Route, Timestamp, Span) -> Option<Period> + Send + Sync + 'static,
{
    fn period(&self, route: &Route, start: Timestamp, interval: Span) -> Option<Period> {
        self(route, start, interval)
    }
}

/// A provider that holds what it was given. Clones share everything.
#[derive(Clone)]
pub struct MemoryMetrics {
    clock: Arc<dyn Clock>,
    inside: Arc<Mutex<Inside>>,
}

impl fmt::Debug for MemoryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMetrics").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inside {
    source: Option<Arc<dyn PeriodSource>>,
    routes: BTreeMap<Vec<Arn>, Routed>,
    lag: Span,
    partial: bool,
    outage: Option<Trouble>,
    alarms: BTreeMap<String, AlarmState>,
    alarm_outage: Option<Trouble>,
}

/// What is kept of one route: by the beginning of a period, its versions in the order in which they were given.
#[derive(Default)]
struct Routed {
    periods: BTreeMap<Timestamp, Vec<Version>>,
    outage: Option<Trouble>,
}

struct Version {
    visible_from: Timestamp,
    period: Period,
}

impl MemoryMetrics {
    /// Most periods kept of a route; the oldest are forgotten first. Two weeks of minutes.
    pub const PERIODS_MAX: usize = 20_160;

    /// Holds nothing yet; the clock tells which periods are over.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inside: Arc::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Periods come from here, where none was pushed.
    pub fn set_source(&self, source: impl PeriodSource) {
        self.inside().source = Some(Arc::new(source));
    }

    /// Adds a period, or replaces the one with the same beginning. It can be read when it is over and the lag has passed.
    pub fn push(&self, route: &Route, period: Period) {
        let visible_from = Timestamp::MIN;
        self.keep(route, period.start, |versions| *versions = vec![Version { visible_from, period }]);
    }

    /// As [`Self::push`], but what was there before is seen until the moment `visible_from`.
    pub fn correct(&self, route: &Route, period: Period, visible_from: Timestamp) {
        self.keep(route, period.start, |versions| versions.push(Version { visible_from, period }));
    }

    fn keep(&self, route: &Route, start: Timestamp, change: impl FnOnce(&mut Vec<Version>)) {
        let mut inside = self.inside();
        let routed = inside.routes.entry(route.rules().to_vec()).or_default();
        change(routed.periods.entry(start).or_default());
        while routed.periods.len() > Self::PERIODS_MAX {
            routed.periods.pop_first();
        }
    }

    /// A period can be read this long after its end, and not before.
    pub fn set_lag(&self, lag: Span) {
        self.inside().lag = lag;
    }

    /// Whether answers are marked as not whole.
    pub fn set_partial(&self, partial: bool) {
        self.inside().partial = partial;
    }

    /// Makes all metrics unreadable, or readable again.
    pub fn set_outage(&self, outage: Option<Trouble>) {
        self.inside().outage = outage;
    }

    /// Makes the metrics of one route unreadable, or readable again.
    pub fn set_route_outage(&self, route: &Route, outage: Option<Trouble>) {
        self.inside().routes.entry(route.rules().to_vec()).or_default().outage = outage;
    }

    /// Sets an alarm's state; [`AlarmState::Missing`] removes it.
    pub fn set_alarm(&self, name: &str, state: AlarmState) {
        match state {
            AlarmState::Missing => self.inside().alarms.remove(name),
            AlarmState::Ok | AlarmState::Alarm | AlarmState::InsufficientData => {
                self.inside().alarms.insert(name.to_owned(), state)
            }
        };
    }

    /// Makes alarms unreadable, or readable again.
    pub fn set_alarm_outage(&self, outage: Option<Trouble>) {
        self.inside().alarm_outage = outage;
    }
}

impl Inside {
    fn answer(&self, query: &Query, now: Timestamp) -> Seen<MetricsSeen> {
        let routed = self.routes.get(query.route.rules());
        let outage = self.outage.as_ref().or_else(|| routed.and_then(|routed| routed.outage.as_ref()));
        if let Some(trouble) = outage {
            return Seen::Unreadable(trouble.clone());
        }
        let mut periods = Vec::new();
        let mut start = query.from;
        while start < query.until && after(start, query.interval) <= now {
            let end = after(start, query.interval);
            if after(end, self.lag) <= now {
                periods.extend(self.period(routed, query, start, now));
            }
            if end == start {
                break;
            }
            start = end;
        }
        Seen::Read(MetricsSeen { periods, until: Some(start), partial: self.partial })
    }

    fn period(&self, routed: Option<&Routed>, query: &Query, start: Timestamp, now: Timestamp) -> Option<Period> {
        let versions = routed.and_then(|routed| routed.periods.get(&start));
        let pushed = versions.and_then(|versions| versions.iter().rev().find(|version| version.visible_from <= now));
        if let Some(version) = pushed {
            return Some(version.period.clone());
        }
        let source = self.source.as_ref()?;
        source.period(&query.route, start, query.interval).map(|period| Period { start, ..period })
    }
}

#[async_trait]
impl MetricProvider for MemoryMetrics {
    async fn fetch(&self, queries: &[Query]) -> Vec<Seen<MetricsSeen>> {
        let now = self.clock.now();
        let inside = self.inside();
        queries.iter().map(|query| inside.answer(query, now)).collect()
    }

    async fn alarms(&self, names: &[String]) -> Seen<Vec<AlarmSeen>> {
        let inside = self.inside();
        if let Some(trouble) = &inside.alarm_outage {
            return Seen::Unreadable(trouble.clone());
        }
        let state = |name: &String| inside.alarms.get(name).copied().unwrap_or(AlarmState::Missing);
        Seen::Read(names.iter().map(|name| AlarmSeen { name: name.clone(), state: state(name) }).collect())
    }
}
