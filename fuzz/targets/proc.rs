//! Feeds made-up bytes to the reader of the texts of /proc. What has to hold is in `halfopen_sys::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| halfopen_sys::fuzzing::proc(bytes));
