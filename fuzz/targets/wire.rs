//! Feeds made-up frames to the wire of the lab. What has to hold is in `halfopen_lab::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| halfopen_lab::fuzzing::wire(bytes));
