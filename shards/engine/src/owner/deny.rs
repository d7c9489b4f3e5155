//! Refusing what connections ask of names, at the owner.

use crate::ident::ConnId;
use crate::owner::Owner;
use crate::packet::ReplyTo;
use crate::permit::Denial;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Flags, Message, Wire};

impl<E: ToEdge> Sides<E, Owner> {
    /// Refuses a message, or one name of it. An edge that waits forgets a subscription before its client is told: whoever
    /// asks again must not count as subscribed. Everything else is told first, so that a denial is there before the
    /// acknowledgement of the other names.
    pub(crate) fn deny(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>, denial: Denial) {
        self.deny_step(conn, reply_to, message, denial, message.head.action);
    }

    /// The same where it is known what exactly may not be: clients of the text protocol are told when it is to create.
    pub(crate) fn deny_step(
        &mut self,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        denial: Denial,
        step: Action,
    ) {
        let text = self.edges.wire(conn).is_some_and(Wire::is_text);
        let action = if text && step == Action::RecordCreate { step } else { message.head.action };
        let name = message.head.flags.has(Flags::NAME).then_some(message.name());
        if reply_to.joins() {
            self.settle_at_edge(conn, reply_to, true, None);
            self.tell_denied(conn, message, name, denial, action);
        } else {
            self.tell_denied(conn, message, name, denial, action);
            self.settle_at_edge(conn, reply_to, true, None);
        }
        self.fetch_over(conn, reply_to);
    }
}
