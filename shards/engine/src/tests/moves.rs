//! Owners that lose and gain names as views change. The other node is played by hand: what it says and hears are packets.

use super::rig::{acked, permissions, update};
use crate::ident::{ConnId, NodeId, Place};
use crate::output::{Completion, Fault, HostRequest, Refusal, Refused, StoreBatch, Stored};
use crate::packet::{Forwarded, Identity, Packet, Rejoin, ReplyTo};
use crate::view::{Member, View};
use crate::{Lane, Nanos, Options, Shard, Standing, Visibility};
use deepstream_wire::client::{ServerEvent, ServerReader};
use deepstream_wire::{Action, Message, Outgoing, Wire, binary, encode};
use std::collections::BTreeMap;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const OWN: NodeId = NodeId(1);
const FAR: NodeId = NodeId(2);

/// A node with one core, and what stands around it.
struct Near {
    shard: Shard,
    now: Nanos,
    stored: BTreeMap<Vec<u8>, (i32, Vec<u8>)>,
    /// Storage answers loads.
    answers: bool,
    loads: Vec<HostRequest>,
    deposed: usize,
}

/// Who owns which slots since when, of two nodes that are members since these epochs.
fn view(epoch: u64, since: [u64; 2], owner: impl Fn(u16) -> (NodeId, u64)) -> Arc<View> {
    let member = |(node, since)| Member { node, cores: 1, incarnation: u64::from(node.0), since };
    let members = [(OWN, since[0]), (FAR, since[1])].into_iter().filter(|&(_, since)| since > 0).map(member).collect();
    let slots = (0..View::SLOTS as u16).map(|slot| owner(slot).0).collect();
    let generations = (0..View::SLOTS as u16).map(|slot| owner(slot).1).collect();
    Arc::new(View::new(epoch, [5, 6], members, slots, generations).expect("a view"))
}

fn far() -> Place {
    Place::of(FAR, 0)
}

fn conn(slot: u32) -> ConnId {
    ConnId { core: far(), generation: 1, slot }
}

impl Near {
    /// It owns all, or nothing.
    fn of(owns: bool, options: &Options) -> Self {
        let owner = if owns { OWN } else { FAR };
        let view = view(1, [1, 1], |_| (owner, 1));
        let options = Options { moves_names: true, ..options.clone() };
        let now = Nanos(1_000_000_000);
        let shard = Shard::member(now, Place::of(OWN, 0), view, options);
        let mut near = Self { shard, now, stored: BTreeMap::new(), answers: true, loads: Vec::new(), deposed: 0 };
        near.shard.leased(now, 1, Nanos(u64::MAX));
        near.shard.restarted(now, FAR, 1, 0);
        near.claim(1);
        near.meet();
        near
    }

    /// Connections of the other node are introduced.
    fn meet(&mut self) {
        for slot in 0..3 {
            let identity = Identity {
                user: "ann".into(),
                wire: Wire::Protobuf,
                client_data: None,
                server_data: None,
                client: None,
            };
            self.hear(Packet::Introduce(conn(slot), Arc::new(identity)));
        }
    }

    fn claim(&mut self, generation: u64) {
        let all: Vec<u16> = (0..View::SLOTS as u16).collect();
        self.shard.claimed(self.now, &all, generation);
        self.ask();
    }

    fn adopt(&mut self, view: &Arc<View>) {
        assert_eq!(self.shard.adopt_view(self.now, Arc::clone(view)), Ok(()));
        assert_eq!(self.shard.strangers(), 0);
        // This core hears of none of them.
        self.shard.sides.told(Place::of(OWN, 0), view.epoch());
        self.ask();
    }

    fn hear(&mut self, packet: Packet) {
        self.shard.packet(self.now, far(), packet);
        self.ask();
    }

