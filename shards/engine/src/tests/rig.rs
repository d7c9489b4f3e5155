//! Some shards, wired together by hand, with clients whose frames are read back as lines of text.

use crate::view::View;
use crate::{
    Account, Completion, ConnId, Expiry, Fault, Flow, Headers, HostRequest, Lane, Login, Nanos, Note, Options, Outbox,
    Packet, Peer, Permissions, Place, Reason, Refusal, Refused, Shard, StoreBatch, Stored,
};
use deepstream_valve::check::check_rows;
use deepstream_wire::client::{ServerEvent, ServerReader, original_action, requestor_data, requestor_name, versions};
use deepstream_wire::{Action, Flags, Message, Outgoing, Wire, binary, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

/// What the fake storage does with what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    Works,
    /// Answers nothing until told otherwise.
    Hangs,
    Fails,
    /// Takes everything but names that begin with `bad`, and says so when it is given one.
    Refuses,
    /// Keeps nothing under names that begin with `bad`, and says so when it is asked for one.
    Bars,
}

pub(super) struct Rig {
    pub(super) shards: Vec<Shard>,
    pub(super) now: Nanos,
    pub(super) disk: Disk,
    pub(super) stored: BTreeMap<Vec<u8>, (i32, Vec<u8>)>,
    pub(super) notes: Vec<Note>,
    pub(super) closed: Vec<(ConnId, Reason)>,
    /// How often a shard was refused a write because another node has claimed its slot.
    pub(super) deposed: usize,
    /// Shards that do nothing any more, and hear nothing.
    pub(super) dead: BTreeSet<usize>,
    places: Vec<Place>,
    held: Vec<(usize, HostRequest)>,
    batches: Vec<Option<StoreBatch>>,
    inboxes: Vec<(ConnId, ServerReader, Vec<String>)>,
    /// What lies with the kernel for those who read only what they are told to take in.
    slow: Vec<(ConnId, Vec<u8>)>,
}

const NOW: Nanos = Nanos(1_000_000_000);

/// Options under which nobody is closed for being silent.
pub(super) fn patient() -> Options {
    let mut options = Options::default();
    options.endpoints.of_mut(Wire::Protobuf).heartbeat_ns = 1_000_000_000_000;
    options
}

/// A packet that goes to another node.
fn carried(packet: &Packet) -> Packet {
    let mut bytes = Vec::new();
    packet.write(&mut bytes).expect("short enough");
    Packet::read(&bytes).expect("what was written")
}

impl Rig {
    pub(super) fn new(cores: u16) -> Self {
        Self::with(cores, &Options::default())
    }

    pub(super) fn with(cores: u16, options: &Options) -> Self {
        let places: Vec<Place> = (0..cores).map(Place::alone).collect();
        let shards = places.iter().map(|&core| Shard::new(NOW, core, cores, options.clone())).collect();
        Self::of(shards, places)
    }

    /// One shard for each place of a view.
    pub(super) fn viewing(view: &Arc<View>, options: &Options) -> Self {
        Self::viewing_until(view, options, u64::MAX)
    }

    /// The same, whose nodes trust their membership for so long.
    pub(super) fn viewing_until(view: &Arc<View>, options: &Options, ns: u64) -> Self {
        let mut rig = Self::unclaimed(view, options);
        for shard in 0..rig.shards.len() {
            rig.claim_all(shard, view);
            rig.lease(shard, view, NOW.after(ns));
        }
        rig
    }

    /// A shard's node trusts its membership until then.
    pub(super) fn lease(&mut self, shard: usize, view: &View, until: Nanos) {
        let since = view.member(self.places[shard].node()).expect("a member").since;
        self.shards[shard].leased(self.now, since, until);
        self.settle();
    }

    /// A shard's node has claimed all that is its own.
    pub(super) fn claim_all(&mut self, shard: usize, view: &View) {
        let all: Vec<u16> = (0..View::SLOTS as u16).collect();
        let generations: BTreeSet<u64> = all.iter().map(|&slot| view.generation(slot)).collect();
        for generation in generations {
            self.shards[shard].claimed(self.now, &all, generation);
        }
        self.settle();
    }

