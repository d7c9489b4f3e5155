//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../bundle.rs"]
mod bundle;
#[path = "../bundle_seeds.rs"]
mod bundle_seeds;
#[path = "../packet_seeds.rs"]
mod packet_seeds;

/// Writes the seeds in the present form of packets: a corpus of an earlier form is worth nothing.
fn write_seeds() {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(std::path::PathBuf::from) else { return };
    for (number, seed) in bundle_seeds::all().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("the corpus can be written");
    }
}

libfuzzer_sys::fuzz_target!(init: write_seeds(), |input: &[u8]| bundle::run(input));
