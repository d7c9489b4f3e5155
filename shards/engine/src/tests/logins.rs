use super::rig::{Rig, about, bulk};
use crate::{Completion, ConnId, Flow, HostRequest, Login, Note, Options, Reason};
use deepstream_wire::{Action, Outgoing, Wire};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

fn request(data: &str) -> Outgoing<'_> {
    Outgoing { data: Some(data.as_bytes()), ..Outgoing::new(Action::AuthRequest) }
}

fn payload(message: &Outgoing<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    deepstream_wire::encode::encode_message(message, &mut payload);
    payload
}

/// A client whose login lasts two minutes, and the options under which it does not die of silence.
fn guest(rig: &mut Rig, core: usize) -> ConnId {
    let conn = rig.stranger(core);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(conn, &request(r#"{"user":"ann","expires":120000000000}"#));
    rig.read(conn);
    conn
}

fn patient() -> Options {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 3600 * SECOND;
    options
}

#[test]
fn login_that_is_being_judged_is_not_read_on_whatever_is_flushed_meanwhile() {
    let mut rig = Rig::new(1);
    let conn = rig.stranger(0);
    let _ = rig.bytes_only(conn, &payload(&Outgoing::new(Action::ConnectionChallenge)));
    assert_eq!(rig.bytes_only(conn, &payload(&request("{}"))), Flow::Pause);
    let now = rig.now;
    let shard = &mut rig.shards[0];
    let mut outbox = crate::Outbox::default();
    shard.take_output(conn, &mut outbox);
    shard.flushed(now, conn, outbox.len());
    assert_eq!(shard.resumed().count(), 0, "the verdict alone lets it be read again");
    let host_requests: Vec<HostRequest> = shard.host_requests().collect();
    assert_eq!(host_requests.len(), 1, "one login at a time");
    shard.completed(now, Completion::Authenticated { conn, login: Login::Refused { client_data: None } });
    assert_eq!(shard.resumed().collect::<Vec<_>>(), [conn]);
}

#[test]
fn silence_of_one_whose_login_is_being_judged_is_not_held_against_it() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = SECOND;
    options.endpoints.of_mut(Wire::Protobuf).unauthenticated_timeout_ns = Some(MINUTE);
    let mut rig = Rig::with(1, &options);
    let conn = rig.stranger(0);
    let _ = rig.bytes_only(conn, &payload(&Outgoing::new(Action::ConnectionChallenge)));
    let _ = rig.bytes_only(conn, &payload(&request("{}")));
    let start = rig.now;
    let shard = &mut rig.shards[0];
    for second in 1..60 {
        shard.tick(start.after(second * SECOND));
        assert!(shard.closes().is_empty(), "after {second} s");
    }
    shard.tick(start.after(62 * SECOND));
    assert_eq!(shard.closes(), [(conn, Reason::AuthenticationTimeout)]);
    let late = Completion::Authenticated { conn, login: Login::Refused { client_data: None } };
    shard.completed(start.after(63 * SECOND), late);
}

#[test]
fn login_of_more_bytes_than_allowed_is_closed_unread() {
    let mut options = Options::default();
    options.limits.auth_data_bytes_max = 20;
    let mut rig = Rig::with(1, &options);
    let conn = rig.stranger(0);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(conn, &request(r#"{"user":"a user's name"}"#));
    assert_eq!(rig.read(conn)[1], "AUTH.INVALID_MESSAGE_DATA");
    assert_eq!(rig.closed, [(conn, Reason::InvalidAuth)]);
}

#[test]
fn data_of_refused_logins_is_noted_only_if_asked() {
    for log_invalid_auth_data in [false, true] {
        let mut options = Options::default();
        options.endpoints.of_mut(Wire::Protobuf).log_invalid_auth_data = log_invalid_auth_data;
        let mut rig = Rig::with(1, &options);
        let conn = rig.stranger(0);
        rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
        rig.send(conn, &request(r#"{"bad":1}"#));
        rig.send(conn, &request("broken"));
        let noted = format!("{:?}", rig.notes);
        assert_eq!(noted.contains("broken"), log_invalid_auth_data, "{noted}");
        let refusal = rig.notes.iter().find_map(|note| match note {
            Note::LoginRefused { data, .. } => Some(data.clone()),
            _ => None,
        });
        assert_eq!(refusal.expect("a refusal").as_deref(), log_invalid_auth_data.then_some(&br#"{"bad":1}"#[..]));
    }
}

/// Who is neither let in nor refused.
fn unjudged(rig: &mut Rig, wire: Wire, login: Login) -> (ConnId, Vec<String>) {
    let conn = rig.stranger_on(0, wire);
    if wire.is_challenged() {
        let _ = rig.bytes_only(conn, &payload(&Outgoing::new(Action::ConnectionChallenge)));
    }
    let _ = rig.bytes_only(conn, &payload(&request("{}")));
    let now = rig.now;
    assert_eq!(rig.shards[0].host_requests().count(), 1);
    rig.shards[0].completed(now, Completion::Authenticated { conn, login });
    rig.settle();
    (conn, rig.read(conn))
}

#[test]
fn a_login_that_nobody_could_judge_is_no_attempt() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).auth_attempts_max = 1;
    let mut rig = Rig::with(1, &options);
    let away = || Login::Unjudged { client_data: (*br#"{"error":"AWAY"}"#).into() };
    let (conn, lines) = unjudged(&mut rig, Wire::Protobuf, away());
    assert_eq!(lines.last().unwrap(), r#"AUTH.AUTH_UNSUCCESSFUL data={"error":"AWAY"}"#);
    assert!(rig.closed.is_empty() && rig.notes.iter().any(|note| matches!(note, Note::LoginUnjudged { .. })));
    rig.send(conn, &request(r#"{"user":"ann"}"#));
    assert!(rig.read(conn).concat().contains("AUTH_SUCCESSFUL"), "it may try again");
    let (conn, _) = unjudged(&mut rig, Wire::Mqtt, away());
    assert_eq!(rig.closed, [(conn, Reason::LoginUnjudged)], "over MQTT there is one login");
}

#[test]
fn whoever_is_barred_is_told_and_closed_at_the_first_attempt() {
    let mut rig = Rig::new(1);
    let barred = || Login::Barred { client_data: (*br#"{"error":"MANY"}"#).into(), retry_s: 7 };
    for wire in [Wire::Protobuf, Wire::Mqtt] {
        let (conn, lines) = unjudged(&mut rig, wire, barred());
        assert_eq!(rig.closed.pop(), Some((conn, Reason::TooManyAuthAttempts)));
        if wire == Wire::Protobuf {
            let told = lines.iter().rev().find(|line| line.starts_with("AUTH.AUTH_UNSUCCESSFUL"));
            assert_eq!(told.unwrap(), r#"AUTH.AUTH_UNSUCCESSFUL data={"error":"MANY"}"#);
            assert!(lines.iter().any(|line| line.starts_with("AUTH.TOO_MANY_AUTH_ATTEMPTS")), "{lines:?}");
        }
    }
    assert!(rig.notes.iter().any(|note| matches!(note, Note::LoginBarred { .. })));
}

#[test]
fn an_open_session_outlasts_a_fresh_login_that_is_not_judged() {
    let mut rig = Rig::with(1, &patient());
    let conn = guest(&mut rig, 0);
    for login in [
        Login::Unjudged { client_data: (*br#"{"error":"AWAY"}"#).into() },
        Login::Barred { client_data: (*br#"{"error":"MANY"}"#).into(), retry_s: 7 },
    ] {
        let _ = rig.bytes_only(conn, &payload(&request("{}")));
        let now = rig.now;
        assert_eq!(rig.shards[0].host_requests().count(), 1);
        rig.shards[0].completed(now, Completion::Authenticated { conn, login });
        rig.settle();
        assert!(rig.read(conn).concat().contains("AUTH_UNSUCCESSFUL") && rig.closed.is_empty());
    }
    rig.pass(30 * SECOND);
    assert!(rig.closed.is_empty());
}

#[test]
fn login_that_ends_is_told_before_and_closed_then() {
    let mut rig = Rig::with(1, &patient());
    let conn = guest(&mut rig, 0);
    rig.pass(59 * SECOND);
    assert!(rig.read(conn).is_empty());
    rig.pass(2 * SECOND);
    assert_eq!(rig.read(conn), [r#"EVENT.EMIT name=deepstream/session-expires data={"expiresInMs":59000}"#]);
    rig.pass(58 * SECOND);
    assert!(rig.read(conn).is_empty() && rig.closed.is_empty(), "one warning, and its time is not over");
    rig.pass(2 * SECOND);
    assert_eq!(rig.closed, [(conn, Reason::SessionExpired)]);
    let lines = rig.read(conn);
    assert!(lines[0].contains("4401"), "the close frame says why: {lines:?}");
}

#[test]
fn a_login_is_told_before_its_end_is_however_long_that_takes() {
    let mut rig = Rig::with(2, &patient());
    let conn = rig.stranger(0);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.read(conn);
    // The core that counts the user is late, and the warning due at once.
    let user = rig.name_on(1, "user");
    let login = format!(r#"{{"user":"{user}","expires":30000000000}}"#);
    let _ = rig.bytes_only(conn, &payload(&request(&login)));
    for ask in rig.shards[0].host_requests().collect::<Vec<_>>() {
        rig.answer(0, ask);
    }
    let held = rig.take_packets(0, 1);
    assert!(!held.is_empty(), "the other core is to count it");
    rig.pass(SECOND);
    assert_eq!(rig.read(conn), [""; 0]);
    rig.give_packets(0, 1, held);
    rig.pass(SECOND);
    let lines = rig.read(conn);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("AUTH.AUTH_SUCCESSFUL") && lines[1].contains("session-expires"), "{lines:?}");
}

#[test]
fn fresh_login_of_the_same_user_moves_the_end_on_every_core() {
    let mut rig = Rig::with(2, &patient());
    let conn = guest(&mut rig, 0);
    let name = rig.name_on(1, "e");
    rig.send(conn, &bulk(Action::EventSubscribe, &[name.as_bytes()], "0"));
    rig.read(conn);
    rig.pass(100 * SECOND);
    rig.read(conn);
    rig.send(conn, &request(r#"{"user":"ann","role":"chief","expires":120000000000}"#));
    assert_eq!(rig.read(conn), [r#"AUTH.AUTH_SUCCESSFUL data={"me":"ann"}"#]);
    let known = rig.shards[1].sides.edges.identity(conn).expect("introduced");
    assert_eq!(known.server_data.as_deref(), Some(&br#""chief""#[..]));
    rig.pass(50 * SECOND);
    assert!(rig.closed.is_empty() && rig.read(conn).is_empty(), "the old end is past");
    let other = rig.client(1);
    rig.send(other, &about(Action::EventEmit, &name));
    assert_eq!(rig.read(conn).len(), 1, "its subscriptions last");
    rig.pass(20 * SECOND);
    assert!(rig.read(conn)[0].contains("session-expires"), "warned of the new end");
    rig.send(conn, &request(r#"{"user":"ann"}"#));
    rig.pass(300 * SECOND);
    assert!(rig.closed.is_empty(), "a login without an end lasts");
}

#[test]
fn fresh_logins_that_are_refused_change_nothing_and_are_counted() {
    let mut rig = Rig::with(1, &patient());
    let conn = guest(&mut rig, 0);
    rig.send(conn, &request("7"));
    rig.send(conn, &request(r#"{"bad":1}"#));
    rig.send(conn, &request(r#"{"user":"bob"}"#));
    let lines = rig.read(conn);
    assert_eq!(lines[..2], ["AUTH.INVALID_MESSAGE_DATA", "AUTH.AUTH_UNSUCCESSFUL"]);
    assert!(lines[2].starts_with("AUTH.AUTH_UNSUCCESSFUL data={\"error\":\"an open session"), "{lines:?}");
    rig.send(conn, &Outgoing::new(Action::ConnectionPing));
    assert_eq!(rig.read(conn), ["CONNECTION.PONG"]);
    rig.send(conn, &request(r#"{"bad":1}"#));
    assert_eq!(rig.read(conn)[1], "AUTH.TOO_MANY_AUTH_ATTEMPTS");
    assert_eq!(rig.closed, [(conn, Reason::TooManyAuthAttempts)]);
}

#[test]
fn login_on_a_session_without_an_end_is_unknown_as_ever() {
    let mut rig = Rig::new(1);
    let conn = rig.client(0);
    rig.send(conn, &request("{}"));
    assert!(rig.read(conn)[0].starts_with("PARSER.UNKNOWN_TOPIC"));
}
