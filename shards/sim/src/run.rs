//! One run: a busy world, which is then brought to rest, and then emptied.
//!
//! *Owns* these phases and the report of a failure. *Promises* that a failing seed is run again with its trace.

use crate::mutation::Mutation;
use crate::trace::Tracing;
use crate::world::World;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How far and how loud a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which of all worlds.
    pub seed: u64,
    /// The planted bug, if any.
    pub mutation: Mutation,
    /// The run ends here, if it comes that far.
    pub until: Option<u64>,
    /// Whether its steps are printed.
    pub print: bool,
    /// Whether some listen; worlds of earlier failures knew no listeners.
    pub listening: bool,
    /// Whether some may not do everything; worlds of earlier failures knew no rules.
    pub ruled: bool,
    /// Whether some may be connected once; worlds of earlier failures knew nobody by name.
    pub named: bool,
    /// Whether there are intruders; worlds of earlier failures had none.
    pub intruders: bool,
    /// Whether connections may hold little together; worlds of earlier failures knew no such bound.
    pub burdened: bool,
    /// Whether the cores may be of two nodes; worlds of earlier failures knew one.
    pub apart: bool,
    /// Whether views may change; worlds of earlier failures had one for ever.
    pub growing: bool,
    /// Whether changes may be seen only once they are stored; worlds of earlier failures knew none that were kept back.
    pub stored: bool,
    /// Whether the cores are of processes that are nodes of a cluster, with a bus between them.
    pub clustered: bool,
}

/// A failure of a run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which world.
    pub seed: u64,
    /// When.
    pub step: u64,
    /// Whether that is a world of a cluster.
    pub clustered: bool,
    /// What.
    pub what: String,
    /// The steps before it.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        let Self { seed, step, what, .. } = self;
        writeln!(f, "{what}")?;
        let cluster = if self.clustered { " --cluster" } else { "" };
        write!(f, "seed={seed} step={step} scripts/sim{cluster} --seed {seed} --until {step}")
    }
}

/// Steps in which a bounded world must come to rest.
const REST_STEPS_MAX: u64 = 200_000;
/// Times the clock may go on to the next moment without a world coming to rest.
const REST_WAITS_MAX: u64 = 20_000;
/// How often what is slow to look at is looked at.
const THOROUGH_EVERY: u64 = 16;

