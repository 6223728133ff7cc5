//! The journal in an SQLite file: the default store, for one process on one machine.
//!
//! One connection writes, in transactions that take the write lock at once (`BEGIN IMMEDIATE`), so that none fails half
//! way for want of it; a few read. WAL with `synchronous=FULL`: a commit that has returned is on disk. Two things keep a
//! second process out: the lock file (`place`), and the epoch, which every write compares inside its transaction.

mod backup;
mod open;
mod place;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{Acquire, Connection, Row, SqliteConnection};

pub use self::backup::backup;
use self::place::Lock;
use super::codec::{self, Numbered, Stored};
use super::{Journal, JournalError};
use crate::domain::event::{NewEvent, Recorded};
use crate::domain::freeze::Freeze;
use crate::domain::ids::{Arn, RolloutName};

/// A journal in an SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    writer: SqlitePool,
    readers: SqlitePool,
    database: PathBuf,
    epoch: u64,
    lock: Lock,
}

/// What a write finds when it begins.
struct Head {
    epoch: i64,
    /// `None` when there is no such rollout.
    last_seq: Option<i64>,
}

impl SqliteJournal {
    /// Where the database lies.
    pub fn database(&self) -> &std::path::Path {
        &self.database
    }

    /// The writing connection.
    async fn writer(&self) -> Result<PoolConnection<Sqlite>, JournalError> {
        self.writer.acquire().await.map_err(|error| self.store_error(&error))
    }

    fn store_error(&self, error: &sqlx::Error) -> JournalError {
        store_error(&self.database.display(), error)
    }

    /// Reads where the rollout stands, inside a transaction, and makes sure that this process may still write.
    async fn head(&self, db: &mut SqliteConnection, rollout: &RolloutName) -> Result<Option<u64>, JournalError> {
        let row = sqlx::query("SELECT m.epoch, r.last_seq FROM meta m LEFT JOIN rollouts r ON r.name = ?")
            .bind(rollout.as_str())
            .fetch_one(db)
            .await;
        let head = row.and_then(|row| Ok(Head { epoch: row.try_get(0)?, last_seq: row.try_get(1)? }));
        let head = head.map_err(|error| self.store_error(&error))?;
        self.still_ours(head.epoch)?;
        Ok(head.last_seq.map(i64::unsigned_abs))
    }

    /// Compares the epoch in the database with that of this process.
    fn still_ours(&self, found: i64) -> Result<(), JournalError> {
        let found = found.unsigned_abs();
        if found == self.epoch { Ok(()) } else { Err(JournalError::Superseded { ours: self.epoch, found }) }
    }

    /// Makes `rules` the ones that the rollout holds, unless another holds one of them.
    async fn hold(&self, db: &mut SqliteConnection, rollout: &RolloutName, rules: &[Arn]) -> Result<(), JournalError> {
        let failed = |error: sqlx::Error| self.store_error(&error);
        let held = sqlx::query_scalar("SELECT rule FROM rule_owners WHERE rollout = ?").bind(rollout.as_str());
        let held: Vec<String> = held.fetch_all(&mut *db).await.map_err(failed)?;
        let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = rules.iter().map(Arn::as_str).collect();
        for rule in held.difference(&wanted) {
            let give = sqlx::query("DELETE FROM rule_owners WHERE rule = ?").bind(*rule);
            give.execute(&mut *db).await.map_err(failed)?;
        }
        for rule in wanted.difference(&held) {
            let take = sqlx::query("INSERT INTO rule_owners (rule, rollout) VALUES (?, ?) ON CONFLICT DO NOTHING");
            let taken = take.bind(*rule).bind(rollout.as_str()).execute(&mut *db).await.map_err(failed)?;
            if taken.rows_affected() == 0 {
                let owner = sqlx::query_scalar("SELECT rollout FROM rule_owners WHERE rule = ?").bind(*rule);
                let owner: String = owner.fetch_one(&mut *db).await.map_err(failed)?;
                return Err(JournalError::RuleTaken { rule: Arn::new(*rule), owner: stored_name(&owner)? });
            }
        }
        Ok(())
    }

