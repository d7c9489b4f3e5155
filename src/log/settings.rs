//! The settings of the log, with the words for them in the configuration.

use super::Level;

/// `logLevel`, `logger`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Lines below this level are not written.
    pub level: Level,
    /// Text for humans or JSON in pino's shape.
    pub format: LogFormat,
    /// Which lines are coloured.
    pub colors: Colors,
    /// Which lines begin with the time.
    pub timestamps: Timestamps,
}

/// When log lines begin with the time; those in JSON always say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// `timestamps: false`.
    Never,
    /// `timestamps: auto`: in files only. Readers of a pipe or a socket, such as journald and container runtimes, add
    /// the time themselves.
    InFiles,
    /// `timestamps: true`.
    Always,
}

/// When log lines are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// `colors: false`.
    Never,
    /// `colors: true`: on terminals, not in files or pipes.
    OnTerminal,
    /// `--colors true`.
    Always,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `EVENT | message`.
    Human,
    /// One JSON object per line, in the shape of the pino logger.
    Json,
}
