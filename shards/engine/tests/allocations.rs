//! Once its buffers have grown, a shard allocates nothing for a message whose name it owns.

use allocation_counter::measure;
use deepstream_engine::{
    Account, Completion, ConnId, Headers, HostRequest, Login, Nanos, Options, Outbox, Peer, Permissions, Place, Shard,
    StoreBatch,
};
use deepstream_valve::check::{Row, check_rows};
use deepstream_wire::{Action, Outgoing, Wire, binary, encode};
use std::sync::Arc;

const NOW: Nanos = Nanos(1);
const NAME: &str = "stock/acme";

/// A shard with what its host does after every turn, minus the sockets.
struct Bare {
    shard: Shard,
    stores: Option<StoreBatch>,
}

impl Bare {
    fn new() -> Self {
        Self::ruled(&[])
    }

    /// Under these permission rules; without any, everybody may do everything.
    fn ruled(rules: &[Row<'_>]) -> Self {
        let ruleset = check_rows(rules).expect("good rules").ruleset;
        let ruleset = (!rules.is_empty()).then(|| Arc::new(ruleset));
        let permissions = Arc::new(Permissions { ruleset, ..Permissions::default() });
        let options = Options { storage: false, permissions, ..Options::default() };
        Self { shard: Shard::new(NOW, Place::alone(0), 1, options), stores: Some(StoreBatch::default()) }
    }

    fn client(&mut self) -> ConnId {
        let conn = self.shard.connected(NOW, Peer::default()).expect("room");
        self.shard.upgraded(NOW, conn, Wire::Protobuf, "", Headers::default());
        self.say(conn, &bytes(&Outgoing::new(Action::ConnectionChallenge)));
        self.say(conn, &bytes(&Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) }));
        for ask in self.shard.host_requests().collect::<Vec<_>>() {
            if let HostRequest::Authenticate { conn, .. } = ask {
                let login = Login::Accepted(Account::of("open"));
                self.shard.completed(NOW, Completion::Authenticated { conn, login });
            }
        }
        self.turn();
        conn
    }

    fn say(&mut self, conn: ConnId, payload: &[u8]) {
        for message in binary::messages(payload).flatten() {
            let _ = self.shard.received(NOW, conn, &message);
        }
    }

    /// Sends and stores everything; gives how many bytes went out.
    fn turn(&mut self) -> usize {
        let mut sent = 0;
        if let Some(mut batch) = self.stores.take() {
            if self.shard.take_stores(NOW, &mut batch) {
                let outcome = Completion::Stored { ticket: batch.ticket, result: Ok(()) };
                batch.clear();
                self.shard.completed(NOW, outcome);
            }
            self.stores = Some(batch);
        }
        while let Some(conn) = self.shard.dirty() {
            let mut outbox = Outbox::default();
            self.shard.take_output(conn, &mut outbox);
            sent += outbox.len();
            self.shard.flushed(NOW, conn, outbox.len());
            self.shard.reuse(outbox);
        }
        self.shard.notes().for_each(drop);
        sent
    }

    /// Allocations of so many rounds, each of which has to send something.
    fn allocations(&mut self, rounds: &[(ConnId, Vec<u8>)]) -> u64 {
        let mut play = |times: usize| {
            for _ in 0..times {
                for (conn, payload) in rounds {
                    self.say(*conn, payload);
                    assert!(self.turn() > 0, "nothing was sent: the message was not understood");
                }
            }
        };
        play(1000);
        measure(|| play(1000)).count_total
    }
}

fn bytes(message: &Outgoing<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    encode::encode_message(message, &mut payload);
    payload
}

fn about(action: Action) -> Outgoing<'static> {
    Outgoing { name: Some(NAME.as_bytes()), ..Outgoing::new(action) }
}

fn bulk(action: Action) -> Vec<u8> {
    bytes(&Outgoing { names: &[NAME.as_bytes()], correlation_id: Some(b"0"), ..Outgoing::new(action) })
}

#[test]
fn an_event_allocates_nothing() {
    let mut bare = Bare::new();
    let publisher = bare.client();
    for _ in 0..8 {
        let subscriber = bare.client();
        bare.say(subscriber, &bulk(Action::EventSubscribe));
    }
    bare.turn();
    let emission = bytes(&Outgoing { data: Some(br#"{"bid":1.25}"#), ..about(Action::EventEmit) });
    assert_eq!(bare.allocations(&[(publisher, emission)]), 0);
}

#[test]
fn a_record_written_whole_or_in_part_allocates_nothing() {
    let mut bare = Bare::new();
    let (writer, watcher) = (bare.client(), bare.client());
    bare.say(watcher, &bulk(Action::RecordSubscribeCreateAndRead));
    bare.turn();
    let whole = Outgoing { version: Some(-1), data: Some(br#"{"bid":1.25,"ask":1.5}"#), ..about(Action::RecordUpdate) };
    let acknowledged = Outgoing { is_write_ack: true, correlation_id: Some(b"1"), ..whole };
    let part = Outgoing { version: Some(-1), path: Some(b"bid"), data: Some(b"1.75"), ..about(Action::RecordPatch) };
    let rounds = [whole, acknowledged, part].map(|message| (writer, bytes(&message)));
    assert_eq!(bare.allocations(&rounds), 0);
}

#[test]
fn judging_allocates_nothing() {
    let rules = [
        ("record", "*", "create", "true"),
        ("record", "*", "read", "true"),
        ("record", "stock/$symbol", "write", "$symbol === 'acme' && data.bid >= 0 && (!oldData || oldData.bid < 5)"),
        ("event", "*", "subscribe", "true"),
        ("event", "*", "publish", "user.id === 'open' && data.bid > 1"),
    ];
    let mut bare = Bare::ruled(&rules);
    let (writer, watcher) = (bare.client(), bare.client());
    bare.say(watcher, &bulk(Action::RecordSubscribeCreateAndRead));
    bare.say(watcher, &bulk(Action::EventSubscribe));
    bare.turn();
    let whole = Outgoing { version: Some(-1), data: Some(br#"{"bid":1.25,"ask":1.5}"#), ..about(Action::RecordUpdate) };
    let part = Outgoing { version: Some(-1), path: Some(b"bid"), data: Some(b"1.75"), ..about(Action::RecordPatch) };
    let event = Outgoing { data: Some(br#"{"bid":1.25}"#), ..about(Action::EventEmit) };
    let denied = Outgoing { data: Some(br#"{"bid":1}"#), ..about(Action::EventEmit) };
    let rounds = [whole, part, event, denied].map(|message| (writer, bytes(&message)));
    assert_eq!(bare.allocations(&rounds), 0);
}

#[test]
fn a_call_and_its_answer_allocate_nothing() {
    let mut bare = Bare::new();
    let (caller, provider) = (bare.client(), bare.client());
    bare.say(provider, &bulk(Action::RpcProvide));
    bare.turn();
    let said = |action, data| bytes(&Outgoing { correlation_id: Some(b"a"), data, ..about(action) });
    let rounds = [
        (caller, said(Action::RpcRequest, Some(b"5"))),
        (provider, said(Action::RpcAccept, None)),
        (provider, said(Action::RpcResponse, Some(b"7"))),
    ];
    assert_eq!(bare.allocations(&rounds), 0);
}
