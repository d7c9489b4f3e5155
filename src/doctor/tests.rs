use super::*;
use crate::config::tests::Scratch;
use crate::config::{Cpu, ShardPlacement};

/// Four CPUs on two nodes; shards on 2 and 3, unless said otherwise.
fn topology() -> Topology {
    let cpu = |id| Cpu { id, node: id / 2, core_id: id, isolated: false, allowed: true };
    Topology { cpus: (0..4).map(cpu).collect(), quota: None }
}

fn placement(cpus: &[Option<usize>]) -> Placement {
    let shard =
        |(shard, cpu): (usize, &Option<usize>)| ShardPlacement { shard, cpu: *cpu, node: cpu.map(|cpu| cpu / 2) };
    Placement { shards: cpus.iter().enumerate().map(shard).collect(), services: Vec::new() }
}

fn examined(root: &Scratch, topology: &Topology, cpus: &[Option<usize>], spins: bool) -> Vec<Finding> {
    examine_files(root.path(), topology, &placement(cpus), spins)
}

fn of<'a>(findings: &'a [Finding], area: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.area == area).unwrap_or_else(|| panic!("{area} was looked at"))
}

const ON_2_AND_3: &[Option<usize>] = &[Some(2), Some(3)];

#[test]
fn a_machine_that_tells_nothing_is_unknown_not_good() {
    let root = Scratch::new("doctor-silent");
    let findings = examined(&root, &topology(), ON_2_AND_3, false);
    for area in ["kernel", "open files", "backlog", "control group", "locked memory", "governor", "clock", "interrupts"]
    {
        assert_eq!(of(&findings, area).verdict, Verdict::Unknown, "{area}");
    }
    assert!(findings.iter().all(|finding| finding.settings.is_empty()));
}

#[test]
fn kernels_too_old_are_broken_and_those_without_deferred_work_slow() {
    for (release, verdict) in [
        ("5.15.0-91-generic", Verdict::Broken),
        ("6.0.7", Verdict::Slow),
        ("6.1", Verdict::Good),
        ("6.18.44-x", Verdict::Good),
    ] {
        let root = Scratch::new("doctor-kernel");
        root.write("proc/sys/kernel/osrelease", release);
        assert_eq!(of(&examined(&root, &topology(), ON_2_AND_3, false), "kernel").verdict, verdict, "{release}");
    }
}

#[test]
fn limits_are_those_of_the_process() {
    let root = Scratch::new("doctor-limits");
    let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
    root.write("proc/self/limits", &format!("{head}Max locked memory         65536                65536                bytes     \nMax open files            1024                 4096                 files     "));
    let findings = examined(&root, &topology(), ON_2_AND_3, false);
    assert_eq!(of(&findings, "locked memory").verdict, Verdict::Broken);
    assert!(of(&findings, "locked memory").found.starts_with("64 KiB, and 2 shards"));
    assert_eq!(of(&findings, "open files").verdict, Verdict::Slow);
    root.write("proc/self/limits", &format!("{head}Max locked memory         8388608              unlimited            bytes     \nMax open files            1024                 1048576              files     "));
    let findings = examined(&root, &topology(), ON_2_AND_3, false);
    assert_eq!(of(&findings, "locked memory").verdict, Verdict::Good);
    assert_eq!(of(&findings, "open files").verdict, Verdict::Good);
}

