//! *Owns* the figures that the kernel has about this process. *Promises* that unknown ones are zero, and that a reading
//! costs a few small files. *Does not* keep anything.

use std::fs;

/// How often a second the kernel counts the time of a process: fixed for all programs on x86-64 and arm64.
const TICKS_PER_SECOND: u64 = 100;

/// What this process uses, and has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Files, sockets among them.
    pub open_files: u64,
    /// Time on CPUs since the start, all threads together.
    pub cpu_ns: u64,
}

/// What this process uses now.
pub fn usage() -> Usage {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let status = read("/proc/self/status");
    let of_status = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    // Not counting the one that is open for this.
    let open_files = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count().saturating_sub(1) as u64);
    Usage {
        resident_bytes: of_status("VmRSS") * 1024,
        threads: of_status("Threads"),
        open_files,
        cpu_ns: ticks(&read("/proc/self/stat")) * (1_000_000_000 / TICKS_PER_SECOND),
    }
}

/// The time in user and in kernel mode. Fields are counted from the end of the program's name, which may contain
/// anything.
fn ticks(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2)).into_iter().flatten();
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_read_right() {
        let used = usage();
        assert!(used.resident_bytes > 1 << 20 && used.threads >= 1 && used.open_files >= 3, "{used:?}");
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 200 0 0 31 11 5 6 20 0 3 0 77";
        assert_eq!((ticks(stat), ticks(""), ticks("7 (a) S 1")), (42, 0, 0));
    }
}
