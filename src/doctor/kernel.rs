//! The kernel itself: its version, its io_uring, its limits on this process.

use super::{Finding, Machine};
use crate::host::{self, StartError};

/// Connections a dedicated host is expected to hold, at the least.
const OPEN_FILES_MIN: u64 = 65_536;
/// Connections waiting to be accepted while everybody reconnects at once.
const BACKLOG_MIN: u64 = 4096;

/// Whether io_uring is available as needed; found out by trying, not by the kernel's version.
pub(super) fn ring() -> Finding {
    match host::probe() {
        Ok(lacks) if lacks.is_empty() => Finding::good("io_uring", "available, with all the server uses"),
        Ok(lacks) => {
            Finding::slow("io_uring", format!("available, without {}", lacks.join("; ")), "run a newer kernel")
        }
        Err(StartError::Kernel { what, remedy }) => Finding::broken("io_uring", what, remedy),
        Err(error) => Finding::broken("io_uring", error.to_string(), "see above"),
    }
}

pub(super) fn version(machine: &Machine<'_>) -> Finding {
    let area = "kernel";
    let Some(release) = machine.read("/proc/sys/kernel/osrelease") else {
        return Finding::unknown(area, "/proc/sys/kernel/osrelease cannot be read");
    };
    let mut parts = release.split(|mark: char| !mark.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < (6, 0) {
        let remedy = "run Linux 6.0 or later (multishot receive)";
        Finding::broken(area, format!("Linux {release}"), remedy)
    } else if version < (6, 1) {
        let remedy = "run Linux 6.1 or later: completions then wait for a core's turn (DEFER_TASKRUN)";
        Finding::slow(area, format!("Linux {release}"), remedy)
    } else {
        Finding::good(area, format!("Linux {release}"))
    }
}

/// A line of `/proc/self/limits`: soft and hard limit, `None` for unlimited.
pub(super) fn limit(machine: &Machine<'_>, name: &str) -> Option<[Option<u64>; 2]> {
    let limits = machine.read("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = line.split_whitespace();
    let mut value = || match values.next() {
        Some("unlimited") => Some(None),
        Some(number) => number.parse().ok().map(Some),
        None => None,
    };
    Some([value()?, value()?])
}

pub(super) fn open_files(machine: &Machine<'_>) -> Finding {
    let area = "open files";
    match limit(machine, "Max open files") {
        None => Finding::unknown(area, "/proc/self/limits does not tell"),
        // The server raises its soft limit to the hard one by itself.
        Some([_, Some(hard)]) if hard < OPEN_FILES_MIN => Finding::slow(
            area,
            format!("at most {hard} (hard limit): that many connections, minus a few"),
            "raise it: LimitNOFILE=1048576 in a systemd unit, or /etc/security/limits.conf",
        ),
        Some([_, hard]) => {
            Finding::good(area, format!("at most {}", hard.map_or("unlimited".to_owned(), |hard| hard.to_string())))
        }
    }
}

pub(super) fn backlog(machine: &Machine<'_>) -> Finding {
    let (area, path) = ("backlog", "/proc/sys/net/core/somaxconn");
    let Some(text) = machine.read(path) else { return Finding::unknown(area, format!("{path} cannot be read")) };
    if text.parse::<u64>().is_ok_and(|count| count >= BACKLOG_MIN) {
        return Finding::good(area, format!("up to {text} connections wait to be accepted, per shard"));
    }
    let remedy = format!("sysctl -w net.core.somaxconn={BACKLOG_MIN}");
    Finding::slow(area, format!("only {text} connections wait to be accepted, per shard"), remedy)
        .with(vec![machine.setting(path, &text, &BACKLOG_MIN.to_string())])
}

/// When a quota of CPU time is used up, every thread of the group stops for the rest of the period.
pub(super) fn group_quota(machine: &Machine<'_>) -> Finding {
    let area = "control group";
    let Some(groups) = machine.read("/proc/self/cgroup") else {
        return Finding::unknown(area, "/proc/self/cgroup cannot be read");
    };
    // Control groups of version 2 are the line with number 0 and no controllers.
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Finding::unknown(area, "not in the unified hierarchy (version 2)");
    };
    let mut folder = group.trim_end_matches('/').to_owned();
    loop {
        if let Some(quota) = machine.read(&format!("/sys/fs/cgroup{folder}/cpu.max"))
            && !quota.starts_with("max")
        {
            let remedy = "lift it (CPUQuota= in a unit, --cpus of a container) and give whole CPUs instead (cpuset)";
            let group = if folder.is_empty() { "/" } else { &folder };
            return Finding::slow(
                area,
                format!("{group} is stopped after {quota} µs (cpu.max: quota, period)"),
                remedy,
            );
        }
        let Some(parent) = folder.rfind('/') else { break };
        folder.truncate(parent);
    }
    Finding::good(area, "no quota of CPU time")
}
