//! The plan of one run: everything that does not change while it runs.
//!
//! *Owns* how plans are drawn (swarm testing): each run has different weights, so that rare combinations are common in
//! some runs. *Promises* that the same seed gives the same plan. *Does not* draw anything during the run.

pub(crate) mod cluster;

use crate::rng::Rng;
use crate::rules::Rules;
use crate::sketch::{Sketch, first_slots, member};
use crate::workload::record::draw_names;
use deepstream_engine::{Endpoint, Endpoints, Limits, NodeId, Options, Place, Stored, View, Visibility};
use deepstream_valve::Right;
use deepstream_wire::Wire;

/// One thing that could happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Act {
    /// A shard's packets are moved into a lane, some of them.
    Publish,
    /// The next packet of a lane is delivered.
    Deliver,
    /// Bytes of a client reach its link.
    Feed,
    /// Bytes of an outbox leave for the network.
    Flush,
    /// A client reads.
    Read,
    /// A paused link goes on.
    Resume,
    /// A connection that was to be closed is closed.
    Finish,
    /// A request to the host is answered.
    Answer,
    /// A batch of stores is taken.
    Store,
    /// A client does something of its own.
    Work,
    /// A client connects.
    Connect,
    /// Time goes on to the next moment something is due.
    Wait,
    /// A connection is dropped, by either side.
    Drop,
    /// A client says goodbye.
    Goodbye,
    /// A client stops reading for a while.
    Stall,
    /// A client says nothing for a while, not even that it lives.
    Mute,
    /// A shard does nothing for a while.
    Freeze,
    /// A lane takes nothing for a while.
    Refuse,
}

impl Act {
    pub(crate) const ALL: [Self; 18] = [
        Self::Publish,
        Self::Deliver,
        Self::Feed,
        Self::Flush,
        Self::Read,
        Self::Resume,
        Self::Finish,
        Self::Answer,
        Self::Store,
        Self::Work,
        Self::Connect,
        Self::Wait,
        Self::Drop,
        Self::Goodbye,
        Self::Stall,
        Self::Mute,
        Self::Freeze,
        Self::Refuse,
    ];
}

/// What may go wrong, in percent of the times it could.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// A load or batch fails.
    pub(crate) store_fails: u64,
    /// Its answer takes longer than the shard waits.
    pub(crate) store_lost: u64,
    /// Its answer takes some time.
    pub(crate) store_slow: u64,
    /// Some records of a batch are never taken.
    pub(crate) store_refuses: u64,
    /// A login is refused.
    pub(crate) login_refused: u64,
}

/// Weights of the topics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topics {
    pub(crate) events: u32,
    pub(crate) records: u32,
    pub(crate) rpc: u32,
    pub(crate) presence: u32,
    pub(crate) listen: u32,
}

