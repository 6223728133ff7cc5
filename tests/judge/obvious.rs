//! The judge once more, slow and obvious: nothing is carried from one period to the next. Every answer is computed
//! from the whole history, with explicit sums over the starts of the processes and over the past. Then both are
//! compared on random histories.

use greenshift::judge::{Conclusion, Counts, Evidence, Reading, Settings};
use proptest::prelude::*;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A step to a weight, of a next one.
    Step(f64, Option<f64>),
    /// A period of both sides: requests and bad ones of blue, then of green; seconds.
    Period([f64; 4], f64),
    /// A period of blue before the first of both sides.
    History([f64; 2], f64),
}

/// A past period of blue alone, or of both.
#[derive(Debug, Clone, Copy)]
struct Past {
    nb: f64,
    kb: f64,
    ng: f64,
    kg: f64,
    dt: f64,
    both: bool,
}

fn pasts(events: &[Event]) -> Vec<Past> {
    let past =
        |nb: f64, kb: f64, ng: f64, kg: f64, dt: f64, both| Past { nb, kb: kb.min(nb), ng, kg: kg.min(ng), dt, both };
    events
        .iter()
        .filter_map(|event| match *event {
            Event::Step(..) => None,
            Event::Period([nb, kb, ng, kg], dt) => Some(past(nb, kb, ng, kg, dt, true)),
            Event::History([nb, kb], dt) => Some(past(nb, kb, 0.0, 0.0, dt, false)),
        })
        .collect()
}

/// Σ value · 2^(−time since / half-life); time passes only in the periods listed.
fn faded(items: &[(f64, f64)], half_life: f64) -> f64 {
    let mut sum = 0.0;
    for (i, (value, _)) in items.iter().enumerate() {
        let since: f64 = items[i + 1..].iter().map(|(_, dt)| dt).sum();
        sum += value * 0.5_f64.powf(since / half_life);
    }
    sum
}

fn difference(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let c = b.0 / a.0;
    ((b.1 - c * a.1).powi(2) / (1.0 + c), b.0 * (a.1 + b.1) / (a.0 + b.0))
}

/// Blocks of at least `block` seconds: (blue, green counts of the periods that count, seconds, index after the last).
fn blocks(past: &[Past], s: &Settings, counts: impl Fn(&Past) -> bool) -> Vec<(Past, usize)> {
    let empty = Past { nb: 0.0, kb: 0.0, ng: 0.0, kg: 0.0, dt: 0.0, both: true };
    let mut all = Vec::new();
    let mut sum = empty;
    for (i, p) in past.iter().enumerate() {
        if counts(p) {
            sum = Past { nb: sum.nb + p.nb, kb: sum.kb + p.kb, ng: sum.ng + p.ng, kg: sum.kg + p.kg, ..sum };
        }
        sum.dt += p.dt;
        if sum.dt >= s.block - 1e-9 {
            all.push((sum, i + 1));
            sum = empty;
        }
    }
    all
}

fn blue_scales(past: &[Past], s: &Settings) -> (f64, f64) {
    let live: Vec<&Past> = past.iter().filter(|p| p.nb > 0.0).collect();
    let (mut d, mut e) = (Vec::new(), Vec::new());
    for (i, p) in live.iter().enumerate() {
        if i == 0 {
            d.push((0.0, p.dt));
            e.push((0.0, p.dt));
            continue;
        }
        let usual = ((faded(&d, s.h_disp) + s.c0) / (faded(&e, s.h_disp) + s.c0)).max(1.0);
        let (gap, expected) = difference((live[i - 1].nb, live[i - 1].kb), (p.nb, p.kb));
        let weight = 1.0 / (1.0 + expected / s.e0);
        d.push((weight * gap.min(s.hub1 * usual * expected.max(0.25)), p.dt));
        e.push((weight * expected, p.dt));
    }
    let period = ((faded(&d, s.h_disp) + s.c0) / (faded(&e, s.h_disp) + s.c0)).max(1.0);

    let (mut d, mut e, mut n) = (Vec::new(), Vec::new(), Vec::new());
    let scale = |d: &[(f64, f64)], e: &[(f64, f64)], n: &[(f64, f64)]| {
        let prior = s.c0 + s.np_block * faded(e, s.h_disp) / faded(n, s.h_disp).max(1.0);
        ((faded(d, s.h_disp) + prior) / (faded(e, s.h_disp) + prior)).max(1.0)
    };
    let full: Vec<Past> = blocks(past, s, |_| true).into_iter().map(|(b, _)| b).filter(|b| b.nb > 0.0).collect();
    for (i, b) in full.iter().enumerate() {
        let (mut add_d, mut add_e) = (0.0, 0.0);
        if i > 0 {
            let (gap, expected) = difference((full[i - 1].nb, full[i - 1].kb), (b.nb, b.kb));
            let weight = 1.0 / (1.0 + expected / s.e0);
            add_d = weight * gap.min(s.hub_block * scale(&d, &e, &n) * expected.max(0.25));
            add_e = weight * expected;
        }
        d.push((add_d, b.dt));
        e.push((add_e, b.dt));
        n.push((if i > 0 { 1.0 } else { 0.0 }, b.dt));
    }
    (period, scale(&d, &e, &n))
}

