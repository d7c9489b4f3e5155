//! What crosses between cores.
//!
//! *Owns* the shapes, and their bytes (`packet/form.rs`). *Promises* that a packet fits a ring slot. *Does not* know rings.
//!
//! Requests go from edge to owner, deliveries from owner to edge; the two lanes are never mixed (house rule: requests
//! may wait for deliveries, deliveries wait for nobody).

mod bundle;
mod form;

use crate::ident::{ConnId, Nanos};
use crate::output::Frames;
use crate::pattern::NamePattern;
use crate::permissions::{Permissions, RuleLookupId};
use crate::view::View;
pub use bundle::{Bundle, BundleWriter};
use bytes::Bytes;
use deepstream_wire::{Head, Topic, Wire};
pub use form::NoPacket;
use std::sync::Arc;

/// Which of the two rings of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Edge to owner. Its consumer may leave it alone while its own deliveries are congested.
    Requests = 0,
    /// Owner to edge. Always drained.
    Deliveries = 1,
}

impl Lane {
    /// Both, in index order.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Deliveries];
}

/// Who a connection is, as far as other cores need to know. Sent once per core and connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user: Box<str>,
    /// What the connection reads.
    pub wire: Wire,
    /// What the login told the client about itself: JSON text.
    pub client_data: Option<Box<[u8]>>,
    /// What the login told the permission rules about it: JSON text.
    pub server_data: Option<Box<[u8]>>,
    /// The name under which it is connected once; a user's clients have different ones.
    pub client: Option<Box<[u8]>>,
}

impl Identity {
    /// The user and the name of a client that is connected once, as one: no name holds the byte between them.
    pub(crate) fn client_key(&self) -> Option<Box<[u8]>> {
        let client = self.client.as_deref()?;
        Some([self.user.as_bytes(), b"\0", client].concat().into())
    }
}

/// Ties a request to what waits for it at the edge. All-default means that nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The edge's number for the name being subscribed. Of a request to another node that subscribes nothing: its number at the edge.
    pub name_id: u32,
    /// Tells this attempt to subscribe from an earlier one of the same connection and name; 0 where the request
    /// subscribes nothing.
    pub attempt: u32,
    /// The bulk message this request is a part of; [`ReplyTo::NONE`] if of none.
    pub bulk_request: u32,
    /// Tells this bulk message from an earlier one in the same place.
    pub bulk_generation: u32,
    /// Which of the bulk message's names, counted from 0. Of a reading, which no bulk message waits for: the number of the
    /// fetch it is, of an answer that was withheld; 0 if of none.
    pub part: u32,
    /// The generation of permission rules in force where the message came in: all of a message is judged by the same.
    pub rules: u32,
}

impl ReplyTo {
    /// No name, no bulk message.
    pub const NONE: u32 = u32::MAX;
    /// The part of a subscription to everybody that one owner confirms.
    pub const EVERYBODY: u32 = u32::MAX - 1;
    /// The number of a fetch that nobody waits for.
    const YIELDED: u32 = u32::MAX - 2;

    /// Of a reading: whether it is done whatever its answer is in bytes.
    pub(crate) fn is_fetch(self) -> bool {
        self.bulk_request == Self::NONE && self.part != 0
    }

    /// Of a reading: whether an edge waits for its end.
    pub(crate) fn is_awaited_fetch(self) -> bool {
        self.is_fetch() && self.part != Self::YIELDED
    }

    /// The same as a fetch that nobody waits for.
    pub(crate) fn yielded(self) -> Self {
        Self { part: Self::YIELDED, ..self }
    }

    /// The number of the fetch after this one.
    pub(crate) fn fetch_number(last: u32) -> u32 {
        last % (Self::YIELDED - 1) + 1
    }

    /// Whether two requests are the same but for fetching.
    pub(crate) fn is_of(self, other: Self) -> bool {
        let of = |reply_to: Self| (reply_to.name_id, reply_to.attempt, reply_to.bulk_request, reply_to.bulk_generation);
        of(self) == of(other)
    }

