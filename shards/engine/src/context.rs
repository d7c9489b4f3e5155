//! What both sides of a shard have in common: where it is, how it behaves, its clockwork and what it says to its host.
//!
//! *Owns* the options, the timers, the outputs and what is needed to read JSON. *Promises* to be the same thing for the edge and
//! for the owner. *Does not* know what either of them keeps.

use crate::endpoint::Endpoints;
use crate::ident::{AttemptId, CallId, ConnId, Nanos, NodeId, Place, Ticket};
use crate::limits::Limits;
use crate::outputs::Outputs;
use crate::packet::Lane;
use crate::permissions::{Permissions, RuleLookupId, Sampled};
use crate::timer::{TimerId, Wheel};
use crate::view::{NameHasher, Row, hash_name};
use ahash::RandomState;
use std::collections::BTreeMap;
use std::sync::Arc;

/// When a change of a record is seen by others than its writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// When its owner accepted it. A crash may take back what was seen, though never what was acknowledged.
    #[default]
    Accepted,
    /// When storage has it. What was seen is never taken back; it is seen later, by about the time that a batch takes.
    Stored,
}

/// How a shard behaves; the same for every shard of a process.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds of the hash that places names on cores. Names are hostile input: draw them at random at start.
    pub seeds: [u64; 4],
    /// Bounds of this shard.
    pub limits: Limits,
    /// Whether topic EVENT exists.
    pub events: bool,
    /// Whether topic RECORD exists.
    pub records: bool,
    /// Whether topic RPC exists.
    pub rpc: bool,
    /// Whether topic PRESENCE exists.
    pub presence: bool,
    /// How long a provider may take to accept a call.
    pub rpc_ack_timeout_ns: u64,
    /// How long a provider may take to answer a call.
    pub rpc_response_timeout_ns: u64,
    /// Whether providers are told the caller's user id.
    pub rpc_requestor_name: bool,
    /// Whether providers are told the caller's client data.
    pub rpc_requestor_data: bool,
    /// Whether the candidates to provide a name are asked in random order, not in the order in which they came.
    pub listen_shuffle: bool,
    /// How long a listener may take to accept or reject a name.
    pub listen_response_timeout_ns: u64,
    /// How often a provider is searched for again for names without; `None`: never.
    pub listen_rematch_ns: Option<u64>,
    /// How long a name rests after a search in vain before such a search.
    pub listen_cooldown_ns: u64,
    /// What holds for a connection by what it speaks.
    pub endpoints: Endpoints,
    /// Whether there is a storage behind the records; without one they live and die with the process.
    pub storage: bool,
    /// How long storage may take for one read, one removal or one batch of writes.
    pub storage_timeout_ns: u64,
    /// Names that begin with one of these never touch storage.
    pub storage_exclusion_prefixes: Vec<Box<[u8]>>,
    /// When changes of records that storage keeps are seen.
    pub visibility: Visibility,
    /// Names that begin with one of these are written whole and unchecked by CREATEANDUPDATE (docs/records.md §6).
    pub hot_path_prefixes: Vec<Box<[u8]>>,
    /// Whether notes of level debug are wanted.
    pub verbose: bool,
    /// Who may do what, to begin with.
    pub permissions: Arc<Permissions>,
    /// Nanoseconds from the beginning of 1970 to the moment 0, for rules that ask for the time.
    pub unix_ns: u64,
    /// Whether views are adopted that move names from node to node, or in which a node is missing. What moves with its name so far
    /// are records, events, who subscribes to them and who provides a call. Users are counted anew, so that who watches them may hear
    /// of one twice; listeners are searched anew.
    pub moves_names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seeds: [1, 2, 3, 4],
            limits: Limits::default(),
            events: true,
            records: true,
            rpc: true,
            presence: true,
            rpc_ack_timeout_ns: 1_000_000_000,
            rpc_response_timeout_ns: 10_000_000_000,
            rpc_requestor_name: false,
            rpc_requestor_data: false,
            listen_shuffle: true,
            listen_response_timeout_ns: 500_000_000,
            listen_rematch_ns: Some(60_000_000_000),
            listen_cooldown_ns: 10_000_000_000,
            endpoints: Endpoints::default(),
            storage: true,
            storage_timeout_ns: 30_000_000_000,
            storage_exclusion_prefixes: Vec::new(),
            visibility: Visibility::default(),
            hot_path_prefixes: Vec::new(),
            verbose: false,
            permissions: Arc::default(),
            unix_ns: 0,
            moves_names: false,
        }
    }
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKey {
    Session(ConnId),
    /// A read from storage, by ticket.
    Load(Ticket),
    /// A batch of stores, by ticket.
    Stores(Ticket),
    /// Failed stores are tried again.
    StoreRetry,
    /// A call that should have been accepted, or answered.
    Call(CallId),
    /// A listener that should have accepted or rejected a name.
    ListenResponse(AttemptId),
    /// Work on listeners that did not fit into the turn.
    ListenWork,
    /// Names without provider are tried again.
    ListenRematch,
    /// Records that rules refer to should be there.
    RuleLookup(RuleLookupId),
    /// Choices of rules that were not used lately are forgotten.
    Choices,
    /// What goes on from before the present rules is judged by them.
    Reauthorization,
    /// What others hear of claimed slots was waited for long enough.
    Untold,
    /// Records of which subscribers may have missed something are read again.
    CatchUp,
    /// What waits until this core may answer for it has waited too long.
    Unserved,
    /// What waits for the next owner of its name has waited long enough.
    Moves,
    /// What the log was not told is counted.
    LeftOut(Sampled),
}

