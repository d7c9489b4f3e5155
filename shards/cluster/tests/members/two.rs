//! Two nodes on a bus that is well, and what becomes of what they send each other when it is not.

use crate::Planted;
use crate::world::{MS, SECOND, TTL, World};
use bytes::Bytes;
use deepstream_cluster::{Arrived, ForCore, Frame, NoFrame, Node, Note, Said, Session};
use deepstream_engine::{Lane, Nanos, NodeId, View};

fn two() -> World {
    let mut world = World::new(5, Planted::Nothing);
    world.start("a");
    world.run_until(world.real + 2 * TTL);
    world.start("b");
    world.run_until(world.real + 2 * TTL);
    world.look_at_rest();
    assert_eq!(world.wrong, None);
    world
}

/// What the cores of a process know of the link to another node.
fn link(world: &World, of: usize, node: NodeId) -> (NodeId, u64, u32) {
    let of_it = world.links.iter().rev().find_map(|(at, said)| match said {
        ForCore::Restarted { node: other, since, link } if (*at, *other) == (of, node) => Some((*other, *since, *link)),
        _ => None,
    });
    of_it.expect("cores were told of the link")
}

fn node(world: &World, of: usize) -> NodeId {
    world.processes[of].node.standing().node.expect("it is a member")
}

fn bundle(epoch: u64, rest: &str) -> Bytes {
    [&epoch.to_le_bytes(), rest.as_bytes()].concat().into()
}

fn send(world: &mut World, of: usize, to: (NodeId, u64, u32), bundle: Bytes) {
    world.feed(of, |node, now| node.bundle(now, to, Lane::Requests, bundle));
}

fn take(world: &mut World, of: usize) -> Option<Arrived> {
    let now = world.processes[of].now(world.real);
    world.processes[of].node.next_bundle(now, Lane::Requests)
}

fn wait(world: &mut World, ns: u64) {
    world.run_until(world.real + ns);
}

#[test]
fn a_bundle_waits_for_the_view_by_which_it_was_written() {
    let mut world = two();
    let (a, b) = (node(&world, 0), node(&world, 1));
    let epoch = world.processes[0].node.standing().epoch;
    let to = link(&world, 0, b);
    send(&mut world, 0, to, bundle(epoch, "now"));
    send(&mut world, 0, to, bundle(epoch + 1, "later"));
    wait(&mut world, 50 * MS);
    let arrived = take(&mut world, 1).unwrap();
    assert_eq!((arrived.from, &arrived.bundle), (a, &bundle(epoch, "now")));
    assert_eq!((arrived.from, arrived.since, arrived.link), link(&world, 1, a));
    assert_eq!(take(&mut world, 1), None);
    for core in 0..world.processes[1].cores.len() {
        assert_eq!(take(&mut world, 1), None);
        world.feed(1, |node, now| node.adopted(now, core as u16, epoch + 1));
    }
    assert_eq!(take(&mut world, 1).unwrap().bundle, bundle(epoch + 1, "later"));
}

#[test]
fn who_is_not_heard_is_silent_and_what_was_written_before_that_is_dropped() {
    let mut world = two();
    let (a, b) = (node(&world, 0), node(&world, 1));
    let epoch = world.processes[0].node.standing().epoch;
    let before = link(&world, 0, b);
    let end = world.real + 3 * SECOND;
    world.cuts.extend([((0, 1), end), ((1, 0), end)]);
    send(&mut world, 0, before, bundle(epoch, "lost"));
    wait(&mut world, 2900 * MS);
    for (of, other) in [(0, b), (1, a)] {
        let silent = world.links.iter().any(|(at, said)| {
            *at == of && matches!(said, ForCore::Reached { node, heard: false, .. } if *node == other)
        });
        assert!(silent, "{of} hears nothing");
    }
    wait(&mut world, SECOND);
    let after = link(&world, 0, b);
    assert!(after.2 > before.2);
    assert_eq!(world.links.last().map(|(_, said)| matches!(said, ForCore::Reached { heard: true, .. })), Some(true));
    send(&mut world, 0, before, bundle(0, "too late"));
    send(&mut world, 0, after, bundle(0, "in time"));
    wait(&mut world, 50 * MS);
    assert_eq!(take(&mut world, 1).unwrap().bundle, bundle(0, "in time"));
    assert_eq!(take(&mut world, 1), None);
    wait(&mut world, 2 * TTL);
    world.look_at_rest();
    assert_eq!(world.wrong, None);
}

#[test]
fn a_member_that_takes_nothing_makes_its_own_link_begin_anew_only() {
    let mut world = two();
    let b = node(&world, 1);
    let to = link(&world, 0, b);
    let large = Bytes::from(vec![0; 1 << 20]);
    let fits = |world: &World| world.processes[0].node.has_room(b, Lane::Requests);
    for _ in 0..60 {
        send(&mut world, 0, to, large.clone());
        wait(&mut world, 10 * MS);
    }
    assert!(!fits(&world) && world.processes[0].node.has_room(b, Lane::Deliveries));
    assert_eq!(link(&world, 0, b), to);
    for _ in 0..60 {
        send(&mut world, 0, to, large.clone());
    }
    wait(&mut world, 50 * MS);
    assert!(fits(&world) && link(&world, 0, b).2 > to.2);
}

