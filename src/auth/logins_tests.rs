use super::*;
use crate::config::{FileAuth, StorageAuth, User};
use crate::credentials::{Digest, PasswordHash};
use deepstream_engine::Place;
use std::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

fn conn(slot: u32) -> ConnId {
    ConnId { core: Place::alone(0), generation: 1, slot }
}

/// Users whose passwords take `iterations` rounds to check.
fn users(iterations: u32) -> AuthMethod {
    let hash = PasswordHash { digest: Digest::Sha256, iterations, key_length: 32 };
    let user = User { name: "ann".into(), password: "x".repeat(60), server_data: None, client_data: None };
    AuthMethod::of(FileAuth { users: vec![user], hash: Some(hash), report: true, ..FileAuth::default() })
}

/// What methods are given, where there is no store.
pub(in crate::auth) fn tools() -> Tools {
    let (compute, began) = (Compute::start(&[]).unwrap(), Instant::now());
    let limits =
        GuessLimits { per_address: 0, per_user: 0, window: Duration::from_mins(10), delay_max: Duration::ZERO };
    let guesses = Mutex::new(Guesses::new(limits));
    let storage_timeout = Duration::from_secs(1);
    let (records, proxies, members) = (None, Vec::new(), HashMap::new());
    Tools { compute, webhooks_max: 1, storage_timeout, name_bytes_max: 2048, records, members, guesses, proxies, began }
}

/// A login service with one client, and a receiver that its waker signals.
fn logins(methods: Vec<AuthMethod>, logins_max: usize, login_bytes_max: usize) -> (Auth, Client, mpsc::Receiver<()>) {
    let (ring, rung) = mpsc::channel();
    let waker: Waker = Arc::new(move || {
        let _ = ring.send(());
    });
    let options = Options {
        methods,
        headers: Vec::new(),
        logins_max,
        login_bytes_max,
        guesses: GuessLimits {
            per_address: 6,
            per_user: 0,
            window: Duration::from_mins(10),
            delay_max: Duration::ZERO,
        },
        proxies: Vec::new(),
        webhooks_max: 1,
        storage_timeout: Duration::from_secs(1),
        name_bytes_max: 2048,
        cpus: Vec::new(),
        wakers: vec![waker],
        storage: None,
        members: HashMap::new(),
    };
    let mut auth = start(options).unwrap();
    let client = auth.clients.remove(0);
    (auth, client, rung)
}

fn judge(client: &mut Client, slot: u32, data: &'static str) -> Option<Login> {
    judge_from(client, slot, data, "")
}

fn judge_from(client: &mut Client, slot: u32, data: &'static str, remote: &str) -> Option<Login> {
    let peer = Peer { remote: remote.into(), ..Peer::default() };
    client.judge(conn(slot), Bytes::from_static(data.as_bytes()), Arc::new(peer))
}

fn answers(client: &mut Client, rung: &mpsc::Receiver<()>, count: usize) -> Vec<(u32, Login)> {
    let mut answers = Vec::new();
    while answers.len() < count {
        rung.recv_timeout(PATIENCE).expect("the core is woken for every verdict");
        client.poll(&mut |outcome| match outcome {
            Completion::Authenticated { conn, login } => answers.push((conn.slot, login)),
            other => panic!("{other:?}"),
        });
    }
    answers
}

