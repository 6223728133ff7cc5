//! What every journal promises, run over each store.

#[path = "journal_model.rs"]
mod model;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use greenshift::domain::event::{Cause, CauseCode, Event, NewEvent, NoticeLevel, Recorded};
use greenshift::domain::freeze::Freeze;
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::phase::Phase;
use greenshift::journal::memory::MemoryJournal;
use greenshift::journal::sqlite::SqliteJournal;
use greenshift::journal::{Journal, JournalError};
use jiff::Timestamp;
use tokio::task::JoinSet;

use self::model::any_history_equals_the_model;

/// A store that can be opened more than once.
#[async_trait]
trait Store: Sized {
    /// An empty store with a journal on it.
    async fn new() -> Self;

    /// The journal that was opened last.
    fn journal(&self) -> Arc<dyn Journal>;

    /// Another process starts on the same store, although the one before has not ended; gives back the one before.
    async fn take_over(&mut self) -> Arc<dyn Journal>;

    /// The process ends without a word, and another starts.
    async fn restart(&mut self);
}

struct InMemory(Arc<MemoryJournal>);

#[async_trait]
impl Store for InMemory {
    async fn new() -> Self {
        Self(Arc::new(MemoryJournal::new()))
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.0) as Arc<dyn Journal>
    }

    async fn take_over(&mut self) -> Arc<dyn Journal> {
        let before = self.journal();
        self.0 = Arc::new(self.0.reopen());
        before
    }

    async fn restart(&mut self) {
        drop(self.take_over().await);
    }
}

struct InSqlite {
    journal: Option<Arc<SqliteJournal>>,
    directory: tempfile::TempDir,
}

impl InSqlite {
    fn database(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }
}

#[async_trait]
impl Store for InSqlite {
    async fn new() -> Self {
        let mut new = Self { journal: None, directory: tempfile::tempdir().unwrap() };
        new.restart().await;
        new
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(self.journal.as_ref().unwrap()) as Arc<dyn Journal>
    }

    async fn take_over(&mut self) -> Arc<dyn Journal> {
        // Somebody removes the lock file, which is the one way past the lock: the epoch must do alone.
        std::fs::remove_file(self.directory.path().join("journal.db.lock")).unwrap();
        let before = self.journal();
        self.journal = Some(Arc::new(SqliteJournal::open(&self.database()).await.unwrap()));
        before
    }

    async fn restart(&mut self) {
        drop(self.journal.take());
        self.journal = Some(Arc::new(SqliteJournal::open(&self.database()).await.unwrap()));
    }
}

/// Runs each promise over each store.
macro_rules! contract {
    ($($promise:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $promise() { super::$promise(<super::InMemory as super::Store>::new().await).await; })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $promise() { super::$promise(<super::InSqlite as super::Store>::new().await).await; })*
        }
    };
}

contract! {
    events_come_back_in_order_and_without_gaps
    an_append_behind_the_wrong_event_leaves_nothing
    a_name_is_taken_once
    a_rule_has_one_owner
    a_rule_that_is_given_back_can_be_taken_again
    what_nobody_created_is_not_found
    history_is_read_in_pages
    every_text_comes_back_as_it_was
    times_are_kept_to_the_microsecond
    what_is_returned_is_what_is_loaded
    an_event_that_would_not_read_back_is_refused
    ten_thousand_events_are_kept
    of_concurrent_appenders_one_wins
    rollouts_are_appended_to_side_by_side
    who_was_superseded_can_write_no_more
    all_is_there_after_a_restart
    a_deleted_rollout_leaves_nothing
    a_closed_journal_fails
    a_freeze_is_kept_until_it_is_cleared
    who_was_superseded_can_neither_freeze_nor_thaw
    any_history_equals_the_model
}

fn name(text: &str) -> RolloutName {
    RolloutName::parse(text).unwrap()
}

