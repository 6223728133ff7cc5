//! What each part of the judge is worth: one thing changed at a time, on the same traffic.

use greenshift::judge::Settings;

use crate::contest::{DAY, Entry, Kind, Outcome, exceed, faulty, healthy, on_all_cores};
use crate::table::{mean_ratio, number, row};
use crate::world::{Noise, World};

/// A variant of the judge.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) settings: Settings,
}

/// What a variant does, next to the default.
struct Score {
    margin: f64,
    bursts: Vec<f64>,
    outage: f64,
    uneven: f64,
    tail: f64,
    faults: Vec<Outcome>,
}

const CELLS: [(f64, f64, f64); 8] = [
    (0.2, 0.5, 1e-2),
    (5.0, 0.1, 1e-2),
    (5.0, 0.5, 1e-3),
    (50.0, 0.1, 1e-3),
    (50.0, 0.5, 1e-3),
    (500.0, 0.05, 1e-3),
    (500.0, 0.25, 1e-4),
    (5000.0, 0.1, 1e-3),
];

const BURSTS: [(&str, Noise); 5] = [
    ("clusters, sticky", Noise::StickyClusters(5.0)),
    ("clusters", Noise::Clusters(5.0)),
    ("own bursts", Noise::Own(1.0)),
    ("own drift 50 %", Noise::OwnDrift(0.25, 300.0)),
    ("common drift", Noise::CommonDrift(0.25, 300.0)),
];

/// Fault as a multiple of the base (0: absolute 20 %), first period, and whether blue was ill an hour before.
const FAULTS: [(&str, f64, usize, bool); 7] = [
    ("x1.5 start", 1.5, 0, false),
    ("x2 start", 2.0, 0, false),
    ("x5 start", 5.0, 0, false),
    ("20 % start", 0.0, 0, false),
    ("x2 late", 2.0, 180, false),
    ("x5 late", 5.0, 180, false),
    ("x5 after an outage", 5.0, 120, true),
];

fn score(settings: &Settings, days: u64, rollouts: u64) -> Score {
    let mean = |worlds: &[World]| {
        let shares = worlds.iter().map(|world| {
            let most = healthy(world, settings, &[Kind::Ours], days, DAY);
            exceed(&most[0], -settings.alpha.ln() - 1e-12)
        });
        shares.sum::<f64>() / worlds.len() as f64
    };
    let world = |(rate, weight, base): (f64, f64, f64)| World::healthy(rate, weight, base);
    let at_margin: Vec<World> = CELLS.iter().map(|c| World { bias: settings.rho, ..world(*c) }).collect();
    let bursty = [CELLS[1], CELLS[3], (500.0, 0.5, 1e-2)];
    let bursts = BURSTS.iter().map(|(_, noise)| mean(&bursty.map(|c| World { noise: *noise, ..world(c) })));
    let ill = [CELLS[2], CELLS[3], CELLS[5]];
    let outages: Vec<World> = ill
        .iter()
        .flat_map(|c| [0.05, 0.2, 1.0].map(|level| World { outage: Some((60, 90, level)), ..world(*c) }))
        .collect();
    let entries: [Entry; 1] = [(Kind::Ours, vec![-settings.alpha.ln() - 1e-12])];
    let mut faults = Vec::new();
    for (_, factor, onset, after_outage) in FAULTS {
        for cell in CELLS {
            let base = cell.2;
            let mut world = world(cell).with_fault(if factor > 0.0 { factor * base } else { 0.2 }, onset);
            if after_outage {
                world.outage = Some((30, 60, 0.3));
            }
            faults.extend(faulty(&world, settings, &entries, rollouts).pop().and_then(|mut o| o.pop()));
        }
    }
    let quiet: Vec<Vec<f64>> = CELLS
        .iter()
        .map(|c| healthy(&world(*c), settings, &[Kind::Ours], days, DAY).pop().unwrap_or_default())
        .collect();
    Score {
        margin: mean(&at_margin),
        bursts: bursts.collect(),
        outage: mean(&outages),
        uneven: mean(&outages.iter().map(|w| World { outage_green: 1.5, ..*w }).collect::<Vec<_>>()),
        tail: quiet.iter().map(|most| exceed(most, -settings.alpha.ln() - 1e-12)).sum::<f64>() / quiet.len() as f64,
        faults,
    }
}

