//! One process: its node, the clock of its machine, and what is between the node and the process's cores.

use crate::plan::cluster::Cluster as Plan;
use crate::rng::Rng;
use deepstream_cluster::{ForCore, Node, Settings};
use deepstream_engine::{Nanos, NodeId, Packet};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// How long a lease lasts: whatever the registry does, it is trusted all the time.
const TTL_NS: u64 = 20_000_000_000;
/// All nodes' wall clocks are within an hour after this moment.
const UNIX_MS: u64 = 1_700_000_000_000;

/// A packet that came from another node: from which core and for which, as the world counts them.
pub(super) type Came = (usize, usize, Packet);

/// See the module.
pub(super) struct Process {
    pub(super) node: Node,
    pub(super) incarnation: u64,
    /// Its number, as of the view.
    pub(super) number: NodeId,
    /// Its cores, as the world counts them.
    pub(super) cores: Range<usize>,
    /// How fast its clock goes, in percent.
    rate: u64,
    /// What each core is to be told.
    pub(super) told: Vec<VecDeque<ForCore>>,
    /// What each core knows of the links: since when the node is a member, and the number of the link.
    pub(super) links: Vec<BTreeMap<NodeId, (u64, u32)>>,
    /// By lane, what came and has not found room.
    pub(super) inbox: [VecDeque<Came>; 2],
}

impl Process {
    pub(super) fn start(at: usize, plan: &Plan, rng: &mut Rng) -> Self {
        let cores = plan.processes[at];
        let incarnation = rng.bits();
        let settings = Settings {
            cluster: "here".into(),
            name: format!("node-{at}").into(),
            incarnation,
            address: [at as u8].into(),
            cores,
            rules: 0,
            ttl_ns: TTL_NS,
            unix_ms: UNIX_MS + rng.between(0, 3_600_000),
            seed: [rng.bits(), rng.bits()],
            link: plan.link,
        };
        Self {
            node: Node::new(Nanos(0), settings),
            incarnation,
            number: NodeId(0),
            cores: 0..0,
            rate: rng.between(80, 120),
            told: (0..cores).map(|_| VecDeque::new()).collect(),
            links: vec![BTreeMap::new(); cores.into()],
            inbox: Default::default(),
        }
    }

    /// The moment by its clock.
    pub(super) fn now(&self, real: u64) -> Nanos {
        Nanos(real * self.rate / 100)
    }

    /// When its clock shows that moment.
    pub(super) fn real(&self, at: Nanos) -> u64 {
        at.0.saturating_mul(100).div_ceil(self.rate)
    }

    /// Until when it has nothing to do of its own.
    pub(super) fn deadline(&self) -> u64 {
        self.real(self.node.next_deadline())
    }

    /// Whether something is under way from its cores or to them.
    pub(super) fn is_busy(&self) -> bool {
        self.node.links().any(|(_, link)| link.held_bytes + link.in_flight + link.early > 0)
            || self.inbox.iter().any(|inbox| !inbox.is_empty())
    }
}
