//! What connections make their shard hold, against one bound for all of them.
//!
//! Each connection has a bound of its own, but there may be very many of them: a hundred that read nothing hold a hundred
//! times what one may. Held is what waits for their sockets, what the host keeps of answers that are not in an outbox yet,
//! and what came of messages that are not whole.
//!
//! *Owns* the sum, and the account of frames that several outboxes share, which are one piece of memory and count once.
//! *Promises* that the sum is exact whatever is sent, taken and closed; that above half of the bound whoever makes the shard
//! hold much is read no more, and that above it the heaviest are dropped, with all that waits for them, until the rest fits with
//! room to spare.
//! *Does not* look in the middle of a turn: what a message puts into ten thousand outboxes counts once their sockets were
//! offered it, when what is left is what clients have not taken.

use crate::edge::session::table::{Session, Sessions, State};
use crate::ident::ConnId;
use crate::limits::Limits;
use crate::output::{Note, Outbox, Reason};
use crate::outputs::Outputs;
use slab::Slab;

/// Where the shard holds more than half of what it may, a connection's high-water mark is so many times lower.
const PRESSED: usize = 16;
/// Where it holds more than it may, this part of the bound is made free: to find the heaviest, all connections are weighed,
/// which is not to happen again for the next few bytes.
const RELIEF: usize = 8;

/// A frame that outboxes share.
#[derive(Debug)]
struct Loan {
    bytes: usize,
    borrowers: u32,
}

/// A frame that one outbox shares with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borrowed {
    /// Bytes that were ever put into the outbox up to the frame's end.
    end: u64,
    loan: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Burden {
    /// Connections whose outbox went over its high-water mark: their timers are to be set.
    pub(crate) filling: Vec<ConnId>,
    held: usize,
    /// Of that, what is kept beside outboxes.
    aside: usize,
    loans: Slab<Loan>,
}

impl Burden {
    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Of those, what is kept beside outboxes.
    pub(crate) fn aside(&self) -> usize {
        self.aside
    }

    /// Unsent bytes above which a connection is read no more.
    pub(crate) fn high_water(&self, limits: &Limits) -> usize {
        let pressed = self.held > limits.outbox_bytes_total_max / 2;
        if pressed { limits.outbox_high_water_bytes / PRESSED } else { limits.outbox_high_water_bytes }
    }

    /// So many bytes were put into an outbox, for it alone.
    #[inline]
    pub(crate) fn put(&mut self, session: &mut Session, bytes: usize) {
        session.put_bytes += bytes as u64;
        self.held += bytes;
    }

    /// A frame was put into an outbox by reference; `loan` is what it has in common with other outboxes, there from the first
    /// one on. Whoever makes copies of what it is sent has it to itself.
    pub(crate) fn lend(&mut self, session: &mut Session, bytes: usize, loan: &mut Option<u32>) {
        if session.copies {
            return self.put(session, bytes);
        }
        let number = *loan.get_or_insert_with(|| {
            self.held += bytes;
            self.loans.insert(Loan { bytes, borrowers: 0 }) as u32
        });
        self.loans[number as usize].borrowers += 1;
        session.put_bytes += bytes as u64;
        session.borrowed.push_back(Borrowed { end: session.put_bytes, loan: number });
    }

    /// The kernel took so many bytes of what is still counted as unsent.
    #[inline]
    pub(crate) fn sent(&mut self, session: &mut Session, bytes: usize) {
        if session.dropped {
            return;
        }
        let own = if session.borrowed.is_empty() { bytes } else { bytes - self.give_back(session, bytes) };
        self.held -= own;
    }

    /// Of the next so many bytes those that are shared; frames that are through with them are given back.
    fn give_back(&mut self, session: &mut Session, bytes: usize) -> usize {
        let from = session.put_bytes - session.queued() as u64;
        let to = from + bytes as u64;
        let mut shared = 0;
        while let Some(&Borrowed { end, loan }) = session.borrowed.front() {
            let start = end - self.loans[loan as usize].bytes as u64;
            shared += to.min(end).saturating_sub(from.max(start)) as usize;
            if end > to {
                break;
            }
            session.borrowed.pop_front();
            let lent = &mut self.loans[loan as usize];
            lent.borrowers -= 1;
            if lent.borrowers == 0 {
                self.held -= self.loans.remove(loan as usize).bytes;
            }
        }
        if session.borrowed.is_empty() {
            session.borrowed.shrink_to_fit();
        }
        shared
    }

    /// What the host keeps of a connection beside its outbox.
    pub(crate) fn set_aside(&mut self, session: &mut Session, unsent: usize, received: usize) {
        if !session.dropped {
            let before = session.unsent_aside + session.received_aside;
            self.held = self.held + unsent + received - before;
            self.aside = self.aside + unsent + received - before;
        }
        (session.unsent_aside, session.received_aside) = (unsent, received);
    }

    /// A connection is gone, or is dropped, with all that it made the shard hold.
    pub(crate) fn end(&mut self, session: &mut Session) {
        self.set_aside(session, 0, 0);
        let queued = session.queued();
        self.sent(session, queued);
    }

    /// What a connection makes the shard hold: what would be free without it, and its share in what would not.
    fn weight(&self, session: &Session) -> usize {
        let shares = |(all, shares): (usize, usize), borrowed: &Borrowed| {
            let Loan { bytes, borrowers } = self.loans[borrowed.loan as usize];
            (all + bytes, shares + bytes / borrowers as usize)
        };
        let (all, shares) = session.borrowed.iter().fold((0, 0), shares);
        session.queued().saturating_sub(all) + shares + session.unsent_aside + session.received_aside
    }
}

impl Sessions {
    /// Unsent bytes above which a connection is read no more.
    pub(crate) fn high_water(&self) -> usize {
        self.burden.high_water(&self.limits)
    }

    /// Whether connections hold more than they may together.
    pub(crate) fn is_overburdened(&self) -> bool {
        self.burden.held > self.limits.outbox_bytes_total_max
    }

    /// Drops the heaviest connections until what is held of the others leaves some room.
    pub(crate) fn relieve(&mut self, outputs: &mut Outputs, held: impl Fn(&Burden) -> usize) {
        let bound = self.limits.outbox_bytes_total_max;
        let enough = bound - bound / RELIEF;
        let weigh = |conn: ConnId| {
            let session = self.get(conn).filter(|session| !session.dropped)?;
            Some((self.burden.weight(session), conn)).filter(|&(weight, _)| weight > 0)
        };
        let mut heaviest: Vec<(usize, ConnId)> = self.ids().into_iter().filter_map(weigh).collect();
        heaviest.sort_unstable();
        while let Some((_, conn)) = heaviest.pop().filter(|_| held(&self.burden) > enough) {
            self.drop_connection(outputs, conn);
        }
    }

    /// Ends a connection at once.
    fn drop_connection(&mut self, outputs: &mut Outputs, conn: ConnId) {
        let Some((session, burden)) = self.with_burden(conn) else { return };
        burden.end(session);
        session.dropped = true;
        session.outbox = Outbox::default();
        let reason = Reason::Overburdened;
        if !matches!(session.state, State::Closing) {
            session.state = State::Closing;
            (session.moved_at, session.since) = (outputs.now, outputs.now);
            let (user, remote, wire) = (session.user().map(Into::into), session.remote(), session.wire);
            outputs.counters.slow_consumers += 1;
            outputs.note(Note::Closed { conn, user, remote, wire, reason, waited_ns: 0 });
        }
        self.closes.push((conn, reason));
    }
}
