//! *Owns* the meaning of signals. *Promises* that none is missed once [`on_signals`] has returned. *Does not* stop or
//! reload anything.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To end; with the signal's name.
    Stop(&'static str),
    /// SIGHUP: to read the configuration again.
    Reload,
    /// SIGUSR1: to log the figures of the server.
    Report,
}

/// Calls `told` with every SIGINT, SIGTERM, SIGHUP and SIGUSR1 from now on, on a thread of its own.
pub fn on_signals(mut told: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    let deliver = move || {
        for signal in signals.forever() {
            told(match signal {
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::Report,
                SIGINT => Signal::Stop("SIGINT"),
                _ => Signal::Stop("SIGTERM"),
            });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(deliver).map(drop)
}
