//! The life of a connection on its core: accepted, heard, answered, closed.
//!
//! *Owns* the links, and what the host has to remember of a socket. *Promises* that the shard hears of every connection's
//! end exactly once, that what was said to a client is sent before its socket is closed (within a time), and that nothing
//! is heard of a connection that was told to pause or to close.
//! *Does not* decide when to pause or close: the shard and the link do.

mod end;
mod recode;
mod sealed;
mod silent;
mod upgrade;
mod weigh;

use super::admission::Links;
use super::core::Core;
use super::http::Conversation;
use super::listen::DoorKind;
use super::ring::{Buffer, Door, Key, Taken};
use super::tls::Session;
use crate::auth;
use crate::endpoint::http::Service;
use crate::note::Ending;
use crate::proxies::forwarded;
use deepstream_engine::{ConnId, Flow, Headers, Nanos, Outbox, Peer, Shard};
use deepstream_wire::{Closing, Link, LinkEvent, Medium, Wire};
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::rc::Rc;

/// How long a socket without a session may take to send its rest and to be closed by its peer.
const LINGER_NS: u64 = 2_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;
/// How often requests of HTTP are given what was said to them before those behind them wait for the next turn. Each takes a few
/// microseconds.
const ANSWERS_PER_TURN: usize = 128;

/// After how many flushed connections of a turn the core takes in what came meanwhile. A send is a system call of one to three
/// microseconds: while a message is sent to many, the next ones arrive, and who is still to be flushed can take them along.
/// Measured side by side, deliveries a second of the server's CPU time: one event to 1,000, window 4, 1.08 M without looks,
/// 1.45 M with one every 4 sends for the first 256, 1.60 M for all; to 10, window 8, 1.82 M and with one every 8 sends 2.01 M; many
/// to many 12.6 M and 12.1 M.
const SENDS_PER_LOOK: usize = 8;

/// What the host knows of one socket.
pub(super) struct Socket {
    pub(super) generation: u32,
    pub(super) conn: ConnId,
    /// Its other end; of a WebSocket, whoever a trusted proxy says is behind that.
    pub(super) address: Option<IpAddr>,
    /// What its door expects to be spoken.
    pub(super) medium: Medium,
    pub(super) link: Link,
    pub(super) stage: Stage,
    /// It is told that it is not let in, whatever it wants.
    shut_out: bool,
    /// Nothing is handed in any more.
    deaf: bool,
    /// The shard asked for a pause and has not ended it.
    pub(super) paused: bool,
    /// The peer has sent its last byte.
    ended: bool,
    /// Bytes are with the kernel.
    pub(super) sending: bool,
    /// The shard has more for it than what is with the kernel.
    more: bool,
    /// Taken from the shard when the session ended, to be sent after what is with the kernel.
    rest: Option<Box<Outbox>>,
    /// Between the socket's bytes and the link's, on a secured connection.
    tls: Option<Box<Session>>,
    /// What HTTP is spoken on it, if any is.
    pub(super) http: Option<Box<Conversation>>,
    /// Bytes of the shard in what is with the kernel, where that is something else: ciphertext, or another protocol's.
    recoded_bytes: usize,
    /// Bytes of that something else which are still with the kernel.
    sealed_bytes: usize,
    /// What the shard was last told that is kept beside its outbox: unsent, and received.
    told: (usize, usize),
    /// Bytes that were still to be sent when its session ended.
    draining_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The shard knows it.
    Open,
    /// The shard wants it closed once everything is sent.
    Closing,
    /// The shard has forgotten it; its rest is being sent.
    Draining,
    /// Everything is sent and the peer knows; it is to close too.
    Lingering,
}

/// All sockets of a core, by the ring's slots.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) table: Vec<Option<Socket>>,
    /// The ring's key of each of the shard's connection slots: its own, or that of the socket through which it asks.
    pub(super) keys: Vec<Option<Key>>,
    /// Sockets that must be gone at a moment, in order.
    late: VecDeque<(Nanos, Key)>,
    /// Bytes that are still to be sent for sessions that are over.
    draining_bytes: usize,
    /// When to speak to which client that may wait for the server to do so, in order.
    pub(super) silent: VecDeque<(Nanos, Key)>,
    /// Sockets whose shard has something to send and whose last send is done.
    ready: Vec<Key>,
    /// Sockets that were paused in this turn.
    pub(super) pausing: Vec<Key>,
    /// Sockets whose requests are asked once those before them were answered.
    pub(super) asking: VecDeque<Key>,
    /// When to look at which request again.
    pub(super) requests: BTreeSet<(Nanos, Key)>,
    /// Secured connections whose handshake goes on in a later turn.
    handshakes: VecDeque<Key>,
    /// Whether a handshake has gone on in this turn.
    shook_hands: bool,
    replies: Vec<u8>,
    plain: Vec<u8>,
}

