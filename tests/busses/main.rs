//! One suite of tests for everything that can carry packets between nodes.

mod contract;

use bytes::Bytes;
use contract::{Subject, holds};
use deepstream::bus::{Address, Bus, Exchange, Seat};
use deepstream::config;
use deepstream::connector::redis::RedisBus;
use deepstream::storage::Kind as Failure;
use deepstream_engine::NodeId;
use engines::{Engine, Kind, Options, start};
use std::time::Duration;

impl Subject for Exchange {
    type Bus = Seat;

    fn bus(&self) -> Seat {
        self.seat()
    }

    fn away(&self, away: bool) -> bool {
        self.set_away(away);
        true
    }
}

#[test]
fn the_exchange_of_a_process_holds_the_contract() {
    holds(&Exchange::default());
}

/// A Redis, or what takes its place, of this test's own.
struct Redis {
    engine: Engine,
    /// Whether it does not answer when it is away, or is not there.
    is_silent: bool,
}

impl Redis {
    fn start(kind: Kind, is_silent: bool) -> Self {
        Self { engine: start(kind, &Options::default()).unwrap(), is_silent }
    }

    fn settings(&self) -> config::Redis {
        let (host, port) = (self.engine.address().to_string(), self.engine.port());
        let connect_timeout = Duration::from_secs(3);
        config::Redis { host, port, connect_timeout, key_prefix: "odd *[prefix".to_owned(), ..config::Redis::default() }
    }
}

impl Subject for Redis {
    type Bus = RedisBus;

    fn bus(&self) -> RedisBus {
        RedisBus::new(self.settings(), "cluster")
    }

    fn away(&self, away: bool) -> bool {
        match (away, self.is_silent) {
            (true, true) => self.engine.freeze().unwrap(),
            (true, false) => self.engine.kill().unwrap(),
            (false, true) => self.engine.thaw(),
            (false, false) => self.engine.launch().unwrap(),
        }
        true
    }
}

#[test]
fn redis_holds_the_contract() {
    holds(&Redis::start(Kind::Redis, false));
}

#[test]
fn redis_that_falls_silent_holds_the_contract() {
    holds(&Redis::start(Kind::Redis, true));
}

#[test]
fn valkey_holds_the_contract() {
    holds(&Redis::start(Kind::Valkey, false));
}

/// Whatever others publish there comes as bytes, and what is published for another cluster does not come.
#[test]
fn strangers_at_redis_harm_nobody() {
    let redis = Redis::start(Kind::Redis, false);
    let own = Address { node: NodeId(1), incarnation: 0xAB };
    let (bus, other) = (redis.bus(), RedisBus::new(redis.settings(), "other"));
    let client = redis::Client::open((redis.engine.address().to_string(), redis.engine.port())).unwrap();
    let mut stranger = client.get_connection().unwrap();
    run(async {
        bus.open(own).await.unwrap();
        other.open(Address { node: NodeId(2), ..own }).await.unwrap();
        other.send(own, Bytes::from_static(b"of another cluster")).await.unwrap();
        for text in ["garbage", ""] {
            let channel = "odd *[prefixdeepstream:{cluster}:1:00000000000000ab";
            let heard: u64 = redis::cmd("PUBLISH").arg(channel).arg(text).query(&mut stranger).unwrap();
            assert_eq!(heard, 1);
            assert_eq!(bus.receive().await.unwrap(), text);
        }
        // Redis ends whom it likes; that is told in words.
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(&mut stranger).unwrap();
        let trouble = bus.receive().await.unwrap_err();
        assert_eq!((trouble.kind, trouble.what.as_str()), (Failure::Away, "the connection was closed"));
        assert_eq!(bus.send(own, Bytes::new()).await.unwrap_err().kind, Failure::Away);
        bus.open(own).await.unwrap();
        bus.send(own, Bytes::from_static(b"again")).await.unwrap();
        assert_eq!(bus.receive().await.unwrap(), "again");
    });
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