    /// A connection of the other node asks something.
    fn request(&mut self, from: u32, reply_to: ReplyTo, said: &Outgoing<'_>) {
        let mut payload = Vec::new();
        encode::encode_message(said, &mut payload);
        for message in binary::messages(&payload) {
            let Message { mut head, bytes } = message.expect("good");
            let message = Message { head, bytes };
            head.name_hash = self.shard.sides.cx.hash(message.name());
            let bytes = bytes.to_vec().into();
            self.hear(Packet::Request(Forwarded { conn: conn(from), reply_to, head, bytes }));
        }
    }

    /// Loads are answered, if they are.
    fn ask(&mut self) {
        loop {
            let asks: Vec<HostRequest> = self.shard.host_requests().collect();
            if asks.is_empty() {
                return;
            }
            for ask in asks {
                match ask {
                    HostRequest::Deposed => self.deposed += 1,
                    ask if self.answers => self.load(&ask),
                    ask => self.loads.push(ask),
                }
            }
        }
    }

    fn load(&mut self, ask: &HostRequest) {
        let HostRequest::Load { ticket, name } = ask else { panic!("{ask:?}") };
        let found = self.stored.get(&**name).cloned().map(|(version, value)| Stored { version, value });
        self.shard.completed(self.now, Completion::Loaded { ticket: *ticket, result: Ok(found) });
    }

    fn batch(&mut self) -> StoreBatch {
        let mut batch = StoreBatch::default();
        assert!(self.shard.take_stores(self.now, &mut batch), "something is to be stored");
        batch
    }

    /// Storage takes a batch, but for entries of these names, which another node has claimed.
    fn store(&mut self, batch: &StoreBatch, deposed: &[&str]) {
        let mut refusals = Vec::new();
        for (index, entry) in (0..).zip(&batch.entries) {
            let name = batch.name(entry);
            if deposed.iter().any(|deposed| deposed.as_bytes() == name) {
                refusals.push(Refusal { entry: index, why: Refused::Deposed });
            } else if let Some(value) = batch.value(entry) {
                self.stored.insert(name.to_vec(), (entry.version, value.to_vec()));
            } else {
                self.stored.remove(name);
            }
        }
        let result = if refusals.is_empty() { Ok(()) } else { Err(Fault::Refused(refusals)) };
        self.shard.completed(self.now, Completion::Stored { ticket: batch.ticket, result });
        self.ask();
    }

    fn store_all(&mut self) {
        while self.shard.has_stores() {
            let batch = self.batch();
            self.store(&batch, &[]);
        }
    }

    /// What the other node's connections are told, and what its requests have come to, a line each.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for lane in Lane::ALL {
            told.extend(self.shard.take_packets(far(), lane, std::mem::take).iter().filter_map(line));
        }
        told
    }

    fn standing(&self) -> [u64; 2] {
        let Standing { adopted, yielded } = self.shard.standing();
        [adopted, yielded]
    }

    fn pass(&mut self, ns: u64) {
        self.now = self.now.after(ns);
        self.shard.tick(self.now);
        self.ask();
    }

    fn rejoin(&mut self, names: &[&str], version: Option<i32>) {
        let sum = (0..2).fold(0, |sum, slot| sum + u128::from(conn(slot).mixed()));
        let rejoin = |(name_id, name): (u32, &&str)| Rejoin {
            topic: if name.starts_with('e') { deepstream_wire::Topic::Event } else { deepstream_wire::Topic::Record },
            hash: self.shard.sides.cx.hash(name.as_bytes()),
            name: name.as_bytes().into(),
            name_id,
            attempt: 9,
            count: 2,
            sum: [(sum >> 64) as u64, sum as u64],
            wires: 1 << Wire::Protobuf as u16,
            version,
        };
        let names = (0..).zip(names).map(rejoin).collect();
        self.hear(Packet::Rejoin(names));
    }
}

