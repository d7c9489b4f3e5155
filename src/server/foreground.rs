//! Runs a server as the only task of a process: signals stop it and make it read its configuration again.
//!
//! *Owns* the effect of signals, and the exit code. *Promises* that a first signal stops the server in order, and a
//! second one at once. *Does not* know how a server is put together.

use super::{Builder, GIVE_UP};
use crate::config::{Config, Placement, StartArguments};
use crate::host::StartError;
use crate::log::{Level, note};
use crate::reload::Reloader;
use crate::service::{self, Signal};
use std::sync::mpsc::{RecvTimeoutError, channel};

/// What can happen to a running server.
enum Event {
    Signal(Signal),
    Ended,
    /// Another server has taken over the store; in words.
    Deposed(String),
}

/// Exit code of a server whose store was taken over.
const EXIT_DEPOSED: u8 = 1;
/// Exit code after a second signal, or when cores did not end in time.
const EXIT_IMPATIENT: u8 = 130;

/// Serves until a signal stops it; on SIGHUP it reads the configuration again, with these `arguments`. Gives the exit
/// code.
pub fn run(config: &Config, placement: &Placement, arguments: &StartArguments) -> Result<u8, StartError> {
    let (tell, events) = channel();
    let (on_end, on_deposed) = (tell.clone(), tell.clone());
    service::on_signals(move |signal| drop(tell.send(Event::Signal(signal)))).map_err(StartError::Signals)?;
    let builder = Builder::new(config.clone()).placement(placement.clone());
    let builder = builder.on_end(move || drop(on_end.send(Event::Ended)));
    let builder = builder.on_deposed(move |why| drop(on_deposed.send(Event::Deposed(why.to_owned()))));
    let server = builder.start()?;
    note(Level::Info, "INFO", "Deepstream started");
    let mut reloader = Reloader::new(arguments, config, server.parts());
    // Cores only end when they are told to.
    while let Ok(event) = events.recv() {
        match event {
            Event::Signal(Signal::Reload) => drop(reloader.reload()),
            Event::Signal(Signal::Report) => server.inner.report(),
            Event::Signal(Signal::Stop(name)) => {
                note(Level::Info, "INFO", &format!("received {name}: stopping"));
                break;
            }
            Event::Deposed(why) => return Ok(deposed(&why)),
            Event::Ended => break,
        }
    }
    drop(reloader);
    server.inner.ask_to_stop();
    let mut running = server.inner.shards();
    let mut patience = config.limits.drain_timeout;
    while running > 0 {
        match events.recv_timeout(patience) {
            Ok(Event::Ended) => running -= 1,
            Ok(Event::Deposed(why)) => return Ok(deposed(&why)),
            Ok(Event::Signal(Signal::Reload)) => {}
            Ok(Event::Signal(Signal::Report)) => server.inner.report(),
            Ok(Event::Signal(Signal::Stop(name))) => {
                note(Level::Warn, "INFO", &format!("received {name} again: ending at once"));
                return Ok(EXIT_IMPATIENT);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if server.inner.gave_up() => return Ok(EXIT_IMPATIENT),
            Err(RecvTimeoutError::Timeout) => {
                note(Level::Warn, "INFO", "limits.drainTimeoutMs is over: closing what is left");
                server.inner.give_up();
                patience = GIVE_UP;
            }
        }
    }
    server.inner.finish();
    note(Level::Info, "INFO", "Deepstream stopped");
    Ok(0)
}

/// The end of a server whose store was taken over. It does not drain: it cannot store anything, and the sooner its clients
/// are gone the sooner they are with the other.
fn deposed(why: &str) -> u8 {
    note(Level::Fatal, "STORAGE", &format!("{why}. This server ends"));
    EXIT_DEPOSED
}