/// The hash of tables, and of names on a server alone.
pub(crate) fn hasher(options: &Options) -> RandomState {
    let [a, b, c, d] = options.seeds;
    RandomState::with_seeds(a, b, c, d)
}

/// What is under way to and from a node belongs to a link, which begins anew where any of it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The epoch at which the node became a member.
    pub(crate) since: u64,
    /// Which of the links to it this is.
    pub(crate) number: u32,
}

/// See the module.
pub(crate) struct Context {
    pub(crate) core: Place,
    pub(crate) places: Row,
    pub(crate) options: Options,
    pub(crate) hasher: NameHasher,
    pub(crate) outputs: Outputs,
    pub(crate) timers: Wheel<TimerKey>,
    /// In a cluster: the links to other nodes, as this core knows them.
    pub(crate) links: BTreeMap<NodeId, Link>,
    pub(crate) json: deepstream_json::Scratch,
}

impl Context {
    pub(crate) fn new(now: Nanos, core: Place, places: Row, options: Options) -> Self {
        Self {
            core,
            hasher: places.hasher(hasher(&options)),
            outputs: Outputs::new(core, places.clone(), options.limits.backlog_packets_max, options.verbose),
            timers: Wheel::new(now),
            links: BTreeMap::new(),
            json: deepstream_json::Scratch::with_depth_max(options.limits.nesting_max),
            places,
            options,
        }
    }

    /// Sets a timer.
    pub(crate) fn set_timer(&mut self, after_ns: u64, key: TimerKey) -> TimerId {
        self.timers.insert(self.outputs.now.after(after_ns), key)
    }

    /// The hash of a name.
    #[inline]
    pub(crate) fn hash(&self, name: &[u8]) -> u64 {
        hash_name(&self.hasher, name)
    }

    /// The core that owns the names with a hash.
    #[inline]
    pub(crate) fn owner_of(&self, hash: u64) -> Place {
        self.places.owner(hash)
    }

    /// The other cores.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Place> + use<> {
        self.places.peers()
    }

    /// One of the other cores whose lane is long, if there is any.
    #[inline]
    pub(crate) fn congested_peer(&self) -> Option<Place> {
        let all = (0..self.places.count()).map(|index| self.places.at(index));
        all.filter(|&place| place != self.core).find(|&peer| self.outputs.congested(peer))
    }

    /// Whether a peer's lane is still so long that those who wait for it go on waiting.
    pub(crate) fn is_held_back_by(&self, peer: Place) -> bool {
        let low_water = self.options.limits.backlog_packets_max / 2;
        self.outputs.packets(peer, Lane::Requests).len() > low_water
    }

    /// Whether something can be a name.
    pub(crate) fn is_name(&self, name: &[u8]) -> bool {
        !name.is_empty() && name.len() <= self.options.limits.name_bytes_max
    }

    /// What is wrong with a value that is too deep.
    pub(crate) fn too_deep(&self) -> String {
        format!("nested deeper than limits.nestingMax ({})", self.options.limits.nesting_max)
    }

    /// What rules call `now`.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds fit")]
    pub(crate) fn now_ms(&self) -> f64 {
        ((self.options.unix_ns + self.outputs.now.0) / 1_000_000) as f64
    }
}