#[test]
fn every_setting_tells_what_it_replaces() {
    let root = Scratch::new("doctor-settings");
    for cpu in 0..4 {
        root.write(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"), "powersave\n");
        let idle = format!("sys/devices/system/cpu/cpu{cpu}/cpuidle");
        for (state, name, latency) in [(0, "POLL", 0), (1, "C1", 2), (2, "C6", 133)] {
            root.write(&format!("{idle}/state{state}/name"), name);
            root.write(&format!("{idle}/state{state}/latency"), &latency.to_string());
            root.write(&format!("{idle}/state{state}/disable"), "0\n");
        }
    }
    root.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    root.write("proc/sys/kernel/numa_balancing", "1\n");
    root.write("sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "2\n");
    root.write("sys/kernel/mm/damon/admin/kdamonds/0/state", "off\n");
    root.write("sys/kernel/mm/damon/admin/kdamonds/1/state", "on\n");
    root.write("proc/sys/net/core/somaxconn", "128\n");
    root.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    root.write("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n");
    root.write("proc/interrupts", "           CPU0       CPU1       CPU2       CPU3\n  9:   0   0   0   0   IO-APIC   9-fasteoi   acpi\n 24:   1   0   7   0   PCI-MSI 1-edge   eth0-rx-0\nNMI:   1   1   1   1   Non-maskable interrupts\n");
    for (irq, list) in [(9, "0-3"), (24, "0-3")] {
        root.write(&format!("proc/irq/{irq}/smp_affinity_list"), list);
        root.write(&format!("proc/irq/{irq}/effective_affinity_list"), "2\n");
    }
    let findings = examined(&root, &topology(), ON_2_AND_3, false);
    let report = Report { findings };
    let cpu = |rest: &str| format!("{}/sys/devices/system/cpu/{rest}", root.path().display());
    let other = |rest: &str| format!("{}/{rest}", root.path().display());
    let wanted = [
        format!("{}\t128\t4096", other("proc/sys/net/core/somaxconn")),
        format!("{}\talways\tmadvise", other("sys/kernel/mm/transparent_hugepage/enabled")),
        format!("{}\t1\t0", other("proc/sys/kernel/numa_balancing")),
        format!("{}\ton\toff", other("sys/kernel/mm/damon/admin/kdamonds/1/state")),
        format!("{}\tpowersave\tperformance", cpu("cpu2/cpufreq/scaling_governor")),
        format!("{}\tpowersave\tperformance", cpu("cpu3/cpufreq/scaling_governor")),
        format!("{}\t0\t1", cpu("cpu2/cpuidle/state2/disable")),
        format!("{}\t0\t1", cpu("cpu3/cpuidle/state2/disable")),
        format!("{}\thpet\ttsc", other("sys/devices/system/clocksource/clocksource0/current_clocksource")),
        // The interrupt that never came stays where it is.
        format!("{}\t0-3\t0-1", other("proc/irq/24/smp_affinity_list")),
    ];
    assert_eq!(report.settings().lines().collect::<Vec<_>>(), wanted);
    assert!(of(&report.findings, "idle states").found.contains("C6 takes 133"));
    assert!(of(&report.findings, "interrupts").found.contains("24 (eth0-rx-0)"));
    assert!(!report.is_broken());
    // A shard that never sleeps enters no idle state.
    let spinning = examined(&root, &topology(), ON_2_AND_3, true);
    assert_eq!(of(&spinning, "idle states").verdict, Verdict::Good);
}

#[test]
fn placement_that_costs_latency_is_said() {
    let root = Scratch::new("doctor-placement");
    let plain = topology();
    let verdict = |topology: &Topology, cpus: &[Option<usize>], area: &str| {
        of(&examined(&root, topology, cpus, false), area).verdict
    };
    assert_eq!(verdict(&plain, ON_2_AND_3, "pinning"), Verdict::Good);
    assert_eq!(verdict(&plain, &[None, None], "pinning"), Verdict::Slow);
    assert_eq!(verdict(&plain, &[Some(2), Some(2)], "pinning"), Verdict::Slow);
    assert_eq!(verdict(&plain, &[Some(0), Some(1), Some(2), Some(3)], "pinning"), Verdict::Slow);
    assert_eq!(verdict(&plain, ON_2_AND_3, "isolated CPUs"), Verdict::Slow);
    let mut isolated = topology();
    for cpu in &mut isolated.cpus[2..] {
        cpu.isolated = true;
    }
    assert_eq!(verdict(&isolated, ON_2_AND_3, "isolated CPUs"), Verdict::Good);
    let mut threads = topology();
    threads.cpus[1].core_id = 0;
    threads.cpus[3].core_id = 2;
    assert_eq!(verdict(&threads, ON_2_AND_3, "hyper-threads"), Verdict::Slow);
    assert_eq!(verdict(&threads, &[Some(2)], "hyper-threads"), Verdict::Slow);
    assert_eq!(verdict(&plain, ON_2_AND_3, "hyper-threads"), Verdict::Good);
}

#[test]
fn a_quota_of_any_group_above_is_found() {
    let root = Scratch::new("doctor-group");
    root.write("proc/self/cgroup", "0::/system.slice/deepstream.service\n");
    root.write("sys/fs/cgroup/system.slice/deepstream.service/cpu.max", "max 100000\n");
    let group = |root: &Scratch| of(&examined(root, &topology(), ON_2_AND_3, false), "control group").clone();
    assert_eq!(group(&root).verdict, Verdict::Good);
    root.write("sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n");
    assert_eq!(group(&root).verdict, Verdict::Slow);
    assert!(group(&root).found.starts_with("/system.slice is stopped after 200000"));
}

#[test]
fn shards_in_more_caches_than_they_need_are_found() {
    let root = Scratch::new("doctor-cache");
    for (cpu, group) in [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")] {
        let cache = format!("sys/devices/system/cpu/cpu{cpu}/cache");
        // The kernel's numbers of caches are in no order of levels.
        for (index, level, shared) in [(0, 1, cpu.to_string()), (1, 3, group.to_owned()), (2, 2, cpu.to_string())] {
            root.write(&format!("{cache}/index{index}/level"), &format!("{level}\n"));
            root.write(&format!("{cache}/index{index}/shared_cpu_list"), &format!("{shared}\n"));
        }
    }
    let cache = |cpus: &[Option<usize>]| of(&examined(&root, &topology(), cpus, false), "shared cache").clone();
    assert_eq!(cache(ON_2_AND_3), Finding::good("shared cache", "shards on CPUs 2-3 use those of 2-3"));
    let apart = cache(&[Some(1), Some(2)]);
    assert_eq!(apart.verdict, Verdict::Slow);
    assert_eq!(apart.found, "shards on CPUs 1-2 use those of 0-1 | 2-3");
    assert!(apart.remedy.starts_with("1 would hold them"));
    assert_eq!(cache(&[Some(1), Some(2), Some(3)]).verdict, Verdict::Good, "three need both");
    assert_eq!(cache(&[None]).verdict, Verdict::Unknown);
    root.write("proc/cpuinfo", "flags\t\t: fpu vme hypervisor lahf_lm\n");
    assert_eq!(cache(ON_2_AND_3).verdict, Verdict::Unknown);
    assert_eq!(cache(&[Some(3)]).verdict, Verdict::Good, "one shard is next to itself");
}

#[test]
fn cards_with_fewer_queues_than_shards_and_a_running_balancer_are_found() {
    let root = Scratch::new("doctor-network");
    root.write("sys/class/net/eth0/device/vendor", "");
    root.write("sys/class/net/eth0/queues/rx-0/rps_cpus", "");
    root.write("sys/class/net/lo/queues/rx-0/rps_cpus", "");
    root.write("proc/77/comm", "irqbalance\n");
    let findings = examined(&root, &topology(), ON_2_AND_3, false);
    assert_eq!(of(&findings, "network queues").remedy, "ethtool -L eth0 combined 2, if the card has so many");
    assert!(of(&findings, "irqbalance").remedy.contains("IRQBALANCE_BANNED_CPULIST=2-3"));
}

#[test]
fn the_report_counts_what_it_lists() {
    let findings =
        vec![Finding::good("a", "fine"), Finding::slow("longer", "late", "hurry"), Finding::broken("c", "no", "yes")];
    let report = Report { findings };
    let text = "ok     a       fine\nslow   longer  late\n               -> hurry\nBROKEN c       no\n               -> yes\n1 ok, 1 slow, 1 broken, 0 unknown";
    assert_eq!(report.to_string(), text);
    assert!(report.is_broken());
}

#[test]
fn this_machine_can_be_examined() {
    let topology = Topology::of_this_machine();
    let first = topology.cpus.iter().find(|cpu| cpu.allowed).map(|cpu| cpu.id);
    let report = examine(&topology, &placement(&[first]), false);
    assert!(!report.findings.is_empty());
    for Finding { area, verdict, remedy, .. } in &report.findings {
        assert_eq!(remedy.is_empty(), matches!(verdict, Verdict::Good | Verdict::Unknown), "{area}: {remedy}");
    }
}
