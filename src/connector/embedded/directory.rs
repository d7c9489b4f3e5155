//! *Owns* the directory of a store: the marker file with the format, the lock by which one process uses it, and how the
//! database in it is opened. *Promises* that nothing is written into a directory that is not a store. *Does not* look
//! into records.

use super::StorageError;
use super::damage::Damage;
use super::error::words;
use super::fences::Fences;
use super::journal;
use super::manifest;
use super::place::Place;
use super::reserve::Reserve;
use super::say;
use super::seal::{self, Seal};
use super::stamp::Key;
use super::store::Store;
use super::watermark::Watermark;
use crate::log::Level;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The file that makes a directory a store. Plain text, so that a person can read it and a later release can refuse or
/// convert before it opens the database; it is also what is locked.
const MARKER: &str = "deepstream-store";
const MAGIC: &str = "deepstream record store, format ";
/// Rises when a release can no longer be read by the one before.
const FORMAT: u32 = 2;
/// The format before batches had stamps.
const FORMAT_WITHOUT_STAMPS: u32 = 1;
/// Where the database lives.
const DATABASE: &str = "records";
/// Locked by the database while it is open.
const DATABASE_LOCK: &str = "lock";
/// Where a database is made before it gets its name: half-made ones are never taken for whole.
const UNFINISHED: &str = "records.new";
/// What to do if the directory was moved.
pub(super) const MOVED_HINT: &str = "put it back, or restart the server";
/// Created by file systems, so they may be in a directory that was just mounted.
const NOT_FOREIGN: &[&str] =
    &["lost+found", UNFINISHED, "deepstream-store.new", "journal-key", "journal-key.new", "acknowledged", "reserve"];

/// A locked directory that is a store of a format we know.
pub(super) struct Directory {
    path: PathBuf,
    /// Kept open for its lock.
    marker: File,
    format: u32,
    key: Key,
    watermark: Watermark,
    pub(super) reserve: Reserve,
    pub(super) fences: Fences,
    place: Option<Place>,
}

