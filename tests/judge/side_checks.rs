//! Share of traffic, latency, and the replay of recorded metrics.

use greenshift::judge::latency::{
    Bucket, Latency, LatencyEvidence, Over, Percentile, deciding, threshold_at, thresholds,
};
use greenshift::judge::share::{ShareConclusion, ShareEvidence, ShareSettings};
use greenshift::judge::{Conclusion, Counts, Reason, Row, Settings, Wording, replay};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::counts;
use crate::world::{normal, poisson};

/// Requests of both sides when clients that send `per_client` requests each are routed by weight.
fn routed(rng: &mut StdRng, requests: f64, weight: f64, per_client: f64) -> (f64, f64) {
    let clients = requests / per_client;
    (poisson(rng, clients * (1.0 - weight)) * per_client, poisson(rng, clients * weight) * per_client)
}

/// Share of 300 steps of two hours in which the share was ever called off, and in which it was called right at the end.
fn calls(weight: f64, actual: f64, requests: f64, per_client: f64) -> (f64, f64) {
    let mut rng = StdRng::seed_from_u64(7);
    let (mut off, mut right) = (0.0, 0.0);
    for _ in 0..300 {
        let mut evidence = ShareEvidence::new();
        evidence.step(weight);
        let mut ever_off = false;
        let mut last = ShareConclusion::Undecided;
        for _ in 0..120 {
            let (blue, green) = routed(&mut rng, requests, actual, per_client);
            last = evidence.update(&ShareSettings::default(), blue, green, 60.0).conclusion;
            ever_off |= matches!(last, ShareConclusion::TooLow | ShareConclusion::TooHigh);
        }
        off += f64::from(u8::from(ever_off)) / 300.0;
        right += f64::from(u8::from(last == ShareConclusion::AsSet)) / 300.0;
    }
    (off, right)
}

#[test]
fn a_share_that_matches_the_weight_is_rarely_called_off_even_with_clients_of_fifty_requests() {
    for weight in [0.01, 0.1, 0.5, 0.9] {
        for (requests, per_client) in [(60.0, 1.0), (3000.0, 1.0), (3000.0, 50.0), (100_000.0, 50.0)] {
            let (off, _) = calls(weight, weight, requests, per_client);
            // The risk is 0.01; 300 steps show up to 0.03 of it by chance.
            assert!(off <= 0.03, "weight {weight}, {requests} requests by {per_client}: off in {off}");
        }
    }
    let (_, right) = calls(0.1, 0.1, 3000.0, 1.0);
    assert!(right > 0.99, "only {right} were called right");
}

#[test]
fn a_share_that_is_off_is_found_and_forgiven_when_it_recovers() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut evidence = ShareEvidence::new();
    evidence.step(0.1);
    let mut run = |evidence: &mut ShareEvidence, actual: f64, wanted: ShareConclusion| {
        (1..200).find(|_| {
            let (blue, green) = routed(&mut rng, 3000.0, actual, 5.0);
            evidence.update(&ShareSettings::default(), blue, green, 60.0).conclusion == wanted
        })
    };
    assert!(run(&mut evidence, 0.05, ShareConclusion::TooLow).is_some_and(|periods| periods <= 20));
    assert!(run(&mut evidence, 0.1, ShareConclusion::AsSet).is_some_and(|periods| periods <= 90));
    assert!(run(&mut evidence, 0.2, ShareConclusion::TooHigh).is_some_and(|periods| periods <= 12));
    evidence.step(1.0);
    assert_eq!(
        evidence.update(&ShareSettings::default(), 0.0, 100.0, 60.0).conclusion,
        ShareConclusion::Undecided,
        "there is no share to compare at 100 %"
    );
}

const BOUNDS: [f64; 9] = [10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, f64::INFINITY];

