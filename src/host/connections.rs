//! The life of a connection on its core, from accepting to closing.
//!
//! *Owns* the ring, the shard and the sockets, between which bytes move. *Promises* that the shard is told of every
//! connection's end exactly once, that output is sent before a socket is closed (within a time limit), and that the
//! shard gets no input of a connection that it has paused or closed. *Does not* decide when to pause or close: the
//! shard and the link do. *Does not* execute requests of HTTP: it returns what to do with them ([`Next`]).

mod end;
mod recode;
mod sealed;
mod silent;
mod upgrade;
mod weigh;

use super::admission::Links;
use super::endings::{Endings, Known};
use super::http::Conversation;
use super::listen::ListenerSettings;
use super::ring::{Buffer, Key, Ring, Taken};
use super::socket::{Socket, Sockets, Stage};
use crate::auth;
use crate::endpoint::http::Service;
use crate::note::Ending;
use crate::proxies::forwarded;
use deepstream_engine::{ConnId, Flow, Headers, Nanos, Note, Outbox, Peer, Shard};
use deepstream_wire::{Closing, LinkEvent, Medium, Wire};
use std::ops::ControlFlow;
use std::rc::Rc;

/// How long a socket without a session may take to send its remaining output and to be closed by its peer.
const LINGER_NS: u64 = 2_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;
/// The connections of a core: its sockets, its ring and its shard, between which their bytes move.
pub(super) struct Connections {
    pub(super) shard: Shard,
    pub(super) ring: Ring,
    pub(super) sockets: Sockets,
    pub(super) links: Links,
    pub(super) web: Rc<Service>,
    pub(super) auth: auth::Client,
    /// How many closed connections were logged.
    pub(super) endings: Endings,
    /// The time of this turn, or of its latest `look`.
    pub(super) now: Nanos,
    /// The count of bytes ever put into outboxes at which this turn takes in no more.
    pub(super) enough: u64,
    /// Whether memory is short, so that the connections which the shard has named are to be closed before more is taken in.
    pub(super) overburdened: bool,
}

/// What the caller has to do next with the requests of HTTP on a connection.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) enum Next {
    Nothing,
    /// They go on.
    Drive,
    /// They go on, and then the secured session on which they came is to be concluded.
    DriveSealed {
        /// It sends nothing more.
        over: bool,
    },
}

/// The result of handing bytes to a link.
#[derive(Debug, Default)]
struct Heard {
    /// There were messages, well-formed or not.
    messages: bool,
    upgraded: bool,
    http: bool,
    pause: bool,
    ignores_input: bool,
    over: Option<Closing>,
    /// Why the connection is refused.
    forbidden: Option<Box<str>>,
}

impl Connections {
    /// Whether so much was put into outboxes in this turn that it must be sent before more is taken in.
    pub(super) fn has_said_enough(&self) -> bool {
        self.shard.counters().sent_bytes >= self.enough
    }

    /// A connection was accepted by a listener with these settings. `is_open`: everybody could do everything, so that other machines are
    /// refused unless it allows them.
    pub(super) fn accepted(&mut self, key: Key, settings: &ListenerSettings, is_open: bool) {
        let &ListenerSettings { medium, ref tls, allows_remote } = settings;
        let tls = match tls {
            None => None,
            Some(tls) => match tls.session() {
                Some(session) => Some(session),
                None => return self.ring.close(key),
            },
        };
        let address = self.ring.peer_address(key).map(|address| address.ip().to_canonical());
        let refused = !allows_remote && is_open && !self.ring.is_near(key);
        let remote = address.map(|address| address.to_string());
        let peer = Peer { remote: remote.unwrap_or_default().into(), is_secured: tls.is_some(), ..Peer::default() };
        match self.shard.connected(self.now, peer) {
            Some(conn) => {
                self.sockets.insert(key, conn, medium, (address, refused), tls);
                if medium == Medium::Mqtt {
                    self.shard.upgraded(self.now, conn, Wire::Mqtt, "", Headers::default());
                }
            }
            None => self.ring.close(key),
        }
    }

