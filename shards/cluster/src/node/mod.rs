//! One node's part in a cluster: a machine that is fed frames, answers of the registry and the time, and says what to send, what
//! to ask, and what the cores are to know.
//!
//! The host drains, after each input and in this order: what is for the cores ([`Node::for_cores`]), bundles
//! ([`Node::next_bundle`]), asks, frames, notes.
//!
//! *Owns* the lease, the charter as it is known here, the links to the other members, and which slots are claimed. *Promises* that cores
//! are never told that they may serve a slot while another process may believe the same; that views come in order, each with
//! this node in it; and that a node which cannot know how things stand is told to stop. *Does not* wait, send, or look at what bundles
//! carry but for their epoch.

mod claims;
mod links;
mod registry;
mod views;

pub use links::epoch_of;

use crate::charter::{Card, Charter, FORM};
use crate::lease::Lease;
use crate::link::{LinkCensus, LinkSettings};
use bytes::Bytes;
use claims::Claims;
use deepstream_engine::{Lane, Nanos, NodeId, Ticket, View};
use links::Peer;
use registry::Registry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const MS: u64 = 1_000_000;
/// How often a node says how things stand with it.
const BEAT_NS: u64 = 250 * MS;

/// What a node goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's name.
    pub cluster: Box<str>,
    /// The node's.
    pub name: Box<str>,
    /// Drawn at random by each process.
    pub incarnation: u64,
    /// Of the node's inbox on the bus.
    pub address: Box<[u8]>,
    /// Its cores.
    pub cores: u16,
    /// The fingerprint of its permission rules.
    pub rules: u64,
    /// How long a lease lasts.
    pub ttl_ns: u64,
    /// The time of day at the moment at which the node is made.
    pub unix_ms: u64,
    /// Keys the hash of names, should this node make the first charter: drawn at random.
    pub seed: [u64; 2],
    /// Of all its links.
    pub link: LinkSettings,
}

/// Of the registry's charter: later ones are larger.
pub type Revision = u64;

/// What is to be asked of the registry, and of the writer of storage. None is asked twice by whoever carries it out: what became of
/// one that failed is not known, and the node decides what to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Of the registry: keep this node's lease. A fresh one is granted unless another process holds a lease by the same name, or
    /// this one has one with a higher grant. Another than a fresh one is prolonged only if the lease with this very grant is alive.
    /// Answered with [`Seen`](Answer::Seen), [`Lapsed`](Answer::Lapsed) or [`NameTaken`](Answer::NameTaken).
    Renew {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What the lease is to hold.
        card: Card,
        /// From when it is carried out.
        ttl_ns: u64,
        /// Whether it is a lease of its own.
        fresh: bool,
    },
    /// Of the registry: write the charter, if it is still at this revision. Answered with [`Swapped`](Answer::Swapped) or
    /// [`Conflict`](Answer::Conflict).
    Swap {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Nothing if there is no charter.
        over: Option<Revision>,
        /// The next.
        charter: Bytes,
    },
    /// Of the registry: end the lease. No answer is waited for.
    Release {
        /// Of the lease.
        incarnation: u64,
        /// The lease's.
        grant: u32,
    },
    /// Of the writer of storage: from now on, take what is written to these slots only with this generation, or a later one.
    /// Answered with [`Claimed`](Answer::Claimed).
    Claim {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Which.
        slots: Box<[u16]>,
        /// With which the node got them.
        generation: u64,
    },
}

/// What came of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lease holds; and what the registry holds at one moment, at or after that at which it was renewed.
    Seen {
        /// Of the charter.
        revision: Option<Revision>,
        /// The charter.
        charter: Option<Bytes>,
        /// The cards of all living leases.
        live: Vec<Card>,
    },
    /// There is no lease with this grant, or there is a later one.
    Lapsed,
    /// Another process holds a lease by this name.
    NameTaken,
    /// The charter is written.
    Swapped(Revision),
    /// Another charter was written before.
    Conflict,
    /// Carried out for all slots but those that have a later generation.
    Claimed {
        /// Those.
        late: Vec<u16>,
    },
    /// Nobody knows whether it was carried out.
    Failed,
}

