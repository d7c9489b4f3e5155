//! Bulk messages whose names live on several cores: one answer when the last part is done.

use crate::edge::Edge;
use crate::ident::ConnId;
use crate::packet::ReplyTo;
use crate::sides::{Sides, UserQuery};
use deepstream_wire::{Action, EventRequest, Message, Outgoing, PresenceRequest, RecordRequest, Request, RpcRequest};
use slab::Slab;

/// One bulk message.
#[derive(Debug)]
pub(crate) struct BulkRequest {
    generation: u32,
    pub(crate) conn: ConnId,
    /// The bulk message, kept for its correlation id and names.
    pub(crate) message: Message<Box<[u8]>>,
    outstanding: u32,
    parts: u32,
    /// Parts that were not refused.
    done: u32,
    /// Versions by part, for SUBSCRIBEANDHEAD; whether online, for QUERY.
    pub(crate) versions: Vec<Option<i32>>,
    /// Users online, for QUERY_ALL.
    pub(crate) users: Vec<Box<[u8]>>,
}

/// The bulk messages of one core's connections that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct BulkRequests {
    generation: u32,
    table: Slab<BulkRequest>,
}

impl BulkRequests {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Begins a bulk message. It counts as one outstanding part itself until [`Sides::settle`] is called with the
    /// returned address, so that it cannot be answered while its parts are still being sent out.
    pub(crate) fn begin(&mut self, conn: ConnId, message: &Message<&[u8]>) -> ReplyTo {
        self.generation = self.generation.wrapping_add(1);
        let bulk_request = self.table.insert(BulkRequest {
            generation: self.generation,
            conn,
            message: Message { head: message.head, bytes: message.bytes.into() },
            outstanding: 1,
            parts: 0,
            done: 0,
            versions: Vec::new(),
            users: Vec::new(),
        });
        ReplyTo {
            bulk_request: bulk_request as u32,
            bulk_generation: self.generation,
            part: ReplyTo::NONE,
            ..ReplyTo::default()
        }
    }

    /// Adds users to the answer of a QUERY_ALL.
    pub(crate) fn add_users(&mut self, reply_to: ReplyTo, users: Box<[Box<[u8]>]>) {
        let bulk_request = self.table.get_mut(reply_to.bulk_request as usize);
        if let Some(bulk_request) =
            bulk_request.filter(|bulk_request| bulk_request.generation == reply_to.bulk_generation)
        {
            bulk_request.users.extend(users);
        }
    }

    /// A name that needs nothing to be done: whatever becomes of the others, the message is not refused as a whole.
    pub(crate) fn stands(&mut self, reply_to: ReplyTo) {
        if let Some(bulk_request) = self.table.get_mut(reply_to.bulk_request as usize) {
            bulk_request.done += 1;
        }
    }

    /// What a bulk message asks for that waits for this part.
    pub(crate) fn action_of(&self, reply_to: ReplyTo) -> Option<Action> {
        let bulk_request = self.table.get(reply_to.bulk_request as usize)?;
        (bulk_request.generation == reply_to.bulk_generation).then_some(bulk_request.message.head.action)
    }

    /// The name that a part of a bulk message is about.
    pub(crate) fn name_of(&self, reply_to: ReplyTo) -> Option<Box<[u8]>> {
        let message = self.table.get(reply_to.bulk_request as usize)?.message.borrowed();
        message.names().nth(reply_to.part as usize).map(Into::into)
    }

    /// One part more; where its answer goes.
    pub(crate) fn part(&mut self, reply_to: ReplyTo, part: u32) -> ReplyTo {
        if let Some(bulk_request) = self.table.get_mut(reply_to.bulk_request as usize) {
            bulk_request.outstanding += 1;
            bulk_request.parts += 1;
        }
        ReplyTo { part, ..reply_to }
    }

    /// A part is done, or the sending out of the parts is. The whole message, if that was all that it waited for.
    #[inline]
    fn settle(&mut self, reply_to: ReplyTo, refused: bool, version: Option<i32>) -> Option<BulkRequest> {
        if reply_to.bulk_request == ReplyTo::NONE {
            return None;
        }
        let bulk_request = self.table.get_mut(reply_to.bulk_request as usize)?;
        if bulk_request.generation != reply_to.bulk_generation {
            return None;
        }
        bulk_request.outstanding -= 1;
        // The sending out counts as done only where there was nothing to send out.
        let sending_out = reply_to.part == ReplyTo::NONE;
        let counts = !sending_out || bulk_request.parts == 0;
        bulk_request.done += u32::from(counts && !refused);
        if let Some(version) = version {
            let part = reply_to.part as usize;
            if bulk_request.versions.len() <= part {
                bulk_request.versions.resize(part + 1, None);
            }
            bulk_request.versions[part] = Some(version);
        }
        let done = bulk_request.outstanding == 0;
        done.then(|| self.table.remove(reply_to.bulk_request as usize))
    }

