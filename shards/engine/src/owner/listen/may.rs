//! Whether a listener may be told of a name.
//!
//! Rules judge a pattern by its text when somebody begins to listen to it, which says nothing of the names that it matches:
//! `.*` may be allowed, and `secret/*` denied. So each name is judged too, by the same rules and as if its user listened to it
//! by its name, before the listener is told of it. What may be listened to by name alone may so be listened to by any pattern,
//! and nothing else.
//!
//! *Owns* that question. *Promises* that it is put to the rules in force, and again when others are. *Does not* remember
//! verdicts beyond the search for one name's provider.

use crate::owner::Owner;
use crate::permit::{Found, Grant, Judgement, Question, Steps, listening};
use crate::sides::{Sides, ToEdge};
use deepstream_wire::Message;

impl<E: ToEdge> Sides<E, Owner> {
    /// Whether the user of a listener may listen to a name of this core by its name.
    pub(super) fn may_listen_to(&mut self, slot: u32, listener: u32, found: &mut Found) -> Judgement {
        let name = self.owner.names.at(slot);
        let (right, action) = listening(name.topic());
        if !self.permit.guards(right, &name.name) {
            let Some(ruleset) = self.permit.ruleset() else { return Judgement::Yes };
            // Most rules are the same for everybody and everything, and cost no copy of the name.
            if ruleset.always(right, &name.name) == Some(true) && !self.has_shadow() {
                return Judgement::Yes;
            }
        }
        let (hash, name) = (name.hash, name.name.clone());
        let message = Message::about(action, &name);
        let conn = self.owner.listening.listeners[listener as usize].conn;
        let question = Question::of_listened(conn, self.permit.generation(), &message, hash);
        let mut steps = Steps::default();
        steps.add(right, action);
        self.judge_grant(&question, &steps, found)
    }

    /// Other rules are in force, and all that was begun under older ones was judged by them: what was not offered because of
    /// those may be now.
    pub(crate) fn offer_anew(&mut self) {
        if !self.owner.listening.is_empty() {
            self.search_all_anew();
        }
    }
}

impl Owner {
    /// A name of this core that somebody was told of, for whom it is to be judged by other rules.
    pub(crate) fn granted_assignment(&self, slot: u32) -> Option<Grant> {
        let (attempt, conn) = self.told_of(slot)?;
        let name = self.names.at(slot);
        Some(Grant::Assignment { attempt, conn, topic: name.topic(), name: name.name.clone() })
    }
}
