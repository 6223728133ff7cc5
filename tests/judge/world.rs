//! Synthetic traffic: seeded, so that every run sees the same.

use greenshift::judge::{Counts, Evidence, Settings};
use rand::Rng;

/// A standard normal variate (Box and Muller 1958).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// ln k! (Stirling's series, good to ten digits from 10 on).
fn ln_factorial(k: f64) -> f64 {
    if k < 10.0 {
        let mut product = 1.0;
        let mut i = 2.0;
        while i <= k {
            product *= i;
            i += 1.0;
        }
        return product.ln();
    }
    let n = k + 1.0;
    (n - 0.5) * n.ln() - n + 0.918_938_533_204_672_8 + 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3))
        + 1.0 / (1260.0 * n.powi(5))
}

/// A Poisson variate: by inversion when the mean is small, else by transformed rejection (Hörmann 1993, PTRS).
pub(crate) fn poisson(rng: &mut impl Rng, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean < 10.0 {
        let (mut k, mut p, mut u) = (0.0, (-mean).exp(), rng.random::<f64>());
        while u > p && k < 200.0 {
            u -= p;
            k += 1.0;
            p *= mean / k;
        }
        return k;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let fast = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let (u, v) = (rng.random::<f64>() - 0.5, 1.0 - rng.random::<f64>());
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= fast {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        if (v * inverse_alpha / (a / (us * us) + b)).ln() <= k * mean.ln() - mean - ln_factorial(k) {
            return k;
        }
    }
}

/// A binomial variate: by inversion when few are expected, else by transformed rejection (Hörmann 1993, BTRS).
pub(crate) fn binomial(rng: &mut impl Rng, n: f64, p: f64) -> f64 {
    if n <= 0.0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(rng, n, 1.0 - p);
    }
    if n * p < 10.0 {
        let ratio = p / (1.0 - p);
        let (mut k, mut chance, mut u) = (0.0, (n * (-p).ln_1p()).exp(), rng.random::<f64>());
        while u > chance && k < n {
            u -= chance;
            k += 1.0;
            chance *= ratio * (n - k + 1.0) / k;
        }
        return k;
    }
    let q = 1.0 - p;
    let sd = (n * p * q).sqrt();
    let b = 1.15 + 2.53 * sd;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let fast = 0.92 - 4.2 / b;
    let mode = ((n + 1.0) * p).floor();
    let top = ln_factorial(mode) + ln_factorial(n - mode);
    loop {
        let (u, v) = (rng.random::<f64>() - 0.5, 1.0 - rng.random::<f64>());
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + n * p + 0.5).floor();
        if us >= 0.07 && v <= fast {
            return k;
        }
        if !(0.0..=n).contains(&k) {
            continue;
        }
        let height = (v * (2.83 + 5.1 / b) * sd / (a / (us * us) + b)).ln();
        if height <= top - ln_factorial(k) - ln_factorial(n - k) + (k - mode) * (p / q).ln() {
            return k;
        }
    }
}

/// A gamma variate of the given shape and scale (Marsaglia and Tsang 2000).
pub(crate) fn gamma(rng: &mut impl Rng, shape: f64, scale: f64) -> f64 {
    if shape < 1.0 {
        let power = (1.0 - rng.random::<f64>()).powf(1.0 / shape);
        return gamma(rng, shape + 1.0, scale) * power;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.random::<f64>()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return scale * d * v;
        }
    }
}

/// How errors cluster. Every multiplier of a rate has mean 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Noise {
    /// Independent errors.
    None,
    /// A gamma multiplier per period, of this squared coefficient of variation, on both sides alike.
    Common(f64),
    /// The same, for each side its own.
    Own(f64),
    /// A log-normal multiplier that drifts, of this variance of the log and time constant in seconds, on both alike.
    CommonDrift(f64, f64),
    /// The same, for each side its own.
    OwnDrift(f64, f64),
    /// Errors come in geometric clusters of this mean size, whose members go to the sides at random.
    Clusters(f64),
    /// The same, a whole cluster on one side: sticky sessions.
    StickyClusters(f64),
}

/// A world of two sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// Requests per second of both sides together.
    pub(crate) rate_per_s: f64,
    /// Green's share.
    pub(crate) weight: f64,
    /// Blue's error ratio, and green's after the fault began.
    pub(crate) blue: f64,
    pub(crate) green: f64,
    /// Green's error ratio over blue's before the fault.
    pub(crate) bias: f64,
    /// First period of the fault.
    pub(crate) onset: usize,
    pub(crate) period_s: f64,
    pub(crate) noise: Noise,
    /// Amplitude of the daily swing of the traffic.
    pub(crate) diurnal: f64,
    /// Share of periods that are missing.
    pub(crate) missing: f64,
    /// An outage of both sides: first period, end, error ratio.
    pub(crate) outage: Option<(usize, usize, f64)>,
    /// How many times as hard it hits green.
    pub(crate) outage_green: f64,
    /// Periods of blue alone before.
    pub(crate) history: usize,
}

