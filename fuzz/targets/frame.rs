//! Feeds made-up bytes to the reader of captured frames. What has to hold is in `halfopen_lab::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| halfopen_lab::fuzzing::frame(bytes));