    /// A part of a QUERY_ALL is done, or the sending out of its parts is. The question, if that was all that it waited for.
    pub(super) fn settle_users(&mut self, reply_to: ReplyTo) -> Option<UserQuery> {
        let BulkRequest { conn, message, users, .. } = self.settle(reply_to, false, None)?;
        Some(UserQuery { conn, message, users })
    }
}

impl Edge {
    /// What ties the requests of a bulk message together, for their owners, that is answered name by name.
    pub(super) fn begin_message(&mut self) -> ReplyTo {
        self.message = self.message.wrapping_add(1).max(1);
        ReplyTo { bulk_generation: self.message, ..ReplyTo::default() }
    }
}

impl<O> Sides<Edge, O> {
    /// A part of a bulk message is done, or the sending out of its parts is (`refused: false` for an empty one).
    pub(crate) fn settle(&mut self, reply_to: ReplyTo, refused: bool, version: Option<i32>) {
        if let Some(bulk_request) = self.edges.here.bulk_requests.settle(reply_to, refused, version) {
            self.answer(&bulk_request);
        }
    }

    fn answer(&mut self, bulk_request: &BulkRequest) {
        // If every name was refused, its client has been told so for each of them; an acknowledgement would say the opposite.
        if bulk_request.done == 0 {
            return;
        }
        let message = bulk_request.message.borrowed();
        let Some(request) = message.head.action.request() else { return };
        match request {
            Request::Presence(PresenceRequest::Query) => self.answer_query(bulk_request),
            Request::Event(EventRequest::Listen | EventRequest::Unlisten)
            | Request::Record(RecordRequest::Listen | RecordRequest::Unlisten) => {
                self.acknowledge_listen(bulk_request.conn, &message);
            }
            Request::Record(RecordRequest::SubscribeAndHead) => {
                self.answer_heads(bulk_request);
                self.acknowledge(bulk_request.conn, &message, false);
            }
            Request::Record(RecordRequest::Notify) => self.acknowledge(bulk_request.conn, &message, true),
            Request::Event(EventRequest::Subscribe)
            | Request::Record(
                RecordRequest::Subscribe | RecordRequest::SubscribeAndRead | RecordRequest::SubscribeCreateAndRead,
            )
            | Request::Rpc(RpcRequest::Provide | RpcRequest::Unprovide)
            | Request::Presence(PresenceRequest::Subscribe | PresenceRequest::SubscribeAll) => {
                self.acknowledge(bulk_request.conn, &message, false);
            }
            Request::Event(
                EventRequest::Emit
                | EventRequest::Unsubscribe
                | EventRequest::ListenAccept
                | EventRequest::ListenReject,
            )
            | Request::Record(
                RecordRequest::Read
                | RecordRequest::Head
                | RecordRequest::Update
                | RecordRequest::Patch
                | RecordRequest::PatchMulti
                | RecordRequest::Erase
                | RecordRequest::CreateAndUpdate
                | RecordRequest::CreateAndPatch
                | RecordRequest::Delete
                | RecordRequest::Unsubscribe
                | RecordRequest::ListenAccept
                | RecordRequest::ListenReject,
            )
            // Of these, QUERY_ALL is answered once it is known whom its asker may know of.
            | Request::Presence(
                PresenceRequest::Unsubscribe | PresenceRequest::UnsubscribeAll | PresenceRequest::QueryAll,
            )
            | Request::Rpc(
                RpcRequest::Request
                | RpcRequest::Accept
                | RpcRequest::Response
                | RpcRequest::Reject
                | RpcRequest::RequestError,
            )
            | Request::Connection(_)
            | Request::Auth(_) => debug_assert!(false, "no parts of it are settled here"),
        }
    }

    /// The versions of all names that a SUBSCRIBEANDHEAD was about.
    fn answer_heads(&mut self, bulk_request: &BulkRequest) {
        let message = bulk_request.message.borrowed();
        let names = message.names().zip(&bulk_request.versions);
        let versions: Vec<(&[u8], i32)> =
            names.filter_map(|(name, version)| version.map(|version| (name, version))).collect();
        let bulk = Outgoing { versions: &versions, ..Outgoing::new(Action::RecordHeadResponseBulk) };
        self.edges.reply(&mut self.cx, bulk_request.conn, &bulk);
    }

    /// Acknowledges a bulk message; `echo` repeats its names (docs/protobuf-protocol.md §8).
    pub(crate) fn acknowledge(&mut self, conn: ConnId, message: &Message<&[u8]>, echo: bool) {
        let names: Vec<&[u8]> = if echo { message.names().collect() } else { Vec::new() };
        let ack = Outgoing {
            names: &names,
            correlation_id: message.correlation_id(),
            is_ack: true,
            ..Outgoing::new(message.head.action)
        };
        self.edges.reply(&mut self.cx, conn, &ack);
    }

    /// Acknowledges a LISTEN or UNLISTEN: names its pattern (docs/protobuf-protocol.md §8).
    pub(crate) fn acknowledge_listen(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        let ack = Outgoing { name: Some(message.name()), is_ack: true, ..Outgoing::new(message.head.action) };
        self.edges.reply(&mut self.cx, conn, &ack);
    }
}
