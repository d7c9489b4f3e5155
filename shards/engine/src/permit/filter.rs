//! Whether filters may be subscribed to, which stand for names that nobody has said yet.

use crate::ident::ConnId;
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_valve::{Context, Right, User, Verdict, judge};
use deepstream_wire::{Action, Topic};

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Whether the rules in force allow a connection all names that fit a filter, now and as long as they are in force. Where
    /// that cannot be told ahead, because a rule asks for the name or for records, it is not allowed.
    pub(crate) fn may_subscribe_filter(&self, conn: ConnId, topic: Topic, filter: &[u8]) -> bool {
        let Some(ruleset) = self.permit.ruleset() else { return true };
        let (right, action) = match topic {
            Topic::Event => (Right::EventSubscribe, Action::EventSubscribe),
            Topic::Record | Topic::Rpc | Topic::Presence | Topic::Parser | Topic::Connection | Topic::Auth => {
                (Right::RecordRead, Action::RecordSubscribe)
            }
        };
        let Some(identity) = self.edges.identity_of(conn) else { return false };
        let Some(rules) = ruleset.choose_all(right, filter) else { return false };
        rules.iter().all(|(rule, captures)| {
            let context = Context {
                user: &User { id: &identity.user, server_data: identity.server_data.as_deref() },
                name: Some(filter),
                captures,
                action: action.code(),
                now_ms: self.cx.now_ms(),
                ..Context::default()
            };
            judge(&ruleset.rule(*rule).program, &context).verdict == Verdict::Allow
        })
    }
}
