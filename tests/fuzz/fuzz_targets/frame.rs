//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|input: &[u8]| frame::run(input));