    /// Adds events that have their places already.
    async fn insert(
        &self,
        db: &mut SqliteConnection,
        rollout: &RolloutName,
        events: &[Numbered],
    ) -> Result<(), JournalError> {
        const INSERT: &str = "INSERT INTO events (rollout, seq, at_us, actor, type, version, body) \
                              VALUES (?, ?, ?, ?, ?, ?, ?)";
        for Numbered { recorded, stored } in events {
            let insert = sqlx::query(INSERT)
                .bind(rollout.as_str())
                .bind(to_integer(recorded.seq))
                .bind(recorded.at.as_microsecond())
                .bind(recorded.actor.as_str())
                .bind(stored.kind.as_ref())
                .bind(i64::from(stored.version))
                .bind(stored.body.as_str());
            insert.execute(&mut *db).await.map_err(|error| self.store_error(&error))?;
        }
        Ok(())
    }

    async fn create_in(
        &self,
        db: &mut SqliteConnection,
        rollout: &RolloutName,
        rules: &[Arn],
        events: &[Numbered],
    ) -> Result<(), JournalError> {
        if self.head(db, rollout).await?.is_some() {
            return Err(JournalError::Exists(rollout.clone()));
        }
        let last = events.last().map_or(0, |event| event.recorded.seq);
        let insert = sqlx::query("INSERT INTO rollouts (name, last_seq) VALUES (?, ?)");
        let insert = insert.bind(rollout.as_str()).bind(to_integer(last));
        insert.execute(&mut *db).await.map_err(|error| self.store_error(&error))?;
        self.hold(db, rollout, rules).await?;
        self.insert(db, rollout, events).await
    }

    async fn append_in(
        &self,
        db: &mut SqliteConnection,
        rollout: &RolloutName,
        after_seq: u64,
        rules: &[Arn],
        events: &[Numbered],
    ) -> Result<(), JournalError> {
        let Some(found) = self.head(db, rollout).await? else {
            return Err(JournalError::NotFound(rollout.clone()));
        };
        if found != after_seq {
            return Err(JournalError::Conflict { rollout: rollout.clone(), expected: after_seq, found });
        }
        self.hold(db, rollout, rules).await?;
        self.insert(db, rollout, events).await?;
        let last = events.last().map_or(after_seq, |event| event.recorded.seq);
        let update = sqlx::query("UPDATE rollouts SET last_seq = ? WHERE name = ?").bind(to_integer(last));
        update.bind(rollout.as_str()).execute(db).await.map_err(|error| self.store_error(&error))?;
        Ok(())
    }

    async fn delete_in(&self, db: &mut SqliteConnection, rollout: &RolloutName) -> Result<(), JournalError> {
        if self.head(db, rollout).await?.is_none() {
            return Err(JournalError::NotFound(rollout.clone()));
        }
        // Its events and rules go with it (ON DELETE CASCADE).
        let delete = sqlx::query("DELETE FROM rollouts WHERE name = ?").bind(rollout.as_str());
        delete.execute(db).await.map_err(|error| self.store_error(&error))?;
        Ok(())
    }

    async fn freeze_in(&self, db: &mut SqliteConnection, freeze: Option<&Freeze>) -> Result<(), JournalError> {
        const KEEP: &str = "INSERT OR REPLACE INTO freeze (only_row, reason, actor, at_us) VALUES (1, ?, ?, ?)";
        let failed = |error: sqlx::Error| self.store_error(&error);
        let epoch = sqlx::query_scalar("SELECT epoch FROM meta").fetch_one(&mut *db).await;
        self.still_ours(epoch.map_err(failed)?)?;
        let change = match freeze {
            Some(Freeze { reason, actor, at }) => sqlx::query(KEEP).bind(reason).bind(actor).bind(at.as_microsecond()),
            None => sqlx::query("DELETE FROM freeze"),
        };
        change.execute(db).await.map(drop).map_err(failed)
    }

