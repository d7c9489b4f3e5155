//! What is judged before it is begun: events, calls and presence by the owner of the name; listening, and what is about
//! everybody, where it came in.

use super::inquiry::Found;
use super::{Question, Said, Standing, Steps};
use crate::edge::subscribers::hash_name;
use crate::ident::ConnId;
use crate::owner::park::{Run, Step};
use crate::packet::Tag;
use crate::shard::Shard;
use deepstream_valve::Right;
use deepstream_wire::{Action, Flags, Message, Topic};

/// The right to say something of a name, on topics other than RECORD; `None`: nobody is asked.
fn right_of(action: Action) -> Option<Right> {
    Some(match action {
        Action::EventEmit => Right::EventPublish,
        Action::EventSubscribe => Right::EventSubscribe,
        Action::RpcProvide => Right::RpcProvide,
        Action::RpcRequest => Right::RpcRequest,
        Action::PresenceSubscribe | Action::PresenceQuery => Right::PresenceAllow,
        _ => return None,
    })
}

/// Owner side.
impl Shard {
    /// Does what a connection asked of a name this core owns, if it may.
    pub(crate) fn judge_and_do(&mut self, conn: ConnId, tag: Tag, message: &Message<&[u8]>) {
        let action = message.head.action;
        let topic = action.topic();
        let judged = right_of(action).is_some();
        // Records see to their order themselves. Answers of providers and listeners are about something else than the name.
        let ordered = judged || action == Action::RpcUnprovide;
        if topic == Topic::Record || !ordered {
            return self.act(conn, tag, message);
        }
        if self.permit.busy_names > 0
            && let Some(slot) = self.names.find(topic, message.name(), message.head.name_hash)
            && self.names.at(slot).is_busy()
        {
            let parked = self.parked(conn, tag, message);
            return self.park(slot, parked);
        }
        if self.judge_named(conn, tag, message, &mut Run::default()) == Step::Wait
            && let Some(slot) = self.names.find(topic, message.name(), message.head.name_hash)
        {
            let parked = self.parked(conn, tag, message);
            self.park(slot, parked);
            // If there was no room.
            self.names.remove_if_idle(slot);
        }
    }

    /// Judges a message about a name of another topic than RECORD, and does what it asks for if it may.
    pub(crate) fn judge_named(&mut self, conn: ConnId, tag: Tag, message: &Message<&[u8]>, run: &mut Run) -> Step {
        let action = message.head.action;
        let said = match right_of(action) {
            None => Said::Yes,
            Some(right) => {
                let mut steps = Steps::default();
                steps.add(right, action);
                let question = Question::of(conn, tag, message, run);
                let said = self.judge(&question, &steps, &mut run.found);
                if self.has_shadow() {
                    self.compare(&question, &steps, &run.found, said);
                }
                said
            }
        };
        match said {
            Said::Yes => {
                self.act(conn, tag, message);
                if action == Action::RpcProvide && tag.rules != self.permit.generation() {
                    let (name, hash) = (message.name().into(), message.head.name_hash);
                    self.revise_one(Standing::Provider { conn, name, hash }, Found::default());
                }
            }
            Said::No(denial) => self.deny(conn, tag, message, denial),
            Said::Ask | Said::Load => {
                debug_assert_eq!(said, Said::Ask, "only records are loaded");
                let slot = self.names.find_or_insert(action.topic(), message.name(), message.head.name_hash);
                self.wait_for_records(slot, message, run);
                return Step::Wait;
            }
        }
        Step::Done
    }
}

/// Edge side.
impl Shard {
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
        let right = match action {
            Action::EventListen => Right::EventListen,
            Action::RecordListen => Right::RecordListen,
            _ => Right::PresenceAllow,
        };
        let name = match action.topic() {
            Topic::Presence => None,
            _ => Some(message.name()),
        };
        let mut steps = Steps::default();
        steps.add(right, action);
        let question = Question {
            conn,
            tag: Tag { rules: self.permit.generation(), ..Tag::default() },
            who: None,
            message,
            name,
            hash: name.map_or(0, |name| hash_name(&self.hasher, name)),
            listened: false,
            slot: None,
            failed: false,
        };
        let said = self.judge(&question, &steps, &mut found);
        if self.has_shadow() {
            self.compare(&question, &steps, &found, said);
        }
        match said {
            Said::Yes => self.begin(conn, message),
            Said::No(denial) => {
                let name = name.filter(|_| message.head.flags.has(Flags::NAME));
                self.tell_denial(conn, message, name, denial);
            }
            Said::Ask | Said::Load => self.hold_connection(conn, message, found),
        }
    }

    fn begin(&mut self, conn: ConnId, message: &Message<&[u8]>) {
        match message.head.action {
            Action::PresenceQueryAll => self.query_all(conn, message),
            Action::PresenceSubscribeAll => self.subscribe_all(conn, message),
            _ => self.listen(conn, message),
        }
    }

    /// A connection that waited goes on.
    pub(super) fn begin_again(&mut self, conn: ConnId, message: &Message<&[u8]>, found: Found) {
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return };
        session.asking = false;
        self.judge_beginning(conn, message, found);
        self.resume(conn);
    }
}
