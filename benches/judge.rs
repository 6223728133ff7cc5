//! One period of one check, and what its evidence takes to store.

use criterion::{Criterion, criterion_group, criterion_main};
use greenshift::judge::{Counts, Evidence, Settings, Traffic, forecast};
use std::hint::black_box;

fn warm(settings: &Settings) -> Evidence {
    let mut evidence = Evidence::new();
    for i in 0..180 {
        evidence.history(settings, Counts::new(3000.0, f64::from(i % 5)), 60.0);
    }
    evidence.step(settings, 0.25, Some(0.5));
    for i in 0..300 {
        let green = Counts::new(750.0, f64::from(u8::from(i % 4 == 0)));
        evidence.update(settings, Counts::new(2250.0, f64::from(i % 5)), green, 60.0);
    }
    evidence
}

fn judge(c: &mut Criterion) {
    let settings = Settings::default();
    let evidence = warm(&settings);
    let stored = serde_json::to_string(&evidence).unwrap_or_default();
    #[expect(clippy::print_stderr, reason = "the size belongs to the figures of this bench")]
    {
        eprintln!("stored evidence of one check: {} bytes", stored.len());
    }
    c.bench_function("judge/update", |b| {
        let mut evidence = evidence.clone();
        b.iter(|| evidence.update(&settings, black_box(Counts::new(2250.0, 2.0)), Counts::new(750.0, 1.0), 60.0));
    });
    c.bench_function("judge/write and read evidence", |b| {
        b.iter(|| {
            let stored = serde_json::to_string(black_box(&evidence)).unwrap_or_default();
            serde_json::from_str::<Evidence>(&stored).ok()
        });
    });
    c.bench_function("judge/forecast", |b| {
        let traffic = Traffic { blue_requests: 2250.0, green_requests: 750.0, period_s: 60.0, usual_ratio: 0.001 };
        let mut fresh = Evidence::new();
        fresh.step(&settings, 0.25, Some(0.5));
        b.iter(|| forecast(&settings, &fresh, black_box(&traffic), 86_400.0));
    });
}

criterion_group!(benches, judge);
criterion_main!(benches);
