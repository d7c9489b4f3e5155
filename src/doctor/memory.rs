//! Memory: the limit of locked memory, and kernel features that move, merge or swap memory while shards run.

use super::{Finding, Machine, kernel};

/// What the rings of a core lock at the most, with some room.
const LOCKED_BYTES_PER_SHARD: u64 = 256 << 10;

pub(super) fn locked(machine: &Machine<'_>) -> Finding {
    let area = "locked memory";
    let needed = LOCKED_BYTES_PER_SHARD * machine.shard_count as u64;
    match kernel::limit(machine, "Max locked memory") {
        None => Finding::unknown(area, "/proc/self/limits does not tell"),
        Some([Some(soft), _]) if soft < needed => Finding::broken(
            area,
            format!("{} KiB, and {} shards may need {} KiB", soft >> 10, machine.shard_count, needed >> 10),
            "raise it: LimitMEMLOCK=8M in a systemd unit, ulimit -l 8192 in a shell",
        ),
        Some([soft, _]) => {
            Finding::good(area, soft.map_or("unlimited".to_owned(), |soft| format!("{} KiB", soft >> 10)))
        }
    }
}

pub(super) fn huge_pages(machine: &Machine<'_>) -> Finding {
    let (area, path) = ("huge pages", "/sys/kernel/mm/transparent_hugepage/enabled");
    let Some(text) = machine.read(path) else { return Finding::unknown(area, "this kernel has no transparent ones") };
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(word, _)| word);
    if chosen != "always" {
        return Finding::good(area, format!("transparent only on request ({chosen})"));
    }
    let remedy = "set them to madvise";
    Finding::slow(area, "transparent for everybody: a page fault may stop to build one", remedy)
        .with(vec![machine.setting(path, chosen, "madvise")])
}

pub(super) fn numa_balancing(machine: &Machine<'_>) -> Finding {
    let (area, path) = ("NUMA balancing", "/proc/sys/kernel/numa_balancing");
    let nodes = machine.topology.cpus.iter().map(|cpu| cpu.node).collect::<std::collections::BTreeSet<_>>().len();
    match machine.read(path) {
        Some(text) if text != "0" && nodes > 1 => {
            let found = format!("on, over {nodes} nodes: the kernel unmaps pages to see who uses them");
            let setting = machine.setting(path, &text, "0");
            Finding::slow(area, found, "sysctl -w kernel.numa_balancing=0").with(vec![setting])
        }
        _ if nodes == 1 => Finding::good(area, "one node"),
        _ => Finding::good(area, "off"),
    }
}

/// DAMON's threads scan memory for pages that are seldom used, and occupy a CPU for milliseconds at a time (8 ms were
/// seen). They run on any CPU that is not isolated.
pub(super) fn access_monitor(machine: &Machine<'_>) -> Finding {
    let (area, monitors) = ("memory monitor", "/sys/kernel/mm/damon/admin/kdamonds");
    let states = machine.list(monitors).into_iter().map(|number| format!("{monitors}/{number}/state"));
    let on: Vec<_> = states.filter(|path| machine.read(path).as_deref() == Some("on")).collect();
    if on.is_empty() {
        return Finding::good(area, "none is running");
    }
    let found = format!("{} of DAMON's threads: one holds a CPU for milliseconds", on.len());
    let remedy = "switch them off, or isolate the shards' CPUs";
    Finding::slow(area, found, remedy).with(on.iter().map(|path| machine.setting(path, "on", "off")).collect())
}

pub(super) fn swap(machine: &Machine<'_>) -> Finding {
    let (area, path) = ("swap", "/proc/meminfo");
    let total = machine.read(path).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("SwapTotal:").map(str::to_owned))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    match total {
        None => Finding::unknown(area, format!("{path} does not tell")),
        Some(0) => Finding::good(area, "none"),
        Some(kib) => {
            let remedy = "swapoff -a, or MemorySwapMax=0 in the unit: a record that was written out costs a disk read";
            Finding::slow(area, format!("{} MiB", kib >> 10), remedy)
        }
    }
}
