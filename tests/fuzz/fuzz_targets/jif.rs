//! Feeds what the fuzzer thinks of to the entry that the ordinary tests use.
#![no_main]

#[path = "../jif.rs"]
mod jif;

libfuzzer_sys::fuzz_target!(|input: &[u8]| jif::run(input));
