//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../text.rs"]
mod text;

libfuzzer_sys::fuzz_target!(|input: &[u8]| text::run(input));
