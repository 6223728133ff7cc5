//! The SQLite journal when its process dies, its disk is full or its caller walks away, at every point where it can.
//!
//! Tests that need a process to kill run themselves in a child, which finds its part in the environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use greenshift::domain::event::{Event, NewEvent, NoticeLevel, Recorded};
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::journal::sqlite::SqliteJournal;
use greenshift::journal::{Journal, JournalError};
use jiff::Timestamp;
use rustix::process::{Resource, Rlimit};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

const PART: &str = "JOURNAL_CRASH_PART";

/// More awaits than any call has.
const AWAITS_MAX: usize = 500;

#[test]
fn a_process_killed_between_any_two_statements_leaves_all_or_nothing() {
    if let Some((database, polls)) = part() {
        let polls = polls.parse().unwrap();
        return in_runtime(async {
            let journal = SqliteJournal::open(Path::new(&database)).await.unwrap();
            let (web, rules) = (web(), [rule(2)]);
            stop_after(polls, journal.append(&web, 3, &rules, several("b", 40))).await;
        });
    }
    let (mut nothing, mut everything) = (0, 0);
    for polls in 0..AWAITS_MAX {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        in_runtime(async {
            let journal = SqliteJournal::open(&database).await.unwrap();
            journal.create(&web(), &[rule(1)], several("a", 3)).await.unwrap();
        });
        let said = killed("a_process_killed_between_any_two_statements_leaves_all_or_nothing", &database, polls);
        let kept = in_runtime(async {
            let journal = SqliteJournal::open(&database).await.unwrap();
            let kept = all(&journal).await.len();
            let (free, held) = if kept == 3 { (rule(2), rule(1)) } else { (rule(1), rule(2)) };
            let refused = journal.create(&name("api"), &[held], several("c", 1)).await;
            assert!(matches!(refused, Err(JournalError::RuleTaken { .. })), "{refused:?}");
            journal.create(&name("api"), &[free], several("c", 1)).await.unwrap();
            kept
        });
        match kept {
            3 => nothing += 1,
            43 => everything += 1,
            other => panic!("{other} events after {polls} awaits"),
        }
        if said == "done" {
            assert_eq!(kept, 43);
            // Statements that are answered before they are waited for make no stop, so their number varies.
            assert!(nothing > 0, "never killed before the commit");
            return;
        }
    }
    panic!("no end after {everything} whole appends");
}

/// Work without an end, for a trigger: whoever sets it off stands still in the middle of his transaction.
const NO_END: &str = "SELECT (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)";

#[test]
fn a_process_killed_inside_its_transaction_leaves_nothing() {
    if let Some((database, _)) = part() {
        return in_runtime(async {
            let journal = SqliteJournal::open(Path::new(&database)).await.unwrap();
            say("begin");
            journal.append(&web(), 3, &[rule(2)], several("b", 10)).await.unwrap();
        });
    }
    for point in [
        "AFTER DELETE ON rule_owners",
        "AFTER INSERT ON rule_owners",
        "AFTER INSERT ON events WHEN new.seq = 4",
        "AFTER INSERT ON events WHEN new.seq = 13",
        "AFTER UPDATE OF last_seq ON rollouts",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        in_runtime(async {
            let journal = SqliteJournal::open(&database).await.unwrap();
            journal.create(&web(), &[rule(1)], several("a", 3)).await.unwrap();
            journal.close().await;
            trigger(&database, &format!("CREATE TRIGGER stall {point} BEGIN {NO_END}; END")).await;
        });
        let mut child = child("a_process_killed_inside_its_transaction_leaves_nothing", &database, 0);
        assert_eq!(answers(&mut child).next().as_deref(), Some("begin"));
        // Time to get there. Killed earlier, it leaves nothing either.
        std::thread::sleep(Duration::from_millis(50));
        kill(child);
        in_runtime(async {
            trigger(&database, "DROP TRIGGER stall").await;
            let journal = SqliteJournal::open(&database).await.unwrap();
            assert_eq!(all(&journal).await.len(), 3, "{point}");
            let refused = journal.create(&name("api"), &[rule(1)], vec![]).await;
            assert!(matches!(refused, Err(JournalError::RuleTaken { .. })), "{point}: {refused:?}");
            journal.create(&name("api"), &[rule(2)], vec![]).await.unwrap();
        });
    }
}

