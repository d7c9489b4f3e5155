//! A shard without a host: what the benches of the engine drive.
#![allow(dead_code, reason = "each bench uses its part")]

use deepstream_engine::{
    Account, Completion, ConnId, Headers, HostRequest, Lane, Login, Nanos, Options, Outbox, Packet, Peer, Place, Shard,
};
use deepstream_wire::{Action, Outgoing, Wire, binary, encode};

/// When everything happens that takes no time.
pub(crate) const NOW: Nanos = Nanos(1);

/// A shard and what its host would keep.
pub(crate) struct Bare {
    pub(crate) shard: Shard,
    pub(crate) outbox: Outbox,
    pub(crate) now: Nanos,
}

impl Bare {
    pub(crate) fn new(core: u16, cores: u16) -> Self {
        Self::with(core, cores, Options { storage: false, ..Options::default() })
    }

    pub(crate) fn with(core: u16, cores: u16, options: Options) -> Self {
        Self { shard: Shard::new(NOW, Place::alone(core), cores, options), outbox: Outbox::default(), now: NOW }
    }

    pub(crate) fn client(&mut self) -> ConnId {
        let conn = self.shard.connected(self.now, Peer::default()).expect("room");
        self.shard.upgraded(self.now, conn, Wire::Protobuf, "", Headers::default());
        self.say(conn, &bytes(&Outgoing::new(Action::ConnectionChallenge)));
        self.say(conn, &bytes(&Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) }));
        for ask in self.shard.host_requests().collect::<Vec<_>>() {
            if let HostRequest::Authenticate { conn, .. } = ask {
                // A login without a user id, so no other core has to learn of it before this one goes on.
                let login = Login::Accepted(Account::of("OPEN"));
                self.shard.completed(self.now, Completion::Authenticated { conn, login });
            }
        }
        self.flush();
        conn
    }

    pub(crate) fn say(&mut self, conn: ConnId, payload: &[u8]) {
        for message in binary::messages(payload).flatten() {
            let _ = self.shard.received(self.now, conn, &message);
        }
    }

    /// What the host does after a turn, without a socket.
    pub(crate) fn flush(&mut self) -> u64 {
        self.flush_telling(|_| ())
    }

    /// The same, and reports which connections something was sent to.
    pub(crate) fn flush_telling(&mut self, mut told: impl FnMut(ConnId)) -> u64 {
        let mut sent = 0;
        while let Some(conn) = self.shard.dirty() {
            told(conn);
            self.shard.take_output(conn, &mut self.outbox);
            sent += self.outbox.len();
            self.shard.flushed(self.now, conn, self.outbox.len());
            self.outbox.clear();
        }
        self.shard.notes().for_each(drop);
        sent as u64
    }

    /// Lets time pass until nothing that was begun is left to be gone on with.
    pub(crate) fn settle(&mut self) {
        while self.shard.census().listen_work > 0 {
            self.now = Nanos(self.now.0 + 1_100_000);
            self.shard.tick(self.now);
        }
    }

    pub(crate) fn packets(&mut self, to: u16, lane: Lane) -> Vec<Packet> {
        self.shard.take_packets(Place::alone(to), lane, std::mem::take)
    }
}

pub(crate) fn bytes(message: &Outgoing<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    encode::encode_message(message, &mut payload);
    payload
}
