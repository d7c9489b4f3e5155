use super::rig::{Rig, about, bulk, patient};
use crate::{Flow, Note, Options, Reason};
use deepstream_wire::{Action, Outgoing, Wire};

const SECOND: u64 = 1_000_000_000;

#[test]
fn messages_before_their_time_are_told_so() {
    let mut rig = Rig::new(1);
    let conn = rig.stranger(0);
    rig.send(conn, &about(Action::EventEmit, "e"));
    rig.bytes(conn, b"garbage");
    rig.send(conn, &Outgoing::new(Action::ConnectionPing));
    assert_eq!(rig.read(conn), ["CONNECTION.INVALID_MESSAGE", "CONNECTION.INVALID_MESSAGE", "CONNECTION.PONG"]);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(conn, &about(Action::RecordRead, "r"));
    rig.send(conn, &Outgoing::new(Action::ConnectionPing));
    let told = ["CONNECTION.ACCEPT", "AUTH.INVALID_MESSAGE", "AUTH.INVALID_MESSAGE", "CONNECTION.PONG"];
    assert_eq!(rig.read(conn), told);
}

#[test]
fn a_login_that_makes_no_sense_is_closed() {
    for data in [None, Some("1"), Some("null"), Some("{bad"), Some("\"x\"")] {
        let mut rig = Rig::new(1);
        let conn = rig.stranger(0);
        rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
        let request = Outgoing { data: data.map(str::as_bytes), ..Outgoing::new(Action::AuthRequest) };
        rig.send(conn, &request);
        let lines = rig.read(conn);
        assert_eq!(lines[..2], ["CONNECTION.ACCEPT", "AUTH.INVALID_MESSAGE_DATA"], "{data:?}");
        assert!(lines[2].starts_with("Close"), "{lines:?}");
        assert_eq!(rig.closed, [(conn, Reason::InvalidAuth)]);
    }
}

