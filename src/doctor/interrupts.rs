//! Interrupts: which of them stop a shard, and whether the network card spreads its own over the shards.

use super::{Finding, Machine};
use crate::config::{format_cpulist, parse_cpulist};

/// A daemon that balances interrupts would undo the settings below.
pub(super) fn balancer(machine: &Machine<'_>) -> Finding {
    let area = "irqbalance";
    let runs = machine
        .list("/proc")
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .any(|process| machine.read(&format!("/proc/{process}/comm")).as_deref() == Some("irqbalance"));
    if !runs || machine.shards.is_empty() {
        return Finding::good(area, if runs { "runs, and no shard is pinned" } else { "does not run" });
    }
    let remedy = format!(
        "tell it to leave the shards alone (IRQBALANCE_BANNED_CPULIST={} in /etc/default/irqbalance) or stop it",
        format_cpulist(&machine.shards)
    );
    Finding::slow(area, "runs, and moves interrupts to the shards' CPUs", remedy)
}

/// Device interrupts that arrive on the shards' CPUs.
pub(super) fn affinity(machine: &Machine<'_>) -> Finding {
    let area = "interrupts";
    let numbers: Vec<String> =
        machine.list("/proc/irq").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    if numbers.is_empty() {
        return Finding::unknown(area, "/proc/irq cannot be read");
    }
    let devices = devices(machine);
    let mut settings = Vec::new();
    let mut names = Vec::new();
    for number in numbers {
        let Some(device) = devices.iter().find(|(irq, _)| *irq == number).map(|(_, device)| device) else { continue };
        let folder = format!("/proc/irq/{number}");
        let effective = machine.read(&format!("{folder}/effective_affinity_list")).filter(|list| !list.is_empty());
        let configured = machine.read(&format!("{folder}/smp_affinity_list")).unwrap_or_default();
        let cpus = parse_cpulist(&effective.unwrap_or_else(|| configured.clone())).unwrap_or_default();
        if cpus.iter().any(|cpu| machine.shards.contains(cpu)) {
            names.push(format!("{number} ({device})"));
            if !machine.others.is_empty() {
                let wanted = format_cpulist(&machine.others);
                settings.push(machine.setting(&format!("{folder}/smp_affinity_list"), &configured, &wanted));
            }
        }
    }
    if names.is_empty() {
        return Finding::good(area, "none of a device arrives on a shard's CPU");
    }
    let some = names.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 4 { format!(" and {} more", names.len() - 4) } else { String::new() };
    let remedy = if machine.others.is_empty() {
        "leave a CPU to them first (cores.shards)".to_owned()
    } else {
        format!(
            "move them to CPUs {}; those of a network card with a queue per shard are better left where its packets are used",
            format_cpulist(&machine.others)
        )
    };
    Finding::slow(area, format!("on the shards' CPUs: {some}{more}"), remedy).with(settings)
}

/// Interrupts with their devices, as `/proc/interrupts` lists them: number, counts per CPU, chip, device.
fn devices(machine: &Machine<'_>) -> Vec<(String, String)> {
    let text = machine.read("/proc/interrupts").unwrap_or_default();
    let cpus = text.lines().next().map_or(0, |line| line.split_whitespace().count());
    let rows = text.lines().skip(1).filter_map(|line| {
        let (number, rest) = line.trim().split_once(':')?;
        let device = rest.split_whitespace().skip(cpus).collect::<Vec<_>>();
        let fired = rest.split_whitespace().take(cpus).any(|count| count != "0");
        (fired && number.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| (number.to_owned(), device.last().copied().unwrap_or("?").to_owned()))
    });
    rows.collect()
}

pub(super) fn network_queues(machine: &Machine<'_>) -> Finding {
    let area = "network queues";
    let cards: Vec<(String, usize)> = machine
        .list("/sys/class/net")
        .into_iter()
        // Bridges, tunnels and loopback have no device.
        .filter(|card| machine.path(&format!("/sys/class/net/{card}/device")).exists())
        .map(|card| {
            let queues = machine.list(&format!("/sys/class/net/{card}/queues"));
            let queues = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
            (card, queues)
        })
        .collect();
    let wanted = machine.shard_count;
    match cards.iter().find(|(_, queues)| *queues < wanted) {
        _ if cards.is_empty() => Finding::good(area, "no network card, only loopback and virtual interfaces"),
        None => Finding::good(
            area,
            cards.iter().map(|(card, queues)| format!("{card} has {queues}")).collect::<Vec<_>>().join(", "),
        ),
        Some((card, queues)) => {
            let remedy = format!("ethtool -L {card} combined {wanted}, if the card has so many");
            Finding::slow(area, format!("{card} has {queues} for {wanted} shards"), remedy)
        }
    }
}
