//! The two sides of a shard, and what they say to each other on one core.
//!
//! The edge is where connections are, the owner is where names are. Between cores they speak by packets. On one core the same is
//! said by calls: [`ToEdge`] has a verb for each packet that goes from owners to edges, [`ToOwner`] for each that goes the other
//! way, and both have the questions that need no packet because they are only ever asked within a core.
//!
//! *Owns* the shape. *Promises* that neither side sees what the other keeps: what an owner does is written for any `E`, what an
//! edge does for any `O`, so that the compiler refuses what goes around the verbs; and that it costs nothing, because there is one
//! of each, known when it is compiled: a verb is a direct call. *Does not* decide which of the two is meant: for the edges that is
//! [`Edges`], for the owners `owners.rs`.
//!
//! What an edge is told can lead to what is asked of owners next: a subscriber that left before it was counted leaves at once, a
//! withheld answer is fetched as soon as there is room. No edge asks for that from within: a verb of [`ToEdge`] is written without
//! any owner, and returns what follows. It is done by `heard.rs`, in place, as if a packet had come: put off to the end of the
//! input, it would come behind what the owner says next to the same connection.

pub(crate) mod edges;
mod heard;
mod invalid;
mod owners;

use crate::context::Context;
use crate::ident::{AttemptId, ConnId, Nanos, NodeId, Place};
use crate::output::Frames;
use crate::outputs::Outputs;
use crate::packet::{Forwarded, Identity, Rejoin, Rejoined, ReplyTo};
use crate::pattern::NamePattern;
use crate::permit::state::{FindOrLoad, FindResident, Found, Grant, Permit, RuleReader};
use crate::view::Change;
use bytes::Bytes;
use deepstream_valve::Document;
use deepstream_wire::{Action, Message, Topic, Wire};
use edges::Edges;
use std::sync::Arc;

/// Both sides of a shard, and what they share.
pub(crate) struct Sides<E, O> {
    pub(crate) cx: Context,
    pub(crate) permit: Permit,
    /// This core's edge, and the way to those of other cores.
    pub(crate) edges: Edges<E>,
    pub(crate) owner: O,
}

/// What is said to the edge of this core.
pub(crate) trait ToEdge: Sized {
    /// Who a connection is, once it is logged in.
    fn identity(&self, conn: ConnId) -> Option<&Arc<Identity>>;

    /// What a connection reads; `None`: it is gone.
    fn wire(&self, conn: ConnId) -> Option<Wire>;

    /// Whether anything more is said to a connection.
    fn is_told(&self, conn: ConnId) -> bool;

    /// Bytes that wait for a connection's socket.
    fn backlog(&self, conn: ConnId) -> usize;

    /// Whether there is room for an answer of so many bytes beside what waits, or is on its way.
    fn has_room(&self, conn: ConnId, bytes: usize) -> bool;

    /// `Reply`: a message, which `put` writes, to one connection, if anything is still said to it.
    fn tell(&mut self, outputs: &mut Outputs, conn: ConnId, put: impl FnOnce(Wire, &mut Vec<u8>));

    /// The one subscriber who is told of the name in this core's slot, if there is but one.
    fn only_member(&self, slot: u32, except: ConnId) -> Option<u32>;

    /// `FanOut` to that one.
    fn tell_member(&mut self, outputs: &mut Outputs, member: u32, except: ConnId, put: impl FnOnce(&mut Vec<u8>));

    /// `FanOut`: one encoded message to all subscribers of an owner's slot but one: `to` names the three. `share` makes one of its form for each wire
    /// that outboxes can hold in common.
    fn fan_out(
        &mut self,
        outputs: &mut Outputs,
        to: (Place, u32, ConnId),
        frames: [&[u8]; Wire::COUNT],
        share: impl Fn() -> Frames,
    );

    /// `FanOut` with its end: the subscriptions that an owner counted for its slot are over.
    fn end_subscriptions(&mut self, owner: Place, slot: u32);

    /// `Reply`, or one of the frames of `Announced`: a message that is encoded, to one connection.
    fn deliver(&mut self, outputs: &mut Outputs, conn: ConnId, frame: Bytes);

    /// `TakenOver`.
    fn taken_over(&mut self, outputs: &mut Outputs, conn: ConnId);

    /// `Counted`.
    fn counted<O>(sides: &mut Sides<Self, O>, conn: ConnId);

    /// `Joined`. What is to be left at once, if whoever subscribed does not want it any more.
    fn joined<O>(sides: &mut Sides<Self, O>, owner: Place, joined: Joined) -> Option<Left>;

    /// The subscription that a request was for, while somebody has one of that name.
    fn subscription_of(&self, conn: ConnId, reply_to: ReplyTo) -> Option<Grant>;

    /// `Settled`.
    fn settled<O>(
        sides: &mut Sides<Self, O>,
        owner: Place,
        conn: ConnId,
        reply_to: ReplyTo,
        refused: bool,
        version: Option<i32>,
    );

