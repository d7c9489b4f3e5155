//! Clients that read and write records. Every write has a mark of its own, so that a value tells who made it.

use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;
use deepstream_wire::client::original_action;
use deepstream_wire::{Action, Flags, Message, Outgoing};
use std::collections::BTreeMap;

/// What a client knows of one record.
#[derive(Clone, Debug, Default)]
struct Known {
    subscribed: bool,
    /// A question is under way; a client asks one at a time, as the real one does.
    waiting: bool,
    /// The version it believes the record is at.
    version: i32,
}

/// What a client knows of records.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    known: BTreeMap<String, Known>,
    /// Bulk messages not acknowledged yet, and their names.
    bulks: BTreeMap<String, (Action, Vec<String>)>,
}

/// Plain paths, which no value of these clients stands in the way of.
const PATHS: [&str; 7] = ["a", "b", "o.x", "o.y.z", "l[0]", "l[2]", "m[1].k"];
/// Those of them that may be removed.
const MEMBERS: [&str; 4] = ["a", "b", "o.x", "o.y.z"];

impl World {
    pub(super) fn record_work(&mut self, client: usize) {
        let name = self.rng.workload.pick(&(0..self.plan.record_names.len()).collect::<Vec<_>>());
        let name = self.plan.record_names[name].clone();
        let known = self.known(client, &name).clone();
        match self.rng.workload.below(100) {
            0..=3 => self.record_notify(client),
            4..=6 if !known.waiting => self.record_ask(client, &name, Action::RecordDelete),
            7..=12 if !known.waiting => self.record_question(client, &name),
            13..=30 if known.subscribed => self.record_write(client, &name, known.version + 1),
            13..=19 | 74..=79 => self.record_force(client, &name),
            20..=24 if known.subscribed => self.record_unsubscribe(client),
            20..=70 if !known.subscribed => self.record_subscribe(client),
            71..=73 => self.record_subscribe(client),
            80..=83 => self.record_write(client, &name, known.version),
            84..=86 => self.record_write(client, &name, known.version + 2),
            _ => self.record_write(client, &name, known.version + 1),
        }
    }

    /// After a login: the client wants back what it had before its connection broke.
    pub(super) fn record_entered(&mut self, client: usize) {
        let mirror = &mut self.clients[client].mirror;
        mirror.bulks.clear();
        let mut names = Vec::new();
        for (name, known) in &mut mirror.known {
            known.waiting = false;
            if std::mem::take(&mut known.subscribed) {
                names.push(name.clone());
            }
        }
        if !names.is_empty() {
            self.record_bulk(client, Action::RecordSubscribeAndHead, names);
        }
    }

    fn known(&mut self, client: usize, name: &str) -> &mut Known {
        self.clients[client].mirror.known.entry(name.to_owned()).or_default()
    }

    fn record_ask(&mut self, client: usize, name: &str, action: Action) {
        self.line(|| format!("{} client={client} {name}", action.name()));
        self.say(client, &Outgoing { name: Some(name.as_bytes()), ..Outgoing::new(action) });
    }

    fn record_question(&mut self, client: usize, name: &str) {
        self.known(client, name).waiting = true;
        let action = self.rng.workload.pick(&[Action::RecordRead, Action::RecordHead]);
        self.record_ask(client, name, action);
    }

    /// Some of the names, each once, of which nothing is awaited.
    fn record_names(&mut self, client: usize) -> Vec<String> {
        let count = self.rng.workload.between(1, 3) as usize;
        let mut names: Vec<String> = Vec::new();
        for _ in 0..count {
            let place = self.rng.workload.below(self.plan.record_names.len());
            let name = self.plan.record_names[place].clone();
            if !names.contains(&name) && !self.known(client, &name).waiting {
                names.push(name);
            }
        }
        names
    }

    pub(super) fn record_subscribe(&mut self, client: usize) {
        let names = self.record_names(client);
        let action = self.rng.workload.pick(&[
            Action::RecordSubscribeCreateAndRead,
            Action::RecordSubscribeCreateAndRead,
            Action::RecordSubscribeCreateAndRead,
            Action::RecordSubscribeAndRead,
            Action::RecordSubscribeAndHead,
            Action::RecordSubscribe,
        ]);
        if !names.is_empty() {
            self.record_bulk(client, action, names);
        }
    }

    pub(super) fn record_unsubscribe(&mut self, client: usize) {
        let names = self.record_names(client);
        for name in &names {
            self.known(client, name).subscribed = false;
        }
        self.record_bulk(client, Action::RecordUnsubscribe, names);
    }

