//! The exhaustive corner: two shards, two clients, a few messages, and every order in which things can happen.
//!
//! What can happen: a client's next message reaches its shard whole, the next packet of a lane is delivered, storage
//! answers. Sockets and lanes take what they are given at once, and time stands still until nothing else is left.
//!
//! If two consecutive steps concern different shards, swapping them makes no difference to either, so only one of the
//! two orders is explored (sleep sets; Godefroid 1996). This is right because shards only affect each other through
//! lanes, which keep their order.
//!
//! *Owns* the enumeration. *Promises* to explore every order that makes a difference to a shard, or to fail because
//! there are more than allowed. *Does not* split bytes, lose anything or let time pass in between: seeded worlds do.

use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::run::{come_to_rest, failure};
use crate::trace::Tracing;
use crate::world::World;
use deepstream_engine::{Lane, Limits, Options};
use deepstream_wire::{Action, Outgoing};
use std::fmt;

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// Sends a message about several names.
    Names(Action, &'static [&'static str]),
    /// Sends a message about one name.
    Name(Action, &'static str),
    /// Publishes on `e0`.
    Emit,
    /// Writes a record as this version, and wants to hear of it.
    Write(&'static str, i32),
    /// Calls.
    Request(&'static str),
    /// Responds to the first call that it receives.
    Answer(Action),
    /// Accepts or rejects the first name that it is asked to provide.
    Provide(bool),
    /// Disconnects.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Say(usize),
    Deliver(usize, usize, Lane),
    /// The shard that waits for the oldest load gets it.
    Load(usize),
    Stored(usize),
}

impl Move {
    /// The shard that this move is about.
    fn shard(self) -> usize {
        match self {
            // Clients are connected to the shards of their numbers.
            Self::Say(shard) | Self::Deliver(_, shard, _) | Self::Load(shard) | Self::Stored(shard) => shard,
        }
    }
}

/// A moment at which several things can happen.
#[derive(Debug)]
struct Fork {
    moves: Vec<Move>,
    /// Which of them happens in this run.
    choice: usize,
    /// Moves that need not come next (the sleep set): the orders in which they do were already explored.
    asleep: Vec<Move>,
}

impl Fork {
    /// Takes the first choice from this one on that was not explored; `false` if there is none.
    fn choose(&mut self, from: usize) -> bool {
        self.choice = (from..self.moves.len()).find(|&at| !self.asleep.contains(&self.moves[at])).unwrap_or(usize::MAX);
        self.choice != usize::MAX
    }

    /// The moves of the sleep set that are independent of the choice, and so need not follow it either.
    fn still_asleep(&self) -> Vec<Move> {
        let chosen = self.moves[self.choice].shard();
        self.asleep.iter().copied().filter(|other| other.shard() != chosen).collect()
    }
}

/// A scenario: what two clients do, and on which of the two shards the names are.
#[derive(Clone, Copy, Debug)]
pub struct Corner {
    /// What each of them says.
    pub scripts: [&'static [Line]; 2],
    /// The placement of names on shards follows from it.
    pub seed: u64,
}

impl Corner {
    /// Between them each name of these scripts is owned by either shard.
    pub const PLACEMENTS: [u64; 2] = [0, 2];

    /// Those that take longer to look at than tests may.
    pub fn large() -> impl Iterator<Item = Self> {
        LARGE.into_iter().flat_map(|scripts| Self::PLACEMENTS.map(|seed| Self { scripts, seed }))
    }

    /// See [`every_order`].
    pub fn every_order(self, orders_max: usize) -> Result<usize, String> {
        every_order(self.seed, Mutation::None, self.scripts, orders_max)
    }
}

impl fmt::Display for Corner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "placement {} of {:?}", self.seed, self.scripts)
    }
}

const WANT: Line = Line::Names(Action::EventSubscribe, &["e0"]);
const WANT_NO_MORE: Line = Line::Names(Action::EventUnsubscribe, &["e0"]);
const LISTEN: Line = Line::Name(Action::EventListen, "^e0$");
const UNLISTEN: Line = Line::Name(Action::EventUnlisten, "^e0$");
const READ: Line = Line::Names(Action::RecordSubscribeCreateAndRead, &["r0"]);
const HEAD: Line = Line::Names(Action::RecordSubscribeAndHead, &["r0"]);
const READ_NO_MORE: Line = Line::Names(Action::RecordUnsubscribe, &["r0"]);
const DELETE: Line = Line::Name(Action::RecordDelete, "r0");
const LISTEN_TO_RECORD: Line = Line::Name(Action::RecordListen, "^r0$");
const ALL: Line = Line::Names(Action::PresenceSubscribeAll, &[]);
const NONE: Line = Line::Names(Action::PresenceUnsubscribeAll, &[]);
const BOTH: Line = Line::Names(Action::PresenceSubscribe, &["u0", "u1"]);
const NEITHER: Line = Line::Names(Action::PresenceUnsubscribe, &["u0", "u1"]);

