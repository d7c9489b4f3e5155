//! Bulk messages whose names live on several cores: one answer when the last part is done.

use crate::ident::ConnId;
use crate::packet::Tag;
use crate::shard::Shard;
use deepstream_wire::{Action, EventRequest, Message, Outgoing, PresenceRequest, RecordRequest, Request, RpcRequest};
use slab::Slab;

/// One bulk message.
#[derive(Debug)]
pub(crate) struct Gather {
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
pub(crate) struct Gathers {
    generation: u32,
    table: Slab<Gather>,
}

impl Gathers {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Begins a bulk message. It counts as one outstanding part itself until [`Shard::settle`] is called with the
    /// returned tag, so that it cannot be answered while its parts are still being sent out.
    pub(crate) fn begin(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Tag {
        self.generation = self.generation.wrapping_add(1);
        let gather = self.table.insert(Gather {
            generation: self.generation,
            conn,
            message: Message { head: message.head, bytes: message.bytes.into() },
            outstanding: 1,
            parts: 0,
            done: 0,
            versions: Vec::new(),
            users: Vec::new(),
        });
        Tag { gather: gather as u32, gather_generation: self.generation, part: Tag::NONE, ..Tag::default() }
    }

    /// Adds users to the answer of a QUERY_ALL.
    pub(crate) fn add_users(&mut self, tag: Tag, users: Box<[Box<[u8]>]>) {
        let gather = self.table.get_mut(tag.gather as usize);
        if let Some(gather) = gather.filter(|gather| gather.generation == tag.gather_generation) {
            gather.users.extend(users);
        }
    }

    /// A name that needs nothing to be done: whatever becomes of the others, the message is not refused as a whole.
    pub(crate) fn stands(&mut self, tag: Tag) {
        if let Some(gather) = self.table.get_mut(tag.gather as usize) {
            gather.done += 1;
        }
    }

    /// One part more; the tag for it.
    pub(crate) fn part(&mut self, tag: Tag, part: u32) -> Tag {
        if let Some(gather) = self.table.get_mut(tag.gather as usize) {
            gather.outstanding += 1;
            gather.parts += 1;
        }
        Tag { part, ..tag }
    }
}

impl Shard {
    /// A part of a bulk message is done, or the sending out of its parts is (`refused: false` for an empty one).
    pub(crate) fn settle(&mut self, tag: Tag, refused: bool, version: Option<i32>) {
        if tag.gather == Tag::NONE {
            return;
        }
        let Some(gather) = self.gathers.table.get_mut(tag.gather as usize) else { return };
        if gather.generation != tag.gather_generation {
            return;
        }
        gather.outstanding -= 1;
        // The sending out counts as done only where there was nothing to send out.
        let sending_out = tag.part == Tag::NONE;
        let counts = !sending_out || gather.parts == 0;
        gather.done += u32::from(counts && !refused);
        if let Some(version) = version {
            let part = tag.part as usize;
            if gather.versions.len() <= part {
                gather.versions.resize(part + 1, None);
            }
            gather.versions[part] = Some(version);
        }
        if gather.outstanding == 0 {
            let gather = self.gathers.table.remove(tag.gather as usize);
            self.answer(&gather);
        }
    }

    fn answer(&mut self, gather: &Gather) {
        // Whoever had every name refused was told so name by name, and is not acknowledged.
        if gather.done == 0 {
            return;
        }
        let message = gather.message.borrowed();
        let Some(request) = message.head.action.request() else { return };
        match request {
            Request::Presence(PresenceRequest::Query) => self.answer_query(gather),
            Request::Presence(PresenceRequest::QueryAll) => self.answer_query_all(gather),
            Request::Event(EventRequest::Listen | EventRequest::Unlisten)
            | Request::Record(RecordRequest::Listen | RecordRequest::Unlisten) => {
                self.acknowledge_listen(gather.conn, &message);
            }
            Request::Record(RecordRequest::SubscribeAndHead) => {
                self.answer_heads(gather);
                self.acknowledge(gather.conn, &message, false);
            }
            Request::Record(RecordRequest::Notify) => self.acknowledge(gather.conn, &message, true),
            Request::Event(EventRequest::Subscribe)
            | Request::Record(
                RecordRequest::Subscribe | RecordRequest::SubscribeAndRead | RecordRequest::SubscribeCreateAndRead,
            )
            | Request::Rpc(RpcRequest::Provide | RpcRequest::Unprovide)
            | Request::Presence(PresenceRequest::Subscribe | PresenceRequest::SubscribeAll) => {
                self.acknowledge(gather.conn, &message, false);
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
            | Request::Presence(PresenceRequest::Unsubscribe | PresenceRequest::UnsubscribeAll)
            | Request::Rpc(
                RpcRequest::Request
                | RpcRequest::Accept
                | RpcRequest::Response
                | RpcRequest::Reject
                | RpcRequest::RequestError,
            )
            | Request::Connection(_)
            | Request::Auth(_) => debug_assert!(false, "no parts of it are asked for"),
        }
    }

    /// The versions of all names that a SUBSCRIBEANDHEAD was about.
    fn answer_heads(&mut self, gather: &Gather) {
        let message = gather.message.borrowed();
        let names = message.names().zip(&gather.versions);
        let versions: Vec<(&[u8], i32)> =
            names.filter_map(|(name, version)| version.map(|version| (name, version))).collect();
        let bulk = Outgoing { versions: &versions, ..Outgoing::new(Action::RecordHeadResponseBulk) };
        self.delivery.reply(gather.conn, &bulk);
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
        self.delivery.reply(conn, &ack);
    }
}
