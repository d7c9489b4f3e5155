//! `deepstream doctor`: what on this machine stands in the way of latency, and the remedy for each.
//!
//! *Owns* the examination: one finding per area, from values that are in effect, not only configured. *Promises* to
//! change nothing, and to recommend only settings whose present value it has read, so that they can be restored
//! (`scripts/tune`). *Does not* measure: `perf/` does.

mod cpu;
mod interrupts;
mod kernel;
mod memory;
#[cfg(test)]
mod tests;

use crate::config::{Placement, Topology};
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The server runs, but slower or with more variance than necessary.
    Slow,
    /// The server does not start, or breaks under load.
    Broken,
    /// It cannot be found out on this machine.
    Unknown,
}

/// A value in a file of the kernel that should be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub now: String,
    /// What should be.
    pub wanted: String,
}

/// One area, examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub area: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
    /// The part of the remedy that consists of writing to files.
    pub settings: Vec<Setting>,
}

impl Finding {
    fn good(area: &'static str, found: impl Into<String>) -> Self {
        Self { area, verdict: Verdict::Good, found: found.into(), remedy: String::new(), settings: Vec::new() }
    }

    fn unknown(area: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::good(area, found) }
    }

    fn slow(area: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Slow, remedy: remedy.into(), ..Self::good(area, found) }
    }

    fn broken(area: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Broken, remedy: remedy.into(), ..Self::good(area, found) }
    }

    fn with(self, settings: Vec<Setting>) -> Self {
        Self { settings, ..self }
    }
}

/// The machine as the doctor sees it: the kernel's files below a root, and where the server would run.
struct Machine<'a> {
    /// `/`, or a tree in its shape.
    root: &'a Path,
    topology: &'a Topology,
    /// CPUs of the shards, without repetition; empty if they are not pinned.
    shards: Vec<usize>,
    /// How many shards there are.
    shard_count: usize,
    /// The other CPUs this process may use.
    others: Vec<usize>,
    /// Whether shards never sleep.
    spins: bool,
}

impl Machine<'_> {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file of the kernel, without the white space around it.
    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    /// Names in a folder, sorted; none if it is not there.
    fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn setting(&self, path: &str, now: &str, wanted: &str) -> Setting {
        Setting { path: self.path(path), now: now.to_owned(), wanted: wanted.to_owned() }
    }
}

/// What was found, area by area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In a fixed order of areas.
    pub findings: Vec<Finding>,
}

/// Examines this machine for a server that is placed like this.
pub fn examine(topology: &Topology, placement: &Placement, spins: bool) -> Report {
    let mut findings = vec![kernel::ring()];
    findings.extend(examine_files(Path::new("/"), topology, placement, spins));
    Report { findings }
}

fn examine_files(root: &Path, topology: &Topology, placement: &Placement, spins: bool) -> Vec<Finding> {
    let mut shards: Vec<usize> = placement.shards.iter().filter_map(|shard| shard.cpu).collect();
    shards.sort_unstable();
    shards.dedup();
    let allowed = topology.cpus.iter().filter(|cpu| cpu.allowed).map(|cpu| cpu.id);
    let others = allowed.filter(|cpu| !shards.contains(cpu)).collect();
    let machine = Machine { root, topology, shards, shard_count: placement.shards.len(), others, spins };
    let areas: &[fn(&Machine<'_>) -> Finding] = &[
        kernel::version,
        kernel::open_files,
        kernel::backlog,
        kernel::group_quota,
        memory::locked,
        memory::huge_pages,
        memory::numa_balancing,
        memory::access_monitor,
        memory::swap,
        cpu::pinning,
        cpu::siblings,
        cpu::shared_cache,
        cpu::isolation,
        cpu::governor,
        cpu::idle_states,
        cpu::clock_source,
        interrupts::balancer,
        interrupts::affinity,
        interrupts::network_queues,
    ];
    areas.iter().map(|examine| examine(&machine)).collect()
}

impl Report {
    /// Whether a server would not start here, or break under load.
    pub fn is_broken(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Broken)
    }

    /// Values to write, one a line: file, present value, wanted value, with tabs between.
    pub fn settings(&self) -> String {
        let mut text = String::new();
        for Setting { path, now, wanted } in self.findings.iter().flat_map(|finding| &finding.settings) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}\t{now}\t{wanted}", path.display());
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.area.len()).max().unwrap_or_default();
        for Finding { area, verdict, found, remedy, .. } in &self.findings {
            let verdict = match verdict {
                Verdict::Good => "ok     ",
                Verdict::Slow => "slow   ",
                Verdict::Broken => "BROKEN ",
                Verdict::Unknown => "?      ",
            };
            writeln!(to, "{verdict}{area:width$}  {found}")?;
            if !remedy.is_empty() {
                writeln!(to, "       {:width$}  -> {remedy}", "")?;
            }
        }
        let count = |wanted| self.findings.iter().filter(|finding| finding.verdict == wanted).count();
        let (good, slow, broken) = (count(Verdict::Good), count(Verdict::Slow), count(Verdict::Broken));
        let unknown = count(Verdict::Unknown);
        write!(to, "{good} ok, {slow} slow, {broken} broken, {unknown} unknown")?;
        if self.findings.iter().any(|finding| !finding.settings.is_empty()) {
            write!(to, "; scripts/tune prints the commands")?;
        }
        Ok(())
    }
}
