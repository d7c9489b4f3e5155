use super::*;

/// `cores` physical cores of `threads` CPUs over `nodes` nodes; siblings are numbered as Intel does (n, n + cores).
fn machine(nodes: usize, cores: usize, threads: usize) -> Topology {
    let cpus = (0..cores * threads)
        .map(|id| Cpu { id, node: id % cores * nodes / cores, core_id: id % cores, isolated: false, allowed: true })
        .collect();
    Topology { cpus, quota: None }
}

fn isolate(mut topology: Topology, isolated: &[usize]) -> Topology {
    for cpu in &mut topology.cpus {
        cpu.isolated = isolated.contains(&cpu.id);
    }
    topology
}

fn cores(shards: CpuChoice) -> Cores {
    Cores { shards, ..crate::config::Config::default().cores }
}

fn list(text: &str) -> CpuChoice {
    CpuChoice::List(cpulist::parse(text).unwrap())
}

fn placed(topology: &Topology, cores: &Cores) -> (Vec<usize>, Vec<usize>) {
    let placement = resolve(topology, cores).unwrap();
    (placement.shards.iter().map(|place| place.cpu.unwrap()).collect(), placement.services)
}

fn refused(topology: &Topology, cores: &Cores) -> String {
    let Misplaced { key, what, hint } = resolve(topology, cores).unwrap_err();
    format!("{key}: {what}; {hint}")
}

#[test]
fn automatic_placement_fits_machines_of_every_size() {
    for (topology, shards, services) in [
        (machine(1, 1, 1), vec![0], vec![0]),
        (machine(1, 1, 2), vec![0], vec![1]),
        (machine(1, 2, 1), vec![0, 1], vec![0, 1]),
        (machine(1, 2, 2), vec![0, 1], vec![2, 3]),
        (machine(1, 4, 1), vec![1, 2, 3], vec![0]),
        (machine(1, 4, 2), vec![1, 2, 3], vec![0, 4]),
        (machine(2, 64, 1), (1..64).collect(), vec![0]),
        (machine(2, 64, 2), (1..64).collect(), vec![0, 64]),
        (isolate(machine(1, 8, 1), &[4, 5, 6, 7]), vec![4, 5, 6, 7], vec![0, 1, 2, 3]),
    ] {
        assert_eq!(placed(&topology, &cores(CpuChoice::Auto)), (shards, services), "{topology:?}");
    }
}

#[test]
fn named_sets_are_taken_as_they_are() {
    let smt = machine(1, 4, 2);
    assert_eq!(placed(&smt, &cores(CpuChoice::All)).0, (0..8).collect::<Vec<_>>());
    assert_eq!(placed(&smt, &cores(CpuChoice::Physical)), (vec![0, 1, 2, 3], vec![4, 5, 6, 7]));
    assert_eq!(placed(&isolate(smt, &[2, 6]), &cores(CpuChoice::Isolated)), (vec![2, 6], vec![0, 1, 3, 4, 5, 7]));
}

#[test]
fn isolated_cpus_that_do_not_exist_are_refused() {
    let said = refused(&machine(1, 2, 1), &cores(CpuChoice::Isolated));
    assert!(said.starts_with("shards: this machine has no isolated CPUs; start the kernel with isolcpus="), "{said}");
}

#[test]
fn a_list_keeps_its_order_and_its_nodes_are_known() {
    let placement = resolve(&machine(2, 8, 1), &cores(list("7,1"))).unwrap();
    let seen: Vec<_> = placement.shards.iter().map(|p| (p.shard, p.cpu, p.node)).collect();
    assert_eq!(seen, [(0, Some(7), Some(1)), (1, Some(1), Some(0))]);
    assert_eq!(placement.services, [0, 2, 3, 4, 5, 6]);
    assert_eq!(placement.describe()[0], "shard 0 runs on CPU 7, NUMA node 1");
    assert_eq!(placement.describe()[2], "services run on CPUs 0,2-6");
}

#[test]
fn cpus_that_are_missing_or_forbidden_are_refused_with_those_that_are_usable() {
    let mut topology = machine(1, 4, 1);
    topology.cpus[3].allowed = false;
    assert_eq!(refused(&topology, &cores(list("9"))), "shards: there is no CPU 9 on this machine; usable are 0-2");
    assert_eq!(refused(&topology, &cores(list("3"))), "shards: this process may not run on CPU 3; usable are 0-2");
    let services = Cores { services: Some(vec![3]), ..cores(CpuChoice::Auto) };
    assert_eq!(refused(&topology, &services), "services: this process may not run on CPU 3; usable are 0-2");
}

#[test]
fn overlap_is_refused_unless_allowed() {
    let topology = machine(1, 4, 1);
    let both = Cores { services: Some(vec![1, 3]), ..cores(list("0-1")) };
    assert!(refused(&topology, &both).starts_with("services: CPUs 1 are given to shards and to services; give"));
    assert_eq!(placed(&topology, &Cores { allow_overlap: true, ..both }), (vec![0, 1], vec![1, 3]));
    assert!(refused(&topology, &cores(list("2,2"))).starts_with("shards: CPU 2 is listed twice"));
    let twice = Cores { allow_overlap: true, ..cores(list("2,2")) };
    assert_eq!(placed(&topology, &twice).0, [2, 2]);
}

#[test]
fn automatic_shards_step_aside_for_listed_services_and_share_only_when_they_must() {
    let topology = machine(1, 4, 1);
    let services = Cores { services: Some(vec![2]), ..cores(CpuChoice::Auto) };
    assert_eq!(placed(&topology, &services), (vec![0, 1, 3], vec![2]));
    let everything = Cores { services: Some(vec![0]), ..cores(CpuChoice::Auto) };
    assert_eq!(placed(&machine(1, 1, 1), &everything), (vec![0], vec![0]));
}

#[test]
fn more_shards_than_cpus_share_or_float() {
    let topology = machine(1, 2, 1);
    let four = Cores { count: Some(4), ..cores(CpuChoice::Auto) };
    assert_eq!(placed(&topology, &four).0, [0, 1, 0, 1]);
    assert_eq!(resolve(&topology, &four).unwrap().describe()[4], "4 shards share 2 CPUs");
    assert_eq!(placed(&machine(1, 4, 1), &four).0, [1, 2, 3, 0], "nobody shares while a CPU is free");
    let listed = Cores { count: Some(3), ..cores(list("0-1")) };
    assert!(refused(&topology, &listed).starts_with("count: 3 shards do not fit on the 2 CPUs of cores.shards"));
    assert_eq!(placed(&topology, &Cores { allow_overlap: true, ..listed.clone() }).0, [0, 1, 0]);
    let floating = resolve(&topology, &Cores { pin: false, ..listed }).unwrap();
    assert_eq!(floating.shards.len(), 3);
    assert!(floating.shards.iter().all(|place| place.cpu.is_none() && place.node.is_none()));
    assert!(floating.services.is_empty());
    assert_eq!(floating.describe()[0], "shard 0 runs on any CPU");
}

#[test]
fn fewer_shards_than_cpus_leave_the_rest_to_services() {
    let two = Cores { count: Some(2), ..cores(CpuChoice::All) };
    assert_eq!(placed(&machine(1, 4, 1), &two), (vec![0, 1], vec![2, 3]));
}

#[test]
fn a_quota_bounds_what_is_chosen_automatically_only() {
    let topology = Topology { quota: Some(2), ..machine(1, 64, 1) };
    assert_eq!(placed(&topology, &cores(CpuChoice::Auto)).0.len(), 2);
    assert_eq!(placed(&topology, &cores(CpuChoice::All)).0.len(), 64);
}
