//! What a shard says to other cores, asks of the world and tells people.
//!
//! *Owns* the packet lanes, the questions and the notes that wait for the host, what is counted, and the tape on which all of it
//! is written down. *Promises* that what was put last is drained last. *Does not* know connections, nor what is said to them.

use crate::ident::{Nanos, NodeId, Place, Ticket};
use crate::output::{HostRequest, Note};
use crate::packet::{Lane, Packet};
use crate::tape::recorder::Tape;
use crate::view::Row;

/// See the module.
#[derive(Debug)]
pub(crate) struct Outputs {
    core: Place,
    places: Row,
    backlog_packets_max: usize,
    /// Packets per peer, as they stand in the row, and lane.
    pub(crate) packets: Vec<[Vec<Packet>; 2]>,
    pub(crate) host_requests: Vec<HostRequest>,
    pub(crate) notes: Vec<Note>,
    /// Whether notes of level debug are wanted.
    pub(crate) verbose: bool,
    pub(crate) counters: Counters,
    /// Moment of the input being handled.
    pub(crate) now: Nanos,
    /// Where inputs are written down, if they are.
    pub(crate) tape: Option<Box<Tape>>,
    /// Bytes of answers that were ever sent to other cores.
    pub(crate) posted_bytes: u64,
    ticket: u64,
}

/// What happened on this shard since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connected: u64,
    /// Connections refused because of their number.
    pub refused_connections: u64,
    /// Logins accepted.
    pub logins: u64,
    /// Logins refused.
    pub refused_logins: u64,
    /// Messages of logged-in clients.
    pub received: u64,
    /// Messages put into outboxes of this core, fan-outs included.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Packets sent to other cores.
    pub hops: u64,
    /// Connections closed because they read too slowly.
    pub slow_consumers: u64,
    /// Connections closed because nothing was heard of them.
    pub heartbeats_missed: u64,
    /// Connections closed because they did not log in in time.
    pub authentication_timeouts: u64,
    /// Record values dropped from memory because of the byte budget.
    pub evicted: u64,
    /// Records read from storage.
    pub loads: u64,
    /// Records handed to storage.
    pub stores: u64,
    /// Permission rules that failed, which denied what they were asked for.
    pub rule_failures: u64,
    /// What a candidate's rules were asked beside those in force.
    pub shadow_judged: u64,
    /// Of those, what the candidate would allow and the rules in force do not.
    pub shadow_would_allow: u64,
    /// What the candidate would deny and the rules in force allow.
    pub shadow_would_deny: u64,
    /// What rules of the candidate fail at.
    pub shadow_would_fail: u64,
    /// What the candidate would have had to look for.
    pub shadow_undecided: u64,
}

impl Outputs {
    pub(crate) fn new(core: Place, places: Row, backlog_packets_max: usize, verbose: bool) -> Self {
        Self {
            core,
            backlog_packets_max,
            packets: (0..places.count()).map(|_| Default::default()).collect(),
            places,
            host_requests: Vec::new(),
            notes: Vec::new(),
            verbose,
            counters: Counters::default(),
            now: Nanos::default(),
            tape: None,
            posted_bytes: 0,
            ticket: 0,
        }
    }

    /// A number nothing waits for yet.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    /// Queues a packet for another core. For one that is gone there is nothing to do.
    pub(crate) fn post(&mut self, to: Place, lane: Lane, packet: Packet) {
        debug_assert_ne!(to, self.core, "a core does not write to itself");
        self.counters.hops += 1;
        if let Some(tape) = &mut self.tape {
            tape.said(&(to, lane, &packet));
        }
        if let Some(lanes) = self.packets.get_mut(self.places.index(to)) {
            lanes[lane as usize].push(packet);
        }
    }

    /// Whether a peer's backlog is so long that whoever adds to it should wait.
    pub(crate) fn congested(&self, peer: Place) -> bool {
        self.packets(peer, Lane::Requests).len() >= self.backlog_packets_max
    }

    /// Packets for a peer, in order.
    pub(crate) fn packets(&self, to: Place, lane: Lane) -> &[Packet] {
        self.packets.get(self.places.index(to)).map_or(&[], |lanes| &lanes[lane as usize])
    }

    /// The same, to be added to or taken.
    #[inline]
    pub(crate) fn packets_mut(&mut self, to: Place, lane: Lane) -> Option<&mut Vec<Packet>> {
        self.packets.get_mut(self.places.index(to)).map(|lanes| &mut lanes[lane as usize])
    }

    /// There are other places. What was for those that stood in these columns is not sent.
    pub(crate) fn adopt_places(&mut self, places: Row, cleared: &[usize]) {
        for &column in cleared {
            self.packets[column] = Default::default();
        }
        self.packets.resize_with(places.count(), Default::default);
        self.places = places;
    }

    /// What is under way to a node is given up.
    pub(crate) fn drop_packets(&mut self, node: NodeId) {
        for place in self.places.all().filter(|place| place.node() == node) {
            self.packets[self.places.index(place)] = Default::default();
        }
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// A message went into an outbox of this core.
    #[inline]
    pub(crate) fn sent(&mut self, count: u64, bytes: usize) {
        self.counters.sent += count;
        self.counters.sent_bytes += bytes as u64;
    }
}
