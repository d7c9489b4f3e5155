//! The errors of a configuration that cannot be used, as an operator reads them.
//!
//! *Owns* the form of the message. *Promises* that it names the file, and the line wherever there is one. *Does not*
//! print or exit.

use std::fmt;
use std::path::{Path, PathBuf};

/// Exit code of a process whose configuration cannot be used (`EX_CONFIG` of sysexits).
pub const EXIT_CODE: i32 = 78;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file it was found in; empty when no file is involved.
    pub file: PathBuf,
    /// Line in that file, from 1.
    pub line: Option<usize>,
    /// Column in that line, from 1; only given for files that `fileLoad` brings in, whose lines may be long.
    pub column: Option<u32>,
    /// The key, from the top: `httpServer.options.port`. Empty when the fault lies outside of any key.
    pub path: String,
    /// What is wrong, as a sentence without its full stop.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl ConfigError {
    /// An error about a whole file.
    pub(crate) fn of_file(file: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            path: String::new(),
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// An error at a line of a file, outside of any key.
    pub(crate) fn at_line(file: &Path, line: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::of_file(file, what, hint) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(out, "{}", self.file.display())?;
            if let Some(line) = self.line {
                write!(out, ":{line}")?;
                if let Some(column) = self.column {
                    write!(out, ":{column}")?;
                }
            }
            write!(out, ": ")?;
        }
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        write!(out, "{}", self.what)?;
        if !self.hint.is_empty() {
            write!(out, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// Why a file could not be read: the part of the message that follows its name.
pub(crate) fn unreadable(fault: &std::io::Error) -> String {
    match fault.kind() {
        std::io::ErrorKind::IsADirectory => "is a directory, not a file".to_owned(),
        std::io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        _ => format!("cannot be read: {fault}"),
    }
}

/// Everything that is wrong with the configuration, in the order of the file, so that one start shows it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
impl std::error::Error for ConfigErrors {}