/// A packet as one line, by what it carries; nothing of what edges say to each other's owners.
fn line(packet: &Packet) -> Option<String> {
    let read = |bytes: &[u8]| {
        let (mut reader, mut text) = (ServerReader::upgraded(), String::new());
        reader.received(bytes, &mut |event| {
            if let ServerEvent::Message(message) = event {
                let name = String::from_utf8_lossy(message.name()).into_owned();
                let data = String::from_utf8_lossy(message.data().unwrap_or_default()).into_owned();
                text = [message.head.action.name(), &name, &data].join(" ").trim_end().to_owned();
            }
        });
        text
    };
    Some(match packet {
        Packet::Reply(to, frame) => format!("to {}: {}", to.slot, read(frame)),
        Packet::FanOut { frames, .. } => format!("to all: {}", read(frames.of(Wire::Protobuf))),
        Packet::Astray(forwarded) => {
            let message = Message { head: forwarded.head, bytes: &forwarded.bytes[..] };
            let name = String::from_utf8_lossy(message.name());
            format!("astray of {}: {} {name}", forwarded.conn.slot, message.head.action.name())
        }
        Packet::Flushed { epoch } => format!("flushed {epoch}"),
        Packet::Rejoined(names) => format!("rejoined {:?}", names.iter().map(|it| it.name_id).collect::<Vec<_>>()),
        Packet::Joined { conn, .. } => format!("joined {}", conn.slot),
        Packet::Settled { refused, .. } => format!("settled {refused}"),
        _ => return None,
    })
}

fn write<'a>(name: &'a str, data: &'a str, id: &'a str) -> Outgoing<'a> {
    acked(Outgoing { action: Action::RecordCreateAndUpdate, ..update(name, -1, data) }, id)
}

fn about(action: Action, name: &str) -> Outgoing<'_> {
    Outgoing { name: Some(name.as_bytes()), ..Outgoing::new(action) }
}

fn read(name: &str) -> Outgoing<'_> {
    about(Action::RecordRead, name)
}

fn emit(name: &str) -> Outgoing<'_> {
    Outgoing { data: Some(b"1"), ..about(Action::EventEmit, name) }
}

/// The request of a subscription.
fn joins(attempt: u32) -> ReplyTo {
    ReplyTo { name_id: attempt, attempt, ..ReplyTo::default() }
}

fn stored() -> Options {
    Options { visibility: Visibility::Stored, ..Options::default() }
}

fn both() -> [Options; 2] {
    [Options::default(), stored()]
}

fn all_far(epoch: u64) -> Arc<View> {
    view(epoch, [1, 1], |_| (FAR, epoch))
}

fn all_own(epoch: u64) -> Arc<View> {
    view(epoch, [1, 1], |_| (OWN, epoch))
}

#[test]
fn what_goes_is_asked_elsewhere_and_leaves_nothing_behind() {
    for options in both() {
        let mut near = Near::of(true, &options);
        near.request(0, joins(1), &about(Action::EventSubscribe, "e"));
        near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
        near.store_all();
        near.request(1, joins(2), &about(Action::RecordSubscribeAndRead, "r"));
        near.told();
        near.adopt(&all_far(2));
        assert_eq!(near.standing(), [2, 2], "nothing was to be stored");
        assert_eq!(near.shard.census().owned_names, 0);
        near.request(0, ReplyTo::default(), &read("r"));
        near.request(1, ReplyTo::default(), &write("r", "[2]", "2"));
        near.request(0, ReplyTo::default(), &emit("e"));
        assert_eq!(near.told(), ["astray of 0: READ r", "astray of 1: CREATEANDUPDATE r", "astray of 0: EMIT e"]);
        near.hear(Packet::Flush { epoch: 2 });
        assert_eq!(near.told(), ["flushed 2"]);
        assert_eq!(near.shard.census().resident_records, 0);
        assert!(!near.shard.has_stores());
    }
}

