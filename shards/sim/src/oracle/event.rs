//! Checks events: each subscriber receives an event exactly once, in the order of its publisher; the publisher itself
//! does not.
//!
//! A subscription is certain from its acknowledgement on: every event that a shard receives after that must arrive.
//! Before that it may have begun or not; but once one event of a publisher has arrived, no later one may be missing.

use crate::oracle::Oracle;
use crate::oracle::permit::Grant;
use crate::plan::Plan;
use deepstream_wire::{Action, Flags, Message};
use std::collections::BTreeMap;

/// How many events each publisher has emitted on one name, as its shard heard it.
type Counts = BTreeMap<usize, u64>;

/// One connection's subscription to one name.
/// A name, and the number of a subscription to it.
type Numbered = (Box<[u8]>, u64);

#[derive(Debug, Default)]
struct Subscription {
    /// Which of all subscriptions.
    number: u64,
    /// Correlation id of the message that asked for it.
    asked: Box<[u8]>,
    /// Once it is acknowledged: what had been emitted by then.
    certain: Option<Counts>,
    /// Per publisher, the next event that must follow.
    next: Counts,
    /// Where in the owner's order the last event stood.
    place: Option<usize>,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Name {
    emitted: Counts,
    /// Publisher and number of every event, by its place in the owner's order.
    places: BTreeMap<(usize, u64), usize>,
    subscriptions: BTreeMap<usize, Subscription>,
    /// Per subscriber and publisher: one more than the last event delivered, over all its subscriptions.
    delivered: BTreeMap<(usize, usize), u64>,
}

/// All events of a world.
#[derive(Debug)]
pub(super) struct Events {
    names: BTreeMap<Box<[u8]>, Name>,
    /// Subscriptions a connection has, by connection.
    counts: BTreeMap<usize, usize>,
    /// Per connection and correlation id: the subscriptions its acknowledgement makes certain.
    awaited: BTreeMap<(usize, Box<[u8]>), Vec<Numbered>>,
    number: u64,
    names_max: usize,
    subscriptions_max: usize,
}

impl Events {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            names: BTreeMap::new(),
            counts: BTreeMap::new(),
            awaited: BTreeMap::new(),
            number: 0,
            names_max: plan.options.limits.names_per_message_max,
            subscriptions_max: plan.options.limits.subscriptions_per_connection_max,
        }
    }

    pub(super) fn disconnected(&mut self, conn: usize) {
        for name in self.names.values_mut() {
            name.subscriptions.remove(&conn);
        }
        self.counts.remove(&conn);
        self.awaited.retain(|(other, _), _| *other != conn);
    }
}

/// Publisher and number of an event.
fn read(data: &[u8]) -> Option<(usize, u64)> {
    let text = std::str::from_utf8(data).ok()?.strip_prefix("{\"p\":")?;
    let (publisher, rest) = text.split_once(",\"s\":")?;
    let (number, _) = rest.split_once(',')?;
    Some((publisher.parse().ok()?, number.parse().ok()?))
}

impl Oracle {
    /// An owner takes an event: its place among all of its name is this.
    pub(super) fn owner_emitted(&mut self, name: &str, data: &str) {
        let Some(event) = read(data.as_bytes()) else { return };
        let places = &mut self.events.names.entry(name.as_bytes().into()).or_default().places;
        let place = places.len();
        places.insert(event, place);
        self.emit_granted(event.0, name.as_bytes(), event.1);
    }

