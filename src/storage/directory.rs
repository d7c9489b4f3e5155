//! *Owns* the directory of a store: whose it is, which format, that one process uses it, and how the database in it is
//! opened. *Promises* that nothing is written into a directory that is not a store. *Does not* look into records.

use super::StorageError;
use super::damage::Damage;
use super::error::words;
use super::journal;
use super::manifest;
use super::seal::{self, Seal};
use super::store::Store;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The file that makes a directory a store. Plain text, so that a person can read it and a later release can refuse or
/// convert before it opens the database; it is also what is locked.
const MARKER: &str = "deepstream-store";
const MAGIC: &str = "deepstream record store, format ";
/// Rises when a release can no longer be read by the one before.
const FORMAT: u32 = 1;
/// Where the database lives.
const DATABASE: &str = "records";
/// Locked by the database while it is open.
const DATABASE_LOCK: &str = "lock";
/// Where a database is made before it gets its name: half-made ones are never taken for whole.
const UNFINISHED: &str = "records.new";
/// Written by file systems and orderly to find in a directory that was just mounted.
const NOT_FOREIGN: &[&str] = &["lost+found", UNFINISHED, "deepstream-store.new"];

/// A locked directory that is a store of a format we know.
pub(super) struct Directory {
    path: PathBuf,
    /// Held for its lock.
    _marker: File,
    /// See [`journal::prepare`].
    holes_allowed: bool,
}

impl Directory {
    /// Makes `path` a store if it is empty, and locks it.
    pub(super) fn claim(path: &Path, holes_allowed: bool) -> Result<Self, StorageError> {
        let system = |doing: &str| {
            let doing = doing.to_owned();
            move |error: std::io::Error| StorageError::system(path, &doing, &error)
        };
        std::fs::create_dir_all(path).map_err(system("create it"))?;
        let marker_path = path.join(MARKER);
        if !marker_path.try_exists().map_err(system("look into it"))? {
            refuse_foreign(path)?;
            let temporary = path.join("deepstream-store.new");
            let mut file = File::create(&temporary).map_err(system("write into it"))?;
            file.write_all(format!("{MAGIC}{FORMAT}\n").as_bytes()).map_err(system("write into it"))?;
            file.sync_all().map_err(system("write into it"))?;
            std::fs::rename(&temporary, &marker_path).map_err(system("write into it"))?;
            sync_directory(path).map_err(system("write into it"))?;
        }
        let mut marker = File::options().read(true).write(true).open(&marker_path).map_err(system("open it"))?;
        lock(path, &marker)?;
        let mut text = String::new();
        marker.read_to_string(&mut text).map_err(|_| not_ours(path))?;
        check_format(path, &text)?;
        Ok(Self { path: path.to_path_buf(), _marker: marker, holes_allowed })
    }

    /// Opens the database; makes it first if there is none yet.
    pub(super) fn open(&self) -> Result<Store, StorageError> {
        let system = |error: std::io::Error| StorageError::system(&self.path, "make the database", &error);
        let database = self.database();
        if !database.try_exists().map_err(system)? {
            let unfinished = self.path.join(UNFINISHED);
            if unfinished.try_exists().map_err(system)? {
                std::fs::remove_dir_all(&unfinished).map_err(system)?;
            }
            drop(Store::open(&unfinished).map_err(|error| self.unopened(&error))?);
            std::fs::rename(&unfinished, &database).map_err(system)?;
            sync_directory(&self.path).map_err(system)?;
            return self.open_database();
        }
        let system = |error: std::io::Error| StorageError::system(&self.path, "read its seal", &error);
        match seal::check(&self.path, &database).map_err(system)? {
            Seal::Intact => {
                seal::remove(&self.path).map_err(system)?;
                self.open_database()
            }
            Seal::Broken(what) => Err(StorageError::damaged(&self.path, what)),
            Seal::Absent => {
                tracing::info!("storage was not closed in order; its journals are checked");
                self.reopen()
            }
        }
    }

    /// Opens the database after a failure or a crash.
    pub(super) fn reopen(&self) -> Result<Store, StorageError> {
        self.check_closed()?;
        let prepared = journal::prepare(&self.database(), self.holes_allowed);
        prepared.map_err(|damage| self.damaged("prepare its journals", damage))?;
        self.open_database()
    }

    /// The database locks a file of its own. While a lookup still holds a handle to the failed database, that one may
    /// write the rest of its buffer when it is dropped: not into journals that we just put in order.
    fn check_closed(&self) -> Result<(), StorageError> {
        let system = |error: std::io::Error| StorageError::system(&self.path, "lock the database", &error);
        match File::open(self.database().join(DATABASE_LOCK)).map_err(system)?.try_lock() {
            Ok(()) => Ok(()),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(StorageError::new(&self.path, "its database is still being closed", "wait a moment"))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(system(error)),
        }
    }

    fn open_database(&self) -> Result<Store, StorageError> {
        let database = self.database();
        manifest::check(&database).map_err(|damage| self.damaged("read its lists of tables", damage))?;
        Store::open(&database).map_err(|error| self.unopened(&error))
    }

    fn damaged(&self, doing: &str, damage: Damage) -> StorageError {
        match damage {
            Damage::Io(error) => StorageError::system(&self.path, doing, &error),
            Damage::Found(what) => StorageError::damaged(&self.path, what),
        }
    }

    /// Marks the closed database as complete.
    pub(super) fn seal(&self) -> Result<(), StorageError> {
        seal::write(&self.path, &self.database())
            .map_err(|error| StorageError::system(&self.path, "write its seal", &error))
    }

    fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    fn unopened(&self, error: &fjall::Error) -> StorageError {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                StorageError::system(&self.path, "open the database", error)
            }
            error => StorageError::damaged(&self.path, words(error)),
        }
    }
}

fn refuse_foreign(path: &Path) -> Result<(), StorageError> {
    let system = |error: std::io::Error| StorageError::system(path, "look into it", &error);
    for entry in std::fs::read_dir(path).map_err(system)? {
        let name = entry.map_err(system)?.file_name();
        if !NOT_FOREIGN.iter().any(|known| name == *known) {
            let what = format!("is not a deepstream store, but holds {}", name.to_string_lossy());
            return Err(StorageError::new(path, what, "configure an empty directory, or one that does not exist yet"));
        }
    }
    Ok(())
}

fn lock(path: &Path, marker: &File) -> Result<(), StorageError> {
    marker.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => StorageError::new(
            path,
            "is in use by another server",
            "stop that server, or configure another directory for this one",
        ),
        std::fs::TryLockError::Error(error) => StorageError::system(path, "lock it", &error),
    })
}

fn not_ours(path: &Path) -> StorageError {
    StorageError::damaged(path, format!("its file {MARKER} is not what a deepstream server writes"))
}

fn check_format(path: &Path, text: &str) -> Result<(), StorageError> {
    let format = text.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix('\n')).and_then(|rest| rest.parse().ok());
    match format {
        Some(FORMAT) => Ok(()),
        Some(newer @ FORMAT..) => Err(StorageError::new(
            path,
            format!("has format {newer}, this release reads up to format {FORMAT}"),
            "start the newer release that wrote it, or configure another directory",
        )),
        _ => Err(not_ours(path)),
    }
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