    /// Runs one write as one transaction. Which one is data: a closure over the transaction would need a boxed future.
    async fn write(&self, change: Change<'_>) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        let result = self.write_on(&mut connection, change).await;
        if let Err(JournalError::Store(_) | JournalError::Unusable(_) | JournalError::Unreadable(_)) = &result {
            // SQLite ends a transaction by itself on some of these errors, and the connection's count of open
            // transactions is then off by one. A new connection knows what it does.
            connection.close_on_drop();
        }
        result
    }

    async fn write_on(&self, connection: &mut SqliteConnection, change: Change<'_>) -> Result<(), JournalError> {
        let begun = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(|error| self.store_error(&error))?;
        let db = transaction.acquire().await.map_err(|error| self.store_error(&error))?;
        let done = match change {
            Change::Create { rollout, rules, events } => self.create_in(db, rollout, rules, events).await,
            Change::Append { rollout, after_seq, rules, events } => {
                self.append_in(db, rollout, after_seq, rules, events).await
            }
            Change::Delete { rollout } => self.delete_in(db, rollout).await,
            Change::Freeze(freeze) => self.freeze_in(db, freeze).await,
        };
        let ended = match done {
            Ok(()) => transaction.commit().await,
            Err(_) => transaction.rollback().await,
        };
        done.and_then(|()| ended.map_err(|error| self.store_error(&error)))
    }
}