fn blue_mean(past: &[Past], s: &Settings) -> f64 {
    let live: Vec<&Past> = past.iter().filter(|p| p.nb > 0.0).collect();
    let sum: Vec<(f64, f64)> = live.iter().map(|p| (p.nb, p.dt)).collect();
    let one: Vec<(f64, f64)> = live.iter().map(|p| (1.0, p.dt)).collect();
    if live.is_empty() { 0.0 } else { faded(&sum, s.h_disp) / faded(&one, s.h_disp) }
}

/// The split's scales and green's mean, from the periods of both sides before the present one of `ng` requests.
fn split_scales(past: &[Past], s: &Settings, ng: f64) -> (f64, f64, f64) {
    let both = |p: &Past| p.both && p.nb > 0.0 && p.ng > 0.0;
    let ratio_at = |i: usize| {
        let live: Vec<&Past> = past[..i].iter().filter(|p| both(p)).collect();
        let green: Vec<(f64, f64)> = live.iter().map(|p| (p.kg, p.dt)).collect();
        let blue: Vec<(f64, f64)> = live.iter().map(|p| (p.kb * p.ng / p.nb.max(1.0), p.dt)).collect();
        (faded(&green, s.h_ratio) + s.r0) / (faded(&blue, s.h_ratio) + s.r0)
    };
    let deviation = |ratio: f64, p: &Past| {
        let share = ratio * p.ng / (ratio * p.ng + p.nb);
        let k = p.kb + p.kg;
        ((p.kg - share * k).powi(2), k * share * (1.0 - share))
    };
    // Everything known before period i, to judge period i.
    let known = |i: usize, ng: f64| {
        let (d, e, n, bd, be, bn) = learned(&past[..i], s, &ratio_at, &deviation);
        let one: Vec<(f64, f64)> = past[..i].iter().filter(|p| both(p)).map(|p| (p.ng, p.dt)).collect();
        let green_mean = if one.is_empty() { ng } else { faded(&one, s.h_disp) / faded(&n, s.h_disp) };
        let (f1, fb) = blue_scales(&past[..i], s);
        let mean = blue_mean(&past[..i], s);
        let own = if mean > 0.0 { (2.0 * green_mean / mean.max(1.0)).max(s.phi).min(1.0) } else { 1.0 };
        let prior = 1.0 + (f1.max(fb) - 1.0) * own;
        let p1 = s.c0 + s.np1 * faded(&e, s.h_disp) / faded(&n, s.h_disp).max(1.0);
        let pb = s.c0 + s.np_block * faded(&be, s.h_disp) / faded(&bn, s.h_disp).max(1.0);
        (
            ((faded(&d, s.h_disp) + p1 * prior) / (faded(&e, s.h_disp) + p1)).max(1.0),
            ((faded(&bd, s.h_disp) + pb * prior) / (faded(&be, s.h_disp) + pb)).max(1.0),
            green_mean,
        )
    };
    known(past.len(), ng)
}

type Faded = Vec<(f64, f64)>;

