//! The link to another node: two streams of bundles each way, over a bus that loses, repeats and reorders.
//!
//! One stream carries requests and one deliveries. They have windows of their own, because a node may leave requests alone while
//! its deliveries are congested: in one stream the requests in front would hold up the deliveries that it waits for.
//!
//! A link is between two sessions. Either side may begin anew, because it heard nothing for too long or has more to send than it
//! may hold; what was under way is then lost for both, both know it, and nothing of it comes later. A link that gave up single
//! bundles instead could deliver an answer after its request was answered by an error.
//!
//! *Owns* what is under way between two nodes. *Promises* to deliver bundles whole, once and in order while no side begins anew, and
//! to hold no more than its settings allow. *Does not* decide when to begin anew; whoever has it looks at [`Link::is_overfull`]
//! and [`Link::is_silent`].

mod incoming;
mod outgoing;

use crate::frame::{Ack, Frame, Said, Session};
use bytes::Bytes;
use deepstream_engine::{Lane, Nanos};
use incoming::{Came, Incoming};
use outgoing::Outgoing;

/// How much of a link may be under way, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// Of a bundle in one frame: what the bus takes, less [`Frame::OVERHEAD_BYTES_MAX`].
    pub frame_bytes_max: usize,
    /// Of a bundle. A longer one is not carried, and not taken.
    pub bundle_bytes_max: usize,
    /// Frames of a stream that are sent and not taken.
    pub window_frames: u32,
    /// Bytes of a stream that are sent and not acknowledged, if it is more than one frame; the same of what waits to be taken.
    pub window_bytes: usize,
    /// Bytes of both streams that wait behind the bundles in front: above it the link is overfull. Those in front do not count: a
    /// bundle that is larger than this would else never come through.
    pub held_bytes_max: usize,
    /// The least time after which a frame is sent again.
    pub resend_ns_min: u64,
    /// The longest.
    pub resend_ns_max: u64,
    /// How long an acknowledgement waits for a frame that carries it.
    pub ack_ns: u64,
    /// Who is not heard for so long is silent.
    pub silence_ns: u64,
}

impl Default for LinkSettings {
    /// For a bus in the same data centre that takes a mebibyte, as NATS does.
    fn default() -> Self {
        Self {
            frame_bytes_max: (1 << 20) - Frame::OVERHEAD_BYTES_MAX,
            bundle_bytes_max: 256 << 20,
            window_frames: 256,
            window_bytes: 4 << 20,
            held_bytes_max: 64 << 20,
            resend_ns_min: 20_000_000,
            resend_ns_max: 2_000_000_000,
            ack_ns: 1_000_000,
            silence_ns: 2_000_000_000,
        }
    }
}

/// What a link has under way, and what it had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCensus {
    /// Frames that are sent and not acknowledged.
    pub in_flight: usize,
    /// Bytes that are not acknowledged, sent or not.
    pub held_bytes: usize,
    /// Frames that came early and wait for those before them.
    pub early: usize,
    /// Frames that were sent again.
    pub resent: u64,
    /// Frames that came again.
    pub repeated: u64,
    /// Frames that no node of ours sends.
    pub wrong: u64,
    /// There and back, smoothed; 0 before anything was measured.
    pub round_trip_ns: u64,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is of the link as it is.
    Taken,
    /// The other side began anew, and with it this one. What was under way is lost.
    Restarted,
    /// It was said before a side began anew, or before it was known here or there.
    Stale,
    /// It is from or for a session of another membership.
    Stranger,
}

/// How long frames take (RFC 6298).
#[derive(Default)]
struct Pace {
    smoothed_ns: u64,
    deviation_ns: u64,
}

impl Pace {
    fn measured(&mut self, ns: u64) {
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.deviation_ns) = (ns.max(1), ns / 2);
            return;
        }
        self.deviation_ns = (self.deviation_ns * 3 + self.smoothed_ns.abs_diff(ns)) / 4;
        self.smoothed_ns = ((self.smoothed_ns * 7 + ns) / 8).max(1);
    }

    fn resend_ns(&self, timeouts: u32, settings: &LinkSettings) -> u64 {
        let LinkSettings { resend_ns_min, resend_ns_max, .. } = *settings;
        // Before anything was measured a resend is a guess: one that is early costs little.
        let usual = (self.smoothed_ns + 4 * self.deviation_ns).clamp(resend_ns_min, resend_ns_max);
        usual.saturating_mul(1 << timeouts.min(16)).min(resend_ns_max)
    }
}

/// What this side says at regular times.
#[derive(Clone, Copy)]
struct Beat {
    epoch: u64,
    yielded: u64,
    hears: u64,
}

