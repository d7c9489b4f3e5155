//! One run: starts a player (a server that is measured), opens connections, makes load, and measures.

use crate::clock::{Clock, MILLISECOND_NS};
use crate::control::Control;
use crate::cpulist;
use crate::distance;
use crate::load::{self, Task};
use crate::plan::Plan;
use crate::player::{PREFIX, Player, Stage};
use crate::proc::Usage;
use crate::scenario::{Scenario, Shows};
use crate::schedule::Timing;
use crate::syscalls;
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// What one run gave.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// What opening all connections cost; of a storm of reconnections: all rounds together.
    pub(crate) opening: Usage,
    /// How many connections that was.
    pub(crate) opened: usize,
    /// How long it took, one round.
    pub(crate) opening_ns: u64,
    /// What the measured load cost.
    pub(crate) load: Usage,
    pub(crate) load_ns: u64,
    /// System calls per second of the measured time, if they were counted.
    pub(crate) syscalls: Option<f64>,
    /// Memory with so many connections.
    pub(crate) memory: Vec<(usize, u64)>,
    /// Whether the player's process was there to be measured.
    pub(crate) is_measured: bool,
    /// Nanoseconds of a cache line's way between the two sides' CPUs and back, the longer of before and after.
    pub(crate) line_ns: Option<f64>,
}

/// What is shown while a run goes on.
pub(crate) trait Watcher {
    /// Something like "opening, 200 of 1,000", or arrivals so far.
    fn progress(&mut self, what: &str, done: u64, of: u64);
}

const OPENING_TIMEOUT_NS: u64 = 60 * 1000 * MILLISECOND_NS;

/// Plays a scenario once.
pub(crate) fn run(
    player: &Player,
    scenario: &Scenario,
    stage: &Stage,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, String> {
    let before = distance::measure(&stage.cores)?;
    let mut target = player.start(scenario, stage)?;
    let plan = Plan::new(scenario, target.dialect, PREFIX);
    let threads = stage.cores.generator.len().max(1);
    let control = Control::new(threads);
    let clock = Clock::start();
    let spin = stage.cores.is_apart();
    let (control, plan) = (&control, &plan);
    let result = thread::scope(|scope| {
        let players: Vec<_> = (0..threads)
            .map(|thread| {
                let task = Task { plan, control, clock, address: target.address, spin, thread };
                let cpu: Vec<usize> = stage.cores.generator.get(thread).copied().into_iter().collect();
                scope.spawn(move || cpulist::pin(&cpu).and_then(|()| load::play(task)))
            })
            .collect();
        let mut conductor = Conductor { control, plan, clock, pid: target.pid, watcher };
        let outcome = conductor.conduct(stage);
        if outcome.is_err() {
            control.abort();
        }
        let mut failure = outcome.as_ref().err().cloned();
        let mut sum = Tally::new(plan.scenario.publishers);
        for player in players {
            match player.join() {
                Ok(Ok(tally)) => sum.add(&tally),
                Ok(Err(error)) if error != load::STOPPED => failure = Some(error),
                Ok(Err(_)) => {}
                Err(_) => failure = Some("a generator thread panicked".to_owned()),
            }
        }
        match (failure, outcome) {
            (Some(failure), _) | (None, Err(failure)) => Err(failure),
            (None, Ok(outcome)) => Ok(Outcome { tally: sum, ..outcome }),
        }
    });
    if target.is_dead() {
        return Err(format!("{} died: {}", player.name(), target.last_words()));
    }
    // It may spin where the distance is measured from.
    drop(target);
    let after = distance::measure(&stage.cores)?;
    result.map(|outcome| Outcome { line_ns: before.into_iter().chain(after).reduce(f64::max), ..outcome })
}

struct Conductor<'a> {
    control: &'a Control,
    plan: &'a Plan,
    clock: Clock,
    pid: Option<u32>,
    watcher: &'a mut dyn Watcher,
}