    /// Wants a record, no more, and again, without waiting for any answer.
    pub(super) fn record_restless(&mut self, client: usize) {
        let place = self.rng.workload.below(self.plan.record_names.len());
        let name = self.plan.record_names[place].clone();
        if self.plan.ruled() {
            return self.record_subscribe(client);
        }
        if self.known(client, &name).subscribed || self.known(client, &name).waiting {
            return self.record_unsubscribe(client);
        }
        let again = self.rng.workload.chance(50);
        for action in [Action::RecordSubscribe, Action::RecordUnsubscribe, Action::RecordSubscribe] {
            // Answers to what is taken back at once tell it nothing.
            self.clients[client].mirror.bulks.retain(|_, (_, names)| *names != [name.clone()]);
            self.record_bulk(client, action, vec![name.clone()]);
            if !again && action == Action::RecordUnsubscribe {
                self.clients[client].mirror.bulks.retain(|_, (_, names)| *names != [name.clone()]);
                *self.known(client, &name) = Known::default();
                break;
            }
        }
    }

    fn record_notify(&mut self, client: usize) {
        let names = self.record_names(client);
        self.record_bulk(client, Action::RecordNotify, names);
    }

    fn record_bulk(&mut self, client: usize, action: Action, names: Vec<String>) {
        self.line(|| format!("{} client={client} {}", action.name(), names.join(",")));
        let correlation = self.clients[client].correlation();
        let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let message = Outgoing { names: &bytes, correlation_id: Some(correlation.as_bytes()), ..Outgoing::new(action) };
        self.say(client, &message);
        if !matches!(action, Action::RecordUnsubscribe | Action::RecordNotify) {
            for name in &names {
                let known = self.known(client, name);
                known.waiting = true;
                known.subscribed = true;
            }
        }
        self.clients[client].mirror.bulks.insert(correlation, (action, names));
    }

    /// A write on a record the client may never have read.
    fn record_force(&mut self, client: usize, name: &str) {
        let action = self.rng.workload.pick(&[
            Action::RecordCreateAndUpdate,
            Action::RecordCreateAndUpdate,
            Action::RecordCreateAndPatch,
            Action::RecordPatch,
            Action::RecordErase,
        ]);
        let version = if self.rng.workload.chance(85) { -1 } else { 1 };
        self.record_say(client, name, action, version);
    }

    fn record_write(&mut self, client: usize, name: &str, version: i32) {
        let action = self.rng.workload.pick(&[
            Action::RecordUpdate,
            Action::RecordPatch,
            Action::RecordPatch,
            Action::RecordErase,
            Action::RecordPatchMulti,
        ]);
        // As the real client: what it wrote is what it believes.
        self.known(client, name).version = version;
        self.record_say(client, name, action, version);
    }

    fn record_say(&mut self, client: usize, name: &str, action: Action, version: i32) {
        self.mark += 1;
        let mark = self.mark;
        let nonsense = self.rng.workload.chance(self.plan.nonsense_percent / 2);
        let rng = &mut self.rng.payload;
        let filler = "x".repeat(rng.below(self.plan.filler_bytes + 1));
        let (mut path, mut data): (Option<String>, Option<String>) = (None, None);
        // Removing below a missing parent leaves the parent: so that a removal has a mark, too.
        let removal = format!("u{mark}.z");
        match action {
            Action::RecordUpdate | Action::RecordCreateAndUpdate => {
                data = Some(format!("{{\"w\":{mark},\"f\":\"{filler}\"}}"));
            }
            Action::RecordErase => path = Some(removal),
            Action::RecordPatchMulti => data = Some(many(rng, mark)),
            _ if rng.chance(10) => path = Some(removal),
            _ => {
                path = Some(rng.pick(&PATHS).to_owned());
                data = Some(format!("{{\"w\":{mark}}}"));
            }
        }
        if nonsense {
            match rng.below(3) {
                0 => data = Some("{\"a\"".into()),
                1 => data = Some("7".into()),
                _ => path = Some("__proto__.a".into()),
            }
        }
        let correlation = self.clients[client].correlation();
        let wants_ack = self.rng.workload.chance(self.plan.write_ack_percent);
        self.line(|| format!("{} client={client} {name} version={version} {path:?} {data:?}", action.name()));
        let message = Outgoing {
            name: Some(name.as_bytes()),
            version: Some(version),
            path: path.as_ref().map(String::as_bytes),
            data: data.as_ref().map(String::as_bytes),
            correlation_id: Some(correlation.as_bytes()),
            is_write_ack: wants_ack,
            ..Outgoing::new(action)
        };
        self.say(client, &message);
    }

