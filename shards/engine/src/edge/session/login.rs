//! Challenge, login, and what is said to messages that come too early (docs/protobuf-protocol.md §6).

use crate::edge::Edge;
use crate::edge::session::table::{Session, State};
use crate::ident::{ConnId, Nanos};
use crate::output::{Account, Flow, HostRequest, Login, Note, Reason};
use crate::packet::Identity;
use crate::sides::{Sides, ToOwner};
use bytes::Bytes;
use deepstream_json::Kind;
use deepstream_wire::{Action, AuthRequest, ConnectionRequest, Message, Outgoing, Request, Topic, Unreadable, Wire};
use std::sync::Arc;

impl<O: ToOwner> Sides<Edge, O> {
    /// The verdict on a login.
    pub(crate) fn authenticated(&mut self, conn: ConnId, login: Login) {
        let now = self.cx.outputs.now;
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        if !session.is_judged() {
            return;
        }
        // Nothing was read since it asked: that it was silent is no fault of its own.
        session.heard_at = now;
        if let State::Open = session.state {
            return self.extended(conn, login);
        }
        match login {
            // It will be a name: of presence, in the log, in every other core's memory.
            Login::Accepted(account) if account.user_id.len() > self.cx.options.limits.name_bytes_max => {
                self.refuse_login(conn, Some(br#""the user id is too long""#));
            }
            Login::Accepted(account) => {
                session.state = State::Arriving;
                session.attempts = 0;
                let identity = Arc::new(identity_of(account, session, now));
                session.identity = Some(identity.clone());
                if identity.wire.stays() {
                    self.cx.outputs.note(Note::LoggedIn { user: identity.user.clone() });
                    self.hold_client_id(conn, &identity, true);
                    self.presence_changed(conn, identity, true);
                } else {
                    self.admitted(conn);
                }
                return self.watch(conn);
            }
            Login::Refused { client_data } => self.refuse_login(conn, client_data.as_deref()),
            Login::Unjudged { client_data } => self.leave_unjudged(conn, &client_data),
            Login::Barred { client_data, .. } => self.bar(conn, &client_data),
        }
        self.watch(conn);
        self.resume(conn);
    }
}

impl<O> Sides<Edge, O> {
    /// A message before the login is complete.
    pub(crate) fn before_login(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let Some(session) = self.edges.here.sessions.get(conn) else { return Flow::Close };
        let action = message.head.action;
        let challenged = matches!(session.state, State::AwaitAuth);
        match action.request() {
            Some(Request::Connection(said)) => self.shake_hands(conn, said, message),
            Some(Request::Auth(AuthRequest::Request)) if challenged => return self.login(conn, message),
            // What the server alone says.
            None if !challenged && action.topic() == Topic::Connection => {
                self.unexpected(conn, "UNKNOWN_ACTION", action.name());
            }
            None if challenged && action.topic() == Topic::Auth => return self.refuse_login_message(conn),
            Some(
                Request::Auth(AuthRequest::Request)
                | Request::Event(_)
                | Request::Record(_)
                | Request::Rpc(_)
                | Request::Presence(_),
            )
            | None => {
                let early = if challenged { Action::AuthInvalidMessage } else { Action::ConnectionInvalidMessage };
                self.early(conn, early, action);
            }
        }
        Flow::Continue
    }

    /// What the connection says about itself before its login.
    fn shake_hands(&mut self, conn: ConnId, said: ConnectionRequest, message: &Message<&[u8]>) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        let challenged = matches!(session.state, State::AwaitAuth);
        match said {
            // Upstream stays silent before login; a client that waits for its user to log in would drop the connection
            // (docs/protobuf-protocol.md §6).
            ConnectionRequest::Ping => self.say(conn, Action::ConnectionPong),
            // What the server led with, answered, or not: nobody has to before the login.
            ConnectionRequest::Challenge if session.wire.server_leads() => {
                session.wire = text_wire_of(session.wire, message.name());
                self.say(conn, Action::ConnectionAccept);
            }
            ConnectionRequest::Pong | ConnectionRequest::Challenge if !session.wire.is_challenged() => {}
            ConnectionRequest::Challenge if !challenged => {
                session.state = State::AwaitAuth;
                if session.wire == Wire::Protobuf {
                    session.wire =
                        wire_of(message.path().unwrap_or_default(), message.correlation_id().unwrap_or_default());
                }
                self.say(conn, Action::ConnectionAccept);
            }
            ConnectionRequest::Pong if !challenged => {
                self.unexpected(conn, "UNKNOWN_ACTION", message.head.action.name());
            }
            ConnectionRequest::Pong | ConnectionRequest::Challenge => {
                self.early(conn, Action::AuthInvalidMessage, message.head.action);
            }
        }
    }

    /// Bytes that are no message, or one nobody knows, in any state.
    pub(crate) fn not_understood(&mut self, conn: ConnId, what: Unreadable) -> Flow {
        let Some(session) = self.edges.here.sessions.get(conn) else { return Flow::Close };
        let user = session.user().map(Into::into);
        match session.state {
            State::Connected | State::Closing => return Flow::Close,
            State::AwaitChallenge => {
                if what.topic() != Some(Topic::Connection) {
                    self.say(conn, Action::ConnectionInvalidMessage);
                }
            }
            State::AwaitAuth | State::Authenticating | State::Arriving => {
                if what.topic() == Some(Topic::Auth) {
                    return self.refuse_login_message(conn);
                }
                self.say(conn, Action::AuthInvalidMessage);
            }
            State::Open => {
                self.tell_unreadable(conn, what);
                self.cx.outputs.note(Note::Unreadable { conn, user, what });
                return self.flow(conn, None);
            }
        }
        self.cx.outputs.note(Note::Unreadable { conn, user, what });
        Flow::Continue
    }

    /// What is told to a client that is logged in. Of a topic it does not know, everybody is told; of an action, those are whose
    /// protocol has a form for that.
    fn tell_unreadable(&mut self, conn: ConnId, what: Unreadable) {
        let word = what.word().map(|word| word.as_str().as_bytes());
        let unknown = match what.topic() {
            Some(Topic::Connection | Topic::Auth | Topic::Parser) | None => Action::ParserUnknownTopic,
            Some(_) if word.is_some() => Action::ParserUnknownAction,
            Some(_) => return,
        };
        // Only where words are said, so that nothing is said of it where numbers are.
        let original_topic = what.topic().filter(|_| word.is_some());
        self.edges.reply(&mut self.cx, conn, &Outgoing { name: word, original_topic, ..Outgoing::new(unknown) });
    }

    /// Tells a client that it is logged in, once the owner of its user's name counts it: whoever hears of the login and
    /// asks who is there, on whatever core, is told of it.
    pub(crate) fn admitted(&mut self, conn: ConnId) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        let State::Arriving = session.state else { return };
        session.state = State::Open;
        let identity = session.identity.clone();
        let data = identity.as_ref().and_then(|identity| identity.client_data.as_deref());
        self.edges.reply(&mut self.cx, conn, &Outgoing { data, ..Outgoing::new(Action::AuthSuccessful) });
        self.cx.outputs.counters.logins += 1;
        self.watch(conn);
        self.resume(conn);
    }