    /// One shard for each place of a view, none of which has claimed anything yet.
    pub(super) fn unclaimed(view: &Arc<View>, options: &Options) -> Self {
        let places: Vec<Place> = view.places().to_vec();
        let shards = places.iter().map(|&core| Shard::member(NOW, core, Arc::clone(view), options.clone())).collect();
        Self::of(shards, places)
    }

    /// All shards adopt a view, for whose other places there are shards from here on.
    pub(super) fn adopt(&mut self, view: &Arc<View>, options: &Options) {
        for shard in &mut self.shards {
            assert_eq!(shard.adopt_view(self.now, Arc::clone(view)), Ok(()));
        }
        let joined = Self::viewing(view, options);
        self.places = joined.places;
        self.shards.extend(joined.shards.into_iter().skip(self.shards.len()));
        self.batches.resize_with(self.shards.len(), || None);
    }

    fn of(shards: Vec<Shard>, places: Vec<Place>) -> Self {
        Self {
            batches: shards.iter().map(|_| None).collect(),
            shards,
            places,
            now: NOW,
            disk: Disk::Works,
            stored: BTreeMap::new(),
            notes: Vec::new(),
            closed: Vec::new(),
            deposed: 0,
            dead: BTreeSet::new(),
            held: Vec::new(),
            inboxes: Vec::new(),
            slow: Vec::new(),
        }
    }

    /// Shards under permission rules, given as section, path, type and rule; what no rule is given for is denied.
    pub(super) fn ruled(cores: u16, rules: &[(&str, &str, &str, &str)]) -> Self {
        let permissions = Arc::new(permissions(0, rules));
        Self::with(cores, &Options { permissions, ..patient() })
    }

    /// A connection on `core` that was upgraded and nothing more.
    pub(super) fn stranger(&mut self, core: usize) -> ConnId {
        self.stranger_on(core, Wire::Protobuf)
    }

    pub(super) fn stranger_on(&mut self, core: usize, wire: Wire) -> ConnId {
        let conn = self.shards[core].connected(self.now, Peer::default()).expect("room");
        self.shards[core].upgraded(self.now, conn, wire, "", Headers::default());
        self.inboxes.push((conn, ServerReader::upgraded(), Vec::new()));
        conn
    }

    /// A logged-in client on `core`, of the given SDK version.
    pub(super) fn client_of(&mut self, core: usize, sdk_version: &str) -> ConnId {
        self.user_of(core, sdk_version, "{}")
    }