fn rule(number: u32) -> Arn {
    Arn::new(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/0123/{number:04}"))
}

fn at(microsecond: i64) -> Timestamp {
    Timestamp::from_microsecond(1_760_000_000_000_000 + microsecond).unwrap()
}

fn said(text: impl Into<String>) -> NewEvent {
    let event = Event::NoticeRaised { level: NoticeLevel::Info, text: text.into() };
    NewEvent { at: at(0), actor: "greenshift".to_owned(), event }
}

fn several(prefix: &str, count: usize) -> Vec<NewEvent> {
    (0..count).map(|number| said(format!("{prefix} {number}"))).collect()
}

fn texts(events: &[Recorded]) -> Vec<String> {
    let text = |recorded: &Recorded| match &recorded.event {
        Event::NoticeRaised { text, .. } => text.clone(),
        other => panic!("{other:?}"),
    };
    events.iter().map(text).collect()
}

fn sequence(events: &[Recorded]) -> Vec<u64> {
    events.iter().map(|recorded| recorded.seq).collect()
}

async fn all(journal: &dyn Journal, rollout: &RolloutName) -> Vec<Recorded> {
    journal.load(rollout, 0, u32::MAX).await.unwrap()
}

async fn events_come_back_in_order_and_without_gaps(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    let created = journal.create(&web, &[], several("a", 3)).await.unwrap();
    assert_eq!(sequence(&created), [1, 2, 3]);
    let appended = journal.append(&web, 3, &[], several("b", 2)).await.unwrap();
    assert_eq!(sequence(&appended), [4, 5]);
    let loaded = all(&*journal, &web).await;
    assert_eq!(sequence(&loaded), [1, 2, 3, 4, 5]);
    assert_eq!(texts(&loaded), ["a 0", "a 1", "a 2", "b 0", "b 1"]);
}

async fn an_append_behind_the_wrong_event_leaves_nothing(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    journal.create(&web, &[rule(1)], several("a", 3)).await.unwrap();
    let before = all(&*journal, &web).await;
    for wrong in [0, 2, 4, u64::MAX] {
        let refused = journal.append(&web, wrong, &[rule(2)], several("b", 2)).await.unwrap_err();
        assert!(
            matches!(&refused, JournalError::Conflict { rollout, expected, found: 3 } if *rollout == web && *expected == wrong),
            "{refused}"
        );
    }
    assert_eq!(all(&*journal, &web).await, before);
    // Nor has it given a rule back, or taken one.
    assert!(matches!(
        journal.create(&name("api"), &[rule(1)], several("c", 1)).await,
        Err(JournalError::RuleTaken { .. })
    ));
    journal.create(&name("api"), &[rule(2)], several("c", 1)).await.unwrap();
}

async fn a_name_is_taken_once(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    journal.create(&web, &[rule(1)], several("a", 1)).await.unwrap();
    let refused = journal.create(&web, &[rule(2)], several("b", 5)).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Exists(exists) if *exists == web), "{refused}");
    assert_eq!(texts(&all(&*journal, &web).await), ["a 0"]);
    journal.create(&name("api"), &[rule(2)], several("c", 1)).await.unwrap();
}

async fn a_rule_has_one_owner(store: impl Store) {
    let (journal, web, api) = (store.journal(), name("web"), name("api"));
    journal.create(&web, &[rule(1), rule(2), rule(2)], several("a", 1)).await.unwrap();

    let refused = journal.create(&api, &[rule(3), rule(2)], several("b", 1)).await.unwrap_err();
    let by_web = |refused: &JournalError| matches!(refused, JournalError::RuleTaken { rule: taken, owner } if *taken == rule(2) && *owner == web);
    assert!(by_web(&refused), "{refused}");
    assert_eq!(journal.list().await.unwrap(), std::slice::from_ref(&web));

    journal.create(&api, &[rule(3)], several("b", 1)).await.unwrap();
    let refused = journal.append(&api, 1, &[rule(2)], several("b", 9)).await.unwrap_err();
    assert!(by_web(&refused), "{refused}");
    assert_eq!(all(&*journal, &api).await.len(), 1);
    // The refused append has not given rule 3 back.
    assert!(matches!(
        journal.append(&web, 1, &[rule(1), rule(2), rule(3)], vec![]).await,
        Err(JournalError::RuleTaken { .. })
    ));
}