#[test]
fn what_was_accepted_is_stored_under_the_old_claim_before_the_name_goes() {
    for options in both() {
        let mut near = Near::of(true, &options);
        near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
        let first = near.batch();
        near.request(0, ReplyTo::default(), &write("r", "[2]", "2"));
        near.answers = false;
        near.request(1, ReplyTo::default(), &read("s"));
        near.told();
        near.hear(Packet::Flush { epoch: 2 });
        near.adopt(&all_far(2));
        near.request(1, ReplyTo::default(), &read("r"));
        assert_eq!(near.told(), ["astray of 1: READ s", "astray of 1: READ r"], "what waited, and what comes");
        assert_eq!(near.standing(), [2, 1]);
        near.store(&first, &[]);
        assert_eq!(near.told(), ["to 0: WRITE_ACKNOWLEDGEMENT r"]);
        assert_eq!(near.standing(), [2, 1], "the second is still to be stored");
        let second = near.batch();
        assert_eq!(second.fences[0].generation, 1, "the claim under which it was accepted");
        near.store(&second, &[]);
        assert_eq!(near.told(), ["to 0: WRITE_ACKNOWLEDGEMENT r", "flushed 2"]);
        assert_eq!(near.standing(), [2, 2]);
        assert_eq!(near.stored[&b"r"[..]], (2, b"[2]".to_vec()));
        let census = near.shard.census();
        assert_eq!((census.owned_names, census.resident_records, census.pending_loads), (0, 0, 0));
        // What was being read for the name that went is not listened to.
        let ask = near.loads.pop().expect("of s");
        near.load(&ask);
        assert_eq!((near.told(), near.shard.census().owned_names), (Vec::new(), 0));
    }
}

#[test]
fn storage_that_fails_keeps_what_goes_until_it_does_not() {
    let mut near = Near::of(true, &stored());
    near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
    let batch = near.batch();
    near.adopt(&all_far(2));
    near.shard.completed(near.now, Completion::Stored { ticket: batch.ticket, result: Err(Fault::Timeout) });
    assert_eq!(near.told(), ["to 0: RECORD_UPDATE_ERROR r"], "not confirmed");
    assert_eq!(near.standing(), [2, 1]);
    near.pass(300 * MS);
    near.store_all();
    assert_eq!(near.standing(), [2, 2]);
    assert_eq!(near.stored[&b"r"[..]].0, 1);
    assert_eq!(near.shard.census().owned_names, 0);
}

#[test]
fn removal_under_way_ends_before_the_name_goes() {
    let mut near = Near::of(true, &Options::default());
    near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
    near.store_all();
    near.request(0, ReplyTo::default(), &about(Action::RecordDelete, "r"));
    near.request(1, ReplyTo::default(), &read("r"));
    near.told();
    near.adopt(&all_far(2));
    assert_eq!((near.told(), near.standing()), (vec!["astray of 1: READ r".to_owned()], [2, 1]));
    near.store_all();
    assert_eq!((near.told(), near.standing()), (vec!["to 0: DELETE_SUCCESS r".to_owned()], [2, 2]));
    assert_eq!(near.shard.census().owned_names, 0);
    assert!(near.stored.is_empty());
}

