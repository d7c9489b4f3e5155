//! What is judged before it is begun: events, calls and presence, by the owner of the name.

use crate::ident::ConnId;
use crate::owner::Owner;
use crate::owner::deed::Deed;
use crate::owner::park::{Run, Step};
use crate::packet::ReplyTo;
use crate::permit::{Found, Grant, Judgement, Steps};
use crate::sides::{Sides, ToEdge};
use deepstream_valve::Right;
use deepstream_wire::{Action, EventRequest, Message, PresenceRequest, Request, RpcRequest, Topic};

/// The right to say something of a name, on topics other than RECORD; `None`: nobody is asked.
fn right_of(action: Action) -> Option<Right> {
    Some(match action.request()? {
        Request::Event(EventRequest::Emit) => Right::EventPublish,
        Request::Event(EventRequest::Subscribe) => Right::EventSubscribe,
        Request::Rpc(RpcRequest::Provide) => Right::RpcProvide,
        Request::Rpc(RpcRequest::Request) => Right::RpcRequest,
        Request::Presence(PresenceRequest::Subscribe | PresenceRequest::Query) => Right::PresenceAllow,
        // Judged where it comes in, or not at all: it ends something, or answers what was asked.
        Request::Event(
            EventRequest::Listen
            | EventRequest::Unsubscribe
            | EventRequest::Unlisten
            | EventRequest::ListenAccept
            | EventRequest::ListenReject,
        )
        | Request::Rpc(
            RpcRequest::Unprovide
            | RpcRequest::Accept
            | RpcRequest::Response
            | RpcRequest::Reject
            | RpcRequest::RequestError,
        )
        | Request::Presence(
            PresenceRequest::QueryAll
            | PresenceRequest::SubscribeAll
            | PresenceRequest::Unsubscribe
            | PresenceRequest::UnsubscribeAll,
        )
        | Request::Record(_)
        | Request::Connection(_)
        | Request::Auth(_) => return None,
    })
}

/// Whether a request is done in the order of its name. Answers of providers and listeners are about something else.
pub(crate) fn is_ordered(action: Action) -> bool {
    right_of(action).is_some() || action == Action::RpcUnprovide || Deed::of(action).is_some()
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Does what a connection asked of a name this core owns, if it may.
    pub(crate) fn judge_and_do(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let action = message.head.action;
        let topic = action.topic();
        // Records see to their order themselves.
        if topic == Topic::Record || !is_ordered(action) {
            return self.act(conn, reply_to, message);
        }
        if self.owner.busy_names > 0
            && let Some(slot) = self.owner.names.find(topic, message.name(), message.head.name_hash)
            && self.owner.names.at(slot).is_busy()
        {
            let parked = self.parked(conn, reply_to, message);
            return self.park(slot, parked);
        }
        if self.judge_named(conn, reply_to, message, &mut Run::default()) == Step::Wait
            && let Some(slot) = self.owner.names.find(topic, message.name(), message.head.name_hash)
        {
            let parked = self.parked(conn, reply_to, message);
            self.park(slot, parked);
            // If there was no room.
            self.owner.names.remove_if_idle(slot);
        }
    }

    /// Judges a message about a name of another topic than RECORD, and does what it asks for if it may.
    pub(crate) fn judge_named(
        &mut self,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
    ) -> Step {
        let action = message.head.action;
        let said = match right_of(action) {
            None => Judgement::Yes,
            Some(right) => {
                let mut steps = Steps::default();
                steps.add(right, action);
                let question = run.question(conn, reply_to, message);
                let said = self.judge(&question, &steps, &mut run.found);
                if self.has_shadow() {
                    self.compare(&question, &steps, &run.found, said);
                }
                said
            }
        };
        match said {
            Judgement::Yes => {
                self.act(conn, reply_to, message);
                if action == Action::RpcProvide && reply_to.rules != self.permit.generation() {
                    let (name, hash) = (message.name().into(), message.head.name_hash);
                    self.reauthorize_one(Grant::Provider { conn, name, hash }, Found::default());
                }
            }
            Judgement::No(denial) => {
                self.deny(conn, reply_to, message, denial);
                self.tell_done(conn, reply_to);
            }
            Judgement::LookUp | Judgement::Load => {
                debug_assert_eq!(said, Judgement::LookUp, "only records are loaded");
                let slot = self.owner.names.find_or_insert(action.topic(), message.name(), message.head.name_hash);
                self.wait_for_records(slot, message, run);
                return Step::Wait;
            }
        }
        Step::Done
    }

    /// The message of a name waits, and with it whatever is said of that name. One that finds no room to wait is refused by
    /// whoever would park it, and leaves nothing behind: the next message must not go on where its judgement was.
    pub(crate) fn wait_for_records(&mut self, slot: u32, message: &Message<&[u8]>, run: &mut Run) {
        if !run.waited && !self.has_room(message.bytes.len()) {
            return self.forget_rule_lookup(&mut run.found);
        }
        self.owner.names.at_mut(slot).waiting.judging = true;
        self.owner.busy_names += 1;
        let found = std::mem::take(&mut run.found).of_reloaded(run.reloaded);
        self.hold_name(slot, found);
    }

    /// Rules found what they look for: what waits at the name is gone on with, unless it has to wait for storage, too.
    pub(crate) fn go_on_at(&mut self, slot: u32, found: Found) {
        let name = self.owner.names.at_mut(slot);
        name.waiting.judging = false;
        let waits_for_storage = name.is_busy();
        self.owner.busy_names -= 1;
        if !waits_for_storage {
            self.run_parked(slot, Run { reloaded: found.was_reloaded(), found, ..Run::default() });
        }
    }
}
