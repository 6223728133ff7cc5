//! The forecast against what then happens.

use greenshift::judge::{
    Conclusion, Counts, Evidence, Outlook, Settings, Traffic, Undecidable, Wording, explain, forecast,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::counts;
use crate::world::{Course, World};

const DAY_S: f64 = 86_400.0;

fn traffic(rate_per_s: f64, weight: f64, usual_ratio: f64) -> Traffic {
    Traffic {
        blue_requests: rate_per_s * 60.0 * (1.0 - weight),
        green_requests: rate_per_s * 60.0 * weight,
        period_s: 60.0,
        usual_ratio,
    }
}

fn at_step(settings: &Settings, weight: f64, next: f64) -> Evidence {
    let mut evidence = Evidence::new();
    evidence.step(settings, weight, Some(next));
    evidence
}

/// Times at which rollouts of a green `factor` times as bad as blue came to `wanted`, sorted; capped at `cap_s`.
fn times(traffic: &Traffic, weight: f64, factor: f64, wanted: Conclusion, cap_s: f64) -> Vec<f64> {
    let settings = Settings::default();
    let mut rng = StdRng::seed_from_u64(20);
    let mut all: Vec<f64> = (0..300)
        .map(|_| {
            let rate = (traffic.blue_requests + traffic.green_requests) / 60.0;
            let world = World { history: 120, ..World::healthy(rate, weight, traffic.usual_ratio) };
            let mut evidence = Course::new(&world, &mut rng).warmed_up(&mut rng, &settings);
            evidence.step(&settings, weight, Some(2.0 * weight));
            let mut elapsed = 0.0;
            while elapsed < cap_s {
                elapsed += traffic.period_s;
                let blue = counts(&mut rng, traffic.blue_requests, traffic.usual_ratio);
                let green = counts(&mut rng, traffic.green_requests, traffic.usual_ratio * factor);
                let reading = evidence.update(&settings, blue, green, traffic.period_s);
                if reading.conclusion == wanted {
                    break;
                }
            }
            elapsed
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

#[test]
fn the_forecast_of_a_proof_is_what_half_and_nine_in_ten_of_the_rollouts_need() {
    let settings = Settings::default();
    for (rate, weight, ratio) in [(5.0, 0.1, 0.001), (50.0, 0.05, 0.001), (20.0, 0.25, 0.01), (50.0, 0.1, 0.0)] {
        let traffic = traffic(rate, weight, ratio);
        let evidence = at_step(&settings, weight, 2.0 * weight);
        let Outlook::Expected { seconds, cautious_seconds, .. } =
            forecast(&settings, &evidence, &traffic, 10.0 * DAY_S).proof
        else {
            panic!("{rate}/s at {weight} with {ratio} is decidable")
        };
        let seen = times(&traffic, weight, 1.0, Conclusion::Advance, 10.0 * DAY_S);
        let (median, late) = (seen[150], seen[270]);
        assert!(
            (median / 1.6..=median * 1.6 + 60.0).contains(&seconds),
            "{rate}/s at {weight} with {ratio}: forecast {seconds} s, half needed {median} s"
        );
        assert!(
            (late / 1.8..=late * 1.8 + 60.0).contains(&cautious_seconds),
            "{rate}/s at {weight} with {ratio}: cautious {cautious_seconds} s, nine in ten needed {late} s"
        );
    }
}

#[test]
fn the_forecast_of_a_rollback_is_near_what_half_of_the_rollouts_need() {
    let settings = Settings::default();
    for (rate, weight, ratio) in [(50.0, 0.1, 0.001), (500.0, 0.05, 0.001), (5.0, 0.25, 0.01)] {
        let traffic = traffic(rate, weight, ratio);
        let evidence = at_step(&settings, weight, 2.0 * weight);
        let Outlook::Expected { seconds, .. } = forecast(&settings, &evidence, &traffic, 10.0 * DAY_S).ten_times_as_bad
        else {
            panic!("{rate}/s at {weight} with {ratio} is decidable")
        };
        let median = times(&traffic, weight, 10.0, Conclusion::Rollback, DAY_S)[150];
        assert!(
            (median / 2.0 - 60.0..=median * 2.0 + 60.0).contains(&seconds),
            "{rate}/s at {weight} with {ratio}: forecast {seconds} s, half needed {median} s"
        );
    }
}

#[test]
fn what_cannot_be_decided_is_said_so_and_why() {
    let settings = Settings::default();
    let outlook = |traffic: &Traffic, weight: f64| {
        forecast(&settings, &at_step(&settings, weight, 2.0 * weight), traffic, DAY_S / 2.0)
    };
    let Outlook::Undecidable { why, after_s: Some(after_s) } = outlook(&traffic(0.2, 0.01, 0.01), 0.01).proof else {
        panic!("a request in eight minutes proves nothing in half a day")
    };
    assert_eq!(why, Undecidable::TooLong);
    assert!(after_s > DAY_S / 2.0);
    let no_blue = outlook(&traffic(50.0, 1.0, 0.001), 0.5);
    assert_eq!(no_blue.proof, Outlook::Undecidable { why: Undecidable::NoBlueTraffic, after_s: None });
    let no_green = outlook(&traffic(50.0, 0.0, 0.001), 0.5);
    assert_eq!(no_green.proof, Outlook::Undecidable { why: Undecidable::NoGreenTraffic, after_s: None });
    let mut last = Evidence::new();
    last.step(&settings, 1.0, None);
    assert_eq!(forecast(&settings, &last, &traffic(50.0, 0.5, 0.001), DAY_S).proof, Outlook::NothingToProve);
    let strange = Traffic { blue_requests: f64::NAN, green_requests: 1e300, period_s: 60.0, usual_ratio: -1.0 };
    assert!(matches!(outlook(&strange, 0.5).proof, Outlook::Undecidable { .. }));
}

#[test]
fn a_verdict_carries_both_rates_the_margin_the_evidence_and_what_is_still_needed() {
    let settings = Settings { ceiling: Some(0.05), ..Settings::default() };
    let mut evidence = Evidence::new();
    for _ in 0..60 {
        evidence.history(&settings, Counts::new(3000.0, 3.0), 60.0);
    }
    evidence.step(&settings, 0.1, Some(0.25));
    let first = evidence.update(&settings, Counts::new(2700.0, 3.0), Counts::new(300.0, 0.0), 60.0);
    let seen = Traffic::seen(&first, 60.0).expect("one period was seen");
    let outlook = forecast(&settings, &evidence, &seen, DAY_S);
    let text = explain(&settings, &first, &Wording::errors(), Some(&outlook)).to_string();
    insta::assert_snapshot!("a_period_that_proves_nothing_yet", text);
    let mut reading = first;
    for _ in 0..2 {
        reading = evidence.update(&settings, Counts::new(2700.0, 3.0), Counts::new(300.0, 12.0), 60.0);
    }
    assert_eq!(reading.conclusion, Conclusion::Rollback);
    let text = explain(&settings, &reading, &Wording::errors(), None).to_string();
    insta::assert_snapshot!("a_green_that_is_worse", text);
}