impl Sockets {
    /// Room for so many without moving any.
    pub(super) fn with_room(sockets: usize) -> Self {
        Self { table: Vec::with_capacity(sockets), keys: Vec::with_capacity(sockets), ..Self::default() }
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Socket> {
        let socket = self.table.get_mut(key.slot as usize)?.as_mut();
        socket.filter(|socket| socket.generation == key.generation)
    }

    fn insert(&mut self, key: Key, conn: ConnId, medium: Medium, peer: (Option<IpAddr>, bool), tls: Option<Session>) {
        let (address, shut_out) = peer;
        let socket = Socket {
            generation: key.generation,
            conn,
            address,
            medium,
            link: Link::of(medium),
            stage: Stage::Open,
            shut_out,
            deaf: false,
            paused: false,
            ended: false,
            sending: false,
            more: false,
            rest: None,
            tls: tls.map(Box::new),
            http: None,
            recoded_bytes: 0,
            sealed_bytes: 0,
            told: (0, 0),
            draining_bytes: 0,
        };
        put(&mut self.table, key.slot as usize, socket);
        self.place(conn, key);
    }

    /// Remembers through which socket a connection of the shard is reached.
    pub(super) fn place(&mut self, conn: ConnId, key: Key) {
        put(&mut self.keys, conn.index(), key);
    }

    /// The socket of a connection that the shard speaks of.
    pub(super) fn key(&mut self, conn: ConnId) -> Option<Key> {
        let key = (*self.keys.get(conn.index())?)?;
        self.get(key).filter(|socket| socket.conn == conn).map(|_| key)
    }

    /// Whether a flush has something to do that the shard does not know of.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.pausing.is_empty() || !self.asking.is_empty()
    }

    /// Whether a handshake waits for its turn.
    pub(super) fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// When the next socket must be gone.
    pub(super) fn next_late(&self) -> Option<Nanos> {
        self.late.front().map(|&(at, _)| at)
    }
}

fn put<T>(table: &mut Vec<Option<T>>, index: usize, value: T) {
    if table.len() <= index {
        table.resize_with(index + 1, || None);
    }
    table[index] = Some(value);
}

/// What came of handing bytes to a link.
#[derive(Debug, Default)]
struct Heard {
    /// There were messages, well-formed or not.
    messages: bool,
    upgraded: bool,
    http: bool,
    pause: bool,
    deaf: bool,
    over: Option<Closing>,
    /// Why whoever is there is not let in.
    forbidden: Option<Box<str>>,
}

impl Core {
    pub(super) fn accepted(&mut self, key: Key, door: Door) {
        let DoorKind { medium, tls, is_meant } = &self.doors[door.0 as usize];
        let (medium, is_meant) = (*medium, *is_meant);
        let tls = match tls {
            None => None,
            Some(tls) => match tls.session() {
                Some(session) => Some(session),
                None => return self.ring.close(key),
            },
        };
        let address = self.ring.peer_address(key).map(|address| address.ip().to_canonical());
        let shut_out = !is_meant && self.control.is_open() && !self.ring.is_near(key);
        let remote = address.map(|address| address.to_string());
        let peer = Peer { remote: remote.unwrap_or_default().into(), is_secured: tls.is_some(), ..Peer::default() };
        match (!self.stopping).then(|| self.shard.connected(self.now, peer)).flatten() {
            Some(conn) => {
                self.sockets.insert(key, conn, medium, (address, shut_out), tls);
                if medium == Medium::Mqtt {
                    self.shard.upgraded(self.now, conn, Wire::Mqtt, "", Headers::default());
                }
            }
            None => self.ring.close(key),
        }
    }

    /// Bytes came.
    pub(super) fn hear(&mut self, key: Key, buffer: Buffer) {
        if self.sockets.get(key).is_some_and(|socket| socket.tls.is_some()) {
            return self.hear_sealed(key, buffer);
        }
        let Self { ring, sockets, shard, auth, links, web, now, .. } = self;
        let mut replies = std::mem::take(&mut sockets.replies);
        let heard = sockets.get(key).filter(|socket| !socket.deaf).map(|socket| {
            let input = ring.bytes(&buffer);
            let heard = socket.listen((shard, auth, web), *now, links, Some(input), &mut replies);
            (socket.conn, heard)
        });
        self.sockets.replies = replies;
        self.ring.release(buffer);
        if let Some((conn, heard)) = heard {
            self.heard(key, conn, &heard);
        }
    }

