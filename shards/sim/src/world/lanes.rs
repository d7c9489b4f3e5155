//! The lanes between cores, and the bugs that are planted on them.
//!
//! *Owns* the delivery of packets. *Promises* that a lane loses nothing and keeps its order, unless a bug is planted;
//! and that only bytes cross from one node to another.

use super::World;
use crate::mutation::{Mutation, Tampering};
use deepstream_engine::{ConnId, Forwarded, Identity, Lane, Packet};
use std::collections::VecDeque;
use std::sync::Arc;

/// One lane from one core to another.
#[derive(Debug, Default)]
pub(crate) struct LaneQueue {
    pub(crate) packets: VecDeque<Packet>,
    pub(crate) refuses_until: u64,
}

/// What arrives of a packet at another node: what its bytes say.
fn carried(packet: &Packet) -> Packet {
    let mut bytes = Vec::new();
    packet.write(&mut bytes).expect("no world is so large");
    Packet::read(&bytes).expect("what was written")
}

impl World {
    /// A shard's packets for a peer enter the lane, as many as `count`.
    pub(crate) fn publish(&mut self, from: usize, to: usize, lane: Lane, count: usize) {
        if self.is_far(from, to) {
            self.line(|| format!("bundle {from}>{to} {lane:?} packets={count}"));
            self.bundle(from, to, lane, count);
            return self.drain(from);
        }
        let take = |packets: &mut Vec<Packet>| -> Vec<Packet> { packets.drain(..count).collect() };
        let (here, there) = (self.cores[from].place, self.cores[to].place);
        let mut packets = self.cores[from].shard.take_packets(there, lane, take);
        if here.node() != there.node() {
            packets = packets.iter().map(carried).collect();
        }
        self.lane(from, to, lane).packets.extend(packets);
        self.line(|| format!("publish {from}>{to} {lane:?} packets={count}"));
        self.drain(from);
    }

    /// The next packet of a lane is delivered.
    pub(crate) fn deliver(&mut self, from: usize, to: usize, lane: Lane) {
        let Some(packet) = self.lane(from, to, lane).packets.pop_front() else { return };
        let step = self.step;
        self.trace.line(step, || format!("deliver {from}>{to} {}", crate::trace::describe_packet(&packet)));
        let tampering = match self.mutation {
            Mutation::None => Tampering::Keep,
            mutation => mutation.tamper(&mut self.rng.faults, &packet),
        };
        match tampering {
            Tampering::Keep => self.packet(from, to, packet),
            Tampering::Lose => {}
            Tampering::Repeat => {
                if let Packet::FanOut { slot, end, except, frames } = &packet {
                    let (slot, end, except, frames) = (*slot, *end, *except, frames.clone());
                    self.packet(from, to, Packet::FanOut { slot, end, except, frames });
                }
                if let Packet::Request(forwarded) = &packet {
                    self.packet(from, to, Packet::Request(forwarded.clone()));
                }
                if let Packet::Reply(conn, frame) = &packet {
                    self.packet(from, to, Packet::Reply(*conn, frame.clone()));
                }
                self.packet(from, to, packet);
            }
            Tampering::Forge => {
                let packet = match packet {
                    Packet::Request(mut forwarded) if self.mutation == Mutation::MixRules => {
                        forwarded.reply_to.rules -= 1;
                        Packet::Request(forwarded)
                    }
                    Packet::Request(forwarded) => Packet::Request(self.forged(forwarded)),
                    Packet::Introduce(conn, identity) => {
                        let other = self.plan.users.iter().find(|user| ***user != *identity.user);
                        let user = other.map_or(identity.user.clone(), |user| user.as_str().into());
                        let identity = Identity {
                            user,
                            wire: identity.wire,
                            client: identity.client.clone(),
                            client_data: identity.client_data.clone(),
                            server_data: identity.server_data.clone(),
                        };
                        Packet::Introduce(conn, Arc::new(identity))
                    }
                    Packet::Reply(conn, frame) => Packet::Reply(conn, self.misinformed(conn, &frame)),
                    Packet::Leave { conn, slot, epoch } => {
                        // One that there never was, on the same core.
                        Packet::Leave { conn: ConnId { slot: u32::MAX, ..conn }, slot, epoch }
                    }
                    other => other,
                };
                self.packet(from, to, packet);
            }
            Tampering::Swap => {
                let second = self.lane(from, to, lane).packets.pop_front();
                if let Some(second) = second {
                    self.packet(from, to, second);
                }
                self.packet(from, to, packet);
            }
        }
    }

    /// What one connection said, said by another of its core.
    fn forged(&mut self, forwarded: Forwarded) -> Forwarded {
        let core = forwarded.conn.core;
        let other = self.conns.iter().find(|conn| conn.alive && conn.id.core == core && conn.id != forwarded.conn);
        let conn = other.map_or(forwarded.conn, |conn| conn.id);
        Forwarded { conn, ..forwarded }
    }

    fn packet(&mut self, from: usize, to: usize, packet: Packet) {
        if let Packet::Rules(permissions) = &packet {
            self.oracle.adopts(to, permissions.generation);
        }
        let from = self.cores[from].place;
        self.cores[to].shard.packet(self.now, from, packet);
        self.drain(to);
    }
}
