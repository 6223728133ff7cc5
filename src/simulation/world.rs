//! The world itself: slices of time in which requests arrive, split by the live weight, and fail or not.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Binomial, Distribution, Normal, Poisson};

use super::script::{Change, Cue, When};
use crate::clock::Clock;
use crate::domain::ids::Side;
use crate::domain::observation::{FleetHealth, HealthSeen, LatencySeen, Period, SideCounts, Trouble, TroubleKind};
use crate::domain::plan::Route;
use crate::domain::time::{Span, after, since};
use crate::domain::weight::Weight;
use crate::metric_provider::memory::MemoryMetrics;
use crate::traffic_router::memory::MemoryRouter;

/// Length of a slice in which the weight counts as constant.
const SLICE: Span = Span::from_secs(5);

/// Share of requests that fail on a healthy side.
pub const USUAL_ERRORS: f64 = 0.002;

/// Share of requests that clients get wrong (4xx), on either side.
const CLIENT_ERRORS: f64 = 0.01;

/// Half of all requests are faster, in seconds; the rest is log-normal around it.
const USUAL_P50_S: f64 = 0.040;

/// Spread of response times: standard deviation of their logarithm.
const LATENCY_SIGMA: f64 = 0.6;

/// A percentile of response times: its share, its normal quantile and the normal density there.
const PERCENTILES: [(f64, f64, f64); 3] = [(0.5, 0.0, 0.398_94), (0.9, 1.281_55, 0.175_50), (0.99, 2.326_35, 0.026_65)];

/// What users felt, counted by the world itself and not by any metric.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Felt {
    /// Requests since the rollout began.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that went to green.
    pub green_requests: u64,
    /// Those that failed on green.
    pub green_failed: u64,
    /// How many of green's would have failed on blue at the same time.
    pub green_on_blue: f64,
}

impl Felt {
    /// Failed requests that there would not have been on blue.
    pub fn hurt(&self) -> f64 {
        (self.green_failed_number() - self.green_on_blue).max(0.0)
    }

    /// Whether a green that is just as good as blue could have failed as many by chance: within three standard deviations
    /// of a Poisson count.
    pub fn is_chance(&self) -> bool {
        self.hurt() <= 3.0 * self.green_on_blue.sqrt()
    }

    #[expect(clippy::cast_precision_loss, reason = "a simulated world serves far fewer than 2^53 requests")]
    const fn green_failed_number(&self) -> f64 {
        self.green_failed as f64
    }
}

/// How one side serves.
#[derive(Debug, Clone, Copy)]
struct Fleet {
    errors: f64,
    slowness: f64,
    counts: SideCounts,
}

impl Fleet {
    const fn usual() -> Self {
        let counts = SideCounts { requests: 0, errors: 0, client_errors: 0, latency: None, healthy_min: None };
        Self { errors: USUAL_ERRORS, slowness: 1.0, counts }
    }
}

/// A seeded world around one route.
pub struct World {
    route: Route,
    router: MemoryRouter,
    metrics: MemoryMetrics,
    random: SmallRng,
    /// Up to when it was lived through.
    now: Timestamp,
    /// When the rollout begins; before it is blue's past.
    start: Timestamp,
    interval: Span,
    period_start: Timestamp,
    rate: f64,
    blue: Fleet,
    green: Fleet,
    script: VecDeque<Cue>,
    first_at_weight: Vec<(Weight, Timestamp)>,
    happened: Vec<(Timestamp, Change)>,
    felt: Felt,
}

impl World {
    /// A world around `route` whose rollout begins at `start`, on a period boundary, with `history` behind it. Its
    /// router and metrics are those that the controller is given.
    pub fn new(route: &Route, clock: Arc<dyn Clock>, interval: Span, script: &[Cue], seed: u64) -> Self {
        let start = clock.now();
        let router = MemoryRouter::with_route(route, 6);
        let metrics = MemoryMetrics::new(clock);
        // CloudWatch shows a minute's data about a minute after its end.
        metrics.set_lag(Span::from_secs(60));
        let past = crate::domain::analysis::HISTORY;
        let born = crate::domain::time::before(start, past);
        Self {
            route: route.clone(),
            router,
            metrics,
            random: SmallRng::seed_from_u64(seed),
            now: born,
            start,
            interval,
            period_start: born,
            rate: 200.0,
            blue: Fleet::usual(),
            green: Fleet::usual(),
            script: script.iter().copied().collect(),
            first_at_weight: Vec::new(),
            happened: Vec::new(),
            felt: Felt::default(),
        }
    }

    /// The route's rules.
    pub const fn router(&self) -> &MemoryRouter {
        &self.router
    }

    /// The route's metrics.
    pub const fn metrics(&self) -> &MemoryMetrics {
        &self.metrics
    }

    /// What users felt so far.
    pub const fn felt(&self) -> Felt {
        self.felt
    }

    /// What happened since this was last asked, oldest first.
    pub fn take_happened(&mut self) -> Vec<(Timestamp, Change)> {
        std::mem::take(&mut self.happened)
    }

    /// Sets the requests per second of the whole route.
    pub const fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// Lives on until `until`.
    pub fn live_until(&mut self, until: Timestamp) {
        while after(self.now, SLICE) <= until {
            self.happen();
            self.serve();
            self.now = after(self.now, SLICE);
            if since(self.now, self.period_start) >= self.interval {
                self.publish();
            }
        }
    }

    /// Green's live share: what the first rule of the route shows. Several rules move together.
    fn share(&self) -> f64 {
        let rule = self.route.rules().first();
        let live = rule.and_then(|rule| self.router.live(rule)).and_then(|rule| rule.share());
        live.map_or(0.0, Weight::ratio)
    }

