//! Nodes of one process, in real time, over a bus and a registry of the process, and over Redis: they come to one view, send each other
//! bundles, lose each other, and find each other again.

mod host;
mod outside;

use bytes::Bytes;
use deepstream::config;
use deepstream::connector::redis::{RedisBus, RedisRegistry};
use deepstream_engine::{BundleWriter, ConnId, Lane, Packet, View};
use engines::{Kind, Options};
use host::{CLUSTER, Host, LEASE, until};
use outside::{Fences, Outside};
use std::time::Duration;

/// Whether all of them have one view, with just them in it, and serve all slots, each those that it has.
fn agree(hosts: &mut [Host]) -> bool {
    hosts.iter_mut().for_each(Host::pump);
    let Some(view) = hosts[0].view.clone() else { return false };
    let all = hosts.iter().all(|host| host.view.as_ref().is_some_and(|other| **other == *view));
    let nodes: Vec<_> = hosts.iter().map(Host::node).collect();
    let is_served = |slot| {
        let owner = Some(view.node_of(slot));
        hosts.iter().zip(&nodes).all(|(host, &node)| host.serves(slot) == (node == owner))
    };
    all && view.members().len() == hosts.len() && (0..View::SLOTS as u16).all(is_served)
}

fn start(outside: &Outside, names: &[&str]) -> Vec<Host> {
    let mut hosts = Vec::new();
    for name in names {
        hosts.push(Host::start(outside, name, LEASE).unwrap());
        // A member that is asked nothing holds the others up.
        hosts.iter_mut().for_each(Host::pump);
    }
    hosts
}

#[test]
fn three_nodes_come_to_one_view_and_each_that_is_killed_is_missed_and_found_again() {
    let outside = Outside::default();
    let names = ["one", "two", "three"];
    let mut hosts = start(&outside, &names);
    until("all three serve", || agree(&mut hosts));
    for name in names {
        let at = hosts.iter().position(|host| host.name == name).unwrap();
        let mut killed = hosts.remove(at);
        killed.kill();
        until("the others serve all", || agree(&mut hosts));
        // It was told to stop before they began: its lease is trusted for a part of it only.
        killed.pump();
        assert!((0..View::SLOTS as u16).all(|slot| !killed.serves(slot)), "{name} serves what others do");
        drop(killed);
        hosts.push(Host::start(&outside, name, LEASE).unwrap());
        until("all three serve again", || agree(&mut hosts));
    }
}

#[test]
fn a_node_that_ends_in_order_is_missed_at_once_and_its_name_is_free() {
    let outside = Outside::default();
    let mut hosts = start(&outside, &["one"]);
    // Far longer than the test waits: nobody waits until it is over.
    let lease = Duration::from_hours(1);
    hosts.push(Host::start(&outside, "two", lease).unwrap());
    until("both serve", || agree(&mut hosts));
    drop(hosts.pop());
    until("the other serves all", || agree(&mut hosts));
    hosts.push(Host::start(&outside, "two", lease).unwrap());
    until("both serve again", || agree(&mut hosts));
}

fn bundle(epoch: u64, number: u32) -> Bytes {
    let mut writer = BundleWriter::default();
    writer.begin(epoch, 1);
    let packet = Packet::Farewell(ConnId { slot: number, ..ConnId::NOBODY }, false);
    for core in 0..host::CORES {
        assert_eq!(writer.section(core, std::slice::from_ref(&packet)), Ok(1));
    }
    writer.end().unwrap()
}

#[test]
fn bundles_arrive_once_and_in_order_at_each_core_also_over_a_bus_that_was_away() {
    let outside = Outside::default();
    let mut hosts = start(&outside, &["one", "two"]);
    until("both serve", || agree(&mut hosts));
    let (epoch, to) = (hosts[0].view.as_ref().unwrap().epoch(), hosts[1].node().unwrap());
    until("the link is known", || {
        hosts[0].pump();
        hosts[0].peer(to).is_some()
    });
    let sent = 400;
    for number in 0..sent {
        if number == sent / 2 {
            outside.exchange.set_away(true);
        }
        until("there is room", || {
            hosts.iter_mut().for_each(Host::pump);
            // Less than the silence after which a link is given up.
            outside.exchange.set_away(false);
            hosts[0].send(to, Lane::Requests, bundle(epoch, number))
        });
    }
    until("all is there", || {
        hosts.iter_mut().for_each(Host::pump);
        hosts[1].came.iter().all(|came| came.len() == sent as usize)
    });
    let expected: Vec<u32> = (0..sent).collect();
    for came in &hosts[1].came {
        assert_eq!(*came, expected);
    }
}

