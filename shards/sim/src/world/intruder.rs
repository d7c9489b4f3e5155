//! Intruders: connections of every wire that try everything with records, whatever they are allowed to do.
//!
//! *Owns* their messages. They have no sockets: messages reach their shard whole, and output is taken at once. Their
//! answers are not tracked; the oracle only checks what documents they contain, see `oracle::told`.

use super::World;
use crate::conn::Conn;
use crate::mutation::Mutation;
use bytes::Bytes;
use deepstream_engine::{ConnId, Flow, Headers, Outbox, Peer};
use deepstream_wire::client::{ServerEvent, ServerReader, original_action};
use deepstream_wire::{Action, Flags, Outgoing, Wire, binary, encode};

/// Steps between two actions of intruders, on average.
const STEPS_PER_DEED: usize = 2;

/// An intruder, as the host sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intruder {
    /// Who it logs in as.
    pub(crate) user: usize,
    /// It was logged in.
    pub(crate) entered: bool,
    /// It is not read from until the shard says so.
    paused: bool,
}

impl World {
    /// Now and then an intruder acts.
    pub(crate) fn let_intruders_act(&mut self) {
        if self.plan.intruders.is_empty() || self.settling || self.rng.intruders.below(STEPS_PER_DEED) > 0 {
            return;
        }
        let place = self.rng.intruders.below(self.plan.intruders.len());
        match self.intruders[place] {
            Some(index) if self.conns[index].alive => self.continue_intruder(index),
            _ => self.begin_intruder(place),
        }
    }

    /// All intruders leave.
    pub(crate) fn end_intruders(&mut self) {
        for index in std::mem::take(&mut self.intruders).into_iter().flatten() {
            self.disconnect(index);
        }
    }

    fn begin_intruder(&mut self, place: usize) {
        let core = self.rng.intruders.below(self.cores.len());
        if self.frozen(core) {
            return;
        }
        let Some(id) = self.cores[core].shard.connected(self.now, Peer::default()) else { return self.drain(core) };
        let wire = self.plan.intruders[place];
        let user = self.rng.intruders.below(self.plan.users.len());
        let conn = Conn::new(usize::MAX, core, id);
        let index = self.seat(Conn { intruder: Some(Intruder { user, entered: false, paused: false }), ..conn });
        self.intruders[place] = Some(index);
        self.line(|| format!("pries core={core} conn={index} {wire:?} user={user}"));
        self.oracle.connected(index, core, "");
        self.oracle.intruder(index, wire);
        self.cores[core].shard.upgraded(self.now, id, wire, "", Headers::default());
        self.drain(core);
        if wire.is_challenged() {
            self.hand(index, &Outgoing::new(Action::ConnectionChallenge));
        }
        self.hand(index, &Outgoing { data: Some(b"{}"), ..Outgoing::new(Action::AuthRequest) });
    }

    /// A connection has its place among all others.
    pub(super) fn seat(&mut self, conn: Conn) -> usize {
        let (index, core, id) = (self.conns.len(), conn.core, conn.id);
        self.conns.push(conn);
        self.sockets.insert(id, index);
        let sockets = &mut self.cores[core].sockets;
        let slot = id.index();
        if sockets.len() <= slot {
            sockets.resize(slot + 1, None);
        }
        sockets[slot] = Some(index);
        index
    }

    fn continue_intruder(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        let core = conn.core;
        let resumes = std::mem::take(&mut conn.resume_due);
        let Some(intruder) = &mut conn.intruder else { return };
        intruder.paused &= !resumes;
        let speaks = intruder.entered && !intruder.paused;
        if self.frozen(core) || !speaks {
            return;
        }
        // Under the rules of a short time it is clearer what it may.
        if self.rng.intruders.chance(4) {
            self.line(|| format!("pries no more conn={index}"));
            return self.disconnect(index);
        }
        self.intrude(index);
    }