impl Topics {
    /// Mostly one or two topics at once: what they do to each other is rare, what each does to itself is not.
    fn draw(rng: &mut Rng) -> Self {
        let mut weight = |most: u32| rng.pick(&[0, 0, most / 3, most, most]);
        let (events, records, rpc, presence) = (weight(30), weight(60), weight(60), weight(20));
        // Nobody does nothing.
        let events = events + u32::from(events + records + rpc + presence == 0);
        Self { events, records, rpc, presence, listen: 0 }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many there are at the start.
    pub(crate) cores: u16,
    /// The views, the first of which is in force at the start; empty for a server alone.
    pub(crate) views: Vec<Sketch>,
    /// Whether cores are given views that they must refuse.
    pub(crate) refused_views: bool,
    pub(crate) clients: usize,
    pub(crate) event_names: usize,
    pub(crate) record_names: Vec<String>,
    /// What storage has from the beginning.
    pub(crate) stored: Vec<(Box<[u8]>, Stored)>,
    /// Steps before the world is let come to rest.
    pub(crate) steps: u64,
    pub(crate) weights: [u32; Act::ALL.len()],
    pub(crate) faults: Faults,
    pub(crate) lane_capacity: usize,
    /// Bytes under way in one direction of one socket.
    pub(crate) socket_bytes: usize,
    /// Largest cut of bytes handed over at once.
    pub(crate) cut_bytes: usize,
    /// Largest filler of a payload.
    pub(crate) filler_bytes: usize,
    /// How often clients do something about each topic, relative to each other.
    pub(crate) topics: Topics,
    pub(crate) rpc_names: usize,
    /// Who logs in.
    pub(crate) users: Vec<String>,
    /// Of a hundred messages, how many make no sense.
    pub(crate) nonsense_percent: u64,
    /// Of a hundred writes, how many want an acknowledgement.
    pub(crate) write_ack_percent: u64,
    pub(crate) options: Options,
    /// Permission rules by generation, those in force at first to begin with; none: there are no rules.
    pub(crate) rules: Vec<Rules>,
    /// How often choices of rules are forgotten.
    pub(crate) sweep_ns: u64,
    /// Names under which clients may be connected once; none: there are none with a name.
    pub(crate) client_names: Vec<&'static str>,
    /// The wires of intruders.
    pub(crate) intruders: Vec<Wire>,
    /// Names of which storage keeps no record.
    pub(crate) barred: Vec<Box<[u8]>>,
    /// The cores are of processes that are nodes of a cluster; none: between all of them are lanes.
    pub(crate) cluster: Option<cluster::Cluster>,
}

impl Plan {
    /// Draws a plan.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let calm = rng.chance(25);
        let cores = rng.pick(&[1, 2, 2, 3, 4, 5]);
        let mut plan = Self {
            cores,
            views: Vec::new(),
            refused_views: false,
            clients: rng.between(1, 6) as usize,
            event_names: rng.between(1, 5) as usize,
            record_names: draw_names(rng),
            stored: Vec::new(),
            steps: rng.between(50, 900),
            weights: weights(rng, calm),
            faults: faults(rng, calm),
            lane_capacity: rng.pick(&[1, 2, 8, 64, 1024]),
            socket_bytes: rng.pick(&[16, 256, 4096, 1 << 20]),
            cut_bytes: rng.pick(&[3, 40, 400, 1 << 20]),
            filler_bytes: rng.pick(&[0, 0, 30, 300, 3000]),
            topics: Topics::draw(rng),
            rpc_names: rng.between(1, 4) as usize,
            users: users(rng),
            nonsense_percent: rng.pick(&[0, 0, 2, 10]),
            write_ack_percent: rng.pick(&[10, 50, 90]),
            options: options(rng),
            rules: Vec::new(),
            sweep_ns: 0,
            client_names: Vec::new(),
            intruders: Vec::new(),
            barred: Vec::new(),
            cluster: None,
        };
        if plan.options.limits.subscriptions_per_connection_max < 100 {
            // What is left of a budget that topics share cannot be told from outside at every moment.
            plan.topics.presence = 0;
            plan.topics.rpc = 0;
            plan.nonsense_percent = 0;
            if plan.topics.records > 0 {
                plan.topics.events = 0;
            } else {
                plan.topics.events += 1;
            }
        }
        for name in plan.record_names.clone() {
            if plan.is_stored(&name) && rng.chance(30) {
                let stored = Stored { version: rng.between(0, 9) as i32, value: b"{\"o\":{\"x\":1}}".to_vec() };
                plan.stored.push((name.into_bytes().into(), stored));
            }
        }
        plan
    }
}

/// Features that were added to worlds later. They are drawn after everything else, so that old seeds without them give
/// the same worlds as before.
impl Plan {
    /// Some listen for what others want.
    pub(crate) fn draw_listening(&mut self, rng: &mut Rng) {
        let share = self.options.limits.subscriptions_per_connection_max >= 100 && rng.chance(50);
        if !share {
            return;
        }
        self.topics.listen = rng.pick(&[10, 40, 100]);
        if self.topics.events + self.topics.records == 0 {
            self.topics.events = 10;
        }
        let millis = |rng: &mut Rng, low, high| rng.between(low, high) * 1_000_000;
        let options = &mut self.options;
        options.listen_shuffle = rng.chance(50);
        options.listen_response_timeout_ns = millis(rng, 1, 2000);
        options.listen_rematch_ns = rng.chance(60).then(|| millis(rng, 1000, 10_000));
        options.listen_cooldown_ns = millis(rng, 0, 3000);
        if rng.chance(15) {
            options.limits.listen_patterns_per_connection_max = rng.pick(&[0, 1, 2]);
        }
        if rng.chance(10) {
            options.limits.listen_pattern_bytes_max = rng.pick(&[2, 4]);
        }
    }

    /// Not everybody may do everything.
    pub(crate) fn draw_rules(&mut self, rng: &mut Rng) {
        let share = self.options.limits.subscriptions_per_connection_max >= 100 && rng.chance(35);
        if !share {
            return;
        }
        // Who says nonsense is answered before rules are asked, or after: which cannot be told from outside.
        self.nonsense_percent = 0;
        // Whether there is room is found out when a message is judged, which may be late.
        self.options.limits.listen_patterns_per_connection_max = Limits::default().listen_patterns_per_connection_max;
        let generations = rng.pick(&[1, 2, 3, 3, 4, 6]);
        self.rules = (0..generations).map(|_| Rules::draw(rng, &self.record_names)).collect();
        self.sweep_ns = rng.between(1, 5000) * 1_000_000;
    }