async fn a_rule_that_is_given_back_can_be_taken_again(store: impl Store) {
    let (journal, web, api) = (store.journal(), name("web"), name("api"));
    let ended = Event::PhaseChanged {
        from: Phase::Baking,
        to: Phase::Completed,
        cause: Cause::new(CauseCode::BakeOver, "watched for 1h"),
    };
    journal.create(&web, &[rule(1), rule(2)], several("a", 1)).await.unwrap();
    let end = NewEvent { at: at(1), actor: "greenshift".to_owned(), event: ended };
    journal.append(&web, 1, &[], vec![end]).await.unwrap();
    journal.create(&api, &[rule(2)], several("b", 1)).await.unwrap();

    // A new attempt needs all of its rules again, and gets none while one is taken.
    let again = journal.append(&web, 2, &[rule(1), rule(2)], several("a", 1)).await.unwrap_err();
    assert!(matches!(&again, JournalError::RuleTaken { owner, .. } if *owner == api), "{again}");
    journal.append(&api, 1, &[rule(1)], several("b", 1)).await.unwrap();
    journal.append(&api, 2, &[], several("b", 1)).await.unwrap();
    journal.append(&web, 2, &[rule(1), rule(2)], several("a", 1)).await.unwrap();
}

async fn what_nobody_created_is_not_found(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    let not_found = |error: JournalError| matches!(error, JournalError::NotFound(missing) if missing == name("web"));
    assert!(not_found(journal.load(&web, 0, 10).await.unwrap_err()));
    assert!(not_found(journal.append(&web, 0, &[], several("a", 1)).await.unwrap_err()));
    assert!(not_found(journal.delete(&web).await.unwrap_err()));
    assert_eq!(journal.list().await.unwrap(), []);
}

async fn history_is_read_in_pages(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    journal.create(&web, &[], several("a", 7)).await.unwrap();
    // A neighbour, so that a page that runs over into another rollout would show.
    journal.create(&name("wec"), &[], several("z", 7)).await.unwrap();
    for (after, limit, expected) in [
        (0, 3, vec![1, 2, 3]),
        (3, 3, vec![4, 5, 6]),
        (6, 3, vec![7]),
        (7, 3, vec![]),
        (99, 3, vec![]),
        (u64::MAX, 3, vec![]),
        (2, 0, vec![]),
        (5, u32::MAX, vec![6, 7]),
    ] {
        assert_eq!(sequence(&journal.load(&web, after, limit).await.unwrap()), expected, "{limit} after {after}");
    }
}

async fn every_text_comes_back_as_it_was(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    let odd =
        ["", "Zoë — 東京 🚦", "a\0b", "\u{feff}\u{202e}", "'; DROP TABLE events; --", "\"\\\n\t\u{7f}", "{\"type\":1}"];
    let spoken = odd.iter().map(|text| NewEvent { actor: (*text).to_owned(), ..said(*text) }).collect();
    journal.create(&web, &[], spoken).await.unwrap();
    let loaded = all(&*journal, &web).await;
    assert_eq!(texts(&loaded), odd);
    assert_eq!(loaded.iter().map(|recorded| recorded.actor.as_str()).collect::<Vec<_>>(), odd);
}

async fn times_are_kept_to_the_microsecond(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    let fine: Timestamp = "2026-03-29T01:59:59.123456789Z".parse().unwrap();
    let early: Timestamp = "1969-07-20T20:17:40.5Z".parse().unwrap();
    let events = [fine, early, Timestamp::MIN, Timestamp::MAX].map(|at| NewEvent { at, ..said("now") });
    let kept = journal.create(&web, &[], events.to_vec()).await.unwrap();
    assert_eq!(kept[0].at.to_string(), "2026-03-29T01:59:59.123456Z");
    assert_eq!(kept[1].at, early);
    assert_eq!(all(&*journal, &web).await, kept);
}

async fn what_is_returned_is_what_is_loaded(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    let mut kept = journal.create(&web, &[], several("a", 2)).await.unwrap();
    kept.extend(journal.append(&web, 2, &[], several("b", 3)).await.unwrap());
    assert_eq!(journal.append(&web, 5, &[], vec![]).await.unwrap(), []);
    assert_eq!(all(&*journal, &web).await, kept);
}

async fn an_event_that_would_not_read_back_is_refused(store: impl Store) {
    use greenshift::domain::observation::{LatencySeen, Period, SideCounts};
    let (journal, web) = (store.journal(), name("web"));
    journal.create(&web, &[], several("a", 1)).await.unwrap();
    let latency = Some(LatencySeen { p50: 0.1, p90: f64::NAN, p99: 0.3 });
    let green = SideCounts { requests: 1, latency, ..SideCounts::default() };
    let period = Period { start: at(0), blue: SideCounts::default(), green, load_balancer_errors: 0 };
    let read = Event::MetricsRead { periods: vec![period], unchanged: vec![] };
    let events = vec![said("before"), NewEvent { event: read, ..said("") }];
    let refused = journal.append(&web, 1, &[], events).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Unwritable { kind: "metrics_read", .. }), "{refused}");
    assert_eq!(texts(&all(&*journal, &web).await), ["a 0"]);
}