#[tokio::test]
async fn a_caller_that_walks_away_inside_a_transaction_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("journal.db");
    let journal = SqliteJournal::open(&database).await.unwrap();
    journal.create(&web(), &[], several("a", 1)).await.unwrap();
    journal.close().await;
    // Long enough to be left, short enough to be waited for.
    let slow = NO_END.replace("FROM n)", "FROM n LIMIT 300000)");
    trigger(&database, &format!("CREATE TRIGGER stall AFTER INSERT ON events WHEN new.seq > 2 BEGIN {slow}; END"))
        .await;
    let journal = SqliteJournal::open(&database).await.unwrap();
    let (web, rules) = (web(), [rule(1)]);
    let left = tokio::time::timeout(Duration::from_millis(10), journal.append(&web, 1, &rules, several("b", 5)));
    assert!(left.await.is_err(), "it was not slow");
    let appended = journal.append(&web, 1, &[], several("c", 1)).await.unwrap();
    assert_eq!(all(&journal).await[1..], appended);
    journal.create(&name("api"), &[rule(1)], vec![]).await.unwrap();
}

async fn trigger(database: &Path, statement: &str) {
    let mut db = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

#[test]
fn a_process_killed_at_any_moment_has_kept_what_it_acknowledged() {
    if let Some((database, _)) = part() {
        return in_runtime(async {
            let journal = SqliteJournal::open(Path::new(&database)).await.unwrap();
            let mut last = journal.load(&web(), 0, u32::MAX).await.unwrap().len() as u64;
            loop {
                journal.append(&web(), last, &[], several("b", 3)).await.unwrap();
                last += 3;
                say(&last.to_string());
            }
        });
    }
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("journal.db");
    in_runtime(async {
        let journal = SqliteJournal::open(&database).await.unwrap();
        journal.create(&web(), &[], vec![]).await.unwrap();
    });
    for round in 0..12 {
        let test = "a_process_killed_at_any_moment_has_kept_what_it_acknowledged";
        let mut child = child(test, &database, 0);
        let mut acknowledged = 0;
        for line in answers(&mut child).take(1 + round * 3) {
            acknowledged = line.parse().unwrap();
        }
        kill(child);
        let kept = in_runtime(async { all(&SqliteJournal::open(&database).await.unwrap()).await });
        let last = kept.len() as u64;
        assert!(last >= acknowledged && acknowledged > 0, "{acknowledged} acknowledged, {last} kept");
        assert_eq!(last % 3, 0);
        assert!(kept.iter().zip(1..).all(|(recorded, seq)| recorded.seq == seq));
    }
}

#[test]
fn a_start_that_was_killed_anywhere_can_be_made_again() {
    if let Some((database, polls)) = part() {
        let polls = polls.parse().unwrap();
        return in_runtime(stop_after(polls, SqliteJournal::open(Path::new(&database))));
    }
    for polls in 0..AWAITS_MAX {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        let said = killed("a_start_that_was_killed_anywhere_can_be_made_again", &database, polls);
        in_runtime(async {
            let journal = SqliteJournal::open(&database).await.unwrap();
            assert!(journal.epoch() <= 2, "{}", journal.epoch());
            journal.create(&web(), &[], several("a", 1)).await.unwrap();
        });
        if said == "done" {
            return;
        }
    }
    panic!("no end");
}

#[test]
fn a_full_disk_fails_cleanly_and_work_goes_on_when_there_is_room() {
    if let Some((database, _)) = part() {
        return in_runtime(on_a_full_disk(Path::new(&database)));
    }
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("journal.db");
    // Rust leaves SIGXFSZ at its default, which is death; the shell's child ignores it and gets EFBIG instead.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let test = "a_full_disk_fails_cleanly_and_work_goes_on_when_there_is_room";
    let mut child = spawn(shell, test, &database, 0);
    assert_eq!(answers(&mut child).last().as_deref(), Some("went on"));
    assert!(child.wait().unwrap().success());
}

async fn on_a_full_disk(database: &Path) {
    let journal = SqliteJournal::open(database).await.unwrap();
    let mut last = journal.create(&web(), &[rule(1)], several("a", 1)).await.unwrap().len() as u64;
    let long = "x".repeat(3000);
    let limited = Rlimit { current: Some(200_000), maximum: None };
    rustix::process::setrlimit(Resource::Fsize, limited).unwrap();
    // Now and then a checkpoint makes room once more; in the end nothing fits any more.
    let (mut failed, mut tried) = (0, 0);
    while failed < 10 {
        match journal.append(&web(), last, &[], several(&long, 5)).await {
            Ok(appended) => last = appended.last().unwrap().seq,
            Err(JournalError::Store(_)) => failed += 1,
            Err(other) => panic!("{other}"),
        }
        // Nothing half written, and still readable.
        assert_eq!(all(&journal).await.len() as u64, last);
        tried += 1;
        assert!(tried < 100, "the limit has no effect");
    }
    assert!(last > 10, "nothing could be written at all");
    rustix::process::setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    journal.append(&web(), last, &[], several(&long, 5)).await.unwrap();
    assert_eq!(all(&journal).await.len() as u64, last + 5);
    journal.close().await;
    say("went on");
}

#[tokio::test]
async fn a_caller_that_walks_away_at_any_await_leaves_all_or_nothing_and_a_working_journal() {
    let directory = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&directory.path().join("journal.db")).await.unwrap();
    journal.create(&web(), &[], several("a", 1)).await.unwrap();
    let mut last = 1;
    for polls in 0..AWAITS_MAX {
        let (web, rules) = (web(), [rule(u32::try_from(polls).unwrap())]);
        let append = AtMost { inner: journal.append(&web, last, &rules, several("b", 20)), polls };
        let ended = append.await.is_some();
        let found = all(&journal).await.len() as u64;
        assert!(found == last || found == last + 20, "{found} events after {last} and {polls} awaits");
        // A commit may still be under way: the next append says where the journal stands, as it must.
        last = match journal.append(&web, found, &[], several("c", 1)).await {
            Ok(appended) => appended.last().unwrap().seq,
            Err(JournalError::Conflict { found: now, .. }) => {
                assert!(found == last && now == last + 20, "{now} after {last}");
                now
            }
            Err(error) => panic!("{error} after {polls} awaits"),
        };
        if ended {
            return;
        }
    }
    panic!("no end");
}

