//! The grid: traffic, weight and base rate; no fault, and five faults from the start and after three hours.

use greenshift::judge::Settings;

use crate::contest::{
    DAY, Entry, Kind, MATCHED, Outcome, SHIFT, common_limit, exceed, faulty, healthy, information_limit, matched,
    on_all_cores,
};
use crate::mann_whitney::Deviation;
use crate::table::{mean_ratio, number, percent, row};
use crate::world::World;

const TRAFFIC: [f64; 5] = [0.2, 5.0, 50.0, 500.0, 5000.0];
const WEIGHTS: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];
const BASES: [f64; 3] = [1e-4, 1e-3, 1e-2];
/// Period of a fault that comes late.
const LATE: usize = 180;

/// A contender: its name, and its own threshold.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) threshold: f64,
}

/// Everybody, as they come.
pub(crate) fn contenders(alpha: f64) -> Vec<Contender> {
    let contender = |name, kind, threshold| Contender { name, kind, threshold };
    vec![
        contender("ours", Kind::Ours, -alpha.ln() - 1e-12),
        contender("Argo >5 %, failureLimit 0", Kind::Argo(0), 0.05),
        contender("Argo >5 %, failureLimit 3", Kind::Argo(3), 0.05),
        contender("Argo >1 %, failureLimit 3", Kind::Argo(3), 0.01),
        contender("Flagger >1 %, threshold 5", Kind::Flagger(5), 0.01),
        contender("alarm >1 %, 2 of 3", Kind::Alarm, 0.01),
        contender("alarm >5 %, 2 of 3", Kind::Alarm, 0.05),
        contender("ratio >2, 2 of 3", Kind::Ratio, 2.0),
        contender("PipeCD HIGH, 5 points", Kind::PipeCd(Deviation::High), -(0.05_f64.ln()) - 1e-12),
        contender("PipeCD EITHER, 5 points", Kind::PipeCd(Deviation::Either), -(0.05_f64.ln()) - 1e-12),
    ]
}

/// The rules that are tuned to the same rate of false rollbacks in each cell.
const TUNED: [(&str, Kind); 7] = [
    ("ours at 1 %", Kind::Ours),
    ("Argo fL 0", Kind::Argo(0)),
    ("Argo fL 3", Kind::Argo(3)),
    ("Flagger t 5", Kind::Flagger(5)),
    ("alarm 2 of 3", Kind::Alarm),
    ("ratio 2 of 3", Kind::Ratio),
    ("PipeCD HIGH", Kind::PipeCd(Deviation::High)),
];