    /// A client is told something about a record.
    pub(crate) fn record_told(&mut self, client: usize, message: &Message<&[u8]>) {
        let name = String::from_utf8_lossy(message.name()).into_owned();
        let action = message.head.action;
        if message.head.flags.has(Flags::IS_ACK) || action == Action::RecordInvalidMessageData {
            self.record_bulk_done(client, message);
        }
        if !self.plan.record_names.contains(&name) {
            return;
        }
        if crate::oracle::is_denial(action) {
            return self.record_denied(client, &name, message);
        }
        let known = self.known(client, &name);
        match action {
            Action::RecordReadResponse => {
                known.waiting = false;
                known.version = message.head.version.max(0);
            }
            Action::RecordHeadResponse | Action::RecordNotFound => known.waiting = false,
            Action::RecordStorageRetrievalTimeout | Action::RecordLoadError => match original_action(message) {
                Some(Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead) => {
                    known.waiting = false;
                    known.subscribed = false;
                }
                Some(Action::RecordRead) => known.waiting = false,
                // A HEAD, or a part of a SUBSCRIBEANDHEAD, which is acknowledged all the same.
                Some(Action::RecordHead) if !self.in_bulk(client, &name) => self.known(client, &name).waiting = false,
                _ => {}
            },
            Action::RecordUpdateError if original_action(message) == Some(Action::RecordSubscribeCreateAndRead) => {
                known.waiting = false;
                known.subscribed = false;
            }
            Action::RecordUpdate | Action::RecordPatch | Action::RecordPatchMulti => {
                known.version = message.head.version;
            }
            Action::RecordVersionExists => {
                // As the real client: the remote version is adopted, and the merged value written on top of it.
                known.version = message.head.version;
                let version = known.version + 1;
                if self.rng.workload.chance(60) && !self.settling {
                    self.record_write(client, &name, version);
                }
            }
            Action::RecordDeleted | Action::RecordDeleteSuccess => {
                known.subscribed = false;
                known.version = 0;
            }
            _ => {}
        }
    }

    /// A client may not do something with a record (any more).
    fn record_denied(&mut self, client: usize, name: &String, message: &Message<&[u8]>) {
        match original_action(message) {
            Some(Action::RecordRead | Action::RecordHead) => self.known(client, name).waiting = false,
            Some(
                Action::RecordSubscribe
                | Action::RecordSubscribeAndHead
                | Action::RecordSubscribeAndRead
                | Action::RecordSubscribeCreateAndRead,
            ) => {
                let correlation_id = String::from_utf8_lossy(message.correlation_id().unwrap_or_default()).into_owned();
                let bulks = &mut self.clients[client].mirror.bulks;
                let answers = bulks.get_mut(&correlation_id).is_some_and(|(_, names)| {
                    names.retain(|other| other != name);
                    true
                });
                bulks.retain(|_, (_, names)| !names.is_empty());
                let known = self.known(client, name);
                known.waiting &= !answers;
                known.subscribed &= known.waiting;
            }
            _ => {}
        }
    }

    fn in_bulk(&self, client: usize, name: &String) -> bool {
        self.clients[client]
            .mirror
            .bulks
            .values()
            .any(|(action, names)| *action == Action::RecordSubscribeAndHead && names.contains(name))
    }

    /// A bulk message is acknowledged, or a name of it refused.
    fn record_bulk_done(&mut self, client: usize, message: &Message<&[u8]>) {
        let correlation = String::from_utf8_lossy(message.correlation_id().unwrap_or_default()).into_owned();
        let mirror = &mut self.clients[client].mirror;
        let Some((action, names)) = mirror.bulks.get(&correlation).cloned() else { return };
        let refused = message.head.action == Action::RecordInvalidMessageData;
        let subscribes = !matches!(action, Action::RecordUnsubscribe | Action::RecordNotify);
        let reads = matches!(action, Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead);
        for name in &names {
            let meant = message.name().is_empty() || name.as_bytes() == message.name();
            let known = mirror.known.entry(name.clone()).or_default();
            if refused && meant && subscribes {
                known.waiting = false;
                known.subscribed = false;
            } else if !refused && subscribes && !reads {
                known.waiting = false;
            }
        }
        if !refused {
            mirror.bulks.remove(&correlation);
        }
    }
}

fn many(rng: &mut Rng, mark: u64) -> String {
    let count = rng.between(1, 3);
    let parts: Vec<String> = (0..count)
        .map(|part| {
            if part == 0 {
                format!("{{\"path\":\"l[0]\",\"data\":[{mark},0]}}")
            } else if rng.chance(30) {
                format!("{{\"path\":\"{}\"}}", rng.pick(&MEMBERS))
            } else {
                format!("{{\"path\":\"{}\",\"data\":[{mark},{part}]}}", rng.pick(&PATHS))
            }
        })
        .collect();
    format!("[{}]", parts.join(","))
}

/// The names of a plan's records: ordinary ones, some that storage never sees, some on the hot path.
pub(crate) fn draw_names(rng: &mut Rng) -> Vec<String> {
    let count = rng.between(1, 5);
    (0..count).map(|number| format!("{}{number}", rng.pick(&["r", "r", "r", "x", "h"]))).collect()
}

impl Plan {
    /// Whether storage sees a record.
    pub(crate) fn is_stored(&self, name: &str) -> bool {
        let excluded = |prefix: &[u8]| name.as_bytes().starts_with(prefix);
        self.options.storage && !self.options.storage_exclusion_prefixes.iter().any(|prefix| excluded(prefix))
    }
}
