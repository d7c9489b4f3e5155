//! Chooses what happens next, among everything that could.
//!
//! *Owns* the choice. *Promises* that everything possible is picked sooner or later, and that choosing something
//! impossible does not count as a step. *Does not* know what a step does.

use crate::client::Phase;
use crate::plan::Act;
use crate::world::World;
use deepstream_engine::{Lane, Nanos};
use deepstream_wire::Wire;
use deepstream_wire::client::{FINAL_CLOSE, encode_frame};

impl World {
    /// One step; `false` if nothing can happen but the passing of time.
    pub(crate) fn one_step(&mut self) -> bool {
        self.step += 1;
        self.now = self.now.after(self.rng.schedule.between(0, 20_000));
        self.oracle.time(self.now);
        self.swap_rules();
        self.change_views();
        self.let_intruders_act();
        self.live_cluster();
        let mut weights = self.plan.weights;
        if self.settling {
            for act in Act::ALL.into_iter().filter(|&act| act >= Act::Work) {
                weights[act as usize] = 0;
            }
        }
        loop {
            let total: u32 = weights.iter().sum();
            if total == 0 {
                return false;
            }
            let mut ticket = self.rng.schedule.below(total as usize) as u32;
            let act = *Act::ALL
                .iter()
                .find(|&&act| {
                    let weight = weights[act as usize];
                    let hit = ticket < weight;
                    ticket = ticket.saturating_sub(weight);
                    hit
                })
                .expect("a ticket below the total falls into one weight");
            if self.attempt(act) {
                return true;
            }
            weights[act as usize] = 0;
        }
    }

    fn attempt(&mut self, act: Act) -> bool {
        match act {
            Act::Publish => self.try_publish(),
            Act::Deliver => self.try_deliver(),
            Act::Feed => self.try_feed(),
            Act::Flush => self.try_flush(),
            Act::Read => self.try_read(),
            Act::Resume => self.try_resume(),
            Act::Finish => self.try_finish(),
            Act::Answer => self.try_answer(),
            Act::Store => self.try_store(),
            Act::Work => self.try_work(),
            Act::Connect => self.try_connect(),
            // Where little else is possible, time would fly and nobody get anything done.
            Act::Wait => self.rng.schedule.chance(20) && self.wait(),
            Act::Drop => self.try_drop(),
            Act::Goodbye => self.try_goodbye(),
            Act::Stall => self.try_stall(),
            Act::Mute => self.try_mute(),
            Act::Freeze => self.try_freeze(),
            Act::Refuse => self.try_refuse(),
        }
    }

    /// A random start, then one after the other: the first for which `fits`.
    fn find(&mut self, count: usize, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let start = self.rng.schedule.below(count);
        (0..count).map(|step| (start + step) % count).find(|&place| fits(self, place))
    }

    fn find_conn(&mut self, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let place = self.find(self.live.len(), |world, place| fits(world, world.live[place]))?;
        Some(self.live[place])
    }

    /// All or a part of `count`, at least one.
    fn some_of(&mut self, count: usize) -> usize {
        if self.rng.schedule.chance(50) { count } else { 1 + self.rng.schedule.below(count) }
    }

    /// How many of `count` bytes arrive at once: all, or what fits a cut; 0 if there are none.
    fn cut(&mut self, count: usize) -> usize {
        if count == 0 || self.rng.schedule.chance(70) {
            return count;
        }
        1 + self.rng.schedule.below(count.min(self.plan.cut_bytes))
    }

    fn try_publish(&mut self) -> bool {
        let capacity = self.plan.lane_capacity;
        let lane = self.find(self.lane_count(), |world, index| {
            let (from, to, lane) = world.lane_at(index);
            let queue = &world.lanes()[index];
            from != to
                && !world.frozen(from)
                && queue.refuses_until <= world.step
                && world.packets_waiting(from, to, lane) > 0
                && world.takes_packets(from, to, lane)
        });
        let Some(index) = lane else { return false };
        let (from, to, lane) = self.lane_at(index);
        let waiting = self.packets_waiting(from, to, lane);
        // A node takes a bundle whole.
        let room = if self.is_far(from, to) { waiting } else { capacity - self.lanes()[index].packets.len() };
        let count = self.some_of(room.min(waiting));
        self.publish(from, to, lane, count);
        true
    }