/// The link to one other node.
pub struct Link {
    own: Session,
    peer: Session,
    settings: LinkSettings,
    outgoing: [Outgoing; 2],
    incoming: [Incoming; 2],
    pace: Pace,
    /// Which stream sends next.
    turn: usize,
    beat: Option<Beat>,
    /// When what came is acknowledged at the latest, without a frame that would carry it.
    ack_at: Option<Nanos>,
    /// What the other side was told last.
    told: [Ack; 2],
    /// When the other side was heard last.
    heard_at: Nanos,
    resent: u64,
    repeated: u64,
    wrong: u64,
}

impl Link {
    /// A link on which nothing was said.
    pub fn new(now: Nanos, own: Session, peer: Session, settings: LinkSettings) -> Self {
        Self {
            own,
            peer,
            settings,
            outgoing: Default::default(),
            incoming: Default::default(),
            pace: Pace::default(),
            turn: 0,
            beat: None,
            ack_at: None,
            told: Default::default(),
            heard_at: now,
            resent: 0,
            repeated: 0,
            wrong: 0,
        }
    }

    /// This side.
    pub fn own(&self) -> Session {
        self.own
    }

    /// The other side.
    pub fn peer(&self) -> Session {
        self.peer
    }

    /// Tells what was sent over the link from what was before a side began anew: it grows each time, and both sides find the same.
    pub fn number(&self) -> u32 {
        self.own.reset.wrapping_add(self.peer.reset)
    }

    /// This side begins anew; what was under way is lost. `reset` is larger than that of any link to this node before.
    pub fn reset(&mut self, reset: u32) {
        debug_assert!(reset > self.own.reset, "resets only grow");
        self.own.reset = reset;
        self.begin();
    }

    fn begin(&mut self) {
        self.outgoing = Default::default();
        self.incoming = Default::default();
        self.told = Default::default();
        self.ack_at = None;
    }

    /// Whether there is room for a bundle. Who sends nevertheless makes the link hold more, and overfull in the end.
    pub fn has_room(&self, lane: Lane) -> bool {
        self.outgoing[lane as usize].held() < self.settings.window_bytes
    }

    /// Whether more waits than may be held.
    pub fn is_overfull(&self) -> bool {
        let behind = || self.outgoing.iter().map(Outgoing::behind).sum::<usize>();
        self.held_bytes() > self.settings.held_bytes_max && behind() > self.settings.held_bytes_max
    }

    /// Whether the other side was not heard for too long.
    pub fn is_silent(&self, now: Nanos) -> bool {
        now >= self.silent_at()
    }

    /// When the other side becomes silent if nothing is heard.
    pub fn silent_at(&self) -> Nanos {
        self.heard_at.after(self.settings.silence_ns)
    }

    fn held_bytes(&self) -> usize {
        self.outgoing.iter().map(Outgoing::held).sum()
    }

    /// Whether a bundle is not longer than any may be.
    pub fn carries(&self, bundle: &Bytes) -> bool {
        bundle.len() <= self.settings.bundle_bytes_max
    }

    /// Sends a bundle that it carries.
    pub fn send(&mut self, lane: Lane, bundle: Bytes) {
        debug_assert!(self.carries(&bundle), "the other side would refuse it");
        self.outgoing[lane as usize].push(bundle, &self.settings);
    }

    /// Says at the next opportunity how things stand with this node.
    pub fn beat(&mut self, epoch: u64, yielded: u64, hears: u64) {
        self.beat = Some(Beat { epoch, yielded, hears });
    }

    /// A frame came from the other node, of `bytes`.
    pub fn heard(&mut self, now: Nanos, frame: &Frame<'_>, bytes: &Bytes) -> Heard {
        let known = |known: Session, session: Session| (known.node, known.since) == (session.node, session.since);
        if !known(self.peer, frame.from) || !known(self.own, frame.to) {
            return Heard::Stranger;
        }
        if frame.from.reset < self.peer.reset {
            return Heard::Stale;
        }
        self.heard_at = now;
        let restarted = frame.from.reset > self.peer.reset;
        if restarted {
            self.peer.reset = frame.from.reset;
            self.begin();
        }
        let for_this = frame.to.reset == self.own.reset;
        if for_this {
            self.said(now, &frame.said, bytes);
        }
        match (restarted, for_this) {
            (true, _) => Heard::Restarted,
            (false, true) => Heard::Taken,
            (false, false) => Heard::Stale,
        }
    }

