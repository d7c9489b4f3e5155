//! Which thread runs on which CPU.
//!
//! *Owns* the rules of the `cores` section, as a pure function over a described machine. *Promises* that threads only
//! share a CPU where that is allowed. *Does not* bind threads.

use super::cpulist;
use super::topology::{Cpu, Topology};
use super::types::{Cores, CpuChoice};
use deepstream_engine::Place;
use std::collections::BTreeSet;

/// Where one shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPlacement {
    /// Number of the shard, from 0.
    pub shard: usize,
    /// The CPU it is bound to; `None`: the scheduler decides.
    pub cpu: Option<usize>,
    /// NUMA node of that CPU.
    pub node: Option<usize>,
}

/// Where everything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// One entry per shard, by number.
    pub shards: Vec<ShardPlacement>,
    /// CPUs of helper threads; empty: any.
    pub services: Vec<usize>,
}

impl Placement {
    /// One sentence per fact, for the log at start.
    pub fn describe(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .shards
            .iter()
            .map(|place| match (place.cpu, place.node) {
                (Some(cpu), Some(node)) => format!("shard {} runs on CPU {cpu}, NUMA node {node}", place.shard),
                _ => format!("shard {} runs on any CPU", place.shard),
            })
            .collect();
        let taken: BTreeSet<usize> = self.shards.iter().filter_map(|place| place.cpu).collect();
        if !taken.is_empty() && taken.len() < self.shards.len() {
            lines.push(format!("{} shards share {} CPUs", self.shards.len(), taken.len()));
        }
        lines.push(match self.services.as_slice() {
            [] => "services run on any CPU".to_owned(),
            cpus => format!("services run on CPUs {}", cpulist::format(cpus)),
        });
        lines
    }
}

/// A `cores` section that does not fit the machine or contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// Key below `cores`.
    pub key: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

const OVERLAP_HINT: &str = "give them CPUs of their own, or set cores.allowOverlap to true";

/// Largest number of shards: each pair has rings of its own.
pub const SHARDS_MAX: usize = Place::CORES_MAX as usize;

/// Places shards and services on the CPUs of `topology`.
pub fn resolve(topology: &Topology, cores: &Cores) -> Result<Placement, Misplaced> {
    let usable: Vec<Cpu> = topology.cpus.iter().filter(|cpu| cpu.allowed).copied().collect();
    if let Some(services) = &cores.services {
        check_listed("services", services, topology, &usable)?;
    }
    let chosen = choose(topology, &usable, cores)?;
    let count = cores.count.unwrap_or(chosen.len());
    if count == 0 {
        return Err(Misplaced {
            key: "count",
            what: "a server without shards serves nobody".to_owned(),
            hint: "give it at least one".to_owned(),
        });
    }
    let explicit = matches!(cores.shards, CpuChoice::List(_));
    if cores.pin && explicit && !cores.allow_overlap && count > chosen.len() {
        return Err(Misplaced {
            key: "count",
            what: format!("{count} shards do not fit on the {} CPUs of cores.shards", chosen.len()),
            hint: "list more CPUs, set cores.allowOverlap to true, or set cores.pin to false".to_owned(),
        });
    }
    let taken: Vec<usize> = chosen.iter().copied().take(count).collect();
    if let (true, false, Some(services)) = (cores.pin, cores.allow_overlap, &cores.services) {
        // `auto` leaves room for services where it can, and silently shares CPUs on a machine that is too small.
        let shared: Vec<usize> = services.iter().copied().filter(|cpu| taken.contains(cpu)).collect();
        if !shared.is_empty() && cores.shards != CpuChoice::Auto {
            let what = format!("CPUs {} are given to shards and to services", cpulist::format(&shared));
            return Err(Misplaced { key: "services", what, hint: OVERLAP_HINT.to_owned() });
        }
    }
    let shards = (0..count)
        .map(|shard| {
            let cpu = cores.pin.then(|| taken[shard % taken.len()]);
            let node = cpu.and_then(|cpu| topology.cpu(cpu)).map(|cpu| cpu.node);
            ShardPlacement { shard, cpu, node }
        })
        .collect();
    let services = match &cores.services {
        Some(services) => services.clone(),
        None if cores.pin => leftover(&usable, &taken),
        None => Vec::new(),
    };
    Ok(Placement { shards, services })
}

