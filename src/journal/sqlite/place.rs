//! Where a database may lie, and the lock beside it that keeps a second process out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;

use crate::journal::JournalError;

/// The path of a database with every symbolic link followed, so that one database has one lock whatever it is called.
pub(super) fn resolve(database: &Path) -> Result<PathBuf, JournalError> {
    let unusable = |why: &dyn std::fmt::Display| {
        JournalError::Unusable(format!("the database {} cannot be used: {why}", database.display()))
    };
    if database.to_str().is_none() {
        return Err(unusable(&"its path is not UTF-8, which SQLite needs"));
    }
    let Some(name) = database.file_name() else {
        return Err(unusable(&"the path names no file"));
    };
    if database.is_dir() {
        return Err(unusable(&"it is a directory; name a file in it"));
    }
    if let Ok(whole) = database.canonicalize() {
        return Ok(whole);
    }
    let directory = database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = directory.canonicalize().map_err(|error| {
        unusable(&format_args!("its directory {} cannot be reached ({error}); create it first", directory.display()))
    })?;
    Ok(directory.join(name))
}

/// Creates the database's file, empty and for this user alone, if there is none. SQLite gives its other files the same
/// permissions.
pub(super) fn create_if_missing(database: &Path) -> Result<(), JournalError> {
    let failed = |error: std::io::Error| {
        JournalError::Unusable(format!("the database {} cannot be created: {error}", database.display()))
    };
    match open_private(OpenOptions::new().write(true).create_new(true), database) {
        Ok(file) => {
            file.sync_all().map_err(failed)?;
            sync_directory(database).map_err(failed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Brings the name of a new file to disk.
pub(super) fn sync_directory(file: &Path) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Opens a file that, if it is created, only this user can read.
pub(super) fn open_private(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600).open(path)
}

/// The lock of a database, held until it is released or dropped, and by the kernel's hand when the process ends.
#[derive(Debug)]
pub(super) struct Lock(Mutex<Option<File>>);

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(super) fn take(database: &Path) -> Result<Self, JournalError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let unusable = |error: &std::io::Error| {
            JournalError::Unusable(format!(
                "the lock file {} cannot be used ({error}): the user of this process must be able to write in its \
                 directory",
                path.display()
            ))
        };
        let options = &mut OpenOptions::new();
        let opened = open_private(options.read(true).write(true).create(true).truncate(false), &path);
        let mut file = opened.map_err(|error| unusable(&error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                note_holder(&mut file).map_err(|error| unusable(&error))?;
                Ok(Self(Mutex::new(Some(file))))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(held(database, &path, &mut file)),
            Err(error) => Err(unusable(&error.into())),
        }
    }

    /// Lets another process take it.
    pub(super) fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Writes down who holds the lock. Only for the message of the process that is refused: the lock itself is the kernel's.
fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn held(database: &Path, lock: &Path, file: &mut File) -> JournalError {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    let holder = match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        (Ok(_) | Err(_), _) => "another process".to_owned(),
    };
    JournalError::Unusable(format!(
        "the database {} is in use by {holder}, which holds {}: one database serves one greenshift; stop the other one, \
         or give this one a database of its own",
        database.display(),
        lock.display()
    ))
}

/// Whether a file system can hold a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// Yes, as far as is known.
    Fit,
    /// Perhaps; the text says what may go wrong.
    Doubtful(&'static str),
    /// No: the name of the file system.
    Unfit(&'static str),
}

/// Judges a file system by its magic number (statfs(2)).
///
/// Those that several machines can mount are refused: WAL needs memory that all openers share, which ends at the
/// machine, and their locks and syncs are not to be relied on. FUSE and 9P are both: local and remote file systems wear
/// the same number, so they get a warning.
pub(super) const fn fitness(magic: u32) -> Fitness {
    match magic {
        0x6969 => Fitness::Unfit("NFS (which Amazon EFS is too)"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Fitness::Unfit("SMB/CIFS"),
        0x5346_414f | 0x6b41_4653 => Fitness::Unfit("AFS"),
        0x00c3_6400 => Fitness::Unfit("CephFS"),
        0x0bd0_0bd0 => Fitness::Unfit("Lustre"),
        0x4750_4653 => Fitness::Unfit("GPFS"),
        0x7461_636f => Fitness::Unfit("OCFS2"),
        0x0116_1970 => Fitness::Unfit("GFS2"),
        0x7375_7245 => Fitness::Unfit("Coda"),
        0x6573_5546 => Fitness::Doubtful("FUSE: make sure that it is local and that it honours fsync"),
        0x0102_1997 => Fitness::Doubtful("9P: make sure that it is local and that it honours fsync"),
        0x0102_1994 | 0x8584_58f6 => {
            Fitness::Doubtful("memory: the journal is lost when the machine or container stops")
        }
        0x794c_7630 => Fitness::Doubtful("a container's own layer: the journal is lost when the container is replaced"),
        _ => Fitness::Fit,
    }
}

/// Refuses file systems on which a database would break, and warns of doubtful ones.
#[cfg(target_os = "linux")]
pub(super) fn check_file_system(database: &Path) -> Result<(), JournalError> {
    let directory = database.parent().unwrap_or(database);
    let stat = rustix::fs::statfs(directory).map_err(|error| {
        JournalError::Unusable(format!("the file system of {} cannot be looked at: {error}", directory.display()))
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "magic numbers are 32 bits, zero-extended"
    )]
    let magic = stat.f_type as u32;
    match fitness(magic) {
        Fitness::Fit => Ok(()),
        Fitness::Doubtful(what) => {
            tracing::warn!(database = %database.display(), "the journal's database lies on {what}");
            Ok(())
        }
        Fitness::Unfit(name) => Err(JournalError::Unusable(format!(
            "the database {} lies on {name}, where SQLite loses data: put it on a local disk (such as EBS), or use \
             PostgreSQL",
            database.display()
        ))),
    }
}

/// Elsewhere the numbers mean other things: nothing is checked.
#[cfg(not(target_os = "linux"))]
pub(super) fn check_file_system(_database: &Path) -> Result<(), JournalError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_that_machines_share_are_refused_and_local_ones_are_not() {
        for (magic, local) in [(0xef53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683e, "btrfs"), (0x2fc1_2fc1, "zfs")] {
            assert_eq!(fitness(magic), Fitness::Fit, "{local}");
        }
        for (magic, shared) in [(0x6969, "nfs"), (0xff53_4d42, "cifs"), (0xfe53_4d42, "smb2"), (0x00c3_6400, "ceph")] {
            assert!(matches!(fitness(magic), Fitness::Unfit(_)), "{shared}");
        }
        for (magic, unclear) in [(0x6573_5546, "fuse"), (0x0102_1997, "9p"), (0x0102_1994, "tmpfs")] {
            assert!(matches!(fitness(magic), Fitness::Doubtful(_)), "{unclear}");
        }
    }

    #[test]
    fn one_database_has_one_lock_whatever_it_is_called() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        create_if_missing(&database).unwrap();
        let alias = directory.path().join("alias.db");
        std::os::unix::fs::symlink(&database, &alias).unwrap();
        assert_eq!(resolve(&alias).unwrap(), resolve(&database).unwrap());
    }

    #[test]
    fn the_one_that_is_refused_learns_who_holds_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("journal.db");
        let first = Lock::take(&database).unwrap();
        let refusal = Lock::take(&database).unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        assert!(refusal.contains("journal.db.lock"), "{refusal}");
        first.release();
        Lock::take(&database).unwrap();
    }
}