#[test]
fn refused_claim_ends_a_slot_at_once_and_nothing_is_written_twice() {
    for options in both() {
        let mut near = Near::of(true, &options);
        let other = other_slot(&near, "r");
        near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
        near.request(0, ReplyTo::default(), &write(&other, "[1]", "2"));
        let batch = near.batch();
        // Behind what is under way: another write, and a reading.
        near.request(1, ReplyTo::default(), &write("r", "[2]", "3"));
        near.request(1, ReplyTo::default(), &read("r"));
        near.told();
        near.store(&batch, &["r"]);
        assert_eq!(near.deposed, 1);
        let told = near.told();
        let is_told = |line: &str| told.iter().any(|told| told.starts_with(line));
        assert!(is_told("to 0: RECORD_UPDATE_ERROR r") && is_told("to 1: RECORD_UPDATE_ERROR r"), "{told:?}");
        assert!(is_told(&format!("to 0: WRITE_ACKNOWLEDGEMENT {other}")), "{told:?}");
        assert_eq!(is_told("astray of 1: READ r"), options.visibility == Visibility::Stored, "{told:?}");
        assert!(!near.shard.has_stores(), "what was accepted is never written again");
        near.request(1, ReplyTo::default(), &read("r"));
        assert_eq!(near.told(), ["astray of 1: READ r"], "whoever has it");
        near.request(1, ReplyTo::default(), &read(&other));
        assert_eq!(near.told(), [format!("to 1: READ_RESPONSE {other} [1]")], "other slots are served on");
        // All generations are raised.
        near.stored.insert(b"r".to_vec(), (7, b"[7]".to_vec()));
        near.adopt(&all_own(9));
        near.request(1, ReplyTo::default(), &read("r"));
        assert!(near.told().is_empty(), "unclaimed");
        near.claim(9);
        near.hear(Packet::Told { epoch: 9 });
        assert_eq!(near.told(), ["to 1: READ_RESPONSE r [7]"], "from storage");
        assert_eq!(near.shard.strangers(), 0);
    }
}

/// A name of another slot.
fn other_slot(near: &Near, name: &str) -> String {
    let slot = |name: &str| View::slot_of(near.shard.sides.cx.hash(name.as_bytes()));
    (0..1000).map(|number| format!("r{number}")).find(|other| slot(other) != slot(name)).expect("another")
}

#[test]
fn what_comes_is_served_once_it_is_claimed_and_told() {
    for options in both() {
        let mut near = Near::of(false, &options);
        near.stored.insert(b"r".to_vec(), (4, b"[4]".to_vec()));
        near.request(0, ReplyTo::default(), &read("r"));
        assert_eq!(near.told(), ["astray of 0: READ r"]);
        near.adopt(&all_own(2));
        near.request(0, ReplyTo::default(), &read("r"));
        near.request(0, ReplyTo::default(), &emit("e"));
        near.claim(1);
        near.rejoin(&["e", "r"], Some(3));
        assert_eq!(near.told(), ["rejoined [0, 1]"], "counted, before anything is answered");
        near.claim(2);
        assert!(near.told().is_empty(), "others may still have to tell");
        near.hear(Packet::Told { epoch: 1 });
        assert!(near.told().is_empty(), "that was before");
        near.hear(Packet::Told { epoch: 2 });
        let mut told = near.told();
        told.sort_unstable();
        // Whoever emitted is no member there, but its core hears it for those who are.
        assert_eq!(told, ["to 0: READ_RESPONSE r [4]", "to all: EMIT e 1", "to all: UPDATE r [4]"]);
        near.request(2, ReplyTo::default(), &write("r", "[5]", "1"));
        near.store_all();
        assert!(near.told().contains(&"to all: UPDATE r [5]".to_owned()));
        // They leave one by one, by the numbers that they were given.
        let (slot, epoch) = slot_of(&near, "e");
        for member in 0..2 {
            near.hear(Packet::Leave { conn: conn(member), slot, epoch });
        }
        near.request(0, ReplyTo::default(), &emit("e"));
        assert!(near.told().is_empty());
        assert_eq!(near.shard.strangers(), 0);
    }
}

fn slot_of(near: &Near, name: &str) -> (u32, u32) {
    let hash = near.shard.sides.cx.hash(name.as_bytes());
    let names = near.shard.sides.owner.names();
    let topic = if name.starts_with('e') { deepstream_wire::Topic::Event } else { deepstream_wire::Topic::Record };
    let slot = names.find(topic, name.as_bytes(), hash).expect("a name");
    (slot, names.at(slot).epoch)
}

