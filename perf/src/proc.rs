//! The resources that a process has used, according to /proc.
//!
//! *Promises* CPU time in nanoseconds (schedstat of every thread), not in the ticks of `/proc/PID/stat`.
//! *Does not* need the process to cooperate; a file that cannot be read counts as nothing used.

use crate::cpulist::{self, Cores};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Totals of one process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on a CPU, all living threads.
    pub(crate) cpu_ns: u64,
    /// Times a thread went to sleep by itself: also the number of wake-ups.
    pub(crate) voluntary_switches: u64,
    /// Times a thread was pushed off its CPU.
    pub(crate) involuntary_switches: u64,
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
    /// Proportional share of memory in bytes: shared pages count for their part.
    pub(crate) proportional_bytes: u64,
}

impl Usage {
    /// Reads all of it.
    pub(crate) fn of(pid: u32) -> Self {
        let mut usage = Self {
            resident_bytes: kibibytes(&read(&format!("/proc/{pid}/status")), "VmRSS:"),
            proportional_bytes: kibibytes(&read(&format!("/proc/{pid}/smaps_rollup")), "Pss:"),
            ..Self::default()
        };
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let file = |name: &str| read(&task.path().join(name).to_string_lossy());
            usage.cpu_ns += first_number(&file("schedstat"));
            let status = file("status");
            usage.voluntary_switches += value(&status, "voluntary_ctxt_switches:");
            usage.involuntary_switches += value(&status, "nonvoluntary_ctxt_switches:");
        }
        usage
    }

    /// What was used since `earlier`; memory as it is now.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
            ..self
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn value(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)).map_or(0, first_number)
}

fn kibibytes(text: &str, key: &str) -> u64 {
    value(text, key) * 1024
}

/// What the figures were measured on.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Machine {
    /// Model name of the first CPU.
    pub(crate) cpu: String,
    /// How many CPUs there are.
    pub(crate) cpus: usize,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Frequency governor of the first CPU, where there is one.
    pub(crate) governor: String,
    /// Where the server ran.
    pub(crate) server_cpus: String,
    /// Where the generator ran.
    pub(crate) generator_cpus: String,
    /// Load of the machine before the run: others' work is in the figures.
    pub(crate) load: String,
}

impl Machine {
    /// This machine, used so.
    pub(crate) fn here(cores: &Cores) -> Self {
        let list = |cpus: &[usize]| if cpus.is_empty() { "any".to_owned() } else { cpulist::format(cpus) };
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        let word = |path: &str| read(path).trim().to_owned();
        Self {
            cpu: model.map_or_else(String::new, |(_, model)| model.trim().to_owned()),
            cpus: cpu_count(),
            kernel: word("/proc/sys/kernel/osrelease"),
            governor: word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            server_cpus: list(&cores.server),
            generator_cpus: list(&cores.generator),
            load: read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

/// Lets this process, and what it starts, open as many files as the system allows.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If that is not enough, opening files fails later with a message of its own.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many CPUs this process may use.
pub(crate) fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_has_used_something() {
        let pid = std::process::id();
        let before = Usage::of(pid);
        let mut used = Usage::default();
        let mut sum = 0_u64;
        while used.cpu_ns == 0 {
            sum = std::hint::black_box(sum + 1);
            if sum.is_multiple_of(100_000) {
                used = Usage::of(pid).since(before);
            }
        }
        assert!(used.resident_bytes > 100_000 && used.proportional_bytes > 0, "{used:?}");
    }

    #[test]
    fn a_process_that_is_gone_used_nothing() {
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        let status = "nonvoluntary_ctxt_switches:\t5\nvoluntary_ctxt_switches:\t7\nVmRSS:\t  12 kB\n";
        assert_eq!(value(status, "voluntary_ctxt_switches:"), 7);
        assert_eq!(value(status, "nonvoluntary_ctxt_switches:"), 5);
        assert_eq!(kibibytes(status, "VmRSS:"), 12 * 1024);
    }
}
