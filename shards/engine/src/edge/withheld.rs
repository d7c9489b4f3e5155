//! Answers that wait with their owners until there is room for them: what is to be fetched for whom. Why, and the other half,
//! is in `owner/withheld.rs`.

use crate::edge::Edge;
use crate::ident::{ConnId, Place};
use crate::packet::{Forwarded, ReplyTo};
use crate::sides::Sides;
use std::collections::VecDeque;

/// What was withheld from one connection, at its edge.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    /// To be fetched, in the order in which it was withheld. `reply_to.part`: the bytes of the answer.
    waiting: VecDeque<(Place, Forwarded)>,
    /// Being fetched: by number, with the bytes of the answer.
    fetched: Vec<(u32, usize)>,
    fetched_bytes: usize,
    number: u32,
    /// Somebody is fetching further up the stack.
    busy: bool,
}

impl Withheld {
    /// Whether anything waits to be fetched.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How much is withheld.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.fetched.len()
    }

    /// What is to be fetched, of a connection that is gone.
    pub(crate) fn into_waiting(self) -> VecDeque<(Place, Forwarded)> {
        self.waiting
    }

    /// What is to be fetched next, if there is room beside what waits in the outbox already.
    fn next(&mut self, backlog: usize, high_water: usize) -> Option<(Place, Forwarded)> {
        let (_, first) = self.waiting.front()?;
        let bytes = first.reply_to.part as usize;
        let fits = backlog + self.fetched_bytes + bytes <= high_water;
        let alone = self.fetched.is_empty() && backlog <= high_water / 2;
        if !fits && !alone {
            return None;
        }
        let (owner, mut forwarded) = self.waiting.pop_front()?;
        self.number = ReplyTo::fetch_number(self.number);
        self.fetched.push((self.number, bytes));
        self.fetched_bytes += bytes;
        forwarded.reply_to.part = self.number;
        Some((owner, forwarded))
    }

    /// Bytes of the answers that are being fetched.
    pub(crate) fn fetched_bytes(&self) -> usize {
        self.fetched_bytes
    }

    fn arrived(&mut self, number: u32) {
        if let Some(place) = self.fetched.iter().position(|&(other, _)| other == number) {
            self.fetched_bytes -= self.fetched.remove(place).1;
        }
    }
}

impl Edge {
    /// An owner withholds an answer, which is given back if its connection is gone.
    pub(super) fn withheld(&mut self, owner: Place, forwarded: Forwarded) -> Option<Forwarded> {
        let Some(session) = self.sessions.get_mut(forwarded.conn) else { return Some(forwarded) };
        session.withheld.get_or_insert_default().waiting.push_back((owner, forwarded));
        None
    }

    /// One that was fetched was told, or will not be.
    pub(super) fn fetched(&mut self, conn: ConnId, number: u32) {
        if let Some(withheld) = self.withheld_of(conn) {
            withheld.arrived(number);
        }
    }

    /// A fetch was made, and the next may be.
    pub(super) fn fetch_made(&mut self, conn: ConnId) {
        if let Some(withheld) = self.withheld_of(conn) {
            withheld.busy = false;
        }
    }

    fn withheld_of(&mut self, conn: ConnId) -> Option<&mut Withheld> {
        self.sessions.get_mut(conn)?.withheld.as_deref_mut()
    }
}

impl<O> Sides<Edge, O> {
    /// What is to be fetched next, if there is room. Once there is nothing more, its connection may be read on.
    pub(super) fn next_fetch(&mut self, conn: ConnId) -> Option<(Place, Forwarded)> {
        let high_water = self.edges.here.sessions.high_water();
        let session = self.edges.here.sessions.get_mut(conn).filter(|session| session.is_told())?;
        let backlog = session.backlog();
        let withheld = session.withheld.as_mut().filter(|withheld| !withheld.busy)?;
        let next = withheld.next(backlog, high_water);
        withheld.busy = next.is_some();
        if next.is_none() {
            if withheld.len() == 0 {
                session.withheld = None;
            }
            self.read_on(conn);
        }
        next
    }
}