    /// Connections that may be heard again: first what their links kept, then their sockets.
    pub(super) fn hear_resumed(&mut self) {
        let resumed: Vec<ConnId> = self.shard.resumed().collect();
        for conn in resumed {
            if let Some(key) = self.sockets.asked_by(conn) {
                self.ask_in_time(key);
                continue;
            }
            let Some(key) = self.sockets.key(conn) else { continue };
            let Self { sockets, shard, auth, links, web, now, .. } = self;
            let mut replies = std::mem::take(&mut sockets.replies);
            let listens = sockets.get(key).filter(|socket| !socket.deaf);
            let heard = listens.map(|socket| {
                socket.paused = false;
                socket.listen((shard, auth, web), *now, links, None, &mut replies)
            });
            self.sockets.replies = replies;
            if let Some(heard) = heard {
                if !heard.pause {
                    self.ring.resume(key);
                }
                self.heard(key, conn, &heard);
                if self.sockets.get(key).is_some_and(|socket| socket.ended && !socket.paused) {
                    self.part(key);
                }
            }
        }
    }

    fn heard(&mut self, key: Key, conn: ConnId, heard: &Heard) {
        if heard.upgraded {
            self.wait_for_word(key);
        }
        if let Some(why) = &heard.forbidden {
            self.tell_end_of(key, Ending::Refused(why));
        } else if let Some(closing) = heard.over {
            let wire = self.wire_at(key);
            self.tell_end_of(key, Ending::Link(closing, wire));
        }
        if !self.sockets.replies.is_empty() {
            if heard.over.is_some() {
                let oversized = heard.over == Some(Closing::TooBig);
                self.shard.goodbye(self.now, conn, &self.sockets.replies, oversized);
            } else {
                self.shard.raw(self.now, conn, &self.sockets.replies);
            }
            self.sockets.replies.clear();
        }
        if heard.pause
            && let Some(socket) = self.sockets.get(key)
        {
            socket.paused = true;
            self.sockets.pausing.push(key);
        }
        if heard.http {
            self.drive(key);
        }
        self.weigh(key);
        if heard.over.is_some() {
            self.part(key);
        }
    }

    /// The peer sends nothing more: what it was told is sent, then the socket closed.
    pub(super) fn ended(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        socket.ended = true;
        match socket.stage {
            Stage::Open if socket.http.is_some() => {
                if let Some(talk) = &mut socket.http {
                    talk.end();
                }
                self.drive(key);
            }
            // What it said before is heard first: while it is paused its link keeps some of it.
            Stage::Open if socket.paused => self.hung_up(key),
            Stage::Open => self.part(key),
            Stage::Lingering => self.forget(key),
            Stage::Closing | Stage::Draining => {}
        }
    }

    /// One that begins to wait for its login: it may have gone with the last word of it, and then nothing is left to watch.
    fn ended_before(&mut self, key: Key) {
        if self.sockets.get(key).is_some_and(|socket| socket.ended) {
            self.hung_up(key);
        }
    }

    /// The peer of a socket that is not read has gone, having said nothing that was not read. Nobody waits for its login.
    pub(super) fn hung_up(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        let (conn, says_more) = (socket.conn, socket.link.keeps_input());
        if socket.stage == Stage::Open && !says_more && self.auth.is_awaited(conn) {
            self.lost(key);
        }
    }

    /// Gives bytes to the kernel. What it takes at once is accounted for at once.
    pub(super) fn send(&mut self, key: Key, outbox: Outbox) {
        let len = outbox.len();
        if let Some(socket) = self.sockets.get(key) {
            socket.sending = true;
            socket.sealed_bytes = len;
        }
        match self.ring.send(key, outbox) {
            Taken::All(outbox) => {
                self.shard.reuse(outbox);
                self.sent(key, len, true);
            }
            Taken::Part(0) => {}
            Taken::Part(bytes) => self.sent(key, bytes, false),
        }
    }

    /// The kernel took bytes.
    pub(super) fn sent(&mut self, key: Key, bytes: usize, all: bool) {
        let Some(socket) = self.sockets.get(key) else { return };
        let (conn, stage) = (socket.conn, socket.stage);
        let bytes = if socket.recodes() { socket.recoded(bytes, all) } else { bytes };
        if matches!(stage, Stage::Open | Stage::Closing) {
            self.shard.flushed(self.now, conn, bytes);
        }
        if all && let Some(socket) = self.sockets.get(key) {
            socket.sending = false;
            if let Some(rest) = socket.rest.take() {
                self.send(key, *rest);
            } else if std::mem::take(&mut socket.more) {
                self.sockets.ready.push(key);
            } else {
                self.flushed(key);
            }
            if self.sockets.get(key).is_some_and(|socket| socket.http.as_ref().is_some_and(|talk| talk.is_blocked())) {
                self.drive(key);
            }
        }
    }

