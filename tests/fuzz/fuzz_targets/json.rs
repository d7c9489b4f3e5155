//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../json.rs"]
mod json;

libfuzzer_sys::fuzz_target!(|input: &[u8]| json::run(input));
