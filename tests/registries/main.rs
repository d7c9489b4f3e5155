//! One suite of tests for everything that can keep who is a member of a cluster.

mod contract;

use contract::{Subject, holds};
use deepstream::config::{self, Postgres};
use deepstream::connector::etcd::{EtcdRegistry, Settings};
use deepstream::connector::postgres::PostgresRegistry;
use deepstream::connector::redis::RedisRegistry;
use deepstream::registry::{Chair, Desk, Held, Lease, Registry, Renewed, Swapped};
use deepstream::storage::Kind as Failure;
use engines::{Engine, Kind, Options, start};
use std::time::{Duration, Instant};

impl Subject for Desk {
    type Registry = Chair;

    fn registry(&self, cluster: &str, _ttl: Duration) -> Chair {
        self.chair(cluster)
    }

    fn away(&self, away: bool) -> bool {
        self.set_away(away);
        true
    }
}

#[test]
fn the_desk_of_a_process_holds_the_contract() {
    holds(&Desk::default());
}

/// A PostgreSQL server of this test's own.
struct Database(Engine);

impl Subject for Database {
    type Registry = PostgresRegistry;

    fn registry(&self, cluster: &str, ttl: Duration) -> PostgresRegistry {
        let credentials = self.0.credentials().unwrap();
        let settings = Postgres {
            host: self.0.address().to_string(),
            port: self.0.port(),
            user: credentials.user.clone(),
            password: Some(credentials.password.clone()),
            database: Some("postgres".to_owned()),
            // Quotes are part of no name of ours, but they may be part of what an operator writes.
            schema: "odd \"schema'".to_owned(),
            ..Postgres::default()
        };
        PostgresRegistry::new(settings, cluster, ttl)
    }

    fn away(&self, away: bool) -> bool {
        if away {
            self.0.freeze().unwrap();
        } else {
            self.0.thaw();
        }
        true
    }
}

#[test]
fn postgres_holds_the_contract() {
    holds(&Database(start(Kind::Postgres, &Options::default()).unwrap()));
}

/// A Redis, or what takes its place, of this test's own.
struct Redis(Engine);

impl Redis {
    fn settings(&self) -> config::Redis {
        let (host, port) = (self.0.address().to_string(), self.0.port());
        let settings = config::Redis { key_prefix: "odd *[prefix".to_owned(), ..config::Redis::default() };
        if self.0.kind() == Kind::Sentinel {
            return config::Redis {
                sentinels: vec![(host, port)],
                watched_as: Some("mymaster".to_owned()),
                ..settings
            };
        }
        config::Redis { host, port, ..settings }
    }
}

impl Subject for Redis {
    type Registry = RedisRegistry;

    fn registry(&self, cluster: &str, ttl: Duration) -> RedisRegistry {
        RedisRegistry::new(self.settings(), cluster, ttl)
    }

    fn away(&self, away: bool) -> bool {
        // A server that is only frozen would lose its place to the replica.
        if self.0.kind() == Kind::Sentinel {
            return false;
        }
        if away {
            self.0.freeze().unwrap();
        } else {
            self.0.thaw();
        }
        true
    }
}

#[test]
fn redis_holds_the_contract() {
    holds(&Redis(start(Kind::Redis, &Options::default()).unwrap()));
}

#[test]
fn redis_behind_a_sentinel_holds_the_contract() {
    holds(&Redis(start(Kind::Sentinel, &Options::default()).unwrap()));
}

#[test]
fn valkey_holds_the_contract() {
    holds(&Redis(start(Kind::Valkey, &Options::default()).unwrap()));
}

/// That no record can be written any more is no reason to put nodes out.
#[test]
fn leases_are_prolonged_while_redis_is_full() {
    let redis = Redis(start(Kind::Redis, &Options::default()).unwrap());
    let (host, port) = (redis.0.address().to_string(), redis.0.port());
    let mut other = redis::Client::open((host, port)).unwrap().get_connection().unwrap();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut other).unwrap();
    let full = redis::cmd("SET").arg(&["a", "b"]).exec(&mut other).unwrap_err();
    assert_eq!(full.code(), Some("OOM"), "{full}");
    let registry = redis.registry("full", Duration::from_secs(6));
    let lease = Lease { name: "a", incarnation: 1, grant: 1, fresh: true, about: b"", ttl: Duration::from_mins(10) };
    block_on(async {
        registry.open().await.unwrap();
        for fresh in [true, false] {
            let renewed = registry.renew(&Lease { fresh, ..lease }, 0).await.unwrap();
            assert!(matches!(renewed, Renewed::Yours(_)), "{renewed:?}");
        }
    });
}