    /// A logged-in client; the fake authentication takes `{"user":"…"}` for the user's id.
    pub(super) fn user(&mut self, core: usize, user: &str) -> ConnId {
        self.user_of(core, "7.1.0", &format!(r#"{{"user":"{user}"}}"#))
    }

    fn user_of(&mut self, core: usize, sdk_version: &str, login: &str) -> ConnId {
        let conn = self.stranger(core);
        let mut frame = Vec::new();
        deepstream_wire::client::encode_challenge("ws://h", "javascript", sdk_version, [0; 4], &mut frame);
        // Past the frame header: two bytes for what is this short, four mask bytes.
        self.bytes(conn, &frame[6..]);
        self.send(conn, &Outgoing { data: Some(login.as_bytes()), ..Outgoing::new(Action::AuthRequest) });
        let lines = self.read(conn);
        assert_eq!(lines[0], "CONNECTION.ACCEPT");
        assert!(lines[1].starts_with("AUTH.AUTH_SUCCESSFUL"), "{lines:?}");
        conn
    }

    /// A logged-in client that is spoken to in text. What it says is put in the engine's form, as its decoder would.
    pub(super) fn text_client(&mut self, core: usize) -> ConnId {
        self.text_client_of(core, Wire::Text)
    }

    /// The same of a kind of its own.
    pub(super) fn text_client_of(&mut self, core: usize, wire: Wire) -> ConnId {
        let conn = self.stranger_on(core, wire);
        self.send(conn, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
        assert_eq!(self.read(conn), ["A|A+"]);
        conn
    }

    /// A logged-in client that is spoken to in JSON. What it says is put in the engine's form, as its decoder would.
    pub(super) fn json_client(&mut self, core: usize) -> ConnId {
        let conn = self.stranger_on(core, Wire::Json);
        self.send(conn, &Outgoing::new(Action::ConnectionChallenge));
        self.send(conn, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
        assert_eq!(self.read(conn), [r#"{"topic":2,"action":4}"#, r#"{"topic":3,"action":3}"#]);
        conn
    }

    pub(super) fn client(&mut self, core: usize) -> ConnId {
        self.client_of(core, "7.1.0")
    }

    /// Hands one message in and lets everything come to rest.
    pub(super) fn send(&mut self, conn: ConnId, message: &Outgoing<'_>) {
        let mut payload = Vec::new();
        encode::encode_message(message, &mut payload);
        self.bytes(conn, &payload);
    }

    /// Hands a frame's payload in and lets everything come to rest.
    pub(super) fn bytes(&mut self, conn: ConnId, payload: &[u8]) {
        let _ = self.bytes_only(conn, payload);
        self.settle();
    }

    /// Hands a frame's payload in.
    pub(super) fn bytes_only(&mut self, conn: ConnId, payload: &[u8]) -> Flow {
        let core = self.core_of(conn);
        let shard = &mut self.shards[core];
        let mut flow = Flow::Continue;
        for message in binary::messages(payload) {
            flow = match message {
                Ok(message) => shard.received(self.now, conn, &message),
                Err(what) => shard.unreadable(self.now, conn, what),
            };
        }
        flow
    }

    /// Hands one message in and leaves what comes of it where it is.
    pub(super) fn send_only(&mut self, conn: ConnId, message: &Outgoing<'_>) {
        let mut payload = Vec::new();
        encode::encode_message(message, &mut payload);
        let _ = self.bytes_only(conn, &payload);
    }

    /// Logs a stranger in and leaves what comes of it where it is.
    pub(super) fn join_quietly(&mut self, conn: ConnId, user: &str) {
        let mut frame = Vec::new();
        deepstream_wire::client::encode_challenge("ws://h", "javascript", "7.1.0", [0; 4], &mut frame);
        let _ = self.bytes_only(conn, &frame[6..]);
        let login = format!(r#"{{"user":"{user}"}}"#);
        self.send_only(conn, &Outgoing { data: Some(login.as_bytes()), ..Outgoing::new(Action::AuthRequest) });
        let core = self.core_of(conn);
        for ask in self.shards[core].host_requests().collect::<Vec<_>>() {
            self.answer(core, ask);
        }
    }

    /// Packets on their way from one core to another.
    pub(super) fn take_packets(&mut self, from: usize, to: usize) -> Vec<Packet> {
        let mut taken = Vec::new();
        for lane in Lane::ALL {
            self.shards[from].take_packets(self.places[to], lane, |packets| taken.append(packets));
        }
        taken
    }

    /// They arrive, and everything comes to rest.
    pub(super) fn give_packets(&mut self, from: usize, to: usize, packets: Vec<Packet>) {
        for packet in packets {
            self.shards[to].packet(self.now, self.places[from], packet);
        }
        self.settle();
    }

    /// Which shard's a connection is.
    pub(super) fn core_of(&self, conn: ConnId) -> usize {
        self.places.iter().position(|&place| place == conn.core).expect("a shard")
    }

    /// What the client was sent since it last looked.
    pub(super) fn read(&mut self, conn: ConnId) -> Vec<String> {
        let inbox = self.inboxes.iter_mut().find(|inbox| inbox.0 == conn).expect("a client");
        std::mem::take(&mut inbox.2)
    }

    pub(super) fn drop_client(&mut self, conn: ConnId) {
        let core = self.core_of(conn);
        self.shards[core].disconnected(self.now, conn);
        self.settle();
    }

    pub(super) fn pass(&mut self, ns: u64) {
        self.now = self.now.after(ns);
        for shard in &mut self.shards {
            shard.tick(self.now);
        }
        self.settle();
    }

    /// Storage does what it held back.
    pub(super) fn unfreeze(&mut self) {
        self.unfreeze_to(Disk::Works);
    }

    /// Has what was held answered by such a disk.
    pub(super) fn unfreeze_to(&mut self, disk: Disk) {
        self.disk = disk;
        for (core, ask) in std::mem::take(&mut self.held) {
            self.answer(core, ask);
        }
        self.answer_batches();
    }

    /// What storage works on is done; what it is given next is held back as before.
    pub(super) fn answer_batches(&mut self) {
        for core in 0..self.shards.len() {
            if let Some(batch) = self.batches[core].take() {
                self.store(core, &batch);
            }
        }
        self.settle();
    }

    /// Runs packets, asks, batches and outboxes until nothing moves.
    pub(super) fn settle(&mut self) {
        while self.turn() {}
    }

    fn turn(&mut self) -> bool {
        let mut moved = false;
        for core in (0..self.shards.len()).filter(|core| !self.dead.contains(core)).collect::<Vec<_>>() {
            for ask in self.shards[core].host_requests().collect::<Vec<_>>() {
                moved = true;
                if self.disk == Disk::Hangs && matches!(ask, HostRequest::Load { .. }) {
                    self.held.push((core, ask));
                } else {
                    self.answer(core, ask);
                }
            }
            let mut batch = StoreBatch::default();
            if self.batches[core].is_none() && self.shards[core].take_stores(self.now, &mut batch) {
                moved = true;
                match self.disk {
                    Disk::Hangs => self.batches[core] = Some(batch),
                    _ => self.store(core, &batch),
                }
            }
            for peer in (0..self.shards.len()).filter(|&peer| peer != core) {
                for lane in Lane::ALL {
                    let (from, to) = (self.places[core], self.places[peer]);
                    let packets = self.shards[core].take_packets(to, lane, std::mem::take);
                    for packet in packets {
                        moved = true;
                        if self.dead.contains(&peer) {
                            continue;
                        }
                        let packet = if from.node() == to.node() { packet } else { carried(&packet) };
                        self.shards[peer].packet(self.now, from, packet);
                    }
                }
            }
            moved |= self.flush(core);
            self.notes.extend(self.shards[core].notes());
            self.closed.extend(self.shards[core].closes());
        }
        moved
    }

    fn flush(&mut self, core: usize) -> bool {
        let mut moved = false;
        while let Some(conn) = self.shards[core].dirty() {
            moved = true;
            let mut outbox = Outbox::default();
            self.shards[core].take_output(conn, &mut outbox);
            let mut bytes = Vec::new();
            let mut at = 0;
            for (offset, frame) in &outbox.shared {
                bytes.extend_from_slice(&outbox.bytes[at..*offset]);
                bytes.extend_from_slice(frame);
                at = *offset;
            }
            bytes.extend_from_slice(&outbox.bytes[at..]);
            if let Some((_, unread)) = self.slow.iter_mut().find(|(slow, _)| *slow == conn) {
                unread.extend_from_slice(&bytes);
                continue;
            }
            self.shards[core].flushed(self.now, conn, bytes.len());
            self.take_in(conn, &bytes);
        }
        moved
    }

    fn take_in(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(inbox) = self.inboxes.iter_mut().find(|inbox| inbox.0 == conn) {
            let lines = &mut inbox.2;
            inbox.1.received(bytes, &mut |event| match event {
                ServerEvent::Message(message) => lines.push(line(&message)),
                ServerEvent::Text(text) => {
                    lines.push(String::from_utf8_lossy(text).replace('\u{1f}', "|").replace('\u{1e}', "+"));
                }
                other => lines.push(format!("{other:?}")),
            });
        }
    }

    /// From here on this client reads only what it is told to.
    pub(super) fn slow_down(&mut self, conn: ConnId) {
        self.slow.push((conn, Vec::new()));
    }

    /// A slow client reads so many bytes, if there are as many. What waits for it then.
    pub(super) fn read_some(&mut self, conn: ConnId, count: usize) -> usize {
        let (_, unread) = self.slow.iter_mut().find(|(slow, _)| *slow == conn).expect("a slow client");
        let bytes: Vec<u8> = unread.drain(..count.min(unread.len())).collect();
        let core = self.core_of(conn);
        self.shards[core].flushed(self.now, conn, bytes.len());
        self.take_in(conn, &bytes);
        self.settle();
        self.unread(conn)
    }

    /// What waits for a slow client.
    pub(super) fn unread(&self, conn: ConnId) -> usize {
        self.slow.iter().find(|(slow, _)| *slow == conn).map_or(0, |(_, unread)| unread.len())
    }

    pub(super) fn answer(&mut self, core: usize, ask: HostRequest) {
        let outcome = match ask {
            HostRequest::Deposed => {
                self.deposed += 1;
                return;
            }
            HostRequest::Authenticate { conn, data, .. } => {
                let login = if &data[..] == br#"{"bad":1}"# {
                    Login::Refused { client_data: None }
                } else {
                    let user = deepstream_json::get_member(&data, b"user").and_then(deepstream_json::string_of);
                    let user = user.map(|user| String::from_utf8_lossy(&user).into_owned());
                    let client_data = user.as_ref().map(|user| format!(r#"{{"me":"{user}"}}"#).into_bytes().into());
                    let expires =
                        deepstream_json::get_member(&data, b"expires").and_then(|text| std::str::from_utf8(text).ok());
                    Login::Accepted(Account {
                        client_data,
                        server_data: deepstream_json::get_member(&data, b"role").map(Into::into),
                        expiry: expires
                            .and_then(|text| text.parse().ok())
                            .map(|in_ns| Expiry { in_ns, warning_ns: 60_000_000_000 }),
                        ..Account::of(&user.unwrap_or("open".into()))
                    })
                };
                Completion::Authenticated { conn, login }
            }
            HostRequest::Load { ticket, name } => {
                let found = self.stored.get(&*name).cloned().map(|(version, value)| Stored { version, value });
                let result = match self.disk {
                    Disk::Fails => Err(Fault::Failed("disk".into())),
                    Disk::Bars if is_bad(&name) => Err(Fault::Unstorable("it is \"bad\"".into())),
                    _ => Ok(found),
                };
                Completion::Loaded { ticket, result }
            }
        };
        self.shards[core].completed(self.now, outcome);
    }

    fn store(&mut self, core: usize, batch: &StoreBatch) {
        let bad = |name: &[u8]| self.disk == Disk::Refuses && is_bad(name);
        let barred = batch.entries.iter().any(|entry| entry.value_len.is_some() && is_bad(batch.name(entry)));
        assert!(self.disk != Disk::Bars || !barred, "what storage keeps none of is not given to it");
        let refused: Vec<u32> =
            (0..).zip(&batch.entries).filter(|(_, entry)| bad(batch.name(entry))).map(|(index, _)| index).collect();
        let result = match self.disk {
            Disk::Fails => Err(Fault::Failed("disk".into())),
            _ if refused.is_empty() => Ok(()),
            _ => {
                let refusal = |&entry: &u32| Refusal { entry, why: Refused::Unstorable("it is \"bad\"".into()) };
                Err(Fault::Refused(refused.iter().map(refusal).collect()))
            }
        };
        if self.disk != Disk::Fails {
            for (index, entry) in (0..).zip(&batch.entries) {
                if refused.contains(&index) {
                    continue;
                }
                let name = batch.name(entry).to_vec();
                match batch.value(entry) {
                    Some(value) => self.stored.insert(name, (entry.version, value.to_vec())),
                    None => self.stored.remove(&name),
                };
            }
        }
        self.shards[core].completed(self.now, Completion::Stored { ticket: batch.ticket, result });
    }

    /// A name that this core owns.
    pub(super) fn name_on(&self, core: usize, prefix: &str) -> String {
        let owned = |name: &String| {
            let hash = crate::view::hash_name(&self.shards[0].sides.cx.hasher, name.as_bytes());
            self.shards[0].sides.cx.owner_of(hash).index() == core
        };
        (0..1000).map(|number| format!("{prefix}{number}")).find(owned).expect("some name hashes there")
    }
}

/// Permission rules; see [`Rig::ruled`].
pub(super) fn permissions(generation: u32, rules: &[(&str, &str, &str, &str)]) -> Permissions {
    let checked = check_rows(rules).expect("good rules");
    Permissions { generation, ruleset: Some(Arc::new(checked.ruleset)), ..Permissions::default() }
}

/// A message as one line: `TOPIC.ACTION field=value …`.
fn line(message: &Message<&[u8]>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let head = &message.head;
    let mut line = format!("{}.{}", head.action.topic().name(), head.action.name());
    if head.flags.has(Flags::NAME) {
        write!(line, " name={}", text(message.name())).expect("text");
    }
    for name in message.names() {
        write!(line, " names={}", text(name)).expect("text");
    }
    for (field, value) in [
        ("path", message.path()),
        ("data", message.data()),
        ("subscription", message.subscription()),
        ("id", message.correlation_id()),
    ] {
        if let Some(value) = value {
            write!(line, " {field}={}", text(value)).expect("text");
        }
    }
    if head.flags.has(Flags::VERSION) {
        write!(line, " version={}", head.version).expect("text");
    }
    for (field, value) in [("caller", requestor_name(message)), ("caller-data", requestor_data(message))] {
        if let Some(value) = value {
            write!(line, " {field}={}", text(value)).expect("text");
        }
    }
    for (name, version) in versions(message) {
        write!(line, " {}:{version}", text(name)).expect("text");
    }
    if let Some(action) = original_action(message) {
        write!(line, " original={}", action.name()).expect("text");
    }
    for (flag, name) in [(Flags::IS_ERROR, " error"), (Flags::IS_ACK, " ack"), (Flags::IS_WRITE_ACK, " write-ack")] {
        if head.flags.has(flag) {
            line.push_str(name);
        }
    }
    line
}

/// `names` and a correlation id.
pub(super) fn bulk<'a>(action: Action, names: &'a [&'a [u8]], id: &'a str) -> Outgoing<'a> {
    Outgoing { names, correlation_id: Some(id.as_bytes()), ..Outgoing::new(action) }
}

/// A name and nothing else.
pub(super) fn about(action: Action, name: &str) -> Outgoing<'_> {
    Outgoing { name: Some(name.as_bytes()), ..Outgoing::new(action) }
}

/// A write without path.
pub(super) fn update<'a>(name: &'a str, version: i32, data: &'a str) -> Outgoing<'a> {
    Outgoing { version: Some(version), data: Some(data.as_bytes()), ..about(Action::RecordUpdate, name) }
}

/// A write with a path.
pub(super) fn patch<'a>(name: &'a str, version: i32, path: &'a str, data: &'a str) -> Outgoing<'a> {
    Outgoing { action: Action::RecordPatch, path: Some(path.as_bytes()), ..update(name, version, data) }
}

/// The same, to be acknowledged.
pub(super) fn acked<'a>(message: Outgoing<'a>, id: &'a str) -> Outgoing<'a> {
    Outgoing { is_write_ack: true, correlation_id: Some(id.as_bytes()), ..message }
}

fn is_bad(name: &[u8]) -> bool {
    name.starts_with(b"bad")
}