    /// It tries something with some record.
    fn intrude(&mut self, index: usize) {
        let rng = &mut self.rng.intruders;
        let name = rng.pick(&(0..self.plan.record_names.len()).collect::<Vec<_>>());
        let name = self.plan.record_names[name].clone();
        self.mark += 1;
        let mark = self.mark;
        let present = self.oracle.version(name.as_bytes());
        let version =
            rng.pick(&[present, present, present, present - 1, 0, -2, present + 2, present + 9, present + 1, -1]);
        let (value, path) = (format!("{{\"w\":{mark}}}"), format!("u{mark}.z"));
        let parts = format!("[{{\"path\":\"l[0]\",\"data\":[{mark},0]}}]");
        let correlation = format!("y{mark}");
        let names: [&[u8]; 1] = [name.as_bytes()];
        let base = |action| Outgoing { correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(action) };
        let about = |action| Outgoing { name: Some(name.as_bytes()), ..base(action) };
        let bulk = |action| Outgoing { names: &names, ..base(action) };
        let is_write_ack = rng.chance(50);
        // Who listens would hear of what it wants.
        let subscribes = self.plan.topics.listen == 0;
        let write = |action| Outgoing { version: Some(version), is_write_ack, ..about(action) };
        let message = match rng.below(100) {
            0..=3 => about(Action::RecordRead),
            4..=7 => about(Action::RecordHead),
            8 => about(Action::RecordDelete),
            9..=10 => bulk(Action::RecordNotify),
            11..=14 => bulk(Action::RecordUnsubscribe),
            15..=29 if subscribes => bulk(rng.pick(&[
                Action::RecordSubscribe,
                Action::RecordSubscribeAndHead,
                Action::RecordSubscribeAndRead,
                Action::RecordSubscribeCreateAndRead,
            ])),
            15..=49 => Outgoing { data: Some(value.as_bytes()), ..write(Action::RecordUpdate) },
            50..=59 => Outgoing { data: Some(value.as_bytes()), ..write(Action::RecordCreateAndUpdate) },
            60..=69 => Outgoing { path: Some(path.as_bytes()), ..write(Action::RecordErase) },
            70..=79 => Outgoing { data: Some(parts.as_bytes()), ..write(Action::RecordPatchMulti) },
            ticket => {
                let action = if ticket < 90 { Action::RecordPatch } else { Action::RecordCreateAndPatch };
                Outgoing { path: Some(b"a"), data: Some(value.as_bytes()), ..write(action) }
            }
        };
        self.hand(index, &message);
    }

    /// Hands a shard what one says.
    fn hand(&mut self, index: usize, message: &Outgoing<'_>) {
        let mut payload = Vec::new();
        encode::encode_message(message, &mut payload);
        for message in binary::messages(&payload).flatten() {
            let (core, id) = (self.conns[index].core, self.conns[index].id);
            if !self.conns[index].alive {
                return;
            }
            let step = self.step;
            self.trace.line(step, || format!("  hears conn={index} {}", crate::trace::describe(&message)));
            self.oracle.intruder_heard(index, &message);
            let flow = self.cores[core].shard.received(self.now, id, &message);
            if let Some(intruder) = &mut self.conns[index].intruder {
                intruder.paused = flow != Flow::Continue;
            }
            self.drain(core);
        }
    }

    /// Takes the output of a shard for an intruder.
    pub(super) fn intruder_told(&mut self, index: usize, id: ConnId, outbox: &Outbox) {
        let mut bytes = Vec::new();
        super::drain::write_out(outbox, &mut bytes);
        let core = self.conns[index].core;
        self.trace
            .line(self.step, || format!("  says conn={index} {}", String::from_utf8_lossy(&bytes).escape_debug()));
        self.oracle.intruder_told(index, &bytes);
        self.cores[core].shard.flushed(self.now, id, bytes.len());
    }

    /// The answer to a conflict, with the document in it: that of its version, or of the one that the write follows.
    pub(super) fn misinformed(&self, conn: ConnId, frame: &Bytes) -> Bytes {
        let ages = self.mutation == Mutation::AgeConflict;
        if ages && !self.plan.is_narrow() {
            return frame.clone();
        }
        let mut told = Vec::new();
        ServerReader::upgraded().received(frame, &mut |event| {
            let ServerEvent::Message(message) = event else { return };
            let wanted = self.socket(conn).filter(|_| ages).zip(message.correlation_id());
            let wanted = wanted.and_then(|(conn, id)| self.oracle.wanted(conn, id)).filter(|&wanted| wanted > 0);
            let version = wanted.map_or(message.head.version, |wanted| wanted - 1);
            let document = self.oracle.document(message.name(), version);
            let answer = Outgoing {
                name: Some(message.name()),
                version: Some(if document.is_some() { version } else { message.head.version }),
                data: document.as_ref().map_or(message.data(), |document| Some(document.as_bytes())),
                correlation_id: message.correlation_id(),
                original_action: original_action(&message),
                is_write_ack: message.head.flags.has(Flags::IS_WRITE_ACK),
                ..Outgoing::new(message.head.action)
            };
            encode::encode(Wire::Protobuf, &answer, &mut told);
        });
        told.into()
    }
}