#[test]
fn whoever_does_not_tell_is_waited_for_only_so_long() {
    let mut near = Near::of(false, &Options::default());
    near.adopt(&all_own(2));
    near.claim(2);
    near.request(0, ReplyTo::default(), &emit("e"));
    near.request(0, ReplyTo::default(), &read("r"));
    near.pass(400 * MS);
    assert!(near.told().is_empty());
    near.pass(200 * MS);
    assert_eq!(near.told(), ["to 0: RECORD_NOT_FOUND r"]);
    // It comes later: it is told what it does not know.
    near.stored.insert(b"s".to_vec(), (4, b"[4]".to_vec()));
    near.rejoin(&["s"], None);
    assert_eq!(near.told(), ["rejoined [0]", "to all: UPDATE s [4]"]);
    near.rejoin(&["s"], Some(4));
    assert_eq!(near.told(), ["rejoined [0]", "to all: UPDATE s [4]"], "equal numbers may be of different values");
}

#[test]
fn who_knows_the_version_that_is_stored_is_told_nothing() {
    let mut near = Near::of(false, &stored());
    near.stored.insert(b"r".to_vec(), (4, b"[4]".to_vec()));
    near.adopt(&all_own(2));
    near.claim(2);
    near.rejoin(&["r", "gone", "never"], Some(4));
    near.hear(Packet::Told { epoch: 2 });
    assert_eq!(near.told(), ["rejoined [0, 1, 2]", "to all: DELETED gone", "to all: DELETED never"]);
    near.rejoin(&["never"], None);
    assert_eq!(near.told(), ["rejoined [0]"], "it may never have been");
}

#[test]
fn restarted_node_is_forgotten_and_whatever_waits_for_it_is_told_to_nobody() {
    for options in both() {
        for gone in [true, false] {
            let mut near = Near::of(true, &options);
            near.request(0, joins(1), &about(Action::EventSubscribe, "e"));
            near.request(1, joins(2), &about(Action::RecordSubscribeAndRead, "r"));
            near.request(0, ReplyTo::default(), &about(Action::RpcProvide, "p"));
            near.request(
                1,
                ReplyTo::default(),
                &Outgoing { correlation_id: Some(b"1"), ..about(Action::RpcRequest, "p") },
            );
            near.hear(Packet::Everyone { conn: conn(0), reply_to: ReplyTo::default(), on: true });
            near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
            near.request(0, ReplyTo::default(), &read("r"));
            let batch = near.batch();
            near.answers = false;
            near.request(2, ReplyTo::default(), &read("s"));
            near.hear(Packet::Flush { epoch: 7 });
            near.told();
            if gone {
                near.adopt(&view(2, [1, 2], |_| (OWN, 1)));
                near.shard.restarted(near.now, FAR, 2, 1);
            } else {
                near.shard.restarted(near.now, FAR, 1, 1);
            }
            assert!(near.shard.knows(FAR, if gone { 2 } else { 1 }, 1) && !near.shard.knows(FAR, 1, 0));
            // Its connections have the same numbers, and are others.
            near.meet();
            near.store(&batch, &[]);
            near.answers = true;
            let ask = near.loads.pop().expect("of s");
            near.load(&ask);
            near.request(2, ReplyTo::default(), &emit("e"));
            near.request(2, ReplyTo::default(), &write("r", "[2]", "2"));
            near.store_all();
            assert_eq!(near.told(), ["to 2: WRITE_ACKNOWLEDGEMENT r"]);
            let census = near.shard.census();
            assert_eq!((census.calls, census.callers, census.everyone), (0, 0, 0));
            assert_eq!(near.shard.strangers(), 0);
        }
    }
}

#[test]
fn node_that_is_gone_leaves_no_stranger() {
    let mut near = Near::of(true, &stored());
    near.request(0, joins(1), &about(Action::EventSubscribe, "e"));
    near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
    near.request(1, ReplyTo::default(), &read("r"));
    near.adopt(&view(2, [1, 0], |_| (OWN, 1)));
    near.store_all();
    assert_eq!(near.shard.strangers(), 0);
    assert_eq!(near.shard.link(FAR), None);
    let census = near.shard.census();
    assert_eq!((census.remote_connections, census.pending_write_acks, census.owned_names), (0, 0, 1));
}

