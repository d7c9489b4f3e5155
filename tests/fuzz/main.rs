//! Runs the inputs that the fuzzers kept through the same functions, on every ordinary test run.
//!
//! `scripts/fuzz` feeds the same functions for hours; `corpus` holds its inputs, minimised, and those that once failed.

mod bundle;
mod bundle_seeds;
mod charter;
mod frame;
mod jif;
mod json;
mod link;
mod mqtt;
mod packet;
mod packet_seeds;
mod pattern;
mod protobuf;
mod rules;
mod text;

use deepstream_engine::Packet;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("every target has a corpus") {
        let path = file.expect("the corpus can be read").path();
        let input = fs::read(&path).expect("the corpus can be read");
        // Printed only where the entry panics.
        println!("{}", path.display());
        entry(&input);
        inputs += 1;
    }
    assert!(inputs > 5, "{} holds {inputs} inputs", folder.display());
}

#[test]
fn corpus_of_frames_between_nodes() {
    replay("frame", frame::run);
}

#[test]
fn corpus_of_charters_in_a_registry() {
    replay("charter", charter::run);
}

#[test]
fn corpus_of_bundles_between_nodes() {
    replay("bundle", bundle::run);
    for seed in bundle_seeds::all() {
        bundle::run(&seed);
    }
}

#[test]
fn corpus_of_the_websocket_link() {
    replay("link", link::run);
}

#[test]
fn corpus_of_the_mqtt_link() {
    replay("mqtt", mqtt::run);
}

#[test]
fn corpus_of_the_protobuf_decoder() {
    replay("protobuf", protobuf::run);
}

#[test]
fn corpus_of_the_bodies_of_http() {
    replay("jif", jif::run);
}

#[test]
fn corpus_of_json_paths_and_patches() {
    replay("json", json::run);
}

#[test]
fn corpus_of_the_text_decoder() {
    replay("text", text::run);
}

#[test]
fn corpus_of_patterns_and_names() {
    replay("pattern", pattern::run);
}

#[test]
fn corpus_of_permission_rules() {
    replay("rules", rules::run);
}

#[test]
fn corpus_of_packets_between_nodes() {
    replay("packet", packet::run);
}

#[test]
fn the_fuzzer_starts_with_packets_of_every_kind() {
    let form = [packet::form()];
    let mut kinds = BTreeSet::new();
    for seed in packet_seeds::all() {
        packet::run(&seed);
        let read = Packet::read(&[&form[..], &seed].concat());
        kinds.insert(packet::kind(&read.unwrap_or_else(|why| panic!("{why}: {}", seed.escape_ascii()))));
    }
    assert_eq!(kinds, packet::KINDS.iter().copied().collect());
}
