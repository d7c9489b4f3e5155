//! A Redis server of this test's own, and what only Redis can get wrong. Fast, not durable: nobody cuts the power.

use crate::contract::{Detour, PATIENCE, Subject, opened, run};
use crate::gate::Gate;
use crate::toy::{Toy, World};
use deepstream::config;
use deepstream::connector::redis::{Redis, RedisCache};
use deepstream::storage::{
    AnyCache, Cache, Driver, Entry, Expected, Found, Kind as TroubleKind, Refused, Tiered, Trouble, Why, Write, Writer,
};
use deepstream_engine::Stored;
use engines::{Engine, Kind, Options};
use std::fs::read_to_string;
use std::time::{Duration, Instant};

/// Ends a commit whose last value is an empty object.
const END: &[u8] = b"{}\r\n";

/// A server, and how it is used.
pub(crate) struct Server {
    engine: Engine,
    settings: config::Redis,
}

impl Server {
    /// One that keeps what it has taken when it is killed.
    pub(crate) fn start(kind: Kind, key_prefix: &str) -> Self {
        Self::with(kind, &Options::default().config("appendonly", "yes").config("appendfsync", "always"), |settings| {
            key_prefix.clone_into(&mut settings.key_prefix);
        })
    }

    pub(crate) fn with(kind: Kind, options: &Options, change: impl FnOnce(&mut config::Redis)) -> Self {
        let engine = engines::start(kind, options).unwrap();
        let (host, port) = (engine.address().to_string(), engine.port());
        let mut settings = config::Redis { host, port, ..config::Redis::default() };
        change(&mut settings);
        Self { engine, settings }
    }

    /// A connection past the driver, as other programs have one.
    fn other(&self) -> redis::Connection {
        redis::Client::open((self.engine.address().to_string(), self.engine.port())).unwrap().get_connection().unwrap()
    }
}

impl Subject for Server {
    type Driver = Redis;

    fn driver(&self) -> Redis {
        Redis::new(self.settings.clone())
    }

    fn detour(&self) -> Option<(Redis, Box<dyn Detour>)> {
        let gate = Gate::before(self.engine.port(), END);
        Some((Redis::new(config::Redis { port: gate.port(), ..self.settings.clone() }), Box::new(gate)))
    }

    fn away(&self, away: bool) -> bool {
        if away { self.engine.kill() } else { self.engine.launch() }.unwrap();
        true
    }
}

/// Redis as a cache before a store in memory. Commits are held up on their way to the store.
pub(crate) struct Cached(pub(crate) Server, pub(crate) World);

impl Server {
    pub(crate) fn cache(&self) -> RedisCache {
        RedisCache::new(self.settings.clone())
    }
}

impl Subject for Cached {
    type Driver = Tiered<AnyCache, Toy>;

    fn driver(&self) -> Self::Driver {
        Tiered::new(AnyCache::of(self.0.cache()), self.1.driver())
    }

    fn detour(&self) -> Option<(Self::Driver, Box<dyn Detour>)> {
        let (driver, detour) = self.1.detour()?;
        Some((Tiered::new(AnyCache::of(self.0.cache()), driver), detour))
    }

    /// Both at once, so that what is asked for is in neither.
    fn away(&self, away: bool) -> bool {
        self.0.away(away) && self.1.away(away)
    }
}

fn put<'w>(name: &'w str, version: i32, value: &'w str) -> Write<'w> {
    let (name, value) = (name.as_bytes(), Some(value.as_bytes()));
    Write { name, version, value, expected: Expected::Anything, fence: None }
}

#[allow(clippy::unnecessary_wraps, reason = "it is compared with answers")]
fn record(version: i32, value: &str) -> Found {
    Ok(Some(Stored { version, value: value.as_bytes().to_vec() }))
}

/// Sends a command that some other program could send.
fn say(connection: &mut redis::Connection, words: &[&str]) -> redis::Value {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query(connection).unwrap()
}

fn text(connection: &mut redis::Connection, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(connection).unwrap()
}