    /// `Withheld`. Gives it back if the connection is gone.
    fn withheld(&mut self, owner: Place, forwarded: Forwarded) -> Option<Forwarded>;

    /// What is to be fetched next of what is withheld from a connection, if there is room, and from which owner. Nothing more is
    /// until [`ToEdge::fetch_made`] is called.
    fn next_fetch<O>(sides: &mut Sides<Self, O>, conn: ConnId) -> Option<(Place, Forwarded)>;

    /// See [`ToEdge::next_fetch`].
    fn fetch_made(&mut self, conn: ConnId);

    /// `Fetched`.
    fn fetched(&mut self, conn: ConnId, number: u32);

    /// `Online`. The question, if this was the last of its answers.
    fn online(&mut self, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) -> Option<UserQuery>;

    /// Tells whoever asked for everybody who is online.
    fn answer_users<O>(sides: &mut Sides<Self, O>, query: UserQuery);

    /// A request is about to go to another node, or to the owner of a name that has none for the moment. `None`: it waits, or is
    /// answered.
    fn asks_far<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, forwarded: Forwarded) -> Option<Forwarded>;

    /// What every owner is asked is asked of one: whether for users.
    fn part_asked(&mut self, owner: Place, reply_to: ReplyTo, for_users: bool);

    /// An owner answered what every owner is asked.
    fn part_settled(&mut self, owner: Place, reply_to: ReplyTo);

    /// `Done`.
    fn done(&mut self, owner: Place, name_id: u32, attempt: u32);

    /// `Astray`: a request that is not for this owner, of a connection of this core.
    fn astray<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, forwarded: Forwarded);

    /// `Flushed`.
    fn flushed<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, epoch: u64);

    /// `Rejoined`.
    fn rejoined<O: ToOwner>(sides: &mut Sides<Self, O>, owner: Place, names: &[Rejoined]);

    /// Another view is in force. The owner of this core goes by it after this.
    fn view_changing<O: ToOwner>(sides: &mut Sides<Self, O>, change: &Change);

    /// The owner of this core goes by it, too.
    fn view_changed<O: ToOwner>(sides: &mut Sides<Self, O>, change: &Change);

    /// What was under way to and from a node is lost, and so is what it knew of this core's connections.
    fn restarted<O: ToOwner>(sides: &mut Sides<Self, O>, node: NodeId);

    /// Whether a node is heard.
    fn reached<O: ToOwner>(sides: &mut Sides<Self, O>, node: NodeId, heard: bool);

    /// This node is no member until a later view comes.
    fn suspended<O: ToOwner>(sides: &mut Sides<Self, O>);

    /// How many connections watch everybody.
    fn watcher_count(&self) -> usize;

    /// One of them.
    fn watcher_at(&self, place: usize) -> Option<ConnId>;

    /// The same, if the owner that stands there in the row knows of it: what others say was meant for those before it.
    fn watcher_of(&self, place: usize, index: usize) -> Option<ConnId>;

    /// A connection watches everybody no more; `None`: it did not. Whether it was the last that did.
    fn end_watching(&mut self, conn: ConnId) -> Option<bool>;

    /// Who a connection is, for the core that stands there in the row, if that has not been told yet.
    fn introduce(&mut self, index: usize, conn: ConnId) -> Option<Arc<Identity>>;

    /// A message of a connection that waited for records which rules refer to is gone on with.
    fn begin_again<O: ToOwner>(sides: &mut Sides<Self, O>, conn: ConnId, message: &Message<&[u8]>, found: Found);

    /// Connection slots below this may have subscriptions.
    fn subscription_slots(&self) -> u32;

    /// How many subscriptions the connection in a slot has.
    fn subscription_count(&self, slot: u32) -> usize;

    /// One of them, as something that goes on.
    fn subscription_at(&self, slot: u32, place: usize) -> Option<Grant>;

    /// A subscription may not go on. Whether there was one, and what is to be left.
    fn end_subscription(&mut self, conn: ConnId, topic: Topic, name: &[u8], hash: u64) -> (bool, Option<Left>);
}

/// A subscription that its owner counts.
#[derive(Clone, Copy)]
pub(crate) struct Joined {
    /// The subscriber.
    pub(crate) conn: ConnId,
    /// The request's.
    pub(crate) reply_to: ReplyTo,
    /// The owner's slot of the name.
    pub(crate) slot: u32,
    /// Named again when leaving.
    pub(crate) epoch: u32,
    /// Somebody provides the name, and the subscriber is to be told.
    pub(crate) provided: bool,
}

/// What the owner must be told when somebody left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) owner: Place,
    pub(crate) slot: u32,
    pub(crate) epoch: u32,
}

/// A question for everybody who is online, with what owners answered.
pub(crate) struct UserQuery {
    pub(crate) conn: ConnId,
    pub(crate) message: Message<Box<[u8]>>,
    pub(crate) users: Vec<Box<[u8]>>,
}

