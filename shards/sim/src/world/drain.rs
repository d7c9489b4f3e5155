//! Takes the outputs of shards: bytes, packets, requests to the host, and connections to close.

use super::{Core, Pending, World};
use crate::store::Load;
use deepstream_engine::{ConnId, HostRequest, Lane, Outbox, Reason};
use deepstream_wire::client::ServerEvent;

impl World {
    /// Takes a shard's outputs, right after the input that made them: nothing else has happened in between.
    pub(crate) fn drain(&mut self, core: usize) {
        self.drain_notes(core);
        self.drain_outboxes(core);
        self.drain_host_requests(core);
        self.count_packets(core);
        let Core { shard, sockets, .. } = &mut self.cores[core];
        for id in shard.resumed() {
            if let Some(conn) = sockets.get(id.index()).copied().flatten().map(|index| &mut self.conns[index]) {
                conn.resume_due |= conn.id == id;
            }
        }
        for (id, reason) in self.cores[core].shard.closes() {
            let Some(index) = self.socket(id) else { continue };
            if self.conns[index].intruder.is_some() || reason == Reason::Overburdened {
                self.line(|| format!("close conn={index} {reason:?}"));
                self.oracle.closing(index, reason);
                self.disconnect(index);
            } else if self.conns[index].closing.is_some() {
                // Named a second time: whatever is unsent is not sent.
                self.line(|| format!("give up conn={index}"));
                self.disconnect(index);
            } else {
                self.line(|| format!("close conn={index} {reason:?}"));
                self.oracle.closing(index, reason);
                self.conns[index].closing = Some(reason);
            }
        }
    }

    fn drain_notes(&mut self, core: usize) {
        for note in self.cores[core].shard.notes() {
            let sockets = &self.sockets;
            self.oracle.noted(core, &note, |id| sockets.get(&id).copied());
        }
    }

    fn count_packets(&mut self, core: usize) {
        for peer in 0..self.cores.len() {
            let (place, shard) = (self.cores[peer].place, &self.cores[core].shard);
            self.cores[core].waiting[peer] = Lane::ALL.map(|lane| shard.packets(place, lane).len());
        }
    }

    pub(crate) fn socket(&self, id: ConnId) -> Option<usize> {
        let core = self.cores.iter().find(|core| core.place == id.core)?;
        let index = (*core.sockets.get(id.index())?)?;
        (self.conns[index].id == id).then_some(index)
    }

    fn drain_outboxes(&mut self, core: usize) {
        while let Some(id) = self.cores[core].shard.dirty() {
            let mut outbox = std::mem::take(&mut self.spare);
            self.cores[core].shard.take_output(id, &mut outbox);
            let index = self.socket(id);
            if let Some(index) = index.filter(|&index| self.conns[index].intruder.is_some()) {
                self.intruder_told(index, id, &outbox);
                // It takes at once what it is told, which lets its shard go on.
                self.drain_notes(core);
            } else if let Some(index) = index {
                let at = self.conns[index].unsent.len();
                write_out(&outbox, self.conns[index].unsent.writer());
                self.overhear(index, at);
            }
            outbox.clear();
            self.spare = outbox;
        }
    }

    /// Shows the oracles what was just said to a connection.
    fn overhear(&mut self, index: usize, from: usize) {
        let mut spy = std::mem::take(&mut self.conns[index].spy);
        let said = std::mem::take(&mut self.conns[index].unsent);
        let step = self.step;
        let (oracle, trace, store) = (&mut self.oracle, &mut self.trace, &self.store);
        spy.received(said.from(from), &mut |event| {
            if let ServerEvent::Message(message) = event {
                trace.line(step, || format!("  says conn={index} {}", crate::trace::describe(&message)));
            }
            oracle.said(index, &event, store);
        });
        self.conns[index].spy = spy;
        self.conns[index].unsent = said;
    }

    fn drain_host_requests(&mut self, core: usize) {
        let host_requests: Vec<HostRequest> = self.cores[core].shard.host_requests().collect();
        for ask in host_requests {
            let (due, fate) = self.fate();
            match ask {
                HostRequest::Load { ticket, name } => {
                    self.oracle.loading(&name, ticket);
                    self.store.loads.push(Load { core, ticket, name, due, fate });
                }
                HostRequest::Authenticate { conn, .. } => {
                    let refused = !self.settling && self.rng.faults.chance(self.plan.faults.login_refused);
                    let user = self.socket(conn).map_or(0, |index| match self.conns[index].intruder {
                        Some(intruder) => intruder.user,
                        None => self.clients[self.conns[index].client].user,
                    });
                    self.logins.push(Pending { core, conn, due, refused, user });
                }
                HostRequest::Deposed => self.oracle.deposed(core),
            }
        }
    }
}

pub(super) fn write_out(outbox: &Outbox, out: &mut Vec<u8>) {
    let mut at = 0;
    for (place, frame) in &outbox.shared {
        out.extend_from_slice(&outbox.bytes[at..*place]);
        out.extend_from_slice(frame);
        at = *place;
    }
    out.extend_from_slice(&outbox.bytes[at..]);
}
