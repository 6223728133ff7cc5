//! A copy of a database that is in use.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{open, place, store_error};
use crate::journal::JournalError;

/// Copies the database as it is at one moment to `to`, compacted, while another process may be writing to it. When it
/// returns, the copy is whole, checked and on disk; when it fails, there is no `to`. Never overwrites.
pub async fn backup(database: &Path, to: &Path) -> Result<(), JournalError> {
    let database = place::resolve(database)?;
    if !database.exists() {
        return Err(JournalError::Unusable(format!("there is no database {}", database.display())));
    }
    let to = place::resolve(to)?;
    if to.exists() {
        return Err(JournalError::Unusable(format!("{} exists: name a new file for the backup", to.display())));
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let copied = copy(&database, &partial).await;
    if copied.is_err() {
        remove(&partial).map_err(|error| writing(&partial, &error))?;
    }
    copied?;
    std::fs::rename(&partial, &to).map_err(|error| writing(&to, &error))?;
    place::sync_directory(&to).map_err(|error| writing(&to, &error))
}

async fn copy(database: &Path, partial: &Path) -> Result<(), JournalError> {
    let failed = |error: sqlx::Error| store_error(&database.display(), &error);
    let written = |error: std::io::Error| writing(partial, &error);
    // What an earlier backup left that was cut short. VACUUM INTO takes an empty file, and keeps its permissions.
    remove(partial).map_err(written)?;
    let file = place::open_private(OpenOptions::new().write(true).create_new(true), partial).map_err(written)?;
    let mut source = open::options(database).connect().await.map_err(failed)?;
    let vacuumed = vacuum(database, &mut source, partial).await;
    let closed = source.close().await;
    vacuumed?;
    closed.map_err(failed)?;
    file.sync_all().map_err(written)?;
    let mut copy = open::options(partial).read_only(true).connect().await.map_err(failed)?;
    let checked = open::check(partial, &mut copy).await;
    copy.close().await.map_err(failed)?;
    checked
}

async fn vacuum(database: &Path, source: &mut SqliteConnection, partial: &Path) -> Result<(), JournalError> {
    open::check(database, source).await?;
    let into = partial.to_str().unwrap_or_default();
    let vacuumed = sqlx::query("VACUUM INTO ?").bind(into).execute(source).await;
    vacuumed.map(drop).map_err(|error| store_error(&database.display(), &error))
}

fn remove(partial: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn writing(path: &Path, error: &std::io::Error) -> JournalError {
    JournalError::Store(format!("the backup {} cannot be written: {error}", path.display()))
}