/// Scores every variant and prints it beside the first.
pub(crate) fn print(title: &str, variants: &[Variant], days: u64, rollouts: u64) {
    println!("### {title}\n");
    println!(
        "False rollbacks in 24 h: green as good as blue; green at the very margin; under bursts; in an outage of both sides (30 min). Then the median delay as a multiple of the default's (geometric mean over eight cells that both decide), and the share caught in 8 h.\n"
    );
    let scores = on_all_cores(variants, |variant| score(&variant.settings, days, rollouts));
    let mut head = vec!["variant".to_owned(), "as good".to_owned(), "at margin".to_owned()];
    head.extend(BURSTS.map(|(name, _)| name.to_owned()));
    head.extend(["outage", "outage, green 1.5 times as hard"].map(str::to_owned));
    head.extend(FAULTS.map(|(name, ..)| name.to_owned()));
    row(&head);
    row(&vec!["---".to_owned(); head.len()]);
    for (variant, score) in variants.iter().zip(&scores) {
        let mut line = vec![variant.name.to_owned(), format!("{:.4}", score.tail), format!("{:.4}", score.margin)];
        line.extend(score.bursts.iter().map(|share| format!("{share:.3}")));
        line.extend([score.outage, score.uneven].map(|share| format!("{share:.3}")));
        for (at, own) in score.faults.chunks(CELLS.len()).enumerate() {
            let default = &scores[0].faults[at * CELLS.len()..(at + 1) * CELLS.len()];
            let both = own.iter().zip(default).filter(|(a, b)| a.median().is_finite() && b.median().is_finite());
            let (ratio, _) = mean_ratio(both.map(|(a, b)| mean_delay(a) / mean_delay(b)));
            let caught = own.iter().map(Outcome::caught).sum::<f64>() / own.len() as f64;
            line.push(format!("{} ({:.0} %)", number(ratio), 100.0 * caught));
        }
        row(&line);
    }
    println!();
}

/// Mean of the middle half of the delays: steadier than the median, which moves in whole periods.
fn mean_delay(outcome: &Outcome) -> f64 {
    let n = outcome.delays.len();
    let middle: Vec<f64> = outcome.delays[n / 4..n - n / 4].iter().copied().filter(|d| d.is_finite()).collect();
    middle.iter().sum::<f64>() / middle.len().max(1) as f64
}

/// The default with one thing changed.
fn with(name: &'static str, change: impl FnOnce(&mut Settings)) -> Variant {
    let mut settings = Settings::default();
    change(&mut settings);
    Variant { name, settings }
}

/// Every part left out, or its constant far away.
pub(crate) fn ablation() -> Vec<Variant> {
    vec![
        with("default", |_| {}),
        with("no restarts: all risk at the start", |s| (s.g_start, s.g_step, s.g_trickle) = (1.0, 0.0, 0.0)),
        with("no second view (blue's past)", |s| s.z_ref = 20.0),
        with("weak second key (alpha_c 0.5)", |s| s.alpha_c = 0.5),
        with("no wider margin while blue is sick", |s| s.rho_out = s.rho),
        with("no burstiness at all", |s| {
            (s.c0, s.np1, s.np_block, s.c60) = (1e6, 1e6, 1e6, 0.0);
        }),
        with("no floor of the burstiness (c60)", |s| s.c60 = 0.0),
        with("no scale of ten minutes", |s| s.np_block = 1e6),
        with("no limit of single deviations (hub)", |s| (s.hub1, s.hub_block) = (1e6, 1e6)),
        with("no weighting by size (e0)", |s| s.e0 = 1e6),
        with("phi 0", |s| s.phi = 0.0),
        with("phi 1", |s| s.phi = 1.0),
        with("no usual ratio (r0)", |s| s.r0 = 1e6),
        with("no limit of the reference (k_cap)", |s| s.k_cap = 1e6),
        with("z_ref 0", |s| s.z_ref = 0.0),
        with("no cap of the past (cap_hist)", |s| s.cap_hist = 100.0),
        with("no cap of the sums (cap_cusum)", |s| s.cap_cusum = 100.0),
        with("q_reset 0", |s| s.q_reset = 0.0),
        with("k_min 0", |s| s.k_min = 0.0),
        with("one alternative, 2", |s| s.grid = vec![2.0]),
        with("three alternatives", |s| s.grid = vec![1.5, 6.0, 1e3]),
        with("twelve alternatives", |s| {
            s.grid = vec![1.15, 1.3, 1.6, 2.0, 2.8, 4.0, 7.0, 12.0, 30.0, 80.0, 900.0, 1e4];
        }),
    ]
}

/// Candidates for a faster judge.
pub(crate) fn candidates() -> Vec<Variant> {
    let prompt = |s: &mut Settings| *s = s.clone().prompt();
    vec![
        with("default", |_| {}),
        with("more on small faults", |s| s.grid_weights = Settings::default().prompt().grid_weights),
        with("more on the start", |s| (s.g_start, s.g_step, s.g_trickle) = (0.5, 0.1, 0.4)),
        with("phi 1", |s| s.phi = 1.0),
        with("all three: `prompt`", prompt),
        with("prompt, q_reset 0", |s| {
            prompt(s);
            s.q_reset = 0.0;
        }),
        with("prompt, z_ref 1.5", |s| {
            prompt(s);
            s.z_ref = 1.5;
        }),
        with("prompt, alpha 0.1", |s| {
            prompt(s);
            s.alpha = 0.1;
        }),
    ]
}
