//! *Owns* the answer to connections that are refused for lack of descriptors. *Promises* that clients of HTTP are told,
//! and that the log is not flooded. *Does not* decide who is refused: the ring does.

use super::descriptors::Descriptors;
use super::listen::ListenerSettings;
use crate::note;
use deepstream_engine::Nanos;
use deepstream_wire::Medium;
use rustix::net::{self, SendFlags};
use std::net::TcpStream;
use std::sync::Arc;

/// The first refusal is logged at once, later ones are counted and logged together after this time.
const TELL_EVERY_NS: u64 = 10_000_000_000;
/// The answer to connections that may speak HTTP.
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\ncontent-length: 0\r\n\r\n";

/// Refusals that were not logged yet.
#[derive(Debug)]
pub(super) struct Refusals {
    descriptors: Arc<Descriptors>,
    no_descriptor: u64,
    /// Nothing is logged before.
    quiet_until: Nanos,
}

impl Refusals {
    pub(super) fn new(descriptors: Arc<Descriptors>) -> Self {
        Self { descriptors, no_descriptor: 0, quiet_until: Nanos::default() }
    }

    /// When there is something to log.
    pub(super) fn due(&self) -> Option<Nanos> {
        (self.no_descriptor > 0).then_some(self.quiet_until)
    }

    /// Logs what is due.
    pub(super) fn tell(&mut self, now: Nanos) {
        if self.due().is_none_or(|at| at > now) {
            return;
        }
        self.quiet_until = now.after(TELL_EVERY_NS);
        note::no_descriptors(std::mem::take(&mut self.no_descriptor), self.descriptors.max());
    }

    /// Refuses a connection for which there is no descriptor. If HTTP may be spoken on it an answer is sent, if that is
    /// possible without waiting.
    pub(super) fn refuse(
        &mut self,
        stream: &TcpStream,
        ListenerSettings { medium, tls, .. }: &ListenerSettings,
        now: Nanos,
    ) {
        if *medium == Medium::Web && tls.is_none() {
            // If this fails the client only sees the connection close.
            let _ = net::send(stream, UNAVAILABLE, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
        self.no_descriptor += 1;
        self.descriptors.refused_one();
        self.tell(now);
    }
}