    fn try_deliver(&mut self) -> bool {
        let lane = self.find(self.lane_count(), |world, index| {
            !world.lanes()[index].packets.is_empty() && !world.frozen(world.lane_at(index).1)
        });
        let Some(index) = lane else { return false };
        let (from, to, lane) = self.lane_at(index);
        self.deliver(from, to, lane);
        true
    }

    fn try_feed(&mut self) -> bool {
        let found = self.find_conn(|world, index| {
            let conn = &world.conns[index];
            conn.readable() && !world.frozen(conn.core)
        });
        let Some(index) = found else { return false };
        let count = self.cut(self.conns[index].up.len());
        self.feed(index, count);
        true
    }

    fn try_flush(&mut self) -> bool {
        let socket_bytes = self.plan.socket_bytes;
        let found = self.find_conn(|world, index| {
            let conn = &world.conns[index];
            conn.alive && !conn.unsent.is_empty() && conn.down.len() < socket_bytes && !world.frozen(conn.core)
        });
        let Some(index) = found else { return false };
        let conn = &self.conns[index];
        let count = conn.unsent.len().min(socket_bytes - conn.down.len());
        let count = self.some_of(count);
        self.flush(index, count);
        true
    }

    fn try_read(&mut self) -> bool {
        let found = self.find_conn(|world, index| {
            let conn = &world.conns[index];
            let stalled = world.clients[conn.client].stalled_until > world.step;
            conn.client_alive && !stalled && (!conn.down.is_empty() || !conn.alive)
        });
        let Some(index) = found else { return false };
        let count = self.cut(self.conns[index].down.len());
        self.read(index, count);
        true
    }

    fn try_resume(&mut self) -> bool {
        let found = self.find_conn(|world, index| {
            let conn = &world.conns[index];
            conn.alive && conn.resume_due && conn.closing.is_none() && !world.frozen(conn.core)
        });
        let Some(index) = found else { return false };
        self.resume(index);
        true
    }

    fn try_finish(&mut self) -> bool {
        let found = self.find_conn(|world, index| {
            let conn = &world.conns[index];
            conn.alive && conn.closing.is_some() && conn.unsent.is_empty() && !world.frozen(conn.core)
        });
        let Some(index) = found else { return false };
        self.finish(index);
        true
    }

    fn try_answer(&mut self) -> bool {
        let (loads, logins, cores) = (self.store.loads.len(), self.logins.len(), self.cores.len());
        let found = self.find(loads + logins + cores, |world, place| {
            let (core, due) = if place < loads {
                (world.store.loads[place].core, world.store.loads[place].due)
            } else if place < loads + logins {
                (world.logins[place - loads].core, world.logins[place - loads].due)
            } else {
                let core = place - loads - logins;
                let Some(write) = world.store.writes[core].front() else { return false };
                (core, write.due)
            };
            due <= world.now && !world.frozen(core)
        });
        let Some(place) = found else { return false };
        if place < loads {
            self.answer_load(place);
        } else if place < loads + logins {
            self.answer_login(place - loads);
        } else {
            self.answer_write(place - loads - logins);
        }
        true
    }

    fn try_store(&mut self) -> bool {
        let count = self.cores.len();
        let start = self.rng.schedule.below(count);
        (0..count).map(|step| (start + step) % count).any(|core| !self.frozen(core) && self.take_stores(core))
    }

    fn try_work(&mut self) -> bool {
        let found = self.find(self.clients.len(), |world, client| {
            let who = &world.clients[client];
            let room = |index: usize| world.conns[index].up.len() < world.plan.socket_bytes.max(1000);
            let speaks = who.phase == Phase::Open && who.quiet_until <= world.now;
            speaks && who.conn.is_some_and(|index| room(index) && !world.conns[index].up_ended)
        });
        let Some(client) = found else { return false };
        self.work(client);
        true
    }

    fn try_connect(&mut self) -> bool {
        let found = self.find(self.clients.len(), |world, client| world.clients[client].conn.is_none());
        let Some(client) = found else { return false };
        let core = self.rng.schedule.below(self.cores.len());
        if self.frozen(core) {
            return false;
        }
        self.connect(client, core);
        true
    }

