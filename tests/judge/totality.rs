//! No input makes the judge panic or say something that is not a number; and what it stores it continues from.

use greenshift::judge::latency::{Bucket, Latency, LatencyEvidence, Percentile};
use greenshift::judge::share::{ShareEvidence, ShareSettings};
use greenshift::judge::{Conclusion, Counts, Evidence, Reading, Settings, Traffic, Wording, explain, forecast};
use proptest::prelude::*;

/// Any number at all, often a strange one.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0.0..5000.0_f64).prop_map(f64::floor),
        2 => any::<f64>(),
        1 => prop::sample::select(vec![
            0.0, -0.0, -1.0, 1e-300, 1e-7, 0.5, 1.0, 1e12, 1e300, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN,
        ]),
    ]
}

fn counts() -> impl Strategy<Value = Counts> {
    (any_number(), any_number()).prop_map(|(requests, bad)| Counts::new(requests, bad))
}

#[derive(Debug, Clone)]
enum Event {
    History(Counts, f64),
    Step(f64, Option<f64>),
    Period(Counts, Counts, f64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (counts(), any_number()).prop_map(|(blue, dt)| Event::History(blue, dt)),
        1 => (any_number(), prop::option::of(any_number())).prop_map(|(now, next)| Event::Step(now, next)),
        6 => (counts(), counts(), any_number()).prop_map(|(blue, green, dt)| Event::Period(blue, green, dt)),
    ]
}

/// Valid settings at and between the ends of their ranges.
fn settings() -> impl Strategy<Value = Settings> {
    let pick = |low: f64, usual: f64, high: f64| prop::sample::select(vec![low, usual, usual, high]);
    (
        (pick(0.1, 1.1, 100.0), pick(0.0, 0.0, 1.0), pick(1e-12, 0.05, 0.5), prop::option::of(pick(1e-9, 0.05, 1.0))),
        (pick(0.1, 1.25, 100.0), pick(0.0, 0.001, 1.0), pick(0.0, 0.15, 1.0), pick(0.0, 0.005, 100.0)),
        (pick(1e-3, 10.0, 1e6), pick(1.0, 9.0, 1e6), pick(1.0, 600.0, 1e8), pick(1.0, 3600.0, 1e8)),
        prop::sample::select(vec![vec![1.3, 2.0, 4.0, 12.0, 80.0, 1e4], vec![1.000_001], vec![1e6, 2.0]]),
    )
        .prop_map(
            |((rho, delta, alpha, ceiling), (rho_p, delta_user, phi, c60), (c0, hub1, block, h_ref), grid)| Settings {
                rho,
                delta,
                alpha,
                ceiling,
                rho_p,
                delta_user,
                phi,
                c60,
                c0,
                hub1,
                block,
                h_ref,
                grid,
                ..Settings::default()
            },
        )
}

