//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../mqtt.rs"]
mod mqtt;

libfuzzer_sys::fuzz_target!(|input: &[u8]| mqtt::run(input));
