//! What a journal costs on this machine's disk, beside the least that the same database can do: one bare INSERT in its
//! own transaction, with the same settings (WAL, `synchronous=FULL`).
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use greenshift::domain::event::{Event, NewEvent};
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::observation::{LatencySeen, Period, SideCounts};
use greenshift::journal::memory::MemoryJournal;
use greenshift::journal::sqlite::SqliteJournal;
use greenshift::journal::{Journal, codec};
use jiff::Timestamp;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::runtime::Runtime;

/// The commonest event: one metric period of both sides.
fn events(count: usize) -> Vec<NewEvent> {
    let latency = Some(LatencySeen { p50: 0.012, p90: 0.047, p99: 0.213 });
    let side = SideCounts { requests: 12_345, errors: 12, client_errors: 34, latency, healthy_min: Some(4) };
    let period = Period { start: Timestamp::UNIX_EPOCH, blue: side, green: side, load_balancer_errors: 0 };
    let event = Event::MetricsRead { periods: vec![period], unchanged: vec![Timestamp::UNIX_EPOCH] };
    vec![NewEvent { at: Timestamp::UNIX_EPOCH, actor: "greenshift".to_owned(), event }; count]
}

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("append");

    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut bare = runtime.block_on(options.connect()).unwrap();
    runtime.block_on(sqlx::query("CREATE TABLE events (body TEXT) STRICT").execute(&mut bare)).unwrap();
    let body = codec::encode(&events(1).remove(0).event).unwrap().body;
    group.bench_function("bare INSERT, synchronous=FULL", |bencher| {
        bencher.iter(|| {
            let insert = sqlx::query("INSERT INTO events (body) VALUES (?)").bind(&body);
            runtime.block_on(insert.execute(&mut bare)).unwrap();
        });
    });

    let sqlite = runtime.block_on(SqliteJournal::open(&directory.path().join("journal.db"))).unwrap();
    for (name, journal) in [("sqlite", &sqlite as &dyn Journal), ("memory", &MemoryJournal::new())] {
        for count in [1, 10] {
            let rollout = RolloutName::parse(&format!("bench-{count}")).unwrap();
            let rules = [Arn::new(format!("rule {count}"))];
            runtime.block_on(journal.create(&rollout, &rules, vec![])).unwrap();
            let mut last = 0;
            group.bench_function(format!("{name}, {count} in one append"), |bencher| {
                bencher.iter(|| {
                    let append = journal.append(&rollout, last, &rules, events(count));
                    last = runtime.block_on(append).unwrap().last().unwrap().seq;
                });
            });
        }
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("journal.db");
    let journal = runtime.block_on(SqliteJournal::open(&database)).unwrap();
    let rollout = RolloutName::parse("bench").unwrap();
    runtime.block_on(journal.create(&rollout, &[], events(10_000))).unwrap();
    let mut group = criterion.benchmark_group("load");
    group.sample_size(20).throughput(Throughput::Elements(10_000));
    group.bench_function("sqlite, 10,000 events", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(journal.load(&rollout, 0, u32::MAX)).unwrap()));
    });
    runtime.block_on(journal.close());
    group.bench_function("sqlite, open with 10,000 events", |bencher| {
        bencher.iter(|| {
            let journal = runtime.block_on(SqliteJournal::open(&database)).unwrap();
            runtime.block_on(journal.close());
        });
    });
    group.finish();
}

criterion_group!(benches, append, load);
criterion_main!(benches);
