//! The server as a library: a configuration becomes a server in this process, and the server stops again.
//!
//! *Owns* how a server is put together and ended from outside of it. *Promises* that several can run in one process, and that
//! one can be started again in the place of another, port and directory, once [`Server::stop`] has returned. *Does not* read files or arguments, hear signals ([`foreground`]
//! does) or start the log: that is up to the program.
//!
//! ```no_run
//! use deepstream::config::Config;
//! use deepstream::server::Builder;
//!
//! let server = Builder::new(Config::default()).start().expect("port 6020 is free");
//! println!("{}", server.address());
//! server.stop();
//! ```

pub mod foreground;

use crate::config::{self, Config, Placement, Topology};
use crate::host::{self, StartError};
use crate::monitor::Snapshot;
use crate::reload::{self, Part};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Beyond the drain timeout, for the cores to notice that it is over.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Puts a server together.
#[must_use = "a server starts with `start`"]
pub struct Builder {
    config: Config,
    placement: Option<Placement>,
    on_end: Box<dyn Fn() + Send + Sync>,
}

impl Builder {
    /// Of a server that does what this says.
    pub fn new(config: Config) -> Self {
        Self { config, placement: None, on_end: Box::new(|| {}) }
    }

    /// Puts its threads there, and not where [`config::resolve`] finds room for them on this machine.
    pub fn placement(self, placement: Placement) -> Self {
        Self { placement: Some(placement), ..self }
    }

    /// Called, on its thread, by every shard that ends.
    pub fn on_end(self, on_end: impl Fn() + Send + Sync + 'static) -> Self {
        Self { on_end: Box::new(on_end), ..self }
    }

    /// Starts it. Once this returns, clients can connect.
    pub fn start(self) -> Result<Server, StartError> {
        let Self { config, placement, on_end } = self;
        let placement = match placement {
            Some(placement) => placement,
            None => config::resolve(&Topology::of_this_machine(), &config.cores).map_err(StartError::Placement)?,
        };
        let (tell, ended) = channel();
        let on_end = Arc::new(on_end);
        let inner = host::start(&config, &placement, move || {
            // Nobody listens any more if the start failed.
            let _ = tell.send(());
            on_end();
        })?;
        Ok(Server { inner, ended, drain_timeout: config.limits.drain_timeout })
    }
}

/// A running server. Dropped, it ends at once, with whatever is left undone.
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

    /// What every shard and service holds and has done.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.inner.snapshots()
    }

    /// Puts users, keys, certificates and rules of another configuration in force, or none of them, and says why.
    pub fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
        for swap in reload::prepare(&self.parts(), config)? {
            swap();
        }
        Ok(())
    }

    /// What of it can be replaced while it runs.
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

    /// Waits for this long after the latest shard that has ended. Whether all have.
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
