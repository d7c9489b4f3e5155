//! Clients that publish and subscribe. Every event says who published it, and as which of theirs on that name.

use crate::world::World;
use deepstream_wire::{Action, Outgoing};

impl World {
    pub(super) fn event_work(&mut self, client: usize) {
        match self.rng.workload.below(10) {
            0..=1 => self.event_names(client, Action::EventSubscribe),
            2 => self.event_names(client, Action::EventUnsubscribe),
            _ => self.event_emit(client),
        }
    }

    /// After a login: a real client subscribes again to what it had.
    pub(crate) fn entered(&mut self, client: usize) {
        if self.plan.topics.events > 0 && self.rng.workload.chance(50) {
            self.event_names(client, Action::EventSubscribe);
        }
        if self.plan.topics.rpc > 0 && self.rng.workload.chance(50) {
            self.rpc_names(client, Action::RpcProvide);
        }
        self.record_entered(client);
        if self.plan.topics.listen > 0 && self.rng.workload.chance(50) {
            self.listen_say(client, true);
        }
    }

    pub(super) fn event_names(&mut self, client: usize, action: Action) {
        let rng = &mut self.rng.workload;
        let count = rng.between(1, 4);
        let names: Vec<String> = (0..count).map(|_| format!("e{}", rng.below(self.plan.event_names))).collect();
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let correlation = self.clients[client].correlation();
        self.line(|| format!("{} client={client} names={}", action.name(), names.len()));
        self.say(
            client,
            &Outgoing { names: &names, correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(action) },
        );
    }

    fn event_emit(&mut self, client: usize) {
        let Some(index) = self.clients[client].conn else { return };
        let place = self.rng.workload.below(self.plan.event_names);
        let emitted = &mut self.clients[client].emitted;
        emitted.resize(self.plan.event_names, 0);
        let number = emitted[place];
        emitted[place] += 1;
        let filler = self.rng.payload.below(self.plan.filler_bytes + 1);
        let data = format!("{{\"p\":{index},\"s\":{number},\"f\":\"{}\"}}", "x".repeat(filler));
        let name = format!("e{place}");
        self.line(|| format!("emit client={client} {name} number={number}"));
        let message =
            Outgoing { name: Some(name.as_bytes()), data: Some(data.as_bytes()), ..Outgoing::new(Action::EventEmit) };
        self.say(client, &message);
    }
}