/// What cores are to know. Each says what it is of, because a core may have heard something later from its neighbour before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForCore {
    /// A later view, with this node in it.
    View(Arc<View>),
    /// These slots may be served, as far as the lease is trusted.
    Claimed {
        /// Which.
        slots: Box<[u16]>,
        /// Those that have another one by now are not meant.
        generation: u64,
    },
    /// The lease is trusted until then.
    Leased {
        /// For this membership of this node only.
        since: u64,
        /// After that moment nothing is answered from memory.
        until: Nanos,
    },
    /// What was under way from and to this node is lost; what comes now is of another session.
    Restarted {
        /// Which node.
        node: NodeId,
        /// The epoch at which it became a member.
        since: u64,
        /// Tells what is sent from now on from what was sent before: it goes with each bundle for the node.
        link: u32,
    },
    /// Whether the node is heard. What is asked of one that is not is answered with an error at once.
    Reached {
        /// Which node.
        node: NodeId,
        /// The epoch at which it became a member.
        since: u64,
        /// Whether it is.
        heard: bool,
    },
    /// This node is no member as of this view. It serves nothing until a view comes.
    Suspended {
        /// Passed over by a core that has a later view.
        epoch: u64,
    },
}

/// A bundle that came from another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Who sent it.
    pub from: NodeId,
    /// The epoch at which the sender became a member.
    pub since: u64,
    /// Of the link: a core that knows of a later one passes it over.
    pub link: u32,
    /// Which stream.
    pub lane: Lane,
    /// As it was sent.
    pub bundle: Bytes,
}

/// What an operator is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A node became a member.
    Joined(NodeId, Box<str>),
    /// A node is none any more.
    Left(NodeId, Box<str>),
    /// So many members there are.
    Size(usize),
    /// A living node goes by other permission rules.
    RulesDiffer(Box<str>),
    /// A living node speaks another form, and is not taken as a member.
    FormDiffers(Box<str>),
    /// A living process has this node's name. This one waits until that lease is over.
    NameTaken,
    /// This node is no member, and serves nothing.
    Suspended,
    /// The registry holds no charter, or an older one than is known here: it lost data.
    RegistryForgot,
    /// The registry's charter is that of another cluster than this node became a member of: this process must start again.
    OtherCluster,
    /// Storage has slots claimed by a later generation than the registry knows of. All generations are raised.
    ClaimedByOthers,
    /// However often generations are raised, others claim later ones: another cluster writes to the same storage. This process has
    /// stopped, and must end.
    TwoClusters,
    /// Another process is a member by this one's number, because the registry lost that this one had it. This process must start
    /// again.
    NumberTaken,
}

/// How things stand, for counters and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The epoch of the charter, 0 without one.
    pub epoch: u64,
    /// Its fingerprint, 0 without one.
    pub charter: u64,
    /// The number of this node, if it is a member.
    pub node: Option<NodeId>,
    /// How many slots it has, and how many of those it has claimed.
    pub slots: (usize, usize),
    /// Until when it may serve.
    pub trusted_until: Nanos,
    /// The links to the other members.
    pub links: Vec<(NodeId, LinkCensus)>,
}