/// Latencies of `n` requests around 40 ms with a heavy tail; `extra` of them hang for a minute.
fn latencies(rng: &mut StdRng, n: f64, slower: f64, extra: f64) -> Vec<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
    let n = n as usize;
    let mut all: Vec<f64> = (0..n)
        .map(|_| {
            let sigma = if rng.random::<f64>() < 0.03 { 1.2 } else { 0.5 };
            if rng.random::<f64>() < extra { 60_000.0 } else { 40.0 * slower * (sigma * normal(rng)).exp() }
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

fn histogram(sorted: &[f64]) -> Latency {
    Latency::Histogram(
        BOUNDS
            .iter()
            .map(|&upper| Bucket { upper, cumulative: sorted.iter().filter(|x| **x <= upper).count() as f64 })
            .collect(),
    )
}

fn percentiles(sorted: &[f64]) -> Latency {
    let at = |percent: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let rank = ((percent / 100.0 * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        Percentile { percent, latency: sorted[rank - 1] }
    };
    Latency::Percentiles { requests: sorted.len() as f64, percentiles: [50.0, 90.0, 99.0].map(at).to_vec() }
}

/// What the latency check says at last about a green that is `slower` from the first period on, within an hour.
fn judged(source: fn(&[f64]) -> Latency, slower: f64, extra: f64) -> Conclusion {
    let settings = Settings::latency();
    let mut rng = StdRng::seed_from_u64(9);
    let history: Vec<Latency> = (0..60).map(|_| source(&latencies(&mut rng, 2000.0, 1.0, 0.0))).collect();
    let mut evidence = LatencyEvidence::freeze(&settings, &history, 60.0);
    evidence.step(&settings, 0.25, Some(0.5));
    let mut last = Conclusion::Continue;
    for _ in 0..60 {
        let blue = source(&latencies(&mut rng, 1500.0, 1.0, 0.0));
        let green = source(&latencies(&mut rng, 500.0, slower, extra));
        let readings = evidence.update(&settings, &blue, &green, 60.0);
        last = deciding(&readings).expect("thresholds were found").conclusion;
        if last == Conclusion::Rollback {
            break;
        }
    }
    last
}

#[test]
fn latency_is_judged_from_histograms_and_from_percentiles() {
    for source in [histogram, percentiles] {
        assert_eq!(judged(source, 1.0, 0.0), Conclusion::Advance, "a green as fast as blue");
        assert_eq!(judged(source, 2.0, 0.0), Conclusion::Rollback, "a green twice as slow");
    }
    assert_eq!(judged(histogram, 1.0, 0.02), Conclusion::Rollback, "two in a hundred hang");
}

#[test]
fn thresholds_lie_on_bucket_bounds_and_stay_within_what_percentiles_know() {
    let mut rng = StdRng::seed_from_u64(10);
    let sample = latencies(&mut rng, 20_000.0, 1.0, 0.0);
    let frozen = thresholds(&[histogram(&sample)]);
    assert_eq!(frozen, [100.0, 250.0, 1000.0]);
    let frozen = thresholds(&[percentiles(&sample)]);
    assert_eq!(frozen.len(), 2);
    for (threshold, share) in frozen.iter().zip([0.05, 0.01]) {
        let slow = sample.iter().filter(|x| *x > threshold).count() as f64 / 20_000.0;
        assert!((slow / share - 1.0).abs() < 0.35, "{slow} instead of {share} are slower than {threshold}");
    }
    assert_eq!(thresholds(&[]), Vec::<f64>::new());
}

#[test]
fn slow_counts_are_exact_on_bounds_and_unknown_beyond_the_last() {
    let sample: Vec<f64> = (1..=1000).map(f64::from).collect();
    let latency = histogram(&sample);
    assert_eq!(latency.slow(250.0), Some(Counts::new(1000.0, 750.0)));
    assert_eq!(latency.slow(375.0), Some(Counts::new(1000.0, 625.0)), "linear between bounds");
    assert_eq!(latency.slow(3000.0), None);
    assert_eq!(latency.slow(f64::NAN), None);
    let percentile = |percent, latency| Percentile { percent, latency };
    let strange =
        Latency::Percentiles { requests: 10.0, percentiles: vec![percentile(f64::NAN, 1.0), percentile(50.0, 7.0)] };
    assert_eq!(strange.slow(5.0), None, "one percentile is no curve");
    let given = vec![percentile(99.0, 100.0), percentile(50.0, 10.0), percentile(90.0, 50.0)];
    let latency = Latency::Percentiles { requests: 1000.0, percentiles: given };
    for (threshold, slow) in [(10.0, 500.0), (50.0, 100.0), (100.0, 10.0)] {
        let counts = latency.slow(threshold).expect("three percentiles are a curve");
        assert!((counts.bad - slow).abs() < 1e-6, "{} at {threshold}", counts.bad);
    }
}

#[test]
fn counts_of_the_source_itself_are_used_at_thresholds_of_ones_own() {
    let mut rng = StdRng::seed_from_u64(12);
    let history: Vec<Latency> = (0..60).map(|_| percentiles(&latencies(&mut rng, 2000.0, 1.0, 0.0))).collect();
    let far = 3.0 * threshold_at(&history, 0.01).expect("percentiles are known");
    let settings = Settings::latency();
    let mut evidence = LatencyEvidence::freeze_at(&settings, &[far, f64::NAN], &[], 60.0);
    assert_eq!(evidence.checks().len(), 1, "what is no latency is no threshold");
    evidence.step(&settings, 0.25, Some(0.5));
    let counted = |sorted: &[f64]| Latency::Counted {
        requests: sorted.len() as f64,
        over: vec![Over { threshold: far, slow: sorted.iter().filter(|x| **x > far).count() as f64 }],
    };
    let mut update = |blue: Latency, green: Latency| evidence.update(&settings, &blue, &green, 60.0)[0].clone();
    for _ in 0..5 {
        let blue = counted(&latencies(&mut rng, 1500.0, 1.0, 0.0));
        let green = counted(&latencies(&mut rng, 500.0, 1.0, 0.0));
        assert_ne!(update(blue, green).conclusion, Conclusion::Rollback);
    }
    for _ in 0..5 {
        let blue = counted(&latencies(&mut rng, 1500.0, 1.0, 0.0));
        let unknown = Latency::Counted { requests: 500.0, over: Vec::new() };
        assert_ne!(update(blue, unknown).conclusion, Conclusion::Rollback, "a metric that is missing accuses nobody");
    }
    let hangs = (0..5).any(|_| {
        let blue = counted(&latencies(&mut rng, 1500.0, 1.0, 0.0));
        let green = counted(&latencies(&mut rng, 500.0, 1.0, 0.03));
        update(blue, green).conclusion == Conclusion::Rollback
    });
    assert!(hangs, "three in a hundred hang");
}

#[test]
fn a_replay_says_when_it_would_have_raised_and_when_it_would_have_rolled_back() {
    let mut rng = StdRng::seed_from_u64(11);
    let mut rows = Vec::new();
    let mut push = |rng: &mut StdRng, weight: f64, ratio: f64, periods: u32| {
        for _ in 0..periods {
            let time = rows.len();
            let blue = counts(rng, 3000.0 * (1.0 - weight), 0.001);
            let green = counts(rng, 3000.0 * weight, ratio);
            rows.push(Row { time, period_s: 60.0, blue, green });
        }
    };
    push(&mut rng, 0.0, 0.0, 60);
    push(&mut rng, 0.1, 0.001, 30);
    push(&mut rng, 0.25, 0.001, 30);
    push(&mut rng, 0.25, 0.02, 30);
    let said = replay(&Settings::default(), &[0.1, 0.25, 0.5, 1.0], &rows, &Wording::errors());
    assert_eq!(said.first().map(|first| first.time), Some(60), "blue alone is history");
    let first_at = |step: usize| {
        said.iter().find(|x| x.step == step && x.conclusion == Conclusion::Advance).map(|x| x.sentence.clone())
    };
    assert!(first_at(0).is_some_and(|sentence| sentence.starts_with("Would have raised green to 25 %.")));
    assert!(first_at(1).is_some_and(|sentence| sentence.starts_with("Would have raised green to 50 %.")));
    let last = said.last().expect("something was said");
    assert_eq!(last.conclusion, Conclusion::Rollback);
    assert!(matches!(last.reason, Reason::Concurrent | Reason::TwoKey));
    assert!((120..126).contains(&last.time), "rolled back at {}", last.time);
    assert!(said.iter().filter(|x| x.changed).count() < 20);
}