    /// All connections of a core may hold little together.
    pub(crate) fn draw_burden(&mut self, rng: &mut Rng) {
        if rng.chance(25) {
            self.options.limits.outbox_bytes_total_max = rng.pick(&[500, 4000, 20_000]);
        }
    }

    /// Whether answers with documents may wait for room.
    pub(crate) fn is_narrow(&self) -> bool {
        self.options.limits.outbox_high_water_bytes < 1 << 20
    }

    /// Some have names, the same as others' more often than not.
    pub(crate) fn draw_names(&mut self, rng: &mut Rng) {
        if rng.chance(30) {
            self.client_names = ["a", "b", "c"][..rng.between(1, 3) as usize].to_vec();
        }
    }

    /// Adds intruders to worlds with rules: they try what they may not do, and often may write what they may not
    /// read.
    pub(crate) fn draw_intruders(&mut self, rng: &mut Rng) {
        const WIRES: [Wire; 6] = [Wire::Protobuf, Wire::Text, Wire::TextSdk, Wire::Json, Wire::Http, Wire::Mqtt];
        if !self.ruled() {
            return;
        }
        self.intruders = (0..rng.between(2, 4)).map(|_| rng.pick(&WIRES)).collect();
        for rules in &mut self.rules {
            if rng.chance(60) {
                *rules = rules.bent(Right::RecordCreate, true).bent(Right::RecordWrite, true);
            }
            if rng.chance(30) {
                *rules = rules.bent(Right::RecordRead, false);
            }
        }
    }

    /// Storage does not take every name.
    pub(crate) fn draw_barred(&mut self, rng: &mut Rng) {
        let stored: Vec<&String> = self.record_names.iter().filter(|name| self.is_stored(name)).collect();
        if stored.is_empty() || !rng.chance(20) {
            return;
        }
        let name = stored[rng.between(0, stored.len() as u64 - 1) as usize].as_bytes();
        self.barred = vec![name.into()];
        self.stored.retain(|(stored, _)| !self.barred.contains(stored));
    }

    /// The cores are of two nodes, more often than not. Either may own all names, or about so many as the other.
    pub(crate) fn draw_nodes(&mut self, rng: &mut Rng) {
        if self.cores < 2 || !rng.chance(60) {
            return;
        }
        let first = rng.between(1, u64::from(self.cores) - 1) as u16;
        let node = rng.between(0, u64::from(Place::NODES_MAX) - 1) as u8;
        let nodes = [NodeId(node), NodeId((node + 1 + rng.between(0, 9) as u8) % Place::NODES_MAX)];
        let members = nodes.into_iter().zip([first, self.cores - first]).map(|(node, cores)| member(node, cores));
        let share = rng.pick(&[0, 50, 50, 50, 100]);
        let slots = (0..View::SLOTS).map(|_| nodes[usize::from(rng.chance(share))]).collect();
        self.views = vec![Sketch {
            epoch: 1,
            seed: [rng.bits(), rng.bits()],
            members: members.collect(),
            slots,
            since: first_slots(),
        }];
    }

    /// Nodes that own nothing may join while the world runs: the second of two, a third, or both. Cores may be given views
    /// that they must refuse.
    pub(crate) fn draw_views(&mut self, rng: &mut Rng) {
        self.refused_views = rng.chance(40);
        if self.views.is_empty() || !rng.chance(60) {
            return;
        }
        if rng.chance(60) {
            let both = self.views.remove(0);
            let mut members = both.members;
            members.rotate_left(rng.below(2));
            let lone = Sketch::lone(members[0], both.seed);
            self.cores = lone.cores();
            self.views = vec![lone.clone(), lone.next(Some(members[1]))];
        }
        let grown = self.views.len() > 1;
        let last = &self.views[self.views.len() - 1];
        if rng.chance(20) {
            // Nothing but the epoch is new.
            self.views.push(last.next(None));
        } else if !grown || rng.chance(30) {
            let third = last.stranger(rng);
            self.views.push(last.next(Some(third)));
        }
    }

    /// Changes may be seen only once they are stored. Then there may be some that never are: nobody has seen them.
    pub(crate) fn draw_visibility(&mut self, rng: &mut Rng) {
        if rng.chance(50) {
            self.options.visibility = Visibility::Stored;
            self.faults.store_refuses = rng.pick(&[0, 0, 5, 30]);
        }
    }

    /// Whether there are rules.
    pub(crate) fn ruled(&self) -> bool {
        !self.rules.is_empty()
    }
}

