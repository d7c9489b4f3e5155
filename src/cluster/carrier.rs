//! *Owns* the node, and the order in which it is fed and drained. *Promises* that each turn is bounded, and that it sleeps only if there
//! is nothing to do until the node's next deadline. *Does not* wait for the registry, the bus or storage: others do, and ring.

use super::lanes::{Lanes, Outgoing};
use super::post::Post;
use super::words::{self, Strangers};
use super::{Clock, Report};
use crate::bus::{Address, Bus};
use crate::service::bell::BellReceiver;
use crate::storage::{self, first_of};
use bytes::Bytes;
use deepstream_cluster::{Answer, Ask, ForCore, Frame, Node, Note, Settings, Standing};
use deepstream_engine::{Lane, Nanos, NodeId, Ticket, View};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;
use tokio::time::sleep;

/// Of what comes from one side in a turn.
const TURN_MAX: usize = 256;

/// What whoever started the node wants.
pub(super) enum Command {
    Ready,
    Leave,
    Tell(mpsc::Sender<Standing>),
    End,
}

/// What the registry's thread says.
pub(super) enum Answers {
    /// Something was answered.
    Of(Ticket, Answer),
    /// The registry may hold something else than before.
    Look,
}

/// What the node is fed by, beside cores and bus.
pub(super) struct Ends {
    pub(super) asks: UnboundedSender<Ask>,
    pub(super) answers: UnboundedReceiver<Answers>,
    pub(super) commands: UnboundedReceiver<Command>,
    /// Claims slots.
    pub(super) store: storage::Client,
    pub(super) report: mpsc::Sender<Report>,
}

/// See the module.
pub(super) struct Carrier<B> {
    node: Node,
    name: Box<str>,
    incarnation: u64,
    clock: Clock,
    lanes: Lanes,
    ends: Ends,
    post: Rc<Post<B>>,
    strangers: Strangers,
    /// The node's number, by which storage knows it. Nothing is claimed before it has one.
    seat: NodeId,
    /// The other members.
    peers: Vec<NodeId>,
    /// A lane of a core has no room for what is for it.
    is_stuck: bool,
    name_is_taken: bool,
    ending: bool,
}

impl<B: Bus> Carrier<B> {
    pub(super) fn new(settings: Settings, clock: Clock, lanes: Lanes, ends: Ends, post: Rc<Post<B>>) -> Self {
        let (name, incarnation) = (settings.name.clone(), settings.incarnation);
        Self {
            node: Node::new(clock(), settings),
            name,
            incarnation,
            clock,
            lanes,
            ends,
            post,
            strangers: Strangers::default(),
            seat: NodeId(0),
            peers: Vec::new(),
            is_stuck: false,
            name_is_taken: false,
            ending: false,
        }
    }

    /// Drives the node until it is to end.
    pub(super) async fn run(mut self, receiver: BellReceiver) {
        while !self.ending {
            self.turn((self.clock)());
            if self.is_stuck {
                self.lanes.await_room();
            }
            if self.has_work() {
                // The bus is heard and spoken to on this thread too.
                yield_now().await;
                continue;
            }
            let left = self.node.next_deadline().since((self.clock)());
            let rung = receiver.wait(|| self.has_work());
            first_of(rung, sleep(Duration::from_nanos(left))).await;
        }
    }

    fn turn(&mut self, now: Nanos) {
        self.hear_cores(now);
        self.hear_answers(now);
        for _ in 0..TURN_MAX {
            let Some(packet) = self.post.next() else { break };
            if let Err(why) = self.node.heard(now, &packet) {
                self.strangers.frame(now, why);
            }
        }
        self.hear_commands(now);
        if self.node.next_deadline() <= now {
            self.node.tick(now);
        }
        self.tell_cores(now);
        self.ask();
        self.send(now);
        self.note();
    }

    /// Whether there is something that was not there before this turn, or was left by it.
    fn has_work(&self) -> bool {
        let can_go_on = self.is_stuck && self.can_give();
        self.lanes.has_bundles()
            || self.lanes.has_news()
            || self.post.has_come()
            || !self.ends.answers.is_empty()
            || !self.ends.commands.is_empty()
            || self.ends.store.has_answers()
            || can_go_on
    }

