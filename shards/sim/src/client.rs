//! Clients as the server sees them: they connect, log in, keep alive, and come back.
//!
//! *Owns* the state of a client. *Promises* to speak the real protocol in bytes, split and delayed as a real socket
//! would. *Does not* choose what to do once it is logged in: the workload does.

use crate::rng::Rng;
use crate::workload::held::Held;
use crate::workload::listen::Stand;
use crate::workload::record::Mirror;
use crate::workload::rpc::Inbox;
use crate::world::World;
use deepstream_engine::Nanos;
use deepstream_wire::client::{self, ServerEvent};
use deepstream_wire::{Action, Outgoing};

/// How far a client is with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for the upgrade, the challenge's answer or the login's.
    Entering,
    Open,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) conn: Option<usize>,
    pub(crate) phase: Phase,
    /// Is an old client, which does not know PATCH_MULTI.
    old: bool,
    /// Sends the whole handshake without waiting for answers.
    eager: bool,
    pub(crate) stalled_until: u64,
    pub(crate) spoke_at: Nanos,
    /// Sends nothing before this moment.
    pub(crate) quiet_until: Nanos,
    /// Who it logs in as this time.
    pub(crate) user: usize,
    correlation: u64,
    /// Per event name, what this connection emitted so far.
    pub(crate) emitted: Vec<u64>,
    pub(crate) mirror: Mirror,
    pub(crate) inbox: Inbox,
    pub(crate) stand: Stand,
    pub(crate) held: Held,
}

impl Client {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            conn: None,
            phase: Phase::Entering,
            old: rng.chance(50),
            eager: rng.chance(20),
            stalled_until: 0,
            spoke_at: Nanos(0),
            quiet_until: Nanos(0),
            user: 0,
            correlation: 0,
            emitted: Vec::new(),
            mirror: Mirror::default(),
            inbox: Inbox::default(),
            stand: Stand::default(),
            held: Held::default(),
        }
    }

    /// A correlation id not used before.
    pub(crate) fn correlation(&mut self) -> String {
        self.correlation += 1;
        format!("c{}", self.correlation)
    }
}

impl World {
    /// A client has a new socket.
    pub(crate) fn begin_client(&mut self, client: usize, index: usize) {
        let now = self.now;
        let user = self.rng.workload.below(self.plan.users.len());
        let who = &mut self.clients[client];
        who.user = user;
        who.inbox.clear();
        who.stand.clear();
        who.held = Held::default();
        who.quiet_until = Nanos(0);
        who.conn = Some(index);
        who.phase = Phase::Entering;
        who.stalled_until = 0;
        who.spoke_at = now;
        who.emitted.clear();
        let eager = who.eager;
        client::upgrade_request("sim", "/deepstream", &[], self.conns[index].up.writer());
        if eager {
            self.challenge(client);
            self.say(client, &login());
        }
    }

    /// Bytes arrive at a client.
    pub(crate) fn read(&mut self, index: usize, count: usize) {
        let client = self.conns[index].client;
        if count == 0 {
            self.line(|| format!("lost conn={index}"));
            return self.lose(index);
        }
        let bytes = self.conns[index].down.take(count);
        self.line(|| format!("read conn={index} bytes={count}"));
        let mut reader = std::mem::take(&mut self.conns[index].reader);
        reader.received(&bytes, &mut |event| self.told(client, &event));
        self.conns[index].reader = reader;
    }

    /// A client notices that its socket is gone.
    pub(crate) fn lose(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        conn.client_alive = false;
        conn.down.clear();
        let client = conn.client;
        if self.clients[client].conn == Some(index) {
            self.clients[client].conn = None;
        }
        if !self.conns[index].alive {
            self.live.retain(|&other| other != index);
        }
    }

    fn told(&mut self, client: usize, event: &ServerEvent<'_>) {
        let eager = self.clients[client].eager;
        if let ServerEvent::Message(message) = event
            && self.plan.ruled()
        {
            self.clients[client].lets_go(message);
        }
        match event {
            ServerEvent::Status(101) if !eager => self.challenge(client),
            ServerEvent::Message(message) => match message.head.action {
                Action::ConnectionAccept if !eager => self.say(client, &login()),
                Action::AuthUnsuccessful => self.say(client, &login()),
                Action::AuthSuccessful => {
                    self.clients[client].phase = Phase::Open;
                    self.entered(client);
                }
                Action::RpcRequest => self.clients[client].inbox.asked(message),
                Action::EventPatternFound | Action::RecordPatternFound => self.listener_asked(client, message),
                _ if self.clients[client].phase == Phase::Open => self.record_told(client, message),
                _ => {}
            },
            _ => {}
        }
    }

    fn challenge(&mut self, client: usize) {
        let version = if self.clients[client].old { "7.0.5" } else { "7.1.0" };
        let mask = self.mask();
        let Some(index) = self.clients[client].conn else { return };
        client::encode_challenge("ws://sim", "javascript", version, mask, self.conns[index].up.writer());
    }

    /// A client sends a message.
    pub(crate) fn say(&mut self, client: usize, message: &Outgoing<'_>) {
        let mut names = Vec::new();
        if self.plan.ruled() {
            if !self.clients[client].holds_back(message, &mut names) {
                return;
            }
            if !message.names.is_empty() && !names.is_empty() {
                return self.send(client, &Outgoing { names: &names, ..*message });
            }
        }
        self.send(client, message);
    }

    fn send(&mut self, client: usize, message: &Outgoing<'_>) {
        let mask = self.mask();
        let now = self.now;
        let Some(index) = self.clients[client].conn else { return };
        self.clients[client].spoke_at = now;
        let conn = &mut self.conns[index];
        if !conn.up_ended {
            client::encode(message, mask, conn.up.writer());
        }
    }

    /// A client shows that it lives.
    pub(crate) fn ping(&mut self, client: usize) {
        self.line(|| format!("ping client={client}"));
        self.say(client, &Outgoing::new(Action::ConnectionPing));
    }

    pub(crate) fn mask(&mut self) -> [u8; 4] {
        (self.rng.payload.bits() as u32).to_le_bytes()
    }
}

fn login() -> Outgoing<'static> {
    Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) }
}