    /// One more refused login of a connection; the last one allowed closes it.
    pub(crate) fn refuse_login(&mut self, conn: ConnId, client_data: Option<&[u8]>) {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return };
        if let State::Authenticating = session.state {
            session.state = State::AwaitAuth;
        }
        session.attempts += 1;
        session.since = self.cx.outputs.now;
        let last = session.attempts >= self.cx.options.endpoints.of(session.wire).auth_attempts_max;
        let data = session.visit.as_mut().and_then(|visit| visit.data.take());
        let remote = session.remote();
        let answer = Outgoing { data: client_data, ..Outgoing::new(Action::AuthUnsuccessful) };
        self.edges.reply(&mut self.cx, conn, &answer);
        self.cx.outputs.counters.refused_logins += 1;
        self.cx.outputs.note(Note::LoginRefused { conn, remote, data });
        if last {
            self.say(conn, Action::AuthTooManyAttempts);
            self.edges.here.close(&mut self.cx.outputs, conn, Reason::TooManyAuthAttempts);
        }
    }

    /// A login that nobody could judge. It is no attempt, and gives no further time.
    pub(crate) fn leave_unjudged(&mut self, conn: ConnId, client_data: &[u8]) {
        let Some((wire, remote)) = self.end_of_login(conn) else { return };
        self.cx.outputs.note(Note::LoginUnjudged { remote });
        if wire.logs_in_once() {
            return self.edges.here.close(&mut self.cx.outputs, conn, Reason::LoginUnjudged);
        }
        self.edges.reply(
            &mut self.cx,
            conn,
            &Outgoing { data: Some(client_data), ..Outgoing::new(Action::AuthUnsuccessful) },
        );
    }

    /// A login that was not judged, because too many from its address were refused: nothing more is heard from there.
    fn bar(&mut self, conn: ConnId, client_data: &[u8]) {
        let Some((wire, remote)) = self.end_of_login(conn) else { return };
        self.cx.outputs.counters.refused_logins += 1;
        self.cx.outputs.note(Note::LoginBarred { remote });
        if !wire.logs_in_once() {
            self.edges.reply(
                &mut self.cx,
                conn,
                &Outgoing { data: Some(client_data), ..Outgoing::new(Action::AuthUnsuccessful) },
            );
            self.say(conn, Action::AuthTooManyAttempts);
        }
        self.edges.here.close(&mut self.cx.outputs, conn, Reason::TooManyAuthAttempts);
    }

    /// A login is over that was not let in, and was not refused for what it is.
    fn end_of_login(&mut self, conn: ConnId) -> Option<(Wire, Box<str>)> {
        let session = self.edges.here.sessions.get_mut(conn)?;
        if let State::Authenticating = session.state {
            session.state = State::AwaitAuth;
        }
        if let Some(visit) = &mut session.visit {
            visit.data = None;
        }
        Some((session.wire, session.remote()))
    }

    fn login(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let data = message.data().unwrap_or_default();
        if !self.is_login_data(data) {
            let wire = self.edges.wire(conn).unwrap_or(Wire::Protobuf);
            let logged = self.cx.options.endpoints.of(wire).log_invalid_auth_data;
            if logged && data.len() <= self.cx.options.limits.auth_data_bytes_max {
                let text = format!("invalid auth message: {}", String::from_utf8_lossy(data));
                self.unexpected(conn, "INVALID_MESSAGE_DATA", &text);
            }
            return self.refuse_login_message(conn);
        }
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return Flow::Close };
        session.state = State::Authenticating;
        self.ask_for_verdict(conn, data)
    }

    /// Whether this can be judged: a JSON object or array of bounded size.
    pub(crate) fn is_login_data(&mut self, data: &[u8]) -> bool {
        data.len() <= self.cx.options.limits.auth_data_bytes_max
            && matches!(deepstream_json::check(data, &mut self.cx.json), Ok(Kind::Object | Kind::Array))
    }

    /// Logins of one socket are judged one after the other, and what follows them waits (docs/protobuf-protocol.md §6).
    pub(crate) fn ask_for_verdict(&mut self, conn: ConnId, data: &[u8]) -> Flow {
        let Some(session) = self.edges.here.sessions.get_mut(conn) else { return Flow::Close };
        session.paused = true;
        let data = Bytes::copy_from_slice(data);
        let visit = session.visit.get_or_insert_default();
        visit.data = self.cx.options.endpoints.of(session.wire).log_invalid_auth_data.then(|| data.clone());
        self.cx.outputs.host_requests.push(HostRequest::Authenticate { conn, data, peer: visit.peer.clone() });
        Flow::Pause
    }

    fn refuse_login_message(&mut self, conn: ConnId) -> Flow {
        self.say(conn, Action::AuthInvalidMessageData);
        self.edges.here.close(&mut self.cx.outputs, conn, Reason::InvalidAuth);
        Flow::Close
    }

    fn early(&mut self, conn: ConnId, answer: Action, original: Action) {
        let answer = Outgoing {
            original_topic: Some(original.topic()),
            original_action: Some(original),
            ..Outgoing::new(answer)
        };
        self.edges.reply(&mut self.cx, conn, &answer);
        self.unexpected(conn, "INVALID_MESSAGE", "a message before its time");
    }

    /// Sends a message with nothing but its action.
    pub(crate) fn say(&mut self, conn: ConnId, action: Action) {
        self.edges.reply(&mut self.cx, conn, &Outgoing::new(action));
    }
}

