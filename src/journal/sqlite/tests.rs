use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::*;

/// The error that a statement ends in, as an operator reads it.
async fn ends_in(options: &SqliteConnectOptions, statements: &[&str]) -> JournalError {
    let mut db = match options.connect().await {
        Ok(db) => db,
        Err(error) => return store_error(&"journal.db", &error),
    };
    for statement in statements {
        if let Err(error) = sqlx::query(AssertSqlSafe(*statement)).execute(&mut db).await {
            return store_error(&"journal.db", &error);
        }
    }
    panic!("no error");
}

#[tokio::test]
async fn an_error_of_the_store_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let options =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).busy_timeout(std::time::Duration::ZERO);
    let mut other = options.connect().await.unwrap();
    sqlx::query("CREATE TABLE t (x BLOB)").execute(&mut other).await.unwrap();

    let full = ["PRAGMA max_page_count = 1", "INSERT INTO t VALUES (zeroblob(100000))"];
    let full = ends_in(&options, &full).await;
    assert!(matches!(&full, JournalError::Store(words) if words.contains("no space is left for journal.db")), "{full}");

    let read_only = ends_in(&options.clone().read_only(true), &["INSERT INTO t VALUES (1)"]).await;
    assert!(matches!(&read_only, JournalError::Unusable(words) if words.contains("read-only")), "{read_only}");

    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let busy = ends_in(&options, &["BEGIN IMMEDIATE"]).await;
    assert!(matches!(&busy, JournalError::Store(words) if words.contains("locked by another program")), "{busy}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();

    let nowhere = options.clone().filename(directory.path().join("missing/journal.db"));
    let nowhere = ends_in(&nowhere, &[]).await;
    assert!(matches!(&nowhere, JournalError::Unusable(words) if words.contains("readable and writable")), "{nowhere}");

    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let damaged = ends_in(&options, &["INSERT INTO t VALUES (1)"]).await;
    assert!(matches!(&damaged, JournalError::Unreadable(words) if words.contains("restore it")), "{damaged}");
}
