//! What was asked at other nodes, until it is over.
//!
//! *Owns* the ledger. *Promises* that whatever somebody waits for is in it, and that it leaves it once. *Does not* know what becomes
//! of it: that is `lost.rs`.

use crate::edge::Edge;
use crate::ident::{NodeId, Place};
use crate::packet::{Forwarded, ReplyTo};
use ahash::RandomState;
use deepstream_wire::{EventRequest, Flags, Head, PresenceRequest, RecordRequest, Request, RpcRequest};
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// The requests to other nodes that are not over. They share the bytes of what was sent.
#[derive(Debug)]
pub(super) struct Asked {
    /// By the number of the name and that of the attempt; by a number of its own and 0 for what subscribes nothing.
    requests: HashMap<(u32, u32), InFlight, RandomState>,
    /// Who is asked what every owner is asked, of bulk messages: the place, the message, and whether it asks for users.
    parts: BTreeSet<(Place, u32, u32, bool)>,
    number: u32,
    order: u64,
}

/// One of them.
#[derive(Debug)]
struct InFlight {
    owner: Place,
    /// Counts them, in the order in which they were sent.
    order: u64,
    /// Its part of a bulk message is done.
    settled: bool,
    forwarded: Forwarded,
}

/// A request whose owner is lost.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) forwarded: Forwarded,
    /// Its part of a bulk message is done.
    pub(super) settled: bool,
}

fn key(reply_to: ReplyTo) -> (u32, u32) {
    (reply_to.name_id, reply_to.attempt)
}

/// What a request is, as far as it matters if its owner is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Looks at a record, or subscribes to it: it does no harm to do it twice.
    Looks,
    Writes,
    Deletes,
    Calls,
    /// Anything else that does no harm if it is done twice.
    Harmless,
    /// Nobody waits for it.
    Idle,
}

impl Nature {
    pub(super) fn of(head: &Head) -> Self {
        match head.action.request() {
            Some(Request::Event(said)) => match said {
                EventRequest::Emit if !head.flags.has(Flags::IS_ACK) => Self::Idle,
                EventRequest::Emit | EventRequest::Subscribe => Self::Harmless,
                EventRequest::Unsubscribe
                | EventRequest::Listen
                | EventRequest::Unlisten
                | EventRequest::ListenAccept
                | EventRequest::ListenReject => Self::Idle,
            },
            Some(Request::Record(said)) => match said {
                RecordRequest::Read
                | RecordRequest::Head
                | RecordRequest::Subscribe
                | RecordRequest::SubscribeAndHead
                | RecordRequest::SubscribeAndRead
                | RecordRequest::SubscribeCreateAndRead
                | RecordRequest::Notify => Self::Looks,
                RecordRequest::Update
                | RecordRequest::Patch
                | RecordRequest::PatchMulti
                | RecordRequest::Erase
                | RecordRequest::CreateAndUpdate
                | RecordRequest::CreateAndPatch => Self::Writes,
                RecordRequest::Delete => Self::Deletes,
                RecordRequest::Unsubscribe
                | RecordRequest::Listen
                | RecordRequest::Unlisten
                | RecordRequest::ListenAccept
                | RecordRequest::ListenReject => Self::Idle,
            },
            Some(Request::Rpc(said)) => match said {
                RpcRequest::Provide | RpcRequest::Unprovide => Self::Harmless,
                RpcRequest::Request => Self::Calls,
                RpcRequest::Accept | RpcRequest::Response | RpcRequest::Reject | RpcRequest::RequestError => Self::Idle,
            },
            Some(Request::Presence(said)) => match said {
                PresenceRequest::Subscribe | PresenceRequest::Query => Self::Harmless,
                PresenceRequest::QueryAll
                | PresenceRequest::SubscribeAll
                | PresenceRequest::Unsubscribe
                | PresenceRequest::UnsubscribeAll => Self::Idle,
            },
            Some(Request::Connection(_) | Request::Auth(_)) | None => Self::Idle,
        }
    }

