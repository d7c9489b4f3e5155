//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../protobuf.rs"]
mod protobuf;

libfuzzer_sys::fuzz_target!(|input: &[u8]| protobuf::run(input));