    fn try_drop(&mut self) -> bool {
        let Some(index) = self.find_conn(|world, index| !world.frozen(world.conns[index].core)) else { return false };
        self.line(|| format!("drop conn={index}"));
        self.conns[index].down.clear();
        self.disconnect(index);
        if self.rng.faults.chance(70) {
            self.lose(index);
        }
        true
    }

    fn try_goodbye(&mut self) -> bool {
        let found = self.find_conn(|world, index| {
            let conn = &world.conns[index];
            conn.client_alive && conn.alive && !conn.up_ended
        });
        let Some(index) = found else { return false };
        self.line(|| format!("goodbye from conn={index}"));
        let mask = self.mask();
        let conn = &mut self.conns[index];
        if self.rng.faults.chance(50) {
            encode_frame(FINAL_CLOSE, &1000_u16.to_be_bytes(), mask, conn.up.writer());
        }
        conn.up_ended = true;
        // Some keep reading until the server is through with them.
        if self.rng.faults.chance(50) {
            self.lose(index);
        }
        true
    }

    fn try_stall(&mut self) -> bool {
        let client = self.rng.faults.below(self.clients.len());
        let steps = self.rng.faults.between(5, 200);
        self.line(|| format!("stall client={client} steps={steps}"));
        self.clients[client].stalled_until = self.step + steps;
        true
    }

    fn try_mute(&mut self) -> bool {
        let client = self.rng.faults.below(self.clients.len());
        let quiet_ns = self.rng.faults.between(0, self.plan.options.endpoints.of(Wire::Protobuf).heartbeat_ns * 3);
        self.line(|| format!("mute client={client} ns={quiet_ns}"));
        self.clients[client].quiet_until = self.now.after(quiet_ns);
        true
    }

    fn try_freeze(&mut self) -> bool {
        let core = self.rng.faults.below(self.cores.len());
        let steps = self.rng.faults.between(2, 60);
        self.line(|| format!("freeze core={core} steps={steps}"));
        self.cores[core].frozen_until = self.step + steps;
        true
    }

    fn try_refuse(&mut self) -> bool {
        let cores = self.cores.len();
        let (from, to) = (self.rng.faults.below(cores), self.rng.faults.below(cores));
        let steps = self.rng.faults.between(2, 100);
        let lane = self.rng.faults.pick(&[Lane::Requests, Lane::Requests, Lane::Deliveries]);
        self.line(|| format!("refuse {from}>{to} {lane:?} steps={steps}"));
        let until = self.step + steps;
        self.lane(from, to, lane).refuses_until = until;
        true
    }

    /// Time goes on to the next moment at which something is due; `false` if nothing ever is.
    pub(crate) fn wait(&mut self) -> bool {
        let next = self.next_due();
        if !self.cluster_until(next) {
            let Some(next) = next else { return false };
            self.now = self.now.max(next);
        }
        let now = self.now;
        if !(0..self.cores.len()).any(|core| self.frozen(core)) {
            self.waited_at = now;
        }
        self.oracle.time(now);
        self.line(|| format!("wait until {}", now.0));
        for client in 0..self.clients.len() {
            if self.ping_due(client).is_some_and(|due| due <= now) {
                self.ping(client);
            }
        }
        for core in 0..self.cores.len() {
            let due = self.cores[core].shard.next_deadline();
            if !self.frozen(core) && due.is_some_and(|due| due <= now) {
                self.tick(core);
            }
        }
        true
    }

    fn next_due(&self) -> Option<Nanos> {
        let now = self.now;
        let later = |due: &Nanos| *due > now;
        let shards = (0..self.cores.len())
            .filter(|&core| !self.frozen(core))
            .filter_map(|core| self.cores[core].shard.next_deadline());
        let pings = (0..self.clients.len()).filter_map(|client| self.ping_due(client));
        let logins = self.logins.iter().map(|login| login.due).filter(later);
        shards.chain(pings).chain(logins).chain(self.store.next_due().filter(later)).min()
    }

    fn ping_due(&self, client: usize) -> Option<Nanos> {
        let who = &self.clients[client];
        let index = who.conn?;
        let speaks = who.phase == Phase::Open && !self.conns[index].up_ended && self.conns[index].alive;
        speaks.then(|| {
            who.spoke_at.after(self.plan.options.endpoints.of(Wire::Protobuf).heartbeat_ns).max(who.quiet_until)
        })
    }
}
