//! The contract of [`Method`](super::Method), tested with every method: a new one has its line in [`members`].

use super::*;
use crate::auth::logins::tests::tools;
use crate::auth::settings::AuthMethod;
use crate::config::{FileAuth, HttpAuth, JwtAuth, StorageAuth, ToyAuth, User};
use crate::credentials::{Digest, KeySource, PasswordHash};
use deepstream_engine::Peer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Longer than any of them may take with the settings below.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1/";

/// THE LIST: every kind of method, and every way in which it can be configured that changes what it may answer.
fn members(report: bool) -> Vec<(&'static str, AuthMethod)> {
    let hash = Some(PasswordHash { digest: Digest::Sha256, iterations: 2, key_length: 32 });
    let user = |password: &str| User {
        name: "ann".to_owned(),
        password: password.to_owned(),
        server_data: None,
        client_data: None,
    };
    let file = |hash, password| FileAuth { users: vec![user(password)], hash, report, ..FileAuth::default() };
    let http = HttpAuth {
        endpoint_url: NOWHERE.to_owned(),
        permitted_status_codes: vec![200],
        request_timeout: Duration::from_secs(1),
        promote_to_header: vec!["token".to_owned()],
        report,
        ..HttpAuth::default()
    };
    let table = StorageAuth { table: "users".to_owned(), report, ..StorageAuth::default() };
    let jwt = |keys| JwtAuth { keys, report, ..JwtAuth::default() };
    vec![
        ("open", AuthMethod::open()),
        ("file", AuthMethod::of(file(None, "open"))),
        ("file with hashes", AuthMethod::of(file(hash, "no password has this hash"))),
        ("http", AuthMethod::of(http)),
        ("storage", AuthMethod::of(table.clone())),
        ("storage that registers", AuthMethod::of(StorageAuth { create_user: true, ..table })),
        ("jwt", AuthMethod::of(jwt(KeySource::Secret("0123456789abcdef0123456789abcdef".to_owned())))),
        ("jwt with keys elsewhere", AuthMethod::of(jwt(KeySource::Url(NOWHERE.to_owned())))),
        ("toy", AuthMethod::of(ToyAuth { word: "please".to_owned(), report, ..ToyAuth::default() })),
    ]
}

/// What clients have sent, and what they could.
fn logins() -> Vec<Value> {
    let odd =
        [json!(null), json!(0), json!(true), json!([]), json!({}), json!({ "a": 1 }), json!("\n\0"), json!("ann")];
    let mut logins: Vec<Value> = odd.to_vec();
    for value in &odd {
        logins.push(json!({ "username": value, "password": value, "token": value }));
        logins.push(json!({ "username": "ann", "password": value }));
        logins.push(json!({ "username": value, "password": "wrong" }));
    }
    logins.push(json!({ "token": "a.b.c" }));
    logins.push(json!({ "token": "eyJhbGciOiJSUzI1NiJ9.e30.AAAA" }));
    logins.push(json!({ "username": "x".repeat(10_000), "password": "y".repeat(10_000) }));
    logins
}

fn request(data: &Value) -> Request {
    Request::new(data.clone(), Arc::new(Peer { remote: "192.0.2.1".into(), ..Peer::default() }))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn every_login_is_answered_and_a_no_is_only_said_where_it_is_one() {
    let (runtime, tools) = (runtime(), tools());
    runtime.block_on(async {
        for report in [true, false] {
            for (name, settings) in members(report) {
                let method = settings.build(&tools).unwrap();
                for data in logins() {
                    let request = request(&data);
                    let verdict = timeout(PATIENCE, method.judge(&request, &tools)).await;
                    let verdict = verdict.unwrap_or_else(|_| panic!("{name} does not answer {data}"));
                    match verdict {
                        Some(Verdict::Accepted(_)) => assert!(method.is_open(), "{name} lets {data} in"),
                        Some(Verdict::Refused(_)) => assert!(report, "{name} refuses {data} instead of passing it on"),
                        Some(Verdict::Unable { last, .. }) => assert_eq!(last, report, "{name}: {data}"),
                        Some(Verdict::Barred(_)) => panic!("{name} bars {data}, of whom nobody was refused"),
                        None => {}
                    }
                }
            }
        }
    });
}

#[test]
fn a_login_that_is_called_off_leaves_the_turns_to_others() {
    let (runtime, tools) = (runtime(), tools());
    runtime.block_on(async {
        for (name, settings) in members(true) {
            let method = settings.build(&tools).unwrap();
            let request = request(&json!({ "username": "ann", "password": "wrong", "token": "a.b.c" }));
            for _ in 0..3 {
                // Begun, polled for a while, and dropped at whatever point it has reached.
                let mut judging = method.judge(&request, &tools);
                std::future::poll_fn(|context| {
                    let _ = judging.as_mut().poll(context);
                    std::task::Poll::Ready(())
                })
                .await;
            }
            let verdict = timeout(PATIENCE, method.judge(&request, &tools)).await;
            assert!(verdict.is_ok(), "{name} answers nobody after logins that were called off");
        }
    });
}

#[test]
fn methods_of_all_kinds_may_follow_each_other() {
    let (runtime, tools) = (runtime(), tools());
    let _inside = runtime.enter();
    for (_, settings) in members(true) {
        let method = settings.build(&tools).unwrap();
        method.warm_up();
        for (_, earlier) in members(true) {
            method.inherit(&*earlier.build(&tools).unwrap());
        }
    }
}

#[test]
fn who_adds_a_method_needs_nothing_but_its_settings_and_itself() {
    let (runtime, tools) = (runtime(), tools());
    let settings = AuthMethod::of(ToyAuth { word: "please".to_owned(), report: true, ..ToyAuth::default() });
    let method = settings.build(&tools).unwrap();
    let judged = |password: &str| {
        let request = request(&json!({ "username": "ann", "password": password }));
        runtime.block_on(method.judge(&request, &tools))
    };
    assert!(matches!(judged("please"), Some(Verdict::Accepted(accepted)) if accepted.id.as_deref() == Some("ann")));
    assert!(matches!(judged("now"), Some(Verdict::Refused(_))));
}
