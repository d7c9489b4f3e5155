//! Challenge, login, and what is said to messages that come too early (protocol-binary §6).

use crate::ident::ConnId;
use crate::output::{Ask, Flow, Login, Note, Reason};
use crate::packet::Identity;
use crate::session::table::State;
use crate::shard::Shard;
use bytes::Bytes;
use deepstream_json::Kind;
use deepstream_wire::{Action, Message, Outgoing, Topic, Unreadable, Wire};
use std::sync::Arc;

impl Shard {
    /// A message before the login is complete.
    pub(crate) fn before_login(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return Flow::Close };
        let action = message.head.action;
        let challenged = matches!(session.state, State::AwaitAuth);
        match action {
            // Upstream stays silent before login; a client that waits for its user to log in would drop the connection
            // (protocol-binary §12.6).
            Action::ConnectionPing => self.say(conn, Action::ConnectionPong),
            Action::ConnectionChallenge if !challenged => {
                session.state = State::AwaitAuth;
                session.wire =
                    wire_of(message.path().unwrap_or_default(), message.correlation_id().unwrap_or_default());
                self.say(conn, Action::ConnectionAccept);
            }
            _ if !challenged && action.topic() == Topic::Connection => {
                self.unexpected(conn, "UNKNOWN_ACTION", action.name());
            }
            _ if !challenged => self.early(conn, Action::ConnectionInvalidMessage),
            Action::AuthRequest => return self.login(conn, message),
            _ if action.topic() == Topic::Auth => return self.refuse_login_message(conn),
            _ => self.early(conn, Action::AuthInvalidMessage),
        }
        Flow::Continue
    }

    /// Bytes that are no message, or one nobody knows, in any state.
    pub(crate) fn not_understood(&mut self, conn: ConnId, what: Unreadable) -> Flow {
        let Some(session) = self.delivery.sessions.get(conn) else { return Flow::Close };
        let user = session.user().map(Into::into);
        match session.state {
            State::Connected | State::Closing => return Flow::Close,
            State::AwaitChallenge => {
                if !matches!(what, Unreadable::Action(Topic::Connection, _)) {
                    self.say(conn, Action::ConnectionInvalidMessage);
                }
            }
            State::AwaitAuth | State::Authenticating => {
                if matches!(what, Unreadable::Action(Topic::Auth, _)) {
                    return self.refuse_login_message(conn);
                }
                self.say(conn, Action::AuthInvalidMessage);
            }
            State::Open => match what {
                Unreadable::Action(Topic::Connection | Topic::Auth | Topic::Parser, _)
                | Unreadable::Malformed
                | Unreadable::Topic(_) => self.say(conn, Action::ParserUnknownTopic),
                Unreadable::Action(..) => {}
            },
        }
        self.delivery.note(Note::Unreadable { user, what });
        Flow::Continue
    }

    /// The verdict on a login.
    pub(crate) fn authenticated(&mut self, conn: ConnId, login: Login) {
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return };
        if !matches!(session.state, State::Authenticating) {
            return;
        }
        match login {
            Login::Accepted { user_id, client_data } => {
                let client_data = client_data.filter(|data| !data.is_empty());
                let identity =
                    Arc::new(Identity { user: user_id.clone(), wire: session.wire, client_data: client_data.clone() });
                session.state = State::Open;
                session.identity = Some(identity.clone());
                session.peer = None;
                let answer = Outgoing { data: client_data.as_deref(), ..Outgoing::new(Action::AuthSuccessful) };
                self.delivery.reply(conn, &answer);
                self.delivery.counters.logins += 1;
                self.delivery.note(Note::LoggedIn { user: user_id });
                self.watch(conn);
                self.presence_changed(identity, true);
            }
            Login::Refused { client_data } => {
                session.state = State::AwaitAuth;
                session.attempts += 1;
                let last = session.attempts >= self.options.auth_attempts_max;
                let answer = Outgoing { data: client_data.as_deref(), ..Outgoing::new(Action::AuthUnsuccessful) };
                self.delivery.reply(conn, &answer);
                self.delivery.counters.refused_logins += 1;
                self.delivery.note(Note::LoginRefused { conn, data: None });
                if last {
                    self.say(conn, Action::AuthTooManyAttempts);
                    self.delivery.close(conn, Reason::TooManyAuthAttempts);
                }
            }
        }
        self.resume(conn);
    }

    fn login(&mut self, conn: ConnId, message: &Message<&[u8]>) -> Flow {
        let data = message.data().unwrap_or_default();
        let kind = deepstream_json::check(data, &mut self.json);
        if !matches!(kind, Ok(Kind::Object | Kind::Array)) {
            return self.refuse_login_message(conn);
        }
        let Some(session) = self.delivery.sessions.get_mut(conn) else { return Flow::Close };
        session.state = State::Authenticating;
        session.paused = true;
        self.delivery.asks.push(Ask::Authenticate { conn, data: Bytes::copy_from_slice(data) });
        // Logins of one socket are judged one after the other, and what follows them waits (protocol-binary §12.8).
        Flow::Pause
    }

    fn refuse_login_message(&mut self, conn: ConnId) -> Flow {
        self.say(conn, Action::AuthInvalidMessageData);
        self.delivery.close(conn, Reason::InvalidAuth);
        Flow::Close
    }

    fn early(&mut self, conn: ConnId, answer: Action) {
        self.say(conn, answer);
        self.unexpected(conn, "INVALID_MESSAGE", "a message before its time");
    }

    /// Sends a message with nothing but its action.
    pub(crate) fn say(&mut self, conn: ConnId, action: Action) {
        self.delivery.reply(conn, &Outgoing::new(action));
    }
}

/// JavaScript clients before 7.1.0 drop PATCH_MULTI (protocol-binary §12.11).
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