pub(crate) fn faults(base: f64) -> [(&'static str, f64); 5] {
    [("x1.5", 1.5 * base), ("x2", 2.0 * base), ("x5", 5.0 * base), ("20 %", 0.2), ("100 %", 1.0)]
}

/// One fault in one cell.
pub(crate) struct Faulty {
    fault: &'static str,
    late: bool,
    limit: f64,
    common: f64,
    own: Vec<Outcome>,
    tuned: Vec<Outcome>,
    oracle: Outcome,
}

pub(crate) struct Cell {
    world: World,
    false_rollbacks: Vec<f64>,
    faulty: Vec<Faulty>,
}

/// Runs the whole grid.
pub(crate) fn run(settings: &Settings, days: u64, rollouts: u64) -> Vec<Cell> {
    let mut worlds = Vec::new();
    for rate in TRAFFIC {
        for weight in WEIGHTS {
            for base in BASES {
                worlds.push(World::healthy(rate, weight, base));
            }
        }
    }
    on_all_cores(&worlds, |world| run_cell(world, settings, days, rollouts))
}

fn run_cell(world: &World, settings: &Settings, days: u64, rollouts: u64) -> Cell {
    let contenders = contenders(settings.alpha);
    let mut kinds: Vec<Kind> = contenders.iter().map(|c| c.kind).collect();
    let faults = faults(world.blue);
    kinds.extend(faults.map(|(_, green)| Kind::Oracle(green, true)));
    let most = healthy(world, settings, &kinds, days, DAY);
    let threshold_of = |kind: Kind| {
        let at = kinds.iter().position(|k| *k == kind);
        at.and_then(|at| most.get(at)).map_or(f64::INFINITY, |most| matched(most))
    };
    let mut cell = Cell {
        world: *world,
        false_rollbacks: contenders.iter().zip(&most).map(|(c, most)| exceed(most, c.threshold)).collect(),
        faulty: Vec::new(),
    };
    for (fault, green) in faults {
        for onset in [0, LATE] {
            let world = world.with_fault(green, onset);
            // Nobody can decide these in eight hours.
            if common_limit(&world) > SHIFT as f64 * 60.0 {
                continue;
            }
            let mut entries: Vec<Entry> = contenders.iter().map(|c| (c.kind, vec![c.threshold])).collect();
            entries.extend(TUNED.map(|(_, kind)| (kind, vec![threshold_of(kind)])));
            let oracle_threshold =
                if onset == 0 { (1.0 / MATCHED).ln() } else { threshold_of(Kind::Oracle(green, true)) };
            entries.push((Kind::Oracle(green, onset > 0), vec![oracle_threshold]));
            let mut outcomes = faulty(&world, settings, &merged(&entries), rollouts);
            let mut all = split(&entries, &mut outcomes);
            let oracle = all.pop().unwrap_or_default();
            let tuned = all.split_off(contenders.len());
            cell.faulty.push(Faulty {
                fault,
                late: onset > 0,
                limit: information_limit(&world),
                common: common_limit(&world),
                own: all,
                tuned,
                oracle,
            });
        }
    }
    cell
}

/// Entries of one kind made one, so that each rule sees the traffic once.
fn merged(entries: &[Entry]) -> Vec<Entry> {
    let mut merged: Vec<Entry> = Vec::new();
    for (kind, thresholds) in entries {
        match merged.iter_mut().find(|(k, _)| k == kind) {
            Some((_, all)) => all.extend(thresholds),
            None => merged.push((*kind, thresholds.clone())),
        }
    }
    merged
}

/// The outcomes of merged entries, back in the order of the entries.
fn split(entries: &[Entry], outcomes: &mut [Vec<Outcome>]) -> Vec<Outcome> {
    let kinds: Vec<Kind> = merged(entries).into_iter().map(|(kind, _)| kind).collect();
    let mut split = Vec::new();
    for (kind, _) in entries {
        let at = kinds.iter().position(|k| k == kind);
        let Some(outcomes) = at.and_then(|at| outcomes.get_mut(at)) else { continue };
        split.push(outcomes.remove(0));
    }
    split
}

/// False rollbacks per day, at everybody's own settings.
pub(crate) fn print_false_rollbacks(cells: &[Cell], alpha: f64) {
    println!("### False rollbacks in 24 h, green as good as blue, own settings (mean over the five weights)\n");
    let contenders = contenders(alpha);
    let mut head = vec!["requests/s".to_owned(), "base".to_owned()];
    head.extend(contenders.iter().map(|c| c.name.to_owned()));
    row(&head);
    row(&vec!["---".to_owned(); head.len()]);
    for rate in TRAFFIC {
        for base in BASES {
            let here: Vec<&Cell> =
                cells.iter().filter(|c| same(c.world.rate_per_s, rate) && same(c.world.blue, base)).collect();
            let mut line = vec![format!("{rate}"), percent(base)];
            for at in 0..contenders.len() {
                let sum: f64 = here.iter().filter_map(|c| c.false_rollbacks.get(at)).sum();
                line.push(format!("{:.3}", sum / here.len() as f64));
            }
            row(&line);
        }
    }
    print_own_false_rollbacks(cells);
}

/// Mean and largest of ours.
pub(crate) fn print_own_false_rollbacks(cells: &[Cell]) {
    let ours: Vec<f64> = cells.iter().filter_map(|c| c.false_rollbacks.first().copied()).collect();
    println!(
        "\nOurs: mean {:.5}, largest of {} cells {:.4}.\n",
        ours.iter().sum::<f64>() / ours.len() as f64,
        ours.len(),
        ours.iter().copied().fold(0.0, f64::max)
    );
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

const FAULTS: [&str; 5] = ["x1.5", "x2", "x5", "20 %", "100 %"];

fn faults_of<'a>(cells: &'a [Cell], fault: &str, late: bool) -> Vec<(&'a Cell, &'a Faulty)> {
    let all = cells.iter().flat_map(|cell| cell.faulty.iter().map(move |f| (cell, f)));
    all.filter(|(_, f)| f.fault == fault && f.late == late).collect()
}

/// Everybody tuned per cell to the same rate of false rollbacks; ours at its default too.
pub(crate) fn print_matched(cells: &[Cell]) {
    for late in [false, true] {
        let when = if late { "after 3 h" } else { "from the start" };
        println!("### Each rule tuned per cell to 1 % false rollbacks in 24 h, fault {when}\n");
        println!(
            "Median delay as a multiple of ours at its default (geometric mean over the cells that ours decides in 8 h; in brackets the cells of these that the rule's median never decides); then green's failed requests until the decision, likewise; then the share of rollouts caught in 8 h over all cells that anybody could decide.\n"
        );
        let mut head = vec!["fault".to_owned(), "cells".to_owned()];
        head.extend(TUNED.map(|(name, _)| name.to_owned()));
        head.push("knows both rates".to_owned());
        row(&head);
        row(&vec!["---".to_owned(); head.len()]);
        for fault in FAULTS {
            print_matched_row(cells, fault, late);
        }
        println!();
    }
}

fn print_matched_row(cells: &[Cell], fault: &str, late: bool) {
    let all = faults_of(cells, fault, late);
    let decided: Vec<&Faulty> = all.iter().map(|(_, f)| *f).filter(|f| f.own[0].median().is_finite()).collect();
    let outcome = |f: &Faulty, at: usize| if at < TUNED.len() { f.tuned[at].clone() } else { f.oracle.clone() };
    let (mut delay, mut hurt, mut caught) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..=TUNED.len() {
        let ratios = decided.iter().map(|f| outcome(f, at).median() / f.own[0].median());
        let (ratio, never) = mean_ratio(ratios);
        delay.push(if never > 0 { format!("{} ({never})", number(ratio)) } else { number(ratio) });
        let hurts = decided.iter().map(|f| outcome(f, at).median_hurt() / f.own[0].median_hurt().max(1.0));
        hurt.push(number(mean_ratio(hurts).0));
        let share = all.iter().map(|(_, f)| outcome(f, at).caught()).sum::<f64>() / all.len().max(1) as f64;
        caught.push(format!("{:.0} %", 100.0 * share));
    }
    let line = |first: String, second: String, rest: Vec<String>| row(&[vec![first, second], rest].concat());
    line(fault.to_owned(), format!("{} of {}", decided.len(), all.len()), delay);
    line("hurt".to_owned(), String::new(), hurt);
    let ours = all.iter().map(|(_, f)| f.own[0].caught()).sum::<f64>() / all.len().max(1) as f64;
    line("caught".to_owned(), format!("ours {:.0} %", 100.0 * ours), caught);
}

/// Everybody at their own settings: what was caught and what it cost, beside the false rollbacks it cost.
pub(crate) fn print_defaults(cells: &[Cell], alpha: f64) {
    println!("### Everybody at their own settings\n");
    println!(
        "Share of rollouts caught in 8 h; median and p95 delay as multiples of ours where both decide; failed requests likewise. Bold: fewer than 1 % false rollbacks in 24 h on average.\n"
    );
    let mut head = vec!["rule".to_owned(), "false rollbacks/24 h, mean (largest)".to_owned()];
    for late in ["start", "late"] {
        head.extend(FAULTS.map(|fault| format!("{fault} {late}: caught, median, p95, hurt")));
    }
    row(&head);
    row(&vec!["---".to_owned(); head.len()]);
    for (at, contender) in contenders(alpha).iter().enumerate() {
        let false_rollbacks: Vec<f64> = cells.iter().map(|c| c.false_rollbacks[at]).collect();
        let mean = false_rollbacks.iter().sum::<f64>() / cells.len() as f64;
        let most = false_rollbacks.iter().copied().fold(0.0, f64::max);
        let name = if mean < 0.01 { format!("**{}**", contender.name) } else { contender.name.to_owned() };
        let mut line = vec![name, format!("{mean:.3} ({most:.2})")];
        for late in [false, true] {
            for fault in FAULTS {
                line.push(default_cell(&faults_of(cells, fault, late), at));
            }
        }
        row(&line);
    }
    println!();
}

fn default_cell(all: &[(&Cell, &Faulty)], at: usize) -> String {
    let caught = all.iter().map(|(_, f)| f.own[at].caught()).sum::<f64>() / all.len().max(1) as f64;
    let of = |value: fn(&Outcome) -> f64| {
        let both = all.iter().filter(|(_, f)| value(&f.own[0]).is_finite() && value(&f.own[at]).is_finite());
        mean_ratio(both.map(|(_, f)| value(&f.own[at]).max(1.0) / value(&f.own[0]).max(1.0))).0
    };
    format!(
        "{:.0} %, {}, {}, {}",
        100.0 * caught,
        number(of(Outcome::median)),
        number(of(Outcome::p95)),
        number(of(Outcome::median_hurt))
    )
}

/// How far from what is possible at all.
pub(crate) fn print_limits(cells: &[Cell]) {
    println!("### Distance from the information limit (median delay over the bound; never below one period)\n");
    row(&[
        "onset",
        "fault",
        "cells",
        "ours / limit (calibrated to 1 %)",
        "ours / limit when the common rate is unknown",
        "ours / one who knows both rates",
    ]
    .map(str::to_owned));
    row(&vec!["---".to_owned(); 6]);
    for late in [false, true] {
        for fault in FAULTS {
            let all = faults_of(cells, fault, late);
            let decided: Vec<&Faulty> = all.iter().map(|(_, f)| *f).filter(|f| f.own[0].median().is_finite()).collect();
            let ratio = |of: &dyn Fn(&Faulty) -> f64| number(mean_ratio(decided.iter().map(|f| of(f))).0);
            row(&[
                if late { "late" } else { "start" }.to_owned(),
                fault.to_owned(),
                decided.len().to_string(),
                format!("{} ({})", ratio(&|f| f.own[0].median() / f.limit), ratio(&|f| f.tuned[0].median() / f.limit)),
                if late { "-".to_owned() } else { ratio(&|f| f.own[0].median() / f.common) },
                ratio(&|f| f.own[0].median() / f.oracle.median()),
            ]);
        }
    }
    println!();
}

/// Median and p95 delay and failed requests in some cells that people know.
pub(crate) fn print_anchors(cells: &[Cell], alpha: f64) {
    println!("### Cells to look at: caught in 8 h, median / p95 delay in seconds, failed requests\n");
    let contenders = contenders(alpha);
    let mut head = vec!["cell".to_owned(), "fault".to_owned(), "limit".to_owned()];
    head.extend(contenders.iter().map(|c| c.name.to_owned()));
    row(&head);
    row(&vec!["---".to_owned(); head.len()]);
    for (rate, weight, base, fault) in [
        (0.2, 0.5, 1e-3, "20 %"),
        (5.0, 0.05, 1e-3, "20 %"),
        (5.0, 0.1, 1e-2, "x5"),
        (50.0, 0.1, 1e-3, "x2"),
        (50.0, 0.1, 1e-3, "x5"),
        (50.0, 0.1, 1e-3, "100 %"),
        (500.0, 0.05, 1e-3, "x1.5"),
        (500.0, 0.05, 1e-3, "x2"),
        (5000.0, 0.01, 1e-4, "x5"),
    ] {
        for late in [false, true] {
            let found = faults_of(cells, fault, late).into_iter().find(|(c, _)| {
                same(c.world.rate_per_s, rate) && same(c.world.weight, weight) && same(c.world.blue, base)
            });
            let Some((cell, f)) = found else { continue };
            let when = if late { "late" } else { "start" };
            let mut line = vec![
                format!("{rate}/s, {}, {}", percent(weight), percent(base)),
                format!("{fault} {when}"),
                format!("{:.0}", f.limit),
            ];
            for (outcome, false_rollbacks) in f.own.iter().zip(&cell.false_rollbacks) {
                let mark =
                    if *false_rollbacks > 0.01 { format!(" [{false_rollbacks:.2} false]") } else { String::new() };
                line.push(format!(
                    "{:.0} %, {} / {}, {}{mark}",
                    100.0 * outcome.caught(),
                    number(outcome.median()),
                    number(outcome.p95()),
                    number(outcome.median_hurt())
                ));
            }
            row(&line);
        }
    }
    println!();
}

/// The cells in which another rule, as its tool ships it or tuned, beats ours at no more false rollbacks.
pub(crate) fn print_losses(cells: &[Cell], alpha: f64) {
    println!("### Where ours loses\n");
    println!(
        "Cells and faults in which a rule with at most 1 % false rollbacks in that very cell is faster in the median, of all in which it decides; with how much faster (geometric mean).\n"
    );
    row(&["rule", "own setting: start", "own setting: late", "tuned to 1 %: start", "tuned to 1 %: late"]
        .map(str::to_owned));
    row(&vec!["---".to_owned(); 5]);
    let count = |late: bool, of: &dyn Fn(&Cell, &Faulty) -> Option<f64>| {
        let mut pairs = Vec::new();
        for (cell, f) in FAULTS.iter().flat_map(|fault| faults_of(cells, fault, late)) {
            if let Some(median) = of(cell, f).filter(|m| m.is_finite()) {
                pairs.push((f.own[0].median(), median));
            }
        }
        let lost: Vec<f64> = pairs.iter().filter(|(ours, other)| other < ours).map(|(o, other)| other / o).collect();
        let ratio = mean_ratio(lost.iter().copied().filter(|r| *r > 0.0)).0;
        let by = if lost.is_empty() { String::new() } else { format!(", {} of our delay", number(ratio)) };
        format!("{} of {}{by}", lost.len(), pairs.len())
    };
    for (at, contender) in contenders(alpha).iter().enumerate().skip(1) {
        let own = |cell: &Cell, f: &Faulty| (cell.false_rollbacks[at] <= MATCHED).then(|| f.own[at].median());
        let tuned = TUNED.iter().position(|(_, kind)| *kind == contender.kind);
        let tuned = |_: &Cell, f: &Faulty| tuned.map(|at| f.tuned[at].median());
        row(&[
            contender.name.to_owned(),
            count(false, &own),
            count(true, &own),
            count(false, &tuned),
            count(true, &tuned),
        ]);
    }
    println!();
    print_lost_cells(cells, alpha);
}

/// The cells behind the second and third column, with the fastest rule of each.
fn print_lost_cells(cells: &[Cell], alpha: f64) {
    let contenders = contenders(alpha);
    row(&["lost at own settings", "fault", "ours, s", "fastest", "s"].map(str::to_owned));
    row(&vec!["---".to_owned(); 5]);
    for late in [false, true] {
        for (cell, f) in FAULTS.iter().flat_map(|fault| faults_of(cells, fault, late)) {
            let quiet = (1..contenders.len()).filter(|at| cell.false_rollbacks[*at] <= MATCHED);
            let medians = quiet.map(|at| (f.own[at].median(), contenders[at].name));
            let Some((median, name)) = medians.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
            if median < f.own[0].median() {
                row(&[
                    format!(
                        "{}/s, {}, {}",
                        cell.world.rate_per_s,
                        percent(cell.world.weight),
                        percent(cell.world.blue)
                    ),
                    format!("{} {}", f.fault, if late { "late" } else { "start" }),
                    number(f.own[0].median()),
                    name.to_owned(),
                    number(median),
                ]);
            }
        }
    }
    println!();
}