/// A user with exactly the rights that it asks for; and each lack of one is said at the start.
#[test]
fn what_a_user_of_redis_must_be_allowed_is_said() {
    let redis = Redis(start(Kind::Redis, &Options::default()).unwrap());
    let mut other = redis::Client::open((redis.0.address().to_string(), redis.0.port())).unwrap();
    let mut rights = |rights: &str| {
        let mut command = redis::cmd("ACL");
        command.arg(&["SETUSER", "ann", "reset", "on", ">secret"]).arg(rights.split(' ').collect::<Vec<_>>());
        command.exec(&mut other).unwrap();
    };
    let (username, password) = (Some("ann".to_owned()), Some("secret".to_owned()));
    let settings = config::Redis { username, password, ..redis.settings() };
    let open = || block_on(RedisRegistry::new(settings.clone(), "c", Duration::from_secs(6)).open());
    let whole = "+@read +@write +@scripting +@pubsub +@connection +info +time ~* &*";
    rights(whole);
    assert_eq!(open(), Ok(()));
    for lack in ["&*", "~*", "+@pubsub", "+@scripting", "+@write", "+time", "+info"] {
        rights(whole.replace(lack, "").replace("  ", " ").trim());
        // What a script may not do shows when it does it.
        let told = open().and_then(|()| {
            let registry = RedisRegistry::new(settings.clone(), "c", Duration::from_secs(6));
            let lease =
                Lease { name: "a", incarnation: 1, grant: 1, fresh: true, about: b"", ttl: Duration::from_mins(1) };
            block_on(async {
                registry.open().await?;
                registry.renew(&lease, 0).await.map(drop)
            })
        });
        let trouble = told.expect_err(lack);
        assert!(trouble.words().contains("+@pubsub") && trouble.words().contains("ACL SETUSER"), "{lack}: {trouble:?}");
    }
}

/// An etcd of this test's own.
struct Etcd {
    engine: Engine,
    secured: bool,
}

impl Etcd {
    fn start(kind: Kind, secured: bool) -> Self {
        Self { engine: start(kind, &Options::default().tls(secured)).unwrap(), secured }
    }

    fn registry_at(&self, ports: &[u16], cluster: &str, ttl: Duration) -> EtcdRegistry {
        let scheme = if self.secured { "https" } else { "http" };
        let authority = self.engine.certificates().map(|files| std::fs::read(&files.authority).unwrap());
        let address = self.engine.address();
        let settings = Settings {
            endpoints: ports.iter().map(|port| format!("{scheme}://{address}:{port}")).collect(),
            user: None,
            authority,
            identity: None,
            connect_timeout: Duration::from_secs(10),
        };
        EtcdRegistry::new(settings, cluster, ttl).unwrap()
    }
}

impl Subject for Etcd {
    type Registry = EtcdRegistry;

    fn registry(&self, cluster: &str, ttl: Duration) -> EtcdRegistry {
        let ports = if self.secured { vec![self.engine.secured().unwrap()] } else { self.engine.ports() };
        self.registry_at(&ports, cluster, ttl)
    }

    fn away(&self, away: bool) -> bool {
        if away {
            self.engine.freeze().unwrap();
        } else {
            self.engine.thaw();
        }
        true
    }
}

#[test]
fn etcd_holds_the_contract() {
    holds(&Etcd::start(Kind::Etcd, false));
}

#[test]
fn etcd_behind_tls_holds_the_contract() {
    holds(&Etcd::start(Kind::Etcd, true));
}

/// Each in turn, so that the leader is among them.
#[test]
fn etcd_of_three_goes_on_while_one_is_dead() {
    let etcd = Etcd::start(Kind::Etcd3, false);
    let registry = etcd.registry("three", Duration::from_secs(6));
    let ttl = Duration::from_mins(10);
    let lease = Lease { name: "a", incarnation: 1, grant: 1, fresh: true, about: b"about", ttl };
    block_on(async {
        registry.open().await.unwrap();
        registry.renew(&lease, 0).await.unwrap();
        let mut revision = 0;
        for (round, node) in etcd.engine.nodes().iter().enumerate() {
            node.kill().unwrap();
            let view = [round as u8];
            let begun = Instant::now();
            revision = loop {
                assert!(begun.elapsed() < Duration::from_mins(1), "it does not come back");
                // What was away may have been done: then the view says so.
                match registry.swap(revision, &view, Held { name: "a", incarnation: 1, grant: 1 }).await {
                    Ok(Swapped::Done(revision)) => break revision,
                    Ok(Swapped::Other(other)) if round_of(&registry).await == Some(view.to_vec()) => break other,
                    Ok(other) => panic!("{other:?} where {revision} was there and the lease lasts"),
                    Err(trouble) => assert_eq!(trouble.kind, Failure::Away, "{}", trouble.words()),
                }
                let _ = registry.open().await;
            };
            let seen = registry.look(0).await.unwrap();
            assert_eq!((seen.revision, seen.view), (revision, Some(view.to_vec())));
            assert_eq!(seen.holders.len(), 1, "leases live on");
            etcd.engine.launch().unwrap();
        }
    });
}

async fn round_of(registry: &impl Registry) -> Option<Vec<u8>> {
    registry.look(0).await.ok()?.view
}

#[test]
fn what_keeps_etcd_from_being_used_is_said() {
    let off = start(Kind::Etcd, &Options::default().config("enable-grpc-gateway", "false")).unwrap();
    let etcd = Etcd { engine: off, secured: false };
    let trouble = block_on(etcd.registry("off", Duration::from_secs(6)).open()).unwrap_err();
    assert_eq!(trouble.kind, Failure::Lasting);
    assert!(trouble.words().contains("gateway is off"), "{}", trouble.words());
    // Nobody is there.
    let port = etcd.engine.port();
    etcd.engine.kill().unwrap();
    let trouble = block_on(etcd.registry_at(&[port], "off", Duration::from_secs(6)).open()).unwrap_err();
    assert_eq!(trouble.kind, Failure::Away);
    assert!(trouble.words().contains("refused") && trouble.words().contains("start etcd"), "{}", trouble.words());
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}