    /// End of turn: one send for every outbox with something in it, the longest waiting first; then the pauses and closes.
    /// All have been filled by then, so that whoever is told much in a turn is told it at once. A flush of many takes its time,
    /// and more is taken in meanwhile (see [`SENDS_PER_LOOK`]); whom that concerns is flushed behind the others, in this turn.
    pub(super) fn flush(&mut self) {
        // Most pauses end in the turn they began in: those of a login that is judged at once.
        while let Some(key) = self.sockets.pausing.pop() {
            if let Some(conn) = self.sockets.get(key).filter(|socket| socket.paused).map(|socket| socket.conn) {
                self.ring.pause(key);
                if self.auth.is_awaited(conn) {
                    self.ring.watch(key);
                    self.ended_before(key);
                }
            }
        }
        let mut left = ANSWERS_PER_TURN;
        let mut flushed = 0;
        loop {
            while let Some(conn) = self.shard.dirty() {
                if let Some(key) = self.sockets.key(conn) {
                    self.flush_soon(key);
                } else if let Some(key) = self.sockets.asked_by(conn) {
                    self.hear_answers(key);
                    left = left.saturating_sub(1);
                }
                flushed += 1;
                if flushed % SENDS_PER_LOOK == 0 {
                    self.look();
                }
            }
            if let Some(key) = self.sockets.asking.pop_front() {
                self.ask(key);
                continue;
            }
            // A request that was answered may have another behind it, which logs in by now.
            if left == 0 || !self.shard.is_asking() {
                break;
            }
            left -= 1;
            self.answer_asks();
            self.hear_resumed();
        }
        while let Some(key) = self.sockets.ready.pop() {
            self.flush_one(key);
        }
        self.close_named();
    }
}

impl Socket {
    /// Hands bytes to the link, or lets it go on with what it kept, and what comes of them to the shard.
    fn listen(
        &mut self,
        (shard, auth, web): (&mut Shard, &auth::Client, &Rc<Service>),
        now: Nanos,
        links: &Links,
        input: Option<&mut [u8]>,
        replies: &mut Vec<u8>,
    ) -> Heard {
        let Self { conn, address, link, http, shut_out, .. } = self;
        let conn = *conn;
        let config = if *shut_out { &links.shut } else { &links.open };
        let came = input.is_some();
        let mut heard = Heard::default();
        let mut on = |event: LinkEvent<'_>| {
            let flow = match event {
                LinkEvent::Message(message) => {
                    heard.messages = true;
                    shard.received(now, conn, message)
                }
                LinkEvent::Unreadable(what) => {
                    heard.messages = true;
                    shard.unreadable(now, conn, what)
                }
                LinkEvent::Upgraded(handshake) => {
                    let headers = auth.headers_of(handshake.headers());
                    let referer = handshake.header("referer").unwrap_or_default();
                    if let (Some(address), Some(forwarded)) = (address.as_mut(), forwarded(handshake.headers())) {
                        *address = web.client(*address, Some(&forwarded));
                        shard.speaks_for(conn, &address.to_string());
                    }
                    shard.upgraded(now, conn, handshake.wire(), referer, headers);
                    heard.upgraded = true;
                    return ControlFlow::Break(());
                }
                LinkEvent::Turned(wire) => {
                    shard.turned(now, conn, wire);
                    heard.upgraded = true;
                    return ControlFlow::Break(());
                }
                LinkEvent::Introduced(introduction) => {
                    let silence_ns_max = introduction.silence_ms_max.map(|ms| ms.saturating_mul(NANOS_PER_MS));
                    shard.introduced(now, conn, introduction.client, silence_ns_max);
                    Flow::Continue
                }
                LinkEvent::Http(bytes) => {
                    let talk = http.get_or_insert_with(|| {
                        shard.became_http(now, conn);
                        Box::new(Conversation::new(web, config))
                    });
                    talk.feed(bytes);
                    heard.http = true;
                    Flow::Continue
                }
                LinkEvent::Forbidden(why) => {
                    heard.forbidden = Some(why.into());
                    Flow::Close
                }
                LinkEvent::Close(closing) => {
                    heard.over = Some(closing);
                    Flow::Close
                }
            };
            match flow {
                Flow::Continue => return ControlFlow::Continue(()),
                Flow::Pause => heard.pause = true,
                Flow::Close => heard.deaf = true,
            }
            ControlFlow::Break(())
        };
        match input {
            Some(input) => link.received(config, input, replies, &mut on),
            None => link.resumed(config, replies, &mut on),
        }
        if heard.upgraded {
            // The answer to the upgrade goes out before what the shard says to messages that came along with it.
            shard.raw(now, conn, replies);
            replies.clear();
            let rest = self.listen((shard, auth, web), now, links, None, replies);
            return Heard { upgraded: true, ..rest };
        }
        if came && !heard.messages && !heard.http {
            // A pong, or a part of a message: somebody is there.
            shard.heard(now, conn);
        }
        self.deaf |= heard.deaf;
        heard
    }
}
