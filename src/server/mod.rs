//! The server as a library: a configuration becomes a server in this process, and the server stops again.
//!
//! *Owns* how another program starts and stops a server. *Promises* that several can run in one process, and that one
//! can be started again in the place of another, port and directory, once [`Server::stop`] has returned. *Does not*
//! read files or arguments, hear signals ([`foreground`] does) or start the log: that is up to the program.
//!
//! ```no_run
//! use deepstream::config::Config;
//! use deepstream::server::Builder;
//!
//! let server = Builder::new(Config::default()).start().expect("port 6020 is free");
//! println!("{}", server.address());
//! server.stop();
//! ```
//!
//! Beside the configuration, the program may bring its own storage ([`Builder::storage`]), ways to log in
//! ([`Builder::authentication`]), and readers of figures ([`Builder::monitor`]). `docs/library.md` has an example of
//! each.

pub mod foreground;

/// Compiles the samples of the book.
#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct Book;

use crate::auth::Method;
use crate::config::{self, Config, Placement, Topology};
use crate::host::{self, Members, StartError};
use crate::monitor::{Reader, Snapshot};
use crate::reload::{self, Part};
use crate::storage::Driver;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Additional time after the drain timeout, for the cores to notice that it is over.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Configures and starts a server.
#[must_use = "a server starts with `start`"]
pub struct Builder {
    config: Config,
    placement: Option<Placement>,
    members: Members,
    on_end: Box<dyn Fn() + Send + Sync>,
}

impl Builder {
    /// A builder for a server with this configuration.
    pub fn new(config: Config) -> Self {
        Self { config, placement: None, members: Members::default(), on_end: Box::new(|| {}) }
    }

    /// Places its threads like this, instead of where [`config::resolve`] would place them on this machine.
    pub fn placement(self, placement: Placement) -> Self {
        Self { placement: Some(placement), ..self }
    }

    /// Keeps records with this driver, whatever the configuration says about storage.
    pub fn storage(mut self, driver: impl Driver) -> Self {
        self.members.storage(driver);
        self
    }

    /// Judges logins with this where [`Config::auth`] has [`AuthMethod::member`](config::AuthMethod::member) of this name, also after
    /// a reload.
    pub fn authentication(mut self, name: &str, method: impl Method) -> Self {
        self.members.authentication(name, method);
        self
    }

    /// Shows figures with this. There may be several.
    pub fn monitor(mut self, reader: impl Reader) -> Self {
        self.members.reader(reader);
        self
    }

    /// Sets a function that every shard calls, on its own thread, when it ends.
    pub fn on_end(self, on_end: impl Fn() + Send + Sync + 'static) -> Self {
        Self { on_end: Box::new(on_end), ..self }
    }

    /// Sets a function that is told, in words, that another server has taken over the store, on a thread of the store. From
    /// then on this one stores nothing: it acknowledges no write, and should be stopped. Without, it only logs that.
    pub fn on_deposed(mut self, on_deposed: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.members.deposed(on_deposed);
        self
    }

    /// Starts it. Once this returns, clients can connect.
    pub fn start(self) -> Result<Server, StartError> {
        let Self { config, placement, members, on_end } = self;
        let placement = match placement {
            Some(placement) => placement,
            None => config::resolve(&Topology::of_this_machine(), &config.cores).map_err(StartError::Placement)?,
        };
        let (tell, ended) = channel();
        let on_end = Arc::new(on_end);
        let inner = host::start(&config, &placement, members, move || {
            // If this fails the start has failed, and nothing listens.
            let _ = tell.send(());
            on_end();
        })?;
        Ok(Server { inner, ended, drain_timeout: config.limits.drain_timeout })
    }
}

/// A running server. If it is dropped it ends at once, without finishing what is under way.
pub struct Server {
    inner: host::Server,
    ended: Receiver<()>,
    drain_timeout: Duration,
}

/// How a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All clients were told, and all that was acknowledged is kept.
    InOrder,
    /// `limits.drainTimeoutMs` was over before that.
    Late,
}

impl Server {
    /// Where it listens for HTTP and WebSocket.
    pub fn address(&self) -> SocketAddr {
        self.inner.address()
    }

    /// The figures of every shard and service.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.inner.figures().snapshots()
    }

    /// Puts users, keys, certificates and rules of another configuration in force, or none of them, and says why.
    pub fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
        for swap in reload::prepare(&self.parts(), config)? {
            swap();
        }
        Ok(())
    }

    /// The parts that can be replaced while it runs.
    pub fn parts(&self) -> Vec<Box<dyn Part>> {
        self.inner.parts()
    }

    /// Closes all connections, finishes what is under way, and ends.
    pub fn stop(self) -> Stopped {
        self.inner.ask_to_stop();
        if self.wait(self.drain_timeout) {
            self.inner.finish();
            return Stopped::InOrder;
        }
        self.inner.give_up();
        self.inner.finish();
        Stopped::Late
    }

    /// Waits until all shards have ended, at most this long for the next one. Returns whether all have.
    fn wait(&self, patience: Duration) -> bool {
        loop {
            match self.ended.recv_timeout(patience) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}
