//! *Owns* the error type of everything that inspects the store's files: unreadable, or damaged.

/// Why files cannot be used.
#[derive(Debug)]
pub(super) enum Damage {
    /// A system call failed.
    Io(std::io::Error),
    /// Their content is not what was written; in words.
    Found(String),
}

impl From<std::io::Error> for Damage {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