/// What is said to the owner of this core.
pub(crate) trait ToOwner: Sized {
    /// `Request`.
    fn request<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>);

    /// `Leave`.
    fn left<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, slot: u32, epoch: u32);

    /// `Farewell`, of a connection of any core.
    fn farewell<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, oversized: bool);

    /// `Presence`.
    fn presence<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, identity: &Identity, online: bool);

    /// `HoldClientId`.
    fn hold_client_id<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, at: Nanos, key: Box<[u8]>, on: bool);

    /// `Everyone`.
    fn everyone<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, reply_to: ReplyTo, on: bool);

    /// `Listen`.
    fn listen<E: ToEdge>(
        sides: &mut Sides<E, Self>,
        conn: ConnId,
        reply_to: ReplyTo,
        topic: Topic,
        pattern: &Arc<NamePattern>,
        on: bool,
    );

    /// `Users`.
    fn users<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, reply_to: ReplyTo);

    /// `Flush`.
    fn flush<E: ToEdge>(sides: &mut Sides<E, Self>, from: Place, epoch: u64);

    /// `Rejoin`.
    fn rejoin<E: ToEdge>(sides: &mut Sides<E, Self>, from: Place, names: &[Rejoin]);

    /// `Told`.
    fn told<E: ToEdge>(sides: &mut Sides<E, Self>, from: Place, epoch: u64);

    /// What a connection listens to by this pattern, if it does.
    fn listens(&self, conn: ConnId, topic: Topic, source: &str) -> Option<Arc<NamePattern>>;

    /// How many patterns a connection listens to.
    fn pattern_count(&self, conn: ConnId) -> usize;

    /// The compiled form of a pattern that somebody listens to already.
    fn compiled(&self, topic: Topic, source: &str) -> Option<Arc<NamePattern>>;

    /// All places of listeners are below this.
    fn listener_places(&self) -> usize;

    /// The connection of this core, topic and pattern at a listener's place.
    fn listener_at(&self, core: Place, place: usize) -> Option<(ConnId, Topic, Arc<NamePattern>)>;

    /// All slots of names are below this.
    fn name_slots(&self) -> u32;

    /// The last of the providers of the name in a slot, where there is one.
    fn provider_at(&self, slot: u32) -> Option<Grant>;

    /// The other providers of the same name.
    fn other_providers(&self, name: &[u8], hash: u64) -> Vec<ConnId>;

    /// Whoever was told, to provide the name in a slot.
    fn assignment_at(&self, slot: u32) -> Option<Grant>;

    /// A connection may provide a name no more. Whether it did.
    fn end_provider<E: ToEdge>(sides: &mut Sides<E, Self>, conn: ConnId, name: &[u8], hash: u64) -> bool;

    /// Whoever was told of a name may not listen to it any more.
    fn end_assignment<E: ToEdge>(sides: &mut Sides<E, Self>, attempt: AttemptId);

    /// Other rules are in force: whether there are any, and which tables are nobody's.
    fn rules_changed(&mut self, has_rules: bool, guarded: &[Box<[u8]>]);

    /// All that was begun under older rules was judged by those in force.
    fn reauthorized<E: ToEdge>(sides: &mut Sides<E, Self>);

    /// What waits at a name is gone on with: what rules look for was found for the first of it.
    fn go_on_at<E: ToEdge>(sides: &mut Sides<E, Self>, slot: u32, found: Found);

    /// A listener that is to be told of a name, for whom rules found what they look for.
    fn offer_again<E: ToEdge>(sides: &mut Sides<E, Self>, attempt: AttemptId, found: Found);

    /// Looks at a record of this core for a rule; what is not known is asked of storage.
    fn find_or_load<E: ToEdge>(sides: &mut Sides<E, Self>, name: &[u8], hash: u64) -> FindOrLoad;

    /// The same, with no effect: nothing is loaded for it, and there is nothing to wait for.
    fn find_resident(&self, cx: &Context, name: &[u8], hash: u64) -> FindResident;

    /// A rule waits for the value of a record that is being loaded.
    fn wait_for_value(&mut self, slot: u32, rule_reader: RuleReader);

    /// The name in a slot.
    fn name_of(&self, slot: u32) -> &[u8];

    /// The value of a record that was found here.
    fn value_of(&self, slot: u32) -> &[u8];

    /// A record that was found here was used, and stays in memory as if it had been read.
    fn used(&mut self, slot: u32);

    /// Whether it is known what a record is.
    fn is_known(&self, slot: u32) -> bool;

    /// `oldData`: the record as it is; as it will be read, where reading it creates it.
    fn old_document(&self, slot: u32, action: Action) -> Document<'_>;

    /// Puts the document that a write leads to where [`ToOwner::merged_document`] finds it; an error says why there is none.
    fn merge<E: ToEdge>(sides: &mut Sides<E, Self>, slot: u32, message: &Message<&[u8]>) -> Result<(), String>;

    /// See [`ToOwner::merge`].
    fn merged_document(&self) -> Document<'_>;
}