#[test]
fn slots_that_others_claimed_are_taken_back_by_later_generations() {
    let mut world = two();
    let before = world.charter().unwrap().view.epoch();
    world.claimed_by_others(&[0, 1, 2, 3], before + 7);
    // A batch is refused.
    world.feed(0, Node::deposed);
    wait(&mut world, 2 * TTL);
    assert!(world.notes.iter().any(|(_, note)| *note == Note::ClaimedByOthers));
    assert_eq!(world.charter().unwrap().view.epoch(), before + (1 << 20));
    world.look_at_rest();
    assert_eq!(world.wrong, None);
}

#[test]
fn a_second_process_of_the_same_name_waits_until_the_first_is_gone() {
    let mut world = two();
    world.start("b");
    wait(&mut world, 2 * TTL);
    assert!(world.notes.contains(&(2, Note::NameTaken)));
    assert_eq!(world.processes[2].node.standing().node, None);
    world.processes[1].alive = false;
    wait(&mut world, 3 * TTL);
    world.look_at_rest();
    assert_eq!((world.wrong, world.processes[2].node.standing().node), (None, Some(NodeId(2))));
}

#[test]
fn who_leaves_gives_up_its_slots_and_then_its_lease() {
    let mut world = two();
    world.processes[0].is_leaving = true;
    world.feed(0, Node::leave);
    wait(&mut world, SECOND);
    world.look_at_rest();
    assert_eq!(world.wrong, None, "the other one has claimed all");
    world.feed(0, |node, _| node.release());
    world.processes[0].alive = false;
    wait(&mut world, SECOND);
    world.look_at_rest();
    assert_eq!(world.wrong, None, "nobody waits for the end of its lease");
    assert!(world.notes.contains(&(1, Note::Left(NodeId(0), "a".into()))));
}

#[test]
fn what_comes_from_elsewhere_changes_nothing() {
    let mut world = two();
    let standing = world.processes[0].node.standing();
    let charter = world.charter().unwrap();
    let [node, other] = [0, 1].map(|of| node(&world, of));
    let session = |node, since| Session { node, since, reset: 9 };
    let beat = Said::Beat { epoch: u64::MAX, yielded: charter.fingerprint(), hears: 0, acks: Default::default() };
    let frames = [
        (charter.hash() ^ 1, session(other, 0), Said::Acks { acks: Default::default() }),
        (charter.hash(), session(other, 0), Said::Acks { acks: Default::default() }),
        (charter.hash(), session(NodeId(40), 0), beat),
        (charter.hash(), session(other, 0), beat),
    ];
    let heard = frames.into_iter().map(|(cluster, from, said)| {
        let mut bytes = Vec::new();
        Frame { cluster, from, to: session(node, 0), said }.write(&mut bytes);
        let now: Nanos = world.processes[0].now(world.real);
        world.processes[0].node.heard(now, &bytes.into())
    });
    let heard: Vec<_> = heard.collect();
    assert_eq!(heard, [Err(NoFrame::Foreign), Ok(()), Ok(()), Ok(())]);
    let after = world.processes[0].node.standing();
    assert_eq!((after.epoch, after.slots, after.links.len()), (standing.epoch, standing.slots, 1));
}

#[test]
fn a_cluster_that_is_outrun_again_and_again_stops_and_says_so() {
    let mut world = two();
    for raises in 1..=4 {
        let epoch = world.charter().unwrap().view.epoch();
        world.claimed_by_others(&[0, 1, 2, 3], epoch + 7);
        let alive = world.alive();
        for of in alive {
            world.feed(of, Node::deposed);
        }
        wait(&mut world, 2 * TTL);
        let stopped = world.notes.iter().filter(|(_, note)| *note == Note::TwoClusters).count();
        assert_eq!(stopped, if raises < 4 { 0 } else { 2 }, "after {raises}");
    }
    assert!(world.alive().is_empty());
}

#[test]
fn storage_that_was_claimed_by_a_clock_days_ahead_is_caught_up_with() {
    let mut world = two();
    let epoch = world.charter().unwrap().view.epoch();
    let all: Vec<u16> = (0..View::SLOTS as u16).collect();
    world.claimed_by_others(&all, epoch + 3 * 24 * 3_600_000);
    world.feed(0, Node::deposed);
    wait(&mut world, 3 * TTL);
    world.look_at_rest();
    assert_eq!(world.wrong, None);
}

#[test]
fn two_lines_of_charters_become_one_that_is_claimed_anew() {
    let mut world = two();
    let before = world.charter().unwrap();
    // Who comes is written down by a charter that the registry loses, and another one by another charter in its place.
    world.start("c");
    wait(&mut world, TTL);
    world.registry.lose(10);
    world.start("d");
    wait(&mut world, 4 * TTL);
    world.look_at_rest();
    let after = world.charter().unwrap();
    assert_eq!((world.wrong.clone(), after.seats.len()), (None, 4));
    assert!(after.founded > before.view.epoch());
    assert!(after.view.members().iter().all(|member| member.since >= after.founded));
}

#[test]
fn whoever_trusts_a_lease_that_the_registry_forgot_has_stopped_before_others_take_its_slots() {
    let mut world = two();
    let before = world.charter().unwrap();
    world.registry.forget();
    // Its lease is trusted for a while after the other one has seen that there is none.
    world.pause(0, 1500 * MS);
    wait(&mut world, 4 * TTL);
    world.look_at_rest();
    assert_eq!(world.wrong, None);
    assert!(world.notes.iter().any(|(_, note)| *note == Note::RegistryForgot));
    assert!(world.charter().unwrap().view.epoch() > before.view.epoch());
    assert_eq!(world.charter().unwrap().view.seed(), before.view.seed());
}