impl Directory {
    /// Makes `path` a store if it is empty, and locks it.
    pub(super) fn claim(path: &Path) -> Result<Self, StorageError> {
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
            file.write_all(marker_text().as_bytes()).map_err(system("write into it"))?;
            file.sync_all().map_err(system("write into it"))?;
            std::fs::rename(&temporary, &marker_path).map_err(system("write into it"))?;
            sync_directory(path).map_err(system("write into it"))?;
        }
        let mut marker = File::options().read(true).write(true).open(&marker_path).map_err(system("open it"))?;
        lock(path, &marker)?;
        let mut text = String::new();
        marker.read_to_string(&mut text).map_err(|_| not_ours(path))?;
        let format = check_format(path, &text)?;
        let key = match Key::read(path)? {
            Some(key) => key,
            None if format == FORMAT && path.join(DATABASE).exists() => {
                return Err(StorageError::damaged(path, "its file journal-key is missing"));
            }
            None => Key::draw().map_err(|error| {
                StorageError::new(
                    path,
                    format!("cannot draw a random key: {error}"),
                    "check the system's random numbers",
                )
            })?,
        };
        let watermark = Watermark::open(path).map_err(system("write into it"))?;
        let reserve = Reserve::new(path);
        let fences = Fences::read(path)?;
        Ok(Self { path: path.to_path_buf(), marker, format, key, watermark, reserve, fences, place: None })
    }

    /// Opens the database; makes it first if there is none yet.
    pub(super) fn open(&mut self) -> Result<Store, StorageError> {
        let database = self.database();
        let exists = database.try_exists().map_err(|error| self.cannot("look into it", &error))?;
        if !exists {
            let known = self.watermark.read().map_err(|error| self.cannot("read what was acknowledged", &error))?;
            if known > 0 || seal::exists(&self.path) {
                return Err(StorageError::damaged(&self.path, format!("its directory {DATABASE} is missing")));
            }
            self.create().map_err(|error| match error {
                fjall::Error::Io(error) => self.cannot("make the database", &error),
                error => self.unopened(&error),
            })?;
        }
        let seal = seal::check(&self.path, &database).map_err(|error| self.cannot("read its seal", &error))?;
        match seal {
            Seal::Intact => {
                seal::remove(&self.path).map_err(|error| self.cannot("remove its seal", &error))?;
            }
            Seal::Broken(what) => return Err(StorageError::damaged(&self.path, what)),
            Seal::Absent if exists => {
                say(Level::Info, "storage was not closed in order; its journals are checked");
                self.prepare()?;
            }
            Seal::Absent => {}
        }
        let store = self.open_database()?;
        if self.format == FORMAT_WITHOUT_STAMPS {
            self.convert(&store)?;
        }
        self.opened(&store)?;
        Ok(store)
    }

    /// Opens the database after a failure.
    pub(super) fn reopen(&mut self) -> Result<Store, StorageError> {
        // If another directory lies at the path now, it is not locked by us.
        self.check_place().map_err(|what| StorageError::new(&self.path, what, MOVED_HINT))?;
        self.check_closed()?;
        self.prepare()?;
        let store = self.open_database()?;
        self.opened(&store)?;
        Ok(store)
    }

    /// Checks that writes still go to the configured path; else says what happened to the directory.
    pub(super) fn check_place(&mut self) -> Result<(), String> {
        self.place.as_mut().map_or(Ok(()), Place::check)
    }

    /// Records that everything up to this batch is on the disk. Failing to do so does no harm, because an older number
    /// does none.
    pub(super) fn acknowledge(&self, number: u64) {
        let _ = self.watermark.put(number);
    }

    /// Makes the database under another name, with its first batch, and gives it its name once it is whole.
    fn create(&mut self) -> Result<(), fjall::Error> {
        let unfinished = self.path.join(UNFINISHED);
        if unfinished.try_exists()? {
            std::fs::remove_dir_all(&unfinished)?;
        }
        self.key.write(&self.path)?;
        self.watermark.put_durably(0)?;
        let store = Store::open(&unfinished, self.key.clone(), self.reserve.bytes())?;
        store.begin()?;
        drop(store);
        self.write_marker()?;
        std::fs::rename(&unfinished, self.database())?;
        sync_directory(&self.path)?;
        Ok(())
    }

    /// Gives the store of an earlier release its key. A crash in between leaves it as it was, except for one entry in
    /// the database under a name that no client can use.
    fn convert(&mut self, store: &Store) -> Result<(), StorageError> {
        store.begin().map_err(|error| self.unopened(&error))?;
        let convert = |directory: &mut Self| {
            directory.key.converted = journal::list(&directory.database())?.last().map(|(number, _)| *number);
            directory.key.write(&directory.path)?;
            directory.write_marker()
        };
        convert(self).map_err(|error| self.cannot("convert it from format 1", &error))?;
        let text = format!("storage was converted from format {FORMAT_WITHOUT_STAMPS} to format {FORMAT}");
        say(Level::Info, &text);
        Ok(())
    }

    /// Written in place, because the lock is on this file. Old and new text differ in one byte, so the write cannot be
    /// torn.
    fn write_marker(&mut self) -> std::io::Result<()> {
        self.marker.write_all_at(marker_text().as_bytes(), 0)?;
        self.marker.sync_all()?;
        self.format = FORMAT;
        Ok(())
    }

    fn prepare(&self) -> Result<(), StorageError> {
        if self.format == FORMAT_WITHOUT_STAMPS {
            return journal::prepare_without_stamps(&self.database()).map_err(|damage| match damage {
                Damage::Io(error) => self.cannot("prepare its journals", &error),
                Damage::Found(what) => StorageError::new(
                    &self.path,
                    format!("was last used by an earlier release, which was not stopped in order, and {what}"),
                    "start that release on it once more and stop it",
                ),
            });
        }
        journal::prepare(&self.database(), &self.key, &self.watermark)
            .map_err(|damage| self.damaged("prepare its journals", damage))
    }

    /// The last check before the database is used: that all acknowledged batches are in it.
    fn opened(&mut self, store: &Store) -> Result<(), StorageError> {
        let known = self.watermark.read().map_err(|error| self.cannot("read what was acknowledged", &error))?;
        let missing = known.saturating_sub(store.durable());
        if missing > 0 || store.durable() == 0 {
            return Err(StorageError::damaged(
                &self.path,
                format!("{missing} acknowledged writes are missing from it"),
            ));
        }
        self.watermark
            .put_durably(store.durable())
            .and_then(|()| Place::of(&self.path.join(MARKER), &self.database()))
            .map(|place| self.place = Some(place))
            .map_err(|error| self.cannot("note what is in it", &error))
    }

    /// Fails if the database is still open somewhere, which shows by the lock on its own file. A lookup may still hold
    /// a handle to the failed database, which may write the rest of its buffer when it is dropped, and would write it
    /// into journals that were just repaired.
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
        Store::open(&database, self.key.clone(), self.reserve.bytes()).map_err(|error| self.unopened(&error))
    }

    fn damaged(&self, doing: &str, damage: Damage) -> StorageError {
        match damage {
            Damage::Io(error) => StorageError::system(&self.path, doing, &error),
            Damage::Found(what) => StorageError::damaged(&self.path, what),
        }
    }

    fn cannot(&self, doing: &str, error: &std::io::Error) -> StorageError {
        StorageError::system(&self.path, doing, error)
    }

    /// Marks the closed database as complete.
    pub(super) fn seal(&mut self) -> Result<(), StorageError> {
        self.check_place().map_err(|what| StorageError::new(&self.path, what, MOVED_HINT))?;
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

fn marker_text() -> String {
    format!("{MAGIC}{FORMAT}\n")
}

fn check_format(path: &Path, text: &str) -> Result<u32, StorageError> {
    let format = text.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix('\n')).and_then(|rest| rest.parse().ok());
    match format {
        Some(known @ FORMAT_WITHOUT_STAMPS..=FORMAT) => Ok(known),
        Some(newer) if newer > FORMAT => Err(StorageError::new(
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