fn learned(
    past: &[Past],
    s: &Settings,
    ratio_at: &impl Fn(usize) -> f64,
    deviation: &impl Fn(f64, &Past) -> (f64, f64),
) -> (Faded, Faded, Faded, Faded, Faded, Faded) {
    let both = |p: &Past| p.both && p.nb > 0.0 && p.ng > 0.0;
    let first = past.iter().position(|p| p.both).unwrap_or(past.len());
    let (mut d, mut e, mut n) = (Vec::new(), Vec::new(), Vec::new());
    for (i, p) in past.iter().enumerate() {
        if both(p) {
            let (f1, _, _) = split_scales(&past[..i], s, p.ng);
            let (b1, bb) = blue_scales(&past[..i], s);
            let (gap, expected) = deviation(ratio_at(i), p);
            let weight = 1.0 / (1.0 + expected / s.e0);
            d.push((weight * gap.min(s.hub1 * f1.max(b1).max(bb) * expected.max(0.25)), p.dt));
            e.push((weight * expected, p.dt));
            n.push((1.0, p.dt));
        }
    }
    let (mut bd, mut be, mut bn) = (Vec::new(), Vec::new(), Vec::new());
    let mut start = first;
    for (b, end) in blocks(&past[first..], s, both) {
        let end = first + end;
        if b.nb > 0.0 && b.ng > 0.0 {
            let (_, fb, _) = split_scales(&past[..end - 1], s, past[end - 1].ng);
            let (b1, bb) = blue_scales(&past[..end - 1], s);
            let (gap, expected) = deviation(if start == first { 1.0 } else { ratio_at(start) }, &b);
            let weight = 1.0 / (1.0 + expected / s.e0);
            bd.push((weight * gap.min(s.hub_block * fb.max(b1).max(bb) * expected.max(0.25)), b.dt));
            be.push((weight * expected, b.dt));
            bn.push((1.0, b.dt));
        }
        start = end;
    }
    (d, e, n, bd, be, bn)
}

/// Blue's reference: requests and bad ones, decayed.
fn reference(past: &[Past], s: &Settings) -> (f64, f64) {
    let (mut n, mut k): (Faded, Faded) = (Vec::new(), Vec::new());
    for p in past.iter().filter(|p| p.nb > 0.0) {
        let (rn, rk) = (faded(&n, s.h_ref), faded(&k, s.h_ref));
        // The sums as they were right after the last period: the newest has not faded.
        let limit = s.k_cap * (rk + 1.0 + s.z_ref * (rk + 1.0).sqrt()) / rn.max(1.0) * p.nb + 1.0;
        n.push((p.nb, p.dt));
        k.push((if rn >= s.n_ref_min { p.kb.min(limit) } else { p.kb }, p.dt));
    }
    (faded(&n, s.h_ref), faded(&k, s.h_ref))
}

fn win(u: f64, beta: f64) -> f64 {
    if beta == 0.0 { (1.0 + u).ln() } else { (1.0 + (1.0 - (-beta * u).exp()) / beta).ln() }
}

fn gain(t: f64, beta: f64) -> f64 {
    if beta == 0.0 { 1.0 - (-t).exp() } else { (1.0 + beta * (1.0 - (-t).exp())).ln() / beta }
}

/// What the obvious judge says of the last period of `events`.
struct Answer {
    concurrent: f64,
    history: f64,
    blue_sick: f64,
    proof: f64,
}

/// The bets of period `i` (index into `past`): same period at `rho`, past of green, past of blue, proof; and what was
/// known of the noise.
struct Bets {
    same: Vec<f64>,
    same_wide: Vec<f64>,
    green: Vec<f64>,
    blue: Vec<f64>,
    proof: Vec<f64>,
}