/// Who a connection is from now on. What was only kept for logging in is forgotten, unless the login will end.
pub(crate) fn identity_of(account: Account, session: &mut Session, now: Nanos) -> Identity {
    let some = |data: Option<Box<[u8]>>| data.filter(|data| !data.is_empty());
    let client = session.visit.as_ref().and_then(|visit| visit.client.clone());
    match (account.expiry, &mut session.visit) {
        (Some(expiry), Some(visit)) => {
            visit.expires_at = Some(now.after(expiry.in_ns));
            visit.warn_at = Some(now.after(expiry.in_ns.saturating_sub(expiry.warning_ns)));
            (visit.data, visit.extending) = (None, false);
        }
        _ => session.visit = None,
    }
    Identity {
        user: account.user_id,
        wire: session.wire,
        client_data: some(account.client_data),
        server_data: some(account.server_data),
        client,
    }
}

/// Clients name the URL that they connected to. The SDKs for Java and iOS name it as the app wrote it, which need not have a
/// scheme; all others only connect by one that has, and those in JavaScript put it in front themselves.
fn text_wire_of(wire: Wire, url: &[u8]) -> Wire {
    let begins = |scheme: &[u8]| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if url.is_empty() || begins(b"ws://") || begins(b"wss://") { wire } else { Wire::TextSdk }
}

