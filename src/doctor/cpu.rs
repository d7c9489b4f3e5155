//! The CPUs of the shards: whose they are, how fast they run, how deep they sleep, and what a look at the clock costs.

use super::{Finding, Machine, Setting};
use crate::config::{format_cpulist, parse_cpulist};
use std::collections::{BTreeMap, BTreeSet};

/// If a CPU takes longer than this to wake up, that costs more than everything else on a message's path.
const WAKE_US_MAX: u32 = 10;

pub(super) fn pinning(machine: &Machine<'_>) -> Finding {
    let area = "pinning";
    if machine.shards.is_empty() {
        let remedy = "set cores.pin to true";
        return Finding::slow(area, "shards run on any CPU, and move", remedy);
    }
    let cpus = format_cpulist(&machine.shards);
    if machine.shards.len() < machine.shard_count {
        let found = format!("{} shards share CPUs {cpus}", machine.shard_count);
        return Finding::slow(area, found, "run no more shards than CPUs (cores.count)");
    }
    if machine.others.is_empty() {
        let found = format!("shards have all CPUs ({cpus}): storage, interrupts and other programs interrupt them");
        return Finding::slow(area, found, "leave a CPU or two to others (cores.shards, cores.services)");
    }
    Finding::good(area, format!("shards on CPUs {cpus}, the rest on {}", format_cpulist(&machine.others)))
}

/// Two hyper-threads share one core's execution units.
pub(super) fn siblings(machine: &Machine<'_>) -> Finding {
    let area = "hyper-threads";
    let mut cores: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for cpu in &machine.topology.cpus {
        cores.entry(cpu.core_id).or_default().push(cpu.id);
    }
    let shared: Vec<usize> = cores
        .values()
        .filter(|cpus| cpus.len() > 1 && cpus.iter().any(|cpu| machine.shards.contains(cpu)))
        .flatten()
        .copied()
        .collect();
    if shared.is_empty() {
        return Finding::good(area, "no shard shares its core");
    }
    let found = format!("CPUs {} share cores with one another", format_cpulist(&shared));
    Finding::slow(area, found, "use one CPU of each core (cores.shards: physical) and leave the other idle")
}

/// Data that one shard writes for another goes through the last-level cache if they share one; else through memory,
/// which is several times slower.
pub(super) fn shared_cache(machine: &Machine<'_>) -> Finding {
    let area = "shared cache";
    let groups: BTreeSet<Vec<usize>> =
        machine.topology.cpus.iter().filter_map(|cpu| last_cache(machine, cpu.id)).collect();
    let mine = |group: &&Vec<usize>| group.iter().any(|cpu| machine.shards.contains(cpu));
    let used: Vec<&Vec<usize>> = groups.iter().filter(mine).collect();
    if used.is_empty() {
        return Finding::unknown(area, "which CPUs share a cache is not told here, or shards are not pinned");
    }
    let lists =
        |groups: &[&Vec<usize>]| groups.iter().map(|group| format_cpulist(group)).collect::<Vec<_>>().join(" | ");
    let mut largest: Vec<&Vec<usize>> = groups.iter().collect();
    largest.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut room = 0;
    let needed = largest.iter().take_while(|group| {
        let more = room < machine.shards.len();
        room += group.len();
        more
    });
    let needed = needed.count();
    let found = format!("shards on CPUs {} use those of {}", format_cpulist(&machine.shards), lists(&used));
    if used.len() <= needed {
        // The hypervisor may move virtual CPUs at any time, so their topology means little.
        let is_virtual = machine.read("/proc/cpuinfo").is_some_and(|text| text.contains(" hypervisor"));
        return if is_virtual && machine.shards.len() > 1 {
            Finding::unknown(area, format!("{found}, says a virtual machine, whose host may move them apart"))
        } else {
            Finding::good(area, found)
        };
    }
    let remedy = format!("{needed} would hold them (cores.shards); packets between caches take several times as long");
    Finding::slow(area, found, remedy)
}

/// All CPUs that share this one's last cache.
fn last_cache(machine: &Machine<'_>, cpu: usize) -> Option<Vec<usize>> {
    let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cache");
    let level = |index: &String| machine.read(&format!("{folder}/{index}/level"))?.parse::<u32>().ok();
    let indices = machine.list(&folder).into_iter().filter(|name| name.starts_with("index"));
    let last = indices.filter_map(|index| Some((level(&index)?, index))).max()?.1;
    parse_cpulist(&machine.read(&format!("{folder}/{last}/shared_cpu_list"))?).ok()
}