fn bets(past: &[Past], i: usize, s: &Settings, margin: Option<f64>) -> Bets {
    let (p, before) = (&past[i], &past[..i]);
    let (f1, fb) = blue_scales(before, s);
    let fb = f1.max(fb);
    let (g1, gb, green_mean) = split_scales(before, s, p.ng);
    let fs = 1.0 + (g1.max(gb) - 1.0) * if green_mean > 0.0 { (p.ng / green_mean).max(1.0) } else { 1.0 };
    let (n, k) = reference(before, s);
    let known = n >= s.n_ref_min;
    let rate = if known { (k + 0.5) / (n + 1.0) } else { 0.0 };
    let floor = s.c60 * 60.0 / p.dt * rate;
    let beta_g = (fs - 1.0).max(floor * p.ng);
    let beta_b = beta_g * ((p.ng + p.nb) / (2.0 * p.ng).max(1.0)).max(1.0);
    let mean = blue_mean(before, s).max(1.0);
    let past_g = ((fb - 1.0) * (p.ng / mean).max(1.0)).max(floor * p.ng);
    let past_b = ((fb - 1.0) * p.nb / mean).max(floor * p.nb);
    let base = s.rho * (k + 1.0 + s.z_ref * ((k + 1.0) * fb).sqrt()) / n.max(1.0) + s.delta;
    let same = |rho: f64, m: f64| {
        if p.nb <= 0.0 || p.ng <= 0.0 {
            return 0.0;
        }
        let odds = rho * p.ng / p.nb;
        let full = ((rho * m * p.ng + p.nb) / (rho * p.ng + p.nb)).ln();
        let t = if beta_b == 0.0 {
            full
        } else {
            1.0 / (1.0 / full + beta_b / (m.powf(1.0 / (1.0 + beta_g / (beta_b * odds))) - 1.0))
        };
        let u = gain(t, beta_b) / odds;
        win(u, beta_g) * p.kg - t * p.kb - s.delta * p.ng * u
    };
    let against = |m: f64, n: f64, k: f64, beta: f64| {
        if !known {
            return 0.0;
        }
        let u = if beta == 0.0 { m - 1.0 } else { (1.0 + (m - 1.0) * beta / (1.0 + beta)).ln() / beta };
        win(u, beta) * k - n * base * u
    };
    let proof = |a: f64| match margin {
        Some(margin) if p.nb > 0.0 && p.ng > 0.0 => {
            let t = -(1.0 - a).ln() / (1.0 + beta_g);
            let v = gain(t, beta_g);
            -t * p.kg + win(s.rho_p * p.ng / p.nb * v, beta_b) * p.kb + v * p.ng * margin
        }
        Some(_) | None => 0.0,
    };
    Bets {
        same: s.grid.iter().map(|&m| same(s.rho, m)).collect(),
        same_wide: s.grid.iter().map(|&m| same(s.rho_out, m)).collect(),
        green: s.grid.iter().map(|&m| against(m, p.ng, p.kg, past_g)).collect(),
        blue: s.grid.iter().map(|&m| against(m, p.nb, p.kb, past_b)).collect(),
        proof: s.pgrid.iter().map(|&a| proof(a)).collect(),
    }
}

/// The parts of the risk, one per period of both sides, and the margin of the proof with the period where it began.
fn budget(events: &[Event], s: &Settings) -> (Vec<f64>, Option<f64>, usize) {
    let (mut parts, mut elapsed, mut steps, mut pending) = (Vec::new(), 0.0, 0, false);
    let (mut margin, mut since) = (None, 0);
    for event in events {
        match *event {
            Event::History(..) => {}
            Event::Step(_, next) => {
                pending = !parts.is_empty();
                margin = next.map(|next| s.delta_user / next);
                since = parts.len();
            }
            Event::Period(_, dt) => {
                let left = |t: f64| s.c_trickle / (s.c_trickle + t);
                let mut part = s.g_trickle * (left(elapsed) - left(elapsed + dt));
                if parts.is_empty() {
                    part += s.g_start;
                } else if pending {
                    steps += 1;
                    part += s.g_step * 0.5_f64.powi(steps);
                }
                pending = false;
                elapsed += dt;
                parts.push(part);
            }
        }
    }
    (parts, margin, since)
}