    fn hear_cores(&mut self, now: Nanos) {
        if self.lanes.take_news() {
            if self.lanes.was_deposed() {
                self.node.deposed(now);
            }
            for (core, adopted, yielded) in self.lanes.progress() {
                self.node.adopted(now, core, adopted);
                self.node.yielded(now, core, yielded);
            }
        }
        for _ in 0..TURN_MAX {
            let Some(Outgoing { to, lane, bundle }) = self.lanes.next_bundle() else { break };
            self.node.bundle(now, to, lane, bundle);
        }
    }

    fn hear_answers(&mut self, now: Nanos) {
        while let Ok(answer) = self.ends.answers.try_recv() {
            match answer {
                Answers::Of(ticket, answer) => self.node.answered(now, ticket, answer),
                Answers::Look => self.node.look(now),
            }
        }
        while let Some(storage::Claimed { ticket, result }) = self.ends.store.claimed() {
            let answer = result.map_or(Answer::Failed, |late| {
                let late = late.into_iter().map(|late| late.slot).collect();
                Answer::Claimed { late }
            });
            self.node.answered(now, ticket, answer);
        }
    }

    fn hear_commands(&mut self, now: Nanos) {
        while let Ok(command) = self.ends.commands.try_recv() {
            match command {
                Command::Ready => self.node.ready(now),
                Command::Leave => self.node.leave(now),
                // This fails if nobody waits any more.
                Command::Tell(to) => _ = to.send(self.node.standing()),
                Command::End => {
                    self.node.release();
                    self.ending = true;
                }
            }
        }
    }

    fn can_give(&self) -> bool {
        self.lanes.can_tell() && [Lane::Deliveries, Lane::Requests].iter().all(|&lane| self.lanes.can_give(lane))
    }

    /// What cores are to know comes before what they are sent.
    fn tell_cores(&mut self, now: Nanos) {
        self.is_stuck = !self.can_give();
        while self.lanes.can_tell() {
            let Some(word) = self.node.for_cores() else { break };
            if let ForCore::View(view) = &word {
                self.adopt(view);
            }
            self.lanes.tell(&word);
        }
        if self.lanes.can_tell() {
            for lane in [Lane::Deliveries, Lane::Requests] {
                let mut left = TURN_MAX;
                while left > 0 && self.lanes.can_give(lane) {
                    let Some(arrived) = self.node.next_bundle(now, lane) else { break };
                    if !self.lanes.give(&arrived) {
                        self.strangers.bundle(now);
                    }
                    left -= 1;
                }
            }
        }
        self.lanes.wake();
        for &peer in &self.peers {
            for lane in [Lane::Deliveries, Lane::Requests] {
                self.lanes.crowd(peer, lane, !self.node.has_room(peer, lane));
            }
        }
    }

    /// Who is there now, and where this node is reached.
    fn adopt(&mut self, view: &View) {
        let is_own = |incarnation| incarnation == self.incarnation;
        for gone in std::mem::take(&mut self.peers) {
            // What its number is given to next finds room.
            for lane in [Lane::Deliveries, Lane::Requests] {
                self.lanes.crowd(gone, lane, false);
            }
        }
        let members = view.members();
        self.peers = members.iter().filter(|member| !is_own(member.incarnation)).map(|member| member.node).collect();
        if let Some(own) = members.iter().find(|member| is_own(member.incarnation)) {
            self.seat = own.node;
            self.post.move_to(Address { node: own.node, incarnation: self.incarnation });
        }
    }

    fn ask(&mut self) {
        for ask in self.node.asks() {
            if let Ask::Claim { ticket, slots, generation } = ask {
                self.ends.store.claim(ticket, self.seat, slots, generation);
            } else {
                // This fails if the registry could not be opened, and then the start fails.
                let _ = self.ends.asks.send(ask);
            }
        }
    }

    fn send(&mut self, now: Nanos) {
        let mut frame = Vec::new();
        while self.post.can_send() {
            frame.clear();
            let Some(address) = self.node.next_frame(now, &mut frame) else { break };
            let incarnation = address.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            let to = Frame::read(&frame).ok().map(|frame| frame.to.node);
            if let (Some(node), Some(incarnation)) = (to, incarnation) {
                self.post.put(Address { node, incarnation }, Bytes::from(std::mem::take(&mut frame)));
            }
        }
    }

    fn note(&mut self) {
        for what in self.node.notes() {
            let is_taken = what == Note::NameTaken;
            // It is said at each try.
            if !(is_taken && self.name_is_taken) {
                words::told(&self.name, &what);
            }
            if is_taken && !self.name_is_taken {
                self.name_is_taken = true;
                // This only fails if the start has given up.
                let _ = self.ends.report.send(Report::NameTaken);
            }
        }
    }
}