#[test]
fn records_are_where_upstream_has_them() {
    let server = Server::start(Kind::Redis, "");
    let (driver, mut other) = (server.driver(), server.other());
    run(async {
        opened(&driver).await;
        assert_eq!(driver.commit(&[put("users/ann", 3, "{\"a\":1}")]).await, Ok(vec![]));
        assert_eq!(text(&mut other, "users/ann_v").as_deref(), Some("3"));
        assert_eq!(text(&mut other, "users/ann_d").as_deref(), Some("{\"a\":1}"));
        say(
            &mut other,
            &["MSET", "bob_v", "12", "bob_d", "{\"by\":\"upstream\"}", "half_v", "1", "odd_v", "x", "odd_d", "{}"],
        );
        say(&mut other, &["RPUSH", "list_v", "a"]);
        let names: [&[u8]; 4] = [b"bob", b"half", b"odd", b"list"];
        let found = driver.load(&names).await.unwrap();
        assert_eq!(found[0], record(12, "{\"by\":\"upstream\"}"));
        assert!(found[1].is_err() && found[2].is_err() && found[3] == Ok(None), "{found:?}");
        // Whatever stands there is replaced, but meets no condition.
        let replaced = |expected| Write { expected, ..put("list", 1, "{}") };
        let conflict = vec![Refused { entry: 0, why: Why::Conflict }];
        assert_eq!(driver.commit(&[replaced(Expected::Nothing)]).await, Ok(conflict));
        assert_eq!(driver.commit(&[replaced(Expected::Anything)]).await, Ok(vec![]));
        let gone: Vec<_> =
            ["users/ann", "bob", "half", "odd", "list"].map(|name| Write { value: None, ..put(name, 0, "") }).into();
        assert_eq!(driver.commit(&gone).await, Ok(vec![]));
        assert_eq!(say(&mut other, &["KEYS", "*"]), say(&mut other, &["KEYS", "deepstream:guards"]), "nothing is left");
        driver.close().await;
    });
}

#[test]
fn records_of_release_1_are_read_until_they_are_written_and_gone_when_they_are_removed() {
    let server = Server::start(Kind::Redis, "p:");
    let (driver, mut other) = (server.driver(), server.other());
    run(async {
        opened(&driver).await;
        let old = "{\"_v\":7,\"_d\":{\"old\":true}}";
        say(&mut other, &["MSET", "p:a", old, "p:b", old, "p:c", "another program's", "p:d", "{\"_v\":\"no\"}"]);
        let names: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
        let [first, nothing] = [record(7, "{\"old\":true}"), Ok(None)];
        let found = driver.load(&names).await.unwrap();
        assert_eq!(found, [first.clone(), first, nothing.clone(), nothing.clone()]);
        // It counts as what is stored now.
        let conditional = |name, expected| Write { expected, ..put(name, 8, "{}") };
        let late = [conditional("a", Expected::Nothing), conditional("b", Expected::Version(6))];
        let conflicts = [0, 1].map(|entry| Refused { entry, why: Why::Conflict });
        assert_eq!(driver.commit(&late).await, Ok(conflicts.to_vec()));
        assert_eq!(driver.commit(&[conditional("a", Expected::Version(7))]).await, Ok(vec![]));
        assert_eq!(driver.load(&names[..1]).await.unwrap(), [record(8, "{}")]);
        let gone: Vec<_> = ["a", "b", "c", "d"].map(|name| Write { value: None, ..put(name, 0, "") }).into();
        assert_eq!(driver.commit(&gone).await, Ok(vec![]));
        assert_eq!(
            driver.load(&names).await.unwrap(),
            [(); 4].map(|()| nothing.clone()),
            "the old form does not come back"
        );
        assert_eq!(text(&mut other, "p:c").as_deref(), Some("another program's"), "it is not ours");
        assert_eq!(text(&mut other, "p:d").as_deref(), Some("{\"_v\":\"no\"}"), "nor is this");
        driver.close().await;
    });
}

/// Under the key that release 1 would have had for `a_d` stands the value of `a`, which a client writes as it likes.
#[test]
fn a_value_is_never_taken_for_a_record_of_release_1() {
    let server = Server::start(Kind::Redis, "");
    let driver = server.driver();
    run(async {
        opened(&driver).await;
        let forged = "{\"_v\":9,\"_d\":{\"role\":\"admin\"}}";
        assert_eq!(driver.commit(&[put("a", 1, forged)]).await, Ok(vec![]));
        assert_eq!(driver.load(&[b"a_d", b"a_v", b"a"]).await.unwrap(), [Ok(None), Ok(None), record(1, forged)]);
        let gone = ["a_d", "a_v", "a_g"].map(|name| Write { value: None, ..put(name, 0, "") });
        assert_eq!(driver.commit(&gone).await, Ok(vec![]));
        assert_eq!(driver.load(&[b"a"]).await.unwrap(), [record(1, forged)], "nor removed as one");
        let made = Write { expected: Expected::Nothing, ..put("a_d", 1, "{}") };
        assert_eq!(driver.commit(&[made]).await, Ok(vec![]), "it is no record yet");
        assert_eq!(driver.load(&[b"a", b"a_d"]).await.unwrap(), [record(1, forged), record(1, "{}")]);
        driver.close().await;
    });
}