    fn happen(&mut self) {
        let share = self.share();
        let due: Vec<Cue> = self.script.iter().filter(|cue| self.is_due(cue, share)).copied().collect();
        self.note_weight(share);
        self.script.retain(|cue| !due.contains(cue));
        for cue in due {
            self.change(cue.change);
            self.happened.push((self.now, cue.change));
        }
    }

    fn note_weight(&mut self, share: f64) {
        let tenths = Weight::from_tenths(to_count(share * 1000.0).try_into().unwrap_or(1000));
        let Some(weight) = tenths else { return };
        if self.first_at_weight.iter().all(|(known, _)| *known != weight) {
            self.first_at_weight.push((weight, self.now));
        }
    }

    fn is_due(&self, cue: &Cue, share: f64) -> bool {
        match cue.when {
            When::At(span) => self.now >= after(self.start, span),
            When::AtWeight(weight, span) => {
                let first = self.first_at_weight.iter().filter(|(seen, _)| *seen >= weight).map(|(_, at)| *at).min();
                first.is_some_and(|at| since(self.now, at) >= span && share > 0.0)
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Errors(side, share) => self.fleet(side).errors = share,
            Change::Slowness(side, times) => self.fleet(side).slowness = times,
            Change::Healthy(side, healthy) => self.set_healthy(side, healthy),
            Change::MetricsAnswer(answer) => {
                let trouble = Trouble {
                    kind: TroubleKind::Transient,
                    message: "the metric source does not answer (simulated outage)".to_owned(),
                };
                self.metrics.set_outage((!answer).then_some(trouble));
            }
            Change::ForeignWrite(blue, green) => {
                if let Some(rule) = self.route.rules().first() {
                    self.router.foreign_write(rule, blue, green);
                }
            }
            Change::Traffic(rate) => self.rate = rate,
        }
    }

    const fn fleet(&mut self, side: Side) -> &mut Fleet {
        match side {
            Side::Blue => &mut self.blue,
            Side::Green => &mut self.green,
        }
    }

    fn set_healthy(&self, side: Side, healthy: u32) {
        const TARGETS: u32 = 6;
        let changed = FleetHealth { healthy, unhealthy: TARGETS.saturating_sub(healthy), ..FleetHealth::default() };
        let whole = FleetHealth { healthy: TARGETS, ..FleetHealth::default() };
        self.router.set_health(match side {
            Side::Blue => HealthSeen { blue: changed, green: whole },
            Side::Green => HealthSeen { blue: whole, green: changed },
        });
    }

    /// Requests of one slice: Poisson arrivals, each going to green with the live share, each failing by chance.
    fn serve(&mut self) {
        let share = self.share();
        let mean = self.rate * SLICE.as_secs_f64();
        let arrived = Poisson::new(mean).map_or(0, |poisson| to_count(poisson.sample(&mut self.random)));
        let to_green = self.of(arrived, share);
        let to_blue = arrived - to_green;
        for (side, requests) in [(Side::Blue, to_blue), (Side::Green, to_green)] {
            let errors = self.fleet(side).errors;
            let failed = self.of(requests, errors);
            let wrong = self.of(requests - failed, CLIENT_ERRORS);
            let counts = &mut self.fleet(side).counts;
            counts.requests += requests;
            counts.errors += failed;
            counts.client_errors += wrong;
            if self.now >= self.start {
                self.feel(side, requests, failed);
            }
        }
    }

    fn feel(&mut self, side: Side, requests: u64, failed: u64) {
        self.felt.requests += requests;
        self.felt.failed += failed;
        if side == Side::Green {
            self.felt.green_requests += requests;
            self.felt.green_failed += failed;
            self.felt.green_on_blue += as_number(requests) * self.blue.errors;
        }
    }

    /// How many of `all` it hits, each with this chance.
    fn of(&mut self, all: u64, chance: f64) -> u64 {
        Binomial::new(all, chance.clamp(0.0, 1.0)).map_or(0, |binomial| binomial.sample(&mut self.random))
    }

    fn publish(&mut self) {
        let start = self.period_start;
        self.period_start = after(start, self.interval);
        let [blue, green] = [Side::Blue, Side::Green].map(|side| {
            let latency = self.latency(side);
            let fleet = self.fleet(side);
            let counts = std::mem::take(&mut fleet.counts);
            SideCounts { latency, ..counts }
        });
        if blue.requests > 0 || green.requests > 0 {
            self.metrics.push(&self.route, Period { start, blue, green, load_balancer_errors: 0 });
        }
    }

    /// Percentiles as a sample of this size shows them: normal around the true logarithm, with the asymptotic standard
    /// deviation of a sample quantile.
    fn latency(&mut self, side: Side) -> Option<LatencySeen> {
        let fleet = *self.fleet(side);
        if fleet.counts.requests == 0 {
            return None;
        }
        let requests = as_number(fleet.counts.requests);
        let [p50, p90, p99] = PERCENTILES.map(|(share, quantile, density)| {
            let spread = LATENCY_SIGMA * (share * (1.0 - share) / requests).sqrt() / density;
            let noise = Normal::new(0.0, spread).map_or(0.0, |normal| normal.sample(&mut self.random));
            USUAL_P50_S * fleet.slowness * (quantile * LATENCY_SIGMA + noise).exp()
        });
        Some(LatencySeen { p50, p90: p90.max(p50), p99: p99.max(p90) })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, clamped to its range")]
fn to_count(number: f64) -> u64 {
    number.round().clamp(0.0, 1e12) as u64
}

#[expect(clippy::cast_precision_loss, reason = "a simulated world serves far fewer than 2^53 requests")]
const fn as_number(count: u64) -> f64 {
    count as f64
}
