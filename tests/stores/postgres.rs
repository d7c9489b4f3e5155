//! A PostgreSQL server of this test's own.

use crate::contract::{Detour, Subject};
use crate::gate::Gate;
use deepstream::config;
use deepstream::connector::postgres::Postgres;
use engines::{Engine, Kind, Options};

/// Ends a transaction.
pub(crate) const END: &[u8] = b"COMMIT";

/// How values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Text,
    Jsonb,
}

pub(crate) struct Server {
    engine: Engine,
    port: u16,
    values: Values,
}

impl Server {
    pub(crate) fn start(values: Values) -> Self {
        let engine = engines::start(Kind::Postgres, &Options::default()).unwrap();
        Self { port: engine.port(), engine, values }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A driver that takes it to be at another port.
    pub(crate) fn driver_at(&self, port: u16) -> Postgres {
        let keeper = self.engine.credentials().unwrap();
        Postgres::new(config::Postgres {
            host: "127.0.0.1".to_owned(),
            port,
            user: keeper.user.clone(),
            password: Some(keeper.password.clone()),
            database: Some("postgres".to_owned()),
            jsonb: self.values == Values::Jsonb,
            ..config::Postgres::default()
        })
    }
}

impl Subject for Server {
    type Driver = Postgres;

    fn driver(&self) -> Postgres {
        self.driver_at(self.port)
    }

    fn detour(&self) -> Option<(Postgres, Box<dyn Detour>)> {
        let gate = Gate::before(self.port, END);
        Some((self.driver_at(gate.port()), Box::new(gate)))
    }

    fn away(&self, away: bool) -> bool {
        if away { self.engine.kill() } else { self.engine.launch() }.unwrap();
        true
    }
}
