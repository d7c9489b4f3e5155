//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../link.rs"]
mod link;

libfuzzer_sys::fuzz_target!(|input: &[u8]| link::run(input));
