//! A core's connection to the other cores: packets from them, and to them.
//!
//! *Owns* the port, and how many packets are taken at a time. *Promises* that deliveries are always taken, but requests
//! only while none of this core's own deliveries waits for room: a core that cannot get rid of its answers takes no
//! more requests. *Does not* know what is in a packet.

use deepstream_engine::{Lane, Nanos, Packet, Place, Shard};
use deepstream_mesh::{Lane as Track, Port};

/// Packets taken from one peer and lane in one turn.
const PACKETS_PER_TURN: usize = 64;
/// Packets are taken in steps of this many, and no more once the answers to them are as long as outboxes may become in
/// a turn: answers on their way to another core are in no connection's account.
const PACKETS_AT_ONCE: usize = 4;

const LANES: [(Lane, Track); 2] = [(Lane::Deliveries, Track::Deliveries), (Lane::Requests, Track::Requests)];

/// See the module.
pub(super) struct Peers {
    port: Port<Packet>,
}

impl Peers {
    pub(super) fn new(port: Port<Packet>) -> Self {
        Self { port }
    }

    /// The number of this core.
    pub(super) fn own(&self) -> usize {
        self.port.core()
    }

    /// Every other core.
    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.port.core();
        (0..self.port.cores()).filter(move |&peer| peer != own)
    }

    /// Hands received packets to the shard, until its answers for one peer and lane are this long. Returns whether
    /// there were any.
    pub(super) fn take(&mut self, shard: &mut Shard, now: Nanos, answer_bytes_max: u64) -> bool {
        let mut worked = self.take_lane(shard, now, answer_bytes_max, Track::Deliveries);
        if !self.has_backlog(shard, Lane::Deliveries) {
            worked |= self.take_lane(shard, now, answer_bytes_max, Track::Requests);
        }
        worked
    }

    fn take_lane(&mut self, shard: &mut Shard, now: Nanos, answer_bytes_max: u64, lane: Track) -> bool {
        let mut worked = false;
        for peer in 0..self.port.cores() {
            let from = Place::alone(peer as u16);
            let enough = shard.posted_bytes() + answer_bytes_max;
            for _ in 0..PACKETS_PER_TURN / PACKETS_AT_ONCE {
                let count = self.port.take(peer, lane, PACKETS_AT_ONCE, |packet| shard.packet(now, from, packet));
                worked |= count > 0;
                if count < PACKETS_AT_ONCE || shard.posted_bytes() >= enough {
                    break;
                }
            }
        }
        worked
    }

    /// Puts packets into their rings as far as there is room, and wakes peers that sleep. Returns whether any packet
    /// was sent.
    pub(super) fn publish(&mut self, shard: &mut Shard, ring_bell: impl FnMut(usize)) -> bool {
        let mut worked = false;
        for peer in self.others() {
            for (lane, track) in LANES {
                let to = Place::alone(peer as u16);
                let before = shard.packets(to, lane).len();
                if before > 0 {
                    shard.take_packets(to, lane, |packets| self.port.send(peer, track, packets));
                    worked |= shard.packets(to, lane).len() < before;
                }
            }
        }
        self.port.ring_sleepers(ring_bell);
        worked
    }

    fn has_backlog(&self, shard: &Shard, lane: Lane) -> bool {
        self.others().any(|peer| !shard.packets(Place::alone(peer as u16), lane).is_empty())
    }

    /// Whether no packet waits for room in a ring.
    pub(super) fn have_all(&self, shard: &Shard) -> bool {
        LANES.iter().all(|&(lane, _)| !self.has_backlog(shard, lane))
    }

    /// Whether packets wait that were not tried yet, or that would fit now.
    pub(super) fn has_packets(&self, shard: &Shard) -> bool {
        self.others().any(|peer| {
            LANES.iter().any(|&(lane, track)| {
                !shard.packets(Place::alone(peer as u16), lane).is_empty() && !self.port.is_stuck(peer, track)
            })
        })
    }

    /// Whether a peer has sent anything.
    pub(super) fn has_input(&self) -> bool {
        self.port.has_input()
    }

    /// Whether there is a reason not to sleep: a peer has sent something, or has made room.
    pub(super) fn has_work(&self) -> bool {
        self.port.has_work()
    }

    /// This core is about to sleep: from now on peers wake it. The caller must look once more for what they sent
    /// before.
    pub(super) fn prepare_sleep(&mut self) {
        self.port.prepare_sleep();
    }

    /// This core is awake.
    pub(super) fn woke(&mut self) {
        self.port.woke();
    }
}
