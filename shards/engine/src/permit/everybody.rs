//! Whom somebody is told of who may ask for everybody's presence.
//!
//! The rule for everybody is asked without a name, which says nothing of single users: `*` may be allowed, and `boss` denied.
//! So each user is judged too before somebody is told of it on account of having asked for all, as if asked for by name.
//!
//! *Promises* an answer at once, because a login is told to all that watch when it happens. A user whose rule would have to
//! read records that are not at hand is not told, as with filters of MQTT; unless it is the rule that allowed to ask for all,
//! and asks for no name. *Does not* wait.

use super::judge::{Case, Source};
use super::{Found, Question};
use crate::ident::ConnId;
use crate::packet::ReplyTo;
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_valve::{Choice, Right, Verdict};
use deepstream_wire::{Action, Message};

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Whether a connection of this core that may ask for everybody may be told of a user.
    pub(crate) fn may_know_of(&mut self, conn: ConnId, user: &[u8]) -> bool {
        if self.permit.ruleset().is_none() {
            return true;
        }
        let (right, action, rules) = (Right::PresenceAllow, Action::PresenceQuery, self.permit.generation());
        let message = Message::about(action, user);
        let mut question = Question::of(conn, ReplyTo { rules, ..ReplyTo::default() }, &message);
        question.hash = self.cx.hash(user);
        let (rule, captures) = match self.choose_rule(&question, right, rules) {
            Choice::Always(answer) => return answer,
            Choice::None => return false,
            Choice::Rule(rule, captures) => (rule, captures),
        };
        let Some(ruleset) = self.permit.ruleset() else { return true };
        let program = &ruleset.rule(rule).program;
        if let Some(answer) = program.answer() {
            return answer;
        }
        let lets_all_be_asked_for = matches!(ruleset.choose(right, None), Choice::Rule(other, _) if other == rule);
        let says_the_same = lets_all_be_asked_for && !program.asks_for_name();
        let case = Case { question: &question, right, action, rules, rule, captures, data: Source::Nowhere };
        let (judged, seen) = self.ask_rule(&case, &Found::default());
        self.touch(&seen);
        match judged.map(|judged| judged.verdict) {
            Some(Verdict::Allow) => true,
            // It was asked when it had all that it wanted to read, and is again when there are other rules.
            Some(Verdict::Need(_)) => says_the_same,
            Some(Verdict::Deny | Verdict::Error(_)) | None => false,
        }
    }
}
