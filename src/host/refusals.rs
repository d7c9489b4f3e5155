//! *Owns* what connections are told that are refused for want of descriptors. *Promises* that whoever speaks HTTP is told so, and
//! the log not more often than anybody would read it. *Does not* decide who is refused: the ring does.

use super::descriptors::Descriptors;
use super::listen::DoorKind;
use crate::note;
use deepstream_engine::Nanos;
use deepstream_wire::Medium;
use rustix::net::{self, SendFlags};
use std::net::TcpStream;
use std::sync::Arc;

/// The first refusal is told at once; how long those behind it are counted before they are told together.
const TELL_EVERY_NS: u64 = 10_000_000_000;
/// What a connection that may speak HTTP is told.
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\ncontent-length: 0\r\n\r\n";

/// What was not told yet.
#[derive(Debug)]
pub(super) struct Refusals {
    descriptors: Arc<Descriptors>,
    no_descriptor: u64,
    /// Nothing is told before.
    quiet_until: Nanos,
}

impl Refusals {
    pub(super) fn new(descriptors: Arc<Descriptors>) -> Self {
        Self { descriptors, no_descriptor: 0, quiet_until: Nanos::default() }
    }

    /// When there is something to tell.
    pub(super) fn due(&self) -> Option<Nanos> {
        (self.no_descriptor > 0).then_some(self.quiet_until)
    }

    /// Tells what is due.
    pub(super) fn tell(&mut self, now: Nanos) {
        if self.due().is_none_or(|at| at > now) {
            return;
        }
        self.quiet_until = now.after(TELL_EVERY_NS);
        note::no_descriptors(std::mem::take(&mut self.no_descriptor), self.descriptors.max());
    }

    /// There is no descriptor to spare for a connection through a door of this kind. Who speaks HTTP on it is told, if that can
    /// be done at once.
    pub(super) fn refuse(&mut self, stream: &TcpStream, DoorKind { medium, tls, .. }: &DoorKind, now: Nanos) {
        if *medium == Medium::Web && tls.is_none() {
            // Whoever is not reached is told by the end of the connection.
            let _ = net::send(stream, UNAVAILABLE, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
        self.no_descriptor += 1;
        self.descriptors.refused_one();
        self.tell(now);
    }
}
