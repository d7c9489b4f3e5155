//! The process as its supervisor sees it: signals.
//!
//! *Owns* which signals mean what. *Promises* that none is missed once [`on_signals`] returned. *Does not* stop anything.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;

/// Calls `told` with the name of every SIGINT and SIGTERM from now on, on a thread of its own.
pub fn on_signals(mut told: impl FnMut(&'static str) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let deliver = move || {
        for signal in signals.forever() {
            told(if signal == SIGINT { "SIGINT" } else { "SIGTERM" });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(deliver).map(drop)
}