/// One node's part in its cluster.
pub struct Node {
    settings: Settings,
    started: Nanos,
    card: Card,
    tickets: u64,
    lease: Lease,
    registry: Registry,
    /// The latest that is known.
    charter: Option<Charter>,
    /// Its fingerprint, 0 without one.
    known: u64,
    /// The number of this process, once cores were told a view: they cannot change it.
    number: Option<NodeId>,
    /// The membership by the present grant, if the charter has it.
    own: Option<(NodeId, u64)>,
    /// The epoch of what cores were told last, and whether that was a view.
    told: (u64, bool),
    /// By core.
    adopted: Box<[u64]>,
    yielded: Box<[u64]>,
    /// The fingerprint of the latest charter up to which all cores have; as on the [card](Card::yielded).
    yielded_to: u64,
    /// When the registry was last looked at because a member has a later charter.
    looked_at: Option<Nanos>,
    peers: BTreeMap<NodeId, Peer>,
    /// How often any link began anew, of all that there ever were.
    resets: u32,
    beat_at: Nanos,
    claims: Claims,
    asks: Vec<Ask>,
    for_cores: VecDeque<ForCore>,
    notes: Vec<Note>,
    /// Whose turn it is to send, and to be heard.
    turn: u8,
}

impl Node {
    /// A node that asks to become a member.
    pub fn new(now: Nanos, settings: Settings) -> Self {
        let Settings { name, incarnation, address, cores, rules, ttl_ns, .. } = settings.clone();
        let card = Card {
            name,
            incarnation,
            grant: 0,
            address,
            cores,
            form: FORM,
            rules,
            ready: false,
            leaving: false,
            yielded: 0,
            hears: 0,
        };
        let mut node = Self {
            settings,
            started: now,
            card,
            tickets: 0,
            lease: Lease::new(ttl_ns),
            registry: Registry::new(now),
            charter: None,
            known: 0,
            number: None,
            own: None,
            told: (0, false),
            adopted: vec![0; cores.into()].into(),
            yielded: vec![0; cores.into()].into(),
            yielded_to: 0,
            looked_at: None,
            peers: BTreeMap::new(),
            resets: 0,
            beat_at: now,
            claims: Claims::new(),
            asks: Vec::new(),
            for_cores: VecDeque::new(),
            notes: Vec::new(),
            turn: 0,
        };
        node.tick(now);
        node
    }

    /// The cores run, and have a view: the node can have slots.
    pub fn ready(&mut self, now: Nanos) {
        self.card.ready = true;
        self.renew_soon(now);
    }

    /// The node is to end: it gives up its slots. Its lease is ended by [`release`](Self::release).
    pub fn leave(&mut self, now: Nanos) {
        self.card.leaving = true;
        self.renew_soon(now);
    }

    /// The node ends: nothing is asked any more. The others need not wait until its lease is over.
    pub fn release(&mut self) {
        let Card { incarnation, grant, .. } = self.card;
        self.asks.push(Ask::Release { incarnation, grant });
        self.lease.lapsed();
        self.registry.end();
        self.suspend();
    }

    /// Time passed.
    pub fn tick(&mut self, now: Nanos) {
        self.tick_links(now);
        self.tick_registry(now);
        self.tick_claims(now);
    }

    /// When to call [`tick`](Self::tick) at the latest.
    pub fn next_deadline(&self) -> Nanos {
        let links = self.peers.values().filter_map(Peer::deadline);
        let own = [self.beat_at, self.registry.deadline()];
        links.chain(own).chain(self.claims.deadline()).min().unwrap_or(self.beat_at)
    }

    /// What is to be asked.
    pub fn asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.asks)
    }

    /// What cores are to know, in order; each goes to every core.
    pub fn for_cores(&mut self) -> Option<ForCore> {
        self.for_cores.pop_front()
    }

    /// What an operator is to know.
    pub fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        let own = self.own.map(|(node, _)| node);
        Standing {
            epoch: self.epoch(),
            charter: self.known,
            node: own,
            slots: self.slots_claimed(),
            trusted_until: self.lease.trusted_until(),
            links: self.links().collect(),
        }
    }

    /// The links to the other members.
    pub fn links(&self) -> impl Iterator<Item = (NodeId, LinkCensus)> {
        self.peers.iter().map(|(&node, peer)| (node, peer.link.census()))
    }

    /// Of the charter.
    fn epoch(&self) -> u64 {
        self.charter.as_ref().map_or(0, |charter| charter.view.epoch())
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
