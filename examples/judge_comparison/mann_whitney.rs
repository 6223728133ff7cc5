//! The two tools that compare distributions by Mann and Whitney's test: Kayenta and `PipeCD`, as their sources do it.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Normal quantile of 0.99: Kayenta's two-sided confidence of 0.98, which is fixed in its judge.
const KAYENTA_QUANTILE: f64 = 2.326_347_874_040_840_8;
/// A shift counts when it is more than this part of the estimated shift.
const KAYENTA_TOLERANCE: f64 = 0.25;

/// Ranks with ties averaged, and Σ(t³ − t) over the groups of ties.
fn ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let (mut from, mut ties) = (0, 0.0);
    while from < order.len() {
        let mut to = from + 1;
        while to < order.len() && values[order[to]] <= values[order[from]] {
            to += 1;
        }
        let size = (to - from) as f64;
        for &i in &order[from..to] {
            ranks[i] = (from + to + 1) as f64 / 2.0;
        }
        ties += size.powi(3) - size;
        from = to;
    }
    (ranks, ties)
}

/// The test's z for the hypothesis that `x` exceeds `y` by `shift`, with corrections for ties and continuity.
fn z(x: &[f64], y: &[f64], shift: f64) -> f64 {
    let all: Vec<f64> = x.iter().map(|v| v - shift).chain(y.iter().copied()).collect();
    let (ranks, ties) = ranks(&all);
    let (n, m) = (x.len() as f64, y.len() as f64);
    let excess = ranks[..x.len()].iter().sum::<f64>() - n * (n + 1.0) / 2.0 - n * m / 2.0;
    let correction = if excess == 0.0 { 0.0 } else { 0.5 * excess.signum() };
    let variance = n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)));
    (excess - correction) / variance.sqrt()
}

