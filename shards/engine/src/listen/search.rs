//! One name's provider: asked for, found, lost. Owner side.

use super::registry::Search;
use super::words;
use crate::delivery::Audience;
use crate::ident::ConnId;
use crate::output::{Note, Turn};
use crate::shard::{Shard, TimerKey};
use crate::timer::TimerId;
use deepstream_wire::{Action, Outgoing, Topic};

/// Who is asked to provide a name, or does.
#[derive(Debug)]
pub(crate) struct Provision {
    listener: u32,
    /// Index in the listener's list of names.
    place: u32,
    /// There while the listener has not answered; without, it provides. A listener that is asked for a name whose last
    /// subscriber left stays asked until it answers or its time is up: a new subscriber then finds the question put already,
    /// and nobody is asked twice for one answer.
    asking: Option<Asking>,
}

#[derive(Debug)]
struct Asking {
    attempt: u32,
    timer: TimerId,
    search: Search,
}

/// Names one question put to one listener; stale once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptId {
    slot: u32,
    attempt: u32,
}

impl Provision {
    pub(super) fn is_of(&self, listener: u32) -> bool {
        self.listener == listener
    }
}

impl Shard {
    /// A name was subscribed to: by its first subscriber, or by one more. Whether that one is to be told of a provider.
    pub(crate) fn listen_subscribed(&mut self, slot: u32, first: bool) -> bool {
        let name = self.names.at(slot);
        match &name.provision {
            None if first && !self.listening.is_empty() && is_listened(name.topic) => {
                self.search(slot, None);
                self.note_slow_patterns();
                false
            }
            Some(provision) => provision.asking.is_none() && name.topic == Topic::Record,
            None => false,
        }
    }

    /// A name's last subscriber is gone.
    pub(crate) fn listen_unsubscribed(&mut self, slot: u32) {
        let name = self.names.at(slot);
        let Some(provision) = name.provision.as_ref().filter(|provision| provision.asking.is_none()) else { return };
        let (listener, topic) = (provision.listener, name.topic);
        self.release(slot);
        // One that listens no more has been told so, or told us.
        if !self.listening.listeners[listener as usize].leaving {
            self.tell_removed(slot, listener, topic);
        }
    }

    fn tell_removed(&mut self, slot: u32, listener: u32, topic: Topic) {
        let name = self.names.at(slot).name.clone();
        self.tell_listener(listener, words(topic).removed, &name);
    }

    /// Looks for a provider of a name that has none; `first` is asked before all others.
    pub(super) fn search(&mut self, slot: u32, first: Option<u32>) {
        let search = self.listening.search(first);
        match first {
            Some(listener) => self.ask_listener(slot, listener, search),
            None => self.ask_next(slot, search),
        }
    }

    fn ask_next(&mut self, slot: u32, mut search: Search) {
        let name = self.names.at(slot);
        debug_assert!(name.provision.is_none(), "one is asked at a time");
        if name.interest.is_empty() {
            return;
        }
        match self.listening.next(&mut search, name.topic, &name.name) {
            Some(listener) => self.ask_listener(slot, listener, search),
            None => self.names.at_mut(slot).search_failed_at = self.delivery.now,
        }
    }

    fn ask_listener(&mut self, slot: u32, listener: u32, search: Search) {
        self.listening.attempt = self.listening.attempt.wrapping_add(1);
        let attempt = self.listening.attempt;
        let key = TimerKey::ListenResponse(AttemptId { slot, attempt });
        let timer = self.set_timer(self.options.listen_response_timeout_ns, key);
        let asked = &mut self.listening.listeners[listener as usize];
        let place = asked.names.len() as u32;
        asked.names.push(slot);
        asked.asked += 1;
        self.listening.asked += 1;
        let name = self.names.at_mut(slot);
        name.provision = Some(Box::new(Provision { listener, place, asking: Some(Asking { attempt, timer, search }) }));
        let topic = name.topic;
        self.note_turn(slot, listener, Turn::Asked);
        let (name, listener) = (&self.names.at(slot).name, &self.listening.listeners[listener as usize]);
        let found = Outgoing {
            name: Some(listener.pattern.source().as_bytes()),
            subscription: Some(name),
            ..Outgoing::new(words(topic).found)
        };
        self.delivery.reply(listener.conn, &found);
    }

