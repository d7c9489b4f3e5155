//! What connections of any core ask of names that this core owns.

use crate::ident::ConnId;
use crate::owner::Owner;
use crate::owner::deed::Deed;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{EventRequest, Flags, Message, PresenceRequest, RecordRequest, Request};

impl<E: ToEdge> Sides<E, Owner> {
    /// Does what a connection asked of a name this core owns.
    #[inline]
    pub(crate) fn request(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        if self.owner.slots.is_some() && self.puts_off(conn, reply_to, message) {
            return;
        }
        // Filters were judged at the edge, by all names that fit.
        if self.permit.judges() && !message.head.flags.has(Flags::FILTER) {
            return self.judge_and_do(conn, reply_to, message);
        }
        self.act(conn, reply_to, message);
    }

    /// The same, once it is permitted; records see to that themselves.
    #[inline]
    pub(crate) fn act(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let Some(request) = message.head.action.request() else { return };
        let filter = message.head.flags.has(Flags::FILTER);
        match request {
            Request::Event(EventRequest::Subscribe) | Request::Record(RecordRequest::Subscribe) if filter => {
                self.filter_subscribe(conn, reply_to, message);
            }
            Request::Event(EventRequest::Emit) => self.emit(conn, message),
            Request::Event(EventRequest::Subscribe) => self.event_subscribe(conn, reply_to, message),
            Request::Event(EventRequest::ListenAccept | EventRequest::ListenReject)
            | Request::Record(RecordRequest::ListenAccept | RecordRequest::ListenReject) => {
                self.listener_answered(conn, message);
            }
            Request::Rpc(said) => {
                if self.rpc(conn, reply_to, said, message) {
                    return;
                }
            }
            Request::Presence(PresenceRequest::Subscribe) => self.presence_subscribe(conn, reply_to, message),
            Request::Presence(PresenceRequest::Query) => self.presence_query(conn, reply_to, message),
            Request::Record(said) => match Deed::of_request(said) {
                // It may wait, and says itself when it is over.
                Some(deed) => return self.record(conn, reply_to, (deed, message)),
                None => debug_assert!(false, "no owner is asked for {}", message.head.action.name()),
            },
            // Edges tell owners of these by packets of their own, or not at all.
            Request::Event(EventRequest::Unsubscribe | EventRequest::Listen | EventRequest::Unlisten)
            | Request::Presence(
                PresenceRequest::QueryAll
                | PresenceRequest::SubscribeAll
                | PresenceRequest::Unsubscribe
                | PresenceRequest::UnsubscribeAll,
            )
            | Request::Connection(_)
            | Request::Auth(_) => debug_assert!(false, "no owner is asked for {}", message.head.action.name()),
        }
        self.tell_done(conn, reply_to);
    }
}
