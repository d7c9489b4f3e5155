//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../charter.rs"]
mod charter;

libfuzzer_sys::fuzz_target!(|input: &[u8]| charter::run(input));
