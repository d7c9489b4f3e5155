//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../pattern.rs"]
mod pattern;

libfuzzer_sys::fuzz_target!(|input: &[u8]| pattern::run(input));