#[test]
fn open_login_takes_no_waiting() {
    let (_auth, mut client, _rung) = logins(vec![AuthMethod::open(), users(1)], 0, 0);
    assert!(
        matches!(judge(&mut client, 0, r#"{"username":"ann"}"#), Some(Login::Accepted(account)) if &*account.user_id == "ann")
    );
}

#[test]
fn logins_beyond_the_bounds_are_refused_at_once_and_room_comes_back() {
    const LOGIN: &str = r#"{"username":"ann","password":"x"}"#;
    let busy = Some(Login::Unjudged { client_data: BUSY.into() });
    for (logins_max, login_bytes_max) in [(2, 1000), (1000, 2 * LOGIN.len())] {
        let (_auth, mut client, rung) = logins(vec![users(1)], logins_max, login_bytes_max);
        assert_eq!((judge(&mut client, 0, LOGIN), judge(&mut client, 1, LOGIN)), (None, None));
        assert_eq!(judge(&mut client, 2, LOGIN), busy);
        assert_eq!(answers(&mut client, &rung, 2).len(), 2);
        assert_eq!(judge(&mut client, 3, LOGIN), None);
        let last = answers(&mut client, &rung, 1);
        assert_eq!(last, [(3, Login::Refused { client_data: None })]);
        assert!(!client.has_answers());
    }
}

#[test]
fn a_table_of_users_that_cannot_be_read_refuses_and_says_so() {
    let table = StorageAuth { table: "users".into(), create_user: true, report: true, ..StorageAuth::default() };
    let (_auth, mut client, rung) = logins(vec![AuthMethod::of(table)], 10, 1000);
    assert_eq!(judge(&mut client, 0, r#"{"username":"ann","password":"x"}"#), None);
    let (_, login) = answers(&mut client, &rung, 1).remove(0);
    let said = br#"{"error":"Error retrieving user from storage""#;
    assert!(matches!(&login, Login::Unjudged { client_data } if client_data.starts_with(said)), "{login:?}");
}

#[test]
fn a_login_that_computes_keeps_none_waiting_that_does_not() {
    let (_auth, mut client, rung) = logins(vec![users(5_000_000)], 10, 1000);
    assert_eq!(judge(&mut client, 0, r#"{"username":"ann","password":"x"}"#), None);
    assert_eq!(judge(&mut client, 1, "{}"), None);
    assert_eq!(answers(&mut client, &rung, 1)[0].0, 1);
}

#[test]
fn every_login_is_answered_though_the_thread_ends() {
    let (auth, mut client, rung) = logins(vec![users(5_000_000)], 10, 1000);
    for slot in 0..3 {
        assert_eq!(judge(&mut client, slot, r#"{"username":"ann","password":"x"}"#), None);
    }
    drop(auth);
    assert_eq!(judge(&mut client, 3, "{}"), None);
    let mut answers = answers(&mut client, &rung, 4);
    answers.sort_by_key(|&(slot, _)| slot);
    let stopped = Login::Unjudged { client_data: STOPPED.into() };
    assert_eq!(answers, (0..4).map(|slot| (slot, stopped.clone())).collect::<Vec<_>>());
}

#[test]
fn another_configuration_is_built_before_it_is_used_and_then_used_at_once() {
    let (auth, mut client, rung) = logins(vec![users(1)], 10, 1000);
    let swap = auth.prepare(&[AuthMethod::open()]).unwrap();
    assert_eq!(judge(&mut client, 0, "{}"), None, "not yet");
    assert_eq!(answers(&mut client, &rung, 1).len(), 1);
    swap();
    assert!(matches!(judge(&mut client, 1, "{}"), Some(Login::Accepted(_))));
}

#[test]
fn whoever_has_the_most_on_its_way_gives_way_to_a_stranger() {
    const LOGIN: &str = r#"{"username":"ann","password":"x"}"#;
    let (_auth, mut client, rung) = logins(vec![users(5_000_000)], 2, 1000);
    assert_eq!(judge_from(&mut client, 0, LOGIN, "1.1.1.1"), None);
    assert_eq!(judge_from(&mut client, 1, LOGIN, "1.1.1.1"), None);
    assert_eq!(judge_from(&mut client, 2, "{}", "2.2.2.2"), None);
    let busy = Login::Unjudged { client_data: BUSY.into() };
    let mut answers = answers(&mut client, &rung, 2);
    answers.sort_by_key(|&(slot, _)| slot);
    assert_eq!(answers[0], (1, busy));
    assert_eq!(answers[1].0, 2);
    assert!(client.is_awaited(conn(0)) && !client.is_awaited(conn(1)));
}

/// A login that nobody waits for is not computed: there are far more of them than could be in time.
#[test]
fn a_flood_that_was_left_delays_nobody() {
    const LOGIN: &str = r#"{"username":"ann","password":"x"}"#;
    let (_auth, mut client, rung) = logins(vec![users(300_000)], 1000, 100_000);
    for slot in 0..500 {
        assert_eq!(judge(&mut client, slot, LOGIN), None);
    }
    for slot in 0..500 {
        client.forget(conn(slot));
    }
    assert_eq!(judge(&mut client, 500, LOGIN), None);
    assert_eq!(answers(&mut client, &rung, 1)[0].0, 500);
    assert!(!client.is_awaited(conn(0)));
}

#[test]
fn a_stranger_waits_for_one_login_of_a_flood_not_for_all() {
    const LOGIN: &str = r#"{"username":"ann","password":"x"}"#;
    let (_auth, mut client, rung) = logins(vec![users(100_000)], 1000, 100_000);
    for slot in 0..300 {
        assert_eq!(judge_from(&mut client, slot, LOGIN, "1.1.1.1"), None);
    }
    assert_eq!(judge_from(&mut client, 300, LOGIN, "2.2.2.2"), None);
    let mut before = 0;
    while answers(&mut client, &rung, 1)[0].0 != 300 {
        before += 1;
    }
    assert!(before <= 3, "{before} were served before");
}

#[test]
fn guesses_are_not_judged_any_more_though_they_all_wait_at_once() {
    const LOGIN: &str = r#"{"username":"ann","password":"x"}"#;
    for iterations in [1, 1000] {
        let (_auth, mut client, rung) = logins(vec![users(iterations)], 1000, 100_000);
        for slot in 0..50 {
            assert_eq!(judge_from(&mut client, slot, LOGIN, "1.1.1.1"), None);
        }
        let answers = answers(&mut client, &rung, 50);
        let judged = answers.iter().filter(|(_, login)| matches!(login, Login::Refused { .. })).count();
        let barred = answers.iter().filter(|(_, login)| matches!(login, Login::Barred { retry_s: 1.., .. })).count();
        assert_eq!((judged, barred), (6, 44));
    }
}

#[test]
fn who_reads_of_a_blocked_address_is_told_what_its_proxy_lacks() {
    let proxies: Vec<Network> = ["127.0.0.0/8", "::1"].into_iter().filter_map(Network::read).collect();
    for listed in ["127.0.0.1", "::1"] {
        let text = not_judged(listed, &proxies);
        assert!(text.contains("let it send X-Forwarded-For") && !text.contains("list it"), "{text}");
    }
    for other in ["10.0.0.1", "@somewhere"] {
        let text = not_judged(other, &proxies);
        assert!(text.contains("list it in httpServer.options.trustedProxies"), "{text}");
    }
}