fn obvious(events: &[Event], s: &Settings) -> Answer {
    let past = pasts(events);
    let (parts, margin, since) = budget(events, s);
    let j = s.grid.len() as f64;
    let first = past.iter().position(|p| p.both).expect("a period of both sides");
    let all: Vec<Bets> = (first..past.len()).map(|i| bets(&past, i, s, margin)).collect();
    // Sums that never fall below nothing: the largest of the sums from any start on, as long as none is capped.
    let mut blue = vec![0.0_f64; s.grid.len()];
    let mut sick = Vec::new();
    for b in &all {
        for (sum, bet) in blue.iter_mut().zip(&b.blue) {
            *sum = sum.max(0.0).min(s.cap_cusum) + bet;
        }
        sick.push((blue.iter().map(|x| x.exp()).sum::<f64>() / j).ln());
    }
    let value = |m: usize, t: usize| {
        if sick[t] >= s.blue_alarm { all[t].same[m].min(all[t].same_wide[m]) } else { all[t].same[m] }
    };
    let live = |t: usize| past[first + t].ng > 0.0;
    // Every process that was ever started, one by one.
    let mut concurrent = 0.0;
    for (start, part) in parts.iter().enumerate() {
        for m in 0..s.grid.len() {
            if live(start) {
                concurrent += part / j * (start..all.len()).map(|t| value(m, t)).sum::<f64>().exp();
            }
        }
    }
    let mut history = vec![0.0_f64; s.grid.len()];
    for (t, b) in all.iter().enumerate() {
        if live(t) {
            for (sum, bet) in history.iter_mut().zip(&b.green) {
                *sum = ((*sum + parts[t] / j) * bet.exp()).min(s.cap_hist.exp() / s.alpha);
            }
        }
    }
    let proof: f64 = (0..s.pgrid.len()).map(|a| all[since..].iter().map(|b| b.proof[a]).sum::<f64>().exp()).sum();
    Answer {
        concurrent: concurrent.ln(),
        history: history.iter().sum::<f64>().ln(),
        blue_sick: sick[sick.len() - 1],
        proof: (proof / s.pgrid.len() as f64).ln(),
    }
}

fn fast(events: &[Event], s: &Settings) -> Reading {
    let mut evidence = Evidence::new();
    let mut last = None;
    for event in events {
        match *event {
            Event::Step(now, next) => evidence.step(s, now, next),
            Event::History([n, k], dt) => evidence.history(s, Counts::new(n, k), dt),
            Event::Period([nb, kb, ng, kg], dt) => {
                last = Some(evidence.update(s, Counts::new(nb, kb), Counts::new(ng, kg), dt));
            }
        }
    }
    last.expect("a period of both sides")
}

fn agree(name: &str, fast: f64, slow: f64) -> Result<(), TestCaseError> {
    let same = fast.to_bits() == slow.to_bits() || (fast - slow).abs() <= 1e-6 * slow.abs().max(1.0);
    prop_assert!(same, "{name}: {fast} instead of {slow}");
    Ok(())
}

fn period() -> impl Strategy<Value = [f64; 4]> {
    let side = (0_u32..400, 0_u32..100).prop_map(|(n, share)| {
        let n = f64::from(n.saturating_sub(30));
        // Mostly few bad requests, sometimes many.
        [n, (n * (f64::from(share) / 100.0).powi(4)).round()]
    });
    (side.clone(), side).prop_map(|([nb, kb], [ng, kg])| [nb, kb, ng, kg])
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let history = prop::collection::vec(period().prop_map(|p| Event::History([p[0], p[1]], 60.0)), 0..6);
    let step = (1_u32..9).prop_map(|tenth| {
        let weight = f64::from(tenth) / 10.0;
        Event::Step(weight, (tenth < 8).then_some(weight + 0.1))
    });
    let dt = prop::sample::select(vec![60.0, 60.0, 60.0, 240.0]);
    let live = prop::collection::vec(
        prop_oneof![1 => step, 6 => (period(), dt).prop_map(|(p, dt)| Event::Period(p, dt))],
        0..7,
    );
    (history, live, period()).prop_map(|(mut all, live, last)| {
        all.push(Event::Step(0.1, Some(0.25)));
        all.extend(live);
        all.push(Event::Period(last, 60.0));
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_judge_equals_the_obvious_one_on_any_history(events in events(), delta in prop::sample::select(vec![0.0, 0.002])) {
        let settings = Settings { delta, n_ref_min: 50.0, block: 300.0, ..Settings::default() };
        let (fast, slow) = (fast(&events, &settings), obvious(&events, &settings));
        agree("same period", fast.log_e_concurrent, slow.concurrent)?;
        agree("past", fast.log_e_history, slow.history)?;
        agree("blue", fast.log_blue_sick, slow.blue_sick)?;
        agree("proof", fast.log_e_proof, slow.proof)?;
        if fast.conclusion == Conclusion::Advance {
            prop_assert!(slow.proof >= 20.0_f64.ln() - 1e-6 && slow.concurrent.max(slow.history) < 5.0_f64.ln() + 1e-6);
        }
    }
}
