//! The exhaustive corner: two shards, two clients, a few messages, and every order in which things can happen.
//!
//! What can happen: a client's next message reaches its shard whole, the next packet of a lane is delivered, storage
//! answers. Sockets and lanes take what they are given at once, and time stands still until nothing else is left.
//!
//! *Owns* the enumeration. *Promises* to leave no order out, or to say that there were more than it was allowed to look
//! at. *Does not* cut bytes, lose anything or let time pass in between: seeded worlds do.

use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::run::{come_to_rest, failure};
use crate::trace::Tracing;
use crate::world::World;
use deepstream_engine::{Lane, Limits, Options};
use deepstream_wire::{Action, Outgoing};

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// Says something about several names.
    Names(Action, &'static [&'static str]),
    /// Says something about one name.
    Name(Action, &'static str),
    /// Publishes on `e0`.
    Emit,
    /// Writes a record as this version, and wants to hear of it.
    Write(&'static str, i32),
    /// Calls.
    Request(&'static str),
    /// Says something about the first call it was asked to answer, once it was.
    Answer(Action),
    /// Accepts, or rejects, what it was asked to provide first, once it was.
    Provide(bool),
    /// Is gone.
    Drop,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Say(usize),
    Deliver(usize, usize, Lane),
    Load,
    Stored(usize),
}

/// How many orders there are of what two clients do, all of which were looked at. An error: what failed in one of them,
/// or that there are more than `orders_max`. The placement of names on the two shards follows from `seed`.
pub fn every_order(seed: u64, mutation: Mutation, scripts: [&[Line]; 2], orders_max: usize) -> Result<usize, String> {
    // The choice made at each step, and how many there were.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for orders in 1..=orders_max {
        one_order(seed, mutation, scripts, &mut path).map_err(|what| format!("{what} in order {path:?}"))?;
        while path.last().is_some_and(|(choice, count)| choice + 1 == *count) {
            path.pop();
        }
        match path.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return Ok(orders),
        }
    }
    Err(format!("there are more than {orders_max} orders"))
}

fn one_order(
    seed: u64,
    mutation: Mutation,
    scripts: [&[Line]; 2],
    path: &mut Vec<(usize, usize)>,
) -> Result<(), String> {
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
            path.push((0, moves.len()));
        }
        match moves[path[depth].0] {
            Move::Say(client) => {
                world.perform(client, scripts[client][said[client]]);
                said[client] += 1;
            }
            Move::Deliver(from, to, lane) => world.deliver(from, to, lane),
            Move::Load => world.answer_load(0),
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
    failure(&mut world)
}

impl Plan {
    /// Nothing goes wrong and nothing is scarce.
    fn corner(seed: u64) -> Self {
        let mut plan = Self::draw(&mut crate::rng::Rng::new(seed, "corner"));
        plan.cores = 2;
        plan.clients = 2;
        plan.event_names = 1;
        plan.record_names = vec!["r0".into()];
        plan.stored.clear();
        plan.users = vec!["u0".into(), "u1".into()];
        plan.lane_capacity = 1 << 10;
        plan.socket_bytes = 1 << 20;
        plan.cut_bytes = 1 << 20;
        // Nobody is asked twice: who says no here means it.
        plan.options = Options {
            seeds: plan.options.seeds,
            limits: Limits::default(),
            listen_rematch_ns: None,
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
                Line::Answer(_) => who.desk.first().is_some(),
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
        if !self.store.loads.is_empty() {
            moves.push(Move::Load);
        }
        moves.extend((0..2).filter(|&core| !self.store.writes[core].is_empty()).map(Move::Stored));
        moves
    }

    /// Everything that is not left to chance here: packets to their lanes, batches to storage, bytes to their clients.
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