#[test]
fn slot_that_was_lost_and_came_back_unnoticed_starts_anew() {
    for options in both() {
        let mut near = Near::of(true, &options);
        near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
        let batch = near.batch();
        near.answers = false;
        near.request(0, ReplyTo::default(), &read("s"));
        near.told();
        // It was another's in between, who wrote.
        near.stored.insert(b"r".to_vec(), (5, b"[5]".to_vec()));
        near.adopt(&all_own(3));
        let told = near.told();
        assert_eq!(
            told,
            [
                r#"to 0: RECORD_UPDATE_ERROR r "another node has this record by now: whether it was stored is not known""#,
                "astray of 0: READ s"
            ]
        );
        near.request(1, ReplyTo::default(), &read("r"));
        near.request(1, ReplyTo::default(), &read("s"));
        // What was read for the former life, and what became of its write, is not listened to.
        let ask = near.loads.pop().expect("of s");
        near.load(&ask);
        near.store(&batch, &["r"]);
        assert_eq!((near.told(), near.deposed), (Vec::new(), 0));
        near.answers = true;
        near.stored.insert(b"r".to_vec(), (5, b"[5]".to_vec()));
        near.claim(3);
        near.hear(Packet::Told { epoch: 3 });
        assert_eq!(near.told(), ["to 1: READ_RESPONSE r [5]", "to 1: RECORD_NOT_FOUND s"]);
        assert_eq!(near.standing(), [3, 3]);
    }
}

#[test]
fn name_that_still_yields_when_it_comes_back_is_forgotten_first() {
    let mut near = Near::of(true, &stored());
    near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
    let batch = near.batch();
    near.adopt(&all_far(2));
    near.adopt(&all_own(3));
    assert_eq!(near.standing(), [3, 3]);
    assert_eq!(near.told().len(), 1, "lost, for all that is known");
    near.claim(3);
    near.hear(Packet::Told { epoch: 3 });
    near.store(&batch, &[]);
    near.request(0, ReplyTo::default(), &read("r"));
    assert_eq!(near.told(), ["to 0: READ_RESPONSE r [1]"]);
}

#[test]
fn suspended_node_serves_nothing_until_it_is_a_member_again() {
    let mut near = Near::of(true, &stored());
    near.request(0, ReplyTo::default(), &write("r", "[1]", "1"));
    near.told();
    near.shard.suspended(near.now, 0);
    assert!(near.told().is_empty(), "of an older view");
    near.shard.suspended(near.now, 1);
    assert!(near.told()[0].starts_with("to 0: RECORD_UPDATE_ERROR r"));
    near.request(0, ReplyTo::default(), &read("r"));
    assert_eq!(near.told(), ["astray of 0: READ r"]);
    assert!(!near.shard.has_stores());
    near.adopt(&view(5, [4, 1], |_| (OWN, 5)));
    near.claim(5);
    near.meet();
    near.hear(Packet::Told { epoch: 5 });
    near.request(0, ReplyTo::default(), &read("r"));
    assert!(near.told().is_empty(), "trusted before, by another membership");
    near.shard.leased(near.now, 4, Nanos(u64::MAX));
    near.ask();
    assert_eq!(near.told(), ["to 0: RECORD_NOT_FOUND r"]);
    assert_eq!(near.shard.strangers(), 0);
}