const LARGE: [[&[Line]; 2]; 12] = [
    [&[ALL, NONE, ALL], &[BOTH, NEITHER, Line::Drop]],
    [&[BOTH, NEITHER, BOTH], &[ALL, NONE, Line::Drop]],
    [&[BOTH, ALL, Line::Drop], &[ALL, BOTH, Line::Drop]],
    [&[LISTEN, Line::Provide(true), UNLISTEN], &[WANT, WANT_NO_MORE, WANT]],
    [&[LISTEN, Line::Provide(true), Line::Provide(true)], &[WANT, WANT_NO_MORE, WANT]],
    [&[LISTEN, Line::Provide(false), Line::Drop], &[WANT, LISTEN, Line::Provide(true)]],
    [&[LISTEN, Line::Provide(true), Line::Drop], &[LISTEN, WANT, Line::Provide(true)]],
    [&[LISTEN_TO_RECORD, Line::Provide(true), Line::Drop], &[READ, READ_NO_MORE, READ]],
    [&[LISTEN_TO_RECORD, Line::Provide(true), DELETE], &[READ, Line::Write("r0", 1), READ]],
    [&[READ, Line::Write("r0", 1), DELETE], &[READ, Line::Write("r0", -1), READ_NO_MORE]],
    [&[READ, DELETE, HEAD], &[Line::Write("r0", -1), READ, Line::Write("r0", -1)]],
    [&[HEAD, READ_NO_MORE, READ], &[Line::Write("r0", -1), DELETE, Line::Drop]],
];

/// Explores all orders of what two clients do that make a difference to a shard, and gives their number. Fails with the
/// failure of one of them, or if there are more than `orders_max`. The placement of names on the two shards follows
/// from `seed`.
pub fn every_order(seed: u64, mutation: Mutation, scripts: [&[Line]; 2], orders_max: usize) -> Result<usize, String> {
    let mut path: Vec<Fork> = Vec::new();
    let mut orders = 0;
    while orders < orders_max {
        let told = |path: &[Fork]| path.iter().map(|fork| fork.moves[fork.choice]).collect::<Vec<_>>();
        let whole = one_order(seed, mutation, scripts, &mut path);
        orders += usize::from(whole.map_err(|what| format!("{what} in order {:?}", told(&path)))?);
        loop {
            let Some(fork) = path.last_mut() else { return Ok(orders) };
            let looked_at = fork.choice;
            fork.asleep.push(fork.moves[looked_at]);
            if fork.choose(looked_at + 1) {
                break;
            }
            path.pop();
        }
    }
    Err(format!("there are more than {orders_max} orders"))
}

/// Runs one order: the given choices, then always the first possible one. `false` if it turned out to be one that was
/// already explored.
fn one_order(seed: u64, mutation: Mutation, scripts: [&[Line]; 2], path: &mut Vec<Fork>) -> Result<bool, String> {
    let mut world = World::of(Plan::corner(seed), seed, mutation, Tracing::Off);
    world.settling = true;
    for client in 0..2 {
        world.connect(client, client);
    }
    while world.one_step() {}
    let mut said = [0; 2];
    for depth in 0.. {
        let moves = world.moves(scripts, said);
        if moves.is_empty() {
            break;
        }
        if depth == path.len() {
            let asleep = path.last().map(Fork::still_asleep).unwrap_or_default();
            let mut fork = Fork { moves, choice: 0, asleep };
            if !fork.choose(0) {
                return Ok(false);
            }
            path.push(fork);
        }
        match path[depth].moves[path[depth].choice] {
            Move::Say(client) => {
                world.perform(client, scripts[client][said[client]]);
                said[client] += 1;
            }
            Move::Deliver(from, to, lane) => world.deliver(from, to, lane),
            Move::Load(_) => world.answer_load(0),
            Move::Stored(core) => world.answer_write(core),
        }
        world.forward();
        failure(&mut world)?;
    }
    come_to_rest(&mut world, u64::MAX)?;
    world.check_rest();
    failure(&mut world)?;
    world.everybody_leaves();
    come_to_rest(&mut world, u64::MAX)?;
    world.check_end();
    failure(&mut world).map(|()| true)
}