/// JavaScript clients before 7.1.0 drop PATCH_MULTI (docs/protobuf-protocol.md §7).
fn wire_of(sdk_type: &[u8], sdk_version: &[u8]) -> Wire {
    let mut numbers = sdk_version.split(|&byte| byte == b'.').map(|part| {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u32, |number, &digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    });
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if sdk_type == b"javascript" && !sdk_version.is_empty() && version < (7, 1) {
        Wire::ProtobufNoMulti
    } else {
        Wire::Protobuf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_scheme_is_that_of_the_sdks_for_java_and_ios() {
        let cases: &[(&str, Wire)] = &[
            ("", Wire::Text),
            ("ws://localhost:6020/deepstream", Wire::Text),
            ("wss://example.com/deepstream-v3", Wire::Text),
            ("WSS://example.com", Wire::Text),
            ("localhost:6020", Wire::TextSdk),
            ("ws.example.com/deepstream", Wire::TextSdk),
            ("example.com:443/deepstream?to=ws://x", Wire::TextSdk),
        ];
        for &(url, wire) in cases {
            assert_eq!(text_wire_of(Wire::Text, url.as_bytes()), wire, "{url}");
            assert_eq!(text_wire_of(Wire::TextSdk, url.as_bytes()), Wire::TextSdk, "whoever was known stays: {url}");
        }
    }

    #[test]
    fn only_old_javascript_clients_are_spared_patch_multi() {
        let cases: &[(&str, &str, Wire)] = &[
            ("javascript", "7.0.5", Wire::ProtobufNoMulti),
            ("javascript", "4.2.0", Wire::ProtobufNoMulti),
            ("javascript", "7.1.0", Wire::Protobuf),
            ("javascript", "10.0.1", Wire::Protobuf),
            ("javascript", "", Wire::Protobuf),
            ("rust", "0.1.0", Wire::Protobuf),
        ];
        for &(kind, version, wire) in cases {
            assert_eq!(wire_of(kind.as_bytes(), version.as_bytes()), wire, "{kind} {version}");
        }
    }
}
