//! One name's provider: asked for, found, lost. Owner side.
//!
//! Who subscribes to a name wants it of others: its own subscription is no reason to ask a listener, and no reason for it to
//! go on providing. The owner knows how many subscribe on which core, and, if they are one connection, which.
//!
//! A name is offered only to who may listen to it by its name, whatever its pattern is: [`super::may`].

use super::registry::{Among, Search};
use super::words;
use crate::context::TimerKey;
use crate::ident::{AttemptId, ConnId};
use crate::output::{Note, Turn};
use crate::owner::Owner;
use crate::permit::{Found, Judgement};
use crate::sides::edges::Audience;
use crate::sides::{Sides, ToEdge};
use crate::timer::TimerId;
use deepstream_wire::{Action, Outgoing, Topic};
use std::collections::BTreeSet;

/// Who is asked to provide a name, or does.
#[derive(Debug)]
pub(crate) struct Assignment {
    listener: u32,
    /// Index in the listener's list of names.
    place: u32,
    attempt: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Rules look for records to find out whether the listener may be told of the name. It was told nothing.
    Judged(Box<Search>),
    /// It was asked and has not answered. A listener that is asked for a name whose last subscriber left stays asked until it
    /// answers or its time is up: a new subscriber then finds the question put already, and nobody is asked twice for one
    /// answer.
    Asked {
        timer: TimerId,
        search: Box<Search>,
    },
    Provides,
}

impl Assignment {
    /// Whether a listener was told of the name.
    pub(super) fn is_told(&self, listener: u32) -> bool {
        self.listener == listener && !matches!(self.stage, Stage::Judged(_))
    }

    fn provides(&self) -> bool {
        matches!(self.stage, Stage::Provides)
    }
}

impl<E: ToEdge> Sides<E, Owner> {
    /// Who alone subscribes to a name; nobody where nobody listens, who alone would want to know.
    #[inline]
    pub(crate) fn lone_subscriber(&self, slot: u32) -> Option<ConnId> {
        if self.owner.listening.is_empty() { None } else { self.owner.names.at(slot).interest.only() }
    }

    /// A name was subscribed to: by its first subscriber, or by one more than that `lone` one. Whether it is to be told of a
    /// provider.
    pub(crate) fn listen_subscribed(&mut self, slot: u32, conn: ConnId, first: bool, lone: Option<ConnId>) -> bool {
        let name = self.owner.names.at(slot);
        if let Some(assignment) = name.assignment() {
            let is_told = assignment.provides() && name.topic() == Topic::Record;
            if first {
                self.go_on_for_new(slot);
            }
            return is_told;
        }
        if self.owner.listening.is_empty() || !is_listened(name.topic()) {
            return false;
        }
        let topic = name.topic();
        if first {
            self.search(slot);
        } else if let Some(lone) = lone.filter(|&lone| lone != conn && self.owner.listening.listens_on(lone, topic)) {
            // The others were asked before. It was not, because there was nobody but itself to provide for.
            self.search_among(slot, Among::Conn(lone));
        }
        self.note_slow_patterns();
        false
    }

    /// A name has a subscriber again, and somebody is still asked on account of those before. Who refused them, in this
    /// search or long before it, is to be asked for the new one too, if whoever is asked now does not provide.
    fn go_on_for_new(&mut self, slot: u32) {
        let Some(Assignment { listener, stage: Stage::Asked { search, .. }, .. }) =
            self.owner.names.at_mut(slot).assignment_mut()
        else {
            return;
        };
        **search = self.owner.listening.search(self.permit.generation(), Some(*listener), Among::Everybody);
    }

    /// Other rules are in force. Those who were left out of a search under way because they had been asked before may not have been,
    /// by older rules, and may be asked now.
    pub(super) fn widen_search(&mut self, slot: u32) {
        let assignment = self.owner.names.get_mut(slot).and_then(|name| name.assignment_mut());
        let Some(Assignment { listener, stage: Stage::Asked { search, .. } | Stage::Judged(search), .. }) = assignment
        else {
            return;
        };
        if !matches!(search.among, Among::Everybody) {
            **search = self.owner.listening.search(self.permit.generation(), Some(*listener), Among::Everybody);
        }
    }

    /// A subscriber of a name is gone: perhaps the last, or the last but its provider.
    pub(crate) fn listen_unsubscribed(&mut self, slot: u32) {
        let Some(assignment) = self.owner.names.at(slot).assignment() else { return };
        if self.is_wanted_of(slot, assignment.listener) {
            return;
        }
        match assignment.stage {
            Stage::Asked { .. } => {}
            // Nobody knows that it was to be asked. Another may provide for it.
            Stage::Judged(_) => {
                self.release(slot);
                self.search(slot);
            }
            Stage::Provides => self.stop_providing(slot),
        }
        self.note_slow_patterns();
    }