/// One write.
enum Change<'a> {
    Create { rollout: &'a RolloutName, rules: &'a [Arn], events: &'a [Numbered] },
    Append { rollout: &'a RolloutName, after_seq: u64, rules: &'a [Arn], events: &'a [Numbered] },
    Delete { rollout: &'a RolloutName },
    Freeze(Option<&'a Freeze>),
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn create(
        &self,
        rollout: &RolloutName,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError> {
        let events = codec::number(rollout, 0, events)?;
        self.write(Change::Create { rollout, rules, events: &events }).await?;
        Ok(events.into_iter().map(|event| event.recorded).collect())
    }

    async fn append(
        &self,
        rollout: &RolloutName,
        after_seq: u64,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError> {
        let events = codec::number(rollout, after_seq, events)?;
        self.write(Change::Append { rollout, after_seq, rules, events: &events }).await?;
        Ok(events.into_iter().map(|event| event.recorded).collect())
    }

    async fn load(&self, rollout: &RolloutName, after_seq: u64, limit: u32) -> Result<Vec<Recorded>, JournalError> {
        // One statement, so that the last number and the events are of the same moment.
        const LOAD: &str = "SELECT r.last_seq, e.seq, e.at_us, e.actor, e.type, e.version, e.body \
                            FROM rollouts r LEFT JOIN events e ON e.rollout = r.name AND e.seq > ? \
                            WHERE r.name = ? ORDER BY e.seq LIMIT ?";
        let query = sqlx::query(LOAD).bind(to_integer(after_seq)).bind(rollout.as_str()).bind(i64::from(limit.max(1)));
        let rows = query.fetch_all(&self.readers).await.map_err(|error| self.store_error(&error))?;
        let Some(first) = rows.first() else {
            return Err(JournalError::NotFound(rollout.clone()));
        };
        let last: i64 = first.try_get(0).map_err(|error| self.store_error(&error))?;
        let mut events = Vec::with_capacity(rows.len());
        for (row, seq) in rows.iter().zip(to_integer(after_seq).saturating_add(1)..=last).take(limit as usize) {
            events.push(self.read(rollout, row, seq)?);
        }
        let end = to_integer(after_seq).saturating_add(i64::from(limit)).min(last);
        let present = after_seq.saturating_add(events.len() as u64);
        if to_integer(present) < end {
            let missing = present.saturating_add(1);
            return Err(codec::unreadable(rollout.as_str(), to_integer(missing), &MISSING));
        }
        Ok(events)
    }

    async fn list(&self) -> Result<Vec<RolloutName>, JournalError> {
        let names = sqlx::query_scalar("SELECT name FROM rollouts ORDER BY name").fetch_all(&self.readers).await;
        let names: Vec<String> = names.map_err(|error| self.store_error(&error))?;
        names.iter().map(|name| stored_name(name)).collect()
    }

    async fn delete(&self, rollout: &RolloutName) -> Result<(), JournalError> {
        self.write(Change::Delete { rollout }).await
    }

    async fn freeze(&self) -> Result<Option<Freeze>, JournalError> {
        let failed = |error: sqlx::Error| self.store_error(&error);
        let row = sqlx::query("SELECT reason, actor, at_us FROM freeze").fetch_optional(&self.readers).await;
        let Some(row) = row.map_err(failed)? else { return Ok(None) };
        let at = codec::from_microsecond(row.try_get(2).map_err(failed)?).ok_or_else(|| {
            JournalError::Unreadable("the freeze has an impossible time: restore a backup".to_owned())
        })?;
        Ok(Some(Freeze { reason: row.try_get(0).map_err(failed)?, actor: row.try_get(1).map_err(failed)?, at }))
    }

    async fn set_freeze(&self, freeze: Option<Freeze>) -> Result<(), JournalError> {
        self.write(Change::Freeze(freeze.as_ref())).await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        let found = sqlx::query_scalar("SELECT epoch FROM meta").fetch_one(&self.readers).await;
        self.still_ours(found.map_err(|error| self.store_error(&error))?)
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn close(&self) {
        // The writer last: the last connection to close brings the WAL into the database, which a reader may not.
        self.readers.close().await;
        self.writer.close().await;
        self.lock.release();
    }
}

impl SqliteJournal {
    /// Reads a row of [`Journal::load`], which must hold event `expected`.
    fn read(&self, rollout: &RolloutName, row: &SqliteRow, expected: i64) -> Result<Recorded, JournalError> {
        let failed = |error: sqlx::Error| self.store_error(&error);
        let seq: Option<i64> = row.try_get(1).map_err(failed)?;
        if seq != Some(expected) {
            return Err(codec::unreadable(rollout.as_str(), expected, &MISSING));
        }
        let at: i64 = row.try_get(2).map_err(failed)?;
        let kind: String = row.try_get(4).map_err(failed)?;
        let version: i64 = row.try_get(5).map_err(failed)?;
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        let stored = Stored { kind: Cow::Owned(kind), version, body: row.try_get(6).map_err(failed)? };
        let problem = |error: &dyn std::fmt::Display| codec::unreadable(rollout.as_str(), expected, &error.to_string());
        Ok(Recorded {
            seq: expected.unsigned_abs(),
            at: codec::from_microsecond(at).ok_or_else(|| problem(&"has an impossible time: restore a backup"))?,
            actor: row.try_get(3).map_err(failed)?,
            event: codec::decode(&stored).map_err(|error| problem(&error))?,
        })
    }
}

const MISSING: &str = "is missing: the database is damaged; restore it from a backup";

/// A sequence number as SQLite keeps it: its integers are signed.
fn to_integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn stored_name(name: &str) -> Result<RolloutName, JournalError> {
    RolloutName::parse(name).map_err(|bad| JournalError::Unreadable(format!("a stored rollout's name: {bad}")))
}

/// What went wrong, and what an operator can do about it. `place` says which database.
fn store_error(place: &dyn std::fmt::Display, error: &sqlx::Error) -> JournalError {
    // Primary result codes of SQLite: the low byte of an extended one (https://www.sqlite.org/rescode.html).
    let code = error.as_database_error().and_then(DatabaseError::code);
    let code = code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    match code {
        Some(5 | 6) => JournalError::Store(format!(
            "{place} is locked by another program (a shell with an open transaction, a backup tool); it must end first"
        )),
        Some(8) => JournalError::Unusable(format!(
            "{place} cannot be written: the file, its directory or its file system is read-only"
        )),
        Some(11) => JournalError::Unreadable(format!("{place} is damaged ({error}); restore it from a backup")),
        Some(13) => JournalError::Store(format!("no space is left for {place}: free some on its disk")),
        Some(14) => JournalError::Unusable(format!(
            "{place} cannot be opened: it and its directory must be readable and writable by the user of this process"
        )),
        Some(26) => JournalError::Unusable(format!(
            "{place} is no SQLite database, or one that is damaged: name another file, or restore it from a backup"
        )),
        _ => JournalError::Store(format!("{place}: {error}")),
    }
}
