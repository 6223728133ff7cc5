//! The SQLite journal's file: what is refused, with which words, and what damage does.

use std::path::{Path, PathBuf};

use greenshift::domain::event::{Event, NewEvent, NoticeLevel, Recorded};
use greenshift::domain::freeze::Freeze;
use greenshift::domain::ids::RolloutName;
use greenshift::journal::sqlite::{SqliteJournal, backup};
use greenshift::journal::{Journal, JournalError};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// Opens a database that must be refused; gives back the words.
async fn refused(database: &Path) -> String {
    match SqliteJournal::open(database).await {
        Err(JournalError::Unusable(words) | JournalError::Unreadable(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_says(words: &str, parts: &[&str]) {
    for part in parts {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_by_whom() {
    let (directory, database) = place();
    let first = SqliteJournal::open(&database).await.unwrap();
    let alias = directory.path().join("alias.db");
    std::os::unix::fs::symlink(&database, &alias).unwrap();
    for name in [&database, &alias] {
        let words = refused(name).await;
        assert_says(&words, &["journal.db", "journal.db.lock", &format!("process {}", std::process::id()), "stop"]);
    }
    first.close().await;
    SqliteJournal::open(&database).await.unwrap();
}

#[tokio::test]
async fn a_path_that_cannot_hold_a_database_is_refused() {
    let (directory, _) = place();
    let words = refused(&directory.path().join("missing/journal.db")).await;
    assert_says(&words, &["missing", "create it first"]);
    let words = refused(directory.path()).await;
    assert_says(&words, &["is a directory"]);
    // Nobody can create a file there, not even root.
    #[cfg(target_os = "linux")]
    assert_says(&refused(Path::new("/sys/journal.db")).await, &["/sys/journal.db.lock", "must be able to write"]);
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused_and_left_alone() {
    let (_directory, database) = place();
    let text = "dear diary\n".repeat(1000);
    std::fs::write(&database, &text).unwrap();
    assert_says(&refused(&database).await, &["journal.db", "no SQLite database"]);
    assert_eq!(std::fs::read_to_string(&database).unwrap(), text);

    let (_directory, database) = place();
    run(&database, "CREATE TABLE recipes (name TEXT)").await;
    let before = std::fs::read(&database).unwrap();
    assert_says(&refused(&database).await, &["another program", "name another file"]);
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_names_the_version_that_wrote_it() {
    let (_directory, database) = place();
    drop(written(&database, 1).await);
    run(&database, "UPDATE meta SET program = '7.3.0'").await;
    run(
        &database,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', TRUE, x'00', 0)",
    )
    .await;
    let words = refused(&database).await;
    assert_says(&words, &["greenshift 7.3.0 (schema 99)", env!("CARGO_PKG_VERSION"), "run 7.3.0 or a later one"]);
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_it_holds() {
    let (_directory, database) = place();
    let journal = written(&database, 3).await;
    let kept = journal.load(&web(), 0, 99).await.unwrap();
    journal.close().await;
    run(&database, "DROP TABLE freeze").await;
    run(&database, "DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let journal = SqliteJournal::open(&database).await.unwrap();
    assert_eq!(journal.load(&web(), 0, 99).await.unwrap(), kept);
    assert_eq!(journal.freeze().await.unwrap(), None);
    let freeze = Freeze { reason: "holidays".to_owned(), actor: "alice".to_owned(), at: Timestamp::UNIX_EPOCH };
    journal.set_freeze(Some(freeze.clone())).await.unwrap();
    assert_eq!(journal.freeze().await.unwrap(), Some(freeze));
    run(&database, "UPDATE freeze SET at_us = 9223372036854775807").await;
    match journal.freeze().await {
        Err(JournalError::Unreadable(words)) => assert_says(&words, &["freeze", "time", "backup"]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_schema_that_was_changed_by_hand_is_refused() {
    let (_directory, database) = place();
    drop(written(&database, 1).await);
    run(&database, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    assert_says(&refused(&database).await, &["cannot be brought up to date", "backup"]);
}

#[tokio::test]
async fn a_damaged_page_is_found_at_the_start() {
    let (_directory, database) = place();
    let journal = written(&database, 500).await;
    journal.close().await;
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&database, bytes).unwrap();
    assert_says(&refused(&database).await, &["journal.db", "damaged", "restore it from a backup"]);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_named() {
    let (_directory, database) = place();
    let journal = written(&database, 5).await;
    for (change, parts) in [
        ("UPDATE events SET type = 'teleported' WHERE seq = 4", ["event 4 of `web`", "teleported", "later one"]),
        (
            "UPDATE events SET type = 'notice_raised', version = 9 WHERE seq = 4",
            ["event 4 of `web`", "version 9", "later one"],
        ),
        ("UPDATE events SET body = '{}' WHERE seq = 3", ["event 3 of `web`", "damaged", "backup"]),
        ("UPDATE events SET at_us = 9223372036854775807 WHERE seq = 3", ["event 3 of `web`", "time", "backup"]),
        ("DELETE FROM events WHERE seq = 2", ["event 2 of `web`", "missing", "backup"]),
    ] {
        run(&database, change).await;
        match journal.load(&web(), 0, 99).await {
            Err(JournalError::Unreadable(words)) => assert_says(&words, &parts),
            other => panic!("{other:?}"),
        }
    }
    // What stands behind it can be read, and an end that is missing shows too.
    assert_eq!(journal.load(&web(), 4, 99).await.unwrap().len(), 1);
    run(&database, "DELETE FROM events WHERE seq = 5").await;
    assert!(matches!(journal.load(&web(), 4, 99).await, Err(JournalError::Unreadable(_))));
    assert_eq!(journal.load(&web(), 4, 0).await.unwrap(), []);
}

#[tokio::test]
async fn an_append_waits_for_another_programs_transaction() {
    let (_directory, database) = place();
    let journal = written(&database, 1).await;
    let mut shell = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
    let transaction = shell.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let web = web();
    let mut append = std::pin::pin!(journal.append(&web, 1, &[], several("b", 1)));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(100), &mut append).await.is_err());
    transaction.rollback().await.unwrap();
    append.await.unwrap();
}

#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, database) = place();
    let journal = written(&database, 1).await;
    backup(&database, &directory.path().join("copy.db")).await.unwrap();
    let mut names = vec![];
    for entry in directory.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["copy.db", "journal.db", "journal.db-shm", "journal.db-wal", "journal.db.lock"]);
    drop(journal);
}

#[tokio::test]
async fn a_backup_of_a_journal_in_use_is_a_journal() {
    let (directory, database) = place();
    let journal = written(&database, 200).await;
    let copy = directory.path().join("copy.db");
    // Left behind by a backup that was cut short.
    std::fs::write(directory.path().join("copy.db.partial"), "half").unwrap();
    backup(&database, &copy).await.unwrap();
    let kept = journal.load(&web(), 0, 999).await.unwrap();
    journal.append(&web(), 200, &[], several("later", 1)).await.unwrap();

    let restored = SqliteJournal::open(&copy).await.unwrap();
    assert_eq!(restored.load(&web(), 0, 999).await.unwrap(), kept);
    restored.append(&web(), 200, &[], several("other", 1)).await.unwrap();

    let again = backup(&database, &copy).await.unwrap_err().to_string();
    assert_says(&again, &["copy.db exists", "new file"]);
    let missing = backup(&directory.path().join("nothing.db"), &directory.path().join("b.db")).await.unwrap_err();
    assert_says(&missing.to_string(), &["there is no database", "nothing.db"]);
    assert!(!directory.path().join("b.db").exists() && !directory.path().join("nothing.db").exists());
}

#[tokio::test]
async fn a_damaged_database_makes_no_backup() {
    let (directory, database) = place();
    std::fs::write(&database, "dear diary\n".repeat(1000)).unwrap();
    let copy = directory.path().join("copy.db");
    backup(&database, &copy).await.unwrap_err();
    assert!(!copy.exists() && !directory.path().join("copy.db.partial").exists());
}

/// What a power cut leaves of a write-ahead log whose end had not reached the disk, or reached it garbled: the journal
/// is then as it was after one of its commits, never something else.
#[tokio::test]
async fn a_torn_log_gives_a_prefix_of_what_was_committed() {
    let (_directory, database) = place();
    let journal = SqliteJournal::open(&database).await.unwrap();
    let mut commits = vec![0];
    let mut kept = journal.create(&web(), &[], several("a", 2)).await.unwrap();
    commits.push(kept.len());
    for count in [1, 3, 2] {
        kept.extend(journal.append(&web(), kept.len() as u64, &[], several("b", count)).await.unwrap());
        commits.push(kept.len());
    }
    let main = std::fs::read(&database).unwrap();
    let log = std::fs::read(suffixed(&database, "-wal")).unwrap();
    assert!(log.len() > 20_000, "{}", log.len());

    let mut lengths = vec![];
    for cut in (0..log.len()).step_by(100) {
        lengths.push(recovered(&main, &log[..cut], &kept, &commits).await);
    }
    lengths.push(recovered(&main, &log, &kept, &commits).await);
    assert!(lengths.is_sorted(), "{lengths:?}");
    lengths.dedup();
    assert_eq!(lengths, commits);

    for place in (0..log.len()).step_by(997) {
        let mut garbled = log.clone();
        garbled[place] ^= 0x10;
        recovered(&main, &garbled, &kept, &commits).await;
    }
}

/// How many events a journal finds that begins with these files.
async fn recovered(main: &[u8], log: &[u8], kept: &[Recorded], commits: &[usize]) -> usize {
    let (_directory, database) = place();
    std::fs::write(&database, main).unwrap();
    std::fs::write(suffixed(&database, "-wal"), log).unwrap();
    let journal = SqliteJournal::open(&database).await.unwrap();
    let found = match journal.load(&web(), 0, 999).await {
        Ok(found) => found,
        Err(JournalError::NotFound(_)) => vec![],
        Err(error) => panic!("{error}"),
    };
    assert_eq!(found, kept[..found.len()]);
    assert!(commits.contains(&found.len()), "{} events", found.len());
    found.len()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("journal.db");
    (directory, database)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

async fn written(database: &Path, count: usize) -> SqliteJournal {
    let journal = SqliteJournal::open(database).await.unwrap();
    journal.create(&web(), &[], several("a", count)).await.unwrap();
    journal
}

/// Does what a person with a database shell can do.
async fn run(database: &Path, statement: &str) {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let mut db = options.connect().await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

fn web() -> RolloutName {
    RolloutName::parse("web").unwrap()
}

fn several(prefix: &str, count: usize) -> Vec<NewEvent> {
    let event = |number| Event::NoticeRaised { level: NoticeLevel::Info, text: format!("{prefix} {number}") };
    (0..count)
        .map(|number| NewEvent { at: Timestamp::UNIX_EPOCH, actor: "greenshift".to_owned(), event: event(number) })
        .collect()
}
