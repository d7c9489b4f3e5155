//! What becomes of requests whose owner is lost with them, and of those that wait too long for one.
//!
//! Readings and subscriptions are asked again: if they were done once, it does no harm. What writes, deletes or calls may have been
//! done, and must not be done twice: it ends in one error, which says no more than that it is not known.
//!
//! *Owns* nothing. *Promises* one answer each. *Does not* know which are lost.

use super::asked::{Nature, Unanswered};
use crate::edge::Edge;
use crate::ident::NodeId;
use crate::packet::{Forwarded, ReplyTo};
use crate::permit::Denial;
use crate::sides::{Sides, ToOwner};
use deepstream_wire::{Action, Flags, Message, Outgoing, Topic};

/// What a caller is told whose call may have been carried out, or not.
const CALL_LOST: &[u8] = b"\"the node that carried this call is gone\"";

impl<O: ToOwner> Sides<Edge, O> {
    /// A node is lost with all that was asked of it.
    pub(super) fn lose_asked(&mut self, node: NodeId) {
        let Some(far) = &mut self.edges.here.far else { return };
        for Unanswered { forwarded, settled } in far.asked.take(node) {
            if forwarded.head.flags.has(Flags::FILTER) {
                // There are no names any more that it could hear there; if there are again, it is told of.
                self.settle(if settled { forwarded.reply_to.alone() } else { forwarded.reply_to }, false, None);
            } else if forwarded.reply_to.is_fetch() {
                self.fetch_elsewhere(forwarded, |sides, forwarded| sides.hold_request(forwarded, true));
            } else if !Nature::of(&forwarded.head).is_harmless() {
                self.refuse_late(&forwarded);
            } else if let Some(forwarded) = self.once_more(forwarded, settled) {
                self.hold_request(forwarded, true);
            }
        }
        let Some(far) = &mut self.edges.here.far else { return };
        for (reply_to, for_users) in far.asked.take_parts(node) {
            if for_users {
                self.heard_online(reply_to, Box::default());
            } else {
                self.settle(reply_to, false, None);
            }
        }
    }

    /// A request as it is made again: what was done of it already is not asked for. `None`: that was all of it.
    pub(super) fn once_more(&mut self, mut forwarded: Forwarded, settled: bool) -> Option<Forwarded> {
        // That a name is provided, or no more, is known by then.
        if settled && forwarded.head.action.topic() == Topic::Rpc {
            return None;
        }
        let reply_to = &mut forwarded.reply_to;
        if settled {
            *reply_to = reply_to.alone();
        }
        if reply_to.joins() && self.edges.here.subscribers.has_joined(forwarded.conn, *reply_to) {
            let rest = reply_to.bulk_request != ReplyTo::NONE;
            (reply_to.name_id, reply_to.attempt) = (ReplyTo::NONE, 0);
            let action = &mut forwarded.head.action;
            if *action == Action::RecordSubscribeCreateAndRead {
                *action = Action::RecordSubscribeAndRead;
            }
            let reads = *action == Action::RecordSubscribeAndRead;
            return (rest || reads).then_some(forwarded);
        }
        Some(forwarded)
    }

    /// What was fetched of a former owner is asked of the next, if anybody waits for it.
    pub(super) fn fetch_elsewhere(&mut self, forwarded: Forwarded, ask: impl FnOnce(&mut Self, Forwarded)) {
        let Forwarded { conn, reply_to, .. } = forwarded;
        if !reply_to.is_awaited_fetch() {
            return;
        }
        if let Some(forwarded) = self.as_plain(forwarded) {
            ask(self, forwarded);
        }
        self.heard_fetched(conn, reply_to.part);
    }

    /// An answer that a former owner withheld is asked for as any other.
    fn as_plain(&mut self, mut forwarded: Forwarded) -> Option<Forwarded> {
        forwarded.reply_to.part = 0;
        if !Nature::of(&forwarded.head).is_harmless() {
            // It conflicted; with what, only its owner knew.
            self.refuse_late(&forwarded);
            return None;
        }
        self.once_more(forwarded, true)
    }

    /// Answers what no owner will: an error that says that it is not known what became of it.
    pub(super) fn refuse_late(&mut self, forwarded: &Forwarded) {
        let Forwarded { conn, reply_to, .. } = *forwarded;
        let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
        let action = message.head.action;
        // Whoever asks again once told must not count as subscribed.
        if reply_to.joins() {
            self.refused(conn, reply_to);
        }
        let error = match Nature::of(&message.head) {
            Nature::Looks => Action::RecordStorageRetrievalTimeout,
            Nature::Writes => Action::RecordUpdateError,
            Nature::Deletes => Action::RecordDeleteError,
            Nature::Calls => Action::RpcRequestError,
            Nature::Harmless => {
                let name = message.head.flags.has(Flags::NAME).then_some(message.name());
                self.tell_denial(conn, &message, name, Denial::Failed);
                return self.settle(reply_to, true, None);
            }
            Nature::Idle => return,
        };
        let is_call = error == Action::RpcRequestError;
        let answer = Outgoing {
            name: Some(message.name()),
            data: is_call.then_some(CALL_LOST),
            correlation_id: message.correlation_id(),
            original_action: (!is_call).then_some(action),
            is_error: !is_call,
            is_write_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
            ..Outgoing::new(error)
        };
        self.edges.reply(&mut self.cx, conn, &answer);
        self.settle(reply_to, true, None);
    }
}