    /// Whether a name is subscribed to by others than this listener.
    fn is_wanted_of(&self, slot: u32, listener: u32) -> bool {
        let interest = &self.owner.names.at(slot).interest;
        !interest.is_empty() && interest.only() != Some(self.owner.listening.listeners[listener as usize].conn)
    }

    /// The provider of a name is to provide it no more. Others are asked if somebody wants it.
    fn stop_providing(&mut self, slot: u32) {
        let Some(assignment) = self.release(slot) else { return };
        // One that listens no more has been told so, or told us.
        if !self.owner.listening.listeners[assignment.listener as usize].leaving {
            self.tell_removed(slot, assignment.listener);
        }
        if !self.owner.names.at(slot).interest.is_empty() {
            self.tell_subscribers(slot, Action::RecordHasNoProvider);
            self.search(slot);
        }
    }

    fn tell_removed(&mut self, slot: u32, listener: u32) {
        let name = self.owner.names.at(slot);
        let (name, removed) = (name.name.clone(), words(name.topic()).removed);
        self.tell_listener(listener, removed, &name);
    }

    /// Looks for a provider of a name that has none.
    pub(super) fn search(&mut self, slot: u32) {
        self.search_among(slot, Among::Everybody);
    }

    /// The same among some connections only.
    fn search_among(&mut self, slot: u32, among: Among) {
        let search = Box::new(self.owner.listening.search(self.permit.generation(), None, among));
        self.ask_next(slot, search);
    }

    /// Asks a new listener for a name that has no provider, before all others. `false`: it may not listen to that name.
    pub(super) fn ask_first(&mut self, slot: u32, listener: u32) -> bool {
        let search = Box::new(self.owner.listening.search(self.permit.generation(), Some(listener), Among::Everybody));
        self.offer(slot, listener, search).is_ok()
    }

    fn ask_next(&mut self, slot: u32, mut search: Box<Search>) {
        debug_assert!(self.owner.names.at(slot).assignment().is_none(), "one is asked at a time");
        let name = self.owner.names.at(slot);
        if name.interest.is_empty() {
            return;
        }
        let lone = name.interest.only();
        self.owner.listening.line_up(&mut search, name.topic(), &name.name, lone);
        while let Some(listener) = self.owner.listening.next_in_line(&mut search) {
            match self.offer(slot, listener, search) {
                Ok(()) => return,
                Err(back) => search = back,
            }
        }
        // Nobody is left. Who was passed over may have been so by older rules, or for want of other subscribers.
        let rules = self.permit.generation();
        if search.rules != rules {
            return self.search(slot);
        }
        let passed: BTreeSet<u64> =
            search.own.iter().filter(|&(_, &conn)| lone != Some(conn)).map(|(&order, _)| order).collect();
        if passed.is_empty() {
            if let Some(listened) = self.owner.names.at_mut(slot).listened_mut() {
                listened.search_failed_at = self.cx.outputs.now;
            }
            return;
        }
        // Who is passed over still may not be alone any more before these have answered.
        search.own.retain(|_, conn| lone == Some(*conn));
        let rest = Box::new(self.owner.listening.search_rest(rules, passed, search.own));
        self.ask_next(slot, rest);
    }

    /// Asks a listener, at once or when rules have found what they look for. `Err`: it may not listen to that name.
    fn offer(&mut self, slot: u32, listener: u32, mut search: Box<Search>) -> Result<(), Box<Search>> {
        let mut found = Found::default();
        match self.may_listen_to(slot, listener, &mut found) {
            Judgement::Yes => {
                self.engage(slot, listener, Stage::Judged(search));
                self.put_question(slot);
            }
            Judgement::LookUp | Judgement::Load => {
                let attempt = self.engage(slot, listener, Stage::Judged(search));
                self.hold_offer(attempt, found);
            }
            Judgement::No(_) => {
                search.denied.insert(self.owner.listening.listeners[listener as usize].conn);
                return Err(search);
            }
        }
        Ok(())
    }

    /// Rules found what they looked for.
    pub(crate) fn offer_again(&mut self, id: AttemptId, mut found: Found) {
        let Some(listener) = self.assignment_of(id).map(|assignment| assignment.listener) else { return };
        if self.owner.listening.listeners[listener as usize].leaving {
            self.lost(id.slot);
            return self.note_slow_patterns();
        }
        match self.may_listen_to(id.slot, listener, &mut found) {
            Judgement::Yes => self.put_question(id.slot),
            Judgement::LookUp | Judgement::Load => self.hold_offer(id, found),
            Judgement::No(_) => self.pass_over(id.slot),
        }
        self.note_slow_patterns();
    }