    /// Bytes were received.
    pub(super) fn hear(&mut self, key: Key, buffer: Buffer) -> Next {
        if self.sockets.get(key).is_some_and(|socket| socket.tls.is_some()) {
            return self.hear_sealed(key, buffer);
        }
        let Self { ring, sockets, shard, auth, links, web, now, .. } = self;
        let mut replies = std::mem::take(&mut sockets.replies);
        let heard = sockets.get(key).filter(|socket| !socket.ignores_input).map(|socket| {
            let input = ring.bytes(&buffer);
            let heard = socket.listen((shard, auth, web), *now, links, Some(input), &mut replies);
            (socket.conn, heard)
        });
        self.sockets.replies = replies;
        self.ring.release(buffer);
        heard.map_or(Next::Nothing, |(conn, heard)| self.heard(key, conn, &heard))
    }

    /// A connection may be heard again: first what its link kept, then its socket.
    pub(super) fn resumed(&mut self, key: Key, conn: ConnId) -> Next {
        let Self { sockets, shard, auth, links, web, now, .. } = self;
        let mut replies = std::mem::take(&mut sockets.replies);
        let listens = sockets.get(key).filter(|socket| !socket.ignores_input);
        let heard = listens.map(|socket| {
            socket.paused = false;
            socket.listen((shard, auth, web), *now, links, None, &mut replies)
        });
        self.sockets.replies = replies;
        let Some(heard) = heard else { return Next::Nothing };
        if !heard.pause {
            self.ring.resume(key);
        }
        let next = self.heard(key, conn, &heard);
        self.part_if_ended(key);
        next
    }

    /// What came before the peer's end was heard by now.
    fn part_if_ended(&mut self, key: Key) {
        if self.sockets.get(key).is_some_and(|socket| socket.ended && !socket.paused) {
            self.part(key);
        }
    }

    fn heard(&mut self, key: Key, conn: ConnId, heard: &Heard) -> Next {
        if heard.upgraded {
            self.wait_for_word(key);
        }
        if let Some(why) = &heard.forbidden {
            self.tell_end_of(key, Ending::Refused(why));
        } else if let Some(closing) = heard.over {
            let wire = self.sockets.wire(key, &self.links.open);
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
            // Whose link goes on for ever: the conversation says when it is over. It is weighed once it went on.
            return Next::Drive;
        }
        self.weigh(key);
        if heard.over.is_some() {
            self.part(key);
        }
        Next::Nothing
    }

    /// The peer will send nothing more: output is sent, then the socket is closed.
    pub(super) fn ended(&mut self, key: Key) -> Next {
        let Some(socket) = self.sockets.get(key) else { return Next::Nothing };
        socket.ended = true;
        match socket.stage {
            Stage::Open if socket.http.is_some() => {
                if let Some(talk) = &mut socket.http {
                    talk.end();
                }
                return Next::Drive;
            }
            // What it sent before comes first: while it is paused its link keeps some of it.
            Stage::Open if socket.paused => self.hung_up(key),
            Stage::Open => self.part(key),
            Stage::Lingering => self.forget(key),
            Stage::Closing | Stage::Draining => {}
        }
        Next::Nothing
    }

    /// A connection begins to wait for its login. It may have ended with the last bytes of it, and then there is
    /// nothing left to watch for.
    fn ended_before(&mut self, key: Key) {
        if self.sockets.get(key).is_some_and(|socket| socket.ended) {
            self.hung_up(key);
        }
    }

    /// The peer of a paused socket is gone, and left no unread bytes. Its login is called off.
    pub(super) fn hung_up(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        let (conn, says_more) = (socket.conn, socket.link.keeps_input());
        if socket.stage == Stage::Open && !says_more && self.auth.is_awaited(conn) {
            self.lost(key);
        }
    }