impl Plan {
    /// A plan without faults and with ample limits.
    fn corner(seed: u64) -> Self {
        let mut plan = Self::draw(&mut crate::rng::Rng::new(seed, "corner"));
        plan.cores = 2;
        plan.clients = 2;
        plan.event_names = 1;
        plan.record_names = vec!["r0".into(), "x0".into()];
        plan.stored.clear();
        plan.users = vec!["u0".into(), "u1".into()];
        plan.lane_capacity = 1 << 10;
        plan.socket_bytes = 1 << 20;
        plan.cut_bytes = 1 << 20;
        // Names are not offered again after a rejection, because that would take time.
        plan.options = Options {
            seeds: plan.options.seeds,
            limits: Limits::default(),
            listen_rematch_ns: None,
            storage_exclusion_prefixes: vec![b"x"[..].into()],
            verbose: true,
            ..Options::default()
        };
        plan
    }
}

impl World {
    fn moves(&self, scripts: [&[Line]; 2], said: [usize; 2]) -> Vec<Move> {
        let mut moves = Vec::new();
        for client in 0..2 {
            let who = &self.clients[client];
            let able = |line: &Line| match line {
                Line::Answer(_) => who.inbox.first().is_some(),
                Line::Provide(_) => who.stand.is_asked(),
                _ => true,
            };
            if who.conn.is_some() && scripts[client].get(said[client]).is_some_and(able) {
                moves.push(Move::Say(client));
            }
        }
        for index in 0..self.lane_count() {
            if !self.lanes()[index].packets.is_empty() {
                let (from, to, lane) = self.lane_at(index);
                moves.push(Move::Deliver(from, to, lane));
            }
        }
        moves.extend(self.store.loads.first().map(|load| Move::Load(load.core)));
        moves.extend((0..2).filter(|&core| !self.store.writes[core].is_empty()).map(Move::Stored));
        moves
    }

    /// Does everything that is not a move: packets enter their lanes, batches reach storage, bytes reach clients.
    fn forward(&mut self) {
        for index in 0..self.lane_count() {
            let (from, to, lane) = self.lane_at(index);
            let count = if from == to { 0 } else { self.packets_waiting(from, to, lane) };
            if count > 0 {
                self.publish(from, to, lane, count);
            }
        }
        for core in 0..2 {
            if self.store.writes[core].is_empty() {
                self.take_stores(core);
            }
        }
        for index in self.live.clone() {
            let unsent = self.conns[index].unsent.len();
            if unsent > 0 && self.conns[index].alive {
                self.flush(index, unsent);
            }
            let arrived = self.conns[index].down.len();
            if arrived > 0 && self.conns[index].client_alive {
                self.read(index, arrived);
            }
        }
    }

    fn perform(&mut self, client: usize, line: Line) {
        let Some(index) = self.clients[client].conn else { return };
        self.mark += 1;
        let mark = self.mark;
        let correlation = self.clients[client].correlation();
        let id = Some(correlation.as_bytes());
        match line {
            Line::Names(action, names) => {
                let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
                self.say(client, &Outgoing { names: &names, correlation_id: id, ..Outgoing::new(action) });
            }
            Line::Name(action, name) => {
                self.say(client, &Outgoing { name: Some(name.as_bytes()), ..Outgoing::new(action) });
            }
            Line::Emit => {
                let emitted = &mut self.clients[client].emitted;
                emitted.resize(1, 0);
                let data = format!("{{\"p\":{index},\"s\":{},\"f\":\"\"}}", emitted[0]);
                emitted[0] += 1;
                let data = Some(data.as_bytes());
                self.say(client, &Outgoing { name: Some(b"e0"), data, ..Outgoing::new(Action::EventEmit) });
            }
            Line::Write(name, version) => {
                let data = format!("{{\"w\":{mark},\"f\":\"\"}}");
                let message = Outgoing {
                    name: Some(name.as_bytes()),
                    version: Some(version),
                    data: Some(data.as_bytes()),
                    correlation_id: id,
                    is_write_ack: true,
                    ..Outgoing::new(Action::RecordCreateAndUpdate)
                };
                self.say(client, &message);
            }
            Line::Request(name) => {
                let data = format!("{{\"m\":{mark},\"f\":\"\"}}");
                let (name, data) = (Some(name.as_bytes()), Some(data.as_bytes()));
                self.say(client, &Outgoing { name, data, correlation_id: id, ..Outgoing::new(Action::RpcRequest) });
            }
            Line::Answer(action) => self.answer_first(client, action),
            Line::Provide(accept) => self.answer_first_question(client, accept),
            Line::Drop => {
                self.disconnect(index);
                return self.lose(index);
            }
        }
        let count = self.conns[index].up.len();
        self.feed(index, count);
    }
}