/// The CPUs that shards may take, best first; never empty.
fn choose(topology: &Topology, usable: &[Cpu], cores: &Cores) -> Result<Vec<usize>, Misplaced> {
    let isolated: Vec<usize> = usable.iter().filter(|cpu| cpu.isolated).map(|cpu| cpu.id).collect();
    let chosen = match &cores.shards {
        CpuChoice::List(cpus) => {
            check_listed("shards", cpus, topology, usable)?;
            if !cores.allow_overlap
                && let Some(twice) =
                    cpus.iter().enumerate().find_map(|(at, cpu)| cpus[..at].contains(cpu).then_some(cpu))
            {
                let what = format!("CPU {twice} is listed twice");
                return Err(Misplaced { key: "shards", what, hint: OVERLAP_HINT.to_owned() });
            }
            cpus.clone()
        }
        CpuChoice::All => usable.iter().map(|cpu| cpu.id).collect(),
        CpuChoice::Physical => physical(usable),
        CpuChoice::Isolated if isolated.is_empty() => {
            return Err(Misplaced {
                key: "shards",
                what: "this machine has no isolated CPUs".to_owned(),
                hint: "start the kernel with isolcpus=, or choose auto, physical, all or a list".to_owned(),
            });
        }
        CpuChoice::Isolated => isolated,
        CpuChoice::Auto => automatic(topology, usable, cores.services.as_deref(), cores.count),
    };
    if chosen.is_empty() {
        return Err(Misplaced {
            key: "shards",
            what: "no CPU is left for shards".to_owned(),
            hint: "see taskset -p or the control group of this process for what it may use".to_owned(),
        });
    }
    Ok(chosen)
}

/// What `auto` means.
fn automatic(topology: &Topology, usable: &[Cpu], services: Option<&[usize]>, count: Option<usize>) -> Vec<usize> {
    let free: Vec<Cpu> =
        usable.iter().filter(|cpu| services.is_none_or(|services| !services.contains(&cpu.id))).copied().collect();
    let pool = if free.is_empty() { usable } else { &free };
    let isolated: Vec<usize> = pool.iter().filter(|cpu| cpu.isolated).map(|cpu| cpu.id).collect();
    let mut chosen = if isolated.is_empty() { physical(pool) } else { isolated };
    // Most machines serve interrupts on the first core, so helpers disturb shards least there.
    if services.is_none() && chosen.len() >= 4 && chosen.len() == physical(usable).len() {
        chosen.remove(0);
    }
    // If more shards are asked for, they get the cores that were held back, then second hyper-threads, and only then do
    // they share CPUs.
    if count.is_some_and(|count| count > chosen.len()) {
        let rest = physical(pool).into_iter().chain(pool.iter().map(|cpu| cpu.id));
        for cpu in rest {
            if !chosen.contains(&cpu) {
                chosen.push(cpu);
            }
        }
        return chosen;
    }
    chosen.truncate(topology.quota.unwrap_or(usize::MAX).max(1));
    chosen
}

/// The first CPU of every physical core.
fn physical(cpus: &[Cpu]) -> Vec<usize> {
    let first = |(at, cpu): &(usize, &Cpu)| !cpus[..*at].iter().any(|earlier| earlier.core_id == cpu.core_id);
    cpus.iter().enumerate().filter(first).map(|(_, cpu)| cpu.id).collect()
}

/// What shards leave for helper threads: whole cores if there are any, else the second hyper-threads of the shards'
/// cores, else all CPUs. Isolated CPUs only if there is nothing else, because the kernel does not balance load there.
fn leftover(usable: &[Cpu], taken: &[usize]) -> Vec<usize> {
    let core_taken = |cpu: &Cpu| usable.iter().any(|other| other.core_id == cpu.core_id && taken.contains(&other.id));
    let tiers: [&dyn Fn(&Cpu) -> bool; 4] = [
        &|cpu| !cpu.isolated && !core_taken(cpu),
        &|cpu| !cpu.isolated && !taken.contains(&cpu.id),
        &|cpu| !cpu.isolated,
        &|_| true,
    ];
    let pick = |keep: &&dyn Fn(&Cpu) -> bool| -> Vec<usize> {
        usable.iter().filter(|cpu| keep(cpu)).map(|cpu| cpu.id).collect()
    };
    tiers.iter().map(pick).find(|cpus| !cpus.is_empty()).unwrap_or_default()
}

/// Every CPU of a list exists and may be used.
fn check_listed(key: &'static str, cpus: &[usize], topology: &Topology, usable: &[Cpu]) -> Result<(), Misplaced> {
    for id in cpus {
        let what = match topology.cpu(*id) {
            None => format!("there is no CPU {id} on this machine"),
            Some(cpu) if !cpu.allowed => format!("this process may not run on CPU {id}"),
            Some(_) => continue,
        };
        let allowed: Vec<usize> = usable.iter().map(|cpu| cpu.id).collect();
        return Err(Misplaced { key, what, hint: format!("usable are {}", cpulist::format(&allowed)) });
    }
    Ok(())
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
