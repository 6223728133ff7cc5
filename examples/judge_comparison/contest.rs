//! Runs all rules over the same traffic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use greenshift::judge::{Evidence, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::mann_whitney::Deviation;
use crate::rules::{Alarm, Counter, Kayenta, Oracle, Ours, PipeCd, Rule};
use crate::world::{Course, World};

/// Periods of a day, and of the eight hours within which a fault must be found.
pub(crate) const DAY: usize = 1440;
pub(crate) const SHIFT: usize = 480;
/// False rollbacks per day at which rules are matched.
pub(crate) const MATCHED: f64 = 0.01;

/// A rule of the contest.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Ours,
    Argo(usize),
    Flagger(usize),
    Alarm,
    Ratio,
    PipeCd(Deviation),
    Kayenta,
    /// Knows both rates; the fault's, and whether it must watch for a change.
    Oracle(f64, bool),
}

impl Kind {
    fn rule(self, world: &World, settings: &Settings, evidence: &Evidence) -> Box<dyn Rule> {
        match self {
            Self::Ours => {
                Box::new(Ours { settings: settings.clone(), evidence: evidence.clone(), period_s: world.period_s })
            }
            Self::Argo(limit) => Box::new(Counter::argo(limit)),
            Self::Flagger(threshold) => Box::new(Counter::flagger(threshold)),
            Self::Alarm => Box::new(Alarm::absolute(2, 3)),
            Self::Ratio => Box::new(Alarm::relative(2, 3)),
            Self::PipeCd(deviation) => Box::new(PipeCd::new(deviation)),
            Self::Kayenta => Box::new(Kayenta::new()),
            Self::Oracle(green, restarts) => Box::new(Oracle::new(world.blue, green, restarts)),
        }
    }
}

/// A rule and the thresholds to try it at: it sees the traffic once.
pub(crate) type Entry = (Kind, Vec<f64>);

/// What became of one entry in many rollouts with a fault.
#[derive(Clone, Default)]
pub(crate) struct Outcome {
    /// Seconds from the onset to the end of the deciding period; ∞ when never. Sorted.
    pub(crate) delays: Vec<f64>,
    /// Green's bad requests from the onset to the decision. Sorted.
    pub(crate) hurt: Vec<f64>,
    /// Share of rollouts rolled back before the onset.
    pub(crate) false_share: f64,
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = ((sorted.len() as f64 - 1.0) * q).ceil().max(0.0) as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

impl Outcome {
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.delays, 0.5)
    }

    pub(crate) fn p95(&self) -> f64 {
        quantile(&self.delays, 0.95)
    }

    pub(crate) fn median_hurt(&self) -> f64 {
        quantile(&self.hurt, 0.5)
    }

    pub(crate) fn caught(&self) -> f64 {
        self.delays.iter().filter(|d| d.is_finite()).count() as f64 / self.delays.len().max(1) as f64
    }
}

fn begin<'a>(world: &'a World, settings: &Settings, seed: u64) -> (StdRng, Course<'a>, Evidence) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut course = Course::new(world, &mut rng);
    let mut evidence = course.warmed_up(&mut rng, settings);
    evidence.step(settings, world.weight, None);
    (rng, course, evidence)
}

/// The largest statistic of every rule in each of `rollouts` days without a fault: `[rule][rollout]`.
pub(crate) fn healthy(
    world: &World,
    settings: &Settings,
    kinds: &[Kind],
    rollouts: u64,
    periods: usize,
) -> Vec<Vec<f64>> {
    let mut most = vec![Vec::new(); kinds.len()];
    for seed in 0..rollouts {
        let (mut rng, mut course, evidence) = begin(world, settings, seed);
        let mut rules: Vec<_> = kinds.iter().map(|kind| kind.rule(world, settings, &evidence)).collect();
        let mut top = vec![f64::NEG_INFINITY; kinds.len()];
        for at in 0..periods {
            let (blue, green) = course.next(&mut rng, at);
            for (rule, top) in rules.iter_mut().zip(&mut top) {
                *top = top.max(rule.see(blue, green));
            }
        }
        for (most, top) in most.iter_mut().zip(top) {
            most.push(top);
        }
    }
    most
}

/// The smallest threshold that at most `MATCHED` of these days exceed.
pub(crate) fn matched(most: &[f64]) -> f64 {
    let mut sorted = most.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = (MATCHED * sorted.len() as f64).floor() as usize;
    sorted.get(at).copied().unwrap_or(f64::INFINITY).max(-1e9)
}

