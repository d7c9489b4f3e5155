//! What clients do once they are logged in.

mod event;
pub(crate) mod held;
pub(crate) mod listen;
mod presence;
pub(crate) mod record;
pub(crate) mod rpc;

use crate::plan::Topics;
use crate::world::World;
use deepstream_wire::client::{FINAL_BINARY, FINAL_PING, encode_frame};
use deepstream_wire::{Action, Outgoing};

impl World {
    /// A logged-in client does something of its own.
    pub(crate) fn work(&mut self, client: usize) {
        let rng = &mut self.rng.workload;
        if rng.chance(self.plan.nonsense_percent) {
            self.nonsense(client);
        } else if rng.chance(2) {
            self.ping(client);
        } else {
            let Topics { events, records, rpc, presence, listen } = self.plan.topics;
            let ticket = rng.below((events + records + rpc + presence + listen) as usize) as u32;
            match ticket {
                _ if ticket < events => self.event_work(client),
                _ if ticket < events + records => self.record_work(client),
                _ if ticket < events + records + rpc => self.rpc_work(client),
                _ if ticket < events + records + rpc + presence => self.presence_work(client),
                _ => self.listen_work(client),
            }
        }
    }

    /// A client says something that makes no sense.
    fn nonsense(&mut self, client: usize) {
        let kind = self.rng.workload.below(15);
        self.line(|| format!("nonsense client={client} kind={kind}"));
        let long = "e".repeat(self.plan.options.limits.name_bytes_max + 1);
        let emit = Outgoing { name: Some(b"e0"), ..Outgoing::new(Action::EventEmit) };
        let correlation = self.clients[client].correlation();
        let names: Vec<&[u8]> = vec![b"e0"; self.plan.options.limits.names_per_message_max.min(50) + 1];
        let bulk = Outgoing { correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(Action::EventSubscribe) };
        let call = Outgoing {
            name: Some(b"p0"),
            correlation_id: Some(correlation.as_bytes()),
            ..Outgoing::new(Action::RpcRequest)
        };
        let provide = Outgoing { correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(Action::RpcProvide) };
        match kind {
            0 => self.say(client, &Outgoing { data: Some(b"{\"a\":"), ..emit }),
            1 => self.say(client, &Outgoing { name: None, ..emit }),
            2 => self.say(client, &Outgoing { name: Some(long.as_bytes()), ..emit }),
            3 => self.say(client, &Outgoing { names: &names, ..bulk }),
            4 => self.say(client, &Outgoing { names: &[b"", b"e0"], ..bulk }),
            5 => self.say(client, &bulk),
            6 => self.say(client, &Outgoing::new(Action::EventPermissionError)),
            7 => self.garbage(client, FINAL_BINARY, b"\x00\x01garbage"),
            8 => self.say(client, &Outgoing { correlation_id: None, ..call }),
            9 => self.say(client, &Outgoing { data: Some(b"[1,"), ..call }),
            10 => self.say(client, &Outgoing { name: Some(long.as_bytes()), ..call }),
            11 => self.say(client, &Outgoing { correlation_id: Some(long.as_bytes()), ..call }),
            12 => self.say(client, &Outgoing { names: &names, ..provide }),
            13 => self.say(client, &Outgoing { names: &[b"", b"p0"], ..provide }),
            _ => self.garbage(client, FINAL_PING, b"ping"),
        }
    }

    fn garbage(&mut self, client: usize, first: u8, payload: &[u8]) {
        let mask = self.mask();
        if let Some(index) = self.clients[client].conn {
            encode_frame(first, payload, mask, self.conns[index].up.writer());
        }
    }
}