#[test]
fn other_cores_of_the_node_hear_of_a_view_ahead_of_what_goes_by_it() {
    let member = |node, cores| Member { node, cores, incarnation: 1, since: 1 };
    let view = |epoch, owner| {
        let slots = vec![owner; View::SLOTS].into();
        let members = vec![member(OWN, 2), member(FAR, 1)];
        Arc::new(View::new(epoch, [5, 6], members, slots, vec![epoch; View::SLOTS].into()).expect("a view"))
    };
    let now = Nanos(1_000_000_000);
    let options = Options { moves_names: true, ..Options::default() };
    let shard = |core| Shard::member(now, Place::of(OWN, core), view(1, OWN), options.clone());
    let (mut one, mut two) = (shard(0), shard(1));
    assert_eq!(one.adopt_view(now, view(2, FAR)), Ok(()));
    for lane in Lane::ALL {
        let packets = one.take_packets(Place::of(OWN, 1), lane, std::mem::take);
        assert!(matches!(packets.first(), Some(Packet::View(_))));
        for packet in packets {
            two.packet(now, Place::of(OWN, 0), packet);
        }
    }
    assert_eq!(two.standing(), Standing { adopted: 2, yielded: 2 });
    // A view of another node comes by the registry.
    two.packet(now, far(), Packet::View(view(3, OWN)));
    assert_eq!(two.standing().adopted, 2);
    let is_refused = |options: &Options| {
        let mut shard = Shard::member(now, Place::of(OWN, 0), view(1, OWN), options.clone());
        shard.adopt_view(now, view(2, FAR)).is_err()
    };
    assert!(is_refused(&Options::default()), "unless names may move");
}

#[test]
fn message_that_waits_for_rules_goes_back_and_nothing_comes_of_what_they_look_for() {
    let rules = [("event", "*", "publish", "_('q') !== null"), ("record", "*", "read", "true")];
    let options = Options { permissions: Arc::new(permissions(0, &rules)), ..stored() };
    let mut near = Near::of(true, &options);
    near.answers = false;
    near.request(0, ReplyTo::default(), &emit("e"));
    near.request(1, ReplyTo::default(), &emit("e"));
    assert_eq!((near.loads.len(), near.told()), (1, Vec::new()));
    near.adopt(&all_far(2));
    assert_eq!(near.told(), ["astray of 0: EMIT e", "astray of 1: EMIT e"]);
    let ask = near.loads.pop().expect("of q");
    near.load(&ask);
    near.pass(60_000 * MS);
    assert!(near.told().is_empty());
    let census = near.shard.census();
    assert_eq!((census.owned_names, census.rule_lookups, census.parked_messages), (0, 0, 0));
}

#[test]
fn who_is_left_alone_when_a_node_is_forgotten_is_known() {
    let mut near = Near::of(true, &Options::default());
    let left = ConnId { core: Place::of(OWN, 0), generation: 1, slot: 7 };
    let hash = near.shard.sides.cx.hash(b"e");
    let alone = Rejoin {
        topic: deepstream_wire::Topic::Event,
        hash,
        name: b"e"[..].into(),
        name_id: 0,
        attempt: 1,
        count: 1,
        sum: [0, left.mixed()],
        wires: 1 << Wire::Protobuf as u16,
        version: None,
    };
    near.shard.sides.rejoin(Place::of(OWN, 0), &[alone]);
    near.rejoin(&["e"], None);
    near.request(2, joins(1), &about(Action::EventSubscribe, "e"));
    let only = |near: &Near| {
        let names = near.shard.sides.owner.names();
        names.at(slot_of(near, "e").0).interest.only()
    };
    assert_eq!(only(&near), None);
    near.shard.restarted(near.now, FAR, 1, 1);
    assert_eq!(only(&near), Some(left));
}

#[test]
fn record_that_several_catch_up_with_may_be_forgotten_with_the_first() {
    let mut near = Near::of(false, &Options { storage: false, ..Options::default() });
    near.adopt(&all_own(2));
    near.rejoin(&["r"], Some(4));
    near.rejoin(&["r"], Some(4));
    near.claim(2);
    near.hear(Packet::Told { epoch: 2 });
    assert_eq!(near.told(), ["rejoined [0]", "rejoined [0]", "to all: DELETED r"]);
    assert_eq!(near.shard.census().owned_names, 0);
}
