//! Clients that call each other. Every request and every answer has a mark of its own; half of the correlation ids are
//! counted per connection, so that different clients use the same ones.

use crate::world::World;
use deepstream_wire::{Action, Message, Outgoing};

/// A call a client was asked to answer: its name and correlation id.
type Asked = (Vec<u8>, Vec<u8>);

/// What a provider has to do.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Vec<Asked>,
    /// Calls it is done with.
    done: Vec<Asked>,
    calls: u64,
}

/// Calls a provider remembers being done with.
const DONE_KEPT: usize = 8;

impl Inbox {
    /// A new connection: what the old one was asked is of no use here, and its ids may be used again.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The client is asked.
    pub(crate) fn asked(&mut self, message: &Message<&[u8]>) {
        self.waiting.push((message.name().into(), message.correlation_id().unwrap_or_default().into()));
    }

    /// The call it was asked to answer first.
    pub(crate) fn first(&self) -> Option<&Asked> {
        self.waiting.first()
    }

    fn finish(&mut self, place: usize) -> Asked {
        let asked = self.waiting.swap_remove(place);
        self.done.truncate(DONE_KEPT - 1);
        self.done.insert(0, asked.clone());
        asked
    }
}

impl World {
    pub(super) fn rpc_work(&mut self, client: usize) {
        let waiting = self.clients[client].inbox.waiting.len();
        match self.rng.workload.below(100) {
            0..=9 => self.rpc_names(client, Action::RpcProvide),
            10..=14 => self.rpc_names(client, Action::RpcUnprovide),
            15..=19 => self.rpc_repeat(client),
            20..=22 => self.rpc_guess(client),
            23..=64 if waiting > 0 => self.rpc_answer(client),
            _ => self.rpc_request(client),
        }
    }

    pub(super) fn rpc_names(&mut self, client: usize, action: Action) {
        let rng = &mut self.rng.workload;
        let count = rng.between(1, 3);
        let names: Vec<String> = (0..count).map(|_| format!("p{}", rng.below(self.plan.rpc_names))).collect();
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let correlation = self.clients[client].correlation();
        self.line(|| format!("{} client={client} names={}", action.name(), names.len()));
        let message = Outgoing { names: &names, correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(action) };
        self.say(client, &message);
    }

    fn rpc_request(&mut self, client: usize) {
        self.mark += 1;
        let mark = self.mark;
        let rng = &mut self.rng.workload;
        let name = format!("p{}", rng.below(self.plan.rpc_names));
        let again = rng.chance(5);
        let forged = rng.chance(10);
        let shared = rng.chance(50);
        let Some(index) = self.clients[client].conn else { return };
        let calls = &mut self.clients[client].inbox.calls;
        *calls += u64::from(!again);
        let id = if shared { format!("q{calls}") } else { format!("q{calls}.{index}") };
        let filler = "x".repeat(self.rng.payload.below(self.plan.filler_bytes + 1));
        let data = format!("{{\"m\":{mark},\"f\":\"{filler}\"}}");
        self.line(|| format!("request client={client} {name} id={id} mark={mark}"));
        let message = Outgoing {
            name: Some(name.as_bytes()),
            correlation_id: Some(id.as_bytes()),
            data: Some(data.as_bytes()),
            requestor_name: forged.then_some(b"forged"),
            requestor_data: forged.then_some(b"{\"forged\":1}"),
            ..Outgoing::new(Action::RpcRequest)
        };
        self.say(client, &message);
    }

    /// A provider says something about a call it was asked to answer, or forgets it.
    fn rpc_answer(&mut self, client: usize) {
        let place = self.rng.workload.below(self.clients[client].inbox.waiting.len());
        let action = match self.rng.workload.below(100) {
            0..=34 => Action::RpcAccept,
            35..=69 => Action::RpcResponse,
            70..=77 => Action::RpcRequestError,
            78..=92 => Action::RpcReject,
            _ => {
                self.clients[client].inbox.finish(place);
                return;
            }
        };
        let inbox = &mut self.clients[client].inbox;
        let asked = if action == Action::RpcAccept { inbox.waiting[place].clone() } else { inbox.finish(place) };
        self.rpc_say(client, action, &asked);
    }

    /// A provider says something about the first call it was asked to answer.
    pub(crate) fn answer_first(&mut self, client: usize, action: Action) {
        let inbox = &mut self.clients[client].inbox;
        let asked = if action == Action::RpcAccept { inbox.first().cloned() } else { Some(inbox.finish(0)) };
        if let Some(asked) = asked {
            self.rpc_say(client, action, &asked);
        }
    }

    /// A provider says something about a call it is done with.
    fn rpc_repeat(&mut self, client: usize) {
        let count = self.clients[client].inbox.done.len();
        if count > 0 {
            let place = self.rng.workload.below(count);
            let asked = self.clients[client].inbox.done[place].clone();
            let action = self.rpc_any_answer();
            self.rpc_say(client, action, &asked);
        }
    }

    /// Somebody answers a call without having been asked.
    fn rpc_guess(&mut self, client: usize) {
        let rng = &mut self.rng.workload;
        let name = format!("p{}", rng.below(self.plan.rpc_names));
        let id = format!("q{}", rng.between(1, 6));
        let action = self.rpc_any_answer();
        self.rpc_say(client, action, &(name.into_bytes(), id.into_bytes()));
    }

    fn rpc_any_answer(&mut self) -> Action {
        self.rng.workload.pick(&[Action::RpcAccept, Action::RpcResponse, Action::RpcRequestError, Action::RpcReject])
    }

    fn rpc_say(&mut self, client: usize, action: Action, (name, id): &Asked) {
        self.mark += 1;
        let mark = self.mark;
        let data = format!("{{\"n\":{mark}}}");
        self.line(|| format!("{} client={client} id={} mark={mark}", action.name(), String::from_utf8_lossy(id)));
        let speaks = matches!(action, Action::RpcResponse | Action::RpcRequestError);
        let message = Outgoing {
            name: Some(name),
            correlation_id: Some(id),
            data: speaks.then_some(data.as_bytes()),
            ..Outgoing::new(action)
        };
        self.say(client, &message);
    }
}