async fn ten_thousand_events_are_kept(mut store: impl Store) {
    let web = name("web");
    store.journal().create(&web, &[], several("a", 5_000)).await.unwrap();
    store.journal().append(&web, 5_000, &[], several("b", 5_000)).await.unwrap();
    store.restart().await;
    let mut seen = 0;
    loop {
        let page = store.journal().load(&web, seen, 999).await.unwrap();
        let Some(last) = page.last() else { break };
        assert_eq!(page[0].seq, seen + 1);
        seen = last.seq;
    }
    assert_eq!(seen, 10_000);
}

async fn of_concurrent_appenders_one_wins(store: impl Store) {
    let web = name("web");
    store.journal().create(&web, &[], several("a", 1)).await.unwrap();
    for round in 0..5 {
        let mut racers = JoinSet::new();
        for racer in 0..8 {
            let (journal, web) = (store.journal(), web.clone());
            let events = several(&format!("round {round} racer {racer}"), 2);
            racers.spawn(async move { journal.append(&web, 1 + round * 2, &[], events).await });
        }
        let results = racers.join_all().await;
        let won: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        let lost = |result: &Result<_, JournalError>| matches!(result, Err(JournalError::Conflict { .. }));
        assert_eq!(results.iter().filter(|result| lost(result)).count(), 7, "{results:?}");
        assert_eq!(store.journal().load(&web, 1 + round * 2, 99).await.unwrap(), *won[0]);
    }
}

async fn rollouts_are_appended_to_side_by_side(store: impl Store) {
    let mut writers = JoinSet::new();
    for number in 0..6 {
        let (journal, own) = (store.journal(), name(&format!("rollout-{number}")));
        writers.spawn(async move {
            journal.create(&own, &[rule(number)], several("a", 1)).await.unwrap();
            for seq in 1..=10 {
                journal.append(&own, seq, &[rule(number)], several(own.as_str(), 1)).await.unwrap();
                assert_eq!(journal.load(&own, seq, 9).await.unwrap().len(), 1);
            }
        });
    }
    writers.join_all().await;
    for rollout in store.journal().list().await.unwrap() {
        let texts = texts(&all(&*store.journal(), &rollout).await);
        assert_eq!(texts.len(), 11);
        assert!(texts[1..].iter().all(|text| text.starts_with(rollout.as_str())), "{texts:?}");
    }
}

async fn who_was_superseded_can_write_no_more(mut store: impl Store) {
    let (web, api) = (name("web"), name("api"));
    store.journal().create(&web, &[rule(1)], several("a", 1)).await.unwrap();
    let old = store.take_over().await;
    let new = store.journal();
    assert_eq!(new.epoch(), old.epoch() + 1);
    let superseded = |error: JournalError| matches!(error, JournalError::Superseded { ours, found } if ours == old.epoch() && found == new.epoch());
    assert!(superseded(old.append(&web, 1, &[], several("b", 1)).await.unwrap_err()));
    assert!(superseded(old.create(&api, &[], several("b", 1)).await.unwrap_err()));
    assert!(superseded(old.delete(&web).await.unwrap_err()));
    assert!(superseded(old.ping().await.unwrap_err()));
    assert_eq!(texts(&all(&*new, &web).await), ["a 0"]);
    new.append(&web, 1, &[rule(1)], several("c", 1)).await.unwrap();
    new.ping().await.unwrap();
}

async fn all_is_there_after_a_restart(mut store: impl Store) {
    let (web, api) = (name("web"), name("api"));
    store.journal().create(&web, &[rule(1)], several("a", 3)).await.unwrap();
    store.journal().create(&api, &[], vec![]).await.unwrap();
    let kept = store.journal().append(&web, 3, &[rule(1)], several("b", 3)).await.unwrap();
    let epoch = store.journal().epoch();
    store.restart().await;
    let journal = store.journal();
    assert!(journal.epoch() > epoch);
    assert_eq!(journal.list().await.unwrap(), [api.clone(), web.clone()]);
    assert_eq!(all(&*journal, &api).await, []);
    assert_eq!(journal.load(&web, 3, 99).await.unwrap(), kept);
    let taken = journal.append(&api, 0, &[rule(1)], several("c", 1)).await.unwrap_err();
    assert!(matches!(&taken, JournalError::RuleTaken { owner, .. } if *owner == web), "{taken}");
    journal.append(&web, 6, &[], several("d", 1)).await.unwrap();
}