impl Run {
    /// A run of a seed in a world as it should be.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            mutation: Mutation::None,
            until: None,
            print: false,
            listening: true,
            ruled: true,
            named: true,
            intruders: true,
            burdened: true,
            apart: true,
            growing: true,
            stored: true,
            clustered: false,
        }
    }

    /// A run of a seed in a cluster as it should be.
    pub fn cluster(seed: u64) -> Self {
        Self { clustered: true, ..Self::of(seed) }
    }

    /// Runs it. A failure comes with the steps that led to it: the run is repeated to write them down.
    pub fn go(self) -> Result<u64, Failure> {
        let first = self.attempt(if self.print { Tracing::Print } else { Tracing::Off });
        match first {
            Err(failure) if !self.print => Err(self.attempt(Tracing::Keep).err().unwrap_or(failure)),
            result => result,
        }
    }

    /// Runs it with the tape of every shard written down. What failed, if anything did, and the tapes.
    pub fn go_taped(self) -> (Result<u64, String>, Vec<Vec<u8>>) {
        let mut world = World::new(&self, Tracing::Off);
        world.begin_tapes();
        world.begin_serving();
        let result = live(&mut world, self.until.unwrap_or(u64::MAX)).map(|()| world.step);
        (result, world.end_tapes())
    }

    fn attempt(self, tracing: Tracing) -> Result<u64, Failure> {
        let mut world = World::new(&self, tracing);
        world.begin_serving();
        let until = self.until.unwrap_or(u64::MAX);
        let run = catch_unwind(AssertUnwindSafe(|| live(&mut world, until)));
        let what = match run {
            Ok(Ok(())) => return Ok(world.step),
            Ok(Err(what)) => what,
            Err(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
        };
        Err(Failure {
            seed: self.seed,
            step: world.step,
            clustered: self.clustered,
            what,
            lines: world.trace.into_lines(),
        })
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

fn live(world: &mut World, until: u64) -> Result<(), String> {
    while world.step < world.plan.steps {
        if world.step >= until {
            return Ok(());
        }
        world.one_step();
        checked(world)?;
    }
    world.settle();
    come_to_rest(world, until)?;
    if world.step >= until {
        return Ok(());
    }
    if world.plan.topics.presence > 0 {
        world.ask_who_is_there();
        come_to_rest(world, until)?;
    }
    wait_for_rematch(world, until)?;
    world.line(|| "at rest".into());
    world.check_bounds(true);
    world.check_rest();
    failure(world)?;
    world.everybody_leaves();
    come_to_rest(world, until)?;
    if world.step < until {
        world.check_end();
    }
    failure(world)
}

/// Long enough for every name without a provider to be offered once more.
fn wait_for_rematch(world: &mut World, until: u64) -> Result<(), String> {
    let options = &world.plan.options;
    let Some(interval) = options.listen_rematch_ns.filter(|_| world.plan.topics.listen > 0) else { return Ok(()) };
    let last = world.now.after(interval * 2 + options.listen_cooldown_ns);
    while world.now < last && world.step < until && world.wait() {
        come_to_rest(world, until)?;
    }
    Ok(())
}

/// Steps until nothing can happen any more but the passing of time, and nobody waits for that either.
pub(crate) fn come_to_rest(world: &mut World, until: u64) -> Result<(), String> {
    let last = world.step + REST_STEPS_MAX;
    let mut waits = 0;
    loop {
        while world.step < until && world.one_step() {
            checked(world)?;
            if world.step > last {
                return Err(format!("no rest after {REST_STEPS_MAX} steps"));
            }
        }
        if world.step >= until {
            return Ok(());
        }
        // What is under way between nodes may be the answer.
        if !world.cluster_busy() {
            world.oracle.rpc_in_time(world.waited_at);
        }
        failure(world)?;
        if !world.waits_for_time() {
            return Ok(());
        }
        if !world.wait() {
            return Ok(());
        }
        checked(world)?;
        waits += 1;
        if waits > REST_WAITS_MAX {
            return Err(format!("no rest after the clock went on {REST_WAITS_MAX} times"));
        }
    }
}

fn checked(world: &mut World) -> Result<(), String> {
    world.check_bounds(world.step.is_multiple_of(THOROUGH_EVERY));
    failure(world)
}

pub(crate) fn failure(world: &mut World) -> Result<(), String> {
    world.oracle.failure().map_or(Ok(()), Err)
}

impl World {
    /// From here on nothing goes wrong and nobody begins anything.
    fn settle(&mut self) {
        self.line(|| "settling".into());
        self.settling = true;
        self.store.heal();
        for client in &mut self.clients {
            client.stalled_until = 0;
        }
        for core in &mut self.cores {
            core.frozen_until = 0;
        }
        for lane in self.lanes_mut() {
            lane.refuses_until = 0;
        }
        self.settle_views();
        self.settle_rules();
        for client in 0..self.clients.len() {
            self.answer_questions(client);
        }
    }

    /// Everybody goes, each in one of the ways one can.
    pub(crate) fn everybody_leaves(&mut self) {
        self.line(|| "everybody leaves".into());
        self.end_intruders();
        for index in self.live.clone() {
            self.conns[index].up_ended = true;
            self.lose(index);
        }
    }

    /// Whether something is under way that only time will bring about.
    fn waits_for_time(&self) -> bool {
        let asked = !self.logins.is_empty()
            || !self.store.loads.is_empty()
            || self.store.writes.iter().any(|queue| !queue.is_empty());
        let closing = self.live.iter().any(|&index| self.conns[index].alive && !self.conns[index].client_alive);
        asked
            || closing
            || self.cluster_busy()
            || self.cores.iter().any(|core| {
                let census = core.shard.census();
                // Listeners anywhere keep a timer everywhere, for as long as they are there.
                let timers = if census.connections + census.listeners == 0 { census.timers } else { 0 };
                census.parked_messages
                    + census.pending_loads
                    + census.pending_write_acks
                    + census.dirty_records
                    + census.bulk_requests
                    + census.rule_lookups
                    + census.calls
                    + census.asked_names
                    + census.listen_work
                    + timers
                    > 0
            })
    }
}