/// A future that is polled at most so many times: `None` when that was not enough.
struct AtMost<F> {
    inner: F,
    polls: usize,
}

impl<F: Future + Unpin> Future for AtMost<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.polls.checked_sub(1) else { return Poll::Ready(None) };
        self.polls = left;
        Pin::new(&mut self.inner).poll(context).map(Some)
    }
}

/// In a child: goes so many awaits far, says whether that was the end, and stands still until it is killed.
async fn stop_after<T>(polls: usize, future: impl Future<Output = Result<T, JournalError>>) {
    let mut future = Box::pin(future);
    let ended = AtMost { inner: &mut future, polls }.await;
    say(match ended {
        None => "stopped",
        Some(Ok(_)) => "done",
        Some(Err(error)) => panic!("{error}"),
    });
    // Nothing is dropped here, neither the future nor the journal: their destructors would tidy up.
    std::io::stdin().lines().for_each(drop);
    drop(future);
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild: {line}").unwrap();
    out.flush().unwrap();
}

/// The database and the number that a child is given; `None` in the parent.
fn part() -> Option<(String, String)> {
    let part = std::env::var_os(PART)?;
    let (number, database) = part.to_str()?.split_once(' ')?;
    Some((database.to_owned(), number.to_owned()))
}

fn child(test: &str, database: &Path, number: usize) -> Child {
    spawn(Command::new(std::env::current_exe().unwrap()), test, database, number)
}

fn spawn(mut command: Command, test: &str, database: &Path, number: usize) -> Child {
    command.args(["--exact", "--nocapture", &format!("journal_crash::{test}")]);
    command.env(PART, format!("{number} {}", database.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What the child says, line by line.
fn answers(child: &mut Child) -> impl Iterator<Item = String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| line.unwrap().strip_prefix("child: ").map(str::to_owned))
}

/// Runs a child until it has said something, and kills it.
fn killed(test: &str, database: &Path, number: usize) -> String {
    let mut child = child(test, database, number);
    let said = answers(&mut child).next().unwrap_or_else(|| panic!("the child failed at {number}"));
    kill(child);
    said
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "it ended by itself: {status}");
}

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn web() -> RolloutName {
    name("web")
}

fn name(text: &str) -> RolloutName {
    RolloutName::parse(text).unwrap()
}

fn rule(number: u32) -> Arn {
    Arn::new(format!("rule {number}"))
}

fn several(prefix: &str, count: usize) -> Vec<NewEvent> {
    let event = |number| Event::NoticeRaised { level: NoticeLevel::Info, text: format!("{prefix} {number}") };
    (0..count)
        .map(|number| NewEvent { at: Timestamp::UNIX_EPOCH, actor: "greenshift".to_owned(), event: event(number) })
        .collect()
}

async fn all(journal: &SqliteJournal) -> Vec<Recorded> {
    journal.load(&web(), 0, u32::MAX).await.unwrap()
}