/// A root between two points of opposite sign by Brent's method (1973, chapter 4), to the given tolerance. Its
/// residues matter: Kayenta's verdicts on sparse data depend on where exactly its root finder stops.
fn brent(f: impl Fn(f64) -> f64, low: f64, high: f64, tolerance: f64) -> f64 {
    let (mut a, mut fa) = (low, f(low));
    let (mut b, mut fb) = (high, f(high));
    if fa == 0.0 {
        return a;
    }
    if fb == 0.0 {
        return b;
    }
    let (mut c, mut fc) = (a, fa);
    for _ in 0..1000 {
        let before = b - a;
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let enough = 2.0 * f64::EPSILON * b.abs() + tolerance / 2.0;
        let half = (c - b) / 2.0;
        if half.abs() <= enough || fb == 0.0 {
            return b;
        }
        let mut step = half;
        if before.abs() >= enough && fa.abs() > fb.abs() {
            let s = fb / fa;
            let (mut p, mut q) = if a.to_bits() == c.to_bits() {
                ((c - b) * s, 1.0 - s)
            } else {
                let (q, r) = (fa / fc, fb / fc);
                (s * ((c - b) * q * (q - r) - (b - a) * (r - 1.0)), (q - 1.0) * (r - 1.0) * (s - 1.0))
            };
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            if p < 0.75 * (c - b) * q - (enough * q).abs() / 2.0 && p < (before * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < enough {
            step = if step > 0.0 { enough } else { -enough };
        }
        (a, fa) = (b, fb);
        b += step;
        fb = f(b);
        if (fb > 0.0) == (fc > 0.0) && fb != 0.0 && fc != 0.0 {
            (c, fc) = (a, fa);
        }
    }
    b
}

/// Lower confidence bound of the shift of `x` over `y`, and its estimate.
fn shift(x: &[f64], y: &[f64]) -> (f64, f64) {
    let most = |v: &[f64]| v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = |v: &[f64]| v.iter().copied().fold(f64::INFINITY, f64::min);
    let (low, high) = (least(x) - most(y), most(x) - least(y));
    let root = |quantile: f64| {
        if z(x, y, low) - quantile <= 0.0 {
            return low;
        }
        if z(x, y, high) - quantile >= 0.0 {
            return high;
        }
        brent(|at| z(x, y, at) - quantile, low, high, 1e-4)
    };
    (root(KAYENTA_QUANTILE), brent(|at| z(x, y, at), low, high, 1e-4))
}

/// Whether Kayenta's `NetflixACAJudge` classifies a metric, direction "increase", as High.
pub(crate) fn kayenta_is_high(control: &[f64], experiment: &[f64]) -> bool {
    if control.is_empty() || experiment.is_empty() {
        return false;
    }
    let sorted = |v: &[f64]| {
        let mut v = v.to_vec();
        v.sort_by(f64::total_cmp);
        v
    };
    let (mut y, mut x) = (sorted(control), sorted(experiment));
    let constant = |v: &[f64]| v.first().map(|f| f.to_bits()) == v.last().map(|l| l.to_bits());
    if x == y || (constant(&x) && constant(&y) && x[0].to_bits() == y[0].to_bits()) {
        return false;
    }
    if constant(&x) && constant(&y) {
        // It adds noise of a hundred-thousandth so that the ranks differ.
        let mut rng = StdRng::seed_from_u64(1);
        for v in x.iter_mut().chain(&mut y) {
            *v += *v * 1e-5 * (rng.random::<f64>() - 0.5);
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (up, down) = (mean(&x), mean(&y));
    if up > 0.0 && down > 0.0 && up / down < 1.0 {
        return false;
    }
    let (low, estimate) = shift(&x, &y);
    low > KAYENTA_TOLERANCE * estimate.abs()
}

/// P(U ≤ u) for the first sample under exchangeability, given the ties: U in half steps.
fn exact_cdf(x: &[f64], y: &[f64], u: f64) -> f64 {
    if u < 0.0 {
        return 0.0;
    }
    let mut all: Vec<f64> = x.iter().chain(y).copied().collect();
    all.sort_by(f64::total_cmp);
    let (n, m) = (x.len(), y.len());
    let width = 2 * n * m + 1;
    // ways[i][2U]: ways to have put i of the first sample among the values so far.
    let mut ways = vec![vec![0.0_f64; width]; n + 1];
    ways[0][0] = 1.0;
    let (mut from, mut seen) = (0, 0);
    while from < all.len() {
        let size = all[from..].iter().take_while(|v| **v <= all[from]).count();
        let mut next = vec![vec![0.0_f64; width]; n + 1];
        for i in 0..=n.min(seen) {
            let others = seen - i;
            if others > m {
                continue;
            }
            let mut choose = 1.0;
            for take in 0..=size.min(n - i) {
                let gain = 2 * take * others + take * (size - take);
                for (at, count) in ways[i].iter().enumerate().filter(|(_, count)| **count > 0.0) {
                    if at + gain < width {
                        next[i + take][at + gain] += count * choose;
                    }
                }
                choose *= (size - take) as f64 / (take + 1) as f64;
            }
        }
        ways = next;
        from += size;
        seen += size;
    }
    let total: f64 = ways[n].iter().sum();
    let below: f64 = ways[n].iter().enumerate().filter(|(at, _)| *at as f64 <= 2.0 * u).map(|(_, w)| w).sum();
    below / total
}

fn normal_cdf(z: f64) -> f64 {
    // Abramowitz and Stegun 26.2.17: 7e-8 is far below what a level of 0.05 needs.
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * poly;
    if z >= 0.0 { 1.0 - tail } else { tail }
}

/// Which deviation `PipeCD` fails on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Deviation {
    Either,
    High,
}

/// `PipeCD`'s p-value that `x` (the canary) differs from, or exceeds, `y`; 1 when all values are equal.
pub(crate) fn pipecd_p(x: &[f64], y: &[f64], deviation: Deviation) -> f64 {
    let all: Vec<f64> = x.iter().chain(y).copied().collect();
    let (ranks, ties) = ranks(&all);
    if all.iter().all(|v| v.to_bits() == all[0].to_bits()) {
        return 1.0;
    }
    let (n, m) = (x.len() as f64, y.len() as f64);
    let u1 = ranks[..x.len()].iter().sum::<f64>() - n * (n + 1.0) / 2.0;
    let u2 = n * m - u1;
    let limit = if ties > 0.0 { 25 } else { 50 };
    if x.len() <= limit && y.len() <= limit {
        return match deviation {
            Deviation::Either => 2.0 * exact_cdf(x, y, u1.min(u2)),
            Deviation::High => 1.0 - exact_cdf(x, y, u1 - 1.0),
        };
    }
    let sigma = (n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)))).sqrt();
    let gap = u1 - n * m / 2.0;
    match deviation {
        Deviation::Either => 2.0 * normal_cdf(-((gap.abs() - 0.5) / sigma)),
        Deviation::High => normal_cdf(-((gap - 0.5) / sigma)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Deviation, exact_cdf, kayenta_is_high, pipecd_p, shift};

    fn repeated(parts: &[(f64, usize)]) -> Vec<f64> {
        parts.iter().flat_map(|&(value, times)| std::iter::repeat_n(value, times)).collect()
    }

    #[test]
    fn kayenta_says_what_its_users_and_its_suite_saw() {
        let ones = repeated(&[(1.0, 10)]);
        assert!(!kayenta_is_high(&ones, &repeated(&[(100.0, 7), (1.0, 3)])));
        assert!(kayenta_is_high(&ones, &repeated(&[(100.0, 8), (1.0, 2)])));
        assert!(!kayenta_is_high(&repeated(&[(0.0, 6)]), &[0.0, 1.0, 2.0, 1.0, 0.0, 0.0]));
        let sparse = [0.0, 0.048, 0.0, 0.18, 0.089, 0.0, 0.098, 0.035, 0.0, 0.0];
        assert!(!kayenta_is_high(&repeated(&[(0.0, 10)]), &sparse));
        assert!(kayenta_is_high(&repeated(&[(0.0, 5)]), &[1.0, 4.0, 2.0, 3.0, 1.0]));
        let usual: Vec<f64> = (0..57_u32).map(|i| f64::from(i % 7) / 100.0).collect();
        let outage: Vec<f64> = usual.iter().copied().chain([1.0, 1.0, 1.0]).collect();
        let control: Vec<f64> = usual.iter().copied().chain([0.0, 0.01, 0.02]).collect();
        assert!(!kayenta_is_high(&control, &outage), "57 normal minutes and 3 of nothing but errors pass");
        assert!(kayenta_is_high(&[1.0, 2.0, 3.0], &[10.0, 11.0, 12.0]), "three points suffice");
        assert!(!kayenta_is_high(&ones, &ones));
        assert!(kayenta_is_high(&ones, &repeated(&[(2.0, 10)])), "two constants are told apart by added noise");
    }

    #[test]
    fn kayenta_estimates_the_shift_of_its_suite() {
        let (low, estimate) = shift(&[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((low - 6.0).abs() < 1e-6, "{low}");
        assert!((estimate - 22.5).abs() < 1e-6, "{estimate}");
    }

    #[test]
    fn the_root_finder_stops_where_kayentas_stops_on_sparse_data() {
        // Most values are nought, so the test jumps at no shift at all, and what decides is the residue of Brent's
        // method at its tolerance. These residues are of a program that meets every one that Kayenta's suite pins.
        let sparse = |n: u32, every: u32, base: f64, modulus: u32| -> Vec<f64> {
            let value = |i: u32| if i.is_multiple_of(every) { base + 0.1 * f64::from(i % modulus) } else { 0.0 };
            (0..n).map(value).collect()
        };
        let (low, estimate) = shift(&sparse(90, 4, 1.5, 5), &sparse(110, 13, 1.4, 3));
        assert!((low - 2.693_310_805_9e-6).abs() < 1e-12, "{low}");
        assert!((estimate - 4.359_331_083_5e-6).abs() < 1e-12, "{estimate}");
    }

    #[test]
    fn pipecd_finds_p_nought_where_its_suite_pins_it() {
        assert_eq!(pipecd_p(&[2.0, 1.0, 3.0, 5.0], &[1.0; 5], Deviation::Either).to_bits(), 0.0_f64.to_bits());
        assert!((pipecd_p(&[1.0; 5], &[1.0; 5], Deviation::Either) - 1.0).abs() < 1e-12);
        // All of one sample above the other: 1 of 252 arrangements, twice when both directions count.
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((pipecd_p(&high, &low, Deviation::High) - 1.0 / 252.0).abs() < 1e-12);
        assert!((pipecd_p(&high, &low, Deviation::Either) - 2.0 / 252.0).abs() < 1e-12);
        assert!(pipecd_p(&low, &high, Deviation::High) > 0.99);
    }

    #[test]
    fn the_exact_distribution_is_that_of_all_arrangements() {
        // 1 2 | 2 3: over the six arrangements U of the first sample is 0.5, 0.5, 2, 2, 3.5 and 3.5.
        let (x, y) = ([1.0, 2.0], [2.0, 3.0]);
        for (u, share) in [(0.0, 0.0), (0.5, 2.0 / 6.0), (2.0, 4.0 / 6.0), (3.0, 4.0 / 6.0), (3.5, 1.0)] {
            assert!((exact_cdf(&x, &y, u) - share).abs() < 1e-12, "{u}: {}", exact_cdf(&x, &y, u));
        }
    }
}
