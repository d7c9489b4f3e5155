//! Servers started by another program, with `deepstream::server`.

use deepstream::auth::{Accepted, Judging, Method, Request, Tools, Verdict};
use deepstream::config::{AuthMethod, Config, FileAuth, JwtAuth, Storage, User};
use deepstream::credentials::KeySource;
use deepstream::monitor::{Figures, Reader, Snapshot, Source};
use deepstream::server::{Builder, Server, Stopped};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[path = "stores/toy.rs"]
mod toy;

const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> Config {
    let mut config = Config { storage: Storage::Memory, ..Config::default() };
    "127.0.0.1".clone_into(&mut config.http.host);
    // Wherever there is room.
    config.http.port = 0;
    config.cores.count = Some(2);
    config.cores.allow_overlap = true;
    config.cores.pin = false;
    config
}

/// The status and the body of an answer.
fn post(server: &Server, path: &str, body: &Value) -> (u16, String) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).unwrap_or_default())
}

fn write(server: &Server, name: &str, data: &Value) -> Value {
    let write = json!({ "topic": "record", "action": "write", "recordName": name, "data": data });
    let (status, body) = post(server, "/api", &json!({ "body": [write] }));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn read(server: &Server, name: &str) -> Value {
    let read = json!({ "topic": "record", "action": "read", "recordName": name });
    let (status, body) = post(server, "/api", &json!({ "body": [read] }));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["body"][0]["data"].clone()
}

/// What all shards of a server say of a figure.
fn figure(server: &Server, name: &str) -> u64 {
    server.snapshots().iter().filter_map(|snapshot| snapshot.number(name)).sum()
}

#[test]
fn servers_start_side_by_side_and_leave_nothing_behind() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let builder = Builder::new(config()).on_end(move || {
        counted.fetch_add(1, Ordering::AcqRel);
    });
    let (one, other) = (builder.start().unwrap(), Builder::new(config()).start().unwrap());
    assert_ne!(one.address(), other.address());
    assert_eq!(write(&one, "a", &json!({ "n": 1 }))["result"], "SUCCESS");
    assert_eq!(read(&one, "a"), json!({ "n": 1 }));
    assert_eq!(read(&other, "a"), Value::Null, "it is another server");
    assert_eq!(figure(&one, "resident_records"), 1);
    assert_eq!(figure(&other, "resident_records"), 0);
    let sources: Vec<Source> = one.snapshots().iter().map(|snapshot| snapshot.source).collect();
    let services = ["auth", "listeners", "process", "log"].map(Source::Service);
    assert_eq!(sources, [&[Source::Shard(0), Source::Shard(1)][..], &services].concat(), "there is no storage");

    let address = one.address();
    assert_eq!(one.stop(), Stopped::InOrder);
    assert_eq!(ended.load(Ordering::Acquire), 2);
    let mut again = config();
    again.http.port = address.port();
    let again = Builder::new(again).start().expect("the port is free again");
    assert_eq!(read(&again, "a"), Value::Null, "it is a new server");
    assert_eq!(again.stop(), Stopped::InOrder);
    assert_eq!(write(&other, "b", &json!({}))["result"], "SUCCESS");
    assert_eq!(other.stop(), Stopped::InOrder);
}

#[test]
fn another_configuration_is_put_in_force_whole_or_not_at_all() {
    let server = Builder::new(config()).start().unwrap();
    let login = |name: &str| post(&server, "/api/auth", &json!({ "username": name, "password": "p" })).0;
    assert_eq!(login("ann"), 200);

    let user = User { name: "bob".into(), password: "p".into(), server_data: None, client_data: None };
    let mut file = FileAuth::default();
    file.users.push(user);
    file.report = true;
    server.reload(&Config { auth: vec![AuthMethod::of(file)], ..config() }).unwrap();
    assert_eq!((login("ann"), login("bob")), (401, 200));

    let mut jwt = JwtAuth::default();
    jwt.keys = KeySource::Secret(String::new());
    let broken = AuthMethod::of(jwt);
    let errors = server.reload(&Config { auth: vec![AuthMethod::open(), broken], ..config() }).unwrap_err();
    assert!(errors[0].starts_with("users and keys: "), "{errors:?}");
    assert_eq!((login("ann"), login("bob")), (401, 200));
    server.stop();
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let first = Builder::new(config()).start().unwrap();
    let mut taken = config();
    taken.http.port = first.address().port();
    let error = Builder::new(taken).start().err().expect("the port is taken").to_string();
    assert!(error.contains("cannot listen on"), "{error}");
    let mut nowhere = config();
    nowhere.cores.count = Some(0);
    let error = Builder::new(nowhere).start().err().expect("there is no shard").to_string();
    assert!(error.starts_with("cores."), "{error}");
    assert_eq!(write(&first, "a", &json!({}))["result"], "SUCCESS");
    drop(first);
}