impl World {
    pub(crate) fn healthy(rate_per_s: f64, weight: f64, ratio: f64) -> Self {
        Self {
            rate_per_s,
            weight,
            blue: ratio,
            green: ratio,
            bias: 1.0,
            onset: usize::MAX,
            period_s: 60.0,
            noise: Noise::None,
            diurnal: 0.0,
            missing: 0.0,
            outage: None,
            outage_green: 1.0,
            history: 360,
        }
    }

    pub(crate) fn with_fault(self, green: f64, onset: usize) -> Self {
        Self { green, onset, ..self }
    }
}

/// The course of one rollout in a world.
pub(crate) struct Course<'a> {
    world: &'a World,
    /// Logarithms of the drifting multipliers.
    drift: (f64, f64),
    phase: f64,
    period: usize,
}

impl<'a> Course<'a> {
    pub(crate) fn new(world: &'a World, rng: &mut impl Rng) -> Self {
        Self { world, drift: (normal(rng), normal(rng)), phase: rng.random::<f64>() * std::f64::consts::TAU, period: 0 }
    }

    fn multipliers(&mut self, rng: &mut impl Rng) -> (f64, f64) {
        match self.world.noise {
            Noise::None | Noise::Clusters(_) | Noise::StickyClusters(_) => (1.0, 1.0),
            Noise::Common(cv2) => {
                let g = gamma(rng, 1.0 / cv2, cv2);
                (g, g)
            }
            Noise::Own(cv2) => (gamma(rng, 1.0 / cv2, cv2), gamma(rng, 1.0 / cv2, cv2)),
            Noise::CommonDrift(variance, tau) | Noise::OwnDrift(variance, tau) => {
                let keep = (-self.world.period_s / tau).exp();
                let fresh = (1.0 - keep * keep).sqrt();
                self.drift = (keep * self.drift.0 + fresh * normal(rng), keep * self.drift.1 + fresh * normal(rng));
                let of = |x: f64| (variance.sqrt() * x - variance / 2.0).exp();
                let common = matches!(self.world.noise, Noise::CommonDrift(..));
                (of(self.drift.0), of(if common { self.drift.0 } else { self.drift.1 }))
            }
        }
    }

    fn load(&self) -> f64 {
        let day = self.period as f64 * self.world.period_s / 86_400.0;
        let swing = 1.0 + self.world.diurnal * (self.phase + std::f64::consts::TAU * day).sin();
        self.world.rate_per_s * self.world.period_s * swing
    }

    fn bad(&self, rng: &mut impl Rng, n: f64, p: f64) -> f64 {
        match self.world.noise {
            Noise::Clusters(size) | Noise::StickyClusters(size) if p < 0.05 => {
                let clusters = poisson(rng, n * p / size);
                let mut k = clusters;
                if clusters > 0.0 {
                    let rate = gamma(rng, clusters, size - 1.0);
                    k += poisson(rng, rate);
                }
                k.min(n)
            }
            Noise::None
            | Noise::Common(_)
            | Noise::Own(_)
            | Noise::CommonDrift(..)
            | Noise::OwnDrift(..)
            | Noise::Clusters(_)
            | Noise::StickyClusters(_) => binomial(rng, n, p.clamp(0.0, 1.0)),
        }
    }

    /// A period of blue alone.
    pub(crate) fn before(&mut self, rng: &mut impl Rng) -> Counts {
        let (g, _) = self.multipliers(rng);
        let n = poisson(rng, self.load());
        self.period += 1;
        Counts::new(n, self.bad(rng, n, self.world.blue * g))
    }

    /// Period `at` of the rollout, of blue and green; nothing when it is missing.
    pub(crate) fn next(&mut self, rng: &mut impl Rng, at: usize) -> (Counts, Counts) {
        let w = self.world;
        let (gb, gg) = self.multipliers(rng);
        let load = self.load();
        self.period += 1;
        let (nb, ng) = (poisson(rng, load * (1.0 - w.weight)), poisson(rng, load * w.weight));
        let faulty = at >= w.onset;
        let (mut pb, mut pg) = (w.blue, if faulty { w.green } else { w.blue * w.bias });
        if let Some((from, to, level)) = w.outage
            && (from..to).contains(&at)
        {
            (pb, pg) = (pb.max(level), pg.max((level * w.outage_green).min(1.0)));
        }
        let (kb, kg) = if matches!(w.noise, Noise::Clusters(_)) && !faulty && pg < 0.05 && pg <= pb {
            let k = self.bad(rng, nb + ng, pb);
            let kg = binomial(rng, k, ng / (nb + ng).max(1.0)).min(ng);
            ((k - kg).min(nb), kg)
        } else {
            (self.bad(rng, nb, pb * gb), self.bad(rng, ng, pg * gg))
        };
        if w.missing > 0.0 && rng.random::<f64>() < w.missing {
            return (Counts::NONE, Counts::NONE);
        }
        (Counts::new(nb, kb), Counts::new(ng, kg))
    }

    /// Evidence that has seen this world's history.
    pub(crate) fn warmed_up(&mut self, rng: &mut impl Rng, settings: &Settings) -> Evidence {
        let mut evidence = Evidence::new();
        for _ in 0..self.world.history {
            let blue = self.before(rng);
            evidence.history(settings, blue, self.world.period_s);
        }
        evidence
    }
}
