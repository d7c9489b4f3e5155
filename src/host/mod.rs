//! The host: everything between the kernel and the shards. Starts the cores, stops them, and says what happened.
//!
//! *Owns* the order of starting and stopping. *Promises* that a server which cannot run says what is missing and how to get
//! it, before it serves anybody, and that one that is told to stop tells its clients, keeps what it acknowledged, and ends
//! within the configured time. *Does not* take part in a turn.

mod admission;
mod bell;
mod clock;
mod control;
mod core;
mod descriptors;
mod endings;
mod error;
mod http;
mod listen;
mod protect;
mod refusals;
mod renewal;
mod report;
mod request;
mod ring;
mod socket;
mod start;
mod tape;
mod tls;
mod trim;
mod verdicts;

pub use error::StartError;
pub use start::{REPORT_PATIENCE, Server, start};
pub use tls::TlsError;

use crate::config::{Config, Placement, StartArguments};
use crate::log::{Level, note};
use crate::reload::Reloader;
use crate::service::{self, Signal};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What can happen to a running server.
enum Event {
    Signal(Signal),
    Ended,
}

/// Exit code after a second signal, or when cores did not end in time.
const EXIT_IMPATIENT: u8 = 130;
/// Beyond the drain timeout, for the cores to notice that it is over.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Whether this kernel gives what the cores are built on, and what they would have to do without.
pub fn probe() -> Result<Vec<&'static str>, StartError> {
    ring::probe().map_err(|missing| StartError::missing(&missing))
}

/// Serves until a signal says otherwise; SIGHUP reads the configuration again, as `arguments` say. Gives the exit code.
pub fn run(config: &Config, placement: &Placement, arguments: &StartArguments) -> Result<u8, StartError> {
    let (tell, events) = channel();
    let on_end = tell.clone();
    service::on_signals(move |signal| drop(tell.send(Event::Signal(signal)))).map_err(StartError::Signals)?;
    let server = start(config, placement, move || drop(on_end.send(Event::Ended)))?;
    note(Level::Info, "INFO", "Deepstream started");
    let mut reloader = Reloader::new(arguments, config, server.parts());
    // Cores end only when they are told to: until then events are signals.
    while let Ok(Event::Signal(signal)) = events.recv() {
        match signal {
            Signal::Reload => drop(reloader.reload()),
            Signal::Report => server.report(),
            Signal::Stop(name) => {
                note(Level::Info, "INFO", &format!("received {name}: stopping"));
                break;
            }
        }
    }
    drop(reloader);
    server.ask_to_stop();
    let mut running = server.shards();
    let mut patience = config.limits.drain_timeout;
    while running > 0 {
        match events.recv_timeout(patience) {
            Ok(Event::Ended) => running -= 1,
            Ok(Event::Signal(Signal::Reload)) => {}
            Ok(Event::Signal(Signal::Report)) => server.report(),
            Ok(Event::Signal(Signal::Stop(name))) => {
                note(Level::Warn, "INFO", &format!("received {name} again: ending at once"));
                return Ok(EXIT_IMPATIENT);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if server.gave_up() => return Ok(EXIT_IMPATIENT),
            Err(RecvTimeoutError::Timeout) => {
                note(Level::Warn, "INFO", "limits.drainTimeoutMs is over: closing what is left");
                server.give_up();
                patience = GIVE_UP;
            }
        }
    }
    server.finish();
    note(Level::Info, "INFO", "Deepstream stopped");
    Ok(0)
}
