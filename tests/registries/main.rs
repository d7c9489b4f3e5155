//! One suite of tests for everything that can keep who is a member of a cluster.

mod contract;

use contract::{Subject, holds};
use deepstream::config::Postgres;
use deepstream::connector::etcd::{EtcdRegistry, Settings};
use deepstream::connector::postgres::PostgresRegistry;
use deepstream::registry::{Chair, Desk, Held, Lease, Registry, Swapped};
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
