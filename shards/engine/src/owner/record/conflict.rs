//! Writes whose version does not follow the present one, and what their writers are told (docs/records.md §4).
//!
//! *Owns* the answers. *Promises* that they hold the document only for whoever may read it at that moment: who may write
//! need not. The version is told to every writer, who could find it out by trying and cannot go on without it.
//! *Does not* resolve anything: that is the writer's.
//!
//! Where the document is withheld, the answer is still the conflict with its version, because official clients take over no
//! version from any other answer: told of a denial, or of RECORD_UPDATE_ERROR, they go on counting from a version that was
//! never theirs, and whatever they write from then on conflicts too. The document's place must not be empty: clients of the
//! text protocol parse it unseen, and do not survive its absence; those of protobuf and JSON hand it to a merge strategy that
//! was promised an object, and take `null` for the order to delete the record. So they are shown `{}`, as of a record that
//! nobody can see, on which both generations take over the version and write on. HTTP answers no such client, and leaves the
//! document out. MQTT has reason codes only.
//!
//! A version that leaves some out is told as one that was taken, for the same reason: its writer counts on from a write that
//! was refused, and of INVALID_VERSION no client takes anything, so that all it writes from then on would be lost. Whoever
//! asks over HTTP counts nothing and is told which of the two it is.
//!
//! A client of protobuf that waits for an acknowledgement hears of neither conflict: VERSION_EXISTS it gives to its record
//! alone, and older ones pass it over. With a version that was taken it got the change that took it, and merges;
//! upstream leaves it at that. With one that leaves some out there is nothing to merge, so what it waits for ends in
//! INVALID_VERSION, behind the conflict, which does not say that it is the acknowledgement: whoever writes again at once knows
//! the version.

use super::Residence;
use super::write::{FORCE, converted};
use crate::ident::ConnId;
use crate::output::Note;
use crate::owner::Owner;
use crate::owner::deed::Deed;
use crate::owner::park::{Run, Step};
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Action, Flags, Message, Outgoing, Wire};

/// What stands in the place of a document that is withheld, or of one that does not exist.
const NOTHING: &[u8] = b"{}";

/// Of a write whose answer is withheld: its version left some out. A client's own word of that kind means nothing.
const AHEAD: Flags = Flags::IS_ERROR;

/// How a write's version fails to follow the present one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conflict {
    /// It was taken.
    Exists { current: i32 },
    /// It leaves some out.
    Ahead { current: i32 },
    /// No version follows: this one is the last that can be counted. It was not said which it was to be.
    Last { current: i32 },
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Refuses a write for its version. If the writer subscribes, the change that took it has been sent already, on the same
    /// way: a client needs them in this order.
    pub(super) fn conflict(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
        conflict: Conflict,
    ) -> Step {
        let wire = self.edges.wire(conn);
        let over_http = wire == Some(Wire::Http);
        let is_text = wire.is_some_and(Wire::is_text);
        let (current, exists) = match conflict {
            Conflict::Exists { current } => (current, true),
            Conflict::Ahead { current } => (current, !matches!(wire, Some(Wire::Http | Wire::Mqtt))),
            // Clients of the text protocol know no other conflict.
            Conflict::Last { current } => (current, is_text),
        };
        if !exists && !over_http {
            self.echo(conn, message, Action::RecordInvalidVersion, current);
            return Step::Done;
        }
        let Some(shown) = self.may_be_shown(slot, conn, reply_to, message, run) else { return Step::Wait };
        if shown || self.owner.names.at(slot).record().withholds_from(conn) {
            let mut kept = *message;
            kept.head.flags.clear(AHEAD);
            if !matches!(conflict, Conflict::Exists { .. }) {
                kept.head.flags.set(AHEAD);
            }
            if self.withhold(slot, conn, reply_to, &kept) {
                return Step::Done;
            }
        }
        let awaited = message.head.flags.has(Flags::IS_WRITE_ACK);
        // Text has an acknowledgement of its own for either conflict, which is written with it.
        let refused = awaited && matches!(conflict, Conflict::Ahead { .. }) && !over_http && !is_text;
        let name = self.owner.names.at(slot);
        let document = match name.record().residence {
            _ if !shown => (!over_http).then_some(NOTHING),
            Residence::Resident => Some(&name.record().value[..]),
            Residence::Unknown | Residence::Loading | Residence::Missing | Residence::Removing => Some(NOTHING),
        };
        let answer = Outgoing {
            name: Some(&name.name),
            data: document,
            correlation_id: message.correlation_id(),
            original_action: Some(converted(message.head.action)),
            version: Some(current),
            is_write_ack: awaited && !refused,
            ..Outgoing::new(Action::RecordVersionExists)
        };
        if !exists {
            let action = Action::RecordInvalidVersion;
            self.edges.reply(&mut self.cx, conn, &Outgoing { action, is_error: true, ..answer });
            return Step::Done;
        }
        self.edges.reply(&mut self.cx, conn, &answer);
        if refused {
            let action = Action::RecordInvalidVersion;
            self.edges.reply(
                &mut self.cx,
                conn,
                &Outgoing { action, data: None, is_error: true, is_write_ack: true, ..answer },
            );
        }
        let user = self.edges.user(conn).unwrap_or_default().into();
        let name = String::from_utf8_lossy(message.name()).into();
        self.cx.outputs.note(Note::VersionExists { user, name, wanted: message.head.version, current });
        Step::Done
    }

    /// A conflict whose answer was withheld: told as the record is by now, which is what its writer goes on from. Whether it
    /// is shown the document is judged once more.
    pub(super) fn withheld_conflict(
        &mut self,
        slot: u32,
        conn: ConnId,
        reply_to: ReplyTo,
        message: &Message<&[u8]>,
        run: &mut Run,
    ) -> Step {
        let record = self.owner.names.at(slot).record();
        if record.residence == Residence::Unknown && !self.load(slot) {
            return Step::Wait;
        }
        let current = self.owner.names.at(slot).record().head().max(0);
        let ahead = message.head.flags.has(AHEAD);
        let conflict = if ahead { Conflict::Ahead { current } } else { Conflict::Exists { current } };
        let step = self.conflict(slot, conn, reply_to, message, run, conflict);
        if step == Step::Done {
            self.fetch_over(conn, reply_to);
        }
        step
    }

    /// Whether a message is a write that can only conflict with the record as it is.
    pub(crate) fn conflicts(&mut self, slot: u32, message: &Message<&[u8]>) -> bool {
        let record = self.owner.names.at(slot).record();
        let version = message.head.version;
        let Some(Deed::Write(write)) = Deed::of(message.head.action) else { return false };
        record.residence == Residence::Resident
            && version != FORCE
            && record.version.checked_add(1) != Some(version)
            && !self.is_hot(slot)
            && self.is_sound(write, message)
    }
}
