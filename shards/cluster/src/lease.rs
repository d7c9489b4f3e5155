//! How long a node may believe that it is a member.
//!
//! A renewal that was answered counts from the moment at which it was sent, however late the answer is: the registry's time began
//! to run no earlier. Two thirds of it are believed, so a clock that runs a fifth too slow beside a registry's that runs a fifth too
//! fast still ends first.
//!
//! A lease that ended in the registry is never prolonged. Whoever saw it ended may write a charter without its holder at any later
//! moment; a holder that came back by the same lease would trust it while another takes its slots. It comes back by another
//! grant, and trusts that one once a charter names it.

use deepstream_engine::{Nanos, Ticket};
use std::collections::VecDeque;

/// Renewals whose answers are waited for.
const ASKED_MAX: usize = 16;

/// The lease of this node, as it knows it.
pub(crate) struct Lease {
    ttl_ns: u64,
    grant: u32,
    /// Whether the registry has said that it has it.
    held: bool,
    asked: VecDeque<(Ticket, u32, Nanos)>,
    trusted_until: Nanos,
}

/// How a renewal is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// As a lease of its own.
    Fresh,
    /// As the lease that is there.
    Same,
    /// Not now: a fresh one may be under way, and whether it was carried out is not known.
    Wait,
}

impl Lease {
    pub(crate) fn new(ttl_ns: u64) -> Self {
        Self { ttl_ns, grant: 0, held: false, asked: VecDeque::new(), trusted_until: Nanos(0) }
    }

    pub(crate) fn grant(&self) -> u32 {
        self.grant
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) fn trusted_until(&self) -> Nanos {
        self.trusted_until
    }

    /// A renewal is due. A fresh one is of a new grant each time, so that none takes effect when nobody waits for it any more.
    pub(crate) fn ask(&mut self, now: Nanos, ticket: Ticket) -> Renewal {
        let renewal = if self.held {
            Renewal::Same
        } else if self
            .asked
            .back()
            .is_some_and(|&(_, grant, sent)| grant == self.grant && now.since(sent) < self.ttl_ns)
        {
            return Renewal::Wait;
        } else {
            self.grant += 1;
            Renewal::Fresh
        };
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((ticket, self.grant, now));
        renewal
    }

    /// When the renewal of this ticket was sent, if it is one of the present grant and its answer was not there yet.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Option<Nanos> {
        let at = self.asked.iter().position(|&(asked, ..)| asked == ticket)?;
        let (_, grant, sent) = self.asked.remove(at)?;
        (grant == self.grant).then_some(sent)
    }

    /// The registry has it.
    pub(crate) fn renewed(&mut self) {
        self.held = true;
    }

    /// The registry has it, and a charter names this grant: true if it is believed for longer than before.
    pub(crate) fn trust(&mut self, sent: Nanos) -> bool {
        let until = sent.after(self.ttl_ns / 3 * 2);
        let longer = until > self.trusted_until;
        self.trusted_until = until.max(self.trusted_until);
        longer
    }

    /// The registry has it no more.
    pub(crate) fn lapsed(&mut self) {
        self.held = false;
        self.trusted_until = Nanos(0);
    }
}