pub(super) fn isolation(machine: &Machine<'_>) -> Finding {
    let area = "isolated CPUs";
    let bare = |cpu: &&usize| !machine.topology.cpu(**cpu).is_some_and(|cpu| cpu.isolated);
    let open: Vec<usize> = machine.shards.iter().filter(bare).copied().collect();
    if open.is_empty() && !machine.shards.is_empty() {
        return Finding::good(area, "no other program runs on the shards' CPUs");
    }
    let list = format_cpulist(&open);
    let remedy = if list.is_empty() {
        "pin the shards first".to_owned()
    } else {
        format!("boot with isolcpus=managed_irq,domain,{list} nohz_full={list} rcu_nocbs={list}")
    };
    Finding::slow(area, "the scheduler puts other work on the shards' CPUs", remedy)
}

pub(super) fn governor(machine: &Machine<'_>) -> Finding {
    let area = "governor";
    let path = |cpu: usize| format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    let chosen: Vec<(usize, String)> =
        machine.shards.iter().filter_map(|&cpu| Some((cpu, machine.read(&path(cpu))?))).collect();
    if chosen.is_empty() {
        return Finding::unknown(
            area,
            "frequencies are not this kernel's to choose (a virtual machine, or the firmware)",
        );
    }
    let wrong: Vec<&(usize, String)> = chosen.iter().filter(|(_, governor)| governor != "performance").collect();
    if wrong.is_empty() {
        return Finding::good(area, "performance");
    }
    let settings = wrong.iter().map(|(cpu, now)| machine.setting(&path(*cpu), now, "performance")).collect();
    let cpus: Vec<usize> = wrong.iter().map(|(cpu, _)| *cpu).collect();
    let found = format!("{} on CPUs {}", wrong[0].1, format_cpulist(&cpus));
    let remedy = format!("cpupower -c {} frequency-set -g performance", format_cpulist(&cpus));
    Finding::slow(area, found, remedy).with(settings)
}

/// Idle states that take long to leave. A CPU that never sleeps enters none.
pub(super) fn idle_states(machine: &Machine<'_>) -> Finding {
    let area = "idle states";
    if machine.spins {
        return Finding::good(area, "shards never sleep (latencyProfile: spin)");
    }
    let mut settings: Vec<Setting> = Vec::new();
    let mut slowest = (0, String::new());
    let mut seen = false;
    for cpu in &machine.shards {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cpuidle");
        for state in machine.list(&folder).into_iter().filter(|name| name.starts_with("state")) {
            seen = true;
            let read = |file: &str| machine.read(&format!("{folder}/{state}/{file}"));
            let latency = read("latency").and_then(|text| text.parse().ok()).unwrap_or(0u32);
            if latency > WAKE_US_MAX && read("disable").as_deref() == Some("0") {
                settings.push(machine.setting(&format!("{folder}/{state}/disable"), "0", "1"));
                if latency > slowest.0 {
                    slowest = (latency, read("name").unwrap_or(state));
                }
            }
        }
    }
    if settings.is_empty() {
        return if seen {
            Finding::good(area, format!("none takes more than {WAKE_US_MAX} µs to leave"))
        } else {
            Finding::unknown(area, "not this kernel's to choose (a virtual machine, or idle=poll)")
        };
    }
    let (latency, name) = slowest;
    let remedy = "switch them off on the shards' CPUs, or latencyProfile: spin";
    Finding::slow(area, format!("leaving {name} takes {latency} µs"), remedy).with(settings)
}

/// With some clock sources reading the time takes a few instructions, with others a system call or an access to a
/// device.
pub(super) fn clock_source(machine: &Machine<'_>) -> Finding {
    let area = "clock";
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let path = format!("{folder}/current_clocksource");
    let Some(now) = machine.read(&path) else { return Finding::unknown(area, format!("{path} cannot be read")) };
    if ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"].contains(&now.as_str()) {
        return Finding::good(area, now);
    }
    let available = machine.read(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let better = available.split_whitespace().find(|source| *source == "tsc");
    let settings = better.map(|better| machine.setting(&path, &now, better)).into_iter().collect();
    let remedy =
        if better.is_some() { "set it to tsc" } else { "find out why the kernel does not trust the TSC (dmesg)" };
    Finding::slow(area, format!("{now}: each look is a system call"), remedy).with(settings)
}