fn is_sound(reading: &Reading) -> Result<(), TestCaseError> {
    let logs = [
        reading.log_e_concurrent,
        reading.log_e_history,
        reading.log_e_ceiling,
        reading.log_second_key,
        reading.log_blue_sick,
        reading.log_e_proof,
    ];
    for log in logs {
        prop_assert!(!log.is_nan() && log < f64::INFINITY, "{reading:?}");
    }
    for number in [reading.blue_dispersion, reading.split_dispersion, reading.missing, reading.step.seconds] {
        prop_assert!(number.is_finite() && number >= 0.0, "{reading:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_makes_the_judge_panic_or_lose_its_numbers(
        settings in settings(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        prop_assert_eq!(settings.validate(), Ok(()));
        let mut evidence = Evidence::new();
        for event in events {
            match event {
                Event::History(blue, dt) => evidence.history(&settings, blue, dt),
                Event::Step(now, next) => evidence.step(&settings, now, next),
                Event::Period(blue, green, dt) => {
                    let peeked = evidence.peek(&settings, blue, green, dt);
                    let reading = evidence.update(&settings, blue, green, dt);
                    is_sound(&reading)?;
                    prop_assert_eq!(&peeked, &reading);
                    let traffic = Traffic {
                        blue_requests: blue.requests,
                        green_requests: green.requests,
                        period_s: dt,
                        usual_ratio: green.bad,
                    };
                    let outlook = forecast(&settings, &evidence, &traffic, 1e6);
                    prop_assert!(!explain(&settings, &reading, &Wording::errors(), Some(&outlook)).to_string().contains("NaN"));
                }
            }
            let stored = serde_json::to_string(&evidence).expect("evidence is data");
            let back: Evidence = serde_json::from_str(&stored).expect("what was written is read");
            prop_assert_eq!(&back, &evidence);
            prop_assert!(!stored.contains("null") || stored.contains("\"pm\":null"), "{}", stored);
        }
    }

    #[test]
    fn any_settings_at_all_are_survived(
        numbers in prop::collection::vec(any_number(), 12),
        periods in prop::collection::vec((counts(), counts()), 1..20),
    ) {
        let settings = Settings {
            rho: numbers[0], delta: numbers[1], alpha: numbers[2], ceiling: Some(numbers[3]), rho_p: numbers[4],
            phi: numbers[5], grid: vec![numbers[6], numbers[7]], block: numbers[8], h_ref: numbers[9],
            pgrid: vec![numbers[10]], c0: numbers[11],
            ..Settings::default()
        };
        let mut evidence = Evidence::new();
        evidence.step(&settings, 0.1, Some(0.2));
        for (blue, green) in periods {
            let reading = evidence.update(&settings, blue, green, 60.0);
            prop_assert!(explain(&settings, &reading, &Wording::errors(), None).details.len() >= 3);
        }
    }

    #[test]
    fn more_bad_requests_of_green_never_mean_less_evidence_and_of_blue_never_more(
        seed in prop::collection::vec((0_u32..3000, 0_u32..5), 5..40),
        ng in 1_u32..500,
        kg in 0_u32..40,
        kb in 0_u32..40,
    ) {
        let settings = Settings::default();
        let mut evidence = Evidence::new();
        for (n, k) in &seed {
            evidence.history(&settings, Counts::new(f64::from(*n), f64::from(*k)), 60.0);
        }
        evidence.step(&settings, 0.1, Some(0.2));
        let say = |kb: u32, kg: u32| {
            evidence.peek(&settings, Counts::new(2000.0, f64::from(kb)), Counts::new(f64::from(ng), f64::from(kg)), 60.0)
        };
        prop_assert!(say(kb, kg + 1).log_e_concurrent >= say(kb, kg).log_e_concurrent);
        prop_assert!(say(kb, kg + 1).log_e_history >= say(kb, kg).log_e_history);
        prop_assert!(say(kb + 1, kg).log_e_concurrent <= say(kb, kg).log_e_concurrent);
    }

    #[test]
    fn share_and_latency_survive_any_input(
        periods in prop::collection::vec((any_number(), any_number(), any_number()), 1..40),
        weight in any_number(),
        bounds in prop::collection::vec((any_number(), any_number()), 0..6),
        percents in prop::collection::vec((any_number(), any_number()), 0..5),
        settings in (any_number(), any_number()),
    ) {
        let share_settings = ShareSettings { tolerance: settings.0, alpha: settings.1 };
        let mut share = ShareEvidence::new();
        share.step(weight);
        for (blue, green, dt) in &periods {
            let reading = share.update(&share_settings, *blue, *green, *dt);
            prop_assert!(!reading.log_e_low.is_nan() && !reading.log_e_high.is_nan() && !reading.log_e_as_set.is_nan());
            let stored = serde_json::to_string(&share).expect("evidence is data");
            prop_assert_eq!(&serde_json::from_str::<ShareEvidence>(&stored).expect("what was written is read"), &share);
        }
        let histogram = Latency::Histogram(bounds.iter().map(|&(upper, cumulative)| Bucket { upper, cumulative }).collect());
        let percentiles = Latency::Percentiles {
            requests: periods[0].0,
            percentiles: percents.iter().map(|&(percent, latency)| Percentile { percent, latency }).collect(),
        };
        let settings = Settings::latency();
        let mut latency = LatencyEvidence::freeze(&settings, &[histogram.clone(), percentiles.clone()], 60.0);
        latency.step(&settings, weight, None);
        for reading in latency.update(&settings, &histogram, &percentiles, 60.0) {
            is_sound(&reading)?;
        }
    }
}

#[test]
fn evidence_written_by_the_first_version_is_read_for_ever() {
    let stored = include_str!("evidence_v1.json");
    let mut evidence: Evidence = serde_json::from_str(stored).expect("the first version");
    assert_eq!(
        serde_json::to_string(&evidence).expect("data"),
        stored.trim(),
        "the layout changed: make a new version"
    );
    let settings = Settings::default();
    let reading = evidence.update(&settings, Counts::new(2700.0, 3.0), Counts::new(300.0, 9.0), 60.0);
    assert_eq!(reading.conclusion, Conclusion::Rollback);
    let mut young = Evidence::new();
    young.update(&settings, Counts::new(3000.0, 3.0), Counts::NONE, 60.0);
    let none = serde_json::to_string(&young).expect("data");
    assert!(none.contains("\"-inf\""), "no evidence is minus infinity: {none}");
    assert_eq!(serde_json::from_str::<Evidence>(&none).expect("minus infinity is read"), young);
    let unknown = stored.replacen("\"v\":\"1\"", "\"v\":\"2\"", 1);
    assert!(serde_json::from_str::<Evidence>(&unknown).is_err(), "a later version must not be misread");
}

/// The evidence after a long rollout with every number in use.
fn long_lived(settings: &Settings) -> Evidence {
    let mut evidence = Evidence::new();
    for i in 0..180 {
        evidence.history(settings, Counts::new(3000.0 + f64::from(i % 7), f64::from(i % 5)), 60.0);
    }
    for (weight, next) in [(0.1, 0.25), (0.25, 0.5)] {
        evidence.step(settings, weight, Some(next));
        for i in 0..300 {
            let n = 3000.0 + f64::from(i % 11);
            let blue = Counts::new(n * (1.0 - weight), f64::from(i % 5));
            evidence.update(settings, blue, Counts::new(n * weight, f64::from(u8::from(i % 4 == 0))), 60.0);
        }
    }
    evidence
}

#[test]
fn stored_evidence_stays_small() {
    let plain = serde_json::to_string(&long_lived(&Settings::default())).expect("data");
    assert!(plain.len() < 2048, "{} bytes: {plain}", plain.len());
    let ceiling =
        serde_json::to_string(&long_lived(&Settings { ceiling: Some(0.05), ..Settings::default() })).expect("data");
    assert!(ceiling.len() < 2304, "{} bytes", ceiling.len());
}

#[test]
fn a_ceiling_rolls_back_whatever_blue_does_and_settings_out_of_range_are_named() {
    let settings = Settings { ceiling: Some(0.05), ..Settings::default() };
    let mut evidence = Evidence::new();
    for _ in 0..60 {
        evidence.history(&settings, Counts::new(3000.0, 3.0), 60.0);
    }
    evidence.step(&settings, 0.1, Some(0.25));
    let both_sick = |evidence: &mut Evidence, settings: &Settings| {
        evidence.update(settings, Counts::new(2700.0, 540.0), Counts::new(300.0, 60.0), 60.0)
    };
    let mut without = evidence.clone();
    assert_eq!(both_sick(&mut evidence, &settings).reason, greenshift::judge::Reason::Ceiling);
    assert_eq!(both_sick(&mut without, &Settings::default()).conclusion, Conclusion::Hold);
    let error = Settings { alpha: 0.7, ..Settings::default() }.validate().expect_err("a risk above a half");
    assert_eq!(error.to_string(), "`alpha` is 0.7, it must be between 1e-12 and 0.5");
    assert!(Settings { grid: vec![], ..Settings::default() }.validate().is_err());
    assert!(Settings { g_start: 0.9, ..Settings::default() }.validate().is_err(), "the budget is over 1");
    for preset in [Settings::default(), Settings::latency(), Settings::client_errors()] {
        assert_eq!(preset.validate(), Ok(()));
    }
}
