//! Beyond independent errors: bursts, drift, outages of both sides, missing periods, tiny traffic; and Kayenta.

use greenshift::judge::{Conclusion, Reason, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::contest::{DAY, Entry, Kind, Outcome, exceed, faulty, healthy, on_all_cores};
use crate::grid::{Contender, contenders, faults};
use crate::table::{number, percent, row, rows};
use crate::world::{Course, Noise, World};

fn head(first: &[&str], contenders: &[Contender]) {
    let mut head: Vec<String> = first.iter().map(|&name| name.to_owned()).collect();
    head.extend(contenders.iter().map(|c| c.name.to_owned()));
    row(&head);
    row(&vec!["---".to_owned(); head.len()]);
}

fn cell(world: &World) -> String {
    format!("{}/s, {}, {}", world.rate_per_s, percent(world.weight), percent(world.blue))
}

type Named<T> = (&'static str, T);

fn noises() -> Vec<Named<(Noise, Settings)>> {
    let default = Settings::default;
    vec![
        ("independent errors", (Noise::None, default())),
        ("clusters of 5, split at random", (Noise::Clusters(5.0), default())),
        ("clusters of 5, sticky", (Noise::StickyClusters(5.0), default())),
        ("the same, phi = 1", (Noise::StickyClusters(5.0), Settings { phi: 1.0, ..default() })),
        ("common bursts, cv 1", (Noise::Common(1.0), default())),
        ("common drift 50 %, 5 min", (Noise::CommonDrift(0.25, 300.0), default())),
        ("own bursts, cv 0.3", (Noise::Own(0.1), default())),
        ("own bursts, cv 1", (Noise::Own(1.0), default())),
        ("own drift 10 %, 5 min", (Noise::OwnDrift(0.01, 300.0), default())),
        ("own drift 20 %, 5 min", (Noise::OwnDrift(0.04, 300.0), default())),
        ("own drift 50 %, 5 min", (Noise::OwnDrift(0.25, 300.0), default())),
        ("the same, rho = 1.5", (Noise::OwnDrift(0.25, 300.0), Settings { rho: 1.5, rho_p: 1.7, ..default() })),
        ("own drift 10 %, 30 min", (Noise::OwnDrift(0.01, 1800.0), default())),
        ("the same, rho = 1.25", (Noise::OwnDrift(0.01, 1800.0), Settings { rho: 1.25, rho_p: 1.4, ..default() })),
    ]
}

/// False rollbacks under bursts, and what they cost in delay.
pub(crate) fn print_bursts(days: u64, rollouts: u64) {
    println!("### Bursts and drift\n");
    println!(
        "False rollbacks in 24 h at own settings; \"blind\" is ours without learned burstiness. Then what ours takes for a fault after 3 h: caught in 8 h, median / p95 seconds.\n"
    );
    let contenders = contenders(0.05);
    let mut items: Vec<(World, &'static str, Settings)> = Vec::new();
    for (rate, weight, base) in
        [(5.0, 0.25, 1e-2), (50.0, 0.1, 1e-3), (500.0, 0.1, 1e-3), (500.0, 0.5, 1e-2), (5000.0, 0.1, 1e-3)]
    {
        let world = World::healthy(rate, weight, base);
        items.extend(noises().into_iter().map(|(name, (noise, settings))| (World { noise, ..world }, name, settings)));
        items.push((World { diurnal: 0.8, ..world }, "daily swing of 80 %", Settings::default()));
        items.push((World { missing: 0.1, ..world }, "one period in ten missing", Settings::default()));
    }
    let lines = on_all_cores(&items, |(world, name, settings)| {
        let kinds: Vec<Kind> = contenders.iter().map(|c| c.kind).collect();
        let most = healthy(world, settings, &kinds, days, DAY);
        let blind = Settings { c0: 1e6, np1: 1e6, np_block: 1e6, c60: 0.0, ..settings.clone() };
        let naive = healthy(world, &blind, &[Kind::Ours], days, DAY);
        let mut line = vec![cell(world), (*name).to_owned()];
        line.extend(most.iter().zip(&contenders).map(|(most, c)| format!("{:.3}", exceed(most, c.threshold))));
        line.push(format!("{:.3}", exceed(&naive[0], contenders[0].threshold)));
        for green in [2.0 * world.blue, 5.0 * world.blue, 0.2] {
            let entries: [Entry; 1] = [(Kind::Ours, vec![contenders[0].threshold])];
            let outcome = faulty(&world.with_fault(green, 180), settings, &entries, rollouts);
            line.push(outcome_of(&outcome[0][0]));
        }
        line
    });
    let mut names: Vec<String> = ["cell", "noise"].map(str::to_owned).to_vec();
    names.extend(contenders.iter().map(|c| c.name.to_owned()));
    names.extend(["blind", "x2", "x5", "20 %"].map(str::to_owned));
    row(&names);
    row(&vec!["---".to_owned(); names.len()]);
    rows(&lines);
}

fn outcome_of(outcome: &Outcome) -> String {
    format!("{:.0} %, {} / {}", 100.0 * outcome.caught(), number(outcome.median()), number(outcome.p95()))
}

/// Outages of both sides: who rolls green back for them, and whether ours says what it is.
pub(crate) fn print_outages(rollouts: u64) {
    println!("### An outage of both sides, 30 minutes\n");
    println!(
        "Share of rollouts rolled back within 90 minutes of its start, and share in which ours said \"common cause\".\n"
    );
    let contenders = contenders(0.05);
    let mut worlds = Vec::new();
    for (rate, weight, base) in [
        (0.2, 0.5, 1e-3),
        (5.0, 0.05, 1e-3),
        (5.0, 0.5, 1e-3),
        (50.0, 0.1, 1e-3),
        (500.0, 0.1, 1e-3),
        (5000.0, 0.1, 1e-3),
    ] {
        for level in [0.01, 0.05, 0.2, 0.6, 1.0] {
            worlds.push(World { outage: Some((60, 90, level)), ..World::healthy(rate, weight, base) });
        }
    }
    let settings = Settings::default();
    let lines = on_all_cores(&worlds, |world| {
        let kinds: Vec<Kind> = contenders.iter().map(|c| c.kind).collect();
        let most = healthy(world, &settings, &kinds, rollouts, 150);
        let level = world.outage.map_or(0.0, |(_, _, level)| level);
        let mut line = vec![cell(world), percent(level)];
        line.extend(most.iter().zip(&contenders).map(|(most, c)| format!("{:.3}", exceed(most, c.threshold))));
        line.push(format!("{:.2}", said_common(world, &settings, rollouts.min(200))));
        line
    });
    let mut names: Vec<String> = ["cell", "errors on both"].map(str::to_owned).to_vec();
    names.extend(contenders.iter().map(|c| c.name.to_owned()));
    names.push("ours: told apart".to_owned());
    row(&names);
    row(&vec!["---".to_owned(); names.len()]);
    rows(&lines);
}

fn said_common(world: &World, settings: &Settings, rollouts: u64) -> f64 {
    let said = (0..rollouts).filter(|&seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut course = Course::new(world, &mut rng);
        let mut evidence = course.warmed_up(&mut rng, settings);
        evidence.step(settings, world.weight, None);
        (0..150).any(|at| {
            let (blue, green) = course.next(&mut rng, at);
            let reading = evidence.update(settings, blue, green, world.period_s);
            reading.conclusion == Conclusion::Hold && reading.reason == Reason::CommonCause
        })
    });
    said.count() as f64 / rollouts as f64
}

/// Other conditions, everybody at their own settings.
pub(crate) fn print_conditions(rollouts: u64) {
    println!("### Other conditions, own settings\n");
    println!(
        "Caught in 8 h, median / p95 seconds, failed requests; in brackets the share rolled back before the fault began, where it is over 5 %.\n"
    );
    let contenders = contenders(0.05);
    let world = |rate, weight, base, green, onset| World::healthy(rate, weight, base).with_fault(green, onset);
    let usual = world(50.0, 0.1, 1e-3, 5e-3, 180);
    let fine = World { period_s: 10.0, history: 720, ..world(50.0, 0.1, 1e-3, 5e-3, 360) };
    let items: Vec<Named<World>> = vec![
        ("plain", usual),
        ("one period in five missing", World { missing: 0.2, ..usual }),
        ("daily swing of 80 %", World { diurnal: 0.8, ..usual }),
        ("30 min after an outage of both", World { outage: Some((120, 150, 0.3)), ..usual }),
        ("periods of 10 s (8 h are 80 min)", fine),
        ("after 12 h", World { onset: 720, ..usual }),
        ("10 minutes of history only", World { history: 10, ..world(50.0, 0.1, 1e-3, 5e-3, 0) }),
        ("tiny traffic, 1 %", world(0.2, 0.01, 1e-3, 1.0, 180)),
        ("tiny traffic, 10 %", world(0.2, 0.1, 1e-3, 1.0, 180)),
        ("tiny traffic, 50 %", world(0.2, 0.5, 1e-3, 0.2, 180)),
        ("tiny traffic, 50 %", world(0.2, 0.5, 1e-3, 0.05, 180)),
        ("tiny traffic, 50 %", world(0.2, 0.5, 1e-2, 0.02, 180)),
    ];
    let settings = Settings::default();
    let lines = on_all_cores(&items, |(name, world)| {
        let entries: Vec<Entry> = contenders.iter().map(|c| (c.kind, vec![c.threshold])).collect();
        // Rules of one kind see the traffic twice here; the program is fast enough.
        let outcomes = faulty(world, &settings, &entries, rollouts);
        let mut line = vec![(*name).to_owned(), format!("{} to {}", cell(world), percent(world.green))];
        line.extend(outcomes.iter().flatten().map(|outcome| {
            let early = outcome.false_share;
            let mark = if early > 0.05 { format!(" [{early:.2}]") } else { String::new() };
            format!("{}, {}{mark}", outcome_of(outcome), number(outcome.median_hurt()))
        }));
        line
    });
    head(&["condition", "cell and fault"], &contenders);
    rows(&lines);
}

/// Kayenta judges whole series, so it is slow to simulate: fewer cells.
pub(crate) fn print_kayenta(rollouts: u64) {
    println!("### Kayenta and PipeCD beside ours\n");
    println!(
        "Kayenta's judge every ten minutes over the last hour, PipeCD every five minutes over five points, each against the whole of blue. Share rolled back in 24 h without a fault; then caught in 8 h from the start, median / p95 seconds.\n"
    );
    let kinds = [
        ("ours", contenders(0.05).swap_remove(0)),
        ("Kayenta", Contender { name: "Kayenta", kind: Kind::Kayenta, threshold: 0.5 }),
        ("PipeCD EITHER", contenders(0.05).swap_remove(9)),
    ];
    let worlds = [(5.0, 0.1, 1e-2), (50.0, 0.1, 1e-3), (50.0, 0.1, 1e-2), (500.0, 0.1, 1e-3), (5000.0, 0.1, 1e-3)]
        .map(|(rate, weight, base)| World::healthy(rate, weight, base));
    let settings = Settings::default();
    let tables = on_all_cores(&worlds, |world| {
        let all: Vec<Kind> = kinds.iter().map(|(_, c)| c.kind).collect();
        let most = healthy(world, &settings, &all, rollouts, DAY);
        let entries: Vec<Entry> = kinds.iter().map(|(_, c)| (c.kind, vec![c.threshold])).collect();
        let outcomes: Vec<Vec<Vec<Outcome>>> = faults(world.blue)
            .iter()
            .map(|(_, green)| faulty(&world.with_fault(*green, 0), &settings, &entries, rollouts))
            .collect();
        let mut lines = Vec::new();
        for (at, (name, contender)) in kinds.iter().enumerate() {
            let mut line =
                vec![cell(world), (*name).to_owned(), format!("{:.2}", exceed(&most[at], contender.threshold))];
            line.extend(outcomes.iter().map(|outcome| outcome_of(&outcome[at][0])));
            lines.push(line);
        }
        lines
    });
    row(&["cell", "rule", "false in 24 h", "x1.5", "x2", "x5", "20 %", "100 %"].map(str::to_owned));
    row(&vec!["---".to_owned(); 8]);
    rows(tables.iter().flatten());
}