/// A toy method: accepts logins that contain the password.
struct Password(&'static str);

impl Method for Password {
    fn judge<'j>(&'j self, request: &'j Request, _: &'j Tools) -> Judging<'j> {
        let fits = request.text("password") == Some(self.0);
        let accepted = || Verdict::Accepted(Accepted { id: request.user(), ..Accepted::default() });
        Box::pin(std::future::ready(if fits { Some(accepted()) } else { Verdict::no(true, Some("say the word")) }))
    }
}

/// A toy reader: sends all figures through a channel until its receiver is dropped.
struct Feed(mpsc::SyncSender<Vec<Snapshot>>);

impl Reader for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    async fn run(self, figures: Figures) {
        while self.0.send(figures.read().await).is_ok() {}
    }
}

#[test]
fn a_program_brings_members_of_its_own() {
    let (world, (tell, told)) = (toy::World::default(), mpsc::sync_channel(0));
    let config = Config { auth: vec![AuthMethod::member("password")], ..config() };
    let builder = || Builder::new(config.clone()).authentication("password", Password("please"));
    let driver = || toy::Toy::on(&world);
    let server = builder().storage(driver()).monitor(Feed(tell)).start().unwrap();

    let login = |password: &str| post(&server, "/api/auth", &json!({ "username": "ann", "password": password }));
    assert_eq!((login("please").0, login("now")), (200, (401, r#"{"error":"say the word"}"#.to_owned())));
    server.reload(&config).unwrap();
    assert_eq!(login("please").0, 200, "it is there after a reload, too");

    let token = json!({ "username": "ann", "password": "please" });
    let body = json!([{ "topic": "record", "action": "write", "recordName": "a", "data": { "n": 1 } }]);
    let (status, answer) = post(&server, "/api", &json!({ "authData": token, "body": body }));
    assert!(status == 200 && answer.contains("SUCCESS"), "{answer}");

    let number = |of: &str, figure: &str| {
        let snapshots = told.recv_timeout(PATIENCE).expect("it reads on");
        let services =
            snapshots.iter().filter(|snapshot| matches!(snapshot.source, Source::Service(name) if name == of));
        services.filter_map(|snapshot| snapshot.number(figure)).sum::<u64>()
    };
    // What was read before all that happened is in the way.
    let deadline = Instant::now() + PATIENCE;
    while number("storage", "records") < 1 {
        assert!(Instant::now() < deadline, "nothing is stored");
    }
    assert_eq!((number("auth", "accepted"), number("auth", "refused"), number("auth", "under_way")), (3, 1, 0));
    assert!(number("process", "resident_bytes") > 0 && number("listeners", "listeners") == 2);

    // This one blocks while nobody takes what it has, which a server that stops would wait for.
    drop(told);
    assert_eq!(server.stop(), Stopped::InOrder);
    assert_eq!(world.records.lock().unwrap()[&b"a"[..]].value, br#"{"n":1}"#);
    let again = builder().storage(driver()).start().unwrap();
    let body = json!([{ "topic": "record", "action": "read", "recordName": "a" }]);
    let (_, answer) = post(&again, "/api", &json!({ "authData": token, "body": body }));
    assert!(answer.contains(r#""data":{"n":1}"#), "{answer}");
    again.stop();

    let unknown = Builder::new(config.clone()).start().err().expect("nobody brought it").to_string();
    assert_eq!(unknown, "authentication: no member is called password");
}

/// A server without connectors keeps records in memory, and says so before anybody relies on more.
#[cfg(not(any(feature = "embedded", feature = "postgres", feature = "redis")))]
#[test]
fn a_connector_that_was_not_built_is_refused_in_words() {
    use deepstream::config::{StartArguments, load};
    for (text, connector) in [
        ("serverName: one", "embedded"),
        ("storage: {type: default}", "embedded"),
        ("storage: {options: {directory: data}}", "embedded"),
        ("storage: {name: postgres, options: {user: ann}}", "postgres"),
        ("storage: {name: redis, options: {host: db}}", "redis"),
    ] {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("without-connectors.yml");
        std::fs::write(&file, text).unwrap();
        let mut arguments = StartArguments { config: Some(file), ..StartArguments::default() };
        let refusal = load(&arguments).expect_err(text).to_string();
        let words = format!("built without the connector {connector}: build it with --features {connector}");
        assert!(refusal.contains(&words), "{text}: {refusal}");
        arguments.memory = true;
        assert_eq!(load(&arguments).expect(text).config.storage, Storage::Memory, "{text}");
    }
}