#[test]
fn refused_logins_are_counted_and_the_last_one_closes() {
    let mut rig = Rig::new(1);
    let conn = rig.stranger(0);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    let request = Outgoing { data: Some(br#"{"bad":1}"#), ..Outgoing::new(Action::AuthRequest) };
    for _ in 0..3 {
        rig.send(conn, &request);
    }
    let lines = rig.read(conn);
    assert_eq!(
        lines[..5],
        [
            "CONNECTION.ACCEPT",
            "AUTH.AUTH_UNSUCCESSFUL",
            "AUTH.AUTH_UNSUCCESSFUL",
            "AUTH.AUTH_UNSUCCESSFUL",
            "AUTH.TOO_MANY_AUTH_ATTEMPTS"
        ]
    );
    assert_eq!(rig.closed, [(conn, Reason::TooManyAuthAttempts)]);
}

#[test]
fn a_refused_login_starts_the_clock_anew_and_does_not_stop_it() {
    let mut options = Options::default();
    let endpoint = options.endpoints.of_mut(Wire::Protobuf);
    (endpoint.unauthenticated_timeout_ns, endpoint.heartbeat_ns) = (Some(10 * SECOND), 8 * SECOND);
    let mut rig = Rig::with(1, &options);
    let conn = rig.stranger(0);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.pass(5 * SECOND);
    rig.send(conn, &Outgoing { data: Some(br#"{"bad":1}"#), ..Outgoing::new(Action::AuthRequest) });
    rig.read(conn);
    rig.pass(10 * SECOND);
    // Heard in between, so that it is not its silence that ends it.
    rig.send(conn, &Outgoing::new(Action::ConnectionPing));
    rig.read(conn);
    rig.pass(5 * SECOND);
    assert!(rig.closed.is_empty(), "two heartbeats, as those are longer");
    rig.pass(2 * SECOND);
    assert_eq!(rig.read(conn)[0], "CONNECTION.AUTHENTICATION_TIMEOUT");
    assert_eq!(rig.closed[0], (conn, Reason::AuthenticationTimeout));
}

#[test]
fn whoever_is_silent_is_asked_before_it_is_closed_and_stays_if_it_answers() {
    const PROBE: &str = "Ping([])";
    let mut rig = Rig::new(1);
    let (gone, slow, own) = (rig.client(0), rig.client(0), rig.client(0));
    for round in 0..4 {
        rig.pass(30 * SECOND);
        rig.send(own, &Outgoing::new(Action::ConnectionPing));
        rig.read(own);
        rig.pass(14 * SECOND);
        assert!(rig.read(slow).is_empty(), "not before half of the second interval, round {round}");
        rig.pass(2 * SECOND);
        assert_eq!(rig.read(slow), [PROBE], "round {round}");
        rig.pass(10 * SECOND);
        assert!(rig.read(slow).is_empty(), "once is enough");
        assert!(rig.read(own).is_empty(), "who speaks by itself is not asked");
        let now = rig.now;
        rig.shards[0].heard(now, slow);
        rig.send(own, &Outgoing::new(Action::ConnectionPing));
        rig.read(own);
    }
    assert_eq!(rig.closed[0], (gone, Reason::HeartbeatMissing));
    assert!(rig.closed.iter().all(|&(conn, _)| conn == gone), "{:?}", rig.closed);
    let last = rig.read(gone);
    assert_eq!(last, [PROBE, "Close(Some(4408))"], "in this order");
}

#[test]
fn what_waits_and_is_taken_is_a_sign_of_life_and_what_never_waited_is_none() {
    let mut options = patient();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 10 * SECOND;
    let mut rig = Rig::with(1, &options);
    let (emitter, reads, dead) = (rig.client(0), rig.client(0), rig.client(0));
    for conn in [reads, dead] {
        rig.send(conn, &bulk(Action::EventSubscribe, &[b"e"], "0"));
        rig.read(conn);
    }
    let mut payload = Vec::new();
    let data = format!("\"{}\"", "x".repeat(100));
    let emit = Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit, "e") };
    deepstream_wire::encode::encode_message(&emit, &mut payload);
    let (mut taken, mut closed) = (crate::Outbox::default(), Vec::new());
    for second in 1..60 {
        rig.now = rig.now.after(SECOND);
        let _ = rig.bytes_only(emitter, &payload);
        let now = rig.now;
        let shard = &mut rig.shards[0];
        if taken.is_empty() {
            shard.take_output(reads, &mut taken);
        }
        // One byte a second leaves: the rest waits for it.
        shard.flushed(now, reads, 1);
        // The kernel takes all of it, whether anybody is there or not.
        let mut outbox = crate::Outbox::default();
        shard.take_output(dead, &mut outbox);
        shard.flushed(now, dead, outbox.len());
        shard.tick(now);
        closed.extend(shard.closes());
        // Asked after 15 seconds, which is noticed in the 16th; with five more to answer, noticed in the 22nd.
        assert_eq!(closed.is_empty(), second < 22, "after {second} s: {closed:?}");
    }
    assert_eq!(closed[0], (dead, Reason::HeartbeatMissing));
    assert!(closed.iter().all(|&(conn, _)| conn == dead), "{closed:?}");
}

#[test]
fn who_never_says_a_word_where_clients_speak_first_is_told_apart_from_the_silent() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 10 * SECOND;
    options.endpoints.of_mut(Wire::Json).unauthenticated_timeout_ns = Some(5 * SECOND);
    let mut rig = Rig::with(1, &options);
    let (mute, json) = (rig.stranger(0), rig.stranger_on(0, Wire::Json));
    let challenged = rig.stranger(0);
    rig.send(challenged, &Outgoing::new(Action::ConnectionChallenge));
    for _ in 0..21 {
        rig.pass(SECOND);
        // Its WebSocket lives, which says nothing of whom it belongs to.
        let now = rig.now;
        rig.shards[0].heard(now, mute);
        rig.shards[0].heard(now, challenged);
    }
    // Named again and again from then on, because nobody closes them here.
    rig.closed.retain(|&(_, reason)| reason != Reason::Shutdown);
    assert_eq!(rig.closed, [(json, Reason::NeverSpoke), (mute, Reason::NeverSpoke)], "and not {challenged:?}");
    assert_eq!(rig.read(mute), ["Close(Some(1008))"]);
    assert_eq!(rig.read(json), [r#"{"topic":2,"action":100}"#, "Close(Some(1008))"]);
}

#[test]
fn a_close_is_noted_with_whatever_is_known_of_it() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 10 * SECOND;
    let mut rig = Rig::with(1, &options);
    let silent = rig.user(0, "ann");
    rig.pass(16 * SECOND);
    rig.pass(6 * SECOND);
    let noted = rig.notes.iter().find_map(|note| match note {
        Note::Closed { conn, user, wire, reason, waited_ns, .. } if *conn == silent => {
            Some((user.as_deref().map(str::to_owned), *wire, *reason, *waited_ns / SECOND))
        }
        _ => None,
    });
    assert_eq!(noted, Some((Some("ann".to_owned()), Wire::Protobuf, Reason::HeartbeatMissing, 22)));
}

#[test]
fn silence_for_two_heartbeats_closes_and_a_ping_keeps_open() {
    let mut rig = Rig::new(1);
    let (silent, lively) = (rig.client(0), rig.client(0));
    for _ in 0..5 {
        rig.pass(25 * SECOND);
        rig.send(lively, &Outgoing::new(Action::ConnectionPing));
        rig.read(lively);
    }
    assert_eq!(rig.closed[0], (silent, Reason::HeartbeatMissing));
    assert!(rig.closed.iter().all(|&(conn, _)| conn == silent), "{:?}", rig.closed);
}

#[test]
fn what_no_topic_knows_is_told_so_and_what_no_action_knows_is_not() {
    let mut rig = Rig::new(1);
    let conn = rig.client(0);
    rig.bytes(conn, b"\xff\xff\xff\xff");
    rig.bytes(conn, b"");
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(conn, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
    let told = rig.read(conn);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|line| line.starts_with("PARSER.UNKNOWN_TOPIC")), "{told:?}");
    // Topic EVENT, action 77.
    rig.bytes(conn, &[0x06, 0x10, 0x04, 0x1a, 0x02, 0x08, 77]);
    assert!(rig.read(conn).is_empty());
    assert!(rig.notes.iter().any(|note| matches!(note, Note::Unreadable { .. })));
}

#[test]
fn a_disabled_topic_does_not_exist() {
    let mut rig = Rig::with(1, &Options { events: false, ..Options::default() });
    let conn = rig.client(0);
    rig.send(conn, &bulk(Action::EventSubscribe, &[b"e"], "0"));
    assert_eq!(rig.read(conn), ["PARSER.UNKNOWN_TOPIC original=SUBSCRIBE"]);
}

#[test]
fn one_connection_too_many_is_refused_and_counted() {
    let mut options = Options::default();
    options.limits.connections_max = 1;
    let mut rig = Rig::with(1, &options);
    let conn = rig.stranger(0);
    let now = rig.now;
    assert!(rig.shards[0].connected(now, crate::Peer::default()).is_none());
    assert_eq!(rig.shards[0].counters().refused_connections, 1);
    rig.drop_client(conn);
    rig.stranger(0);
}

#[test]
fn subscriber_that_never_reads_is_paused_then_closed_and_nobody_else_notices() {
    let mut options = Options::default();
    options.limits.outbox_high_water_bytes = 1000;
    options.limits.outbox_bytes_max = 4000;
    let mut rig = Rig::with(1, &options);
    let (emitter, stuck, fine) = (rig.client(0), rig.client(0), rig.client(0));
    for conn in [stuck, fine] {
        rig.send(conn, &bulk(Action::EventSubscribe, &[b"e"], "0"));
        rig.read(conn);
    }
    let data = format!("\"{}\"", "x".repeat(300));
    let mut payload = Vec::new();
    let emit = Outgoing { data: Some(data.as_bytes()), ..about(Action::EventEmit, "e") };
    deepstream_wire::encode::encode_message(&emit, &mut payload);
    for sent in 0..20 {
        assert_eq!(rig.bytes_only(emitter, &payload), Flow::Continue, "the emitter is not at fault");
        let shard = &mut rig.shards[0];
        let mut outbox = crate::Outbox::default();
        shard.take_output(fine, &mut outbox);
        shard.flushed(rig.now, fine, outbox.len());
        if sent == 5 {
            let mut ping = Vec::new();
            deepstream_wire::encode::encode_message(&Outgoing::new(Action::ConnectionPing), &mut ping);
            assert_eq!(rig.bytes_only(stuck, &ping), Flow::Pause, "one who does not read is not read");
        }
    }
    assert_eq!(rig.shards[0].closes(), [(stuck, Reason::SlowConsumerFull)]);
    assert_eq!(rig.shards[0].counters().slow_consumers, 1);
}

#[test]
fn goodbye_that_fills_the_outbox_is_the_last_thing_said() {
    let mut options = Options::default();
    options.limits.outbox_bytes_max = 200;
    let mut rig = Rig::with(1, &options);
    let conn = rig.client(0);
    let shard = &mut rig.shards[0];
    // The answers to pings that came before, and to a close frame.
    let last = [&[0x8a, 0x00].repeat(120)[..], b"\x88\x02\x03\xe8"].concat();
    shard.goodbye(rig.now, conn, &last, false);
    let mut outbox = crate::Outbox::default();
    shard.take_output(conn, &mut outbox);
    assert_eq!(outbox.bytes, last);
    assert_eq!(shard.closes(), []);
}

#[test]
fn outbox_that_does_not_move_is_closed_in_time_and_one_that_moves_is_not() {
    let mut options = patient();
    options.limits.outbox_high_water_bytes = 100;
    options.limits.slow_consumer_timeout_ns = 5 * SECOND;
    let mut rig = Rig::with(1, &options);
    let conn = rig.client(0);
    let shard = &mut rig.shards[0];
    let mut ping = Vec::new();
    deepstream_wire::encode::encode_message(&Outgoing::new(Action::ConnectionPing), &mut ping);
    let mut paused = false;
    for _ in 0..100 {
        for message in deepstream_wire::binary::messages(&ping) {
            paused |= shard.received(rig.now, conn, &message.expect("a ping")) == Flow::Pause;
        }
    }
    assert!(paused);
    let mut outbox = crate::Outbox::default();
    shard.take_output(conn, &mut outbox);
    let mut now = rig.now.after(4 * SECOND);
    shard.tick(now);
    shard.flushed(now, conn, 10);
    now = now.after(4 * SECOND);
    shard.tick(now);
    assert!(shard.closes().is_empty(), "it moved four seconds ago");
    now = now.after(2 * SECOND);
    shard.tick(now);
    assert_eq!(shard.closes(), [(conn, Reason::SlowConsumerStalled)]);
}

#[test]
fn one_that_reads_slowly_is_not_taken_for_silent_and_is_closed_once_it_stops() {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 10 * SECOND;
    options.limits.outbox_high_water_bytes = 100;
    options.limits.slow_consumer_timeout_ns = 5 * SECOND;
    let mut rig = Rig::with(1, &options);
    let conn = rig.client(0);
    let shard = &mut rig.shards[0];
    // From its login.
    shard.resumed().for_each(drop);
    let mut ping = Vec::new();
    deepstream_wire::encode::encode_message(&Outgoing::new(Action::ConnectionPing), &mut ping);
    let message = || deepstream_wire::binary::messages(&ping).next().expect("one").expect("a ping");
    while shard.received(rig.now, conn, &message()) == Flow::Continue {}
    let mut outbox = crate::Outbox::default();
    shard.take_output(conn, &mut outbox);
    let mut now = rig.now;
    // Down to between the high-water mark and half of it: it stays paused.
    for left in (60..outbox.len()).rev().take(20) {
        now = now.after(SECOND);
        shard.flushed(now, conn, 2);
        shard.tick(now);
        assert!(shard.closes().is_empty(), "it reads, {left} bytes are left");
    }
    assert!(shard.resumed().next().is_none(), "it is not read meanwhile");
    let more = outbox.len() - 40 - 60;
    shard.flushed(now, conn, more);
    now = now.after(6 * SECOND);
    shard.tick(now);
    assert_eq!(shard.closes(), [(conn, Reason::SlowConsumerStalled)]);
}

#[test]
fn a_byte_now_and_then_is_no_reading() {
    let mut options = patient();
    options.limits.outbox_high_water_bytes = 160;
    options.limits.slow_consumer_timeout_ns = 5 * SECOND;
    let mut rig = Rig::with(1, &options);
    let (emitter, stuck) = (rig.client(0), rig.client(0));
    rig.send(stuck, &bulk(Action::EventSubscribe, &[b"e"], "0"));
    rig.slow_down(stuck);
    for _ in 0..5 {
        let data = Some(&br#""some forty bytes of data, and some more""#[..]);
        rig.send(emitter, &Outgoing { data, ..about(Action::EventEmit, "e") });
    }
    // Ten bytes in five seconds are a sixteenth of the mark, nine are not.
    for _ in 0..3 {
        rig.pass(2 * SECOND);
        rig.read_some(stuck, 6);
    }
    assert_eq!(rig.closed, []);
    for _ in 0..5 {
        rig.pass(2 * SECOND);
        rig.read_some(stuck, 1);
    }
    assert_eq!(rig.closed.first(), Some(&(stuck, Reason::SlowConsumerStalled)));
}

#[test]
fn one_that_only_listens_and_never_reads_is_closed_in_time() {
    let mut options = patient();
    options.limits.outbox_high_water_bytes = 100;
    options.limits.slow_consumer_timeout_ns = 5 * SECOND;
    let mut rig = Rig::with(1, &options);
    let (emitter, stuck) = (rig.client(0), rig.client(0));
    rig.send(stuck, &bulk(Action::EventSubscribe, &[b"e"], "0"));
    let mut payload = Vec::new();
    let emit =
        Outgoing { data: Some(br#""some forty bytes of data, and some more""#), ..about(Action::EventEmit, "e") };
    deepstream_wire::encode::encode_message(&emit, &mut payload);
    for _ in 0..5 {
        let _ = rig.bytes_only(emitter, &payload);
    }
    let shard = &mut rig.shards[0];
    assert!(shard.closes().is_empty());
    let deadline = shard.next_deadline().expect("it is watched");
    assert!(deadline <= rig.now.after(6 * SECOND), "{deadline:?}");
    shard.tick(rig.now.after(6 * SECOND));
    assert_eq!(shard.closes(), [(stuck, Reason::SlowConsumerStalled)]);
}

#[test]
fn a_user_id_is_no_longer_than_a_name() {
    let limits = crate::Limits { name_bytes_max: 4, ..crate::Limits::default() };
    let mut rig = Rig::with(1, &Options { limits, ..Options::default() });
    rig.user(0, "anne");
    let conn = rig.stranger(0);
    rig.send(conn, &Outgoing::new(Action::ConnectionChallenge));
    rig.send(conn, &Outgoing { data: Some(br#"{"user":"annet"}"#), ..Outgoing::new(Action::AuthRequest) });
    let told = ["CONNECTION.ACCEPT", r#"AUTH.AUTH_UNSUCCESSFUL data="the user id is too long""#];
    assert_eq!(rig.read(conn), told);
    assert_eq!(rig.shards[0].counters().refused_logins, 1);
}
