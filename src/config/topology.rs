//! The CPUs of this machine, as far as placement cares.
//!
//! *Owns* the reading of `/sys`. *Promises* a usable answer where `/sys` is missing: every allowed CPU, each a core of
//! its own on node 0. *Does not* decide anything.

use super::cpulist;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One logical CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub id: usize,
    /// NUMA node.
    pub node: usize,
    /// Physical core, unique over the machine: CPUs with the same one share its execution units.
    pub core_id: usize,
    /// Whether the kernel keeps other work away from it (`isolcpus=`).
    pub isolated: bool,
    /// Whether this process may run on it.
    pub allowed: bool,
}

/// The CPUs that are online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// In order of their numbers.
    pub cpus: Vec<Cpu>,
    /// How many CPUs' worth of time a control group grants, if it grants less than the allowed CPUs could give.
    pub quota: Option<usize>,
}

impl Topology {
    /// Reads this machine.
    pub fn of_this_machine() -> Self {
        let affinity = affinity();
        let mut topology = Self::read(Path::new("/sys/devices/system"), &affinity);
        let granted = std::thread::available_parallelism().map_or(usize::MAX, std::num::NonZero::get);
        topology.quota = Some(granted).filter(|granted| *granted < affinity.len());
        topology
    }

    /// Reads a tree in the shape of `/sys/devices/system`.
    fn read(system: &Path, affinity: &BTreeSet<usize>) -> Self {
        let online = list(&system.join("cpu/online")).unwrap_or_else(|| affinity.iter().copied().collect());
        let isolated: BTreeSet<usize> = list(&system.join("cpu/isolated")).unwrap_or_default().into_iter().collect();
        let nodes: Vec<(usize, Vec<usize>)> = list(&system.join("node/online"))
            .unwrap_or_default()
            .into_iter()
            .filter_map(|node| Some((node, list(&system.join(format!("node/node{node}/cpulist")))?)))
            .collect();
        let cpus = online
            .into_iter()
            .map(|id| {
                // The lowest of the siblings names the core: the kernel's core_id repeats on every package.
                let siblings = list(&system.join(format!("cpu/cpu{id}/topology/thread_siblings_list")));
                Cpu {
                    id,
                    node: nodes.iter().find(|(_, cpus)| cpus.contains(&id)).map_or(0, |(node, _)| *node),
                    core_id: siblings.and_then(|siblings| siblings.into_iter().min()).unwrap_or(id),
                    isolated: isolated.contains(&id),
                    // The kernel leaves isolated CPUs out of the mask that processes inherit, yet lets them be asked
                    // for; a control group that forbids them says so when the thread is bound.
                    allowed: affinity.contains(&id) || isolated.contains(&id),
                }
            })
            .collect();
        Self { cpus, quota: None }
    }

    /// The CPU with this number.
    pub fn cpu(&self, id: usize) -> Option<&Cpu> {
        self.cpus.iter().find(|cpu| cpu.id == id)
    }
}

/// The CPUs this process may run on by its inherited mask.
fn affinity() -> BTreeSet<usize> {
    rustix::thread::sched_getaffinity(None).map_or_else(
        |_| (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect(),
        |set| (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
    )
}

fn list(file: &Path) -> Option<Vec<usize>> {
    let text = fs::read_to_string(file).ok()?;
    if text.trim().is_empty() { Some(Vec::new()) } else { cpulist::parse(text.trim()).ok() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn siblings_nodes_and_isolation_come_from_the_files_of_the_kernel() {
        let sys = Scratch::new("topology");
        sys.write("cpu/online", "0-3\n");
        sys.write("cpu/isolated", "3\n");
        sys.write("node/online", "0-1\n");
        sys.write("node/node0/cpulist", "0,2\n");
        sys.write("node/node1/cpulist", "1,3\n");
        for (cpu, siblings) in [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")] {
            sys.write(&format!("cpu/cpu{cpu}/topology/thread_siblings_list"), siblings);
        }
        let topology = Topology::read(sys.path(), &BTreeSet::from([0, 1]));
        let seen: Vec<_> = topology.cpus.iter().map(|c| (c.id, c.node, c.core_id, c.isolated, c.allowed)).collect();
        assert_eq!(
            seen,
            [(0, 0, 0, false, true), (1, 1, 1, false, true), (2, 0, 0, false, false), (3, 1, 1, true, true)]
        );
    }

    #[test]
    fn without_files_every_allowed_cpu_is_a_core_of_its_own() {
        let topology = Topology::read(Path::new("/nowhere"), &BTreeSet::from([1, 4]));
        let seen: Vec<_> = topology.cpus.iter().map(|c| (c.id, c.node, c.core_id, c.allowed)).collect();
        assert_eq!(seen, [(1, 0, 1, true), (4, 0, 4, true)]);
    }

    #[test]
    fn this_machine_has_at_least_one_usable_cpu() {
        assert!(Topology::of_this_machine().cpus.iter().any(|cpu| cpu.allowed));
    }
}