    /// Whether it can be made again without harm if it was carried out already.
    pub(super) fn is_harmless(self) -> bool {
        match self {
            Self::Looks | Self::Harmless => true,
            Self::Writes | Self::Deletes | Self::Calls | Self::Idle => false,
        }
    }
}

impl Asked {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { requests: HashMap::with_hasher(hasher), parts: BTreeSet::new(), number: 0, order: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len() + self.parts.len()
    }

    /// A request is on its way to another node, and is numbered for its owner.
    pub(super) fn begin(&mut self, owner: Place, forwarded: &mut Forwarded) {
        if Nature::of(&forwarded.head) == Nature::Idle {
            return;
        }
        let reply_to = &mut forwarded.reply_to;
        if !reply_to.joins() && reply_to.name_id == ReplyTo::NONE {
            self.number = (self.number + 1) % ReplyTo::NONE;
            reply_to.name_id = self.number;
        }
        self.order += 1;
        let request = InFlight { owner, order: self.order, settled: false, forwarded: forwarded.clone() };
        self.requests.insert(key(forwarded.reply_to), request);
    }

    /// Nothing more comes of a request, or it is somewhere else now.
    pub(super) fn end(&mut self, owner: Place, reply_to: ReplyTo) {
        if self.requests.get(&key(reply_to)).is_some_and(|request| request.owner == owner) {
            self.requests.remove(&key(reply_to));
        }
    }

    /// A request's part of a bulk message is done.
    pub(super) fn settled(&mut self, reply_to: ReplyTo) {
        if let Some(request) = self.requests.get_mut(&key(reply_to)) {
            request.settled |= request.forwarded.reply_to.bulk_request == reply_to.bulk_request;
        }
    }

    /// Takes out the parts of bulk messages that wait for a node, and whether they ask for users.
    pub(super) fn take_parts(&mut self, node: NodeId) -> Vec<(ReplyTo, bool)> {
        let mut taken = Vec::new();
        self.parts.retain(|&(place, bulk_request, bulk_generation, for_users)| {
            let is_lost = place.node() == node;
            if is_lost {
                taken.push((ReplyTo { bulk_request, bulk_generation, ..ReplyTo::default() }, for_users));
            }
            !is_lost
        });
        taken
    }

    /// Takes out what was asked of a node, in the order in which it was.
    pub(super) fn take(&mut self, node: NodeId) -> Vec<Unanswered> {
        let mut taken: Vec<_> =
            self.requests.extract_if(|_, request| request.owner.node() == node).map(|(_, request)| request).collect();
        taken.sort_unstable_by_key(|request| request.order);
        let unanswered = |InFlight { forwarded, settled, .. }| Unanswered { forwarded, settled };
        taken.into_iter().map(unanswered).collect()
    }
}

impl Edge {
    /// `Done`: nothing more comes of a request.
    pub(in crate::edge) fn request_done(&mut self, owner: Place, reply_to: ReplyTo) {
        if let Some(far) = &mut self.far {
            far.asked.end(owner, reply_to);
        }
    }

    /// What every owner is asked is asked of one on another node: whether for users.
    pub(in crate::edge) fn part_asked(&mut self, owner: Place, reply_to: ReplyTo, for_users: bool) {
        if let Some(far) = &mut self.far
            && owner.node() != self.sessions.core().node()
            && reply_to.bulk_request != ReplyTo::NONE
        {
            far.asked.parts.insert((owner, reply_to.bulk_request, reply_to.bulk_generation, for_users));
        }
    }

    /// The part of a bulk message is done that a request to another node was.
    #[inline]
    pub(in crate::edge) fn part_settled(&mut self, owner: Place, reply_to: ReplyTo) {
        if let Some(far) = &mut self.far
            && owner.node() != self.sessions.core().node()
            && reply_to.bulk_request != ReplyTo::NONE
        {
            far.asked.settled(reply_to);
            let part = |for_users| (owner, reply_to.bulk_request, reply_to.bulk_generation, for_users);
            if !far.asked.parts.remove(&part(false)) {
                far.asked.parts.remove(&part(true));
            }
        }
    }
}
