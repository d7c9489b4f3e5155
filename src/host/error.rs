//! Why a server does not start, and what to do about it.

use crate::config::Misplaced;
use crate::storage::OpenError;
use std::io;

/// Exit code where the kernel does not give what the host needs (`EX_UNAVAILABLE` of sysexits).
pub(super) const EXIT_KERNEL: u8 = 69;
/// Exit code of everything else that keeps a server from starting.
const EXIT_FAILED: u8 = 1;

/// What kept the server from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel refuses what the cores are built on.
    #[error("{what}; {remedy}")]
    Kernel {
        /// What is missing.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// The listening address cannot be had.
    #[error("cannot listen on {address}: {error}; {hint}")]
    Listen {
        /// As configured.
        address: String,
        /// What the kernel said.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The keys and certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] super::tls::TlsError),
    /// The store cannot be used.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// A thread could not be started.
    #[error("core {core} cannot be started: {what}")]
    Core {
        /// The shard's number.
        core: usize,
        /// Why.
        what: String,
    },
    /// What comes in cannot be written down.
    #[error("--tape {0}")]
    Tape(String),
    /// Logins cannot be judged.
    #[error("authentication: {0}")]
    Auth(String),
    /// What shows figures cannot be started.
    #[error("a reader of figures cannot be started: {0}")]
    Reader(io::Error),
    /// There is no place for the threads on this machine.
    #[error("cores.{}: {}; {}", .0.key, .0.what, .0.hint)]
    Placement(Misplaced),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// With what code the process ends.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Kernel { .. } => EXIT_KERNEL,
            _ => EXIT_FAILED,
        }
    }

    /// The event under which it is logged.
    pub fn event(&self) -> &'static str {
        "PLUGIN_INITIALIZATION_ERROR"
    }

    pub(super) fn listen(address: String, error: io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "stop the program that uses the port, or configure another (--port)",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE: configure another (--port)",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address: configure another (--host)",
            _ => "check httpServer.options.host and port",
        };
        Self::Listen { address, error, hint }
    }
}