fn weights(rng: &mut Rng, calm: bool) -> [u32; Act::ALL.len()] {
    Act::ALL.map(|act| {
        let (low, high) = match act {
            Act::Wait => (0, 4),
            Act::Work => (4, 40),
            Act::Connect => (2, 10),
            Act::Drop | Act::Goodbye | Act::Stall | Act::Mute | Act::Freeze | Act::Refuse if calm => (0, 0),
            Act::Drop | Act::Goodbye | Act::Mute => (0, 2),
            Act::Stall | Act::Freeze | Act::Refuse => (0, 3),
            _ => (5, 40),
        };
        rng.between(low, high) as u32
    })
}

fn faults(rng: &mut Rng, calm: bool) -> Faults {
    if calm {
        return Faults { store_fails: 0, store_lost: 0, store_slow: 0, store_refuses: 0, login_refused: 0 };
    }
    Faults {
        store_fails: rng.pick(&[0, 0, 5, 30]),
        store_lost: rng.pick(&[0, 0, 5, 30]),
        store_slow: rng.pick(&[0, 20, 80]),
        store_refuses: 0,
        login_refused: rng.pick(&[0, 0, 10]),
    }
}

/// Few enough that most are logged in more than once; now and then one that is never shown.
fn users(rng: &mut Rng) -> Vec<String> {
    let mut users: Vec<String> = (0..rng.between(1, 4)).map(|number| format!("u{number}")).collect();
    if rng.chance(30) {
        users.push("OPEN".into());
    }
    users
}

fn options(rng: &mut Rng) -> Options {
    let seconds = |rng: &mut Rng, low, high| rng.between(low, high) * 1_000_000_000;
    let (seeds, limits) = ([(); 4].map(|()| rng.bits()), limits(rng));
    let mut endpoints = Endpoints::default();
    *endpoints.of_mut(Wire::Protobuf) = Endpoint {
        heartbeat_ns: seconds(rng, 1, 30),
        unauthenticated_timeout_ns: rng.chance(70).then(|| seconds(rng, 1, 60)),
        ..Endpoint::default()
    };
    Options {
        seeds,
        limits,
        endpoints,
        rpc_ack_timeout_ns: rng.between(1, 2000) * 1_000_000,
        rpc_response_timeout_ns: rng.between(1, 5000) * 1_000_000,
        rpc_requestor_name: rng.chance(40),
        rpc_requestor_data: rng.chance(40),
        storage: rng.chance(85),
        storage_timeout_ns: rng.between(10, 5000) * 1_000_000,
        storage_exclusion_prefixes: if rng.chance(50) { vec![b"x"[..].into()] } else { Vec::new() },
        hot_path_prefixes: if rng.chance(50) { vec![b"h"[..].into()] } else { Vec::new() },
        // The notes of this level tell the oracles what owners did, in the order they did it.
        verbose: true,
        ..Options::default()
    }
}

/// Often tiny, so that limits are reached within a few steps.
fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits {
        // Much smaller than the defaults, which no run of this length would ever reach.
        outbox_high_water_bytes: 1 << 20,
        copy_bytes_max: rng.pick(&[1, 200, 16 << 10]),
        ..Limits::default()
    };
    let mut tiny = |percent: u64, limit: &mut usize, values: &[usize]| {
        if rng.chance(percent) {
            *limit = rng.pick(values);
        }
    };
    tiny(15, &mut limits.connections_max, &[1, 2, 4]);
    tiny(15, &mut limits.names_per_message_max, &[1, 2, 4]);
    tiny(15, &mut limits.name_bytes_max, &[4, 10]);
    tiny(15, &mut limits.subscriptions_per_connection_max, &[1, 3, 6]);
    tiny(25, &mut limits.outbox_high_water_bytes, &[1, 300, 2000]);
    tiny(15, &mut limits.outbox_bytes_max, &[3000, 10_000]);
    tiny(20, &mut limits.parked_messages_max, &[0, 1, 4]);
    tiny(15, &mut limits.parked_bytes_max, &[0, 200, 1000]);
    tiny(15, &mut limits.record_bytes_max, &[60, 400]);
    tiny(40, &mut limits.record_memory_bytes_max, &[0, 200, 1000]);
    tiny(15, &mut limits.dirty_bytes_max, &[100, 500]);
    tiny(25, &mut limits.store_batch_bytes_max, &[1, 200]);
    tiny(25, &mut limits.backlog_packets_max, &[1, 2, 8]);
    if rng.chance(30) {
        limits.slow_consumer_timeout_ns = rng.between(1, 3000) * 1_000_000;
    }
    limits
}