    /// Of a request that subscribes nothing, and has this number.
    pub(crate) fn numbered(number: u32) -> Self {
        Self { name_id: number, ..Self::default() }
    }

    /// Whether the owner is to count a subscription.
    pub fn joins(self) -> bool {
        self.attempt != 0
    }

    /// The same without the bulk message.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { bulk_request: Self::NONE, ..self }
    }
}

impl Default for ReplyTo {
    fn default() -> Self {
        Self { name_id: Self::NONE, attempt: 0, bulk_request: Self::NONE, bulk_generation: 0, part: 0, rules: 0 }
    }
}

/// A message on its way to the owner of its name.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// Who said it.
    pub conn: ConnId,
    /// What waits for it.
    pub reply_to: ReplyTo,
    /// What was said.
    pub head: Head,
    /// What the head points into.
    pub bytes: Bytes,
}

/// A name that subscribers of one core go on hearing, for its new owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejoin {
    /// EVENT, RECORD or PRESENCE.
    pub topic: Topic,
    /// The name's hash.
    pub hash: u64,
    /// The name.
    pub name: Box<[u8]>,
    /// The edge's number for it.
    pub name_id: u32,
    /// Tells this from an earlier one of the same name.
    pub attempt: u32,
    /// How many subscribers.
    pub count: u32,
    /// The sum of their mixed numbers: its upper half, and the lower.
    pub sum: [u64; 2],
    /// One bit for each wire that one of them reads.
    pub wires: u16,
    /// The version of a record that they were told last, if the edge knows it.
    pub version: Option<i32>,
}

/// Its owner's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoined {
    /// As in [`Rejoin`].
    pub name_id: u32,
    /// As in [`Rejoin`].
    pub attempt: u32,
    /// The owner's slot of the name.
    pub slot: u32,
    /// Named again when leaving.
    pub epoch: u32,
}