#[test]
fn a_core_that_takes_no_requests_is_given_deliveries_and_holds_up_requests_alone() {
    let outside = Outside::default();
    let mut hosts = start(&outside, &["one", "two"]);
    until("both serve", || agree(&mut hosts));
    let (epoch, to) = (hosts[0].view.as_ref().unwrap().epoch(), hosts[1].node().unwrap());
    until("the link is known", || {
        hosts.iter_mut().for_each(Host::pump);
        hosts[0].peer(to).is_some()
    });
    hosts[1].takes_requests = false;
    assert!(hosts[0].send(to, Lane::Requests, bundle(epoch, 1)));
    assert!(hosts[0].send(to, Lane::Deliveries, bundle(epoch, 2)));
    until("what is delivered comes", || {
        hosts.iter_mut().for_each(Host::pump);
        hosts[1].came.iter().all(|came| *came == [2])
    });
    hosts[1].takes_requests = true;
    until("then what is asked", || {
        hosts.iter_mut().for_each(Host::pump);
        hosts[1].came.iter().all(|came| *came == [2, 1])
    });
}

#[test]
fn a_registry_that_is_away_stops_a_node_when_its_lease_is_over_and_nothing_else() {
    let outside = Outside::default();
    let mut hosts = start(&outside, &["one", "two"]);
    until("both serve", || agree(&mut hosts));
    outside.desk.set_away(true);
    until("nobody trusts a lease", || {
        hosts.iter_mut().for_each(Host::pump);
        hosts.iter().all(|host| !host.is_trusted())
    });
    outside.desk.set_away(false);
    until("both serve again", || agree(&mut hosts));
}

#[test]
fn a_node_whose_name_is_taken_does_not_start_and_says_so() {
    let outside = Outside::default();
    let mut hosts = start(&outside, &["one"]);
    until("it serves", || agree(&mut hosts));
    let error = Host::start(&outside, "one", LEASE).err().expect("there is one of that name");
    assert!(error.to_string().contains("another living node is called one; give each node a serverName"), "{error}");
    hosts[0].pump();
    assert!(hosts[0].is_trusted());
}

#[test]
fn a_node_without_a_registry_or_with_too_short_a_lease_does_not_start() {
    let outside = Outside::default();
    let error = Host::start(&outside, "one", Duration::from_millis(10)).err().expect("no registry renews that fast");
    assert!(error.hint.contains("at least 500 ms"), "{error}");
    outside.desk.set_away(true);
    let error = Host::start(&outside, "one", LEASE).err().expect("the registry is away");
    assert!(error.what.contains("desk"), "{error}");
}

#[test]
fn three_nodes_over_redis_miss_who_is_killed_and_outlive_a_redis_that_lost_all_it_had() {
    let redis = engines::start(Kind::Redis, &Options::default()).unwrap();
    let settings = || {
        let (host, port) = (redis.address().to_string(), redis.port());
        config::Redis { host, port, connect_timeout: Duration::from_secs(3), ..config::Redis::default() }
    };
    let fences = Fences::default();
    let start = |name| {
        let registry = RedisRegistry::new(settings(), CLUSTER, LEASE);
        Host::over(RedisBus::new(settings(), CLUSTER), registry, &fences, name, LEASE).unwrap()
    };
    let mut hosts = Vec::new();
    for name in ["one", "two", "three"] {
        hosts.push(start(name));
        hosts.iter_mut().for_each(Host::pump);
    }
    until("all three serve", || agree(&mut hosts));
    let mut killed = hosts.pop().unwrap();
    killed.kill();
    until("the others serve all", || agree(&mut hosts));
    drop(killed);
    hosts.push(start("three"));
    until("all three serve again", || agree(&mut hosts));
    let epoch = hosts[0].view.as_ref().unwrap().epoch();
    redis.kill().unwrap();
    until("nobody trusts a lease", || {
        hosts.iter_mut().for_each(Host::pump);
        hosts.iter().all(|host| !host.is_trusted())
    });
    redis.launch().unwrap();
    until("all three serve over a Redis that is empty", || agree(&mut hosts));
    assert!(hosts[0].view.as_ref().unwrap().epoch() > epoch, "what was claimed before stays below");
}