    /// Whoever is asked for a name may not listen to it: on to the next.
    fn pass_over(&mut self, slot: u32) {
        let Some(assignment) = self.release(slot) else { return };
        if let Stage::Judged(mut search) | Stage::Asked { mut search, .. } = assignment.stage {
            search.denied.insert(self.owner.listening.listeners[assignment.listener as usize].conn);
            self.ask_next(slot, search);
        }
        self.owner.names.remove_if_idle(slot);
    }

    /// Who was told of a name may not listen to it any more. If it provides it is told to stop; if it was asked, nothing is
    /// said, and what it answers is too late.
    pub(crate) fn end_assignment(&mut self, id: AttemptId) {
        match self.assignment_of(id).map(|assignment| &assignment.stage) {
            Some(Stage::Provides) => {
                self.stop_providing(id.slot);
                self.owner.names.remove_if_idle(id.slot);
            }
            Some(Stage::Asked { .. }) => self.pass_over(id.slot),
            Some(Stage::Judged(_)) | None => {}
        }
        self.note_slow_patterns();
    }

    fn assignment_of(&self, id: AttemptId) -> Option<&Assignment> {
        let assignment = self.owner.names.get(id.slot)?.assignment()?;
        (assignment.attempt == id.attempt).then_some(assignment)
    }

    /// Ties a name to a listener.
    fn engage(&mut self, slot: u32, listener: u32, stage: Stage) -> AttemptId {
        self.owner.listening.attempt = self.owner.listening.attempt.wrapping_add(1);
        let attempt = self.owner.listening.attempt;
        let asked = &mut self.owner.listening.listeners[listener as usize];
        let place = asked.names.len() as u32;
        asked.names.push(slot);
        asked.asked += 1;
        self.owner.listening.asked += 1;
        if let Some(listened) = self.owner.names.at_mut(slot).listened_mut() {
            listened.assignment = Some(Box::new(Assignment { listener, place, attempt, stage }));
        }
        AttemptId { slot, attempt }
    }

    /// The listener a name is tied to may be told of it, and is.
    fn put_question(&mut self, slot: u32) {
        let Some(Assignment { listener, attempt, stage, .. }) = self.owner.names.at_mut(slot).assignment_mut() else {
            return;
        };
        let (listener, attempt) = (*listener, *attempt);
        let Stage::Judged(search) = std::mem::replace(stage, Stage::Provides) else { return };
        let key = TimerKey::ListenResponse(AttemptId { slot, attempt });
        let timer = self.cx.set_timer(self.cx.options.listen_response_timeout_ns, key);
        if let Some(assignment) = self.owner.names.at_mut(slot).assignment_mut() {
            assignment.stage = Stage::Asked { timer, search };
        }
        self.note_turn(slot, listener, Turn::Asked);
        let (name, listener) = (self.owner.names.at(slot), &self.owner.listening.listeners[listener as usize]);
        let found = Outgoing {
            name: Some(listener.pattern.source().as_bytes()),
            subscription: Some(&name.name),
            ..Outgoing::new(words(name.topic()).found)
        };
        self.edges.past_gate(|edges| edges.reply(&mut self.cx, listener.conn, &found));
    }

    /// Nobody is asked for a name, and nobody provides it, any more.
    fn release(&mut self, slot: u32) -> Option<Box<Assignment>> {
        let assignment = self.owner.names.at_mut(slot).listened_mut()?.assignment.take()?;
        if let Stage::Asked { timer, .. } = &assignment.stage {
            self.cx.timers.cancel(*timer);
        }
        if assignment.is_told(assignment.listener) {
            self.note_turn(slot, assignment.listener, Turn::Over);
        }
        let listener = &mut self.owner.listening.listeners[assignment.listener as usize];
        let was_asked = usize::from(!assignment.provides());
        listener.asked -= was_asked;
        self.owner.listening.asked -= was_asked;
        listener.names.swap_remove(assignment.place as usize);
        let moved = listener.names.get(assignment.place as usize).copied();
        if let Some(other) = moved.and_then(|moved| self.owner.names.at_mut(moved).assignment_mut()) {
            other.place = assignment.place;
        }
        self.wake_newcomer(assignment.listener);
        Some(assignment)
    }

