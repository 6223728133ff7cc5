//! The batcher: many callers, one question.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use greenshift::domain::ids::Arn;
use greenshift::domain::observation::{AlarmSeen, AlarmState, MetricsSeen, Seen, Trouble, TroubleKind};
use greenshift::domain::plan::{AlbRoute, Route};
use greenshift::domain::time::{Span, after, before};
use greenshift::metric_provider::batch::{BatchLimits, Batcher};
use greenshift::metric_provider::{MetricProvider, Query};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cloudwatch::{Bench, START, moment};

/// Notes what it is asked, and answers each query with its own beginning as `until`.
#[derive(Default)]
struct Noting {
    fetches: Mutex<Vec<usize>>,
    alarms: Mutex<Vec<Vec<String>>>,
    /// How long an answer about this region takes.
    slow: Option<(&'static str, Duration)>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

#[async_trait]
impl MetricProvider for Noting {
    async fn fetch(&self, queries: &[Query]) -> Vec<Seen<MetricsSeen>> {
        self.fetches.lock().unwrap().push(queries.len());
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        let region = queries[0].route.rules()[0].region().to_owned();
        if let Some((slow, takes)) = self.slow
            && slow == region
        {
            sleep(takes).await;
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(region, "panic-1", "as asked for");
        let echo = |query: &Query| MetricsSeen { until: Some(query.from), ..MetricsSeen::default() };
        queries.iter().map(|query| Seen::Read(echo(query))).collect()
    }

    async fn alarms(&self, names: &[String]) -> Seen<Vec<AlarmSeen>> {
        self.alarms.lock().unwrap().push(names.to_vec());
        if names.iter().any(|name| name == "bad") {
            return Seen::Unreadable(Trouble { kind: TroubleKind::Refused, message: "bad name".to_owned() });
        }
        let ok = |name: &String| AlarmSeen { name: name.clone(), state: AlarmState::Ok };
        Seen::Read(names.iter().map(ok).collect())
    }
}

fn query(region: &str, number: u32) -> Query {
    let arn = |tail: &str| Arn::new(format!("arn:aws:elasticloadbalancing:{region}:123456789012:{tail}"));
    let from = after(moment(START), Span::from_mins(number));
    Query {
        route: Route::Alb(AlbRoute {
            rules: vec![arn("listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2")],
            blue_target_group: arn("targetgroup/blue/1"),
            green_target_group: arn("targetgroup/green/1"),
        }),
        from,
        until: after(from, Span::from_mins(1)),
        interval: Span::from_mins(1),
        latency: false,
    }
}

/// A batcher that runs until the set is dropped.
fn running(provider: Noting, limits: BatchLimits) -> (Arc<Noting>, Batcher, JoinSet<()>) {
    let provider = Arc::new(provider);
    let (batcher, runner) = Batcher::new(Arc::clone(&provider) as _, limits);
    let mut tasks = JoinSet::new();
    tasks.spawn(runner.run());
    (provider, batcher, tasks)
}

async fn ask(batcher: &Batcher, region: &str, number: u32) -> Seen<MetricsSeen> {
    let mut answers = batcher.fetch(&[query(region, number)]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn is_own(answer: &Seen<MetricsSeen>, number: u32) -> bool {
    answer.read().and_then(|seen| seen.until) == Some(query("eu-west-1", number).from)
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_are_one_question_and_each_gets_its_own_answer() {
    let (provider, batcher, _tasks) = running(Noting::default(), BatchLimits::default());
    let answers = join_all((0..100).map(|number| ask(&batcher, "eu-west-1", number))).await;
    assert_eq!(*provider.fetches.lock().unwrap(), [100]);
    assert!((0..100).zip(&answers).all(|(number, answer)| is_own(answer, number)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_closes_after_the_window_or_when_it_is_full() {
    let limits = BatchLimits { size: 10, ..BatchLimits::default() };
    let (provider, batcher, _tasks) = running(Noting::default(), limits);
    let begun = tokio::time::Instant::now();
    assert!(is_own(&ask(&batcher, "eu-west-1", 1).await, 1));
    assert!((20..25).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let begun = tokio::time::Instant::now();
    join_all((0..10).map(|number| ask(&batcher, "eu-west-1", number))).await;
    assert!(begun.elapsed().as_millis() < 5, "{:?}", begun.elapsed());
    assert_eq!(*provider.fetches.lock().unwrap(), [1, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_harms_nobody() {
    let (provider, batcher, _tasks) = running(Noting::default(), BatchLimits::default());
    let impatient = timeout(Duration::from_millis(5), ask(&batcher, "eu-west-1", 1));
    let (gone, there) = tokio::join!(impatient, ask(&batcher, "eu-west-1", 2));
    assert!(gone.is_err());
    assert!(is_own(&there, 2));
    assert_eq!(*provider.fetches.lock().unwrap(), [1], "what nobody waits for is not asked");
    assert!(is_own(&ask(&batcher, "eu-west-1", 3).await, 3));
}

#[tokio::test(start_paused = true)]
async fn a_region_that_hangs_delays_its_own_callers_only() {
    let hanging = Noting { slow: Some(("us-east-1", Duration::from_hours(1))), ..Noting::default() };
    let (provider, batcher, _tasks) = running(hanging, BatchLimits::default());
    let stuck = (0..50).map(|number| {
        let batcher = batcher.clone();
        async move {
            sleep(Duration::from_millis(u64::from(number) * 30)).await;
            ask(&batcher, "us-east-1", number).await
        }
    });
    let mut tasks = JoinSet::new();
    stuck.for_each(|one| drop(tasks.spawn(one)));
    sleep(Duration::from_secs(10)).await;
    let begun = tokio::time::Instant::now();
    assert!(is_own(&ask(&batcher, "eu-west-1", 1).await, 1));
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    assert_eq!(provider.most_under_way.load(Ordering::SeqCst), 3, "two of the region that hangs");
    while let Some(answer) = tasks.join_next().await {
        assert!(answer.unwrap().read().is_some(), "they were not forgotten");
    }
    assert_eq!(provider.fetches.lock().unwrap().iter().sum::<usize>(), 51);
    assert_eq!(provider.fetches.lock().unwrap().len(), 4, "what came meanwhile was joined");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_so_at_once() {
    let hanging = Noting { slow: Some(("us-east-1", Duration::from_hours(1))), ..Noting::default() };
    let limits = BatchLimits { queue: 5, under_way: 1, ..BatchLimits::default() };
    let (_provider, batcher, _tasks) = running(hanging, limits);
    let mut tasks = JoinSet::new();
    for number in 0..30 {
        let batcher = batcher.clone();
        tasks.spawn(async move { ask(&batcher, "us-east-1", number).await });
        sleep(Duration::from_millis(30)).await;
    }
    let mut refused = 0;
    while let Some(answer) = tasks.try_join_next() {
        let answer = answer.unwrap();
        assert_eq!(answer.trouble().unwrap().kind, TroubleKind::Transient);
        assert!(answer.trouble().unwrap().message.contains("too many"));
        refused += 1;
    }
    assert_eq!(refused, 30 - 1 - 5 - 5, "one under way, five in the pile, five in the channel");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_provider_costs_one_batch() {
    let (_provider, batcher, _tasks) = running(Noting::default(), BatchLimits::default());
    let broken = ask(&batcher, "panic-1", 1).await;
    assert_eq!(broken.trouble().unwrap().kind, TroubleKind::Transient);
    for number in 0..5 {
        assert!(ask(&batcher, "panic-1", number).await.trouble().is_some(), "and is not counted as under way for ever");
    }
    assert!(is_own(&ask(&batcher, "eu-west-1", 2).await, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_runner_callers_are_told() {
    let (batcher, runner) = Batcher::new(Arc::new(Noting::default()), BatchLimits::default());
    drop(runner);
    assert!(ask(&batcher, "eu-west-1", 1).await.trouble().is_some());
    assert!(batcher.alarms(&["a".to_owned()]).await.trouble().is_some());
    assert_eq!(batcher.fetch(&[]).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_runner_ends_when_nobody_can_ask_and_answers_what_was_asked_before() {
    let (provider, batcher, mut tasks) = running(Noting::default(), BatchLimits::default());
    let mut callers = JoinSet::new();
    callers.spawn(async move { ask(&batcher, "eu-west-1", 1).await });
    assert!(is_own(&callers.join_next().await.unwrap().unwrap(), 1));
    timeout(Duration::from_secs(1), tasks.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(*provider.fetches.lock().unwrap(), [1]);
}

#[tokio::test(start_paused = true)]
async fn alarms_are_joined_and_a_bad_name_harms_its_own_caller_only() {
    let (provider, batcher, _tasks) = running(Noting::default(), BatchLimits::default());
    let ask = |names: &'static [&'static str]| {
        let batcher = batcher.clone();
        async move { batcher.alarms(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).await }
    };
    let (first, second) = tokio::join!(ask(&["b", "a"]), ask(&["a", "c"]));
    let names = |seen: &Seen<Vec<AlarmSeen>>| -> Vec<String> {
        seen.read().unwrap().iter().map(|alarm| alarm.name.clone()).collect()
    };
    assert_eq!((names(&first), names(&second)), (vec!["b".into(), "a".into()], vec!["a".into(), "c".into()]));
    assert_eq!(*provider.alarms.lock().unwrap(), [["a", "b", "c"].map(str::to_owned).to_vec()]);
    let (good, bad) = tokio::join!(ask(&["a"]), ask(&["bad"]));
    assert_eq!(names(&good), ["a"]);
    assert_eq!(bad.trouble().unwrap().kind, TroubleKind::Refused);
}

#[tokio::test]
async fn one_get_metric_data_serves_many_rollouts_that_ask_for_themselves() {
    let bench = Bench::start().await;
    let (batcher, runner) = Batcher::new(Arc::new(bench.cloudwatch.clone()), BatchLimits::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(runner.run());
    bench.advance(600_000);
    let mut callers = JoinSet::new();
    for minutes in 0..30 {
        let from = before(bench.query(10).from, Span::from_mins(minutes % 3));
        let (batcher, query) = (batcher.clone(), Query { from, ..bench.query(10) });
        callers.spawn(async move { batcher.fetch(&[query]).await });
    }
    while let Some(answers) = callers.join_next().await {
        assert!(answers.unwrap()[0].read().is_some());
    }
    assert_eq!(bench.aws.count("GetMetricData"), 1);
}