    fn said(&mut self, now: Nanos, said: &Said<'_>, bytes: &Bytes) {
        match *said {
            Said::Data { lane, number, goes_on, acks, bytes: part } => {
                self.acked(now, acks, false);
                let came = self.incoming[lane as usize].heard(number, goes_on, bytes.slice_ref(part), &self.settings);
                let at = match came {
                    Came::InOrder if self.told_behind() => now,
                    Came::InOrder => now.after(self.settings.ack_ns),
                    // The other side may have missed an acknowledgement, or lost what is missing here.
                    Came::Early => now,
                    Came::Repeated => {
                        self.repeated += 1;
                        now
                    }
                    Came::Wrong => {
                        self.wrong += 1;
                        return;
                    }
                };
                self.ack_at = Some(self.ack_at.map_or(at, |before| before.min(at)));
            }
            Said::Acks { acks } => self.acked(now, acks, true),
            Said::Beat { acks, .. } => self.acked(now, acks, false),
        }
    }

    fn acked(&mut self, now: Nanos, acks: [Ack; 2], bare: bool) {
        for (outgoing, ack) in self.outgoing.iter_mut().zip(acks) {
            outgoing.heard(now, ack, bare, &mut self.pace);
        }
    }

    fn acks(&self) -> [Ack; 2] {
        [self.incoming[0].ack(&self.settings), self.incoming[1].ack(&self.settings)]
    }

    /// Whether the other side would stand still for not knowing what arrived and was taken here.
    fn told_behind(&self) -> bool {
        let may_send = |ack: Ack| ack.received.wrapping_sub(ack.waiting);
        let is_behind = |(ack, told): (Ack, &Ack)| {
            may_send(ack).wrapping_sub(may_send(*told)).cast_signed() >= (self.settings.window_frames / 2).cast_signed()
        };
        self.acks().into_iter().zip(&self.told).any(is_behind)
    }

    /// The first bundle that arrived and was not taken.
    pub fn first(&self, lane: Lane) -> Option<&Bytes> {
        self.incoming[lane as usize].first()
    }

    /// Takes it. What is not taken holds up its stream, once a window of it waits.
    pub fn take(&mut self, now: Nanos, lane: Lane) -> Option<Bytes> {
        let bundle = self.incoming[lane as usize].take()?;
        if self.told_behind() {
            self.ack_at = Some(now);
        }
        Some(bundle)
    }

    /// Time passed.
    pub fn tick(&mut self, now: Nanos) {
        for outgoing in &mut self.outgoing {
            outgoing.tick(now, &self.pace, &self.settings);
        }
    }

    /// When to call [`tick`](Self::tick) and [`next_frame`](Self::next_frame) at the latest.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let resends = self.outgoing.iter().filter_map(|outgoing| outgoing.deadline(&self.pace, &self.settings));
        resends.chain(self.ack_at).min()
    }

    /// Whether there is a frame to be sent.
    pub fn has_frame(&self, now: Nanos) -> bool {
        let streams = self.outgoing.iter().any(|outgoing| outgoing.has_next(&self.settings));
        streams || self.beat.is_some() || self.ack_at.is_some_and(|at| at <= now)
    }

    /// Writes the next frame to be sent; false if there is none.
    pub fn next_frame(&mut self, now: Nanos, cluster: u64, to: &mut Vec<u8>) -> bool {
        let acks = self.acks();
        let (from, peer) = (self.own, self.peer);
        let frame = |said: Said<'_>, to: &mut Vec<u8>| Frame { cluster, from, to: peer, said }.write(to);
        if let Some(Beat { epoch, yielded, hears }) = self.beat.take() {
            frame(Said::Beat { epoch, yielded, hears, acks }, to);
        } else if let Some((lane, next)) = self.next_data(now) {
            self.resent += u64::from(next.again);
            let outgoing::Next { number, goes_on, bytes, .. } = next;
            frame(Said::Data { lane, number, goes_on, acks, bytes: &bytes }, to);
        } else if self.ack_at.is_some_and(|at| at <= now) {
            frame(Said::Acks { acks }, to);
        } else {
            return false;
        }
        self.told = acks;
        self.ack_at = None;
        true
    }

    /// The streams send by turns.
    fn next_data(&mut self, now: Nanos) -> Option<(Lane, outgoing::Next)> {
        (0..Lane::ALL.len()).find_map(|_| {
            let lane = Lane::ALL[self.turn];
            self.turn = (self.turn + 1) % Lane::ALL.len();
            Some((lane, self.outgoing[lane as usize].next(now, &self.settings)?))
        })
    }

    /// What is under way.
    pub fn census(&self) -> LinkCensus {
        LinkCensus {
            in_flight: self.outgoing.iter().map(Outgoing::in_flight).sum(),
            held_bytes: self.held_bytes(),
            early: self.incoming.iter().map(Incoming::held).sum(),
            resent: self.resent,
            repeated: self.repeated,
            wrong: self.wrong,
            round_trip_ns: self.pace.smoothed_ns,
        }
    }
}

#[cfg(test)]
mod tests;
