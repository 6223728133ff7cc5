//! Opening a database: what it must be, what it is brought to, and the epoch that begins with it.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};

use super::{SqliteJournal, place, store_error};
use crate::journal::JournalError;

/// What marks a database as one of greenshift's (`PRAGMA application_id`); set by the first migration.
pub(super) const APPLICATION_ID: i64 = 0x6773_6a6c;

/// How long a statement waits for another program's lock before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call waits for a connection: longer than one writer can be kept waiting by another program.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers at a time: pages and streams that load history while the worker goes on.
const READERS_MAX: u32 = 4;

/// The WAL file is cut back to this after a burst. The usual checkpoint comes at 4 MB.
const WAL_BYTES_KEPT: &str = "16777216";

/// All migrations, oldest first. Forward only: what a release has shipped never changes.
fn migrations() -> Vec<Migration> {
    let first = include_str!("../migrations/sqlite/0001_journal.sql").into_sql_str();
    let second = include_str!("../migrations/sqlite/0002_freeze.sql").into_sql_str();
    vec![
        Migration::new(1, "journal".into(), MigrationType::Simple, first, false),
        Migration::new(2, "freeze".into(), MigrationType::Simple, second, false),
    ]
}

/// What every connection has in common.
pub(super) fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
}

impl SqliteJournal {
    /// Opens the database, creates it if there is none, brings its schema up to date and begins a new epoch: whoever
    /// had it open before can write no more. Refuses, with a text that says what to do, a database that another process
    /// holds, one on a file system that machines share, one that is damaged, one of another program and one of a newer
    /// greenshift.
    ///
    /// Every page is read and checked once: a start is the right time to find damage.
    pub async fn open(database: &Path) -> Result<Self, JournalError> {
        let database = place::resolve(database)?;
        place::check_file_system(&database)?;
        let lock = place::Lock::take(&database)?;
        place::create_if_missing(&database)?;
        let failed = |error: sqlx::Error| store_error(&database.display(), &error);

        // Not yet in WAL mode: a database of another program is to be left as it is.
        let mut first = options(&database).connect().await.map_err(failed)?;
        let epoch = prepare(&database, &mut first).await;
        let closed = first.close().await;
        let epoch = epoch?;
        closed.map_err(failed)?;

        let writer =
            options(&database).journal_mode(SqliteJournalMode::Wal).pragma("journal_size_limit", WAL_BYTES_KEPT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(writer)
            .await
            .map_err(failed)?;
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&writer).await.map_err(failed)?;
        if mode != "wal" {
            return Err(JournalError::Unusable(format!(
                "the file system of {} does not support SQLite's write-ahead log: put it on a local disk",
                database.display()
            )));
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options(&database).read_only(true));
        Ok(Self { writer, readers, database, epoch, lock })
    }
}

/// Checks the database, brings its schema up to date and begins an epoch, which it returns.
async fn prepare(database: &Path, db: &mut SqliteConnection) -> Result<u64, JournalError> {
    let failed = |error: sqlx::Error| store_error(&database.display(), &error);
    check(database, db).await?;
    refuse_newer(database, db).await?;
    Migrator::with_migrations(migrations()).run_direct(None, db, false).await.map_err(|error| {
        JournalError::Unusable(format!(
            "the schema of {} cannot be brought up to date: {error}; restore it from a backup, or use the version of \
             greenshift that wrote it",
            database.display()
        ))
    })?;
    let begin = sqlx::query_scalar("UPDATE meta SET epoch = epoch + 1, program = ? RETURNING epoch");
    let epoch: i64 = begin.bind(env!("CARGO_PKG_VERSION")).fetch_one(db).await.map_err(failed)?;
    Ok(epoch.unsigned_abs())
}

/// Makes sure that the database is whole, and ours or empty.
pub(super) async fn check(database: &Path, db: &mut SqliteConnection) -> Result<(), JournalError> {
    // A start that was cut short may have left the migrations' own table alone.
    const FOREIGN: &str = "SELECT count(*) FROM sqlite_schema \
                           WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations'";
    let failed = |error: sqlx::Error| store_error(&database.display(), &error);
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *db).await.map_err(failed)?;
    let foreign: i64 = sqlx::query_scalar(FOREIGN).fetch_one(&mut *db).await.map_err(failed)?;
    if id != APPLICATION_ID && (id != 0 || foreign != 0) {
        return Err(JournalError::Unusable(format!(
            "{} is a database of another program: name another file",
            database.display()
        )));
    }
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(db).await.map_err(failed)?;
    if found != "ok" {
        return Err(JournalError::Unreadable(format!(
            "{} is damaged ({found}); restore it from a backup",
            database.display()
        )));
    }
    Ok(())
}

/// Refuses a schema that this program does not know, and says which version of greenshift does.
async fn refuse_newer(database: &Path, db: &mut SqliteConnection) -> Result<(), JournalError> {
    let failed = |error: sqlx::Error| store_error(&database.display(), &error);
    let migrated = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'");
    let migrated: i64 = migrated.fetch_one(&mut *db).await.map_err(failed)?;
    if migrated == 0 {
        return Ok(());
    }
    let found = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations");
    let found: i64 = found.fetch_one(&mut *db).await.map_err(failed)?;
    let known = migrations().last().map_or(0, |newest| newest.version);
    if found <= known {
        return Ok(());
    }
    let program: String = sqlx::query_scalar("SELECT program FROM meta").fetch_one(db).await.map_err(failed)?;
    Err(JournalError::Unusable(format!(
        "{} was written by greenshift {program} (schema {found}); this is greenshift {} (schema {known}): run {program} or \
         a later one, or restore a backup that is older",
        database.display(),
        env!("CARGO_PKG_VERSION")
    )))
}
