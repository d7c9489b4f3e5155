//! What connections of this core are sent, and how they end.
//!
//! *Owns* the way of bytes into outboxes. *Promises* that an outbox never grows past its maximum by more than one frame, nor
//! ends its connection by a single one. *Does not* decide who is told what, nor encode.

use crate::edge::session::burden::Burden;
use crate::edge::session::close_reason::close_reason_of;
use crate::edge::session::table::{Session, Sessions, State, find_mut};
use crate::ident::{ConnId, Nanos};
use crate::limits::Limits;
use crate::output::{Frames, Note, Outbox, Reason, Spare};
use crate::outputs::Outputs;
use bytes::Bytes;
use deepstream_wire::Wire;
use deepstream_wire::close_reason::{encode_close, encode_probe};
use std::collections::VecDeque;

impl Sessions {
    /// Appends to the outbox of a connection of this core, if anything is still said to it: as many bytes as `put` says.
    #[inline]
    pub(crate) fn append(
        &mut self,
        outputs: &mut Outputs,
        conn: ConnId,
        put: impl FnOnce(Wire, &mut Outbox, &mut Spare) -> usize,
    ) {
        let Self { limits, table, dirty, burden, spare, .. } = self;
        let Some(session) = find_mut(table, conn).filter(|session| session.is_told()) else { return };
        let bytes = put(session.wire, &mut session.outbox, spare);
        outputs.sent(1, bytes);
        burden.put(session, bytes);
        if appended(session, conn, bytes, outputs.now, Marks::of(limits), dirty, burden) {
            self.close(outputs, conn, Reason::SlowConsumerFull);
        }
    }

    /// Asks a connection whether it lives, in a way that its WebSocket answers without its client.
    pub(crate) fn probe(&mut self, outputs: &mut Outputs, conn: ConnId) {
        self.append(outputs, conn, |wire, outbox, spare| {
            let out = outbox.open(spare);
            let before = out.len();
            encode_probe(wire, out);
            out.len() - before
        });
    }

    /// Appends bytes that are not a message of the engine: what the link answers by itself.
    pub(crate) fn raw(&mut self, outputs: &mut Outputs, conn: ConnId, bytes: &[u8]) {
        self.append(outputs, conn, |_, outbox, spare| {
            outbox.open(spare).extend_from_slice(bytes);
            bytes.len()
        });
    }

    /// The same, at the end of a link, whose own close frame is among the bytes.
    pub(crate) fn goodbye(&mut self, outputs: &mut Outputs, conn: ConnId, bytes: &[u8]) {
        let Self { limits, table, dirty, burden, spare, .. } = self;
        let Some(session) = find_mut(table, conn).filter(|session| session.is_told()) else { return };
        session.outbox.open(spare).extend_from_slice(bytes);
        // One that never became a WebSocket is not closed as one either.
        if !matches!(session.state, State::Connected) {
            session.state = State::Closing;
        }
        outputs.sent(1, bytes.len());
        burden.put(session, bytes.len());
        // However much waits: it is over already.
        let _ = appended(session, conn, bytes.len(), outputs.now, Marks::of(limits), dirty, burden);
    }

    /// Another core's answer to a connection of this one.
    pub(crate) fn deliver(&mut self, outputs: &mut Outputs, conn: ConnId, frame: Bytes) {
        let copy_bytes_max = self.limits.copy_bytes_max;
        self.append(outputs, conn, |_, outbox, spare| {
            let bytes = frame.len();
            if bytes >= copy_bytes_max {
                outbox.push_shared(frame);
            } else {
                outbox.open(spare).extend_from_slice(&frame);
            }
            bytes
        });
    }

    /// Of one or two subscribers of this core the one who is told: of two, the other is the one who is not.
    #[inline]
    pub(crate) fn only_one(&self, members: &[u32], except: ConnId) -> Option<u32> {
        let is_not = |member| except.core == self.core && except.slot == member && self.get(except).is_some();
        match *members {
            [member] => Some(member),
            [writer, member] | [member, writer] if is_not(writer) => Some(member),
            _ => None,
        }
    }

    /// Tells one subscriber of this core, unless it is the one who is not told.
    #[inline]
    pub(crate) fn tell_member(
        &mut self,
        outputs: &mut Outputs,
        member: u32,
        except: ConnId,
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        let Self { core, limits, table, dirty, burden, spare, .. } = self;
        let Some(session) = table.get_mut(member as usize).filter(|session| session.is_told()) else { return };
        let conn = ConnId { core: *core, generation: session.generation, slot: member };
        if conn == except {
            return;
        }
        let out = session.outbox.open(spare);
        let before = out.len();
        put(out);
        let bytes = out.len() - before;
        outputs.sent(1, bytes);
        burden.put(session, bytes);
        if appended(session, conn, bytes, outputs.now, Marks::of(limits), dirty, burden) {
            self.close(outputs, conn, Reason::SlowConsumerFull);
        }
    }