    pub(super) fn event_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        match message.head.action {
            Action::EventEmit => self.emit_heard(conn, message),
            Action::EventSubscribe => self.subscribe_heard(conn, message),
            Action::EventUnsubscribe => self.unsubscribe_heard(conn, message),
            _ => {}
        }
    }

    fn emit_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let event = message.data().map(read);
        if !self.is_name(message.name()) || event == Some(None) {
            let name = Some(message.name()).filter(|name| self.is_name(name));
            return self.conns[conn].answers.owe(Action::EventInvalidMessageData, name, message.correlation_id());
        }
        if let Some(Some((publisher, number))) = event {
            let name = self.events.names.entry(message.name().into()).or_default();
            let next = name.emitted.entry(publisher).or_default();
            let expected = *next;
            *next = number + 1;
            self.check(number == expected && publisher == conn, || {
                format!("conn {conn} was heard out of order: event {number} of {publisher}, expected {expected}")
            });
        }
    }

    fn subscribe_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        let correlation_id = message.correlation_id();
        if message.names().count() > self.events.names_max {
            return self.conns[conn].answers.owe(Action::EventInvalidMessageData, None, correlation_id);
        }
        let mut refused = 0;
        let mut named = 0;
        let mut fresh = Vec::new();
        let mut held = false;
        for name in message.names() {
            named += 1;
            let count = self.events.counts.get(&conn).copied().unwrap_or(0);
            if !self.is_name(name) || count >= self.events.subscriptions_max {
                refused += 1;
                let name = Some(name).filter(|name| self.is_name(name));
                self.conns[conn].answers.owe(Action::EventInvalidMessageData, name, correlation_id);
                continue;
            }
            let entry = self.events.names.entry(name.into()).or_default();
            if entry.subscriptions.contains_key(&conn) {
                self.conns[conn].answers.owe(Action::EventMultipleSubscriptions, Some(name), None);
                held = true;
                continue;
            }
            self.events.number += 1;
            let number = self.events.number;
            entry.subscriptions.insert(
                conn,
                Subscription { number, asked: correlation_id.unwrap_or_default().into(), ..Subscription::default() },
            );
            *self.events.counts.entry(conn).or_default() += 1;
            fresh.push((name.into(), number));
        }
        if named == 0 || refused < named {
            self.conns[conn].answers.owe(Action::EventSubscribe, None, correlation_id);
            // One that is held already stands, whatever becomes of the others: nobody's name, which no denial takes away.
            if held {
                fresh.push((Box::default(), 0));
            }
            if let Some(correlation_id) = correlation_id {
                self.events.awaited.insert((conn, correlation_id.into()), fresh);
            }
        }
    }

    fn unsubscribe_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        if message.names().count() > self.events.names_max {
            return self.conns[conn].answers.owe(Action::EventInvalidMessageData, None, message.correlation_id());
        }
        for name in message.names() {
            self.wants_no_more(conn, false, name);
            let Some(entry) = self.events.names.get_mut(name) else { continue };
            if entry.subscriptions.remove(&conn).is_some()
                && let Some(count) = self.events.counts.get_mut(&conn)
            {
                *count -= 1;
            }
        }
        self.conns[conn].answers.owe(Action::EventUnsubscribe, None, message.correlation_id());
    }

    /// Whether some connection may be subscribed.
    pub(super) fn has_event_subscribers_but(&self, conn: usize, name: &[u8]) -> bool {
        self.events.names.get(name).is_some_and(|name| name.subscriptions.keys().any(|&other| other != conn))
    }

    pub(super) fn event_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        match message.head.action {
            Action::EventEmit => self.emit_said(conn, message),
            Action::EventSubscribe => {
                self.check(message.head.flags.has(Flags::IS_ACK), || format!("conn {conn} was asked to subscribe"));
                self.settle(conn, message);
                self.certain(conn, message.correlation_id().unwrap_or_default());
            }
            _ => self.settle(conn, message),
        }
    }

    /// An acknowledgement: from here on nothing may be missing.
    fn certain(&mut self, conn: usize, correlation_id: &[u8]) {
        let fresh = self.events.awaited.remove(&(conn, correlation_id.into())).unwrap_or_default();
        for (text, number) in fresh {
            let Some(name) = self.events.names.get_mut(&text) else { continue };
            if let Some(subscription) = name.subscriptions.get_mut(&conn)
                && subscription.number == number
            {
                subscription.certain = Some(name.emitted.clone());
                self.wants(conn, false, &text);
            }
        }
    }

    fn emit_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        // Events without data say nothing of their origin.
        let Some(data) = message.data() else { return };
        let text = || crate::trace::describe(message);
        let Some((publisher, number)) = read(data) else {
            return self.fail(format!("conn {conn} was told what nobody said: {}", text()));
        };
        self.goes_on(conn, Action::EventSubscribe, Some(message.name()));
        let ruled = self.permit.ruled();
        let Some(name) = self.events.names.get_mut(message.name()) else {
            return self.fail(format!("conn {conn} was told of a name nobody knows: {}", text()));
        };
        let emitted = name.emitted.get(&publisher).copied().unwrap_or(0);
        let delivered = name.delivered.entry((conn, publisher)).or_default();
        let again = number < *delivered;
        *delivered = number + 1;
        let place = name.places.get(&(publisher, number)).copied();
        let Some(subscription) = name.subscriptions.get_mut(&conn) else {
            return self.fail(format!("conn {conn} is not subscribed and was told {}", text()));
        };
        let certain = subscription.certain.as_ref().map(|counts| counts.get(&publisher).copied().unwrap_or(0));
        let next = subscription.next.insert(publisher, number + 1);
        let last_place = std::mem::replace(&mut subscription.place, place);
        // What its owner did not take was denied.
        let taken =
            |from: u64| from < number && name.places.range((publisher, from)..(publisher, number)).next().is_some();
        let missing = match (next, certain) {
            (Some(next), _) if ruled => number < next || taken(next),
            (None, Some(first)) if ruled => taken(first),
            (Some(next), _) => number != next,
            (None, Some(first)) => number > first,
            (None, None) => false,
        };
        self.check(publisher != conn, || format!("conn {conn} was told its own {}", text()));
        self.check(number < emitted, || format!("conn {conn} was told before it was said: {}", text()));
        self.check(!again, || format!("conn {conn} was told again, or too late: {}", text()));
        self.check(!missing, || {
            format!("conn {conn} missed an event before {}: next {next:?}, certain {certain:?}", text())
        });
        self.check(place.is_some() && place >= last_place, || {
            format!("conn {conn} was told in another order than the owner's: {}", text())
        });
    }

    /// A name of a subscription is denied, or a subscription ends.
    pub(super) fn event_denied(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        if action != Action::EventSubscribe {
            return;
        }
        let (name, correlation_id) = (message.name(), message.correlation_id());
        let key = (conn, correlation_id.unwrap_or_default().into());
        if let Some(fresh) = self.events.awaited.get_mut(&key) {
            fresh.retain(|(other, _)| **other != *name);
            if fresh.is_empty() {
                self.events.awaited.remove(&key);
                self.conns[conn].answers.forgive(action, None, correlation_id);
            }
        }
        let Some(entry) = self.events.names.get_mut(name) else { return };
        let meant = |it: &Subscription| correlation_id.is_none_or(|id| *it.asked == *id);
        if entry.subscriptions.get(&conn).is_some_and(meant) {
            entry.subscriptions.remove(&conn);
            if let Some(count) = self.events.counts.get_mut(&conn) {
                *count -= 1;
            }
            self.wants_no_more(conn, false, name);
        }
    }

    /// Subscriptions, for whoever wants to know what goes on.
    pub(super) fn granted_events(&self, grant: &mut Vec<Grant>) {
        for (name, entry) in &self.events.names {
            grant.extend(entry.subscriptions.keys().map(|&conn| (conn, Action::EventSubscribe, Some(name.clone()))));
        }
    }

    /// Nothing is under way any more: whatever was certain has arrived.
    pub(super) fn events_at_rest(&mut self) {
        let mut missing = None;
        for (text, name) in &self.events.names {
            for (&conn, subscription) in name.subscriptions.iter().filter(|(conn, _)| self.sound(**conn)) {
                let Some(certain) = &subscription.certain else {
                    missing.get_or_insert((text.clone(), conn, "its acknowledgement".to_owned()));
                    continue;
                };
                for (&publisher, &emitted) in name.emitted.iter().filter(|(publisher, _)| **publisher != conn) {
                    let first = certain.get(&publisher).copied().unwrap_or(0);
                    let next = subscription.next.get(&publisher).copied().unwrap_or(first);
                    let taken = || name.places.range((publisher, next)..=(publisher, u64::MAX)).next().is_some();
                    if next < emitted && (!self.permit.ruled() || taken()) {
                        missing.get_or_insert((text.clone(), conn, format!("event {next} of conn {publisher}")));
                    }
                }
            }
        }
        if let Some((name, conn, what)) = missing {
            self.fail(format!("conn {conn} never got {what} on {}", String::from_utf8_lossy(&name)));
        }
    }
}