    /// A name is another node's: whoever was asked for it, or provides it, hears from there.
    pub(crate) fn part_from_listener(&mut self, slot: u32) {
        self.release(slot);
    }

    /// Whoever was asked accepts.
    pub(super) fn accepted_by(&mut self, slot: u32) {
        let Some(assignment) = self.owner.names.at(slot).assignment() else { return };
        let listener = assignment.listener;
        if assignment.provides() {
            return;
        }
        if !self.is_wanted_of(slot, listener) {
            self.tell_removed(slot, listener);
            self.passed_over(slot);
            return self.lost(slot);
        }
        if let Some(assignment) = self.owner.names.at_mut(slot).assignment_mut()
            && let Stage::Asked { timer, .. } = std::mem::replace(&mut assignment.stage, Stage::Provides)
        {
            self.cx.timers.cancel(timer);
            self.owner.listening.listeners[listener as usize].asked -= 1;
            self.owner.listening.asked -= 1;
            self.wake_newcomer(listener);
        }
        self.note_turn(slot, listener, Turn::Provides);
        self.tell_subscribers(slot, Action::RecordHasProvider);
    }

    /// Whoever is asked would provide, but only for itself: it is asked again if others come before the search is over.
    fn passed_over(&mut self, slot: u32) {
        let Some(Assignment { listener, stage: Stage::Asked { search, .. }, .. }) =
            self.owner.names.at_mut(slot).assignment_mut()
        else {
            return;
        };
        let listener = &self.owner.listening.listeners[*listener as usize];
        search.own.insert(listener.order, listener.conn);
    }

    fn note_turn(&mut self, slot: u32, listener: u32, turn: Turn) {
        if self.cx.outputs.verbose {
            let (name, listener) = (self.owner.names.at(slot), &self.owner.listening.listeners[listener as usize]);
            let note = Note::Listener {
                turn,
                topic: name.topic().name(),
                name: String::from_utf8_lossy(&name.name).into(),
                pattern: listener.pattern.source().into(),
                conn: listener.conn,
            };
            self.cx.outputs.note(note);
        }
    }

    /// The listener of a name refuses, gives up, or is gone: on to the next.
    pub(super) fn lost(&mut self, slot: u32) {
        let Some(assignment) = self.release(slot) else { return };
        match assignment.stage {
            Stage::Judged(search) | Stage::Asked { search, .. } => self.ask_next(slot, search),
            Stage::Provides => {
                self.tell_subscribers(slot, Action::RecordHasNoProvider);
                self.search(slot);
            }
        }
        self.owner.names.remove_if_idle(slot);
    }

    /// Whoever was asked did not answer in time.
    pub(crate) fn listener_silent(&mut self, id: AttemptId) {
        let Some(assignment) = self.assignment_of(id) else { return };
        let Stage::Asked { .. } = assignment.stage else { return };
        let listener = &self.owner.listening.listeners[assignment.listener as usize];
        // Clients of the text protocol have no word for it: some pass over what they are told in its place, others fail.
        let knows = self.edges.wire(listener.conn).is_some_and(|wire| !wire.is_text());
        if knows && self.is_wanted_of(id.slot, assignment.listener) && !listener.leaving {
            let name = self.owner.names.at(id.slot);
            let late = Outgoing { subscription: Some(&name.name), ..Outgoing::new(words(name.topic()).timeout) };
            self.edges.reply(&mut self.cx, listener.conn, &late);
        }
        self.lost(id.slot);
        self.note_slow_patterns();
    }

    fn tell_subscribers(&mut self, slot: u32, action: Action) {
        if self.owner.names.at(slot).topic() != Topic::Record {
            return;
        }
        self.behind_gate(slot, |sides| {
            let name = sides.owner.names.at(slot);
            let audience = Audience::others(&name.interest, slot, ConnId::NOBODY);
            let told = |_| Outgoing { name: Some(&name.name), ..Outgoing::new(action) };
            sides.edges.fan_out(&mut sides.cx, audience, told);
        });
    }
}

impl Owner {
    /// Who was told of a name, to be asked or to provide it, and by which question.
    pub(super) fn told_of(&self, slot: u32) -> Option<(AttemptId, ConnId)> {
        let assignment = self.names.get(slot)?.assignment()?;
        let told = assignment.is_told(assignment.listener);
        let conn = self.listening.listeners[assignment.listener as usize].conn;
        told.then_some((AttemptId { slot, attempt: assignment.attempt }, conn))
    }
}

/// Whether names of a topic are listened for.
pub(super) fn is_listened(topic: Topic) -> bool {
    matches!(topic, Topic::Event | Topic::Record)
}
