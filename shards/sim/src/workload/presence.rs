//! Clients that want to know who is there.

use crate::world::World;
use deepstream_wire::{Action, Outgoing};

impl World {
    pub(super) fn presence_work(&mut self, client: usize) {
        match self.rng.workload.below(20) {
            0..=4 => self.presence_names(client, Action::PresenceSubscribe),
            5..=6 => self.presence_names(client, Action::PresenceUnsubscribe),
            7..=10 => self.presence_all(client, Action::PresenceSubscribeAll),
            11..=12 => self.presence_all(client, Action::PresenceUnsubscribeAll),
            13..=16 => self.presence_names(client, Action::PresenceQuery),
            _ => self.presence_all(client, Action::PresenceQueryAll),
        }
    }

    /// Everybody who is logged in asks who is there: what they are told now must be the truth.
    pub(crate) fn ask_who_is_there(&mut self) {
        let names: Vec<String> = self.plan.users.clone();
        for client in 0..self.clients.len() {
            if self.clients[client].phase == crate::client::Phase::Open && self.clients[client].conn.is_some() {
                self.presence_say(client, Action::PresenceQuery, &names);
                self.presence_all(client, Action::PresenceQueryAll);
            }
        }
    }

    fn presence_names(&mut self, client: usize, action: Action) {
        let rng = &mut self.rng.workload;
        let count = rng.between(1, 3);
        let users = &self.plan.users;
        let names: Vec<String> = (0..count)
            .map(|_| if rng.chance(10) { "nobody".to_owned() } else { users[rng.below(users.len())].clone() })
            .collect();
        self.presence_say(client, action, &names);
    }

    fn presence_say(&mut self, client: usize, action: Action, names: &[String]) {
        self.line(|| format!("{} client={client} {}", action.name(), names.join(",")));
        let correlation = self.clients[client].correlation();
        let mut names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        if self.plan.ruled() {
            // Of a name that is asked for twice, it cannot be told which was denied.
            names.sort_unstable();
            names.dedup();
        }
        let message = Outgoing { names: &names, correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(action) };
        self.say(client, &message);
    }

    fn presence_all(&mut self, client: usize, action: Action) {
        self.line(|| format!("{} client={client}", action.name()));
        let correlation = self.clients[client].correlation();
        self.say(client, &Outgoing { correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(action) });
    }
}