async fn a_deleted_rollout_leaves_nothing(store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    journal.create(&web, &[rule(1)], several("a", 3)).await.unwrap();
    journal.delete(&web).await.unwrap();
    assert_eq!(journal.list().await.unwrap(), []);
    assert!(matches!(journal.load(&web, 0, 9).await, Err(JournalError::NotFound(_))));
    journal.create(&name("api"), &[rule(1)], several("b", 1)).await.unwrap();
    journal.create(&web, &[], several("c", 1)).await.unwrap();
    assert_eq!(texts(&all(&*journal, &web).await), ["c 0"]);
}

async fn a_closed_journal_fails(mut store: impl Store) {
    let (journal, web) = (store.journal(), name("web"));
    journal.create(&web, &[], several("a", 1)).await.unwrap();
    journal.close().await;
    assert!(matches!(journal.append(&web, 1, &[], several("b", 1)).await, Err(JournalError::Store(_))));
    assert!(matches!(journal.load(&web, 0, 9).await, Err(JournalError::Store(_))));
    assert!(matches!(journal.ping().await, Err(JournalError::Store(_))));
    assert!(matches!(journal.freeze().await, Err(JournalError::Store(_))));
    assert!(matches!(journal.set_freeze(None).await, Err(JournalError::Store(_))));
    store.restart().await;
    assert_eq!(texts(&all(&*store.journal(), &web).await), ["a 0"]);
}

fn frozen_by(actor: &str, reason: &str) -> Freeze {
    Freeze { reason: reason.to_owned(), actor: actor.to_owned(), at: at(7) }
}

async fn a_freeze_is_kept_until_it_is_cleared(mut store: impl Store) {
    assert_eq!(store.journal().freeze().await.unwrap(), None);
    let fine = Freeze { at: "2026-03-29T01:59:59.123456789Z".parse().unwrap(), ..frozen_by("alice", "holidays") };
    store.journal().set_freeze(Some(fine.clone())).await.unwrap();
    let kept = Freeze { at: "2026-03-29T01:59:59.123456Z".parse().unwrap(), ..fine };
    assert_eq!(store.journal().freeze().await.unwrap().as_ref(), Some(&kept));
    store.restart().await;
    assert_eq!(store.journal().freeze().await.unwrap(), Some(kept));

    let odd = frozen_by("Zoë\0", "'; DROP TABLE freeze; -- 🚦\n\"");
    store.journal().set_freeze(Some(odd.clone())).await.unwrap();
    assert_eq!(store.journal().freeze().await.unwrap().as_ref(), Some(&odd));
    store.restart().await;
    assert_eq!(store.journal().freeze().await.unwrap(), Some(odd));

    for _again in 0..2 {
        store.journal().set_freeze(None).await.unwrap();
        assert_eq!(store.journal().freeze().await.unwrap(), None);
        store.restart().await;
        assert_eq!(store.journal().freeze().await.unwrap(), None);
    }
}

async fn who_was_superseded_can_neither_freeze_nor_thaw(mut store: impl Store) {
    let superseded = |error: JournalError, old: &Arc<dyn Journal>, new: &Arc<dyn Journal>| matches!(error, JournalError::Superseded { ours, found } if ours == old.epoch() && found == new.epoch());
    let (first, kept) = (store.take_over().await, frozen_by("bob", "an incident"));
    let second = store.journal();
    let refused = first.set_freeze(Some(frozen_by("alice", "holidays"))).await.unwrap_err();
    assert!(superseded(refused, &first, &second));
    assert_eq!(second.freeze().await.unwrap(), None);
    second.set_freeze(Some(kept.clone())).await.unwrap();
    let refused = first.set_freeze(None).await.unwrap_err();
    assert!(superseded(refused, &first, &second));
    assert_eq!(second.freeze().await.unwrap(), Some(kept));
}
