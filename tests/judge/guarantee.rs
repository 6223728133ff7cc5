//! The promise: over a whole rollout, with a look after every period, a green that is acceptable is rolled back with
//! at most the stated risk, whatever the traffic, the weight and the burstiness. And the opposite promise: what must
//! be found is found, and a common outage is not green's fault.
//!
//! `GREENSHIFT_JUDGE_ROLLOUTS=2000` sets the rollouts per cell of the long form; `make test` runs a short one.

use greenshift::judge::{Conclusion, Reading, Reason, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::world::{Course, Noise, World};

/// Rollouts per cell and their length in periods.
fn size() -> (u32, usize) {
    #[expect(clippy::disallowed_methods, reason = "a test may read its own environment")]
    match std::env::var("GREENSHIFT_JUDGE_ROLLOUTS").ok().and_then(|n| n.parse().ok()) {
        Some(rollouts) => (rollouts, 1440),
        None => (25, 360),
    }
}

/// Follows one rollout to its end, or until `stop` says so of a reading; where it stopped.
fn follow(
    world: &World,
    settings: &Settings,
    seed: u64,
    periods: usize,
    stop: impl Fn(&Reading) -> bool,
) -> Option<usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut course = Course::new(world, &mut rng);
    let mut evidence = course.warmed_up(&mut rng, settings);
    evidence.step(settings, world.weight, Some((2.0 * world.weight).min(1.0)));
    (0..periods).find(|&at| {
        let (blue, green) = course.next(&mut rng, at);
        stop(&evidence.update(settings, blue, green, world.period_s))
    })
}

fn rolled_back(reading: &Reading) -> bool {
    reading.conclusion == Conclusion::Rollback
}

/// Share of the rollouts that were ever rolled back.
fn share_rolled_back(world: &World, settings: &Settings, rollouts: u32, periods: usize) -> f64 {
    let lost = (0..rollouts).filter(|&i| follow(world, settings, 1000 + u64::from(i), periods, rolled_back).is_some());
    f64::from(u32::try_from(lost.count()).expect("fewer than the rollouts")) / f64::from(rollouts)
}

/// The largest share that chance alone explains in one case of a thousand, at this risk.
fn most(risk: f64, rollouts: f64) -> f64 {
    risk + 3.1 * (risk * (1.0 - risk) / rollouts).sqrt() + 1.0 / rollouts
}

/// Checks worlds at the very edge of what is acceptable, each alone and all together.
fn assert_guarantee(name: &str, worlds: &[World], settings: &Settings, risk: f64) {
    let (rollouts, periods) = size();
    let mut sum = 0.0;
    for world in worlds {
        let share = share_rolled_back(world, settings, rollouts, periods);
        assert!(share <= most(risk, f64::from(rollouts)), "{name}: {share} of {world:?} were rolled back");
        sum += share;
    }
    let mean = sum / worlds.len() as f64;
    let all = f64::from(rollouts) * worlds.len() as f64;
    #[expect(clippy::print_stdout, reason = "the figure is what the long form is run for")]
    {
        println!("{name}: {mean:.4} rolled back in {all} rollouts (risk {risk})");
    }
    assert!(mean <= most(risk, all), "{name}: {mean} were rolled back");
}

#[test]
fn a_green_at_the_margin_is_rolled_back_within_the_risk_at_every_traffic_and_weight() {
    let settings = Settings::default();
    let mut worlds = Vec::new();
    for rate in [0.2, 5.0, 50.0, 500.0, 5000.0] {
        for weight in [0.01, 0.1, 0.5] {
            for ratio in [1e-4, 1e-3, 1e-2] {
                worlds.push(World { bias: settings.rho, history: 120, ..World::healthy(rate, weight, ratio) });
            }
        }
    }
    assert_guarantee("at the margin", &worlds, &settings, settings.alpha);
}

#[test]
fn the_variant_prompt_and_a_ceiling_keep_the_same_risk() {
    let prompt = Settings::default().prompt();
    let cells = [(0.2, 0.5, 1e-2), (5.0, 0.1, 1e-2), (50.0, 0.01, 1e-3), (50.0, 0.5, 1e-3), (5000.0, 0.1, 1e-3)];
    let at = |bias: f64| cells.map(|(rate, weight, ratio)| World { bias, ..World::healthy(rate, weight, ratio) });
    assert_guarantee("prompt", &at(prompt.rho), &prompt, prompt.alpha);
    // Green exactly at its ceiling, and blue as bad.
    let ceiling = Settings { ceiling: Some(0.01), ..Settings::default() };
    let worlds = [(0.2, 0.5), (5.0, 0.1), (500.0, 0.25)].map(|(rate, weight)| World::healthy(rate, weight, 0.01));
    assert_guarantee("ceiling", &worlds, &ceiling, ceiling.alpha);
}

