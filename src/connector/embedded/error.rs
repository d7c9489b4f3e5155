//! *Owns* what the operator is told when a store cannot be used. *Promises* the directory, what is wrong with it and
//! what to do, in one sentence each.

use crate::storage::{Kind, Trouble};
use std::path::{Path, PathBuf};

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[error("storage directory {}: {what}; {hint}", directory.display())]
pub(super) struct StorageError {
    /// The directory as configured.
    pub(super) directory: PathBuf,
    /// What is wrong.
    pub(super) what: String,
    /// What to do.
    pub(super) hint: String,
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Self {
        Self::new(Kind::Lasting, error.what, error.hint)
    }
}

impl StorageError {
    pub(super) fn new(directory: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { directory: directory.to_path_buf(), what: what.into(), hint: hint.into() }
    }

    /// A system call failed while `doing` something.
    pub(super) fn system(directory: &Path, doing: &str, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "give the server's user read and write access to it",
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "free some disk space",
            std::io::ErrorKind::ReadOnlyFilesystem => "mount the file system writable, or configure another directory",
            _ => "check the path and the disk",
        };
        Self::new(directory, format!("cannot {doing}: {error}"), hint)
    }

    /// The files are not what was written.
    pub(super) fn damaged(directory: &Path, what: impl Into<String>) -> Self {
        Self::new(directory, what, "it is damaged: put back a backup, or configure an empty directory to start anew")
    }
}

/// A database error in words for a person.
pub(super) fn words(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => "an earlier write failed".into(),
        fjall::Error::Storage(fjall::LsmError::ChecksumMismatch { .. }) => "a block's checksum does not match".into(),
        fjall::Error::JournalRecovery(error) => format!("the journal cannot be replayed ({error:?})"),
        fjall::Error::Storage(error) => format!("the tables cannot be read ({error:?})"),
        other => format!("{other:?}"),
    }
}
