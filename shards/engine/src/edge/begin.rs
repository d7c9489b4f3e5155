//! What is judged where it comes in, before it is begun: listening, and what is about everybody.

use crate::edge::Edge;
use crate::ident::ConnId;
use crate::packet::ReplyTo;
use crate::permit::{Found, Judgement, Question, Steps};
use crate::sides::{Sides, ToOwner};
use deepstream_valve::Right;
use deepstream_wire::{Action, EventRequest, Flags, Message, PresenceRequest, RecordRequest, Request};

/// What is judged here.
#[derive(Clone, Copy, Debug)]
enum Beginning {
    /// By this right.
    Listen(Right),
    QueryAll,
    SubscribeAll,
}

impl Beginning {
    /// `None`: it is judged elsewhere, or by nobody.
    fn of(action: Action) -> Option<Self> {
        match action.request()? {
            Request::Event(EventRequest::Listen) => Some(Self::Listen(Right::EventListen)),
            Request::Record(RecordRequest::Listen) => Some(Self::Listen(Right::RecordListen)),
            Request::Presence(PresenceRequest::QueryAll) => Some(Self::QueryAll),
            Request::Presence(PresenceRequest::SubscribeAll) => Some(Self::SubscribeAll),
            Request::Event(
                EventRequest::Emit
                | EventRequest::Subscribe
                | EventRequest::Unsubscribe
                | EventRequest::Unlisten
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
                | RecordRequest::Notify
                | RecordRequest::Subscribe
                | RecordRequest::SubscribeAndHead
                | RecordRequest::SubscribeAndRead
                | RecordRequest::SubscribeCreateAndRead
                | RecordRequest::Unsubscribe
                | RecordRequest::Unlisten
                | RecordRequest::ListenAccept
                | RecordRequest::ListenReject,
            )
            | Request::Presence(
                PresenceRequest::Query
                | PresenceRequest::Subscribe
                | PresenceRequest::Unsubscribe
                | PresenceRequest::UnsubscribeAll,
            )
            | Request::Rpc(_)
            | Request::Connection(_)
            | Request::Auth(_) => None,
        }
    }
}

impl<O: ToOwner> Sides<Edge, O> {
    /// LISTEN, and what is about everybody's presence: begun if it may be. Whoever has to wait for that is not read from
    /// meanwhile, so that nothing it says later overtakes.
    pub(crate) fn judge_and_begin(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        if self.permit.judges() {
            return self.judge_beginning(conn, message, Found::default());
        }
        self.begin(conn, message);
    }

    fn judge_beginning(&mut self, conn: ConnId, message: &Message<&[u8]>, mut found: Found) {
        let action = message.head.action;
        let Some(beginning) = Beginning::of(action) else { return };
        let (right, name) = match beginning {
            Beginning::Listen(right) => (right, Some(message.name())),
            Beginning::QueryAll | Beginning::SubscribeAll => (Right::PresenceAllow, None),
        };
        let mut steps = Steps::default();
        steps.add(right, action);
        let question = Question {
            conn,
            reply_to: ReplyTo { rules: self.permit.generation(), ..ReplyTo::default() },
            who: None,
            message,
            name,
            hash: name.map_or(0, |name| self.cx.hash(name)),
            listened: false,
            slot: None,
            failed: false,
        };
        let said = self.judge(&question, &steps, &mut found);
        if self.has_shadow() {
            self.compare(&question, &steps, &found, said);
        }
        match said {
            Judgement::Yes => self.begin(conn, message),
            Judgement::No(denial) => {
                let name = name.filter(|_| message.head.flags.has(Flags::NAME));
                self.tell_denial(conn, message, name, denial);
            }
            Judgement::LookUp | Judgement::Load => {
                if let Some(session) = self.edges.here.sessions.get_mut(conn) {
                    session.asking = true;
                }
                let message = Message { head: message.head, bytes: message.bytes.into() };
                self.hold_message(conn, message, found);
            }
        }
    }

    fn begin(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        match Beginning::of(message.head.action) {
            Some(Beginning::Listen(_)) => self.listen(conn, message),
            Some(Beginning::QueryAll) => self.query_all(conn, message),
            Some(Beginning::SubscribeAll) => self.subscribe_all(conn, message),
            None => {}
        }
    }

    /// A connection that waited goes on.
    pub(crate) fn begin_again(&mut self, conn: ConnId, message: &Message<&[u8]>, found: Found) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        session.asking = false;
        self.judge_beginning(conn, message, found);
        self.resume(conn);
    }
}
