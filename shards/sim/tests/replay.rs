//! Tapes of shards, played again.

use deepstream_engine::tape::{FrameHead, OPENING};
use deepstream_sim::Run;
use deepstream_sim::replay::{Difference, Played, Unplayed, replay, replay_misled};
use std::collections::BTreeSet;

/// The tapes of a world, and in it the time in which something happens.
fn tapes(seed: u64) -> Vec<Vec<u8>> {
    let (result, tapes) = Run::of(seed).go_taped();
    result.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    tapes
}

fn played(tape: &[u8]) -> Played {
    replay(tape).unwrap_or_else(|unplayed| panic!("{unplayed}"))
}

/// Where the frames of a tape begin, its header's first, and where the last ends.
fn frames(tape: &[u8]) -> Vec<usize> {
    let mut starts = vec![OPENING.len()];
    while let Some(head) = tape.get(starts[starts.len() - 1]..).and_then(<[u8]>::first_chunk::<{ FrameHead::LEN }>) {
        let head = FrameHead::from_bytes(*head).expect("a head");
        starts.push(starts[starts.len() - 1] + FrameHead::LEN + head.len as usize);
    }
    starts
}

#[test]
fn every_shard_of_a_world_does_the_same_again() {
    let (mut cores_seen, mut nodes_seen) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..60 {
        let mut places = BTreeSet::new();
        for tape in &tapes(seed) {
            let played = played(tape);
            assert!(played.is_whole && played.inputs > 0, "seed {seed}: {played}");
            assert!(places.insert(played.shard.0), "seed {seed}: {played}");
            cores_seen.insert(played.shard.1);
        }
        nodes_seen.insert(places.iter().map(|place| place.node()).collect::<BTreeSet<_>>().len());
    }
    assert_eq!(Vec::from_iter(nodes_seen), [1, 2, 3]);
    assert!([1, 2, 4].iter().all(|cores| cores_seen.contains(cores)), "{cores_seen:?}");
}

#[test]
fn tape_costs_a_world_nothing_but_time() {
    for seed in 0..10 {
        assert_eq!(Run::of(seed).go_taped().0, Run::of(seed).go().map_err(|failure| failure.what), "seed {seed}");
    }
}

/// The differences that planted bugs make in the worlds of some seeds.
fn misled(mislead: impl Fn(&mut deepstream_engine::Options) + Copy) -> Vec<Difference> {
    let tapes = (0..40).flat_map(tapes);
    let differences = tapes.filter_map(|tape| match replay_misled(&tape[..], mislead) {
        Ok(_) => None,
        Err(Unplayed::Difference(difference)) => Some(*difference),
        Err(other) => panic!("{other}"),
    });
    differences.collect()
}

#[test]
fn shard_that_behaves_otherwise_is_noticed() {
    let slow_calls = misled(|options| options.rpc_ack_timeout_ns += 1_000_000_000);
    assert!(!slow_calls.is_empty());
    assert!(slow_calls.iter().all(|difference| difference.input > 0 && !difference.what.is_empty()), "{slow_calls:?}");
    assert!(!misled(|options| options.limits.names_per_message_max = 1).is_empty());
    assert!(!misled(|options| options.presence = false).is_empty());
}

#[test]
fn changed_byte_is_noticed_wherever_it_is() {
    let tapes = tapes(3);
    let tape = tapes.iter().min_by_key(|tape| tape.len()).expect("a shard");
    let step = (tape.len() / 2_000).max(1);
    for at in (0..tape.len()).step_by(step) {
        let mut changed = tape.clone();
        changed[at] ^= 1 << (at % 8);
        match replay(&changed[..]) {
            Err(Unplayed::Damaged { .. }) => assert!(at >= OPENING.len(), "byte {at}"),
            Err(Unplayed::NoTape | Unplayed::Format(_)) => assert!(at < OPENING.len(), "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn changed_input_is_noticed_though_its_frame_is_whole() {
    let tape = tapes(3).remove(0);
    let starts = frames(&tape);
    // The header, the entries, and the end of the last, which is no input of anybody.
    let entries = starts.len() - 3;
    for left_out in (1..entries).step_by((entries / 200).max(1)) {
        let (from, to) = (starts[left_out], starts[left_out + 1]);
        let changed = [&tape[..from], &tape[to..]].concat();
        let Err(Unplayed::Difference(difference)) = replay(&changed[..]) else {
            panic!("input {left_out} of {entries} is missing");
        };
        assert!(difference.input + 1 >= left_out as u64, "{difference:?} for the missing input {left_out}");
    }
}

#[test]
fn tape_that_ends_in_the_middle_is_played_as_far_as_it_goes() {
    let tape = tapes(5).remove(0);
    let starts = frames(&tape);
    let (last, second) = (starts[starts.len() - 2], starts[1]);
    for end in [last, last - 1, last - FrameHead::LEN, last + 3, usize::midpoint(second, last), second, second + 1] {
        let played = played(&tape[..end]);
        let whole = starts.iter().filter(|&&start| start <= end).count() as u64 - 2;
        assert!(!played.is_whole && played.inputs == whole, "{end}: {played}, not {whole}");
    }
}

#[test]
fn file_that_is_no_tape_is_refused_in_words() {
    let refused = |bytes: &[u8]| replay(bytes).expect_err("no tape").to_string();
    assert_eq!(refused(b""), "is no tape");
    assert_eq!(refused(b"\x7fELF and so on, for a while longer"), "is no tape");
    assert_eq!(refused(&OPENING[..5]), "is no tape");
    let other = b"deepstream tape 0\nwhatever";
    let ours = String::from_utf8_lossy(OPENING);
    let words = format!("\"deepstream tape 0\", not with {:?}", ours.trim_end());
    assert!(refused(other).contains(&words), "{}", refused(other));
    assert_eq!(refused(OPENING), "is damaged after 0 inputs");
}