    /// Sends one encoded message to this core's subscribers of an owner's slot; `share` makes one of its form for each wire that
    /// outboxes can hold in common.
    pub(crate) fn fan_out_here(
        &mut self,
        outputs: &mut Outputs,
        members: &[u32],
        except: ConnId,
        frames: [&[u8]; Wire::COUNT],
        share: impl Fn() -> Frames,
    ) {
        // By its full name: the slot of one who is gone may be another's by now.
        let here = except.core == self.core && self.get(except).is_some();
        let except = if here { except.slot } else { u32::MAX };
        let Self { core, limits, table, dirty, burden, spare, .. } = self;
        // What is the same for all of them is looked up once, and what is counted is added once.
        let (core, now, marks, copy_bytes_max) = (*core, outputs.now, Marks::of(limits), limits.copy_bytes_max);
        let (mut sent, mut sent_bytes) = (0, 0);
        let mut shared: Option<Frames> = None;
        let mut loans = [None; Wire::COUNT];
        let mut full: Vec<ConnId> = Vec::new();
        for &member in members {
            if member == except {
                continue;
            }
            let Some(session) = table.get_mut(member as usize).filter(|session| session.is_told()) else { continue };
            let frame = frames[session.wire as usize];
            if frame.len() < copy_bytes_max {
                session.outbox.open(spare).extend_from_slice(frame);
                burden.put(session, frame.len());
            } else {
                let shared = shared.get_or_insert_with(&share);
                session.outbox.push_shared(shared.of(session.wire).clone());
                burden.lend(session, frame.len(), &mut loans[session.wire as usize]);
            }
            sent += 1;
            sent_bytes += frame.len();
            let conn = ConnId { core, generation: session.generation, slot: member };
            if appended(session, conn, frame.len(), now, marks, dirty, burden) {
                full.push(conn);
            }
        }
        outputs.sent(sent, sent_bytes);
        for conn in full {
            self.close(outputs, conn, Reason::SlowConsumerFull);
        }
    }

    /// Ends a connection: what waits for it is sent, nothing more is read.
    pub(crate) fn close(&mut self, outputs: &mut Outputs, conn: ConnId, reason: Reason) {
        let Self { table, burden, dirty, closes, .. } = self;
        let Some(session) = find_mut(table, conn) else { return };
        if matches!(session.state, State::Closing) {
            return;
        }
        let (user, remote, wire) = (session.user().map(Into::into), session.remote(), session.wire);
        let since = match reason {
            Reason::HeartbeatMissing | Reason::NeverSpoke => session.heard_at,
            Reason::SlowConsumerStalled => session.stepped_at,
            Reason::SlowConsumerFull
            | Reason::Overburdened
            | Reason::AuthenticationTimeout
            | Reason::InvalidAuth
            | Reason::TooManyAuthAttempts
            | Reason::LoginUnjudged
            | Reason::SessionExpired
            | Reason::TakenOver
            | Reason::Shutdown => outputs.now,
        };
        if !matches!(session.state, State::Connected) {
            let before = session.outbox.bytes.len();
            encode_close(session.wire, close_reason_of(reason), &mut session.outbox.bytes);
            let bytes = session.outbox.bytes.len() - before;
            burden.put(session, bytes);
        }
        session.state = State::Closing;
        (session.moved_at, session.since) = (outputs.now, outputs.now);
        if !session.dirty {
            session.dirty = true;
            dirty.push_back(conn);
        }
        match reason {
            Reason::SlowConsumerFull | Reason::SlowConsumerStalled => outputs.counters.slow_consumers += 1,
            Reason::HeartbeatMissing | Reason::NeverSpoke => outputs.counters.heartbeats_missed += 1,
            Reason::AuthenticationTimeout => outputs.counters.authentication_timeouts += 1,
            // Dropped ones are counted where they are.
            Reason::Overburdened
            | Reason::InvalidAuth
            | Reason::TooManyAuthAttempts
            | Reason::LoginUnjudged
            | Reason::SessionExpired
            | Reason::TakenOver
            | Reason::Shutdown => {}
        }
        closes.push((conn, reason));
        outputs.note(Note::Closed { conn, user, remote, wire, reason, waited_ns: outputs.now.since(since) });
    }
}

/// When an outbox is long, and when it is too long.
#[derive(Clone, Copy)]
struct Marks {
    high_water: usize,
    bytes_max: usize,
}

impl Marks {
    #[inline]
    fn of(limits: &Limits) -> Self {
        let bytes_max = limits.outbox_bytes_max;
        Self { high_water: limits.outbox_high_water_bytes.min(bytes_max), bytes_max }
    }
}

/// Something was appended to a session's outbox: it is to be flushed, and perhaps watched. Whether it has become too much.
#[inline]
fn appended(
    session: &mut Session,
    conn: ConnId,
    bytes: usize,
    now: Nanos,
    Marks { high_water, bytes_max }: Marks,
    dirty: &mut VecDeque<ConnId>,
    burden: &mut Burden,
) -> bool {
    if !session.dirty {
        session.dirty = true;
        if session.unsent == 0 {
            session.moved_at = now;
        }
        dirty.push_back(conn);
    }
    let backlog = session.backlog();
    if backlog <= high_water {
        return false;
    }
    if !session.filling {
        session.filling = true;
        (session.stepped_at, session.step_bytes) = (now, 0);
        burden.filling.push(conn);
    }
    // Whoever had little waiting is told whatever it is: a record may be larger than outboxes are to be. What the host will
    // put here is bounded there.
    let queued = session.queued();
    queued > bytes_max && queued - bytes > high_water
}