/// One thing that crosses one ring.
#[derive(Debug)]
pub enum Packet {
    /// Requests: do this.
    Request(Forwarded),
    /// Requests: the connection that will speak next is this one.
    Introduce(ConnId, Arc<Identity>),
    /// Requests: that connection is gone.
    Farewell(ConnId, bool),
    /// Requests: one subscriber fewer of the name in this slot, if its epoch is still this.
    Leave {
        /// The subscriber.
        conn: ConnId,
        /// The owner's slot of the name.
        slot: u32,
        /// The epoch the subscription began in.
        epoch: u32,
    },
    /// Requests: a user has one connection more, or one fewer.
    Presence {
        /// The connection, to which that it is counted is said.
        conn: ConnId,
        /// Whose.
        identity: Arc<Identity>,
        /// One more.
        online: bool,
    },
    /// Requests: a connection logged in under its client's name, or is gone.
    HoldClientId {
        /// The connection.
        conn: ConnId,
        /// When that was, since the beginning of 1970.
        at: Nanos,
        /// Who it is.
        identity: Arc<Identity>,
        /// It logged in.
        on: bool,
    },
    /// Deliveries: another connection bears its name now.
    TakenOver(ConnId),
    /// Deliveries: its user is online, to whoever asks from here on.
    Counted(ConnId),
    /// Requests: this core has subscribers of everybody's presence, or none any more.
    Everyone {
        /// The subscriber, and what waits for the answer.
        conn: ConnId,
        /// As of any request.
        reply_to: ReplyTo,
        /// It has some.
        on: bool,
    },
    /// Requests: this connection listens to that pattern, or does no more.
    Listen {
        /// The connection.
        conn: ConnId,
        /// As of any request.
        reply_to: ReplyTo,
        /// EVENT or RECORD.
        topic: Topic,
        /// What it listens to, compiled where it came in.
        pattern: Arc<NamePattern>,
        /// It does.
        on: bool,
    },
    /// Requests: which users are online?
    Users {
        /// Who asks.
        conn: ConnId,
        /// As of any request.
        reply_to: ReplyTo,
    },
    /// Requests: what is this record? A permission rule refers to it. Never waits for a permission itself.
    RemoteRead {
        /// Returned with the answer.
        rule_lookup: RuleLookupId,
        /// Which of the rule lookup's records.
        place: u32,
        /// The name's hash.
        hash: u64,
        /// Its name.
        name: Box<[u8]>,
    },
    /// Requests: say when nothing of mine is under way with you any more for slots that you lost up to this view.
    Flush {
        /// Of the view.
        epoch: u64,
    },
    /// Requests: these names are heard here, as of the former owner.
    Rejoin(Box<[Rejoin]>),
    /// Requests: that was all that is heard here of the slots that came to you up to this view.
    Told {
        /// Of the view.
        epoch: u64,
    },
    /// Both, within a node: this view is in force from here on, whatever comes next goes by it.
    View(Arc<View>),
    /// Deliveries: this is not mine. It goes back whole, to be sent elsewhere.
    Astray(Forwarded),
    /// Deliveries: nothing more comes of a request of another node's.
    Done {
        /// As in the request's [`ReplyTo`].
        name_id: u32,
        /// As in the request's [`ReplyTo`].
        attempt: u32,
    },
    /// Deliveries: nothing of yours is under way with me any more for slots that I lost up to this view. What I say from here on is
    /// not about them.
    Flushed {
        /// Of the view.
        epoch: u64,
    },
    /// Deliveries: these are counted; what the owner sends from here on is for them, too.
    Rejoined(Box<[Rejoined]>),
    /// Requests: these permission rules are in force from here on.
    Rules(Arc<Permissions>),
    /// Deliveries: it is this.
    RemoteReadDone {
        /// The question's.
        rule_lookup: RuleLookupId,
        /// As in the question.
        place: u32,
        /// Its value, or that there is no such record; an error if it could not be had.
        found: Result<Option<Bytes>, ()>,
    },
    /// Deliveries: these are.
    Online {
        /// The request's.
        reply_to: ReplyTo,
        /// Those this core keeps count of.
        users: Box<[Box<[u8]>]>,
    },
    /// Deliveries: these bytes to that connection.
    Reply(ConnId, Bytes),
    /// Deliveries: this message to every subscriber of the name.
    FanOut {
        /// The owner's slot of the name.
        slot: u32,
        /// The subscriptions end with this message (the record was deleted).
        end: bool,
        /// The one who is not told, as they said it.
        except: ConnId,
        /// The message.
        frames: Frames,
    },
    /// Deliveries: this user came or went, to every subscriber of everybody's presence who may know of it.
    Announced {
        /// Its id.
        user: Box<[u8]>,
        /// The message.
        frames: Frames,
    },
    /// Deliveries: a subscription is counted; what the owner sends from here on is for it too.
    Joined {
        /// The subscriber.
        conn: ConnId,
        /// The request's.
        reply_to: ReplyTo,
        /// The owner's slot of the name.
        slot: u32,
        /// Named again when leaving.
        epoch: u32,
        /// Somebody provides the name, and the subscriber is to be told.
        provided: bool,
    },
    /// Deliveries: there may be no room for the answer to this, of as many bytes as `reply_to.part` says; it is to be asked again
    /// when there is.
    Withheld(Forwarded),
    /// Deliveries: what was asked again, under this number, is answered.
    Fetched(ConnId, u32),
    /// Deliveries: a part of a bulk message is done, and no subscription came of it.
    Settled {
        /// The connection whose subscription, if any, was refused.
        conn: ConnId,
        /// The request's.
        reply_to: ReplyTo,
        /// Whether it was refused, as opposed to done.
        refused: bool,
        /// The version of the record, where that was asked for.
        version: Option<i32>,
    },
}

const _: () = assert!(size_of::<Packet>() <= 128, "a packet is a ring slot: two cache lines");