#[test]
fn a_time_to_live_forgets_a_record_with_its_old_form() {
    let server = Server::with(Kind::Redis, &Options::default(), |settings| settings.ttl = Some(1));
    let (driver, mut other) = (server.driver(), server.other());
    run(async {
        opened(&driver).await;
        say(&mut other, &["SET", "a", "{\"_v\":7,\"_d\":{}}"]);
        assert_eq!(driver.commit(&[put("a", 8, "{}")]).await, Ok(vec![]));
        let deadline = Instant::now() + PATIENCE;
        while driver.load(&[b"a"]).await.unwrap() != [Ok(None)] {
            assert!(Instant::now() < deadline, "it is still there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        driver.close().await;
    });
}

#[test]
fn a_server_that_has_forgotten_everything_is_entered_again_and_told_the_scripts() {
    let server = Server::start(Kind::Redis, "");
    let driver = server.driver();
    let failed = |result: Result<Vec<Refused>, Trouble>| result.expect_err("it has forgotten").kind;
    run(async {
        let writer = opened(&driver).await;
        assert_eq!(driver.commit(&[put("a", 1, "{}")]).await, Ok(vec![]));
        say(&mut server.other(), &["FLUSHALL"]);
        assert_eq!(failed(driver.commit(&[put("a", 2, "{}")]).await), TroubleKind::Away);
        driver.open().await.unwrap();
        assert_eq!(driver.enter(Writer { turn: 2, ..writer }, false).await, Ok(true));
        say(&mut server.other(), &["SCRIPT", "FLUSH"]);
        assert_eq!(failed(driver.commit(&[put("a", 3, "{}")]).await), TroubleKind::Changed);
        assert_eq!(driver.commit(&[put("a", 3, "{}")]).await, Ok(vec![]));
        assert_eq!(driver.load(&[b"a"]).await.unwrap(), [record(3, "{}")]);
        driver.close().await;
    });
}

/// Redis ends and comes back from its last snapshot: of a time at which another server, which has long been put out, wrote.
#[test]
fn a_server_that_came_back_as_it_was_earlier_is_entered_again() {
    let server = Server::start(Kind::Redis, "");
    let (old, new, mut other) = (server.driver(), server.driver(), server.other());
    run(async {
        let first = opened(&old).await;
        let snapshot: String = redis::cmd("HGET").arg(&["deepstream:guards", "w0"]).query(&mut other).unwrap();
        let second = opened(&new).await;
        say(&mut other, &["HSET", "deepstream:guards", "w0", &snapshot]);
        let refused = new.commit(&[put("a", 1, "{}")]).await.expect_err("it has another writer");
        assert_eq!(refused.kind, TroubleKind::Away);
        new.open().await.unwrap();
        assert_eq!(new.enter(Writer { turn: 2, ..second }, false).await, Ok(true));
        assert_eq!(new.commit(&[put("a", 1, "{}")]).await, Ok(vec![]));
        old.open().await.unwrap();
        assert_eq!(old.enter(Writer { turn: 2, ..first }, false).await, Ok(false), "that one stays out");
        old.close().await;
        new.close().await;
    });
}

#[test]
fn a_server_that_does_not_answer_is_away_and_one_that_is_full_is_busy() {
    let options = Options::default().config("maxmemory", "3mb").config("maxmemory-policy", "noeviction");
    let server = Server::with(Kind::Redis, &options, |settings| settings.command_timeout = Duration::from_millis(300));
    let driver = server.driver();
    run(async {
        opened(&driver).await;
        let big = format!("\"{}\"", "x".repeat(1 << 20));
        let full = async {
            for n in 0..8 {
                driver.commit(&[put(&format!("big/{n}"), 1, &big)]).await?;
            }
            Ok::<_, Trouble>(())
        };
        let trouble = full.await.expect_err("it is full");
        assert_eq!(trouble.kind, TroubleKind::Busy, "{trouble:?}");
        assert!(trouble.words().contains("maxmemory"), "{trouble:?}");
        assert_eq!(
            driver.commit(&[Write { value: None, ..put("big/0", 0, "") }]).await,
            Ok(vec![]),
            "removing makes room"
        );
        server.engine.freeze().unwrap();
        let trouble = driver.load(&[b"big/1"]).await.expect_err("it does not answer");
        assert_eq!(trouble.kind, TroubleKind::Away, "{trouble:?}");
        assert_eq!(driver.attend().await.kind, TroubleKind::Away, "which is noticed without another request");
        server.engine.thaw();
        opened(&driver).await;
        assert_eq!(driver.load(&[b"big/0"]).await.unwrap(), [Ok(None)]);
        driver.close().await;
    });
}

/// A server that sentinels watch over.
fn watched(engine: &Engine) -> config::Redis {
    let sentinels = vec![(engine.address().to_string(), engine.port())];
    config::Redis { sentinels, watched_as: Some("mymaster".to_owned()), ..config::Redis::default() }
}

#[test]
fn when_a_replica_takes_over_it_is_found_and_entered() {
    let engine = engines::start(Kind::Sentinel, &Options::default().config("appendonly", "yes")).unwrap();
    let settings = config::Redis { command_timeout: Duration::from_millis(500), ..watched(&engine) };
    let driver = Redis::new(settings.clone());
    run(async {
        let writer = opened(&driver).await;
        assert_eq!(driver.commit(&[put("a", 1, "{}")]).await, Ok(vec![]));
        let replica = engine.node("replica").unwrap();
        let deadline = Instant::now() + PATIENCE;
        let replica = redis::Client::open((engine.address().to_string(), replica.port())).unwrap();
        let version = || text(&mut replica.get_connection().unwrap(), "a_v");
        while version().as_deref() != Some("1") {
            assert!(Instant::now() < deadline, "the replica does not follow");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // One that is frozen keeps its connections, which must not be used once it is awake.
        engine.node("master").unwrap().freeze().unwrap();
        assert_eq!(driver.commit(&[put("a", 2, "{}")]).await.map_err(|trouble| trouble.kind), Err(TroubleKind::Away));
        let mut turn = writer.turn;
        loop {
            assert!(Instant::now() < deadline, "nobody takes over");
            turn += 1;
            let entered = async {
                driver.open().await?;
                driver.enter(Writer { turn, ..writer }, false).await
            };
            match entered.await {
                Ok(entered) => break assert!(entered),
                Err(trouble) => assert_eq!(trouble.kind, TroubleKind::Away, "{trouble:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(driver.load(&[b"a"]).await.unwrap(), [record(1, "{}")]);
        assert_eq!(driver.commit(&[put("a", 3, "{}")]).await, Ok(vec![]));
        engine.node("master").unwrap().thaw();
        assert_eq!(driver.load(&[b"a"]).await.unwrap(), [record(3, "{}")]);
        assert_eq!(version().as_deref(), Some("3"), "it is there, and not at the one that is awake again");
        driver.close().await;
        // What is wrong is said, of the sentinel that was asked last.
        let nobody = config::Redis { watched_as: Some("nobody".to_owned()), ..settings.clone() };
        let trouble = Redis::new(nobody).open().await.expect_err("it watches over no such server");
        assert!(trouble.kind == TroubleKind::Lasting && trouble.words().contains("no nobody"), "{trouble:?}");
        let gone = config::Redis { sentinels: vec![("127.0.0.1".to_owned(), 1)], ..settings.clone() };
        let trouble = Redis::new(gone).open().await.expect_err("there is no sentinel");
        assert!(trouble.kind == TroubleKind::Away && trouble.words().contains("127.0.0.1:1"), "{trouble:?}");
        let both = vec![("127.0.0.1".to_owned(), 1), settings.sentinels[0].clone()];
        let driver = Redis::new(config::Redis { sentinels: both, ..settings });
        assert_eq!(driver.open().await, Ok(()), "the next one is asked");
        driver.close().await;
    });
}

/// A user with exactly the rights that the documentation asks for, over a connection that is encrypted.
#[test]
fn a_user_of_an_access_list_is_let_in_over_tls() {
    let server = Server::with(Kind::Redis, &Options::default().tls(true), |_| ());
    let mut other = server.other();
    let rights = "+@read +@write +@scripting +@connection +info +time +config|get ~*";
    let documents = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/storage.md");
    assert!(read_to_string(documents).unwrap().contains(&format!("`{rights}`")), "which it asks for");
    let mut command = redis::cmd("ACL");
    command.arg(&["SETUSER", "ann", "on", ">secret"]).arg(rights.split(' ').collect::<Vec<_>>());
    command.exec(&mut other).unwrap();
    let pem = |path: &std::path::PathBuf| Some(config::Pem::File(path.clone()));
    let files = server.engine.certificates().unwrap();
    let settings = config::Redis {
        host: "localhost".to_owned(),
        port: server.engine.secured().unwrap(),
        username: Some("ann".to_owned()),
        password: Some("secret".to_owned()),
        tls: Some(config::ClientTls { authority: pem(&files.authority), ..config::ClientTls::default() }),
        ..server.settings.clone()
    };
    run(async {
        let driver = Redis::new(settings.clone());
        opened(&driver).await;
        let write = Write { expected: Expected::Nothing, ..put("a", 1, "{}") };
        assert_eq!(driver.commit(&[write]).await, Ok(vec![]));
        assert_eq!(driver.claim(&[1], 1).await, Ok(vec![]));
        assert_eq!(driver.load(&[b"a"]).await.unwrap(), [record(1, "{}")]);
        driver.close().await;
        for (settings, words) in [
            (config::Redis { password: Some("wrong".to_owned()), ..settings.clone() }, "username and password"),
            (config::Redis { tls: Some(config::ClientTls::default()), ..settings.clone() }, "tls"),
            (config::Redis { host: "127.0.0.2".to_owned(), ..settings.clone() }, "host, port and tls"),
        ] {
            let trouble = Redis::new(settings).open().await.expect_err(words);
            assert!(trouble.words().contains(words) && !trouble.words().contains("secret"), "{trouble:?}");
        }
        redis::cmd("ACL").arg(&["SETUSER", "ann", "-@scripting"]).exec(&mut other).unwrap();
        let trouble = Redis::new(settings).open().await.expect_err("it may not run scripts");
        assert!(trouble.kind == TroubleKind::Lasting && trouble.words().contains("ACL SETUSER"), "{trouble:?}");
    });
}

/// Of the three keys of what is cached any may be forgotten, or written by another program.
#[test]
fn what_is_cached_is_whole_or_counts_as_forgotten() {
    let server = Server::start(Kind::Redis, "c:");
    let (cache, mut other) = (server.cache(), server.other());
    run(async {
        assert!(cache.get(&[b"a"], 1).await.is_err(), "it is not open");
        cache.open().await.unwrap();
        for break_it in [
            vec!["DEL", "c:a_v"],
            vec!["DEL", "c:a_d"],
            vec!["DEL", "c:a_g"],
            vec!["SET", "c:a_g", "4"],
            vec!["SET", "c:a_v", "x"],
            vec!["SET", "c:a_d", "{"],
            vec!["LPUSH", "c:list", "1"],
            vec!["RENAME", "c:list", "c:a_d"],
            vec!["FLUSHALL"],
        ] {
            cache.set(&[Entry { name: b"a", version: 3, value: b"{}" }], 5).await.unwrap();
            assert_eq!(cache.get(&[b"a"], 5).await.unwrap(), [record(3, "{}")]);
            assert_eq!((text(&mut other, "c:a_v"), text(&mut other, "c:a_d")), (Some("3".into()), Some("{}".into())));
            say(&mut other, &break_it);
            let left = if break_it[0] == "LPUSH" { record(3, "{}") } else { Ok(None) };
            assert_eq!(cache.get(&[b"a"], 5).await.unwrap(), [left], "{break_it:?}");
        }
        // Many at once, and large ones.
        let names: Vec<Vec<u8>> = (0..1000).map(|n| format!("many/{n}").into_bytes()).collect();
        let large = format!("\"{}\"", "x".repeat(300_000));
        let value = |at: usize| if at.is_multiple_of(250) { large.as_bytes() } else { b"{}" };
        let entries: Vec<Entry<'_>> =
            (0..1000).map(|at| Entry { name: &names[at], version: at as i32, value: value(at) }).collect();
        cache.set(&entries, 6).await.unwrap();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        for (at, found) in cache.get(&names, 6).await.unwrap().into_iter().enumerate() {
            assert_eq!(found, Ok(Some(Stored { version: at as i32, value: value(at).to_vec() })));
        }
        cache.delete(&names).await.unwrap();
        assert_eq!(say(&mut other, &["DBSIZE"]), redis::Value::Int(0));
        cache.close().await;
    });
}

#[test]
fn what_is_cached_is_forgotten_in_time() {
    let server = Server::with(Kind::Redis, &Options::default(), |settings| settings.ttl = Some(1000));
    let (cache, mut other) = (server.cache(), server.other());
    run(async {
        cache.open().await.unwrap();
        cache.set(&[Entry { name: b"a", version: 3, value: b"{}" }], 5).await.unwrap();
        for key in ["a_v", "a_d", "a_g"] {
            let left: i64 = redis::cmd("TTL").arg(key).query(&mut other).unwrap();
            assert!((1..=1000).contains(&left), "{key}: {left}");
        }
        cache.close().await;
    });
}