/// Share of days whose statistic exceeds a threshold.
pub(crate) fn exceed(most: &[f64], threshold: f64) -> f64 {
    most.iter().filter(|top| **top > threshold).count() as f64 / most.len().max(1) as f64
}

/// What every entry makes of a world with a fault, watched for eight hours after its onset: `[entry][threshold]`.
pub(crate) fn faulty(world: &World, settings: &Settings, entries: &[Entry], rollouts: u64) -> Vec<Vec<Outcome>> {
    let mut all: Vec<Vec<Outcome>> = entries.iter().map(|(_, t)| vec![Outcome::default(); t.len()]).collect();
    for seed in 0..rollouts {
        let decided = follow(world, settings, entries, 1_000_000 + seed);
        for (outcome, decided) in all.iter_mut().flatten().zip(decided.into_iter().flatten()) {
            match decided {
                (Some(at), _) if at < world.onset => outcome.false_share += 1.0 / rollouts as f64,
                (Some(at), hurt) => {
                    outcome.delays.push((at + 1 - world.onset) as f64 * world.period_s);
                    outcome.hurt.push(hurt);
                }
                (None, hurt) => {
                    outcome.delays.push(f64::INFINITY);
                    outcome.hurt.push(hurt);
                }
            }
        }
    }
    for outcome in all.iter_mut().flatten() {
        outcome.delays.sort_by(f64::total_cmp);
        outcome.hurt.sort_by(f64::total_cmp);
    }
    all
}

/// One rollout: the period in which each entry decided, if it did, and green's bad requests from the onset to then.
fn follow(world: &World, settings: &Settings, entries: &[Entry], seed: u64) -> Vec<Vec<(Option<usize>, f64)>> {
    let (mut rng, mut course, evidence) = begin(world, settings, seed);
    let mut rules: Vec<_> = entries.iter().map(|(kind, _)| kind.rule(world, settings, &evidence)).collect();
    let mut decided: Vec<Vec<(Option<usize>, f64)>> =
        entries.iter().map(|(_, thresholds)| vec![(None, 0.0); thresholds.len()]).collect();
    let open = |decided: &[(Option<usize>, f64)]| decided.iter().any(|(at, _)| at.is_none());
    for at in 0..world.onset + SHIFT {
        let (blue, green) = course.next(&mut rng, at);
        let hurt = if at >= world.onset { green.bad } else { 0.0 };
        for ((rule, (_, thresholds)), decided) in rules.iter_mut().zip(entries).zip(&mut decided) {
            if !open(decided) {
                continue;
            }
            let statistic = rule.see(blue, green);
            for (threshold, (decided, sum)) in thresholds.iter().zip(decided) {
                if decided.is_none() {
                    *sum += hurt;
                    *decided = (statistic > *threshold).then_some(at);
                }
            }
        }
        if !decided.iter().any(|decided| open(decided)) {
            break;
        }
    }
    decided
}

/// Bounds of Wald and Lorden in seconds, never below one period: how long anybody needs who accepts `MATCHED` false
/// rollbacks a day and knows both rates.
pub(crate) fn information_limit(world: &World) -> f64 {
    let green = world.green.min(1.0 - 1e-15);
    let per_request = green * (green / world.blue).ln() + (1.0 - green) * ((1.0 - green) / (1.0 - world.blue)).ln();
    let per_period = per_request * world.rate_per_s * world.period_s * world.weight;
    let needed = if world.onset == 0 { (1.0 / MATCHED).ln() } else { (DAY as f64 / MATCHED).ln() };
    world.period_s * (needed / per_period).max(1.0)
}

/// The same for the comparison of two sides whose common rate is not known.
pub(crate) fn common_limit(world: &World) -> f64 {
    let green_part = world.weight;
    let mean = green_part * world.green + (1.0 - green_part) * world.blue;
    let divergence = |p: f64| {
        let p = p.min(1.0 - 1e-15);
        p * (p / mean).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - mean).max(1e-15)).ln()
    };
    let per_request = green_part * divergence(world.green) + (1.0 - green_part) * divergence(world.blue);
    world.period_s * ((1.0 / MATCHED).ln() / (per_request * world.rate_per_s * world.period_s)).max(1.0)
}

/// Does `work` on every item, on both cores, in order.
pub(crate) fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
