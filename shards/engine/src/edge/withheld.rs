//! Answers that wait with their owners until there is room for them: what is to be fetched for whom. Why, and the other half,
//! is in `owner/withheld.rs`.

use crate::edge::Edge;
use crate::ident::{ConnId, Place};
use crate::packet::{Forwarded, ReplyTo};
use crate::sides::{Sides, ToOwner};
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

impl<O: ToOwner> Sides<Edge, O> {
    /// An owner withholds an answer.
    pub(crate) fn withheld(&mut self, owner: Place, forwarded: Forwarded) {
        let conn = forwarded.conn;
        match self.edges.here.sessions.get_mut(conn) {
            Some(session) => {
                session.withheld.get_or_insert_default().waiting.push_back((owner, forwarded));
                self.fetch_withheld(conn);
            }
            None => self.give_up(owner, forwarded),
        }
    }

    /// One that was fetched was told, or will not be.
    pub(crate) fn fetched(&mut self, conn: ConnId, number: u32) {
        let withheld = self.edges.here.sessions.get_mut(conn).and_then(|session| session.withheld.as_mut());
        if let Some(withheld) = withheld {
            withheld.arrived(number);
            self.fetch_withheld(conn);
        }
    }

    /// Fetches what there is room for.
    pub(crate) fn fetch_withheld(&mut self, conn: ConnId) {
        loop {
            let high_water = self.edges.here.sessions.high_water();
            let Some(session) = self.edges.here.sessions.get_mut(conn).filter(|session| session.is_told()) else {
                return;
            };
            let backlog = session.backlog();
            let Some(withheld) = session.withheld.as_mut().filter(|withheld| !withheld.busy) else { return };
            let Some((owner, forwarded)) = withheld.next(backlog, high_water) else {
                if withheld.len() == 0 {
                    session.withheld = None;
                }
                return self.read_on(conn);
            };
            withheld.busy = true;
            self.ask_again(owner, forwarded);
            let session = self.edges.here.sessions.get_mut(conn);
            if let Some(withheld) = session.and_then(|session| session.withheld.as_mut()) {
                withheld.busy = false;
            }
        }
    }

    /// A connection that was paused because of what waits for it is read again once that is little.
    pub(crate) fn read_on(&mut self, conn: ConnId) {
        let low_water = self.edges.here.sessions.high_water() / 2;
        let session = self.edges.here.sessions.get(conn);
        if session.is_some_and(|session| session.paused && session.backlog() <= low_water && !session.is_behind()) {
            self.resume(conn);
        }
    }

    /// Its connection is gone, and the owner is to forget it.
    pub(crate) fn give_up(&mut self, owner: Place, mut forwarded: Forwarded) {
        forwarded.reply_to = forwarded.reply_to.yielded();
        self.ask_again(owner, forwarded);
    }
}
