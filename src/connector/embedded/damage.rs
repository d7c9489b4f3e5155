//! *Owns* the answer of a look into files: fine, unreadable, or damaged. *Promises* nothing else.

/// Why files cannot be used.
#[derive(Debug)]
pub(super) enum Damage {
    /// A system call failed.
    Io(std::io::Error),
    /// They are not what was once written; in words.
    Found(String),
}

impl From<std::io::Error> for Damage {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
