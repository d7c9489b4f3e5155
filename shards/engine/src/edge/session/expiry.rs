//! Logins that end by themselves: told before, closed then, extended by a fresh login in between.
//!
//! *Owns* the session of a login with an end. *Promises* that its client is told once before the end, that a fresh login
//! of the same user moves the end without losing a message or subscription, and that a refused one changes nothing but
//! the count of attempts. *Does not* judge logins or read clocks.
//!
//! The warning is an event, sent to this one connection whether it subscribed or not: the official clients hand it to
//! whoever listens to its name, and pass over it in silence otherwise. No message of topic AUTH would do: to those
//! clients every one of them is either nothing or a change of state.

use crate::edge::Edge;
use crate::edge::session::login::identity_of;
use crate::ident::ConnId;
use crate::output::{Flow, Login, Note};
use crate::packet::{Lane, Packet};
use crate::sides::Sides;
use deepstream_wire::{Action, Message, Outgoing};
use std::sync::Arc;

/// Name of the event by which a client is told that its login will end. Its data: `{"expiresInMs":60000}`.
const WARNING: &[u8] = b"deepstream/session-expires";
/// To a fresh login of somebody else: who a connection is cannot change while it lasts.
const OTHER_USER: &[u8] = br#"{"error":"an open session can only be extended by its own user"}"#;
const NANOS_PER_MS: u64 = 1_000_000;

impl<O> Sides<Edge, O> {
    /// Whether an AUTH.REQUEST of this open session means something: its login ends by itself.
    pub(crate) fn may_extend(&self, conn: ConnId) -> bool {
        self.edges.here.sessions.get(conn).is_some_and(|session| session.visit.is_some())
    }

    /// An AUTH.REQUEST of such a session.
    pub(crate) fn extend(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let data = message.data().unwrap_or_default();
        if !self.is_login_data(data) {
            self.say(conn, Action::AuthInvalidMessageData);
            return Flow::Continue;
        }
        if let Some(visit) = self.edges.here.sessions.get_mut(conn).and_then(|session| session.visit.as_mut()) {
            visit.extending = true;
        }
        self.ask_for_verdict(conn, data)
    }

    /// The verdict on a fresh login of an open session.
    pub(crate) fn extended(&mut self, conn: ConnId, login: Login) {
        let now = self.cx.outputs.now;
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        if let Some(visit) = &mut session.visit {
            visit.extending = false;
        }
        match login {
            Login::Accepted(account) if session.user() == Some(&*account.user_id) => {
                session.attempts = 0;
                let identity = Arc::new(identity_of(account, session, now));
                let changed = session.identity.as_ref() != Some(&identity);
                session.identity = Some(identity.clone());
                if changed {
                    // Who was introduced before is told anew; the lane keeps the order.
                    for index in session.introduced() {
                        let packet = Packet::Introduce(conn, identity.clone());
                        self.cx.outputs.post(self.cx.places.at(index), Lane::Requests, packet);
                    }
                }
                let answer =
                    Outgoing { data: identity.client_data.as_deref(), ..Outgoing::new(Action::AuthSuccessful) };
                self.edges.reply(&mut self.cx, conn, &answer);
                self.cx.outputs.note(Note::SessionExtended { user: identity.user.clone() });
            }
            Login::Accepted(_) => self.refuse_login(conn, Some(OTHER_USER)),
            Login::Refused { client_data } => self.refuse_login(conn, client_data.as_deref()),
            // Neither says anything about whoever is logged in already.
            Login::Unjudged { client_data } | Login::Barred { client_data, .. } => {
                let answer = Outgoing { data: Some(&client_data), ..Outgoing::new(Action::AuthUnsuccessful) };
                self.edges.reply(&mut self.cx, conn, &answer);
            }
        }
        self.watch(conn);
        self.resume(conn);
    }

    /// Tells a client that its login will end.
    pub(crate) fn warn_of_expiry(&mut self, conn: ConnId) {
        let now = self.cx.outputs.now;
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        let Some(visit) = &mut session.visit else { return };
        visit.warn_at = None;
        let left = visit.expires_at.map_or(0, |at| at.since(now)) / NANOS_PER_MS;
        let data = format!(r#"{{"expiresInMs":{left}}}"#);
        let warning = Outgoing { name: Some(WARNING), data: Some(data.as_bytes()), ..Outgoing::new(Action::EventEmit) };
        self.edges.reply(&mut self.cx, conn, &warning);
    }
}