    /// Sends bytes. What the kernel takes at once is accounted for at once.
    fn send(&mut self, key: Key, outbox: Outbox) -> Next {
        let len = outbox.len();
        if let Some(socket) = self.sockets.get(key) {
            socket.sending = true;
            socket.sealed_bytes = len;
        }
        match self.ring.send(key, outbox) {
            Taken::All(outbox) => {
                self.shard.reuse(outbox);
                self.sent(key, len, true)
            }
            Taken::Part(0) => Next::Nothing,
            Taken::Part(bytes) => self.sent(key, bytes, false),
        }
    }

    /// Gives bytes of a session that is over to the kernel; no request goes on there.
    fn send_rest(&mut self, key: Key, outbox: Outbox) {
        let _ = self.send(key, outbox);
    }

    /// The kernel took bytes.
    pub(super) fn sent(&mut self, key: Key, bytes: usize, all: bool) -> Next {
        let Some(socket) = self.sockets.get(key) else { return Next::Nothing };
        let (conn, stage) = (socket.conn, socket.stage);
        let bytes = if socket.recodes() { socket.recoded(bytes, all) } else { bytes };
        if matches!(stage, Stage::Open | Stage::Closing) {
            self.shard.flushed(self.now, conn, bytes);
        }
        if all && let Some(socket) = self.sockets.get(key) {
            socket.sending = false;
            if let Some(rest) = socket.rest.take() {
                self.send_rest(key, *rest);
            } else if std::mem::take(&mut socket.more) {
                self.sockets.ready.push(key);
            } else {
                self.flushed(key);
            }
            if self.sockets.get(key).is_some_and(|socket| socket.http.as_ref().is_some_and(|talk| talk.is_blocked())) {
                return Next::Drive;
            }
        }
        Next::Nothing
    }

    /// Pauses what is still to be paused at the end of a turn. Most pauses end in the same turn: those of a login that
    /// is judged at once.
    pub(super) fn pause(&mut self) {
        while let Some(key) = self.sockets.pausing.pop() {
            if let Some(conn) = self.sockets.get(key).filter(|socket| socket.paused).map(|socket| socket.conn) {
                self.ring.pause(key);
                if self.auth.is_awaited(conn) {
                    self.ring.watch(key);
                    self.ended_before(key);
                }
            }
        }
    }

    /// What the log may say of connections, and the count of what it has said.
    fn known(&mut self) -> (Known<'_>, &mut Endings) {
        let Self { shard, sockets, links, now, endings, .. } = self;
        (Known { now: *now, shard, sockets, links: &links.open }, endings)
    }

    /// Logs that the host or the link closes the connection of a socket.
    pub(super) fn tell_end_of(&mut self, key: Key, ending: Ending<'_>) {
        let (known, endings) = self.known();
        endings.tell_end_of(known, key, ending);
    }

    /// Logs the notes of the shard.
    pub(super) fn write_notes(&mut self) {
        let notes: Vec<Note> = self.shard.notes().collect();
        let (known, endings) = self.known();
        endings.write(known, notes);
    }
}

impl Socket {
    /// Hands bytes to the link, or lets it continue with what it kept, and the resulting messages to the shard.
    fn listen(
        &mut self,
        (shard, auth, web): (&mut Shard, &auth::Client, &Rc<Service>),
        now: Nanos,
        links: &Links,
        input: Option<&mut [u8]>,
        replies: &mut Vec<u8>,
    ) -> Heard {
        let Self { conn, address, link, http, refused, .. } = self;
        let conn = *conn;
        let config = if *refused { &links.refusing } else { &links.open };
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
                Flow::Close => heard.ignores_input = true,
            }
            ControlFlow::Break(())
        };
        match input {
            Some(input) => link.received(config, input, replies, &mut on),
            None => link.resumed(config, replies, &mut on),
        }
        if heard.upgraded {
            // The answer to the upgrade goes out before the shard's answers to messages that came with it.
            shard.raw(now, conn, replies);
            replies.clear();
            let rest = self.listen((shard, auth, web), now, links, None, replies);
            return Heard { upgraded: true, ..rest };
        }
        if came && !heard.messages && !heard.http {
            // A pong, or a part of a message: the client is alive.
            shard.heard(now, conn);
        }
        self.ignores_input |= heard.ignores_input;
        heard
    }
}