impl Conductor<'_> {
    fn conduct(&mut self, stage: &Stage) -> Result<Outcome, String> {
        // It wakes rarely, and must not wake on the server's CPU.
        cpulist::pin(&stage.cores.generator)?;
        let scenario = &self.plan.scenario;
        let all = scenario.connections();
        let mut memory = Vec::new();
        let (mut before, mut began) = (self.usage(), self.clock.now());
        for step in memory_steps(scenario) {
            self.open(step)?;
            memory.push((step, self.usage().proportional_bytes));
        }
        self.open(all)?;
        if scenario.reopened > 0 {
            (before, began) = (self.usage(), self.clock.now());
            for _ in 0..scenario.reopened {
                self.control.reopen();
                self.open(all)?;
            }
        }
        let rounds = scenario.reopened.max(1);
        let opening_ns = (self.clock.now() - began) / rounds as u64;
        let opening = self.usage().since(before);
        let start = self.clock.now() + 5 * MILLISECOND_NS;
        let from = start + scenario.warm_up_ms * MILLISECOND_NS;
        let has_load = scenario.publishers > 0;
        let until = if has_load { from + scenario.measure_ms * MILLISECOND_NS } else { start };
        self.control.start(Timing { start, from, until });
        let mut load = Usage::default();
        let mut syscalls = None;
        if has_load {
            self.wait("warming up", from)?;
            let before = self.usage();
            let count = self.pid.filter(|_| stage.syscalls).and_then(|pid| syscalls::Count::begin(pid, until - from));
            self.wait("measuring", until)?;
            load = self.usage().since(before);
            syscalls = count.and_then(syscalls::Count::end);
            if stage.syscalls && syscalls.is_none() {
                syscalls::missing();
            }
        }
        Ok(Outcome {
            tally: Tally::new(0),
            opening,
            opened: all * rounds,
            opening_ns,
            load,
            load_ns: until - from.min(until),
            syscalls,
            memory,
            is_measured: self.pid.is_some(),
            line_ns: None,
        })
    }

    fn usage(&self) -> Usage {
        self.pid.map(Usage::of).unwrap_or_default()
    }

    fn open(&mut self, upto: usize) -> Result<(), String> {
        self.control.open(upto);
        let deadline = self.clock.now() + OPENING_TIMEOUT_NS;
        loop {
            let ready = self.control.ready();
            if ready >= upto {
                return Ok(());
            }
            if self.control.is_aborted() {
                return Err(load::STOPPED.to_owned());
            }
            if self.clock.now() > deadline {
                return Err(format!("only {ready} of {upto} connections became ready"));
            }
            self.watcher.progress("opening", ready as u64, upto as u64);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn wait(&mut self, what: &str, until: u64) -> Result<(), String> {
        const STEP_NS: u64 = 500 * MILLISECOND_NS;
        let began = self.clock.now();
        while self.clock.now() < until {
            if self.control.is_aborted() {
                return Err(load::STOPPED.to_owned());
            }
            let now = self.clock.now();
            let what = format!("{what}, {} arrived,", self.control.delivered());
            self.watcher.progress(&what, (now - began) / MILLISECOND_NS, until.saturating_sub(began) / MILLISECOND_NS);
            self.clock.wait_until(until.min(now + STEP_NS));
        }
        Ok(())
    }
}

/// With how many connections memory is looked at. The first step is the base line: buffers that any load needs.
fn memory_steps(scenario: &Scenario) -> Vec<usize> {
    let all = scenario.connections();
    if scenario.shows != Shows::Memory {
        return Vec::new();
    }
    [all / 20, all / 4, all / 2, all].into_iter().filter(|step| *step > 0).collect()
}

/// Memory per connection between the first step and each later one.
pub(crate) fn bytes_per_connection(memory: &[(usize, u64)]) -> BTreeMap<usize, f64> {
    let Some(&(first, base)) = memory.first() else { return BTreeMap::new() };
    let later = memory.iter().filter(|(count, _)| *count > first);
    later.map(|&(count, bytes)| (count, bytes.saturating_sub(base) as f64 / (count - first) as f64)).collect()
}