fn bursty(cell: (f64, f64, f64)) -> [World; 8] {
    let world = World::healthy(cell.0, cell.1, cell.2);
    let noise = |noise| World { noise, ..world };
    [
        noise(Noise::Clusters(5.0)),
        noise(Noise::Common(1.0)),
        noise(Noise::CommonDrift(0.25, 300.0)),
        noise(Noise::Own(0.1)),
        noise(Noise::Own(1.0)),
        noise(Noise::OwnDrift(0.04, 300.0)),
        World { diurnal: 0.8, ..world },
        World { missing: 0.1, ..world },
    ]
}

#[test]
fn bursts_drift_daily_swings_and_missing_periods_stay_within_the_risk() {
    let settings = Settings::default();
    let worlds: Vec<World> =
        [(5.0, 0.25, 0.01), (50.0, 0.1, 0.001), (500.0, 0.5, 0.01)].into_iter().flat_map(bursty).collect();
    assert_guarantee("bursts", &worlds, &settings, settings.alpha);
    let sticky = World { noise: Noise::StickyClusters(5.0), ..World::healthy(50.0, 0.1, 0.001) };
    assert_guarantee("sticky", &[sticky], &Settings { phi: 1.0, ..settings.clone() }, settings.alpha);
}

#[test]
fn the_same_bursts_break_a_judge_that_does_not_learn_them() {
    // The control of the test above: without it, a judge that never rolls back would pass.
    let blind = Settings { c0: 1e6, np1: 1e6, np_block: 1e6, c60: 0.0, ..Settings::default() };
    let world = World { noise: Noise::Own(1.0), ..World::healthy(500.0, 0.5, 0.01) };
    let share = share_rolled_back(&world, &blind, 20, 360);
    assert!(share > 0.5, "only {share} were rolled back");
}

#[test]
fn a_fault_is_caught_from_the_start_and_after_hours() {
    // Cells and medians of the specification, with some room: (traffic, weight, base, fault, at most seconds early, late).
    for (rate, weight, ratio, fault, early, late) in [
        (5.0, 0.05, 0.001, 0.2, 120.0, 180.0),
        (5.0, 0.1, 0.01, 0.05, 780.0, 1100.0),
        (50.0, 0.1, 0.001, 0.005, 600.0, 900.0),
        (500.0, 0.05, 0.001, 0.002, 1500.0, 1800.0),
    ] {
        for (onset, limit) in [(0, early), (180, late)] {
            let world = World::healthy(rate, weight, ratio).with_fault(fault, onset);
            let mut delays: Vec<f64> = (0..41)
                .map(|seed| match follow(&world, &Settings::default(), seed, onset + 480, rolled_back) {
                    Some(at) => (at as f64 - onset as f64 + 1.0) * 60.0,
                    None => f64::INFINITY,
                })
                .collect();
            delays.sort_by(f64::total_cmp);
            assert!(delays[20] <= limit, "{world:?} took {} s in the median", delays[20]);
        }
    }
}

#[test]
fn a_common_outage_is_held_and_told_apart() {
    for (rate, weight, level) in [(5.0, 0.5, 0.2), (50.0, 0.1, 0.05), (50.0, 0.1, 0.6), (500.0, 0.1, 1.0)] {
        let world = World { outage: Some((30, 60, level)), ..World::healthy(rate, weight, 0.001) };
        let mut lost = 0;
        for seed in 0..20 {
            let common =
                follow(&world, &Settings::default(), seed, 120, |r| rolled_back(r) || r.reason == Reason::CommonCause);
            assert!(
                common.is_some_and(|at| (30..62).contains(&at)),
                "the outage of {level} was not noticed: {common:?}"
            );
            lost += u32::from(follow(&world, &Settings::default(), seed, 120, rolled_back).is_some());
        }
        assert!(lost <= 1, "{lost} of 20 were rolled back for an outage of {level} on both sides");
    }
}

#[test]
fn a_green_worse_than_may_be_promoted_is_promoted_within_the_risk() {
    let settings = Settings::default();
    let (rollouts, _) = size();
    for (rate, weight, ratio) in [(50.0, 0.05, 0.001), (5.0, 0.25, 0.01), (500.0, 0.1, 1e-4)] {
        let edge = settings.rho_p * ratio + settings.delta_user / (2.0 * weight);
        let world = World { bias: edge / ratio, ..World::healthy(rate, weight, ratio) };
        let proven = (0..4 * rollouts).filter(|&seed| {
            follow(&world, &settings, u64::from(seed), 240, |r| r.conclusion != Conclusion::Continue).is_some_and(
                |at| {
                    follow(&world, &settings, u64::from(seed), at + 1, |r| r.conclusion == Conclusion::Advance)
                        .is_some()
                },
            )
        });
        let share = proven.count() as f64 / f64::from(4 * rollouts);
        assert!(share <= most(settings.beta_p, f64::from(4 * rollouts)), "{share} of {world:?} were promoted");
    }
}
