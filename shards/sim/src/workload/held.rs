//! What clients of worlds with rules have subscribed to or asked for: like the real client, they ask for nothing twice.

use crate::client::Client;
use deepstream_wire::client::original_action;
use deepstream_wire::{Action, Message, Outgoing};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A subscribing action and a name; an empty one stands for everybody.
type Thing = (u8, u8, Box<[u8]>);

/// Which time it was asked for; nothing: by a message without correlation id.
type Time = Option<Box<[u8]>>;

type Had = (Thing, Time);

/// What one client has.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// With when it was asked for last.
    things: BTreeMap<Thing, Time>,
    /// Messages that are not answered, by correlation id, whether they begin something, and what.
    asked: BTreeMap<Box<[u8]>, (bool, Vec<Had>)>,
}

/// The action by which something is asked for that this one ends, or asks for.
fn beginning(action: Action) -> Option<Action> {
    Some(match action {
        Action::EventSubscribe | Action::EventUnsubscribe => Action::EventSubscribe,
        Action::RpcProvide | Action::RpcUnprovide => Action::RpcProvide,
        Action::PresenceSubscribe | Action::PresenceUnsubscribe => Action::PresenceSubscribe,
        Action::PresenceSubscribeAll | Action::PresenceUnsubscribeAll => Action::PresenceSubscribeAll,
        Action::EventListen | Action::EventUnlisten => Action::EventListen,
        Action::RecordListen | Action::RecordUnlisten => Action::RecordListen,
        _ => return None,
    })
}

fn thing(action: Action, name: &[u8]) -> Thing {
    (action.topic() as u8, action.code(), name.into())
}

impl Held {
    /// It has no more what it had by then.
    fn drop_all(&mut self, things: Vec<Had>) {
        for (thing, time) in things {
            if self.things.get(&thing) == Some(&time) {
                self.things.remove(&thing);
            }
        }
    }
}

impl Client {
    /// Says only what it has not got yet, and remembers that it asked. `false`: there is nothing left to say.
    pub(crate) fn holds_back<'n>(&mut self, message: &Outgoing<'n>, names: &mut Vec<&'n [u8]>) -> bool {
        let Some(begins) = beginning(message.action) else { return true };
        let all: &[&[u8]] = if message.names.is_empty() { &[message.name.unwrap_or_default()] } else { message.names };
        let time: Time = message.correlation_id.map(Into::into);
        let begin = begins == message.action;
        let mut things = Vec::new();
        for &name in all {
            let thing = thing(begins, name);
            match self.held.things.entry(thing.clone()) {
                Entry::Occupied(_) if begin => continue,
                Entry::Occupied(held) => things.push((thing, held.get().clone())),
                Entry::Vacant(place) if begin => {
                    place.insert(time.clone());
                    things.push((thing, time.clone()));
                }
                Entry::Vacant(_) => {}
            }
            names.push(name);
        }
        if let Some(correlation_id) = time {
            self.held.asked.insert(correlation_id, (begin, things));
        }
        !names.is_empty()
    }

    /// Is told something that may be about what it has.
    pub(crate) fn lets_go(&mut self, message: &Message<&[u8]>) {
        let (action, held) = (message.head.action, &mut self.held);
        let correlation_id = message.correlation_id().unwrap_or_default();
        if crate::oracle::is_denial(action) {
            if let Some(begins) = original_action(message).filter(|&action| beginning(action) == Some(action)) {
                let thing = thing(begins, message.name());
                let time = held.things.get(&thing).and_then(|time| time.as_deref());
                // What was taken back, and asked for again, is not what was denied.
                if correlation_id.is_empty() || time == Some(correlation_id) {
                    held.things.remove(&thing);
                }
            }
            return;
        }
        match beginning(action) {
            Some(begins) if begins == action => {
                held.asked.remove(correlation_id);
            }
            Some(begins @ (Action::EventListen | Action::RecordListen)) => {
                held.things.remove(&thing(begins, message.name()));
            }
            Some(_) => {
                let (_, things) = held.asked.remove(correlation_id).unwrap_or_default();
                held.drop_all(things);
            }
            None if message.name().is_empty() && is_refusal(action) => {
                let (begin, things) = held.asked.remove(correlation_id).unwrap_or_default();
                if begin {
                    held.drop_all(things);
                }
            }
            None => {}
        }
    }
}

fn is_refusal(action: Action) -> bool {
    matches!(action, Action::EventInvalidMessageData | Action::RpcInvalidMessageData | Action::PresenceInvalidUsers)
}