    /// Nobody is asked for a name, and nobody provides it, any more.
    fn release(&mut self, slot: u32) -> Option<Box<Provision>> {
        let provision = self.names.at_mut(slot).provision.take()?;
        if let Some(asking) = &provision.asking {
            self.timers.cancel(asking.timer);
        }
        self.note_turn(slot, provision.listener, Turn::Over);
        let listener = &mut self.listening.listeners[provision.listener as usize];
        let was_asked = usize::from(provision.asking.is_some());
        listener.asked -= was_asked;
        self.listening.asked -= was_asked;
        listener.names.swap_remove(provision.place as usize);
        let moved = listener.names.get(provision.place as usize).copied();
        if let Some(other) = moved.and_then(|moved| self.names.at_mut(moved).provision.as_mut()) {
            other.place = provision.place;
        }
        self.wake_newcomer(provision.listener);
        Some(provision)
    }

    /// Whoever was asked accepts.
    pub(super) fn accepted_by(&mut self, slot: u32) {
        let name = self.names.at_mut(slot);
        let wanted = !name.interest.is_empty();
        let topic = name.topic;
        let Some(provision) = &mut name.provision else { return };
        let listener = provision.listener;
        if provision.asking.is_none() {
            return;
        }
        if !wanted {
            self.release(slot);
            self.tell_removed(slot, listener, topic);
            return self.names.remove_if_idle(slot);
        }
        if let Some(asking) = provision.asking.take() {
            self.timers.cancel(asking.timer);
            self.listening.listeners[listener as usize].asked -= 1;
            self.listening.asked -= 1;
            self.wake_newcomer(listener);
        }
        self.note_turn(slot, listener, Turn::Provides);
        self.tell_subscribers(slot, Action::RecordHasProvider);
    }

    fn note_turn(&mut self, slot: u32, listener: u32, turn: Turn) {
        if self.delivery.verbose {
            let (name, listener) = (self.names.at(slot), &self.listening.listeners[listener as usize]);
            let note = Note::Listener {
                turn,
                topic: name.topic.name(),
                name: String::from_utf8_lossy(&name.name).into(),
                pattern: listener.pattern.source().into(),
                conn: listener.conn,
            };
            self.delivery.note(note);
        }
    }

    /// The listener of a name refuses, gives up, or is gone: on to the next.
    pub(super) fn lost(&mut self, slot: u32) {
        let Some(provision) = self.release(slot) else { return };
        if let Some(asking) = provision.asking {
            self.ask_next(slot, asking.search);
        } else {
            self.tell_subscribers(slot, Action::RecordHasNoProvider);
            self.search(slot, None);
        }
        self.names.remove_if_idle(slot);
    }

    /// Whoever was asked did not answer in time.
    pub(crate) fn listener_silent(&mut self, id: AttemptId) {
        let Some(name) = self.names.get(id.slot) else { return };
        let Some(provision) = &name.provision else { return };
        if provision.asking.as_ref().is_none_or(|asking| asking.attempt != id.attempt) {
            return;
        }
        let listener = &self.listening.listeners[provision.listener as usize];
        if !name.interest.is_empty() && !listener.leaving {
            let late = Outgoing { subscription: Some(&name.name), ..Outgoing::new(words(name.topic).timeout) };
            self.delivery.reply(listener.conn, &late);
        }
        self.lost(id.slot);
        self.note_slow_patterns();
    }

    fn tell_subscribers(&mut self, slot: u32, action: Action) {
        let name = self.names.at(slot);
        if name.topic != Topic::Record {
            return;
        }
        let audience = Audience::others(&name.interest, slot, ConnId::NOBODY);
        self.delivery
            .fan_out(&self.subscribers, audience, |_| Outgoing { name: Some(&name.name), ..Outgoing::new(action) });
    }
}

/// Whether names of a topic are listened for.
pub(super) fn is_listened(topic: Topic) -> bool {
    matches!(topic, Topic::Event | Topic::Record)
}
