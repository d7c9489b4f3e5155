//! One suite of tests for everything that can keep who is a member of a cluster.

mod contract;

use contract::{Subject, holds};
use deepstream::config::Postgres;
use deepstream::connector::postgres::PostgresRegistry;
use deepstream::registry::{Chair, Desk};
use engines::{Engine, Kind, Options, start};
use std::time::Duration;

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
